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

/// When a packet last moved, as the ledger shows it.
#[derive(Debug, Default)]
pub struct Activity {
    moved: u64,
    at: Duration,
}

impl Activity {
    /// Looks at the ledger at `now`; returns when it last changed, at the earliest the start.
    pub fn observe(&mut self, ledger: &Ledger, now: Duration) -> Duration {
        // Totals only grow, so that a sum of them changes whenever one does.
        let moved = ledger.received + ledger.copies + ledger.sent + ledger.dropped();
        if moved != self.moved {
            *self = Self { moved, at: now };
        }
        self.at
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
        assert_eq!(activity.observe(&ledger, ms(10)), ms(0));
        ledger.received = 1;
        assert_eq!(activity.observe(&ledger, ms(20)), ms(20));
        assert_eq!(activity.observe(&ledger, ms(30)), ms(20));
        ledger.dropped_after[0] = 1;
        assert_eq!(activity.observe(&ledger, ms(40)), ms(40));
    }
}
