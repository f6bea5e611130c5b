//! A port that takes nothing, and a receiver that is gone: what that costs, whom, and for how long.

use punctual::manage::breaker::{Change, Of, Reason};
use punctual::packet::DropReason;
use punctual::simulate::Outcome;
use punctual::stages::BreakerState;

use super::harness::{Feed, MS, PORTS, Site, mbps};

/// A port is given up after 100 ms, by management's tick of 1 ms.
const GIVEN_UP: u64 = 100 * MS + MS;
/// What the worker needs for the most that a turn serves here, in nanoseconds: one packet to three
/// ports, 64 times.
const TURN: u64 = 64 * (60 + 3 * 50);
/// Buffers of each pool where it matters.
const BUFFERS: u64 = 2_048;
/// Header buffers that fan-out keeps at hand.
const STOCK: u64 = 256;

/// A feed to all ports, whose queues are longer than memory, and one to `b` alone.
fn shared() -> Site {
    let queue = "queue = { packets = 65536, bytes = \"1GiB\" }";
    let site = Site::new(&format!(
        r#"
        [memory]
        packets = {BUFFERS}
        headers = {BUFFERS}
        [[rule]]
        name = "all"
        input = {{ port = "in", destination = "239.1.1.0/24", udp_port = 5001 }}
        output = [{{ port = "a", {queue} }}, {{ port = "b", {queue} }}, {{ port = "c" }}]
        [[rule]]
        name = "b"
        class = "high"
        input = {{ port = "in", destination = "239.1.2.0/24", udp_port = 5001 }}
        output = [{{ port = "b" }}]
        "#
    ));
    let feed = |rule, rate| Feed::of(rule).rate(rate).sizes(&[1_400]);
    site.cpu(60, 50).feed(feed("all", "400Mbps")).feed(feed("b", "100Mbps"))
}

/// Nanoseconds from `from` until the breaker of port `slot` enters `state`.
fn until(outcome: &Outcome, slot: usize, state: BreakerState, from: u64) -> u64 {
    let of = Of::Port(slot);
    let found = outcome.breakers.iter().find(|b| b.at >= from && b.of == of && b.state == state);
    found.map_or(u64::MAX, |found| found.at - from)
}

/// One of three ports takes nothing for 190 ms; neither the CPU nor another link is overloaded.
/// It pins at most half of the memory and nothing once its breaker is open, which is after 100 ms
/// and a tick. The other ports lose nothing, and their p99 moves by at most 10 % or one turn.
#[test]
fn a_port_that_takes_nothing_costs_itself_alone() {
    let calm = shared().ms(260).run();
    for shaped in [false, true] {
        let site = if shaped { shared().shaped("a", "1Gbps", "16KiB") } else { shared() };
        let outcome = site.fault("tx-refuses:a@10ms+190ms").ms(260).run();
        let opened = 10 * MS + until(&outcome, 1, BreakerState::Open, 10 * MS);
        assert!(opened <= 10 * MS + GIVEN_UP, "{opened}");
        let told: Vec<_> = outcome.alerts.iter().map(|alert| alert.change).collect();
        assert_eq!(told[0], Change::Opened(Reason::Refused));
        assert!(matches!(told[1..], [Change::Closed(_)]), "{told:?}");

        let opened = (opened / MS) as usize + 1;
        for (pool, stock) in outcome.in_use.iter().zip([0, STOCK]) {
            let pinned = |ms: std::ops::Range<usize>| *pool[ms].iter().max().unwrap();
            // What a burst brings behind the last look at the pools, and what is on the wires.
            assert!(pinned(0..opened) <= BUFFERS / 2 + stock + 64, "{}", pinned(0..opened));
            assert!(pinned(opened - 10..opened) > BUFFERS / 3, "it is about half that is pinned");
            assert!(pinned(opened + 1..200) <= stock + 64, "{}", pinned(opened + 1..200));
        }
        let a = &outcome.outputs[0];
        let given_up = a.dropped_for(DropReason::BreakerOpen);
        let rest = a.sent + a.dropped_for(DropReason::EgressFull);
        assert_eq!(a.offered, rest + given_up, "{:?}", a.dropped);
        for (output, before) in outcome.outputs.iter().zip(&calm.outputs).skip(1) {
            assert_eq!((output.sent, output.late_sent), (output.offered, 0));
            let (p99, was) = (output.residence_at(0.99), before.residence_at(0.99));
            assert!(p99 <= (was + was / 10).max(was + TURN), "{p99} ns, was {was}");
        }
    }
}

/// The CPU is overloaded, with four of five copies for a port that takes nothing: once its breaker
/// is open no copy is made for it, and the fifth has the CPU for itself.
#[test]
fn no_copy_is_made_for_a_port_that_is_given_up() {
    let groups: String =
        (2..6).map(|i| format!(r#"{{ port = "a", destination = "239.{i}.0.0/24" }},"#)).collect();
    let site = Site::new(&format!(
        r#"
        [[rule]]
        name = "all"
        input = {{ port = "in", destination = "239.1.1.0/24", udp_port = 5001 }}
        output = [{groups} {{ port = "b" }}]
        "#
    ));
    // 51 us a packet with all copies, 11 us with one: 20 and 90 thousand a second of 1,446 bytes,
    // 227 and 1,051 Mbit/s.
    let feed = Feed::of("all").rate("600Mbps").sizes(&[1_400]).constant();
    let outcome = site.cpu(1_000, 10_000).feed(feed).fault("tx-refuses:a@0ms+200ms").ms(200).run();
    let opened = (until(&outcome, 1, BreakerState::Open, 0) / MS) as usize;
    assert!(opened <= (GIVEN_UP / MS) as usize, "{opened}");
    let b = &outcome.outputs[4].bytes_by_slice;
    let (before, after) = (mbps(&b[10..opened - 1]), mbps(&b[opened + 60..190]));
    assert!((215.0..230.0).contains(&before), "{before}");
    assert!((590.0..610.0).contains(&after), "{after}");
}

/// A port comes back after any time: its breaker closes, and it has its full rate, within one
/// backoff of at most 1 s and 10 ms for probes, and two ticks.
#[test]
fn a_port_that_comes_back_has_its_full_rate_within_a_backoff() {
    for (length, backoff) in [(150, 100), (350, 200), (1_700, 1_000), (2_200, 1_000)] {
        let rules = r#"
            [[rule]]
            name = "all"
            input = { port = "in", destination = "239.1.1.0/24", udp_port = 5001 }
            output = [{ port = "a" }, { port = "b" }]
        "#;
        let feed = Feed::of("all").rate("10Mbps").sizes(&[300]).constant();
        let end = 10 + length;
        let site = Site::new(rules).feed(feed).fault(&format!("tx-refuses:a@10ms+{length}ms"));
        let outcome = site.ms(end + backoff + 100).run();
        let closed = until(&outcome, 1, BreakerState::Closed, end * MS);
        assert!(closed <= (backoff + 10 + 2) * MS, "{length}: {closed}");
        let full = (end + backoff + 13) as usize;
        let [a, b] =
            [0, 1].map(|slot| mbps(&outcome.outputs[slot].bytes_by_slice[full..full + 80]));
        assert!(a > 0.99 * b && b > 9.0, "{length}: {a} {b}");
        // Failed probes are not told again.
        assert_eq!(outcome.alerts.len(), 2, "{:?}", outcome.alerts);
        let [a, b] = [0, 1].map(|slot| &outcome.outputs[slot]);
        assert_eq!((b.sent, a.offered), (b.offered, a.sent + a.dropped.iter().sum::<u64>()));
    }
}

/// A host that takes part in 200 rules dies: one breaker, one alert, and its copies only.
#[test]
fn a_receiver_that_dies_in_200_rules_is_one_breaker_and_one_alert() {
    let rule = |i: usize| {
        format!(
            r#"
            [[rule]]
            name = "r{i}"
            input = {{ port = "in", destination = "239.1.1.{i}", udp_port = 5001 }}
            output = [
                {{ receiver = "desk", destination = "10.0.0.77", udp_port = {} }},
                {{ receiver = "other", destination = "10.0.0.78", udp_port = {} }},
                {{ port = "b" }},
            ]
            "#,
            6_000 + i,
            6_000 + i
        )
    };
    let receiver = |name| {
        format!("[[receiver]]\nname = \"{name}\"\nport = \"a\"\nmac = \"02:00:00:00:00:07\"\n")
    };
    let rules: String = (0..200).map(|i| rule(i + 1)).collect();
    let text = format!("{PORTS}{}{}{rules}", receiver("desk"), receiver("other"));
    let site = (0..200).fold(Site::whole(&text), |site, i| {
        site.feed(Feed::of(&format!("r{}", i + 1)).rate("200kbps").sizes(&[200]))
    });
    let outcome = site.fault("receiver-dies:desk@20ms+150ms").ms(450).run();
    let told: Vec<_> = outcome.alerts.iter().map(|alert| (alert.of, alert.change)).collect();
    assert_eq!(told[0], (Of::Receiver(0), Change::Opened(Reason::Unreachable)));
    assert!(matches!(told[1..], [(Of::Receiver(0), Change::Closed(_))]), "{told:?}");
    assert!(outcome.alerts[0].at <= 22 * MS, "{:?}", outcome.alerts);
    for outputs in outcome.outputs.chunks(3) {
        let [desk, other, b] = outputs else { unreachable!() };
        let lost = desk.dropped_for(DropReason::BreakerOpen);
        assert_eq!(desk.sent + lost, desk.offered);
        assert!(lost > 0, "it was given up in every rule");
        assert_eq!((other.sent, b.sent), (other.offered, b.offered));
    }
}
