//! Alerts by their thresholds, hysteresis and bounds, on counters that are set by hand.

use proptest::prelude::*;

use super::*;
use crate::config::{Expect, Threshold};
use crate::ledger::{Counters, Ledger};
use crate::manage::breaker::Reason;
use crate::manage::fixture;
use crate::packet::DropReason;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// An instance whose counters are set by hand, and what is told of it.
struct Site {
    config: Config,
    plan: Plan,
    counters: Counters,
    ledger: Ledger,
    drivers: Drivers,
    alerts: Alerts,
    now: Duration,
    /// Whether the worker takes turns.
    turns: bool,
    /// When, kind, subject, level where it is active.
    told: Vec<(Duration, String, String, Option<Level>)>,
}

impl Site {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = fixture::config();
        change(&mut config);
        let plan = fixture::plan(&config);
        let counters = Counters::for_plan(&plan);
        counters.worker.generation.set(plan.generation);
        Self {
            config,
            plan,
            counters,
            ledger: Ledger::default(),
            drivers: Drivers { ports: vec![PortStatus::default(); 2], ..Drivers::default() },
            alerts: Alerts::default(),
            now: Duration::ZERO,
            turns: true,
            told: Vec::new(),
        }
    }

    fn tick(&mut self) {
        if self.turns {
            self.counters.worker.turns.add(1);
        }
        self.counters.ledger.publish(&self.ledger);
        let workers = [WorkerView { lcore: 1, counters: &self.counters }];
        let seen = Seen { config: &self.config, plan: &self.plan, workers: &workers };
        let (now, told) = (self.now, &mut self.told);
        self.alerts.tick(
            now,
            &seen,
            || self.drivers.clone(),
            |alert| {
                let level = alert.active.then_some(alert.level);
                told.push((now, alert.kind.clone(), alert.subject.clone(), level));
            },
        );
        self.now += MS;
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.tick();
        }
    }

    /// What was told since the last time, without when.
    fn news(&mut self) -> Vec<(String, String, Option<Level>)> {
        self.told.drain(..).map(|(_, kind, subject, level)| (kind, subject, level)).collect()
    }
}

fn news(kind: &str, subject: &str, level: Option<Level>) -> (String, String, Option<Level>) {
    (kind.into(), subject.into(), level)
}

#[test]
fn a_loss_is_information_then_a_warning_and_ends_after_three_quiet_seconds() {
    let mut site = Site::new();
    site.pass(SECOND);
    assert_eq!(site.news(), []);
    site.drivers.ports[0].missed += 10;
    site.pass(SECOND);
    assert_eq!(site.news(), [news("missed", "in", Some(Level::Info))]);
    site.drivers.ports[0].missed += 11;
    site.pass(SECOND);
    assert_eq!(site.news(), [news("missed", "in", Some(Level::Warning))]);
    site.pass(2 * SECOND);
    site.drivers.ports[0].missed += 11;
    site.pass(SECOND);
    assert_eq!(site.news(), [], "two quiet seconds end nothing");
    site.pass(3 * SECOND);
    assert_eq!(site.news(), [news("missed", "in", None)]);
    let list = site.alerts.list();
    assert_eq!((list.len(), list[0].count, list[0].since_ns), (1, 32, 1_000_000_000));
    assert!(!list[0].active && list[0].text.starts_with("11 frames"), "{list:?}");
    assert!(list[0].remedy.contains("CPU"));
}

#[test]
fn a_warning_falls_to_information_where_a_little_is_still_lost() {
    let mut site = Site::new();
    site.drivers.ports[1].tx_errors += 100;
    site.tick();
    assert_eq!(site.news(), [news("tx_errors", "out", Some(Level::Warning))]);
    for _ in 0..4 {
        site.pass(SECOND);
        site.drivers.ports[1].tx_errors += 1;
    }
    assert_eq!(site.news(), [news("tx_errors", "out", Some(Level::Info))]);
}

#[test]
fn a_driver_that_counts_anew_is_no_endless_loss() {
    let mut site = Site::new();
    site.drivers.ports[0].missed = 5;
    site.tick();
    site.drivers.ports[0].missed = 2;
    site.pass(SECOND);
    site.tick();
    assert_eq!(site.alerts.list()[0].count, 7);
}

#[test]
fn every_loss_has_its_alert_and_a_noisy_vlan_has_none() {
    for reason in DropReason::ALL {
        let mut site = Site::new();
        site.ledger.received = 1_000_000;
        site.ledger.copies = 1_000_000;
        site.ledger.punted = 1_000;
        site.ledger.dropped_before[reason.index()] = 6;
        site.ledger.dropped_after[reason.index()] = 6;
        site.tick();
        let told = site.news();
        match reason {
            DropReason::NoRule | DropReason::Policed => assert_eq!(told, []),
            _ => {
                assert_eq!(told[0], news(reason.name(), "instance", Some(Level::Warning)));
                assert!(!site.alerts.list()[0].remedy.is_empty());
            }
        }
    }
}

#[test]
fn more_than_one_in_a_hundred_deadlines_missed_is_a_warning() {
    for (late, level) in [
        (0, None),
        (1, Some(Level::Info)),
        (10, Some(Level::Info)),
        (11, Some(Level::Warning)),
        (1_000, Some(Level::Warning)),
    ] {
        let mut site = Site::new();
        (site.ledger.copies, site.ledger.sent) = (1_000, 1_000);
        site.counters.outputs[1].late_sent.add(late);
        site.tick();
        let told = site.news();
        assert_eq!(told.first().map(|(_, _, level)| *level), level.map(Some), "{late}");
        assert!(told.iter().all(|(kind, ..)| kind == "deadline_misses"), "{told:?}");
    }
    // Where nothing is in time no copy is made.
    let mut site = Site::new();
    site.ledger.dropped_before[DropReason::Late.index()] = 5;
    site.tick();
    assert!(site.news().contains(&news("deadline_misses", "instance", Some(Level::Warning))));
}

#[test]
fn a_pool_that_fills_is_told_by_its_percentage() {
    let mut site = Site::new();
    let pool = |in_use| PoolStatus {
        name: "payload".into(),
        size: 1_100,
        in_use,
        in_use_max: in_use,
        held: 100,
    };
    for (in_use, told) in [
        (890, vec![]),
        (900, vec![news("pool", "payload", Some(Level::Info))]),
        (1_001, vec![news("pool", "payload", Some(Level::Warning))]),
    ] {
        site.drivers.pools = vec![pool(in_use)];
        site.pass(SECOND);
        assert_eq!(site.news(), told, "{in_use}");
    }
}

#[test]
fn a_worker_that_takes_no_turn_is_noticed_within_100_ms_and_a_tick() {
    let mut site = Site::new();
    site.pass(SECOND);
    site.turns = false;
    let stopped = site.now;
    assert!(site.alerts.all_advance());
    while site.alerts.all_advance() {
        site.tick();
    }
    let (at, kind, subject, level) = site.told.pop().unwrap();
    assert_eq!(
        (kind.as_str(), subject.as_str(), level),
        ("stalled", "lcore 1", Some(Level::Warning))
    );
    assert!(at - stopped <= STALL + MS, "{:?}", at - stopped);
    site.turns = true;
    site.tick();
    assert!(site.alerts.all_advance());
    site.pass(QUIET);
    assert_eq!(site.news(), [news("stalled", "lcore 1", None)]);
}

#[test]
fn where_management_stood_still_itself_the_worker_is_not_blamed() {
    let mut site = Site::new();
    site.pass(SECOND);
    site.turns = false;
    site.now += 10 * SECOND;
    site.tick();
    assert!(site.alerts.all_advance());
    assert_eq!(site.news(), []);
}

#[test]
fn a_plan_that_is_not_taken_up_for_a_second_is_told() {
    let mut site = Site::new();
    site.pass(SECOND);
    site.plan.generation += 1;
    site.pass(999 * MS);
    assert_eq!(site.news(), []);
    site.pass(2 * MS);
    assert_eq!(site.news(), [news("generation", "lcore 1", Some(Level::Warning))]);
}

/// A rule that expects so many packets a second.
fn expecting(min: u64, within: Duration) -> Site {
    Site::with(|config| config.rules[0].expect = Some(Expect { min: min * 60, within }))
}

#[test]
fn a_feed_that_stops_is_silent_within_its_window_and_speaks_again() {
    let mut site = expecting(2, 5 * SECOND);
    let gap = 500 * MS;
    for _ in 0..40 {
        site.counters.rules[0].packets.add(1);
        site.pass(gap);
    }
    assert_eq!(site.news(), [], "as much as it expects, and no more");
    // The last packet came before this gap.
    let stopped = site.now - gap;
    site.pass(5 * SECOND);
    let (at, kind, subject, _) = site.told.pop().expect("it is silent");
    assert_eq!((kind.as_str(), subject.as_str()), ("silent", "itch"));
    assert!(at - stopped <= 5 * SECOND + MS, "{:?}", at - stopped);
    for _ in 0..60 {
        site.counters.rules[0].packets.add(1);
        site.pass(gap);
    }
    assert_eq!(site.news(), [news("silent", "itch", None)]);
}

#[test]
fn a_feed_that_never_comes_is_silent_from_its_first_window_on() {
    let mut site = expecting(1, 2 * SECOND);
    site.pass(1_900 * MS);
    assert_eq!(site.news(), []);
    site.pass(101 * MS);
    assert_eq!(site.news(), [news("silent", "itch", Some(Level::Warning))]);
}

#[test]
fn a_rule_that_a_reload_takes_away_is_silent_no_more() {
    let mut site = expecting(1, 2 * SECOND);
    site.pass(3 * SECOND);
    site.news();
    site.config.rules[0].expect = None;
    site.plan.generation += 1;
    site.counters.worker.generation.set(site.plan.generation);
    site.pass(SECOND);
    assert_eq!(site.news(), [news("silent", "itch", None)]);
}

#[test]
fn what_is_off_is_not_told_and_what_is_set_is() {
    let mut site = Site::with(|config| {
        config.alerts.set(AlertKind::Missed, None);
        config.alerts.set(AlertKind::Stalled, None);
        config.alerts.set(AlertKind::RxErrors, Some(Threshold { info: 100, warning: 200 }));
    });
    site.drivers.ports[0].missed = 1_000;
    site.drivers.ports[0].rx_errors = 99;
    site.turns = false;
    site.pass(SECOND);
    assert_eq!(site.news(), []);
    // The service manager hears of a stall all the same.
    assert!(!site.alerts.all_advance());
    site.drivers.ports[0].rx_errors += 150;
    site.tick();
    assert_eq!(site.news(), [news("rx_errors", "in", Some(Level::Info))]);
}

#[test]
fn thresholds_that_a_reload_changes_hold_from_the_next_look_on() {
    let mut site = Site::new();
    let lose = |site: &mut Site, seconds: u32| {
        for _ in 0..seconds {
            site.drivers.ports[0].missed += 5;
            site.pass(SECOND);
        }
    };
    lose(&mut site, 2);
    assert_eq!(site.news(), [news("missed", "in", Some(Level::Info))]);
    // Five are now too many.
    site.config.alerts.set(AlertKind::Missed, Some(Threshold { info: 1, warning: 4 }));
    lose(&mut site, 1);
    assert_eq!(site.news(), [news("missed", "in", Some(Level::Warning))]);
    // Now they are too few: as if nothing were lost, which it is after three seconds.
    site.config.alerts.set(AlertKind::Missed, Some(Threshold { info: 6, warning: 10 }));
    lose(&mut site, 2);
    assert_eq!(site.news(), []);
    lose(&mut site, 2);
    assert_eq!(site.news(), [news("missed", "in", None)]);
    site.config.alerts.set(AlertKind::Missed, Some(Threshold { info: 1, warning: 10 }));
    lose(&mut site, 1);
    assert_eq!(site.news(), [news("missed", "in", Some(Level::Info))]);
    // What is off ends as quietly.
    site.config.alerts.set(AlertKind::Missed, None);
    lose(&mut site, 5);
    assert_eq!(site.news(), [news("missed", "in", None)]);
    assert_eq!(site.alerts.active(), 0);
    let list = site.alerts.list();
    assert_eq!(list.len(), 2, "each time it is another alert: {list:?}");
}

#[test]
fn log_lines_that_found_no_room_are_told() {
    let mut site = Site::new();
    site.pass(SECOND);
    for (lines, told) in [(10, Level::Info), (11, Level::Warning)] {
        site.drivers.log_dropped += lines;
        site.pass(SECOND);
        assert_eq!(site.news(), [news("log_dropped", "instance", Some(told))]);
    }
    site.pass(3 * SECOND);
    assert_eq!(site.news(), [news("log_dropped", "instance", None)]);
    let list = site.alerts.list();
    assert_eq!((list[0].count, list[0].active), (21, false));
    assert!(list[0].remedy.contains("standard error"), "{list:?}");
}

#[test]
fn copies_that_were_made_long_ago_and_are_sent_too_late_now_are_misses_of_now() {
    let mut site = Site::new();
    site.ledger.copies = 1_000;
    site.ledger.waiting_after = 1_000;
    site.tick();
    assert_eq!(site.news(), [], "what waits has missed nothing yet");
    site.ledger.sent = 1_000;
    site.ledger.waiting_after = 0;
    site.counters.outputs[0].late_sent.add(8);
    site.pass(SECOND);
    assert_eq!(site.news(), [news("deadline_misses", "instance", Some(Level::Info))]);
    let list = site.alerts.list();
    assert!(list[0].text.starts_with("8 of 1,000 copies"), "{list:?}");
}

#[test]
fn a_receiver_that_a_reload_takes_away_has_no_breaker_any_more() {
    let mut site = Site::new();
    let told = (Of::Receiver(0), Change::Opened(Reason::Unreachable));
    site.alerts.breaker(site.now, &site.config, told, |_| {});
    site.pass(2 * SECOND);
    assert_eq!(site.alerts.active(), 1);
    site.config.receivers.clear();
    site.config.rules.iter_mut().flat_map(|rule| &mut rule.outputs).for_each(|output| {
        output.receiver = None;
    });
    site.pass(SECOND);
    assert_eq!(site.news(), [news("breaker", "receiver desk-eq", None)]);
}

#[test]
fn a_feed_whose_slot_another_rule_had_begins_its_window_anew() {
    let mut site = expecting(2, 5 * SECOND);
    site.counters.rules[0].packets.add(1_000_000);
    site.pass(4 * SECOND);
    // As a reload does that gives the slot away and back within a window.
    site.counters.rules[0].clear();
    site.pass(4_900 * MS);
    assert_eq!(site.news(), [], "its window is not over");
    site.pass(200 * MS);
    assert_eq!(site.news(), [news("silent", "itch", Some(Level::Warning))]);
}

#[test]
fn a_breaker_is_an_alert_until_it_closes() {
    let mut site = Site::new();
    let told = (Of::Port(1), Change::Opened(Reason::Refused));
    site.alerts.breaker(site.now, &site.config, told, |_| {});
    site.pass(5 * SECOND);
    let list = site.alerts.list();
    assert_eq!((list[0].kind.as_str(), list[0].subject.as_str()), ("breaker", "port out"));
    assert!(list[0].active && list[0].text.contains("breaker_open"), "{list:?}");
    let told = (Of::Port(1), Change::Closed(SECOND));
    site.alerts.breaker(site.now, &site.config, told, |_| {});
    assert!(!site.alerts.list()[0].active);
    assert_eq!(site.alerts.active(), 0);
}

#[test]
fn the_newest_are_kept_and_what_is_active_before_what_is_over() {
    let mut site = Site::new();
    let change = |site: &mut Site, of, change| {
        site.now += SECOND;
        site.alerts.breaker(site.now, &site.config, (of, change), |_| {});
    };
    change(&mut site, Of::Receiver(0), Change::Opened(Reason::Unreachable));
    for _ in 0..1_000 {
        change(&mut site, Of::Port(0), Change::Opened(Reason::LinkDown));
        change(&mut site, Of::Port(0), Change::Closed(SECOND));
    }
    let list = site.alerts.list();
    assert_eq!(list.len(), ALERTS_MAX);
    assert_eq!((list[0].subject.as_str(), list[0].active), ("receiver desk-eq", true));
    assert!(list.windows(2).all(|pair| pair[0].since_ns < pair[1].since_ns));
    assert_eq!(list.last().unwrap().since_ns, 2_000 * 1_000_000_000);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is lost: an alert is active exactly where there was a loss in the last three
    /// seconds, it is a warning where one of them lost more than ten, and levels change in turn.
    #[test]
    fn levels_follow_the_last_three_seconds(lost in prop::collection::vec(
        prop_oneof![3 => Just(0u64), 1 => 1u64..=10, 1 => 11u64..1_000], 1..60)
    ) {
        let mut site = Site::new();
        let mut active = None;
        let mut fallen = 0;
        for (second, count) in lost.iter().enumerate() {
            site.drivers.ports[0].missed += count;
            site.now = SECOND * second as u32;
            site.tick();
            for (_, _, level) in site.news() {
                prop_assert_ne!(level, active, "told once a change");
                fallen = if level < active { second } else { fallen };
                active = level;
            }
            let level = |count: u64| match count {
                0 => None,
                1..=10 => Some(Level::Info),
                _ => Some(Level::Warning),
            };
            prop_assert!(active >= level(*count));
            let recent = lost[second.saturating_sub(2)..=second].iter().map(|&count| level(count));
            let highest = recent.max().flatten();
            // It never ends early, and it ends in time, but where it has just fallen a level.
            prop_assert!(active >= highest, "{second}");
            prop_assert!(active == highest || second - fallen < 3, "{second}");
            prop_assert_eq!(site.alerts.active(), usize::from(active.is_some()));
        }
        let total: u64 = site.alerts.list().iter().map(|alert| alert.count).sum();
        prop_assert_eq!(total, lost.iter().sum::<u64>(), "each loss is in one alert");
    }
}
