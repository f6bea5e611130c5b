//! Stamps what `punctual --version` says: the git revision and the DPDK it was built against, and how.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let said = |name| std::env::var(name).ok();
    let dpdk = match (said("DEP_DPDK_VERSION"), said("DEP_DPDK_LINKING")) {
        (Some(version), Some(linking)) => format!("{version}, {linking}"),
        _ => "none".into(),
    };
    let revision = revision().unwrap_or_else(|| "unknown".into());
    let version = std::env::var("CARGO_PKG_VERSION").expect("cargo sets it");
    println!("cargo::rustc-env=PUNCTUAL_VERSION={version} ({revision}, DPDK {dpdk})");
}

/// The short revision, with `+` where the tree differs from it; `None` outside a git checkout.
fn revision() -> Option<String> {
    let revision = git(&["rev-parse", "--short", "HEAD"])?;
    // HEAD changes with the branch, its log with each commit; the sources decide about the `+`.
    for name in ["HEAD", "logs/HEAD", "packed-refs"] {
        if let Some(path) = git(&["rev-parse", "--git-path", name])
            && Path::new(&path).exists()
        {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    println!("cargo::rerun-if-changed=src");
    println!("cargo::rerun-if-changed=dpdk-shim");
    // Without optional locks, lest asking refresh the index and so change what others watch.
    let status = git(&["--no-optional-locks", "status", "--porcelain", "--untracked-files=no"])?;
    let dirty = if status.is_empty() { "" } else { "+" };
    Some(format!("{revision}{dirty}"))
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
