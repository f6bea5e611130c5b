//! Heartbeats: whether each worker takes turns, and goes by the plan in force.
//!
//! A worker counts its turns, whatever its clock is. Management sees at each tick whether the count
//! has moved. A tick that comes late counts as [`LOOK_MAX`]: where the whole process stood still,
//! the worker is not to blame.

use std::time::Duration;

use super::book::Reading;
use super::{Seen, remedy};
use crate::config::AlertKind;

/// A worker that takes no turn for so long is stalled.
pub const STALL: Duration = Duration::from_millis(100);
/// A worker that does not take up a plan for so long lags.
const LAG: Duration = Duration::from_secs(1);
/// The most that one look counts.
const LOOK_MAX: Duration = Duration::from_millis(10);

/// What is known of all workers.
#[derive(Clone, Debug, Default)]
pub struct Heartbeats {
    looked: Duration,
    workers: Vec<Heartbeat>,
}

/// What is known of one worker.
#[derive(Clone, Copy, Debug, Default)]
struct Heartbeat {
    turns: u64,
    /// How long the turns have not moved.
    still: Duration,
    /// How long it has gone by another plan than the one in force.
    lag: Duration,
}

impl Heartbeats {
    /// Looks at all workers, once a tick.
    pub fn look(&mut self, now: Duration, seen: &Seen<'_>, note: &mut impl FnMut(Reading<'_>)) {
        let passed = now.saturating_sub(self.looked).min(LOOK_MAX);
        self.looked = now;
        self.workers.resize(seen.workers.len(), Heartbeat::default());
        for (beat, worker) in self.workers.iter_mut().zip(seen.workers) {
            let counters = &worker.counters.worker;
            let turns = counters.turns.get();
            let moved = turns != beat.turns;
            beat.turns = turns;
            beat.still = if moved { Duration::ZERO } else { beat.still + passed };
            let lags = counters.generation.get() != seen.plan.generation;
            beat.lag = if lags { beat.lag + passed } else { Duration::ZERO };
            let subject = || format!("lcore {}", worker.lcore);
            beat.note(&subject(), note);
        }
    }

    /// Whether every worker takes turns.
    pub fn all_advance(&self) -> bool {
        self.workers.iter().all(|beat| beat.still < STALL)
    }
}

impl Heartbeat {
    fn note(&self, subject: &str, note: &mut impl FnMut(Reading<'_>)) {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let stalled = Reading {
            kind: AlertKind::Stalled,
            subject,
            value: (self.still >= STALL).into(),
            count: millis(self.still),
            text: &|| format!("it has taken no turn for {} ms", millis(self.still)),
            remedy: remedy::of(AlertKind::Stalled),
        };
        note(stalled);
        let lags = Reading {
            kind: AlertKind::Generation,
            value: (self.lag >= LAG).into(),
            count: 0,
            text: &|| format!("it has not taken up the plan for {} ms", millis(self.lag)),
            remedy: remedy::of(AlertKind::Generation),
            ..stalled
        };
        note(lags);
    }
}
