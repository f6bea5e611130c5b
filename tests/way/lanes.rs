//! A burst that goes past ingress DRR and EDF leaves in the order that they would have given it.

use proptest::prelude::*;
use punctual::config::RxMode;

use crate::frames::{Frame, v4};
use crate::site::{Site, load, numbered};

/// Flows of rules, rows and sources; two classes, and a rule with a budget of its own.
const RULES: &str = r#"
    [[rule]]
    name = "rule"
    class = "high"
    input = { port = "in", destination = "239.1.1.0/24", udp_port = 5001 }
    output = [{ port = "a" }, { port = "b" }]
    [[rule]]
    name = "row"
    class = "high"
    flow = "row"
    input = { port = "in", destination = "239.1.1.0/24", udp_port = "5002-5005" }
    output = [{ port = "a" }]
    [[rule]]
    name = "source"
    class = "high"
    flow = "source"
    input = { port = "in", destination = "239.1.1.0/24", udp_port = 5006 }
    output = [{ port = "a" }]
    [[rule]]
    name = "later"
    class = "high"
    budget = "2ms"
    input = { port = "in", destination = "239.1.1.0/24", udp_port = 5007 }
    output = [{ port = "a" }]
    [[rule]]
    name = "low"
    class = "low"
    input = { port = "in", destination = "239.1.1.0/24", udp_port = 5008 }
    output = [{ port = "a" }]
"#;

/// A UDP port, a sender and a long payload or a short one.
type Kind = (u16, u8, bool);

fn frame((udp_port, sender, long): Kind, number: u32) -> Frame {
    let frame = v4().with(|f| {
        f.udp_port = udp_port;
        f.source = std::net::Ipv4Addr::new(10, 9, 1, sender).into();
    });
    let fill = if long { vec![0x5a; 700] } else { Vec::new() };
    numbered(frame, number).with(|f| f.payload = [fill, std::mem::take(&mut f.payload)].concat())
}

/// What both ports sent of these full bursts, in order. A port that waits has nothing more to come
/// behind a burst; a live one might have.
fn play(bursts: &[Vec<Kind>], mode: RxMode) -> [Vec<Vec<u8>>; 2] {
    let mut config = load(RULES);
    config.ports[0].rx = mode;
    let mut site = Site::build(&config, |_| true, true, 10_000);
    let (mut sent, mut number) = ([Vec::new(), Vec::new()], 0);
    for burst in bursts {
        for &kind in burst {
            site.push(&frame(kind, number));
            number += 1;
        }
        assert_eq!(site.turns(8).residual(), 0);
        for (port, sent) in sent.iter_mut().enumerate() {
            sent.extend(site.sent(port + 1).iter().map(|copy| copy.bytes()));
        }
    }
    site.finish();
    sent
}

fn kind(ports: std::ops::RangeInclusive<u16>) -> impl Strategy<Value = Kind> {
    (ports, 1_u8..9, prop::bool::weighted(0.1))
}

/// Bursts of one class and budget, which pass, and of all, of which most do not.
fn burst() -> impl Strategy<Value = Vec<Kind>> {
    prop_oneof![
        3 => prop::collection::vec(kind(5001..=5006), 32),
        1 => prop::collection::vec(kind(5001..=5008), 32),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_burst_that_passes_leaves_as_the_schedulers_would_have_it(
        bursts in prop::collection::vec(burst(), 1..6),
    ) {
        prop_assert!(play(&bursts, RxMode::Lossless) == play(&bursts, RxMode::Live));
    }
}
