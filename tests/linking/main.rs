//! How DPDK comes into the program, by the real binary: what it has with it, what it loads, what it
//! says where a driver is wanted that it has not. Both ways, as the feature `static` says.

#[path = "../common/binary.rs"]
mod binary;
#[path = "../common/mod.rs"]
mod common;
#[path = "../frames/mod.rs"]
mod frames;

use std::collections::BTreeSet;
use std::fs;

use binary::{Instance, is_whole, named, number};

/// Whether this is the build with DPDK linked in.
fn is_static() -> bool {
    cfg!(feature = "static")
}

/// Frames of the capture that is played.
const FRAMES: u64 = 250;

/// A site in ordinary memory with these EAL arguments: what `feed` brings goes to `desks`.
fn site(extra: &[&str], feed: &str, desks: &str) -> String {
    format!(
        r#"
        [eal]
        memory = "no-huge"
        extra = {extra:?}
        [memory]
        packets = 8192
        [[port]]
        name = "feed"
        device = "{feed}"
        [[port]]
        name = "desks"
        device = "{desks}"
        [[rule]]
        name = "itch"
        input = {{ port = "feed", destination = "239.1.1.1", udp_port = 5001 }}
        output = [{{ port = "desks", destination = "239.1.1.1", ttl = 9 }}]
        "#
    )
}

/// One at which nothing happens.
fn quiet(extra: &[&str]) -> String {
    site(extra, "net_null0,no-rx=1", "net_null1")
}

/// The network drivers in the directory that a shared DPDK loads them from.
fn of_the_distribution() -> BTreeSet<String> {
    let path = dpdk_directory();
    let files = fs::read_dir(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let names = files.filter_map(|file| file.ok()?.file_name().into_string().ok());
    let drivers = names
        .filter_map(|name| Some(name.strip_prefix("librte_net_")?.strip_suffix(".so")?.to_owned()));
    drivers.collect()
}

fn dpdk_directory() -> String {
    let path = std::str::from_utf8(dpdk_sys::RTE_EAL_PMD_PATH).expect("a path is a text");
    path.trim_end_matches('\0').to_owned()
}

#[test]
fn the_drivers_of_dpdk_are_linked_in_or_loaded() {
    let instance = Instance::new();
    instance.configure("", &quiet(&[]));
    let mut running = instance.start(&["run", "config.toml"]);
    running.has_started();
    let maps = format!("/proc/{}/maps", running.id());
    let maps = fs::read_to_string(maps).expect("it runs");
    assert_eq!(maps.contains("/librte_eal.so"), !is_static(), "{maps}");
    assert_eq!(maps.contains("/librte_net_pcap.so"), !is_static(), "{maps}");
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code, Some(0));
}

/// From a capture into shared memory by one process, out of it by another, which starts first: a
/// client that finds no server is not started.
#[test]
fn packets_go_by_capture_files_and_shared_memory() {
    let [reader, writer] = [Instance::new(), Instance::new()];
    let socket = reader.path("memif.sock");
    let memory =
        |role| format!("net_memif0,role={role},socket={},socket-abstract=no", socket.display());
    reader.configure("", &site(&[], &memory("server"), "net_null0"));
    let feed = "net_pcap0,rx_pcap=${CONFIG_DIR}/in.pcap,infinite_rx=1";
    writer.configure("", &site(&[], feed, &memory("client")));
    let frame = frames::v4().bytes();
    writer.capture("in.pcap", (1..=FRAMES).map(|n| (n * 1_000, &frame[..])));
    let run = ["run", "config.toml", "--report", "report.json"];
    let mut reading = reader.start(&run);
    reading.has_started();
    let mut writing = writer.start(&run);
    writer.has_received(&mut writing, 10 * FRAMES);
    reader.has_received(&mut reading, 10 * FRAMES);
    // The writer first, or what it sends would find its link down.
    for (running, instance) in [(writing, &writer), (reading, &reader)] {
        running.signal(libc::SIGTERM);
        assert_eq!(running.end().code, Some(0));
        is_whole(&instance.report());
    }
    let sent = number(&named(&reader.report()["rules"], "itch")["packets"]);
    assert!(sent >= 10 * FRAMES, "{sent}");
}

#[test]
fn all_network_drivers_of_the_distribution_are_linked_in() {
    let Some(linked_in) = dpdk_sys::LINKED_IN else {
        assert!(!is_static());
        return;
    };
    assert!(is_static());
    let linked_in: BTreeSet<String> = linked_in.iter().map(|&name| name.into()).collect();
    assert_eq!(linked_in, of_the_distribution());
}

#[test]
fn a_driver_module_is_loaded_or_refused() {
    let file = format!("{}/librte_net_null.so", dpdk_directory());
    for extra in [&["-d", &file][..], &[&format!("-d{file}")]] {
        let instance = Instance::new();
        instance.configure("", &quiet(extra));
        let run = instance.run(&["run", "config.toml", "--stop-after", "50ms"]);
        assert_eq!(run.code, Some(if is_static() { 69 } else { 0 }), "{extra:?}: {run:?}");
        let probe = instance.run(&["check", "config.toml", "--probe"]);
        let why = "without the feature `static`; linked in are af_packet, ";
        let refused = format!("[eal] extra: `{}`: ", extra.join(" "));
        for said in [&run.stderr, &probe.stdout] {
            let is_refused = said.contains(&refused) && said.contains(why);
            assert_eq!(is_refused, is_static(), "{extra:?}: {said}");
        }
    }
}

#[test]
fn a_driver_that_there_is_not_is_named_with_its_remedy() {
    let instance = Instance::new();
    instance.configure("", &site(&[], "net_nosuch0", "net_null1"));
    let remedy = match is_static() {
        true => "use a build without the feature `static`",
        false => "install the package librte-net-nosuch*",
    };
    let run = instance.run(&["run", "config.toml", "--stop-after", "50ms"]);
    assert_eq!(run.code, Some(69), "{run:?}");
    assert!(run.stderr.contains("`feed`") && run.stderr.contains(remedy), "{run:?}");
    assert!(run.stderr.contains("net_pcap, net_ring"), "{run:?}");
    let probe = instance.run(&["check", "config.toml", "--probe"]);
    assert!(format!("{probe:?}").contains(remedy), "{probe:?}");
}

#[test]
fn dumpcap_is_told_why_it_cannot_attach() {
    let instance = Instance::new();
    instance.configure("", &quiet(&[]));
    let mut running = instance.start(&["run", "config.toml"]);
    running.has_started();
    let said = instance.run(&["show", "plan", "--instance", &instance.name]).stdout;
    let why =
        if is_static() { "dumpcap  no: DPDK is linked into" } else { "dumpcap  no: [eal] memory" };
    assert!(said.contains(why), "{said}");
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code, Some(0));
}
