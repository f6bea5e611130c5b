//! Each fault does what its name says, to its place alone, and loses nothing unseen: the harness
//! checks ledger, order and pools in every case.

use punctual::packet::DropReason;
use punctual::simulate::Outcome;
use punctual::stages::BreakerState;
use punctual::testkit::fault::FaultKind;

use super::harness::{Feed, Site};

/// Two feeds to two ports each, one with a receiver of its own.
const TWO: &str = r#"
    receiver = [{ name = "desk", port = "c" }]
    [[rule]]
    name = "high"
    class = "high"
    input = { port = "in", destination = "239.1.1.0/24", udp_port = 5001 }
    output = [{ port = "a" }, { port = "b" }, { receiver = "desk" }]
    [[rule]]
    name = "low"
    class = "low"
    flow = "source"
    input = { port = "in", destination = "239.1.2.0/24", udp_port = "5000-5009" }
    output = [{ port = "a" }, { port = "b" }]
"#;

fn site() -> Site {
    // Receivers come before the first table, as TOML wants it.
    let ports = super::harness::PORTS.replacen("schema = 1", "", 1);
    let (receivers, rules) = TWO.split_at(TWO.find("[[rule]]").unwrap());
    Site::whole(&format!("schema = 1\n{receivers}\n{ports}\n{rules}"))
        .cpu(60, 50)
        .feed(Feed::of("high").rate("1Gbps"))
        .feed(Feed::of("low").rate("1Gbps"))
        .ms(60)
}

fn bytes(outcome: &Outcome, output: usize, ms: std::ops::Range<usize>) -> u64 {
    let slices = &outcome.outputs[output].bytes_by_slice;
    slices[ms.start.min(slices.len())..ms.end.min(slices.len())].iter().sum()
}

#[test]
fn without_a_fault_all_is_sent() {
    let outcome = site().run();
    assert!(outcome.outputs.iter().all(|o| o.sent == o.offered && o.sent > 1_000));
    assert!(outcome.breakers.is_empty());
}

#[test]
fn nothing_arrives_in_a_gap() {
    let outcome = site().fault("rx-gap:in@10ms+20ms").run();
    assert!(outcome.ports[0].rx.withheld > 1_000);
    assert_eq!(bytes(&outcome, 0, 11..30), 0);
    assert!(bytes(&outcome, 0, 30..32) > 0);
    assert!(outcome.outputs.iter().all(|o| o.sent == o.offered));
}

#[test]
fn a_port_that_refuses_delays_no_other() {
    let outcome = site().fault("tx-refuses:a@10ms+20ms").run();
    assert_eq!(bytes(&outcome, 0, 11..30), 0);
    let [a, b] = [0, 1].map(|output| &outcome.outputs[output]);
    assert!(a.dropped_for(DropReason::EgressFull) > 0, "{:?}", a.dropped);
    assert!(a.residence.max() > 10_000_000, "{}", a.residence.max());
    assert_eq!((b.sent, b.late_sent), (b.offered, 0));
}

#[test]
fn a_port_that_takes_a_part_gets_all_in_the_end() {
    let outcome = site().fault("tx-partial:a@10ms+20ms").run();
    let refused = outcome.report.ports.iter().find(|port| port.name == "a").unwrap();
    assert_eq!(refused.sent, outcome.outputs[0].offered + outcome.outputs[3].offered);
    let [a, b] = [0, 1].map(|output| outcome.outputs[output].residence_at(0.99));
    assert!(a > b, "{a} {b}");
}

#[test]
fn a_pool_that_gives_nothing_is_counted_where_it_is_missed() {
    let outcome = site().fault("alloc-fails:payload@10ms+20ms").run();
    let rx = outcome.ports[0].rx;
    assert!(rx.no_mbuf > 1_000);
    assert!(outcome.rules.iter().all(|rule| rule.offered.no_mbuf > 0));
    let outcome = site().fault("alloc-fails:headers@10ms+20ms").run();
    assert!(outcome.outputs.iter().all(|o| o.dropped_for(DropReason::HeaderAlloc) > 100));
    assert_eq!(outcome.ports[0].rx.no_mbuf, 0);
}

#[test]
fn a_stalled_worker_misses_what_its_ring_does_not_hold() {
    let outcome = site().fault("worker-stalls@10ms+20ms").run();
    assert!(outcome.ports[0].rx.missed > 1_000);
    assert_eq!(bytes(&outcome, 0, 11..30), 0);
    // The wait in the ring is not seen by the worker; what it took itself is.
    assert!(outcome.outputs[0].late_sent == 0);
}

#[test]
fn a_clock_that_jumps_or_stands_loses_nothing() {
    for fault in ["clock-jumps@10ms+3s", "clock-stands@10ms+20ms", "clock-jumps@10ms+20000s"] {
        let outcome = site().fault(fault).run();
        assert!(outcome.outputs.iter().all(|o| o.sent == o.offered), "{fault}");
    }
    let outcome = site().fault("clock-stands@10ms+20ms").run();
    assert!(outcome.outputs[0].residence.min() == 0);
}

#[test]
fn a_link_that_is_down_opens_its_breaker_until_it_is_up() {
    let outcome = site().fault("link-down:a@10ms+20ms").run();
    assert!(outcome.outputs[0].dropped_for(DropReason::BreakerOpen) > 1_000);
    assert_eq!(outcome.outputs[1].sent, outcome.outputs[1].offered);
    let states: Vec<_> = outcome.breakers.iter().map(|b| (b.at / 1_000_000, b.state)).collect();
    assert_eq!(states, [(10, BreakerState::Open), (30, BreakerState::Closed)]);
}

#[test]
fn a_link_that_flaps_opens_and_closes_each_time() {
    let outcome = site().fault("link-flaps:a@10ms+40ms").run();
    let opened = outcome.breakers.iter().filter(|b| b.state == BreakerState::Open).count();
    assert_eq!((opened, outcome.breakers.len()), (8, 16));
    assert_eq!(outcome.outputs[1].sent, outcome.outputs[1].offered);
}

#[test]
fn a_stop_under_load_drains() {
    let outcome = site().fault("stop@10ms").run();
    assert!(outcome.elapsed < 20_000_000, "{}", outcome.elapsed);
    assert!(outcome.report.ledger.dropped_after.is_empty());
    assert!(bytes(&outcome, 0, 0..10) > 0);
}

#[test]
fn a_stop_gives_up_what_nobody_takes() {
    let outcome = site().fault("tx-refuses:a@5ms+50000ms").fault("stop@10ms+2ms").run();
    assert!(outcome.outputs[0].dropped_for(DropReason::Stopped) > 0);
    assert!((12_000_000..13_000_000).contains(&outcome.elapsed), "{}", outcome.elapsed);
}

#[test]
fn a_dead_receiver_is_given_up_alone() {
    let outcome = site().fault("receiver-dies:desk@10ms+30ms").run();
    let desk = &outcome.outputs[2];
    assert!(desk.dropped_for(DropReason::BreakerOpen) > 1_000);
    let rest = [0, 1, 3, 4].map(|output| &outcome.outputs[output]);
    assert!(rest.iter().all(|o| o.sent == o.offered));
    assert_eq!(outcome.breakers[0].state, BreakerState::Open);
}

/// Every kind at a place and time of its own, by many seeds.
#[test]
fn faults_by_seed_lose_nothing_unseen() {
    for seed in 0..4 {
        for kind in FaultKind::ALL {
            let outcome = site().ms(12).seed(seed).fault(kind.name()).run();
            assert!(outcome.outputs.iter().any(|o| o.sent > 0), "{} {seed}", kind.name());
        }
        let mut all = site().ms(20).seed(seed);
        for kind in FaultKind::ALL.iter().filter(|kind| **kind != FaultKind::Stop) {
            all = all.fault(kind.name());
        }
        all.run();
    }
}
