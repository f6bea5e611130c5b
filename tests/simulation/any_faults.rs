//! Any small configuration, any traffic, any faults: no flow reorders at an output, nothing is lost
//! unseen, nothing is left behind.

use std::collections::HashSet;

use fastrand::Rng;
use punctual::config::Class;
use punctual::simulate::Outcome;
use punctual::testkit::fault::FaultKind;
use punctual::testkit::traffic::Pattern;

use super::harness::{Feed, MS, PORTS, Site};

/// Simulations; each kind of fault is in several.
const CASES: u64 = 44;

fn pick<'a, T: ?Sized>(rng: &mut Rng, of: &[&'a T]) -> &'a T {
    of[rng.usize(0..of.len())]
}

/// A rule with up to four outputs on ports of its choice.
fn rule(rng: &mut Rng, number: usize) -> String {
    let class = pick(rng, &["high", "medium", "low"]);
    let late = pick(rng, &["send", "drop"]);
    let flow = pick(rng, &["rule", "row", "source"]);
    let budget = ["", "budget = \"200us\"", "budget = \"2ms\""][rng.usize(0..3)];
    let queue = |rng: &mut Rng| {
        let packets = [8, 64, 1_024, 65_536][rng.usize(0..4)];
        format!("queue = {{ packets = {packets}, bytes = \"64MiB\" }}")
    };
    let police =
        if rng.u8(0..4) == 0 { "police = { rate = \"300Mbps\", burst = \"16KiB\" }" } else { "" };
    let output = |number: usize, rng: &mut Rng| {
        let place =
            pick(rng, &["port = \"a\"", "port = \"b\"", "port = \"c\"", "receiver = \"desk\""]);
        let (weight, queue) = (rng.u32(1..9), queue(rng));
        let sample = if rng.u8(0..6) == 0 { "sample = 3," } else { "" };
        format!(
            "{{ {place}, destination = \"239.{}.0.0/24\", weight = {weight}, {sample} {queue} }},",
            100 + number
        )
    };
    let outputs: String = (0..rng.usize(1..5)).map(|number| output(number, rng)).collect();
    let (weight, queue) = (rng.u32(1..9), queue(rng));
    format!(
        r#"
        [[rule]]
        name = "r{number}"
        class = "{class}"
        late = "{late}"
        flow = "{flow}"
        weight = {weight}
        {budget}
        {queue}
        {police}
        input = {{ port = "in", destination = "239.1.{number}.0/24", udp_port = "5000-5009", source = "10.9.0.0/24" }}
        output = [{outputs}]
        "#
    )
}

/// A whole scenario: configuration, host, traffic and faults.
fn any(seed: u64) -> (Site, Vec<FaultKind>) {
    let rng = &mut Rng::with_seed(seed);
    let rules = rng.usize(1..5);
    let memory = [2_048, 4_096, 65_536][rng.usize(0..3)];
    let window = [32, 64, 1_024][rng.usize(0..3)];
    let text: String = (0..rules).map(|number| rule(rng, number)).collect();
    let text = format!(
        "{PORTS}[memory]\npackets = {memory}\nheaders = {}\n[edf]\nwindow = {window}\n\
         [limits]\nsources = 64\n[[receiver]]\nname = \"desk\"\nport = \"a\"\n{text}",
        memory >> rng.u32(0..3),
    );
    let mut site = Site::whole(&text).cpu(rng.u64(0..500), rng.u64(0..500)).seed(seed).ms(10);
    for port in ["a", "b", "c"] {
        let rate = pick(rng, &["100Mbps", "1Gbps", "10Gbps"]);
        site = match rng.u8(0..3) {
            0 => site.shaped(port, rate, "16KiB"),
            1 => site.link(port, rate),
            _ => site,
        };
    }
    for number in 0..rules {
        let pattern = [
            Pattern::Constant,
            Pattern::Poisson,
            Pattern::Bursts,
            Pattern::Together { period: MS, peak: 10_000_000_000 },
        ][rng.usize(0..4)];
        let rate = pick(rng, &["20Mbps", "200Mbps", "1Gbps"]);
        let feed = Feed::of(&format!("r{number}")).rate(rate).pattern(pattern);
        site = site.feed(feed.flows([1, 16, 200][rng.usize(0..3)]).sizes(&[200, 1_400]));
    }
    // One kind by turns, and up to three more.
    let all = FaultKind::ALL;
    let mut kinds = vec![all[seed as usize % all.len()]];
    (0..rng.usize(0..4)).for_each(|_| kinds.push(all[rng.usize(0..all.len())]));
    let site = kinds.iter().fold(site, |site, kind| match kind {
        // Nobody to die where no rule sends to the receiver.
        FaultKind::ReceiverDies => site.fault("receiver-dies:desk"),
        kind => site.fault(kind.name()),
    });
    (site, kinds)
}

/// Everything that was offered is somewhere: by rule before fan-out, by output behind it.
fn assert_all_accounted(outcome: &Outcome, what: &str) {
    for rule in &outcome.rules {
        let came = rule.offered.packets - rule.offered.missed - rule.offered.no_mbuf;
        assert_eq!(rule.packets, came, "{what}: received by {}", rule.name);
    }
    let ledger = &outcome.report.ledger;
    let rules: u64 = outcome.rules.iter().map(|rule| rule.dropped.iter().sum::<u64>()).sum();
    let packets: u64 = outcome.rules.iter().map(|rule| rule.packets).sum();
    assert_eq!(packets, rules + ledger.admitted, "{what}: before fan-out");
    for output in &outcome.outputs {
        let dropped: u64 = output.dropped.iter().sum();
        assert_eq!(output.copies, output.sent + dropped, "{what}: {}", output.name);
        assert_eq!(output.sent, output.on_time + output.late_sent, "{what}: {}", output.name);
    }
}

/// 44 scenarios by seed, each kind of fault in four of them or more. The harness checks in each
/// that no flow reordered at an output, the residual is 0, and the pools are whole.
#[test]
fn whatever_happens_flows_keep_their_order_and_all_is_accounted() {
    let (mut met, mut classes, mut sent) = (HashSet::new(), HashSet::new(), 0);
    for seed in 0..CASES {
        let (site, kinds) = any(seed);
        let what = format!("seed {seed}, {kinds:?}");
        let outcome = site.run();
        assert_all_accounted(&outcome, &what);
        classes.extend(outcome.rules.iter().map(|rule| rule.class as usize));
        sent += outcome.outputs.iter().map(|output| output.sent).sum::<u64>();
        met.extend(kinds);
    }
    assert_eq!(met.len(), FaultKind::ALL.len(), "{met:?}");
    assert_eq!(classes.len(), Class::COUNT);
    assert!(sent > 50_000, "{sent}: it was no empty exercise");
}
