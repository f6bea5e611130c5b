//! Any combination of what an output may ask for: each capture holds exactly the copies expected,
//! in the order of their flows, and the report counts them.

use std::collections::HashMap;
use std::net::IpAddr;

use fastrand::Rng;
use serde_json::Value;

use crate::binary::{Instance, named, number, sum};
use crate::frames::copy::read;
use crate::rules::{Expected, MTU, PORTS, Rule, whose};

/// Rules of a run, and frames for each.
const RULES: u8 = 48;
const FRAMES: usize = 40;

/// Rules of every fan-out.
fn rules(seed: u64) -> Vec<Rule> {
    let mut rng = Rng::with_seed(seed);
    let fan_outs = [1, 1, 2, 3, 4, 16];
    (1..=RULES)
        .map(|r| Rule::any(&mut rng, r, fan_outs[usize::from(r) % fan_outs.len()], FRAMES))
        .collect()
}

/// The rules' traffic, frame by frame in turn: at each microsecond one frame a port.
fn traffic(rules: &[Rule], port: usize) -> Vec<(u64, Vec<u8>)> {
    let frames = (0..FRAMES).flat_map(|n| {
        let rules = rules.iter().filter(|rule| rule.port == port);
        rules.map(move |rule| rule.frames[n].bytes())
    });
    let times = (0..).map(|n: u64| 1_700_000_000_000_000_000 + n * 1_000);
    times.zip(frames).collect()
}

fn relay(rules: &[Rule]) -> (Instance, Value) {
    let instance = Instance::new();
    let mut text = "[eal]\nmemory = \"no-huge\"\n[memory]\npackets = 2048\n".to_owned();
    for (slot, (name, mtu)) in PORTS.iter().zip(MTU).enumerate() {
        let direction = if slot < 2 { "rx" } else { "tx" };
        text += &format!(
            "[[port]]\nname = \"{name}\"\nmtu = {mtu}\n\
             device = \"net_pcap{slot},{direction}_pcap=${{CONFIG_DIR}}/{name}.pcap\"\n\
             address = [\"10.0.{slot}.1/24\", \"fd00::{slot}:1/112\"]\n"
        );
    }
    text += &rules.iter().map(Rule::toml).collect::<String>();
    instance.configure("clock = \"capture\"", &text);
    for (port, name) in PORTS.iter().enumerate().take(2) {
        let traffic = traffic(rules, port);
        let frames = traffic.iter().map(|(time, bytes)| (*time, &bytes[..]));
        instance.capture(&format!("{name}.pcap"), frames);
    }
    let report = instance.relay();
    (instance, report)
}

/// A port's capture by rule and output, each frame found sound on the way.
fn by_output(rules: &[Rule], frames: Vec<Vec<u8>>) -> HashMap<(u8, usize), Vec<Vec<u8>>> {
    let mut by_output = HashMap::<_, Vec<_>>::new();
    for frame in frames {
        let (fields, checksum, right) = match read(&frame) {
            Ok(read) => read,
            Err(error) => panic!("{error}: {frame:02x?}"),
        };
        let none = checksum == 0 && fields.source.is_ipv4();
        assert!(
            none || checksum == right,
            "UDP checksum {checksum:#x}, not {right:#x}: {fields:?}"
        );
        let (r, output) = whose(fields.destination);
        assert!(rules.iter().any(|rule| rule.r == r), "a copy for nobody: {fields:?}");
        by_output.entry((r, output.unwrap_or(0))).or_default().push(frame);
    }
    by_output
}

/// Frame by frame, so that what differs is told field by field.
fn same(rule: &Rule, k: usize, found: &[Vec<u8>], expected: &[Vec<u8>]) {
    for (n, (found, expected)) in found.iter().zip(expected).enumerate() {
        if found != expected {
            let fields = |bytes| read(bytes).map(|(fields, checksum, _)| (fields, checksum));
            let text = format!("{:#?}\n{:#?}", fields(found), fields(expected));
            panic!("rule {}, output {k}, copy {n}: {:?}\n{text}", rule.r, rule.outputs[k]);
        }
    }
    assert_eq!(found.len(), expected.len(), "rule {}, output {k}", rule.r);
}

/// What the report says of an output.
fn reports_output(report: &Value, expected: &Expected) {
    let sent = expected.sent.len() as u64;
    let overhead = expected.sent.iter().map(|frame| frame.len() as u64 + 24);
    let numbers = [
        ("copies", expected.copies),
        ("sent", sent),
        ("on_time", sent),
        ("late_sent", 0),
        ("late_dropped", 0),
        ("bytes", overhead.sum()),
        ("not_selected", expected.not_selected),
    ];
    for (key, expected) in numbers {
        assert_eq!(number(&report[key]), expected, "{key}: {report}");
    }
    let dropped = |reason: &str| report["dropped"].get(reason).map_or(0, number);
    assert_eq!((dropped("ttl"), dropped("mtu")), (expected.ttl, expected.mtu), "{report}");
    assert_eq!(sum(&report["dropped"]), expected.ttl + expected.mtu, "{report}");
}

fn judge(seed: u64) {
    let rules = rules(seed);
    let (instance, report) = relay(&rules);
    let (mut copies, mut sent) = (0, 0);
    for (port, name) in PORTS.iter().enumerate().skip(2) {
        let frames = instance.captured(&format!("{name}.pcap"));
        let on_port = named(&report["ports"], name);
        let bytes = frames.iter().map(|frame| frame.len() as u64).sum::<u64>();
        assert_eq!(number(&on_port["sent"]), frames.len() as u64);
        assert_eq!((number(&on_port["bytes_sent"]), number(&on_port["tx_errors"])), (bytes, 0));
        let mut found = by_output(&rules, frames);
        for rule in &rules {
            let on_rule = named(&report["rules"], &format!("r{}", rule.r));
            for (k, output) in rule.outputs.iter().enumerate().filter(|(_, o)| o.port == port) {
                let expected = rule.expected(k);
                let found = found.remove(&(rule.r, k)).unwrap_or_default();
                same(rule, k, &found, &expected.sent);
                reports_output(&on_rule["outputs"][k], &expected);
                assert_eq!(on_rule["outputs"][k]["port"], *name, "{output:?}");
                copies += expected.copies;
                sent += found.len() as u64;
            }
        }
        assert!(found.is_empty(), "{} outputs sent what they should not", found.len());
    }
    reports_totals(&rules, &report, copies, sent);
}

fn reports_totals(rules: &[Rule], report: &Value, copies: u64, sent: u64) {
    let packets = u64::from(RULES) * FRAMES as u64;
    let ledger = &report["ledger"];
    for (key, expected) in [
        ("offered", packets),
        ("received", packets),
        ("admitted", packets),
        ("punted", 0),
        ("copies", copies),
        ("sent", sent),
    ] {
        assert_eq!(number(&ledger[key]), expected, "{key}: {ledger}");
    }
    assert_eq!(sum(&ledger["dropped_before"]), 0, "{ledger}");
    for rule in rules {
        let on_rule = named(&report["rules"], &format!("r{}", rule.r));
        assert_eq!(number(&on_rule["packets"]), FRAMES as u64);
        assert_eq!(sum(&on_rule["dropped"]), 0);
    }
    for (port, name) in PORTS.iter().enumerate().take(2) {
        let traffic = traffic(rules, port);
        let bytes = traffic.iter().map(|(_, frame)| frame.len() as u64).sum::<u64>();
        let on_port = named(&report["ports"], name);
        assert_eq!(number(&on_port["received"]), traffic.len() as u64);
        assert_eq!(number(&on_port["bytes_received"]), bytes);
        assert_eq!(on_port["tx_chain"], "native");
    }
}

#[test]
fn every_combination_of_what_an_output_may_ask() {
    (1..=3).for_each(judge);
}

/// The seeds draw every kind of everything; a draw that left one out would prove less.
#[test]
fn the_seeds_draw_every_kind() {
    let rules: Vec<Rule> = (1..=3).flat_map(rules).collect();
    let outputs = || rules.iter().flat_map(|rule| &rule.outputs);
    let frames = || rules.iter().flat_map(|rule| &rule.frames);
    for fan_out in [1, 2, 4, 16] {
        assert!(rules.iter().any(|rule| rule.outputs.len() == fan_out));
    }
    for vlan in [None, Some(0), Some(4_094)] {
        assert!((0..3).all(|tags| rules.iter().any(|rule| {
            rule.outputs.iter().any(|output| output.vlan == vlan)
                && rule.frames.iter().any(|frame| frame.tags.len() == tags)
        })));
    }
    let expected = rules.iter().flat_map(|rule| (0..rule.outputs.len()).map(|k| rule.expected(k)));
    let expected: Vec<Expected> = expected.collect();
    assert!(expected.iter().any(|e| e.ttl > 0) && expected.iter().any(|e| e.mtu > 0));
    assert!(outputs().any(|output| output.to == crate::rules::To::Keep));
    assert!(outputs().any(|output| output.source_is_port));
    assert!(outputs().any(|output| matches!(output.source, Some(IpAddr::V6(_)))));
    assert!(outputs().any(|output| output.udp_port.is_err()));
    let lens: Vec<usize> = frames().map(|frame| frame.payload.len()).collect();
    assert!([0, 9_000 - 28, 9_000 - 48].iter().all(|len| lens.contains(len)));
}

/// What a run says and writes of the same input, but for what the host's clock says.
#[test]
fn the_same_input_gives_the_same_output_twice() {
    let rules = rules(4);
    let run = || {
        let (instance, report) = relay(&rules);
        let captures = ["a.pcap", "b.pcap"].map(|file| instance.captured(file));
        let said = ["schema", "generation", "ledger", "rules", "ports"];
        (captures, said.map(|key| report[key].clone()))
    };
    let (first, second) = (run(), run());
    assert!(first.0 == second.0, "the captures differ");
    assert_eq!(first.1, second.1);
}
