//! Ports with a `rate`: what they are sent, over every interval. The shaper is what is overloaded.

use proptest::prelude::*;
use punctual::simulate::Outcome;

use super::harness::{Feed, MS, PORTS, Site, bits};

/// Bytes of a frame beyond its IP packet, as shapers count: Ethernet, and 24 of overhead.
const AROUND: usize = 14 + 24;

/// A port `a` with this rate, and `burst` where it is not the default; frames of `sizes` come at
/// one and a half times the rate.
fn shaped(rate: &str, burst: Option<u64>, sizes: &[usize]) -> Site {
    let mtu = sizes.iter().max().unwrap().max(&68);
    let burst = burst.map_or(String::new(), |burst| format!("burst = {burst}\n"));
    let ports = PORTS
        .replace("[[port]]", &format!("[[port]]\nmtu = {mtu}"))
        .replace("name = \"a\"", &format!("name = \"a\"\nrate = \"{rate}\"\n{burst}"));
    let site = Site::whole(&format!(
        r#"{ports}
        [[rule]]
        name = "feed"
        input = {{ port = "in", destination = "239.1.1.0/24", udp_port = 5001 }}
        output = [{{ port = "a" }}, {{ port = "a", destination = "239.2.0.0/24", weight = 3 }}]
        "#
    ));
    let mut site = site.link("a", "400Gbps").traced();
    // Two copies of each.
    let offered = format!("{}bps", bits(rate) * 3 / 4);
    site = site.feed(Feed::of("feed").rate(&offered).sizes(sizes));
    site
}

fn burst_of(site: &Site) -> u64 {
    site.scenario.config.ports[1].shaper.unwrap().burst
}

/// The most bytes that any interval between two copies had beyond what `rate` brings in it.
fn most_beyond(outcome: &Outcome, rate: u64) -> f64 {
    // The sum of bytes less what the rate brought, just before each copy: the least so far.
    let (mut sum, mut least, mut most) = (0.0, f64::MAX, 0.0_f64);
    for copy in &outcome.trace {
        let earned = copy.at as f64 * rate as f64 / 8e9;
        least = least.min(sum - earned);
        sum += f64::from(copy.bytes);
        most = most.max(sum - earned - least);
    }
    most
}

/// The least that any `window` nanoseconds had, as a part of what `rate` brings, from the first
/// copy to the end of the traffic; `slack` bytes are given.
fn least_of(outcome: &Outcome, window: u64, rate: u64, slack: u64) -> f64 {
    let trace = &outcome.trace;
    let due = rate as f64 / 8e9 * window as f64;
    let (mut next, mut sum, mut least) = (0, 0, f64::MAX);
    for first in trace {
        let end = first.at + window;
        if end > outcome.span {
            break;
        }
        while next < trace.len() && trace[next].at < end {
            sum += u64::from(trace[next].bytes);
            next += 1;
        }
        least = least.min((sum + slack) as f64 / due);
        sum -= u64::from(first.bytes);
    }
    least
}

/// Rates from 1 Mbit/s to 40 Gbit/s with the default burst and others, frames from the smallest
/// to jumbo: any 100 ms of a backlog carry the rate to 1 %, or one frame; no interval at all carries
/// more than rate x time + burst.
#[test]
fn a_shaped_port_has_its_rate_and_never_more() {
    let cases: [(&str, Option<u64>, &[usize], u64); 8] = [
        ("1Mbps", None, &[64, 1_400], 1_000),
        ("1Mbps", Some(50_000), &[300], 1_000),
        ("10Mbps", None, &[1_400], 500),
        ("100Mbps", Some(1_000_000), &[576, 1_400], 200),
        ("300Mbps", None, &[1_400, 9_000], 200),
        ("1Gbps", None, &[1_400], 150),
        ("10Gbps", None, &[9_000], 150),
        ("40Gbps", None, &[9_000], 120),
    ];
    for (rate, burst, sizes, span) in cases {
        let site = shaped(rate, burst, sizes).cpu(60, 50).ms(span);
        let burst = burst_of(&site);
        let outcome = site.run();
        let (what, rate) = (format!("{rate} {burst} {sizes:?}"), bits(rate));
        let frame = (sizes.iter().max().unwrap() + AROUND) as u64;
        let beyond = most_beyond(&outcome, rate);
        // A part in 100,000 is what the bucket's integers round.
        let rounded = 1.0 + rate as f64 / 8e9 * (span * MS) as f64 / 1e5;
        assert!(beyond <= burst as f64 + rounded, "{what}: {beyond} beyond");
        let least = least_of(&outcome, 100 * MS, rate, frame);
        assert!(least >= 0.99, "{what}: {least} of the rate");
    }
}

/// Behind a wire that refused, what is staged has had its credit: it comes on top, 32 copies at
/// most.
#[test]
fn a_shaped_port_that_refused_gets_one_staged_burst_on_top() {
    let site = shaped("100Mbps", None, &[1_400]).fault("tx-refuses:a@20ms+30ms").ms(200);
    let burst = burst_of(&site);
    let outcome = site.run();
    let beyond = most_beyond(&outcome, bits("100Mbps"));
    let frame = (1_400 + AROUND) as f64;
    assert!(beyond <= burst as f64 + 32.0 * frame + 1.0, "{beyond}");
    assert!(beyond > burst as f64 + 20.0 * frame, "{beyond}: it was staged");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, failure_persistence: None, ..Default::default() })]

    /// Any rate, burst and frames: no interval carries more than rate x time + burst, and the
    /// whole run, which is a backlog, carries 99 % less a burst. The burst is four frames or more, for
    /// a simulated worker that has nothing to do looks again when the next packet comes; and the rate is
    /// one that it can keep up with.
    #[test]
    fn any_shaper_keeps_its_rate_and_burst(
        magnitude in 20.0_f64..35.2,
        sizes in prop::sample::subsequence(vec![68, 300, 800, 1_400, 4_000, 9_000], 1..5),
        frames in 4_u64..40,
        cpu in 0_u64..50,
    ) {
        let frame = (sizes.iter().max().unwrap() + AROUND + 8) as u64;
        let mean = (sizes.iter().sum::<usize>() / sizes.len() + AROUND) as u64;
        // What a copy costs: its own, half of the packet's, and a turn of 20 ns.
        let rate = (magnitude.exp2() as u64).min(mean * 8_000_000_000 / (3 * cpu + 40));
        let mut site = shaped(&format!("{rate}bps"), Some(frames * frame), &sizes).cpu(cpu, cpu);
        // A thousand copies at the rate.
        site.scenario.span = 1_000 * mean * 8 * 1_000_000 / (rate / 1_000);
        let (burst, span) = (burst_of(&site), site.scenario.span);
        let outcome = site.run();
        let beyond = most_beyond(&outcome, rate);
        let earned = rate as f64 / 8e9 * span as f64;
        prop_assert!(beyond <= burst as f64 + 1.0 + earned / 1e5, "{} beyond, {}", beyond, burst);
        let sent: u64 = outcome.trace.iter().filter(|c| c.at < span).map(|c| u64::from(c.bytes)).sum();
        prop_assert!(sent as f64 >= 0.99 * earned - burst as f64, "{} of {}", sent, earned);
    }
}
