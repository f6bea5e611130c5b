//! One thing goes wrong at a time: what that costs, and that all is well soon after.

use punctual::manage::breaker::{Change, Reason};
use punctual::packet::DropReason;
use punctual::simulate::{Outcome, OutputOutcome};
use punctual::stages::BreakerState;
use punctual::testkit::traffic::Pattern;

use super::harness::{Feed, MS, Site, mbps};

/// What the worker needs for the most that a turn serves here, in nanoseconds: one packet to two
/// ports, 64 times.
const TURN: u64 = 64 * (60 + 2 * 50);

/// A feed to two ports that drops what is late, one that has much time, and one that sends it.
const RULES: &str = r#"
    [[rule]]
    name = "soon"
    class = "high"
    budget = "1200us"
    late = "drop"
    input = { port = "in", destination = "239.1.1.0/24", udp_port = 5001 }
    output = [{ port = "a" }, { port = "b" }]
    [[rule]]
    name = "patient"
    class = "low"
    budget = "300ms"
    late = "drop"
    input = { port = "in", destination = "239.1.2.0/24", udp_port = 5001 }
    output = [{ port = "a" }]
    [[rule]]
    name = "any"
    input = { port = "in", destination = "239.1.3.0/24", udp_port = 5001 }
    output = [{ port = "b" }]
"#;

/// Every millisecond all that is due comes at once, and `a`, shaped, needs most of it for that.
fn site() -> Site {
    let together = Pattern::Together { period: MS, peak: 10_000_000_000 };
    let feed = |rule, rate| Feed::of(rule).rate(rate).sizes(&[1_000]).pattern(together);
    Site::new(RULES)
        .cpu(60, 50)
        .shaped("a", "400Mbps", "4KiB")
        .feed(feed("soon", "100Mbps"))
        .feed(feed("patient", "200Mbps"))
        .feed(feed("any", "100Mbps"))
}

fn outputs(outcome: &Outcome) -> [&OutputOutcome; 4] {
    [("soon", "a"), ("soon", "b"), ("patient", "a"), ("any", "b")]
        .map(|(rule, port)| outcome.output(rule, &format!("{port}/keep")).unwrap())
}

/// Without a fault nothing is lost and nothing late: what is below comes from the faults.
#[test]
fn without_a_fault_all_is_in_time() {
    let outcome = site().ms(40).run();
    assert!(outputs(&outcome).iter().all(|o| o.sent == o.offered && o.late_sent == 0));
}

/// The worker's clock jumps forward by 10 ms, or by three hours, where copies wait for `a`: those
/// whose deadline has passed by it are dropped where the rule says so, and nothing else is lost, now
/// or later.
#[test]
fn a_clock_that_jumps_costs_what_is_late_by_it_alone() {
    // 26 packets of this feed come at a time.
    let (at, bundle) = (20_050, 13);
    for (length, patience) in [("10ms", true), ("10000s", false)] {
        let outcome = site().fault(&format!("clock-jumps@{at}us+{length}")).ms(40).run();
        let [soon_a, soon_b, patient, any] = outputs(&outcome);
        let late = |output: &OutputOutcome| output.dropped_for(DropReason::EgressLate);
        assert!((1..=bundle).contains(&late(soon_a)), "{}", late(soon_a));
        // In 300 ms no copy of this one is late; in three hours those are that wait.
        assert_eq!(late(patient) == 0, patience, "{}", late(patient));
        assert!(late(patient) <= 2 * bundle);
        assert_eq!(soon_a.sent + late(soon_a), soon_a.offered, "{:?}", soon_a.dropped);
        assert_eq!(patient.sent + late(patient), patient.offered, "{:?}", patient.dropped);
        assert_eq!((soon_b.sent, any.sent), (soon_b.offered, any.offered));
        // What came behind the jump is in time.
        assert!(soon_a.late_sent + soon_b.late_sent == 0);
    }
}

/// The worker's clock stands still for 10 ms: ports without a shaper send all the time, a shaper
/// gives its burst and then waits; when the clock goes on nothing is stuck, and what has not become
/// late is sent.
#[test]
fn nothing_is_stuck_when_the_clock_has_stood_still() {
    let outcome = site().fault("clock-stands@20ms+10ms").ms(60).run();
    let [soon_a, soon_b, patient, any] = outputs(&outcome);
    assert_eq!((soon_b.sent, any.sent), (soon_b.offered, any.offered));
    assert_eq!(patient.sent, patient.offered, "{:?}", patient.dropped);
    let late = soon_a.dropped_for(DropReason::EgressLate);
    assert_eq!(soon_a.sent + late, soon_a.offered, "{:?}", soon_a.dropped);
    assert!(late > 0);
    let stood = mbps(&soon_a.bytes_by_slice[21..29]) + mbps(&patient.bytes_by_slice[21..29]);
    assert!(stood == 0.0, "{stood}: credit is time");
    // The shaper sends at its rate until the backlog is gone.
    let after = mbps(&soon_a.bytes_by_slice[31..37]) + mbps(&patient.bytes_by_slice[31..37]);
    assert!((396.0..404.0).contains(&after), "{after}");
    assert!((99.0..101.0).contains(&mbps(&soon_a.bytes_by_slice[50..60])));
}

/// The worker takes no turn for 20 ms: the port's ring keeps 1,024 frames, the rest is `missed`, and
/// nothing else is lost; the rate is back at once.
#[test]
fn a_stalled_worker_costs_what_its_ring_does_not_hold() {
    let rules = r#"
        [[rule]]
        name = "feed"
        class = "high"
        late = "drop"
        input = { port = "in", destination = "239.1.1.0/24", udp_port = 5001 }
        output = [{ port = "a" }, { port = "b" }]
    "#;
    let feed = Feed::of("feed").rate("800Mbps").sizes(&[962]).constant();
    let outcome =
        Site::new(rules).cpu(60, 50).feed(feed).fault("worker-stalls@20ms+20ms").ms(60).run();
    // 100 in a millisecond.
    let missed = outcome.ports[0].rx.missed;
    assert!(missed.abs_diff(2_000 - 1_024) <= 2, "{missed}");
    for output in &outcome.outputs {
        assert_eq!((output.sent + missed, output.late_sent), (output.offered, 0));
        assert_eq!(mbps(&output.bytes_by_slice[21..40]), 0.0);
        assert!((792.0..808.0).contains(&mbps(&output.bytes_by_slice[42..60])));
    }
}

/// Nothing arrives for 10 ms, at one of two inputs: the other notices nothing, and all that arrives
/// is sent in time.
#[test]
fn a_gap_at_one_input_is_not_noticed_at_the_other() {
    let rules = r#"
        [[rule]]
        name = "one"
        input = { port = "in", destination = "239.1.1.0/24", udp_port = 5001 }
        output = [{ port = "a" }]
        [[rule]]
        name = "two"
        input = { port = "c", destination = "239.1.2.0/24", udp_port = 5001 }
        output = [{ port = "b" }]
    "#;
    let feed = |rule| Feed::of(rule).rate("300Mbps").sizes(&[700]);
    let site = || Site::new(rules).cpu(60, 50).feed(feed("one")).feed(feed("two")).ms(40);
    let (calm, outcome) = (site().run(), site().fault("rx-gap:in@10ms+10ms").run());
    assert!(outcome.ports[0].rx.withheld > 400);
    assert!(outcome.outputs.iter().all(|o| o.sent == o.offered && o.late_sent == 0));
    assert_eq!(mbps(&outcome.outputs[0].bytes_by_slice[11..20]), 0.0);
    let [was, is] = [&calm, &outcome].map(|outcome| &outcome.outputs[1]);
    assert_eq!((is.offered, is.sent), (was.offered, was.sent));
    assert!(is.residence_at(0.99) <= was.residence_at(0.99) + TURN);
}

/// A link goes down and up 100 times: 1.2 ms each, which is longer than a tick: its breaker follows and each change is told once;
/// the other ports lose nothing, and their p99 moves by at most 10 % or one turn; in the end it has
/// its full rate and nothing is left behind.
#[test]
fn a_link_that_flaps_100_times_costs_its_own_copies_only() {
    let (calm, mut flaps) = (site().ms(280).run(), site().ms(280));
    for flap in 0..100 {
        flaps = flaps.fault(&format!("link-down:a@{}us+1200us", 10_000 + flap * 2_400));
    }
    let outcome = flaps.run();
    let opened = outcome.alerts.iter().filter(|a| a.change == Change::Opened(Reason::LinkDown));
    assert_eq!((opened.count(), outcome.alerts.len()), (100, 200));
    assert_eq!(outcome.breakers.last().unwrap().state, BreakerState::Closed);
    for (output, before) in outputs(&outcome).into_iter().zip(outputs(&calm)) {
        if output.port != 1 {
            assert_eq!((output.sent, output.late_sent), (output.offered, 0));
            let (p99, was) = (output.residence_at(0.99), before.residence_at(0.99));
            assert!(p99 <= (was + was / 10).max(was + TURN), "{p99} ns, was {was}");
            continue;
        }
        let given_up = output.dropped_for(DropReason::BreakerOpen);
        let late = output.dropped_for(DropReason::EgressLate);
        assert_eq!(output.sent + given_up + late, output.offered, "{:?}", output.dropped);
        assert!(given_up > 0);
        let [after, was] = [output, before].map(|o| mbps(&o.bytes_by_slice[252..280]));
        assert!((after / was - 1.0).abs() < 0.01, "{after} {was}");
    }
}

/// Stopped under load, while copies wait for `a`: all that was received is sent, at once.
#[test]
fn a_stop_drains_what_was_received() {
    let outcome = site().fault("stop@20050us").ms(40).run();
    assert!(outcome.elapsed < 22 * MS, "{}", outcome.elapsed);
    assert!(outcome.report.ledger.dropped_after.is_empty(), "{:?}", outcome.report.ledger);
    assert!(outcome.outputs.iter().all(|o| o.sent == o.copies && o.sent > 0));
}

/// Stopped with a backlog that takes more than 5 s: what waits then is `stopped`, all else was sent.
/// With one of 2 s all is sent. With a port that takes nothing it ends when that is given up.
#[test]
fn a_drain_has_an_end() {
    let rules = r#"
        [[rule]]
        name = "feed"
        input = { port = "in", destination = "239.1.1.0/24", udp_port = 5001 }
        output = [{ port = "a" }, { port = "b" }]
    "#;
    let run = |rate: &str, fault: &str| {
        let feed = Feed::of("feed").rate("200Mbps").sizes(&[1_000]);
        let site = Site::new(rules).cpu(60, 50).feed(feed).shaped("a", rate, "4KiB").ms(60);
        let site = if fault.is_empty() { site } else { site.fault(fault) };
        site.fault("stop@50ms").run()
    };
    // A thousand and some packets of 1,038 bytes: 8.5 Mbit.
    let outcome = run("1Mbps", "");
    assert_eq!(outcome.elapsed / MS, 5_050);
    let [a, b] = [0, 1].map(|slot| &outcome.outputs[slot]);
    let (stopped, full) = (DropReason::Stopped, DropReason::EgressFull);
    assert_eq!(a.copies, a.sent + a.dropped_for(stopped) + a.dropped_for(full));
    assert!(a.dropped_for(stopped) > 300 && a.sent > 500, "{:?} {}", a.dropped, a.sent);
    assert_eq!(b.sent, b.copies);

    let outcome = run("4Mbps", "");
    assert!((1_500..2_500).contains(&(outcome.elapsed / MS)), "{}", outcome.elapsed);
    assert_eq!(outcome.outputs[0].dropped_for(stopped), 0);

    let outcome = run("400Mbps", "tx-refuses:a@20ms+60000ms");
    assert!(outcome.elapsed <= 20 * MS + 102 * MS, "{}", outcome.elapsed);
    assert!(outcome.outputs[0].dropped_for(DropReason::BreakerOpen) > 0);
    assert_eq!(outcome.outputs[0].dropped_for(stopped), 0);
}

/// A worker that takes no turn is told within 100 ms and a tick of management, and a shorter stall is
/// not; so is a feed that ends, within its window.
#[test]
fn a_stall_and_a_silence_are_alerts_in_time() {
    let rules = r#"
        [[rule]]
        name = "feed"
        expect = { min = "1kpps", within = "100ms" }
        input = { port = "in", destination = "239.1.1.0/24", udp_port = 5001 }
        output = [{ port = "a" }]
    "#;
    let site = || Site::new(rules).cpu(60, 50).feed(Feed::of("feed").rate("100Mbps"));
    let alerts = |outcome: &Outcome| -> Vec<(String, u64)> {
        let each = outcome.report.alerts.iter();
        each.map(|alert| (alert.kind.clone(), alert.since_ns)).collect()
    };
    assert_eq!(alerts(&site().ms(500).run()), [], "where nothing is wrong nothing is told");
    let short = site().fault("worker-stalls@20ms+99ms").ms(500).run();
    assert!(!alerts(&short).iter().any(|(kind, _)| kind == "stalled"), "{:?}", alerts(&short));
    let long = site().fault("worker-stalls@20ms+300ms").ms(500).run();
    let told = alerts(&long);
    let (_, at) = told.iter().find(|(kind, _)| kind == "stalled").expect("it is told");
    assert!((119 * MS..=121 * MS).contains(at), "{at}");

    let gap = site().fault("rx-gap:in@200ms+250ms").ms(500).run();
    let told = alerts(&gap);
    let (_, at) = told.iter().find(|(kind, _)| kind == "silent").expect("it is told");
    assert!((200 * MS..=301 * MS).contains(at), "{at}");
}
