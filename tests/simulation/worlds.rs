//! The world itself: loads, wires, costs and rings are what they claim to be.

use punctual::packet::DropReason;
use punctual::simulate::Outcome;

use super::harness::{Feed, Site, mbps};

const ONE: &str = r#"
    [[rule]]
    name = "feed"
    input = { port = "in", destination = "239.1.1.0/24", udp_port = 5001 }
    output = [{ port = "a" }]
"#;

#[test]
fn what_fits_is_sent_at_once_and_on_time() {
    let outcome = Site::new(ONE).cpu(60, 50).feed(Feed::of("feed").rate("1Gbps")).ms(20).run();
    let output = outcome.output("feed", "a/keep").unwrap();
    assert!(output.offered > 5_000);
    assert_eq!((output.sent, output.on_time), (output.offered, output.offered));
    // A packet's own work is 110 ns; now and then a few come together.
    assert!((110..200).contains(&output.residence.min()), "{}", output.residence.min());
    assert!(output.residence_at(0.99) < 2_000, "{}", output.residence_at(0.99));
    assert!((mbps(&output.bytes_by_slice) - 1_000.0).abs() < 100.0);
}

#[test]
fn a_wire_carries_its_rate_and_not_more() {
    let outcome = Site::new(ONE).link("a", "1Gbps").feed(Feed::of("feed").times(2.0, "a"));
    let outcome = outcome.ms(50).run();
    let output = outcome.output("feed", "a/keep").unwrap();
    assert!((mbps(&output.bytes_by_slice[10..50]) - 1_000.0).abs() < 5.0);
    assert!(output.dropped_for(DropReason::EgressFull) > output.offered / 3);
    // The last second's ring and queue leave behind the traffic.
    assert!(outcome.elapsed > outcome.span);
}

#[test]
fn a_cpu_carries_its_rate_and_not_more() {
    // 1 us and 1 us: 500,000 packets a second, of 64 bytes (102 with all that is around them).
    let feed = Feed::of("feed").rate("816Mbps").sizes(&[64]).constant();
    let outcome = Site::new(ONE).cpu(1_000, 1_000).feed(feed).ms(50).run();
    let output = outcome.output("feed", "a/keep").unwrap();
    let rate = mbps(&output.bytes_by_slice[10..50]) / 0.816;
    assert!((450.0..505.0).contains(&rate), "{rate} thousand a second");
    assert!(outcome.ports[0].rx.missed > 0, "the ring overflows");
    assert!(outcome.busy > outcome.span * 9 / 10);
}

#[test]
fn a_shaper_holds_a_port_below_its_wire() {
    let site = Site::new(ONE).shaped("a", "500Mbps", "16KiB").feed(Feed::of("feed").rate("1Gbps"));
    let outcome = site.ms(50).run();
    let output = outcome.output("feed", "a/keep").unwrap();
    let rate = mbps(&output.bytes_by_slice[5..50]);
    assert!((495.0..505.0).contains(&rate), "{rate}");
    assert!(output.dropped_for(DropReason::EgressFull) > 0);
}

#[test]
fn the_same_seed_is_the_same_run() {
    let run = |seed| {
        let feed = Feed::of("feed").rate("2Gbps");
        let outcome = Site::new(ONE).cpu(60, 50).feed(feed).ms(10).seed(seed).run();
        (outcome.report.to_json(), outcome.outputs[0].bytes_by_slice.clone(), outcome.elapsed)
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

#[test]
fn what_must_not_be_is_a_defect() {
    let outcome = Site::new(ONE).feed(Feed::of("feed")).ms(1).run();
    let disturb: [fn(&mut Outcome); 4] = [
        |outcome| outcome.report.ledger.residual = 1,
        |outcome| outcome.reordered = 1,
        |outcome| outcome.leaked = 1,
        |outcome| outcome.unaccounted = 1,
    ];
    for disturb in disturb {
        let mut outcome = outcome.clone();
        disturb(&mut outcome);
        assert!(outcome.defect().is_some_and(|defect| defect.starts_with("1 ")));
    }
}
