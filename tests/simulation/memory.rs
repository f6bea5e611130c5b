//! Memory that runs short: who is shed, how often that changes, what a dry pool costs, and how soon
//! all is well again.

use punctual::config::Class;
use punctual::packet::DropReason;
use punctual::simulate::Outcome;

use super::harness::{Feed, Site, mbps};

/// Buffers of each pool where classes are shed.
const BUFFERS: u64 = 4_096;
/// Packets that the worker serves in a second: 1 us and 9 us each.
const SERVED: f64 = 100_000.0;

/// A rule a class, with queues longer than memory; classes are offered so many times what the
/// worker can serve.
fn classes(offered: [f64; Class::COUNT]) -> Site {
    let queue = "queue = { packets = 65536, bytes = \"1GiB\" }";
    let rule = |class: Class| {
        format!(
            r#"
            [[rule]]
            name = "{0}"
            class = "{0}"
            {queue}
            input = {{ port = "in", destination = "239.1.{1}.0/24", udp_port = 5001 }}
            output = [{{ port = "a" }}]
            "#,
            class.name(),
            class as usize,
        )
    };
    let rules: String = Class::ALL.into_iter().map(rule).collect();
    let memory = format!("[memory]\npackets = {BUFFERS}\nheaders = {BUFFERS}\n");
    let site = Site::new(&format!("{memory}{rules}")).cpu(1_000, 9_000);
    Class::ALL.into_iter().zip(offered).fold(site, |site, (class, times)| {
        // 102 bytes with all that is around 64.
        let rate = format!("{}bps", (times * SERVED * 102.0 * 8.0) as u64);
        site.feed(Feed::of(class.name()).rate(&rate).sizes(&[64]))
    })
}

fn shed(outcome: &Outcome) -> [u64; Class::COUNT] {
    Class::ALL.map(|class| outcome.rules[class as usize].dropped_for(DropReason::PoolPressure))
}

/// The CPU is overloaded, by the lowest class, by the two lowest, and by all of them: as many are
/// shed, the lowest at 80 % of the pool, the next at 90 % and the highest at 97 %, in this order; what
/// is not shed loses nothing.
#[test]
fn the_lowest_class_is_shed_first_and_the_highest_last() {
    let cases = [[0.3, 0.4, 0.8], [0.5, 0.9, 0.4], [1.6, 0.4, 0.4]];
    for (lowest, offered) in cases.into_iter().enumerate() {
        let outcome = classes(offered).ms(250).run();
        let shed = shed(&outcome);
        let is_shed = shed.map(|count| count > 0);
        let expected = [lowest == 2, lowest >= 1, true];
        assert_eq!(is_shed, expected, "{offered:?}: {shed:?}");
        for (rule, output) in outcome.rules.iter().zip(&outcome.outputs) {
            let lost = rule.dropped_for(DropReason::PoolPressure) + rule.offered.missed;
            assert_eq!(output.sent + lost, output.offered, "nothing else is lost: {}", rule.name);
        }
        // Each class is shed for the first time behind the one below it.
        let first = |admitted| outcome.pressure.iter().position(|p| p.admitted == admitted);
        let firsts: Vec<_> = [2, 1, 0].into_iter().map_while(first).collect();
        assert_eq!(firsts.len(), lowest + 1);
        assert!(firsts.is_sorted(), "{:?}", outcome.pressure);
        let most = *outcome.in_use[0].iter().max().unwrap() * 100 / BUFFERS;
        let bounds = [80..=82, 90..=92, 97..=99];
        assert!(bounds[lowest].contains(&most), "{offered:?}: {most} % at most");
        assert!(outcome.rules.iter().all(|rule| rule.offered.no_mbuf == 0));
    }
}

/// The CPU is overloaded by the lowest class, so that the pool stays near 80 %: between two changes
/// the pool moves by 5 %. So there are no more of them than the packets that came make of such moves.
#[test]
fn shedding_does_not_flutter() {
    let outcome = classes([0.3, 0.4, 0.8]).ms(400).run();
    let came = outcome.rules[Class::Low as usize].offered.packets;
    let changes = outcome.pressure.len() as u64;
    let step = BUFFERS / 20;
    assert!(changes >= 10, "{changes}: it stays at the threshold");
    assert!(changes <= came / step, "{changes} changes for {came} packets");
    // It is one step up and down; and low keeps what the others leave.
    assert!(outcome.pressure.iter().all(|p| p.admitted >= 2));
    let low = outcome.outputs[Class::Low as usize].sent as f64 / outcome.elapsed as f64 * 1e9;
    assert!(low > 0.27 * SERVED, "{low} a second");
}

/// A feed with two copies a packet, and two with one, which take no header buffer.
const HEADERS: &str = r#"
    [[rule]]
    name = "two"
    input = { port = "in", destination = "239.1.1.0/24", udp_port = 5001 }
    output = [{ port = "a" }, { port = "b" }]
    [[rule]]
    name = "one"
    input = { port = "in", destination = "239.1.2.0/24", udp_port = 5001 }
    output = [{ port = "a" }]
    [[rule]]
    name = "uno"
    class = "high"
    input = { port = "in", destination = "239.1.3.0/24", udp_port = 5001 }
    output = [{ port = "a" }]
"#;

fn headers(memory: &str) -> Site {
    let feed = |rule| Feed::of(rule).rate("300Mbps").sizes(&[300, 1_400]);
    let site = Site::new(&format!("{memory}{HEADERS}")).cpu(600, 500).link("a", "2Gbps");
    site.feed(feed("two")).feed(feed("one")).feed(feed("uno"))
}

/// Header buffers are to be had no more for 30 ms: it costs exactly the copies that need one, and
/// nothing else; the full rate is back within 100 ms (here: 1 ms).
#[test]
fn a_dry_header_pool_costs_exactly_the_copies_that_need_one() {
    let outcome = headers("").fault("alloc-fails:headers@20ms+30ms").ms(100).run();
    for output in &outcome.outputs {
        let missing = output.dropped_for(DropReason::HeaderAlloc);
        assert_eq!(output.sent + missing, output.offered, "{:?}", output.dropped);
        let needs_one = outcome.rules[output.rule].name == "two";
        assert_eq!(missing > 500, needs_one, "{missing}");
        let after = mbps(&output.bytes_by_slice[51..100]);
        assert!((280.0..320.0).contains(&after), "{after}");
    }
    let [a, b] = [0, 1].map(|slot| outcome.outputs[slot].dropped_for(DropReason::HeaderAlloc));
    assert!(a.abs_diff(b) <= 1, "the stock ends in the middle of a packet: {a} {b}");
}

/// The header pool is smaller than what a burst leaves in the rings of two wires: what finds no
/// header is `header_alloc`, all else is sent.
#[test]
fn a_header_pool_that_is_too_small_costs_exactly_the_missing_copies() {
    use punctual::testkit::traffic::Pattern;
    let rules = HEADERS.replace("{ port = \"b\" }", "{ port = \"b\" }, { port = \"c\" }");
    let feed = |rule, rate| Feed::of(rule).rate(rate).sizes(&[1_400]);
    let site = Site::new(&format!("[memory]\nheaders = 512\n{rules}"));
    let site = ["a", "b", "c"].into_iter().fold(site, |site, port| site.link(port, "1Gbps"));
    let site = site.feed(feed("two", "500Mbps").pattern(Pattern::Bursts));
    let site = site.feed(feed("one", "200Mbps")).feed(feed("uno", "200Mbps"));
    let outcome = site.cpu(60, 50).ms(100).run();
    let mut all = 0;
    for output in &outcome.outputs {
        let missing = output.dropped_for(DropReason::HeaderAlloc);
        assert_eq!(output.sent + missing, output.offered, "{:?}", output.dropped);
        assert!(missing == 0 || outcome.rules[output.rule].name == "two");
        all += missing;
    }
    assert!(all > 100, "{all}");
}

/// The payload pool gives nothing for 30 ms: ports count `no_mbuf`, nobody else loses anything, and
/// the full rate is back within 100 ms (here: 1 ms).
#[test]
fn the_full_rate_is_back_when_memory_is() {
    let outcome = headers("").fault("alloc-fails:payload@20ms+30ms").ms(100).run();
    assert!(outcome.ports[0].rx.no_mbuf > 1_000);
    for output in &outcome.outputs {
        let after = mbps(&output.bytes_by_slice[51..100]);
        assert!((280.0..320.0).contains(&after), "{after}");
        let lost = outcome.rules[output.rule].offered.no_mbuf;
        let shed = outcome.rules[output.rule].dropped_for(DropReason::PoolPressure);
        assert_eq!(output.sent + lost + shed, output.offered, "{:?}", output.dropped);
    }
}
