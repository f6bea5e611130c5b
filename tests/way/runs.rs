//! Packets that are copied by the run get what they would get one by one.

use proptest::prelude::*;
use punctual::ledger::Ledger;
use punctual::ledger::output_waiting;
use punctual::packet::Packet;
use punctual::stages::BreakerState;

use crate::frames::{Frame, v4, v6};
use crate::site::{Site, load, number, numbered};

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
