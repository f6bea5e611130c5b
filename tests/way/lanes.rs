//! A burst that goes past ingress DRR and EDF leaves in the order that they would have given it; one of
//! many flows, each with little, as it came.

use std::net::Ipv4Addr;
use std::slice;
use std::sync::Arc;

use proptest::prelude::*;
use punctual::config::RxMode;
use punctual::ledger::Counters;
use punctual::packet::{Burst, Packet, Ticks};
use punctual::stages::{Classify, Edf, Flows, IngressDrr, Parse, Tally};
use punctual::testkit::HeapFrame;

use crate::frames::{Frame, v4};
use crate::site::{Site, load, numbered};

/// Flows of rules, rows and sources; two classes, and a rule with a budget of its own.
const RULES: &str = r#"
    [[rule]]
    name = "rule"
    class = "high"
    input = { port = "in", destination = "239.1.1.0/24", udp_port = 5001 }
    output = [{ port = "a" }, { port = "b" }]
    [[rule]]
    name = "row"
    class = "high"
    flow = "row"
    input = { port = "in", destination = "239.1.1.0/24", udp_port = "5002-5005" }
    output = [{ port = "a" }]
    [[rule]]
    name = "source"
    class = "high"
    flow = "source"
    input = { port = "in", destination = "239.1.1.0/24", udp_port = 5006 }
    output = [{ port = "a" }]
    [[rule]]
    name = "later"
    class = "high"
    budget = "2ms"
    input = { port = "in", destination = "239.1.1.0/24", udp_port = 5007 }
    output = [{ port = "a" }]
    [[rule]]
    name = "low"
    class = "low"
    input = { port = "in", destination = "239.1.1.0/24", udp_port = 5008 }
    output = [{ port = "a" }]
"#;

/// A UDP port, a sender and a long payload or a short one.
type Kind = (u16, u8, bool);

fn frame((udp_port, sender, long): Kind, number: u32) -> Frame {
    let frame = v4().with(|f| {
        f.udp_port = udp_port;
        f.source = Ipv4Addr::new(10, 9, 1, sender).into();
    });
    // Long enough that 13 flows are never so many that their packets stay as they came.
    let fill = vec![0x5a; if long { 700 } else { 24 }];
    numbered(frame, number).with(|f| f.payload = [fill, std::mem::take(&mut f.payload)].concat())
}

/// What both ports sent of these full bursts, in order. A port that waits has nothing more to come
/// behind a burst; a live one might have.
fn play(bursts: &[Vec<Frame>], mode: RxMode) -> [Vec<Vec<u8>>; 2] {
    let mut config = load(RULES);
    config.ports[0].rx = mode;
    let mut site = Site::build(&config, |_| true, true, 10_000);
    let mut sent = [Vec::new(), Vec::new()];
    for burst in bursts {
        burst.iter().for_each(|frame| site.push(frame));
        assert_eq!(site.turns(8).residual(), 0);
        for (port, sent) in sent.iter_mut().enumerate() {
            sent.extend(site.sent(port + 1).iter().map(|copy| copy.bytes()));
        }
    }
    site.finish();
    sent
}

fn kind(ports: std::ops::RangeInclusive<u16>) -> impl Strategy<Value = Kind> {
    (ports, 1_u8..9, prop::bool::weighted(0.1))
}

/// Bursts of one class and budget, which pass, and of all, of which most do not.
fn burst() -> impl Strategy<Value = Vec<Kind>> {
    prop_oneof![
        3 => prop::collection::vec(kind(5001..=5006), 32),
        1 => prop::collection::vec(kind(5001..=5008), 32),
    ]
}

/// The groups of 32 packets, 28 at least, so that no flow has many of them, even where it is known only
/// by the low bits of its slot, which several may have in common.
fn groups() -> impl Strategy<Value = Vec<u8>> {
    let all: Vec<u8> = (0..64).collect();
    (prop::sample::subsequence(all, 28), prop::collection::vec(0_u8..64, 4))
        .prop_map(|(some, others)| [some, others].concat())
        .prop_shuffle()
}

/// Copies put in the order of their groups, each group's as they were.
fn by_flow(mut copies: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    copies.sort_by_key(|copy| copy[33]);
    copies
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_burst_that_passes_leaves_as_the_schedulers_would_have_it(
        bursts in prop::collection::vec(burst(), 1..6),
    ) {
        let mut numbers = 0..;
        let mut numbered = |kind| frame(kind, numbers.next().unwrap_or(0));
        let mut frames = |burst: Vec<Kind>| burst.into_iter().map(&mut numbered).collect();
        let bursts: Vec<Vec<Frame>> = bursts.into_iter().map(&mut frames).collect();
        prop_assert!(play(&bursts, RxMode::Lossless) == play(&bursts, RxMode::Live));
    }

    #[test]
    fn a_burst_of_many_flows_leaves_as_it_came(groups in groups(), long in any::<bool>()) {
        let to_group = |(number, group): (u32, u8)| {
            let destination = Ipv4Addr::new(239, 1, 1, group).into();
            frame((5002, 1, long), number).with(|f| {
                f.destination = destination;
                // Its number alone, so that many are less than a visit.
                f.payload.drain(..if long { 0 } else { 24 });
            })
        };
        let burst: Vec<_> = (0..).zip(groups).map(to_group).collect();
        let [passed, _] = play(slice::from_ref(&burst), RxMode::Lossless);
        let [scheduled, _] = play(slice::from_ref(&burst), RxMode::Live);
        if long {
            // One flow may have more than a visit's bytes.
            prop_assert!(passed == scheduled);
        } else {
            let came: Vec<_> = burst.iter().map(|frame| frame.payload.clone()).collect();
            let left: Vec<_> = passed.iter().map(|copy| copy[42..].to_vec()).collect();
            prop_assert_eq!(left, came);
        }
        prop_assert!(by_flow(passed) == by_flow(scheduled));
    }
}

/// The deadlines of packets to these UDP ports, of two rows, that arrived at different times, as
/// another worker's may; in order. `is_asked`: whether the burst was asked before whether it passes.
fn deadlines(arrivals: &[(u16, Ticks)], is_asked: bool) -> Vec<Ticks> {
    let plan = Site::new(RULES).plan;
    let mut tally = Tally::new(Arc::new(Counters::for_plan(&plan)));
    let (mut flows, mut ingress) = (Flows::new(&plan), IngressDrr::new(&plan));
    let packet = |&(udp_port, _): &(u16, Ticks)| {
        HeapFrame::new(&[&v4().with(|f| f.udp_port = udp_port).bytes()])
    };
    let mut burst: Burst<_> = arrivals.iter().map(packet).collect();
    Parse::default().inspect(&mut burst, &plan, &mut tally);
    Classify.inspect(&mut burst, &plan, &mut flows, &ingress, 1, &mut tally);
    for (packet, (_, arrival)) in burst.iter_mut().zip(arrivals) {
        packet.meta_mut().arrival = *arrival;
    }
    if is_asked {
        assert!(!ingress.passes(&mut burst, true, &Edf::new(&plan), &plan, &mut flows));
    }
    ingress.enqueue(&mut burst, &plan, &mut flows, &mut tally);
    let mut all: Vec<_> = std::iter::from_fn(|| ingress.dequeue(|_| true))
        .map(|packet| packet.meta().deadline)
        .collect();
    all.sort_unstable();
    all
}

#[test]
fn a_burst_that_does_not_pass_is_due_as_if_nobody_had_asked() {
    for arrivals in
        [&[(5002, 1_000), (5003, 1_000), (5002, 5_000)][..], &[(5002, 1_000), (5003, 5_000)]]
    {
        let alone = deadlines(arrivals, false);
        assert_eq!(alone[alone.len() - 1] - alone[0], 4_000, "each from its own arrival");
        assert_eq!(deadlines(arrivals, true), alone);
    }
}
