//! What is told is what a worker does, packet by packet; and the nearest rule is one that would
//! take the packet if what differs were as it says.

use punctual::explain::{Explanation, PacketText, explain};
use punctual::packet::DropReason;
use punctual::testkit::HeapFrame;

use crate::site::{Site, load};

/// Rules that overlap, with every way to be left without a copy.
const RULES: &str = r#"
    [[rule]]
    name = "wide"
    input = { port = "in", destination = "239.1.1.0/28", udp_port = "any", vlan = "any" }
    output = [{ port = "a", vlan = 9 }, { port = "b" }]
    [[rule]]
    name = "narrow"
    flow = "source"
    input = { port = "in", destination = "239.1.1.1", udp_port = "5000-5001", source = "10.9.0.0/16" }
    output = [{ port = "b", destination = "239.5.5.5", udp_port = "+7", dscp = 8 }]
    [[rule]]
    name = "tagged"
    flow = "row"
    input = { port = "in", destination = "239.3.3.3", udp_port = 5001, vlan = 7 }
    output = [{ port = "a", ttl = 3 }, { port = "b", source_port = "destination" }]
    [[rule]]
    name = "elsewhere"
    input = { port = "a", destination = "239.4.4.4", udp_port = 5001 }
    output = [{ port = "b", ttl = 4 }]
    [[rule]]
    name = "six"
    input = { port = "in", destination = "ff15::514", udp_port = 514, source = "fd00::/16" }
    output = [{ port = "a", destination = "ff15::1:514" }]
"#;

/// Every combination of a few values of each field.
fn packets() -> Vec<PacketText> {
    let mut all = Vec::new();
    let v4 = ["239.1.1.1", "239.1.1.9", "239.3.3.3", "239.4.4.4", "10.0.0.7"].map(|to| (to, true));
    let v6 = ["[ff15::514]", "[ff15::515]"].map(|to| (to, false));
    for (to, is_v4) in v4.into_iter().chain(v6) {
        let sources = if is_v4 {
            ["10.9.1.1", "10.8.1.1", "127.0.0.1"]
        } else {
            ["[fd00::1]", "[2001:db8::1]", "[::1]"]
        };
        for source in sources {
            for port in [514, 5000, 5001] {
                for keys in ["", "vlan=7", "vlan=8 ttl=1", "ttl=1", "ttl=0", "size=1490"] {
                    let text = format!("in {keys} {source}:4000 > {to}:{port}");
                    all.push(text.parse().unwrap_or_else(|error| panic!("{text}: {error}")));
                }
            }
        }
    }
    all
}

/// The one reason that a packet was dropped for, before fan-out.
fn reason(before: &[u64; DropReason::COUNT]) -> Option<&'static str> {
    DropReason::ALL.iter().find(|reason| before[reason.index()] > 0).map(|reason| reason.name())
}

/// A worker that has had this packet and no other agrees.
fn a_worker_agrees(told: &Explanation, packet: &PacketText) {
    let mut site = Site::new(RULES);
    site.rx.push(site.payload.adopt(HeapFrame::new(&[&packet.frame()])));
    let ledger = site.turns(3);
    assert_eq!((ledger.received, ledger.punted), (1, 0), "{packet}");
    assert_eq!(told.reason, reason(&ledger.dropped_before), "{packet}");
    let counters = &site.counters;
    for (rule, taken) in site.plan.rules.iter().zip(&counters.rules) {
        let is_told = told.rule.as_ref().is_some_and(|told| *told.name == *rule.name);
        assert_eq!(taken.packets.get(), u64::from(is_told), "{packet}: {}", rule.name);
    }
    let rule = site
        .plan
        .rules
        .iter()
        .position(|rule| told.rule.as_ref().is_some_and(|told| *told.name == *rule.name));
    let slots = rule.map_or(&[][..], |rule| site.plan.outputs_of(rule as u32));
    assert_eq!(slots.len(), told.outputs.len(), "{packet}");
    for (output, &slot) in told.outputs.iter().zip(slots) {
        let counters = &counters.outputs[slot as usize];
        assert_eq!(counters.sent.get(), u64::from(output.copy.is_some()), "{packet}");
        assert_eq!(output.reason, reason(&counters.dropped()), "{packet}");
    }
    let sent: usize = (0..3)
        .map(|port| {
            let sent = site.sent(port);
            for copy in &sent {
                let bytes = copy.bytes();
                let mac =
                    bytes[..6].iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(":");
                let told = told.outputs.iter().filter_map(|output| output.copy.as_ref());
                let told: Vec<_> = told.map(|copy| (copy.frame_bytes, copy.mac.clone())).collect();
                assert!(told.contains(&(bytes.len() as u64, mac)), "{packet}: {told:?}");
            }
            sent.len()
        })
        .sum();
    assert_eq!(sent as u64, ledger.sent, "{packet}");
    assert_eq!(site.finish().residual(), 0);
}

#[test]
fn what_is_told_is_what_a_worker_does() {
    let config = load(RULES);
    let mut seen = std::collections::BTreeSet::new();
    for packet in packets() {
        let told = explain(&config, &packet).expect("it is explained");
        a_worker_agrees(&told, &packet);
        seen.insert(told.verdict);
        seen.extend(told.reason);
        seen.extend(told.outputs.iter().filter_map(|output| output.reason));
    }
    let all = ["copied", "dropped", "martian", "mtu", "no_rule", "not_copied", "source", "ttl"];
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), all);
}

#[test]
fn a_rule_takes_a_packet_exactly_where_nothing_differs() {
    let config = load(RULES);
    for packet in packets() {
        let told = explain(&config, &packet).expect("it is explained");
        match (&told.rule, &told.nearest) {
            (Some(rule), None) => {
                assert!(rule.because.iter().all(|field| field.matches), "{packet}: {rule:?}");
            }
            (None, Some(nearest)) => assert!(!nearest.differs.is_empty(), "{packet}: {nearest:?}"),
            // Parse ended it.
            (None, None) => assert_eq!(told.ends_at, Some("parse"), "{packet}"),
            (Some(_), Some(_)) => panic!("{packet}: taken, and yet near"),
        }
    }
}

#[test]
fn the_nearest_rule_is_the_one_that_differs_in_least() {
    let config = load(RULES);
    for (packet, rule, differs) in [
        ("in 10.9.1.1:1 > 239.3.3.3:5001", "tagged", &["vlan"][..]),
        ("in vlan=7 10.9.1.1:1 > 239.3.3.3:5002", "tagged", &["udp_port"]),
        ("in 10.9.1.1:1 > 239.4.4.4:5001", "elsewhere", &["port"]),
        ("in vlan=7 10.9.1.1:1 > 239.4.4.4:5002", "elsewhere", &["udp_port", "vlan", "port"]),
        ("in 10.9.1.1:1 > 239.1.1.16:5001", "wide", &["destination"]),
        ("in [2001:db8::1]:1 > [ff15::514]:514", "six", &["source"]),
        ("in [fd00::1]:1 > [ff15::ffff]:514", "six", &["destination"]),
    ] {
        let told = explain(&config, &packet.parse().unwrap()).expect("it is explained");
        let nearest = told.nearest.unwrap_or_else(|| panic!("{packet}: taken"));
        let fields: Vec<_> = nearest.differs.iter().map(|field| field.field.as_str()).collect();
        assert_eq!((nearest.rule.as_str(), &fields[..]), (rule, differs), "{packet}");
    }
}
