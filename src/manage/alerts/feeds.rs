//! Feeds: rules that get less than they expect are silent.
//!
//! A rule's packets are sampled 64 times a window. What came since the sample at the window's other
//! end is compared with what should have come. The sample is at most a window old when the next one
//! is due, so that a feed that stops is noticed within its window, and a tick.

use std::collections::VecDeque;
use std::time::Duration;

use super::book::Reading;
use super::{Seen, nanos, remedy};
use crate::config::{AlertKind, Expect, Rule, show_duration, show_packet_rate};

/// Samples of a window.
const SAMPLES: u32 = 64;
/// Nanoseconds of a minute.
const MINUTE: u128 = 60_000_000_000;

/// All rules that expect something, in file order.
#[derive(Clone, Debug, Default)]
pub struct Feeds {
    /// The plan that they were taken from.
    generation: u64,
    feeds: Vec<Feed>,
}

/// One rule.
#[derive(Clone, Debug)]
struct Feed {
    name: String,
    slot: usize,
    expect: Expect,
    /// When, and how many packets there were; the first is the window's other end.
    samples: VecDeque<(Duration, u64)>,
    /// When it is looked at next.
    due: Duration,
}

/// Whether a rule has this name and expects something.
pub fn expects(rule: &Rule, name: &str) -> bool {
    rule.expect.is_some() && rule.name == name
}

impl Feeds {
    /// Looks at the rules whose time has come.
    pub fn look(&mut self, now: Duration, seen: &Seen<'_>, note: &mut impl FnMut(Reading<'_>)) {
        if self.generation != seen.plan.generation {
            self.adopt(now, seen);
        }
        for feed in self.feeds.iter_mut().filter(|feed| feed.due <= now) {
            let rules = seen.workers.iter().map(|worker| &worker.counters.rules[feed.slot]);
            feed.look(now, rules.map(|rule| rule.packets.get()).sum(), note);
        }
    }

    /// Takes over the rules of another plan; what is known of those that stay, stays.
    fn adopt(&mut self, now: Duration, seen: &Seen<'_>) {
        let mut known = std::mem::take(&mut self.feeds);
        let rules = seen.config.rules.iter().zip(&seen.plan.rule_slots);
        let feeds = rules.filter_map(|(rule, &slot)| {
            let (expect, slot) = (rule.expect?, slot as usize);
            let same = |feed: &Feed| (feed.slot, feed.expect) == (slot, expect);
            let place = known.iter().position(|feed| feed.name == rule.name && same(feed));
            Some(match place {
                Some(place) => known.swap_remove(place),
                None => {
                    let name = rule.name.clone();
                    Feed { name, slot, expect, samples: VecDeque::new(), due: now }
                }
            })
        });
        self.feeds = feeds.collect();
        self.generation = seen.plan.generation;
    }
}

impl Feed {
    fn look(&mut self, now: Duration, packets: u64, note: &mut impl FnMut(Reading<'_>)) {
        let Expect { min, within } = self.expect;
        let slice = within / SAMPLES;
        self.due = now + slice;
        // Another rule had the slot, and its count has begun anew.
        if self.samples.back().is_some_and(|&(_, before)| before > packets) {
            self.samples.clear();
        }
        self.samples.push_back((now, packets));
        let mut whole = false;
        while self.samples.front().is_some_and(|&(at, _)| now - at > within - slice) {
            self.samples.pop_front();
            whole = true;
        }
        let Some(&(from, before)) = self.samples.front().filter(|_| whole) else {
            return;
        };
        let wanted = u128::from(min) * u128::from(nanos(now - from)) / MINUTE;
        let came = packets - before;
        let text = || {
            let (min, within) = (show_packet_rate(min), show_duration(within));
            format!("{came} packets in {within}, and it expects at least {min}")
        };
        note(Reading {
            kind: AlertKind::Silent,
            subject: &self.name,
            value: (u128::from(came) < wanted.max(1)).into(),
            count: came,
            text: &text,
            remedy: remedy::of(AlertKind::Silent),
        });
    }
}
