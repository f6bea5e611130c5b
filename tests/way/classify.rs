//! Classify: what a packet is found to be does not depend on what is in the burst besides it, and is what
//! the match table says.

use std::sync::Arc;

use arrayvec::ArrayVec;
use proptest::collection::vec;
use proptest::prelude::*;
use punctual::ledger::Counters;
use punctual::packet::{Burst, Packet};
use punctual::plan::Plan;
use punctual::stages::{Classify, Flows, IngressDrr, Parse, Tally};
use punctual::testkit::{HeapFrame, HeapPacket};
use punctual::wire::{self, Key};

use crate::frames::{Frame, v4, v6};
use crate::site::Site;

/// The same groups for other ports and sources, in rules with and without an order among them.
const RULES: &str = r#"
    [[rule]]
    name = "wide"
    input = { port = "in", destination = "239.1.1.0/29", udp_port = 5001 }
    output = [{ port = "b" }]
    [[rule]]
    name = "ten"
    flow = "row"
    input = { port = "in", destination = "239.1.1.0/30", udp_port = 5001, source = "10.9.1.0/24" }
    output = [{ port = "b" }]
    [[rule]]
    name = "host"
    input = { port = "in", destination = "239.1.1.4/30", udp_port = 5001, source = "10.9.1.2" }
    output = [{ port = "b" }]
    [[rule]]
    name = "other-port"
    input = { port = "a", destination = "239.1.1.0/29", udp_port = 5001 }
    output = [{ port = "b" }]
    [[rule]]
    name = "eight-a"
    input = { port = "a", destination = "239.1.1.8/30", udp_port = 5001 }
    output = [{ port = "b" }]
    [[rule]]
    name = "eight"
    input = { port = "in", destination = "239.1.1.8/29", udp_port = 5001 }
    output = [{ port = "b" }]
    [[rule]]
    name = "six"
    input = { port = "in", destination = "ff05::1:0/124", udp_port = 5001 }
    output = [{ port = "b" }]
"#;

/// A rule for any VLAN: then no key is exact.
const ANY: &str = r#"
    [[rule]]
    name = "any"
    input = { port = "in", destination = "239.1.1.0/28", udp_port = "any", vlan = "any" }
    output = [{ port = "b" }]
"#;

/// A frame of few addresses, so that many are alike, and the port that it comes in by.
fn frame() -> impl Strategy<Value = (Frame, u8)> {
    let any =
        (0u8..10, 0u8..4, 0u16..2, 0u8..3, prop::bool::weighted(0.1), prop::bool::weighted(0.1));
    any.prop_map(|(group, host, udp_port, port, is_tagged, is_six)| {
        let frame = if is_six { v6() } else { v4() };
        let frame = frame.with(|f| {
            f.udp_port = 5001 + u16::from(udp_port > 0 && group == 0);
            f.tags = if is_tagged { vec![(0x8100, 7)] } else { vec![] };
            if !is_six {
                f.destination = [239, 1, 1, group].into();
                f.source = [10, 9, 1 + host / 3, host].into();
            }
        });
        (frame, port)
    })
}

/// The rule of a parsed packet, by the whole search and nothing remembered.
fn searched(packet: &HeapPacket, plan: &Plan) -> Option<u32> {
    let headers = packet.meta().headers;
    let source = wire::source(packet.head(), &headers);
    plan.rows.find(&Key::of(packet), source, headers.port).ok().map(|found| found.rule)
}

/// What is found, in order: rule and flow by the packet's number; and all counters. The rules are those
/// of the whole search.
fn classify(plan: &Arc<Plan>, bursts: &[&[(Frame, u8)]]) -> (Vec<(u8, u32, u32)>, Vec<u64>) {
    let counters = Arc::new(Counters::for_plan(plan));
    let mut tally = Tally::new(Arc::clone(&counters));
    let (mut flows, ingress) = (Flows::new(plan), IngressDrr::new(plan));
    let (mut found, mut expected) = (Vec::new(), Vec::new());
    let mut number = 0;
    for frames in bursts {
        let mut burst: Burst<HeapPacket> = ArrayVec::new();
        for (frame, port) in *frames {
            let mut packet = HeapFrame::new(&[&frame.bytes()]);
            packet.meta_mut().headers.port = *port;
            burst.push(packet);
        }
        Parse::default().inspect(&mut burst, plan, &mut tally);
        for packet in &mut burst {
            packet.meta_mut().copies = number;
            number += 1;
            expected.extend(searched(packet, plan).map(|rule| (number as u8 - 1, rule)));
        }
        Classify.inspect(&mut burst, plan, &mut flows, &ingress, 1, &mut tally);
        let meta = burst.iter().map(|packet| packet.meta());
        found.extend(meta.map(|meta| (meta.copies as u8, meta.rule, meta.flow)));
    }
    let rules_found: Vec<_> = found.iter().map(|&(number, rule, _)| (number, rule)).collect();
    assert_eq!(rules_found, expected);
    let rules = (0..plan.rules.len()).map(|rule| &counters.rules[rule]);
    let mut counts: Vec<_> =
        rules.flat_map(|rule| [rule.packets.get(), rule.bytes.get()]).collect();
    counts.extend(tally.ledger.dropped_before);
    (found, counts)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_packet_is_found_alone_as_it_is_among_others(
        frames in vec(frame(), 1..=32),
        any in any::<bool>(),
    ) {
        let rules = if any { format!("{RULES}{ANY}") } else { RULES.to_string() };
        let plan = Site::new(&rules).plan;
        let alone: Vec<_> = frames.chunks(1).collect();
        prop_assert_eq!(classify(&plan, &[&frames]), classify(&plan, &alone));
    }
}
