//! One neighbour: what is known, and when it is asked.

use std::time::Duration;

use crate::config::Neighbour;
use crate::manage::slow_path::Outcome;
use crate::stages::Known;
use crate::wire::MacAddr;

/// From one request to the next (RFC 4861, section 10: RETRANS_TIMER).
pub const REQUEST_EVERY: Duration = Duration::from_secs(1);
/// Requests without an answer before more is done about it.
pub const REQUESTS: u8 = 3;
/// A MAC that nobody asked for is believed again after so long.
const CHANGES_EVERY: Duration = Duration::from_secs(1);

/// What is known of a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is asked for the first time: copies wait.
    Asked,
    /// It has answered.
    Reachable,
    /// Its answer has aged, or its MAC came unasked: it is asked itself.
    Probed,
    /// It did not answer that: everyone is asked.
    Searched,
    /// It does not answer.
    Silent,
    /// The configuration says its MAC.
    Static,
    /// No host has this address: it is ours, or the network's.
    NoHost,
}

impl State {
    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Reachable => "reachable",
            Self::Probed => "probed",
            Self::Searched => "searched",
            Self::Silent => "silent",
            Self::Static => "static",
            Self::NoHost => "no_host",
        }
    }
}

/// How a MAC was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// As an answer to us.
    Answer,
    /// Unasked, and to be believed instead of what was known.
    Told,
    /// Unasked, and not to be believed against what is known (RFC 4861, section 7.2.5: no override).
    Hinted,
}

/// A neighbour that is wanted.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub who: Neighbour,
    /// What the configuration says: a MAC, or that it is no host.
    pub fixed: Option<Option<MacAddr>>,
    pub mac: Option<MacAddr>,
    pub state: State,
    /// Requests since it came into its state.
    tries: u8,
    /// When something is to be done.
    due: Duration,
    /// The port's `punt_full` when the first of them was sent.
    floods: u64,
    pub answered: Option<Duration>,
    changed: Option<Duration>,
    pub requests: u64,
    pub answers: u64,
    pub changes: u64,
    pub refused: u64,
}

impl Entry {
    pub fn new(who: Neighbour, fixed: Option<Option<MacAddr>>, now: Duration) -> Self {
        let state = match fixed {
            None => State::Asked,
            Some(None) => State::NoHost,
            Some(Some(_)) => State::Static,
        };
        Self {
            who,
            fixed,
            mac: fixed.flatten(),
            state,
            tries: 0,
            due: now,
            floods: 0,
            answered: None,
            changed: None,
            requests: 0,
            answers: 0,
            changes: 0,
            refused: 0,
        }
    }

    /// What the workers are to know.
    pub fn known(&self) -> Known {
        match (self.state, self.mac) {
            (State::Asked, _) => Known::Asked,
            (State::Silent | State::NoHost, _) | (_, None) => Known::Silent,
            (_, Some(mac)) => Known::At(mac),
        }
    }

    /// Whether it is to be asked now.
    pub fn is_due(&self, now: Duration) -> bool {
        self.fixed.is_none() && self.due <= now
    }

    /// The link has come up: who was there may have gone, and who was not may have come.
    pub fn link_came(&mut self, now: Duration, floods: u64) {
        if self.fixed.is_some() {
            return;
        }
        let state = match self.state {
            State::Reachable | State::Searched => State::Probed,
            other => other,
        };
        self.enter(state, now, floods);
    }

    /// Notes a request that is being sent; says whom it is for, all where that is nobody. While
    /// `floods` moves an answer may have been lost: then no silence counts.
    pub fn ask(&mut self, now: Duration, floods: u64) -> Option<MacAddr> {
        if self.state == State::Reachable {
            self.enter(State::Probed, now, floods);
        } else if self.tries == 0 {
            self.floods = floods;
        } else if self.tries >= REQUESTS {
            let next = match self.state {
                same if self.floods != floods => same,
                State::Probed => State::Searched,
                _ => State::Silent,
            };
            self.enter(next, now, floods);
        }
        self.tries += 1;
        self.requests += 1;
        self.due = now + REQUEST_EVERY;
        self.mac.filter(|_| self.state == State::Probed)
    }

    /// Hears at which MAC it is; an answer is `believed` for so long.
    pub fn learn(
        &mut self,
        mac: MacAddr,
        heard: Heard,
        believed: Duration,
        now: Duration,
    ) -> Outcome {
        if self.fixed.is_some() {
            self.refused += u64::from(self.mac != Some(mac));
            return Outcome::Ignored;
        }
        let is_same = self.mac == Some(mac);
        let unknown = matches!(self.state, State::Asked | State::Silent);
        let is_asking = self.state != State::Reachable;
        if heard == Heard::Answer && (is_asking || is_same) {
            self.set(mac, now);
            (self.answered, self.answers) = (Some(now), self.answers + 1);
            self.enter(State::Reachable, now + believed, self.floods);
        } else if unknown {
            self.set(mac, now);
            self.enter(State::Probed, now, self.floods);
        } else if is_same {
            return Outcome::Ignored;
        } else {
            let is_soon = self.changed.is_some_and(|at| now.saturating_sub(at) < CHANGES_EVERY);
            if heard == Heard::Hinted || is_soon {
                self.refused += 1;
            } else {
                self.set(mac, now);
            }
            // Whichever is right, it is to say so itself.
            if self.state == State::Reachable {
                self.enter(State::Probed, now, self.floods);
            }
        }
        Outcome::Done
    }

    fn set(&mut self, mac: MacAddr, now: Duration) {
        if self.mac.is_some_and(|old| old != mac) {
            (self.changed, self.changes) = (Some(now), self.changes + 1);
        }
        self.mac = Some(mac);
    }

    fn enter(&mut self, state: State, due: Duration, floods: u64) {
        (self.state, self.due, self.tries, self.floods) = (state, due, 0, floods);
    }
}
