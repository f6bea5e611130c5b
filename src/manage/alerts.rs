//! Alerts: what the operator should know, when it begins and when it is over.
//!
//! Management looks once a tick and says the time; nothing here reads a clock or a device.
//!
//! ```text
//! heartbeats  a worker that takes no turn, or does not take up a plan    each tick
//! feeds       a rule that gets less than it expects                      by its window
//! losses      counters that grow, deadlines missed, pools that fill      once a second
//! book        levels and hysteresis; the list of the newest
//! remedy      what to do about each kind
//! ```

mod book;
mod feeds;
mod heartbeats;
mod losses;
mod remedy;

pub use book::{ALERTS_MAX, QUIET};
pub use heartbeats::STALL;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::book::{Book, Reading};
use self::feeds::Feeds;
use self::heartbeats::Heartbeats;
use self::losses::Losses;
use super::breaker::{self, Change, Of};
use super::report::{PoolStatus, PortStatus, WorkerView};
use crate::config::{AlertKind, Config};
use crate::plan::Plan;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Good to know.
    Info,
    /// Something is to be done.
    Warning,
}

impl Level {
    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
        }
    }
}

/// One alert, as the report shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// When it began, in nanoseconds since the start.
    pub since_ns: u64,
    /// What it is about, by the name of its key in `[alerts]`.
    pub kind: String,
    /// How bad it is; the worst of the last seconds.
    pub level: Level,
    /// Whom it is about: a port, rule, receiver, worker or pool, or the instance.
    pub subject: String,
    /// Of a loss: packets or copies since it began. Of a ratio or pool: its value. Of a stall: ms.
    /// Of a silent rule: packets in the window.
    pub count: u64,
    /// What is the case.
    pub text: String,
    /// What to do.
    pub remedy: String,
    /// Whether it is still so.
    pub active: bool,
}

/// What is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The configuration in force.
    pub config: &'a Config,
    /// The plan in force.
    pub plan: &'a Plan,
    /// All workers.
    pub workers: &'a [WorkerView<'a>],
}

/// What costs a question to the drivers, and is asked for once a second.
#[derive(Clone, Debug, Default)]
pub struct Drivers {
    /// By port slot.
    pub ports: Vec<PortStatus>,
    /// All pools.
    pub pools: Vec<PoolStatus>,
    /// Log lines that were dropped, since the start.
    pub log_dropped: u64,
    /// Messages that copies do not arrive, since the start.
    pub unreachable: u64,
}

/// All alerts of an instance.
#[derive(Clone, Debug, Default)]
pub struct Alerts {
    book: Book,
    heartbeats: Heartbeats,
    feeds: Feeds,
    losses: Losses,
}

impl Alerts {
    /// Looks at everything whose time has come, at `now` since the start; `drivers` is asked once
    /// a second. `tell` hears of each alert that begins, changes its level, or ends.
    pub fn tick(
        &mut self,
        now: Duration,
        seen: &Seen<'_>,
        drivers: impl FnOnce() -> Drivers,
        mut tell: impl FnMut(&Alert),
    ) {
        let Self { book, heartbeats, feeds, losses } = self;
        let mut note = |reading: Reading<'_>| {
            let threshold = seen.config.alerts.of(reading.kind);
            book.note(now, threshold, reading, &mut tell);
        };
        heartbeats.look(now, seen, &mut note);
        feeds.look(now, seen, &mut note);
        if losses.is_due(now) {
            losses.look(now, seen, &drivers(), &mut note);
            // A reload may have taken away whom an alert was about.
            let rule = |name: &str| seen.config.rules.iter().any(|r| feeds::expects(r, name));
            book.keep(AlertKind::Silent, rule, &mut tell);
            let has_breaker = |name: &str| breaker::names(seen.config).any(|known| known == name);
            book.keep(AlertKind::Breaker, has_breaker, &mut tell);
        }
    }

    /// Hears of a breaker that opened or closed.
    pub fn breaker(
        &mut self,
        now: Duration,
        config: &Config,
        (of, change): (Of, Change),
        mut tell: impl FnMut(&Alert),
    ) {
        let subject = breaker::name(config, of);
        match change {
            Change::Opened(reason) => {
                let (text, remedy) = breaker::told(reason);
                let text = || text.clone();
                let kind = AlertKind::Breaker;
                let reading =
                    Reading { kind, subject: &subject, value: 1, count: 1, text: &text, remedy };
                self.book.note(now, config.alerts.of(kind), reading, &mut tell);
            }
            Change::Closed(_) => self.book.end(AlertKind::Breaker, &subject, &mut tell),
        }
    }

    /// Whether every worker takes turns.
    pub fn all_advance(&self) -> bool {
        self.heartbeats.all_advance()
    }

    /// The newest, the oldest of them first.
    pub fn list(&self) -> Vec<Alert> {
        self.book.list()
    }

    /// How many are active.
    pub fn active(&self) -> usize {
        self.book.active()
    }
}

/// Nanoseconds of a time since the start.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
