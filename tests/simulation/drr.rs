//! Fair shares while something is overloaded: a link, or the CPU.

use punctual::simulate::Outcome;

use super::harness::{Feed, MS, PORTS, Site, mbps};

/// The largest frame that counts, in bytes: the quantum of weight 1.
const QUANTUM: u64 = 1_500 + 22 + 24;

/// Rules named by their numbers; all send to `a`.
fn rules(count: usize, extra: &str) -> Site {
    let rule = |n: usize| {
        format!(
            r#"
            [[rule]]
            name = "{n}"
            input = {{ port = "in", destination = "239.1.{n}.0/24", udp_port = 5001 }}
            output = [{{ port = "a" }}]
            "#
        )
    };
    Site::whole(&format!("{PORTS}{}{extra}", (0..count).map(rule).collect::<String>()))
}

/// The first rule lost most of its packets. The others lost none, and 0.999 of each one's took
/// `bound` nanoseconds at most.
fn the_others_notice_nothing(outcome: &Outcome, bound: u64) {
    assert!(outcome.outputs[0].sent < outcome.outputs[0].offered / 2, "the aggressor loses");
    for output in &outcome.outputs[1..] {
        assert_eq!(output.sent, output.offered, "rule {}", output.rule);
        let took = output.residence_at(0.999);
        assert!(took <= bound, "{took} ns, over {bound}");
        // Nor is the bound far from what is seen.
        assert!(took >= bound / 2, "{took} ns, far from {bound}");
    }
}

/// A link, 1.8 times what it carries: one output asks for ten times its share. The nine others, of
/// 0.9 of theirs, lose no packet, and 0.999 of theirs wait for one DRR round and a frame at most.
#[test]
fn an_aggressor_on_a_link_is_alone_with_its_loss() {
    let mut site = rules(10, "").shaped("a", "100Mbps", "4KiB").ms(1_000);
    for n in 0..10 {
        let rate = if n == 0 { "100Mbps" } else { "9Mbps" };
        let sizes = [64, 576, 1_400];
        site = site.feed(Feed::of(&n.to_string()).rate(rate).sizes(&sizes).constant());
    }
    let frame = QUANTUM * 8 * 10;
    the_others_notice_nothing(&site.run(), 10 * frame + frame);
}

/// The CPU, 1.7 times what it serves: one flow asks for ten times its share. The nine others, of
/// 0.8 of theirs, lose no packet. 0.999 of theirs wait at most for one DRR round and a frame, for a
/// window of EDF (it holds older packets of the aggressor, which leave first), and for a turn.
#[test]
fn an_aggressor_on_the_cpu_is_alone_with_its_loss() {
    const WINDOW: u64 = 128;
    let (packet, copy) = (200, 1_500);
    let served = 2 * packet + copy;
    let mut site = rules(10, &format!("[edf]\nwindow = {WINDOW}")).cpu(packet, copy).ms(300);
    let share = 1e8 / served as f64;
    for n in 0..10 {
        let rate = if n == 0 { 10.0 * share } else { 0.8 * share };
        site = site.feed(Feed::of(&n.to_string()).packets(rate).sizes(&[576]).constant());
    }
    let outcome = site.run();
    assert_eq!(outcome.ports[0].rx.missed, 0, "the front half keeps up");
    let round = 10 * QUANTUM.div_ceil(576 + 38);
    let turn = 64 * copy + 128 * packet;
    the_others_notice_nothing(&outcome, (round + 1 + WINDOW) * served + turn);
}

/// A link, four times what it carries, after an hour in which one of two outputs was idle, and
/// before that had less than a packet a visit: from its return on they get the same, to the bound
/// of DRR.
#[test]
fn an_hour_of_silence_is_no_credit() {
    const HOUR: u64 = 3_600_000;
    let mut site = rules(2, "").shaped("a", "100Mbps", "4KiB").ms(HOUR + 40);
    site = site.feed(Feed::of("0").rate("1Mbps").sizes(&[64]).ms(0..50));
    for (rule, ms) in [("0", HOUR..HOUR + 40), ("1", HOUR - 20..HOUR + 40)] {
        site = site.feed(Feed::of(rule).rate("200Mbps").ms(ms));
    }
    let outcome = site.run();
    assert_eq!(outcome.slice, MS);
    let slices = HOUR as usize..HOUR as usize + 40;
    let [returned, stayed] = [0, 1].map(|n| &outcome.outputs[n].bytes_by_slice[slices.clone()]);
    let mut ahead = 0;
    for (slice, (returned, stayed)) in returned.iter().zip(stayed).enumerate() {
        ahead += *returned as i64 - *stayed as i64;
        assert!(ahead.unsigned_abs() <= 3 * QUANTUM, "{ahead} bytes after {slice} ms");
    }
    assert!(mbps(returned) > 45.0, "{}", mbps(returned));
}
