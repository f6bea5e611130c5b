//! How a run ends that would not.

use serde_json::Value;

use crate::binary::{Instance, Running, is_whole, number, sum};
use crate::common::runtime_directory;
use crate::frames::v4;
use crate::site;

/// An instance that relays the same 32 frames for ever, four copies each.
fn endless() -> (Instance, Running) {
    let instance = Instance::new();
    let source = "net_pcap0,rx_pcap=${CONFIG_DIR}/in.pcap,infinite_rx=1";
    instance.configure("", &site("no-huge", 4_096, source, "net_null1"));
    let frame = v4().with(|f| f.payload = vec![7; 200]).bytes();
    instance.capture("in.pcap", (0..32).map(|n| (n, &frame[..])));
    let mut running = start(&instance);
    instance.has_received(&mut running, 2_000);
    (instance, running)
}

fn start(instance: &Instance) -> Running {
    instance.start(&["run", "config.toml", "--report", "report.json"])
}

/// Something was relayed, and all of it is accounted for.
fn relayed(report: &Value) {
    is_whole(report);
    let ledger = &report["ledger"];
    assert!(number(&ledger["received"]) > 1_000, "{ledger}");
    assert_eq!(number(&ledger["admitted"]) * 4, number(&ledger["copies"]), "{ledger}");
    assert_eq!(sum(&ledger["dropped_after"]), 0, "a drain sends what waits: {ledger}");
}

fn drains_on(signal: i32) {
    let (instance, running) = endless();
    running.signal(signal);
    let ended = running.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for part in ["itch", "feed", "desks", "residual 0"] {
        assert!(ended.stdout.contains(part), "`{part}` is not said: {}", ended.stdout);
    }
    relayed(&instance.report());
    assert!(!runtime_directory(&instance.name).exists());
}

#[test]
fn sigterm_drains_and_reports() {
    drains_on(libc::SIGTERM);
}

#[test]
fn sigint_drains_and_reports() {
    drains_on(libc::SIGINT);
}

#[test]
fn a_killed_instance_starts_again_under_its_name() {
    let (instance, running) = endless();
    running.signal(libc::SIGKILL);
    assert_eq!(running.end().code, None);
    assert!(runtime_directory(&instance.name).exists(), "nobody could tidy up");
    let mut again = start(&instance);
    instance.has_received(&mut again, 2_000);
    again.signal(libc::SIGTERM);
    let ended = again.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    relayed(&instance.report());
    assert!(!runtime_directory(&instance.name).exists());
}

#[test]
fn a_run_ends_by_itself_where_it_is_told_to() {
    let (instance, running) = endless();
    running.signal(libc::SIGKILL);
    assert_eq!(running.end().code, None);
    let args = ["run", "config.toml", "--stop-after", "300ms", "--report", "report.json"];
    let ended = instance.run(&args);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    relayed(&instance.report());
}
