//! The book of alerts: a value rises above its threshold and an alert begins; it ends when the
//! value has been below for [`QUIET`]. Kept are the newest, and what is active before what is over.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::{Alert, Level, nanos};
use crate::config::{AlertKind, Threshold};

/// Alerts that are kept.
pub const ALERTS_MAX: usize = 256;
/// How long a value must be below before its alert ends or falls to a lower level.
pub const QUIET: Duration = Duration::from_secs(3);

/// One value at one time.
#[derive(Clone, Copy)]
pub struct Reading<'a> {
    /// What it is of.
    pub kind: AlertKind,
    /// Whose it is.
    pub subject: &'a str,
    /// What is compared with the threshold.
    pub value: u64,
    /// What a loss grew by, or the number to show.
    pub count: u64,
    /// What is the case; asked where an alert begins or rises.
    pub text: &'a dyn Fn() -> String,
    /// What to do.
    pub remedy: &'static str,
}

/// An alert that is active.
#[derive(Clone, Copy, Debug)]
struct State {
    level: Level,
    /// When the value was last at this level.
    loud: Duration,
    /// The highest since.
    since: Option<Level>,
    /// The number of its entry.
    entry: u64,
}

/// All alerts.
#[derive(Clone, Debug)]
pub struct Book {
    /// By kind and subject.
    active: [HashMap<String, State>; AlertKind::COUNT],
    /// With their numbers, which ascend.
    entries: VecDeque<(u64, Alert)>,
    next: u64,
}

impl Default for Book {
    fn default() -> Self {
        let active = std::array::from_fn(|_| HashMap::new());
        Self { active, entries: VecDeque::new(), next: 0 }
    }
}

impl Threshold {
    /// The level of a value.
    fn level(self, value: u64) -> Option<Level> {
        if value > self.warning {
            Some(Level::Warning)
        } else {
            (value >= self.info).then_some(Level::Info)
        }
    }
}

impl Book {
    /// Notes a value at `now`; `tell` hears of an alert that begins, changes its level, or ends.
    pub fn note(
        &mut self,
        now: Duration,
        threshold: Option<Threshold>,
        reading: Reading<'_>,
        tell: &mut impl FnMut(&Alert),
    ) {
        let level = threshold.and_then(|threshold| threshold.level(reading.value));
        let (kind, subject) = (reading.kind.index(), reading.subject);
        let Some(mut state) = self.active[kind].get(subject).copied() else {
            if let Some(level) = level {
                let entry = self.begin(now, level, &reading, tell);
                let state = State { level, loud: now, since: None, entry };
                self.active[kind].insert(subject.to_owned(), state);
            }
            return;
        };
        if let Some(alert) = self.entry(state.entry) {
            let sums = !matches!(
                reading.kind,
                AlertKind::Silent
                    | AlertKind::Stalled
                    | AlertKind::Pool
                    | AlertKind::DeadlineMisses
            );
            alert.count = if sums { alert.count + reading.count } else { reading.count };
        }
        let rises = level > Some(state.level);
        let falls = level < Some(state.level);
        if !falls {
            (state.loud, state.since) = (now, None);
        } else {
            state.since = state.since.max(level);
        }
        let over = falls && now.saturating_sub(state.loud) >= QUIET;
        let changed = match (rises, over) {
            (true, _) => level,
            (_, true) => state.since,
            _ => Some(state.level),
        };
        match changed {
            None => return self.end(reading.kind, subject, tell),
            Some(level) if level != state.level => {
                if let Some(alert) = self.entry(state.entry) {
                    alert.level = level;
                    alert.text = (reading.text)();
                    tell(alert);
                }
                state = State { level, loud: now, since: None, ..state };
            }
            Some(_) => {}
        }
        self.active[kind].insert(subject.to_owned(), state);
    }

    /// Ends an alert, if it is active.
    pub fn end(&mut self, kind: AlertKind, subject: &str, tell: &mut impl FnMut(&Alert)) {
        let Some(state) = self.active[kind.index()].remove(subject) else {
            return;
        };
        if let Some(alert) = self.entry(state.entry) {
            alert.active = false;
            tell(alert);
        }
    }

    /// Ends the alerts of a kind whose subjects are gone.
    pub fn keep(
        &mut self,
        kind: AlertKind,
        is_there: impl Fn(&str) -> bool,
        tell: &mut impl FnMut(&Alert),
    ) {
        let subjects = self.active[kind.index()].keys();
        let gone: Vec<_> = subjects.filter(|subject| !is_there(subject)).cloned().collect();
        gone.iter().for_each(|subject| self.end(kind, subject, tell));
    }

    /// All that are kept, the oldest first.
    pub fn list(&self) -> Vec<Alert> {
        self.entries.iter().map(|(_, alert)| alert.clone()).collect()
    }

    /// How many are active.
    pub fn active(&self) -> usize {
        self.active.iter().map(HashMap::len).sum()
    }

    fn begin(
        &mut self,
        now: Duration,
        level: Level,
        reading: &Reading<'_>,
        tell: &mut impl FnMut(&Alert),
    ) -> u64 {
        if self.entries.len() == ALERTS_MAX {
            let over = self.entries.iter().position(|(_, alert)| !alert.active);
            self.entries.remove(over.unwrap_or(0));
        }
        let alert = Alert {
            since_ns: nanos(now),
            kind: reading.kind.name().into(),
            level,
            subject: reading.subject.into(),
            count: reading.count,
            text: (reading.text)(),
            remedy: reading.remedy.into(),
            active: true,
        };
        tell(&alert);
        self.next += 1;
        self.entries.push_back((self.next, alert));
        self.next
    }

    /// The entry with this number, while it is kept.
    fn entry(&mut self, number: u64) -> Option<&mut Alert> {
        let place = self.entries.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        Some(&mut self.entries[place].1)
    }
}
