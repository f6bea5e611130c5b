use super::*;

const UP: Evidence = Evidence {
    link_up: true,
    refused: Duration::ZERO,
    unreachable: false,
    unresolved: false,
    passed: 0,
};
const SILENT: Evidence = Evidence { unresolved: true, ..UP };
const DOWN: Evidence = Evidence { link_up: false, ..UP };

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn refused(millis: u64) -> Evidence {
    Evidence { refused: ms(millis), ..UP }
}

fn passed(count: u64) -> Evidence {
    Evidence { passed: count, ..UP }
}

/// Looks every millisecond of `times` at the same evidence; returns the changes and when.
fn watch(
    breaker: &mut Breaker,
    times: std::ops::Range<u64>,
    seen: &Evidence,
) -> Vec<(u64, Change)> {
    times.filter_map(|at| Some((at, breaker.look(ms(at), seen).1?))).collect()
}

#[test]
fn a_port_that_takes_something_stays_closed() {
    let mut breaker = Breaker::of_port();
    assert_eq!(watch(&mut breaker, 0..10_000, &refused(99)), []);
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn it_opens_after_100_ms_of_refusals_and_is_tried_after_100_more() {
    let mut breaker = Breaker::of_port();
    let opened = (7, Change::Opened(Reason::Refused));
    assert_eq!(watch(&mut breaker, 7..8, &refused(100)), [opened]);
    assert_eq!(watch(&mut breaker, 8..107, &refused(0)), []);
    assert_eq!(breaker.state(), BreakerState::Open);
    assert_eq!(breaker.look(ms(107), &passed(40)), (true, None));
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    assert_eq!(watch(&mut breaker, 108..150, &passed(44)), []);
    let closed = (150, Change::Closed(ms(143)));
    assert_eq!(watch(&mut breaker, 150..151, &passed(45)), [closed]);
    assert_eq!(breaker.opened(), 1);
}

#[test]
fn failed_probes_double_the_backoff_up_to_a_second_and_are_one_alert() {
    let mut breaker = Breaker::of_port();
    let mut changes = Vec::new();
    let (mut half_opened, mut was) = (Vec::new(), BreakerState::Closed);
    // A port that refuses whatever it is handed: nothing is handed to it while it is open.
    let mut refuses_since = Some(0);
    for at in 0..6_000_u64 {
        let row = refuses_since.map_or(0, |since| at - since);
        changes.extend(breaker.look(ms(at), &refused(row)).1);
        if breaker.state() == BreakerState::HalfOpen && was != BreakerState::HalfOpen {
            half_opened.push(at);
            refuses_since = Some(at);
        } else if breaker.state() == BreakerState::Open {
            refuses_since = None;
        }
        was = breaker.state();
    }
    assert_eq!(changes, [Change::Opened(Reason::Refused)]);
    let gaps: Vec<_> = half_opened.windows(2).map(|pair| pair[1] - pair[0]).collect();
    // Ten milliseconds of refused probes, and then the backoff.
    assert_eq!(gaps, [210, 410, 810, 1_010, 1_010, 1_010, 1_010]);
    assert_eq!(breaker.opened(), 1);
}

#[test]
fn an_answer_closes_it_at_once_and_nothing_is_tried_before() {
    let mut breaker = Breaker::of_receiver();
    let opened = (0, Change::Opened(Reason::Unresolved));
    assert_eq!(watch(&mut breaker, 0..5_000, &SILENT), [opened]);
    assert_eq!(breaker.state(), BreakerState::Open);
    assert_eq!(watch(&mut breaker, 5_000..5_100, &UP), [(5_000, Change::Closed(ms(5_000)))]);
    // Also where it was open for another reason before.
    let gone = Evidence { unreachable: true, ..UP };
    assert_eq!(watch(&mut breaker, 6_000..6_001, &gone).len(), 1);
    assert_eq!(watch(&mut breaker, 6_001..9_000, &SILENT), []);
    assert_eq!(watch(&mut breaker, 9_000..9_001, &UP), [(9_000, Change::Closed(ms(3_000)))]);
}

#[test]
fn a_link_that_comes_up_closes_it_at_once() {
    let mut breaker = Breaker::of_port();
    assert_eq!(watch(&mut breaker, 0..500, &DOWN), [(0, Change::Opened(Reason::LinkDown))]);
    assert_eq!(watch(&mut breaker, 500..600, &UP), [(500, Change::Closed(ms(500)))]);
    // Also where it was open for another reason before.
    watch(&mut breaker, 600..601, &refused(100));
    watch(&mut breaker, 601..610, &DOWN);
    assert_eq!(watch(&mut breaker, 610..611, &UP), [(610, Change::Closed(ms(10)))]);
    // And where it was half open.
    watch(&mut breaker, 700..701, &refused(100));
    watch(&mut breaker, 701..805, &UP);
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    assert_eq!(watch(&mut breaker, 805..806, &DOWN), []);
    assert_eq!(watch(&mut breaker, 806..807, &UP), [(806, Change::Closed(ms(106)))]);
    assert_eq!(breaker.opened(), 3);
}

#[test]
fn probes_that_got_lost_on_the_way_get_company() {
    let mut breaker = Breaker::of_port();
    breaker.look(ms(0), &refused(100));
    let sets: Vec<_> = (1..450).filter(|&at| breaker.look(ms(at), &passed(3)).0).collect();
    assert_eq!(sets, [100, 200, 300, 400]);
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
}

#[test]
fn a_receiver_is_given_up_at_once_and_trusted_when_no_bad_news_came_back() {
    let mut breaker = Breaker::of_receiver();
    let bad = Evidence { unreachable: true, ..UP };
    assert_eq!(watch(&mut breaker, 3..4, &bad), [(3, Change::Opened(Reason::Unreachable))]);
    watch(&mut breaker, 4..104, &UP);
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    // The probes went out at once; the answer to them comes 40 ms later.
    assert_eq!(watch(&mut breaker, 104..144, &passed(5)), []);
    assert_eq!(watch(&mut breaker, 144..145, &bad), []);
    assert_eq!(breaker.state(), BreakerState::Open);
    watch(&mut breaker, 145..345, &passed(5));
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    assert_eq!(watch(&mut breaker, 345..500, &passed(10)), [(444, Change::Closed(ms(441)))]);
    assert_eq!(breaker.opened(), 1);
}

/// The worker clears the row while management reads it: the beginning is gone, the end not yet.
#[test]
fn a_row_of_refusals_that_is_just_over_opens_nothing() {
    let fixture = crate::manage::fixture::Fixture::new();
    let mut breakers = Breakers::new(&fixture.plan);
    let receivers = fixture.plan.capacity.receivers as usize;
    let words = BreakerWords::new(fixture.plan.ports.len(), receivers);
    let links = vec![true; fixture.plan.ports.len()];
    let news = News { links: &links, unreachable: &[], unresolved: &[] };
    let hour = 3_600 * fixture.plan.ticks_per_second;
    for (from, opens) in [(0, 0), (hour - 1, 0), (1, 1)] {
        for port in &fixture.counters.ports {
            port.refused_from.set(from);
            port.refused_until.set(hour);
        }
        breakers.look(ms(1), &fixture.plan, &[&fixture.counters], &news, &words, |_, _| {});
        let sent_to = breakers.ports.iter().zip(&fixture.plan.ports).filter(|p| p.1.lanes > 0);
        assert!(sent_to.map(|p| p.0.opened()).all(|opened| opened == opens), "from {from}");
    }
}

proptest::proptest! {
    /// Whatever is seen, in whatever order: it is never open longer than the longest backoff once
    /// the link is up and nothing is refused, and opened and closed alternate.
    #[test]
    fn it_always_finds_back(
        seen in proptest::collection::vec((0_u8..4, 1_u64..400), 1..40),
    ) {
        let mut breaker = Breaker::of_port();
        let (mut now, mut sent, mut last) = (0, 0, None::<bool>);
        let mut step = |breaker: &mut Breaker, evidence: Evidence, now: u64| {
            if let Some(change) = breaker.look(ms(now), &evidence).1 {
                let opened = matches!(change, Change::Opened(_));
                assert_ne!(last, Some(opened));
                last = Some(opened);
            }
        };
        for (kind, length) in seen {
            for _ in 0..length {
                now += 1;
                let evidence = match kind {
                    0 => DOWN,
                    1 => refused(100),
                    2 => Evidence { unreachable: true, ..UP },
                    _ => UP,
                };
                step(&mut breaker, Evidence { passed: sent, ..evidence }, now);
            }
        }
        for _ in 0..1_200 {
            now += 1;
            sent += u64::from(breaker.state() != BreakerState::Open);
            step(&mut breaker, passed(sent), now);
        }
        proptest::prop_assert_eq!(breaker.state(), BreakerState::Closed);
    }
}
