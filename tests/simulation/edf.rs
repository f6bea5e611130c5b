//! Deadlines, where the CPU is what packets wait for.

use punctual::config::Class;
use punctual::packet::DropReason;
use punctual::simulate::Outcome;
use punctual::testkit::traffic::Pattern;

use super::harness::{Feed, MS, Site};

/// Nanoseconds a packet and a copy, and what a packet that is served costs an overloaded worker:
/// its own receipt, and that of another that is dropped.
const PACKET: u64 = 200;
const COPY: u64 = 1_500;
const SERVED: u64 = 2 * PACKET + COPY;

/// A rule a class; none shares a link with another. All but High drop late packets.
fn site(extra: &str) -> Site {
    let rule = |(class, port, late): (&str, &str, &str)| {
        format!(
            r#"
            [[rule]]
            name = "{class}"
            class = "{class}"
            late = "{late}"
            input = {{ port = "in", destination = "239.1.1.0/24", udp_port = {} }}
            output = [{{ port = "{port}" }}]
            "#,
            5_000 + class.len()
        )
    };
    let rules = [("high", "a", "send"), ("medium", "b", "drop"), ("low", "c", "drop")];
    Site::new(&format!("{}{extra}", rules.map(rule).concat())).cpu(PACKET, COPY)
}

/// Packets and copies of a rule's only output that were late, in whatever way it shows.
fn misses(outcome: &Outcome, rule: usize) -> u64 {
    let output = &outcome.outputs[rule];
    let before = outcome.rules[rule].dropped_for(DropReason::Late);
    before + output.dropped_for(DropReason::EgressLate) + output.late_sent
}

/// The CPU, at 0.9 of what it can serve: no packet is late or lost, however the traffic lies in
/// time, as long as what comes at once is worth less than the budget and fits the card's ring.
#[test]
fn nothing_misses_at_nine_tenths() {
    let patterns = [
        Pattern::Constant,
        Pattern::Poisson,
        Pattern::Bursts,
        Pattern::Together { period: MS / 4, peak: 10_000_000_000 },
        Pattern::Apart { period: MS / 4, peak: 10_000_000_000 },
    ];
    for pattern in patterns {
        for seed in 1..=3 {
            let mut site = site("").ms(20).seed(seed);
            for (class, share) in Class::ALL.into_iter().zip([0.3, 0.3, 0.3]) {
                let feed = Feed::of(class.name()).packets(share * 1e9 / (PACKET + COPY) as f64);
                site = site.feed(feed.pattern(pattern));
            }
            let outcome = site.run();
            for (rule, output) in outcome.outputs.iter().enumerate() {
                let all = (output.on_time, misses(&outcome, rule));
                assert_eq!(all, (output.offered, 0), "{pattern:?}, seed {seed}, rule {rule}");
                assert!(output.offered > 1_000, "{pattern:?}: {}", output.offered);
            }
        }
    }
}

/// The CPU, at 0.8 of what it can serve, busy for 1.4 ms with bursts of a rule that has 10 ms.
/// Another rule of the class has 400 us and misses nothing, for deadlines decide and not who came
/// first; it waits for a turn and a DRR round.
#[test]
fn a_short_budget_goes_before_a_long_one() {
    let rule = |(name, budget, udp_port): (&str, &str, u16)| {
        format!(
            r#"
            [[rule]]
            name = "{name}"
            budget = "{budget}"
            input = {{ port = "in", destination = "239.1.1.0/24", udp_port = {udp_port} }}
            output = [{{ port = "a" }}]
            "#
        )
    };
    let rules = [("urgent", "400us", 5_001), ("bulk", "10ms", 5_002)].map(rule).concat();
    let rate = |share: f64| share * 1e9 / (PACKET + COPY) as f64;
    let together = Pattern::Together { period: 2 * MS, peak: 10_000_000_000 };
    let outcome = Site::new(&rules)
        .cpu(PACKET, COPY)
        .feed(Feed::of("urgent").packets(rate(0.1)).sizes(&[64]))
        .feed(Feed::of("bulk").packets(rate(0.7)).sizes(&[64]).pattern(together))
        .ms(40)
        .run();
    for (rule, output) in outcome.outputs.iter().enumerate() {
        assert_eq!((output.on_time, misses(&outcome, rule)), (output.offered, 0), "rule {rule}");
    }
    assert!(outcome.outputs[1].residence.max() > MS / 2, "bulk waits");
}

/// The CPU, 1.5 to 50 times what it can serve, 0.3 of it High's: High never misses, for its budget
/// covers two windows and a round of ingress DRR, and the others, with two windows or more, drop
/// what is late. What the card's ring loses is lost before classes are known; where it loses
/// nothing, High loses nothing.
#[test]
fn high_never_misses_under_any_load() {
    const WINDOW: u64 = 128;
    // A round: the quanta of all classes, 21 largest frames, in the smallest packets.
    let round = (21 * 1_546_u64).div_ceil(102) * SERVED;
    let budget = 2 * WINDOW * SERVED + round;
    let limits = format!(
        "[edf]\nwindow = {WINDOW}\n[class.high]\nbudget = \"{budget}ns\"\nweight = 16
         [class.medium]\nbudget = \"2ms\"\n[class.low]\nbudget = \"4ms\""
    );
    for (load, ms) in [(1.5, 60), (3.0, 30), (10.0, 20), (50.0, 20)] {
        let high = 0.3 * 1e9 / SERVED as f64;
        let others = load * 1e9 / (PACKET + COPY) as f64 - high;
        let mut site = site(&limits).ms(ms).feed(Feed::of("high").packets(high).sizes(&[64]));
        for (class, share) in [("medium", 0.5), ("low", 0.5)] {
            site = site.feed(Feed::of(class).packets(others * share).sizes(&[64]));
        }
        let outcome = site.run();
        let (rule, output) = (&outcome.rules[0], &outcome.outputs[0]);
        let most = output.residence.max();
        assert_eq!(misses(&outcome, 0), 0, "{load}: {most} of {budget} ns");
        assert_eq!(rule.dropped_for(DropReason::IngressFull), 0, "{load}");
        assert_eq!(output.sent, output.offered - rule.offered.missed, "{load}");
        assert!(output.sent > 50, "{load}: {}", output.sent);
        if load < 2.0 {
            assert_eq!(outcome.ports[0].rx.missed, 0);
        }
    }
}
