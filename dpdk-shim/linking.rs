//! How DPDK comes into the program: as shared libraries, or linked in (feature `static`).
//!
//! Both as pkg-config says. Linked in, each archive goes in whole, for drivers register themselves in
//! constructors that nothing calls; the linker then drops what nobody needs. What the drivers
//! need of the system stays shared.

use std::env;
use std::process::Command;

/// Kinds of drivers that have no packets for a relay: `librte_KIND_*`.
const OTHER_KINDS: &[&str] =
    &["baseband", "compress", "crypto", "dma", "event", "raw", "regex", "vdpa"];
/// Archives of such a driver that are called otherwise: QuickAssist cards, which only encrypt and
/// compress, and for which libcrypto and libIPSec_MB would be needed.
const OTHER: &[&str] = &["common_qat"];

/// Links the shared libraries, and tells Rust so.
pub(super) fn shared() -> String {
    // A driver, so not among pkg-config's libraries; it makes ports of rings within the process.
    println!("cargo::rustc-link-lib=rte_net_ring");
    // Dependents read it as DEP_DPDK_LINKING.
    println!("cargo::metadata=LINKING=shared");
    constant("None")
}

/// Links what `pkg-config --static --libs libdpdk` printed, and tells Rust which drivers that has.
///
/// # Errors
/// Where there are no archives.
pub(super) fn linked_in(flags: &[String]) -> Result<String, String> {
    let archives: Vec<&str> = distinct(flags.iter().filter_map(|flag| archive(flag)));
    if !archives.contains(&"eal") {
        return Err("`pkg-config --static --libs libdpdk` names no librte_eal.a".into());
    }
    for directory in flags.iter().filter_map(|flag| flag.strip_prefix("-L")) {
        println!("cargo::rustc-link-search=native={directory}");
    }
    for name in &archives {
        println!("cargo::rustc-link-lib=static:-bundle,+whole-archive,+verbatim=librte_{name}.a");
    }
    for name in distinct(flags.iter().filter_map(|flag| flag.strip_prefix("-l"))) {
        if !name.starts_with(':') && !name.starts_with("rte_") && is_shared(name) {
            println!("cargo::rustc-link-lib={name}");
        }
    }
    println!("cargo::metadata=LINKING=static");
    let drivers = archives.iter().filter_map(|name| name.strip_prefix("net_"));
    let drivers: Vec<String> = drivers.map(|name| format!("{name:?}")).collect();
    Ok(constant(&format!("Some(&[{}])", drivers.join(", "))))
}

fn constant(value: &str) -> String {
    format!(
        "/// Network drivers that are linked in (`librte_net_*`); none is said where EAL loads them.\n\
         pub const LINKED_IN: Option<&[&str]> = {value};\n"
    )
}

/// The name between `librte_` and `.a`, where a relay has use for it.
fn archive(flag: &str) -> Option<&str> {
    let name = flag.strip_prefix("-l:librte_")?.strip_suffix(".a")?;
    let other = name.split_once('_').is_some_and(|(kind, _)| OTHER_KINDS.contains(&kind));
    (!other && !OTHER.contains(&name)).then_some(name)
}

/// Whether a library of the system can be linked as a shared one: pkg-config names what its archive
/// would need, too, which a shared one brings along by itself.
fn is_shared(name: &str) -> bool {
    let compiler = env::var("CC").unwrap_or_else(|_| "cc".into());
    let asked = Command::new(compiler).arg(format!("-print-file-name=lib{name}.so")).output();
    // A path where there is such a file, else the name again.
    asked.is_ok_and(|said| String::from_utf8_lossy(&said.stdout).contains('/'))
}

/// Each once, in their order.
fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut found = Vec::new();
    for name in names {
        if !found.contains(&name) {
            found.push(name);
        }
    }
    found
}
