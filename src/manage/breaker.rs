//! Circuit breakers: when a port or a receiver is given up for a while, and when it is tried again.
//!
//! The pattern is Nygard's (Release It!, chapter 5). A breaker opens when its port's link is down
//! or the port has taken nothing for [`REFUSED_MAX`], or when its receiver is reported unreachable, or
//! none of its neighbours says its MAC. After a backoff a few copies try it (half open): if they pass
//! it closes, if not it opens again for twice as long. A link that comes up and a neighbour that
//! answers close it at once. All of this is arithmetic on times
//! that are arguments; the workers read one word (`stages::BreakerWords`).

use std::time::Duration;

use crate::config::Config;
use crate::ledger::{Counters, PortCounters};
use crate::packet::Ticks;
use crate::plan::Plan;
use crate::stages::{BreakerState, BreakerWords, PROBES};

/// A port that has taken nothing for so long is given up.
pub const REFUSED_MAX: Duration = Duration::from_millis(100);
/// How long a breaker stays open the first time; doubles up to [`BACKOFF_MAX`].
pub const BACKOFF_MIN: Duration = Duration::from_millis(100);
/// How long it stays open at most before it is tried again.
pub const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// Probes that were refused for so long have failed.
const PROBE_REFUSED_MAX: Duration = Duration::from_millis(10);
/// Probes that led to nothing for so long get company.
const PROBES_EVERY: Duration = Duration::from_millis(100);
/// How long a receiver's bad news may take to come back.
const NEWS_MAX: Duration = Duration::from_millis(100);

/// Why a breaker opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The port's link is down.
    LinkDown,
    /// The port takes nothing.
    Refused,
    /// The receiver cannot be reached.
    Unreachable,
    /// No neighbour that the receiver's copies go to says its MAC.
    Unresolved,
}

impl Reason {
    /// Whether its end is seen, so that nothing need be tried.
    const fn lasts(self) -> bool {
        matches!(self, Self::LinkDown | Self::Unresolved)
    }
}

/// What is worth an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was given up. Failed probes are not told again.
    Opened(Reason),
    /// It works again, after so long.
    Closed(Duration),
}

/// What is known of a port or receiver now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Whether the link is up; always, for a receiver.
    pub link_up: bool,
    /// How long the port has taken nothing.
    pub refused: Duration,
    /// Whether the receiver was reported unreachable since it was looked at last.
    pub unreachable: bool,
    /// Whether no neighbour of the receiver answers.
    pub unresolved: bool,
    /// Copies accepted for it since the start.
    pub passed: u64,
}

/// The state machine of one breaker. Times are since any fixed start.
#[derive(Clone, Copy, Debug)]
pub struct Breaker {
    state: BreakerState,
    reason: Reason,
    /// When it entered its state, or got new probes.
    since: Duration,
    opened_at: Duration,
    backoff: Duration,
    /// Copies that had passed when it was half opened, and when that was.
    probing: (u64, Duration),
    /// How long good news must last: what passes for a port has passed, a receiver's bad news
    /// takes its time.
    settles: Duration,
    opened: u64,
}

impl Breaker {
    /// The breaker of a port, closed.
    pub fn of_port() -> Self {
        Self::new(Duration::ZERO)
    }

    /// The breaker of a receiver, closed.
    pub fn of_receiver() -> Self {
        Self::new(NEWS_MAX)
    }

    fn new(settles: Duration) -> Self {
        Self {
            state: BreakerState::Closed,
            reason: Reason::Refused,
            since: Duration::ZERO,
            opened_at: Duration::ZERO,
            backoff: BACKOFF_MIN,
            probing: (0, Duration::ZERO),
            settles,
            opened: 0,
        }
    }

    /// Its state.
    pub fn state(&self) -> BreakerState {
        self.state
    }

    /// How often it has opened; failed probes are not counted.
    pub fn opened(&self) -> u64 {
        self.opened
    }

    /// Looks at the evidence, once a tick. The first answer says whether the workers' word is to
    /// be set, be it to the same state again for new probes.
    pub fn look(&mut self, now: Duration, seen: &Evidence) -> (bool, Option<Change>) {
        let fails = self.fails(seen);
        match (self.state, fails) {
            (BreakerState::Closed, None) => (false, None),
            (BreakerState::Closed, Some(reason)) => {
                (self.opened, self.opened_at) = (self.opened + 1, now);
                self.open(now, reason);
                (true, Some(Change::Opened(reason)))
            }
            (BreakerState::Open, Some(reason)) if reason.lasts() => {
                (self.reason, self.since) = (reason, now);
                (false, None)
            }
            (BreakerState::Open, _) if self.reason.lasts() => self.close(now),
            (BreakerState::Open, _) => {
                let tries = now.saturating_sub(self.since) >= self.backoff;
                if tries {
                    self.probing = (seen.passed, now);
                    (self.state, self.since) = (BreakerState::HalfOpen, now);
                }
                (tries, None)
            }
            (BreakerState::HalfOpen, Some(reason)) => {
                self.backoff = (2 * self.backoff).min(BACKOFF_MAX);
                self.open(now, reason);
                (true, None)
            }
            (BreakerState::HalfOpen, None) => {
                let (passed, from) = self.probing;
                let settled = now.saturating_sub(from) >= self.settles;
                if settled && seen.passed - passed >= u64::from(PROBES) {
                    return self.close(now);
                }
                let renews = now.saturating_sub(self.since) >= PROBES_EVERY;
                if renews {
                    self.since = now;
                }
                (renews, None)
            }
        }
    }

    /// Why it does not work, if so.
    fn fails(&self, seen: &Evidence) -> Option<Reason> {
        let refused_max = match self.state {
            BreakerState::HalfOpen => PROBE_REFUSED_MAX,
            BreakerState::Closed | BreakerState::Open => REFUSED_MAX,
        };
        if !seen.link_up {
            Some(Reason::LinkDown)
        } else if seen.unresolved {
            Some(Reason::Unresolved)
        } else if seen.unreachable {
            Some(Reason::Unreachable)
        } else {
            (seen.refused >= refused_max).then_some(Reason::Refused)
        }
    }

    fn open(&mut self, now: Duration, reason: Reason) {
        (self.state, self.reason, self.since) = (BreakerState::Open, reason, now);
    }

    fn close(&mut self, now: Duration) -> (bool, Option<Change>) {
        (self.state, self.since, self.backoff) = (BreakerState::Closed, now, BACKOFF_MIN);
        (true, Some(Change::Closed(now.saturating_sub(self.opened_at))))
    }
}

/// Whose breaker it is, by slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// A port's.
    Port(usize),
    /// A receiver's.
    Receiver(usize),
}

/// All breakers of an instance.
#[derive(Clone, Debug)]
pub struct Breakers {
    /// By port slot.
    pub ports: Vec<Breaker>,
    /// By receiver slot.
    pub receivers: Vec<Breaker>,
}

/// What came from outside since the breakers were looked at last.
#[derive(Clone, Copy, Debug)]
pub struct News<'a> {
    /// By port slot: whether the link is up.
    pub links: &'a [bool],
    /// Slots of receivers that were reported unreachable.
    pub unreachable: &'a [usize],
    /// Slots of receivers none of whose neighbours answers now.
    pub unresolved: &'a [usize],
}

impl Breakers {
    /// All closed, for the ports and receivers of `plan`.
    pub fn new(plan: &Plan) -> Self {
        Self {
            ports: vec![Breaker::of_port(); plan.ports.len()],
            receivers: vec![Breaker::of_receiver(); plan.capacity.receivers as usize],
        }
    }

    /// Closes the breaker of a receiver slot that another receiver has now.
    pub fn reset_receiver(&mut self, slot: usize, words: &BreakerWords) {
        self.receivers[slot] = Breaker::of_receiver();
        words.set_receiver(slot, BreakerState::Closed);
    }

    /// Whether those of `plan` are all closed.
    pub fn is_calm(&self, plan: &Plan) -> bool {
        let receivers = plan.receiver_slots.iter().map(|&slot| &self.receivers[slot as usize]);
        self.ports.iter().chain(receivers).all(|breaker| breaker.state() == BreakerState::Closed)
    }

    /// Looks at counters and news, once a tick, and tells the workers. `alert` hears of changes.
    pub fn look(
        &mut self,
        now: Duration,
        plan: &Plan,
        counters: &[&Counters],
        news: &News<'_>,
        words: &BreakerWords,
        mut alert: impl FnMut(Of, Change),
    ) {
        for (slot, breaker) in self.ports.iter_mut().enumerate() {
            if plan.ports[slot].lanes == 0 {
                continue;
            }
            let each = || counters.iter().map(|counters| &counters.ports[slot]);
            // Only the worker that sends to it counts refusals.
            let row = each().map(refused).max().unwrap_or_default();
            let nanos = u128::from(row) * 1_000_000_000 / u128::from(plan.ticks_per_second);
            let seen = Evidence {
                link_up: news.links[slot],
                refused: Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)),
                unreachable: false,
                unresolved: false,
                passed: each().map(|port| port.sent.get()).sum(),
            };
            let (set, change) = breaker.look(now, &seen);
            if set {
                words.set_port(slot, breaker.state());
            }
            change.into_iter().for_each(|change| alert(Of::Port(slot), change));
        }
        // Not all that there is room for: those are some hundred thousand bytes, once a millisecond.
        for slot in plan.receiver_slots.iter().map(|&slot| slot as usize) {
            let breaker = &mut self.receivers[slot];
            let unreachable = news.unreachable.contains(&slot);
            let unresolved = news.unresolved.contains(&slot);
            if breaker.state() == BreakerState::Closed && !unreachable && !unresolved {
                continue;
            }
            let outputs = plan.outputs.iter().enumerate();
            let its = outputs.filter(|(_, output)| output.receiver == Some(slot as u32));
            let sent = its.flat_map(|(i, _)| counters.iter().map(move |c| c.outputs[i].sent.get()));
            let passed = sent.sum();
            let refused = Duration::ZERO;
            let seen = Evidence { link_up: true, refused, unreachable, unresolved, passed };
            let (set, change) = breaker.look(now, &seen);
            if set {
                words.set_receiver(slot, breaker.state());
            }
            change.into_iter().for_each(|change| alert(Of::Receiver(slot), change));
        }
    }
}

/// How long a port has taken nothing, in ticks.
fn refused(port: &PortCounters) -> Ticks {
    let (until, from) = (port.refused_until.get(), port.refused_from.get());
    // The worker clears both when a row ends: between the two reads, from is 0 already.
    if from == 0 { 0 } else { until.saturating_sub(from) }
}

/// Whose breaker it is, for people.
pub fn name(config: &Config, of: Of) -> String {
    match of {
        Of::Port(slot) => format!("port {}", config.ports[slot].name),
        Of::Receiver(slot) => format!("receiver {}", config.receivers[slot].name),
    }
}

/// Everyone that has a breaker.
pub fn names(config: &Config) -> impl Iterator<Item = String> + '_ {
    let ports = (0..config.ports.len()).map(Of::Port);
    let receivers = (0..config.receivers.len()).map(Of::Receiver);
    ports.chain(receivers).map(|of| name(config, of))
}

/// What an open breaker means, and what to look at.
pub fn told(reason: Reason) -> (String, &'static str) {
    let (what, remedy) = match reason {
        Reason::LinkDown => ("the link is down", "look at cable and peer"),
        Reason::Refused => ("it has taken nothing for 100 ms", "look at what reads from it"),
        Reason::Unreachable => ("it cannot be reached", "look at the host and its route"),
        Reason::Unresolved => (
            "nobody says its MAC",
            "look at the host, its address and VLAN, and at `punctual show neighbours`",
        ),
    };
    let text = format!(
        "{what}; its circuit breaker is open, and copies for it end as breaker_open until it is \
         back"
    );
    (text, remedy)
}

#[cfg(test)]
mod tests;
