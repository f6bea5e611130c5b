//! When a run ends: the decision alone, in times that are arguments.

use std::time::Duration;

use crate::ledger::Ledger;
use crate::worker::Phase;

/// How long a drain may take; what waits then is dropped as `stopped`.
pub const DRAIN_MAX: Duration = Duration::from_secs(5);

/// When a run ends by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StopPolicy {
    /// `--stop-after-idle`: after so long without any packet moving, counted from the start.
    pub idle: Option<Duration>,
    /// `--stop-after`: after so long.
    pub after: Option<Duration>,
}

/// The way from running to stopped; times are since the start of the run.
#[derive(Debug)]
pub struct Stop {
    policy: StopPolicy,
    /// Since when, once the run is to end.
    draining: Option<Duration>,
}

impl Stop {
    /// A run that ends by `policy` or by a signal.
    pub fn new(policy: StopPolicy) -> Self {
        Self { policy, draining: None }
    }

    /// What the workers are to do at `now`, where the last packet moved at `last_activity`, and
    /// `signalled` says whether a signal asked for the end. There is no way back.
    pub fn decide(&mut self, now: Duration, last_activity: Duration, signalled: bool) -> Phase {
        let StopPolicy { idle, after } = self.policy;
        let ends = signalled
            || after.is_some_and(|after| now >= after)
            || idle.is_some_and(|idle| now.saturating_sub(last_activity) >= idle);
        if ends && self.draining.is_none() {
            self.draining = Some(now);
        }
        match self.draining {
            None => Phase::Run,
            Some(since) if now.saturating_sub(since) < DRAIN_MAX => Phase::Drain,
            Some(_) => Phase::Abort,
        }
    }
}

/// Turns that each worker must have taken without a packet before the run is idle.
const IDLE_TURNS: u64 = 16;

/// When a packet last moved, as the ledger shows it.
#[derive(Debug, Default)]
pub struct Activity {
    moved: u64,
    at: Duration,
    /// By worker, as of then.
    turns: Vec<u64>,
}

impl Activity {
    /// Looks at the ledger and at the turns of each worker at `now`; returns when a packet moved
    /// last, at the earliest the start. As long as a worker gets no CPU it is not known to be idle:
    /// then it is `now`.
    pub fn observe(
        &mut self,
        ledger: &Ledger,
        turns: impl Iterator<Item = u64> + Clone,
        now: Duration,
    ) -> Duration {
        // Totals only grow, so that a sum of them changes whenever one does.
        let moved = ledger.received + ledger.copies + ledger.sent + ledger.dropped();
        if moved != self.moved {
            (self.moved, self.at) = (moved, now);
            self.turns.clear();
            self.turns.extend(turns.clone());
        }
        let before = self.turns.iter().copied().chain(std::iter::repeat(0));
        match turns.zip(before).all(|(turns, before)| turns >= before + IDLE_TURNS) {
            true => self.at,
            false => now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn without_a_policy_only_a_signal_ends_it() {
        let mut stop = Stop::new(StopPolicy::default());
        assert_eq!(stop.decide(ms(86_400_000), ms(0), false), Phase::Run);
        assert_eq!(stop.decide(ms(86_400_001), ms(0), true), Phase::Drain);
    }

    #[test]
    fn idleness_counts_from_the_last_packet() {
        let policy = StopPolicy { idle: Some(ms(500)), after: None };
        let mut stop = Stop::new(policy);
        assert_eq!(stop.decide(ms(499), ms(0), false), Phase::Run);
        assert_eq!(stop.decide(ms(1_100), ms(700), false), Phase::Run);
        assert_eq!(stop.decide(ms(1_200), ms(700), false), Phase::Drain);
    }

    #[test]
    fn a_time_limit_ends_a_busy_run() {
        let policy = StopPolicy { idle: Some(ms(500)), after: Some(ms(10_000)) };
        let mut stop = Stop::new(policy);
        assert_eq!(stop.decide(ms(9_999), ms(9_999), false), Phase::Run);
        assert_eq!(stop.decide(ms(10_000), ms(10_000), false), Phase::Drain);
    }

    #[test]
    fn a_drain_has_an_end_and_no_way_back() {
        let mut stop = Stop::new(StopPolicy::default());
        assert_eq!(stop.decide(ms(100), ms(100), true), Phase::Drain);
        assert_eq!(stop.decide(ms(5_099), ms(5_099), false), Phase::Drain);
        assert_eq!(stop.decide(ms(5_100), ms(5_100), false), Phase::Abort);
        assert_eq!(stop.decide(ms(5_101), ms(5_101), false), Phase::Abort);
    }

    #[test]
    fn activity_is_any_change_of_the_totals() {
        let mut activity = Activity::default();
        let mut ledger = Ledger::default();
        let mut look = |ledger: &_, at: u64| {
            activity.observe(ledger, [at * 100, at * 200].into_iter(), ms(at))
        };
        assert_eq!(look(&ledger, 10), ms(0));
        ledger.received = 1;
        assert_eq!(look(&ledger, 20), ms(20));
        assert_eq!(look(&ledger, 30), ms(20));
        ledger.dropped_after[0] = 1;
        assert_eq!(look(&ledger, 40), ms(40));
        assert_eq!(look(&ledger, 50), ms(40));
    }

    #[test]
    fn a_worker_that_gets_no_cpu_is_not_idle() {
        let mut activity = Activity::default();
        let ledger = Ledger { received: 1, ..Ledger::default() };
        let mut look = |turns: [u64; 2], at| activity.observe(&ledger, turns.into_iter(), ms(at));
        assert_eq!(look([100, 500], 10), ms(10));
        assert_eq!(look([101, 9_000], 900), ms(900), "the first stands still");
        assert_eq!(look([115, 9_000], 901), ms(901));
        assert_eq!(look([116, 9_000], 902), ms(10), "nothing came in all its turns");
        // Before the first turn, too.
        let mut start = Activity::default();
        let nothing = Ledger::default();
        assert_eq!(start.observe(&nothing, [3].into_iter(), ms(700)), ms(700));
        assert_eq!(start.observe(&nothing, [16].into_iter(), ms(701)), ms(0));
    }
}
