//! More than fits: shapers, memory that runs short, ports that stand still, circuit breakers.

use punctual::config::{Class, RateLimit};
use punctual::packet::DropReason;
use punctual::stages::BreakerState;

use crate::frames::v4;
use crate::site::{FAN_OUT, Site, load, numbered};

/// A rule for each class, each with a destination of its own, to port `a` or `b`.
fn a_rule_a_class(ports: [&str; 3]) -> String {
    let rule = |(class, port): (Class, &str)| {
        format!(
            r#"
            [[rule]]
            name = "{0}"
            class = "{0}"
            queue = {{ packets = 1048576, bytes = "1GiB" }}
            input = {{ port = "in", destination = "239.1.1.{1}", udp_port = 5001 }}
            output = [{{ port = "{port}", queue = {{ packets = 1048576, bytes = "1GiB" }} }}]
            "#,
            class.name(),
            class as u8 + 1,
        )
    };
    Class::ALL.into_iter().zip(ports).map(rule).collect()
}

/// Puts `count` packets of a class's rule on the wire.
fn push(site: &Site, class: Class, count: u32) {
    let frame = v4().with(|f| f.destination = [239, 1, 1, class as u8 + 1].into());
    (0..count).for_each(|n| site.push(&numbered(frame.clone(), n)));
}

fn shed(site: &Site, class: Class) -> u64 {
    site.counters.rules[class as usize].dropped()[DropReason::PoolPressure.index()]
}

#[test]
fn a_shaped_port_is_held_to_its_rate_and_burst() {
    const BURST: u64 = 10_000;
    let mut config = load(FAN_OUT);
    // A byte a microsecond, shared by two outputs.
    config.ports[1].shaper = Some(RateLimit { rate: 8_000_000, burst: BURST });
    let mut site = Site::build(&config, |_| true, true, 10_000);
    for n in 0..400 {
        site.push(&numbered(v4(), n));
    }
    let outputs = |site: &Site| {
        let counters = &site.counters.outputs;
        counters[0].bytes.get() + counters[1].bytes.get()
    };
    let mut sent = vec![];
    for _ in 0..400 {
        site.turns(1);
        sent.push(outputs(&site));
        site.clock.step(100_000);
    }
    // 400 packets became 800 copies of 72 bytes or more: there was a backlog all the time.
    assert!(sent[399] < 800 * 72);
    for (from, first) in sent.iter().enumerate() {
        for (to, last) in sent.iter().enumerate().skip(from) {
            let earned = 100 * (to - from) as u64;
            assert!(last - first <= earned + BURST, "{from} {to}");
        }
    }
    let (earned, got) = (399 * 100 + BURST, sent[399]);
    assert!(got <= earned && got + 100 >= earned, "{got} of {earned}");
    assert_eq!(site.sent(2).len(), 400, "the other port is not shaped");
    site.clock.step(1_000_000_000);
    site.turns(100);
    site.clock.step(1_000_000_000);
    let ledger = site.finish();
    assert_eq!((ledger.sent, ledger.dropped()), (1_200, 0));
}

#[test]
fn a_port_that_stands_still_pins_half_of_the_memory() {
    let rules = load(&a_rule_a_class(["a", "b", "b"]));
    let mut site = Site::build(&rules, |_| true, true, 50_000);
    site.tx[1].allow(0);
    for _ in 0..2_000 {
        push(&site, Class::High, 16);
        push(&site, Class::Medium, 16);
        site.turns(1);
        assert_eq!(site.sent(2).len(), 16, "the other port loses nothing");
    }
    let pinned = site.payload.in_use();
    assert!((24_900..=25_032).contains(&pinned), "{pinned} of 50,000");
    assert_eq!(site.dropped_after(0, DropReason::EgressFull), 32_000 - pinned as u64);
    assert_eq!(site.dropped_after(1, DropReason::EgressFull), 0);
    site.tx[1].allow(usize::MAX);
    site.finish();
}

#[test]
fn memory_that_runs_short_sheds_the_lowest_class_first() {
    let mut site = Site::new(&a_rule_a_class(["a", "b", "b"]));
    let mut first = [None; Class::COUNT];
    for turn in 0..2_000_u32 {
        // A turn serves 64; the high class's share is worth 48 of them.
        push(&site, Class::High, 40);
        push(&site, Class::Medium, 60);
        push(&site, Class::Low, 28);
        site.turns(1);
        let (_, _) = (site.sent(1), site.sent(2));
        for class in Class::ALL {
            if shed(&site, class) > 0 {
                first[class as usize].get_or_insert((turn, site.payload.in_use()));
            }
        }
    }
    let [high, medium, low] = first;
    let (low, medium) = (low.expect("low is shed"), medium.expect("then medium"));
    assert!((39_700..=40_300).contains(&low.1), "{low:?}");
    assert!((44_700..=45_300).contains(&medium.1), "{medium:?}");
    assert!(low.0 < medium.0);
    assert_eq!((high, site.dropped_after(0, DropReason::EgressFull)), (None, 0));
    assert!(site.payload.in_use() < 45_300, "it goes no further");
    // Memory comes back: all are admitted again.
    for _ in 0..1_000 {
        site.turns(1);
        let (_, _) = (site.sent(1), site.sent(2));
    }
    let before = shed(&site, Class::Low);
    push(&site, Class::Low, 1_000);
    site.turns(40);
    assert_eq!(shed(&site, Class::Low), before);
    site.finish();
}

#[test]
fn an_open_breaker_costs_its_own_copies_only() {
    let mut site = Site::new(FAN_OUT);
    let feed = |site: &mut Site, count: u32| {
        (0..count).for_each(|n| site.push(&numbered(v4(), n)));
        site.turns(20);
        (site.sent(1).len(), site.sent(2).len())
    };
    site.tx[1].allow(0);
    assert_eq!(feed(&mut site, 100), (0, 100));
    let words = &site.control.breakers;
    words.set_port(1, BreakerState::Open);
    assert_eq!(feed(&mut site, 100), (0, 100));
    let lost =
        |site: &Site| [0, 1].map(|output| site.dropped_after(output, DropReason::BreakerOpen));
    assert_eq!(lost(&site), [200, 200], "those that waited, and those that were not made");
    assert_eq!(site.payload.in_use(), 0, "nothing waits for it");
    assert_eq!(site.counters.ports[1].refused_from.get(), 0);

    site.tx[1].allow(usize::MAX);
    site.control.breakers.set_port(1, BreakerState::HalfOpen);
    assert_eq!(feed(&mut site, 100), (5, 100));
    site.control.breakers.set_port(1, BreakerState::Closed);
    assert_eq!(feed(&mut site, 100), (200, 100));
    assert_eq!(lost(&site).iter().sum::<u64>(), 400 + 195);
    site.finish();
}

#[test]
fn a_port_that_takes_nothing_is_seen_from_outside() {
    let mut site = Site::new(FAN_OUT);
    let row = |site: &Site| {
        let port = &site.counters.ports[1];
        port.refused_until.get() - port.refused_from.get()
    };
    site.tx[1].allow(0);
    site.push(&v4());
    for millis in 0..50 {
        site.turns(1);
        assert_eq!(row(&site), millis * 1_000_000);
        site.clock.step(1_000_000);
    }
    // It takes one of two: it is slow, and no more.
    site.tx[1].allow(1);
    site.turns(1);
    assert_eq!(row(&site), 0);
    site.clock.step(1_000_000);
    site.turns(2);
    site.clock.step(5_000_000);
    site.turns(1);
    assert_eq!(row(&site), 5_000_000);
    // Refusals with nothing to send between them are no row.
    site.tx[1].allow(1);
    site.turns(1);
    site.tx[1].allow(0);
    site.push(&v4());
    site.turns(1);
    site.clock.step(200_000_000);
    site.turns(1);
    assert_eq!(row(&site), 0);
    site.tx[1].allow(usize::MAX);
    site.finish();
}
