//! The CPU is overloaded, and the rules drop what is late.
//!
//! A packet costs f up to ingress DRR and b = fan-out x c behind it. A turn receives at most twice
//! what the last one served, so that an overloaded worker serves at least T/(2f + b) packets in a
//! time T. What a rule keeps of that on time is its goodput.

use punctual::packet::DropReason;
use punctual::simulate::Outcome;

use super::harness::{Feed, MS, Site};

/// What a packet and a copy cost, in nanoseconds, and copies a packet.
#[derive(Clone, Copy, Debug)]
struct Work {
    packet: u64,
    copy: u64,
    fan_out: u64,
}

impl Work {
    /// f + b: a packet that is received and served.
    fn least(self) -> u64 {
        self.packet + self.fan_out * self.copy
    }

    /// 2f + b: a packet that is served, and another that is received and dropped.
    fn most(self) -> u64 {
        self.least() + self.packet
    }
}

/// Senders of the one rule, and packets that wait of each.
const SENDERS: u64 = 8;
const QUEUE: u64 = 128;

/// One rule; each of [`SENDERS`] is a flow where `flow` is "source".
fn one_rule(work: Work, flow: &str, budget: u64, load: f64) -> Outcome {
    let output = |n: u64| {
        let port = ["a", "b", "c"][n as usize % 3];
        format!("{{ port = \"{port}\", destination = \"239.2.0.{n}\" }}")
    };
    let outputs: Vec<_> = (0..work.fan_out).map(output).collect();
    let site = Site::new(&format!(
        r#"
        [[rule]]
        name = "feed"
        late = "drop"
        flow = "{flow}"
        queue = {{ packets = {QUEUE} }}
        budget = "{budget}ns"
        input = {{ port = "in", destination = "239.1.1.0/24", udp_port = 5001 }}
        output = [{}]
        "#,
        outputs.join(", ")
    ));
    let feed = Feed::of("feed").sizes(&[64]).flows(SENDERS as usize);
    let feed = feed.packets(load * 1e9 / work.least() as f64);
    let queue = SENDERS * QUEUE * work.most();
    site.cpu(work.packet, work.copy).feed(feed).ms(5 * queue / MS + 2).run()
}

/// On-time copies against those of T/`each` packets.
fn goodput(outcome: &Outcome, work: Work, each: u64) -> f64 {
    assert!(outcome.outputs.iter().all(|output| output.late_sent == 0));
    let on_time: u64 = outcome.outputs.iter().map(|output| output.on_time).sum();
    on_time as f64 * each as f64 / (outcome.elapsed * work.fan_out) as f64
}

/// The CPU, 1.2 to 5 times what it can serve. On-time goodput is at least 0.95 of T/(2f + b) with
/// any fan-out: where the budget is a third of what the full queues are worth, where it is just
/// that, and where it is longer. It covers two turns in each case.
#[test]
fn goodput_does_not_collapse() {
    for (packet, copy, fan_out) in [(400, 2_000, 1), (1_000, 400, 4), (1_000, 400, 16)] {
        let work = Work { packet, copy, fan_out };
        let queue = SENDERS * QUEUE * work.most();
        for budget in [queue / 8, queue / 3, queue, 3 * queue] {
            for load in [1.2, 1.5, 2.0, 5.0] {
                let outcome = one_rule(work, "source", budget, load);
                let goodput = goodput(&outcome, work, work.most());
                assert!(goodput >= 0.95, "{work:?}, {budget} ns, {load}: {goodput}");
                let rule = &outcome.rules[0];
                assert!(budget >= queue || rule.dropped_for(DropReason::Late) > 0, "{work:?}");
            }
        }
    }
}

/// The CPU, twice what it can serve, in one flow. It goes straight past the queues, burst by burst,
/// so that the card's ring overflows and all work is of use: on-time goodput is at least 0.95 of
/// T/(f + b).
#[test]
fn a_flow_alone_waits_in_the_ring() {
    let work = Work { packet: 1_000, copy: 400, fan_out: 4 };
    let outcome = one_rule(work, "rule", 400_000, 2.0);
    let goodput = goodput(&outcome, work, work.least());
    assert!(goodput >= 0.95, "{goodput}");
    assert!(outcome.ports[0].rx.missed > outcome.ports[0].rx.offered / 3);
}

/// Rules of these weights, all with more than the CPU can serve of them; bytes a weight that each
/// got, against the mean.
fn shares(late: &str, budget: &str, packets: u32, sizes: [&[usize]; 3]) -> [f64; 3] {
    const WEIGHTS: [u32; 3] = [1, 2, 4];
    let rule = |weight: u32| {
        format!(
            r#"
            [[rule]]
            name = "{weight}"
            weight = {weight}
            late = "{late}"
            budget = "{budget}"
            queue = {{ packets = {packets}, bytes = "16MiB" }}
            input = {{ port = "in", destination = "239.1.{weight}.0/24", udp_port = 5001 }}
            output = [{{ port = "a" }}]
            "#
        )
    };
    let mut site = Site::new(&WEIGHTS.map(rule).concat()).cpu(500, 2_000).ms(120);
    for ((weight, rate), sizes) in WEIGHTS.iter().zip([3e5, 3e5, 6e5]).zip(sizes) {
        site = site.feed(Feed::of(&weight.to_string()).packets(rate).sizes(sizes));
    }
    let outcome = site.run();
    // Not before the queues are full.
    let bytes = |output: usize| outcome.outputs[output].bytes_by_slice[40..120].iter().sum::<u64>();
    let shares = [0, 1, 2].map(|n| bytes(n) as f64 / f64::from(WEIGHTS[n]));
    let mean = shares.iter().sum::<f64>() / 3.0;
    shares.map(|share| share / mean)
}

/// The CPU, several times what it can serve. While all flows are backlogged what is delivered
/// follows the weights within 2 %, whatever their sizes, and though the lighter flows wait longer
/// than their budget and drop most of what waits. The budget covers a window (3 ms here): a shorter
/// one is spent in the window, where deadlines decide.
#[test]
fn loss_falls_on_flows_by_their_weights() {
    let small: [&[usize]; 3] = [&[64], &[64], &[64]];
    let mixed: [&[usize]; 3] = [&[64, 576, 1_400], &[1_400], &[64, 1_400]];
    for (late, budget, packets, sizes) in [
        ("send", "10ms", 1_024, small),
        ("drop", "3100us", 1_024, small),
        ("drop", "4ms", 1_024, small),
        ("drop", "9ms", 1_024, small),
        ("drop", "15ms", 1_024, small),
        ("drop", "15ms", 4_096, small),
        ("drop", "9ms", 1_024, mixed),
    ] {
        let shares = shares(late, budget, packets, sizes);
        let even = shares.iter().all(|share| (share - 1.0).abs() <= 0.02);
        assert!(even, "{late}, {budget}, {packets} packets: {shares:?}");
    }
}
