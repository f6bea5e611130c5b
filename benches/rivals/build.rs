//! Compiles the rivals' loops as DPDK's own programs are: its flags, and `-O3`.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=rivals.c");
    println!("cargo::rerun-if-env-changed=PKG_CONFIG");
    let program = std::env::var("PKG_CONFIG").unwrap_or_else(|_| "pkg-config".into());
    let said = std::process::Command::new(program).args(["--cflags", "libdpdk"]).output();
    let flags = match said {
        Ok(said) if said.status.success() => said.stdout,
        // dpdk-sys says the same at more length.
        _ => panic!("DPDK was not found by pkg-config: apt install libdpdk-dev dpdk-dev"),
    };
    let mut build = cc::Build::new();
    for flag in String::from_utf8_lossy(&flags).split_whitespace() {
        build.flag(flag);
    }
    // rte_sched.h brings in functions that are not stable yet; none is called here.
    build.define("ALLOW_EXPERIMENTAL_API", None);
    build.file("rivals.c").opt_level(3).std("gnu11").warnings(true).compile("rivals");
}
