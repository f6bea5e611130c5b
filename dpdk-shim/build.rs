//! Finds DPDK, compiles the shim, makes the bindings.

mod linking;

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// The shim, one file per subject.
const SOURCES: &[&str] = &[
    "eth.c",
    "mbuf.c",
    "pool.c",
    "ring.c",
    "clock.c",
    "thread.c",
    "log.c",
    "telemetry.c",
    "layout.c",
];

/// What Rust calls. Named one by one: `rte_.*` drags in packed types that do not compile
/// (E0588), and a list says what the program stands on.
const FUNCTIONS: &[&str] = &[
    "shim_.*",
    "rte_eal_alarm_set",
    "rte_eal_init",
    "rte_eal_cleanup",
    "rte_eal_get_runtime_dir",
    "rte_eal_has_hugepages",
    "rte_eal_hotplug_add",
    "rte_eal_hotplug_remove",
    "rte_eal_remote_launch",
    "rte_eal_wait_lcore",
    "rte_eth_allmulticast_enable",
    "rte_eth_dev_adjust_nb_rx_tx_desc",
    "rte_eth_dev_close",
    "rte_eth_dev_configure",
    "rte_eth_dev_get_mtu",
    "rte_eth_dev_get_port_by_name",
    "rte_eth_dev_info_get",
    "rte_eth_dev_set_mtu",
    "rte_eth_dev_socket_id",
    "rte_eth_dev_start",
    "rte_eth_dev_stop",
    "rte_eth_from_rings",
    "rte_eth_link_get_nowait",
    "rte_eth_macaddr_get",
    "rte_eth_promiscuous_disable",
    "rte_eth_promiscuous_enable",
    "rte_eth_rx_queue_setup",
    "rte_eth_stats_get",
    "rte_eth_tx_queue_setup",
    "rte_get_tsc_hz",
    "rte_log_set_global_level",
    "rte_mbuf_dyn_rx_timestamp_register",
    "rte_mempool_avail_count",
    "rte_mempool_free",
    "rte_pdump_init",
    "rte_pdump_uninit",
    "rte_ring_create",
    "rte_ring_free",
    "rte_strerror",
    "rte_tel_data_add_array_string",
    "rte_tel_data_add_dict_string",
    "rte_tel_data_start_array",
    "rte_tel_data_start_dict",
    "rte_telemetry_register_cmd",
    "rte_version",
];

/// What Rust names besides the functions' own arguments.
const TYPES: &[&str] = &["rte_eth_conf", "rte_eth_dev_info", "rte_eth_link", "rte_eth_stats"];

/// Constants; those of layout.h and the drivers' directory among them.
const CONSTANTS: &[&str] = &[
    "SHIM_.*",
    "RTE_EAL_PMD_PATH",
    "RTE_MAX_LCORE",
    "RTE_MAX_ETHPORTS",
    "RTE_PKTMBUF_HEADROOM",
    "RTE_TEL_MAX_STRING_LEN",
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=linking.rs");
    println!("cargo::rerun-if-changed=wrapper.h");
    println!("cargo::rerun-if-changed=layout.h");
    let linked_in = env::var_os("CARGO_FEATURE_STATIC").is_some();
    let library = pkg_config::Config::new()
        .atleast_version("22.11")
        .cargo_metadata(!linked_in)
        .probe("libdpdk")
        .unwrap_or_else(|error| stop(&error.to_string()));
    // Dependents read it as DEP_DPDK_VERSION.
    println!("cargo::metadata=VERSION={}", library.version);

    let flags = pkg_config(&["--cflags"]);
    // In front of what it needs: the linker goes by the order.
    compile_shim(&flags);
    let constants = match linked_in {
        false => linking::shared(),
        true => linking::linked_in(&pkg_config(&["--static", "--libs"]))
            .unwrap_or_else(|why| stop(&format!("{why}; build without the feature `static`"))),
    };
    write_out("linking.rs", &constants);
    generate_bindings(&flags);
}

/// Says what is missing and what to type.
fn stop(why: &str) -> ! {
    eprintln!("DPDK 22.11 or newer was not found by pkg-config.\n");
    eprintln!("  Debian, Ubuntu:  apt install libdpdk-dev dpdk-dev libpcap-dev libclang-dev");
    eprintln!("  built from source: set PKG_CONFIG_PATH to the directory of libdpdk.pc");
    eprintln!("  without DPDK:    cargo build -p punctual --no-default-features\n");
    eprintln!("{why}");
    std::process::exit(1);
}

/// What pkg-config says of the installed DPDK, whole: its `-march` and `-include` decide the layout and
/// the inline code, its `-l:` name archives, and the `pkg_config` crate keeps neither.
fn pkg_config(arguments: &[&str]) -> Vec<String> {
    println!("cargo::rerun-if-env-changed=PKG_CONFIG");
    let program = env::var("PKG_CONFIG").unwrap_or_else(|_| "pkg-config".into());
    let output = Command::new(program)
        .args(arguments)
        .arg("libdpdk")
        .output()
        .unwrap_or_else(|error| stop(&error.to_string()));
    String::from_utf8_lossy(&output.stdout).split_whitespace().map(str::to_owned).collect()
}

fn compile_shim(flags: &[String]) {
    let mut build = cc::Build::new();
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
        build.file(source);
    }
    for flag in flags {
        build.flag(flag);
    }
    // The shim is DPDK's inline code: without optimisation each burst would crawl in debug builds.
    build.opt_level(2).std("gnu11").warnings(true).compile("shim");
}

fn generate_bindings(flags: &[String]) {
    let mut builder = bindgen::builder()
        .header("wrapper.h")
        .clang_args(flags)
        // Written by hand in src/mbuf.rs, with the fields that Rust reads.
        .blocklist_type("rte_mbuf(__?.*)?")
        .opaque_type("rte_mempool")
        .opaque_type("rte_ring")
        .opaque_type("rte_device")
        .derive_default(true)
        .use_core()
        .layout_tests(true)
        .generate_comments(false);
    for name in FUNCTIONS {
        builder = builder.allowlist_function(name);
    }
    for name in TYPES {
        builder = builder.allowlist_type(name);
    }
    for name in CONSTANTS {
        builder = builder.allowlist_var(name);
    }
    let bindings = builder
        .generate()
        .unwrap_or_else(|error| stop(&format!("bindgen: {error} (is libclang installed?)")));
    write_out("bindings.rs", &bindings.to_string());
}

/// Writes a file for the crate to include.
fn write_out(name: &str, text: &str) {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    fs::write(out.join(name), text).expect("OUT_DIR can be written");
}
