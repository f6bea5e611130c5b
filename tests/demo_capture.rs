//! The demo's capture is the one that its generator makes, and holds what the demo shows.

mod demo_traffic;
mod frames;

use std::collections::BTreeMap;
use std::path::Path;

use punctual::config::load;
use punctual::testkit::pcap::Capture;
use punctual::wire::{OwnMacs, Verdict, parse};

const FILE: &str = "config/demo.pcap";

#[test]
fn the_generator_makes_the_committed_file() {
    let committed = std::fs::read(FILE).unwrap();
    assert!(committed.len() < 300_000, "{} bytes", committed.len());
    assert!(
        demo_traffic::demo().unwrap() == committed,
        "cargo run --example demo_capture -- {FILE}"
    );
}

#[test]
fn it_holds_every_kind_of_frame_that_the_demo_shows() {
    let file = std::fs::read(FILE).unwrap();
    let mut last = 0;
    let mut verdicts = BTreeMap::<_, u32>::new();
    for record in Capture::new(&file[..]).unwrap() {
        let record = record.unwrap();
        assert!(record.timestamp_ns >= last, "out of order");
        assert_eq!(record.timestamp_ns % 1_000, 0, "finer than any reader of captures");
        last = record.timestamp_ns;
        let verdict = match parse(&record.bytes, record.bytes.len(), &OwnMacs::default()) {
            Verdict::Udp { headers, .. } if headers.version == 6 => "udp over ipv6",
            Verdict::Udp { headers, .. } if headers.vlan == 110 => "udp in vlan 110",
            Verdict::Udp { .. } => "udp over ipv4",
            Verdict::Punt => "punt",
            Verdict::Drop(reason) => reason.name(),
        };
        *verdicts.entry(verdict).or_default() += 1;
    }
    let expected = [
        ("fragment", 1),
        ("ip_checksum", 1),
        ("ip_length", 1),
        ("martian", 2),
        ("not_ip", 1),
        ("not_udp", 1),
        ("punt", 6),
        ("truncated", 1),
        ("ttl", 1),
        ("udp_checksum", 1),
        ("udp in vlan 110", 100),
        ("udp over ipv4", 456),
        ("udp over ipv6", 120),
        ("udp_length", 1),
    ];
    assert_eq!(verdicts, expected.into());
}

#[test]
fn the_configuration_loads_and_its_three_rules_fan_out_to_16_4_and_2() {
    let loaded = load(Path::new("config/demo.toml")).unwrap_or_else(|errors| panic!("{errors}"));
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings.render(false));
    let widths: Vec<_> = (loaded.config.rules.iter())
        .map(|rule| (rule.name.as_str(), rule.class.name(), rule.outputs.len()))
        .collect();
    let expected = [("market", "high", 16), ("media", "medium", 4), ("telemetry", "low", 2)];
    assert_eq!(widths, expected);
}
