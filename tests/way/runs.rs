//! Packets that are copied by the run get what they would get one by one.

use std::sync::Arc;

use arrayvec::ArrayVec;
use proptest::prelude::*;
use punctual::ledger::Ledger;
use punctual::ledger::output_waiting;
use punctual::packet::{Burst, DropReason, Packet, PacketPool};
use punctual::plan::Plan;
use punctual::stages::{BreakerState, Classify, Egress, Fanout, Flows, IngressDrr, Parse, Tally};
use punctual::testkit::{HeapFrame, HeapPacket, HeapPool};

use crate::frames::{Frame, v4, v6};
use crate::site::{FAN_OUT, Site, load, number, numbered};

/// Rules of three outputs, of one, and of two for IPv6; an output of each decrements the TTL.
const RULES: &str = r#"
    [[rule]]
    name = "three"
    input = { port = "in", destination = "239.1.1.0/24", udp_port = 5001, vlan = "any" }
    output = [
      { port = "a", destination = "239.101.1.0/24" },
      { port = "b", vlan = "keep" },
      { port = "a", destination = "239.103.1.0/24", vlan = 7, ttl = "decrement" },
    ]
    [[rule]]
    name = "one"
    input = { port = "in", destination = "239.1.1.0/24", udp_port = 5002 }
    output = [{ port = "b" }]
    [[rule]]
    name = "two"
    input = { port = "in", destination = "ff05::/112", udp_port = 5001 }
    output = [{ port = "b", destination = "ff05::2:0/112" }, { port = "a" }]
"#;

/// A kind of frame, some of which are not fit for each output.
fn frame(kind: u8) -> Frame {
    match kind {
        0..=9 => v4(),
        10..=14 => v4().with(|f| f.udp_port = 5002),
        15..=19 => v6().with(|f| f.destination = "ff05::1".parse().unwrap()),
        20 => v4().with(|f| f.ttl = 1),
        21 => v4().with(|f| (f.udp_port, f.ttl) = (5002, 1)),
        22 => v4().with(|f| f.options = vec![1; 8]),
        23 => v4().with(|f| f.tags = vec![(0x8100, 0xa064)]),
        _ => v4().with(|f| f.padding = vec![0; 20]),
    }
}

/// By output, what was sent; the ledger of each turn; what the counters say.
type Seen = (Vec<Vec<Vec<u8>>>, Vec<Ledger>, Vec<[u64; 4]>);

/// Plays bursts of kinds, some of them long, to a site whose packets are copied by the run, or one
/// by one because a breaker is open somewhere.
fn play(bursts: &[Vec<(u8, bool)>], headers: usize, by_run: bool) -> Seen {
    let mut config = load(RULES);
    config.ports[2].mtu = 600;
    let mut site = Site::build(&config, |_| true, true, headers);
    if !by_run {
        site.control.breakers.set_port(0, BreakerState::Open);
    }
    let outputs = site.plan.outputs.len();
    let (mut sent, mut ledgers) = (vec![Vec::new(); outputs], Vec::new());
    let mut count = 0;
    for burst in bursts {
        for &(kind, long) in burst {
            let frame = numbered(frame(kind), count);
            let fill = if long { vec![0x5a; 700] } else { Vec::new() };
            site.push(&frame.with(|f| f.payload = [fill, std::mem::take(&mut f.payload)].concat()));
            count += 1;
        }
        ledgers.push(site.turns(8));
        for port in [1, 2] {
            for copy in site.sent(port) {
                sent[copy.meta().output as usize].push(copy.bytes());
            }
        }
    }
    let counted = (site.counters.outputs.iter())
        .map(|o| [o.copies.get(), o.sent.get(), o.bytes.get(), o.dropped().iter().sum()])
        .collect();
    site.finish();
    (sent, ledgers, counted)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_run_is_copied_as_its_packets_would_be(
        bursts in prop::collection::vec(
            prop::collection::vec((0_u8..26, prop::bool::weighted(0.1)), 1..100), 1..6),
    ) {
        let (runs, singles) = (play(&bursts, 10_000, true), play(&bursts, 10_000, false));
        prop_assert_eq!(runs.1, singles.1);
        prop_assert_eq!(runs.2, singles.2);
        prop_assert_eq!(runs.0, singles.0);
    }
}

#[test]
fn headers_that_run_out_are_missed_by_all_outputs_alike() {
    let mut site = Site::build(&load(RULES), |_| true, true, 40);
    (0..32).for_each(|n| site.push(&numbered(v4(), n)));
    [1, 2].into_iter().for_each(|port| site.tx[port].allow(0));
    site.turns(1);
    let waiting = |output| output_waiting(&[&site.counters], output);
    let copies: Vec<_> = (0..3).map(waiting).collect();
    assert_eq!(copies.iter().sum::<u64>(), 40);
    assert!(copies.iter().all(|&waiting| waiting >= 13), "{copies:?}");
    [1, 2].into_iter().for_each(|port| site.tx[port].allow(usize::MAX));
    site.turns(1);
    assert_eq!(site.sent(2).iter().map(number).collect::<Vec<_>>(), (0..13).collect::<Vec<_>>());
    site.finish();
}

#[test]
fn a_run_uses_the_headers_that_are_kept_at_hand() {
    // As many headers as one packet by itself takes into the stock, and one more.
    let mut site = Site::build(&load(FAN_OUT), |_| true, true, 33);
    site.control.breakers.set_port(0, BreakerState::Open);
    site.push(&v4());
    site.turns(1);
    [1, 2].into_iter().for_each(|port| drop(site.sent(port)));
    site.control.breakers.set_port(0, BreakerState::Closed);
    (0..10).for_each(|n| site.push(&numbered(v4(), n)));
    site.turns(1);
    assert_eq!([1, 2].map(|port| site.sent(port).len()), [20, 10]);
    assert_eq!(site.finish().dropped_after, [0; DropReason::COUNT]);
}

/// A pool that another worker empties between the question and the answer.
struct Emptied {
    pool: HeapPool,
    gives: usize,
}

impl PacketPool for Emptied {
    type Packet = HeapPacket;

    fn take<const N: usize>(&mut self, into: &mut ArrayVec<HeapPacket, N>, count: usize) -> usize {
        let given = self.pool.take(into, count.min(self.gives));
        self.gives -= given;
        given
    }

    fn available(&self) -> usize {
        self.pool.available()
    }
}

#[derive(Default)]
struct Copies(Vec<HeapPacket>);

impl Egress<HeapPacket> for Copies {
    fn take(&mut self, _: u32, copies: &mut Burst<HeapPacket>, _: &Plan, _: &mut Tally) {
        self.0.extend(copies.drain(..));
    }
}

#[test]
fn a_run_whose_headers_another_worker_has_taken_misses_those_copies_alone() {
    let site = Site::new(FAN_OUT);
    let plan = &site.plan;
    let mut tally = Tally::new(Arc::clone(&site.counters));
    let mut burst: Burst<_> = (0..10)
        .map(|n| site.payload.adopt(HeapFrame::new(&[&numbered(v4(), n).bytes()])))
        .collect();
    Parse::default().inspect(&mut burst, plan, &mut tally);
    let (mut flows, ingress) = (Flows::new(plan), IngressDrr::new(plan));
    Classify.inspect(&mut burst, plan, &mut flows, &ingress, 0, &mut tally);
    let headers = Emptied { pool: site.headers.share(), gives: 14 };
    let mut stage = Fanout::new(headers, vec![], plan, &site.control.breakers);
    let mut copies = Copies::default();
    stage.replicate(&mut burst, plan, &mut copies, &mut tally);
    let sent = |output: u32| copies.0.iter().filter(move |copy| copy.meta().output == output);
    assert_eq!([0, 1, 2].map(|output| sent(output).count()), [10, 4, 0]);
    assert!((0..2).all(|output| sent(output).map(number).is_sorted()));
    let missing = [0, 1, 2].map(|output| site.dropped_after(output, DropReason::HeaderAlloc));
    assert_eq!(missing, [0, 6, 10]);
    assert_eq!((tally.ledger.copies, copies.0.len()), (30, 14));
    drop((copies, stage));
    assert_eq!((site.payload.in_use(), site.headers.in_use()), (0, 0), "nothing leaks");
}
