//! One group on one network: what is wanted of it, and what is still to be said of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use super::message::{Kind, Record};

/// Sources that a pending answer remembers: as many as one query of 1,500 bytes names.
const ASKED_MAX: usize = 366;

/// Which sources of a group are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interest {
    /// These; none is no interest.
    Include(BTreeSet<IpAddr>),
    /// All: EXCLUDE of an empty list.
    Exclude,
}

impl Interest {
    /// No interest.
    pub const NONE: Self = Self::Include(BTreeSet::new());

    /// Whether nothing is wanted.
    pub fn is_none(&self) -> bool {
        matches!(self, Self::Include(sources) if sources.is_empty())
    }

    /// Wants what another one wants, too.
    pub fn add(&mut self, other: Self) {
        match (&mut *self, other) {
            (Self::Include(sources), Self::Include(more)) => sources.extend(more),
            (_, Self::Exclude) => *self = Self::Exclude,
            (Self::Exclude, _) => {}
        }
    }

    /// Whether packets of this source are wanted.
    pub fn takes(&self, source: &IpAddr) -> bool {
        match self {
            Self::Include(sources) => sources.contains(source),
            Self::Exclude => true,
        }
    }

    /// The sources that a record of it names.
    pub fn sources(&self) -> Vec<IpAddr> {
        match self {
            Self::Include(sources) => sources.iter().copied().collect(),
            Self::Exclude => Vec::new(),
        }
    }
}

/// An answer that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Answer {
    at: Duration,
    /// The sources that were asked for; none is all.
    sources: BTreeSet<IpAddr>,
}

/// A group's state on one network.
#[derive(Clone, Debug)]
pub struct Member {
    group: IpAddr,
    interest: Interest,
    /// When it was reported last.
    pub last_report: Option<Duration>,
    answer: Option<Answer>,
    /// Reports that are still to name the mode (RFC 3376, section 5.1).
    mode_changes: u8,
    /// Reports that are still to name this source.
    source_changes: BTreeMap<IpAddr, u8>,
}

impl Member {
    /// A group of which nothing is wanted yet.
    pub fn new(group: IpAddr) -> Self {
        Self {
            group,
            interest: Interest::NONE,
            last_report: None,
            answer: None,
            mode_changes: 0,
            source_changes: BTreeMap::new(),
        }
    }

    /// What is wanted now; nothing where it is being left.
    pub fn interest(&self) -> &Interest {
        &self.interest
    }

    /// Wants something else from now on, which `robustness` reports are to say. False where it is
    /// what was wanted before.
    pub fn set(&mut self, interest: Interest, robustness: u8) -> bool {
        match (&self.interest, &interest) {
            (old, new) if old == new => return false,
            (Interest::Include(old), Interest::Include(new)) => {
                for &source in old.symmetric_difference(new) {
                    self.source_changes.insert(source, robustness);
                }
            }
            _ => self.mode_changes = robustness,
        }
        self.interest = interest;
        if self.interest.is_none() {
            self.answer = None;
        }
        true
    }

    /// Whether a change is still to be said.
    pub fn is_changing(&self) -> bool {
        self.mode_changes > 0 || !self.source_changes.is_empty()
    }

    /// What the next report is to say of changes: by the present state, so that what has changed
    /// back meanwhile is said right.
    pub fn take_change(&mut self) -> Vec<Record> {
        let records = if self.mode_changes > 0 {
            let kind = match self.interest {
                Interest::Include(_) => Kind::ToInclude,
                Interest::Exclude => Kind::ToExclude,
            };
            vec![self.record(kind, self.interest.sources())]
        } else {
            let changed = self.source_changes.keys().copied();
            let (allow, block): (Vec<_>, Vec<_>) = changed.partition(|s| self.interest.takes(s));
            let lists = [(Kind::Allow, allow), (Kind::Block, block)];
            let lists = lists.into_iter().filter(|(_, sources)| !sources.is_empty());
            lists.map(|(kind, sources)| self.record(kind, sources)).collect()
        };
        self.mode_changes = self.mode_changes.saturating_sub(1);
        self.source_changes.retain(|_, left| {
            *left = left.saturating_sub(1);
            *left > 0
        });
        records
    }

    /// Says no more of changes.
    pub fn forget_changes(&mut self) {
        self.mode_changes = 0;
        self.source_changes.clear();
    }

    /// Is to answer for these sources by `at`; none is all. What was asked before is answered with
    /// it, at the earlier time (RFC 3376, section 5.2, rules 3 to 5).
    pub fn ask(&mut self, at: Duration, sources: &[IpAddr]) {
        let pending = self
            .answer
            .get_or_insert_with(|| Answer { at, sources: sources.iter().copied().collect() });
        pending.at = pending.at.min(at);
        if sources.is_empty() || pending.sources.is_empty() {
            pending.sources.clear();
        } else {
            pending.sources.extend(sources);
            if pending.sources.len() > ASKED_MAX {
                // The whole state answers any list.
                pending.sources.clear();
            }
        }
    }

    /// When an answer is due.
    pub fn answer_at(&self) -> Option<Duration> {
        self.answer.as_ref().map(|answer| answer.at)
    }

    /// Another host has answered, or the question is void.
    pub fn forget_answer(&mut self) {
        self.answer = None;
    }

    /// The answer that was due; `None` where nothing of what was asked for is wanted.
    pub fn take_answer(&mut self) -> Option<Record> {
        let asked = self.answer.take()?.sources;
        if asked.is_empty() {
            return Some(self.current());
        }
        let wanted: Vec<_> = asked.into_iter().filter(|s| self.interest.takes(s)).collect();
        (!wanted.is_empty()).then(|| self.record(Kind::IsInclude, wanted))
    }

    /// The present state.
    pub fn current(&self) -> Record {
        let kind = match self.interest {
            Interest::Include(_) => Kind::IsInclude,
            Interest::Exclude => Kind::IsExclude,
        };
        self.record(kind, self.interest.sources())
    }

    fn record(&self, kind: Kind, sources: Vec<IpAddr>) -> Record {
        Record { kind, group: self.group, sources }
    }
}
