//! Reload: from the configuration in force to the next one, without losing a packet.
//!
//! A new configuration is compared with the one in force; what cannot change while running is named,
//! and then nothing changes at all. Otherwise a plan is built in which everything that is in both
//! keeps its slot, and put into the worker's mailbox. What is gone has no rows any more but keeps its
//! outputs, so that what waits is served. When nothing of it waits its slots are free for others;
//! what still waits after [`GONE_MAX`] is dropped as `removed`.

mod diff;

use std::collections::HashSet;
use std::time::Duration;

pub use diff::{Diff, diff};

use crate::config::Config;
use crate::ledger::{Counters, Drops};
use crate::packet::DropReason;
use crate::plan::{Plan, PlanError, PortFacts, Slots};

/// How long what waits of a removed rule or output may still be sent.
pub const GONE_MAX: Duration = Duration::from_secs(1);

/// Why a configuration was not taken up. Nothing has changed then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReloadError {
    /// Something in it cannot change while running.
    #[error("this needs a restart: {}", .0.join("; "))]
    NeedsRestart(Vec<String>),
    /// The worker has not taken up the plan before.
    #[error("the worker has not taken up the last configuration yet; try again when it runs")]
    Stalled,
    /// It cannot be planned.
    #[error(transparent)]
    Plan(#[from] PlanError),
}

/// What was counted in slots that others have now, so that totals still add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retired {
    /// Copies that outputs were selected for.
    pub copies: u64,
    /// Copies sent.
    pub sent: u64,
    /// Copies dropped.
    pub dropped: Drops,
}

impl Default for Retired {
    fn default() -> Self {
        Self { copies: 0, sent: 0, dropped: [0; DropReason::COUNT] }
    }
}

/// What is gone from the configuration and may still wait.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Gone {
    rules: Vec<u32>,
    outputs: Vec<u32>,
    /// When it went.
    since: Duration,
    /// Whether what waits is being dropped.
    swept: bool,
    /// Whether the slots in which nothing waits have been given up.
    tidy: bool,
}

/// What management keeps from one plan to the next.
#[derive(Debug)]
pub struct Reloader {
    slots: Slots,
    facts: Vec<PortFacts>,
    gone: Gone,
    retired: Retired,
}

impl Reloader {
    /// Follows the first plan, whose slots these are, on ports with these facts.
    pub fn new(slots: Slots, facts: Vec<PortFacts>) -> Self {
        let gone = Gone { tidy: true, ..Gone::default() };
        Self { slots, facts, gone, retired: Retired::default() }
    }

    /// What is known of the ports, by slot.
    pub fn facts(&self) -> &[PortFacts] {
        &self.facts
    }

    /// What was counted in slots that others have now.
    pub fn retired(&self) -> &Retired {
        &self.retired
    }

    /// The plan that follows `plan` for another configuration, at `now`. It must reach the worker
    /// before the next call.
    ///
    /// # Errors
    /// Where it needs a restart or cannot be planned.
    pub fn follow(
        &mut self,
        plan: &Plan,
        old: &Config,
        new: &Config,
        counters: &Counters,
        now: Duration,
    ) -> Result<Plan, ReloadError> {
        let diff = diff(old, new);
        if !diff.needs_restart.is_empty() {
            return Err(ReloadError::NeedsRestart(diff.needs_restart));
        }
        let next = plan.follow(new, &self.facts, &mut self.slots)?;
        for &output in &next.cleared.outputs {
            let counters = &counters.outputs[output as usize];
            self.retired.copies += counters.copies.get();
            self.retired.sent += counters.sent.get();
            let dropped = self.retired.dropped.iter_mut().zip(counters.dropped());
            dropped.for_each(|(sum, more)| *sum += more);
        }
        let rules: HashSet<_> = next.rule_slots.iter().copied().collect();
        let outputs = next.rule_slots.iter().flat_map(|&rule| next.outputs_of(rule));
        let outputs: HashSet<_> = outputs.copied().collect();
        let sorted = |gone: HashSet<u32>| {
            let mut gone: Vec<_> = gone.into_iter().collect();
            gone.sort_unstable();
            gone
        };
        let (held_rules, held_outputs) = self.slots.held();
        self.gone = Gone {
            rules: sorted(held_rules.difference(&rules).copied().collect()),
            outputs: sorted(held_outputs.difference(&outputs).copied().collect()),
            since: now,
            swept: false,
            tidy: false,
        };
        Ok(next)
    }

    /// Looks after what is gone, at `now`, once a tick and only while the worker runs by `plan`.
    /// Slots in which nothing waits are given up. Returns a plan that drops what has waited too
    /// long.
    pub fn tick(&mut self, plan: &Plan, counters: &Counters, now: Duration) -> Option<Plan> {
        let Gone { rules, outputs, since, swept, tidy } = &mut self.gone;
        let before = (rules.len(), outputs.len());
        if *tidy && before == (0, 0) {
            return None;
        }
        let rule_waits = |slot: u32| counters.rules[slot as usize].waiting() > 0;
        // While packets of a gone rule wait, copies for its outputs may still be made.
        outputs.retain(|&slot| {
            let rule = plan.outputs[slot as usize].rule;
            let may_come = rules.contains(&rule) && rule_waits(rule);
            may_come || counters.outputs[slot as usize].waiting() > 0
        });
        // A rule keeps its slot as long as its outputs: they are known by it when it comes back.
        let held: HashSet<_> =
            outputs.iter().map(|&output| plan.outputs[output as usize].rule).collect();
        rules.retain(|&slot| held.contains(&slot) || rule_waits(slot));
        let left = (rules.len(), outputs.len());
        if !*tidy || left != before {
            self.slots.keep_only(plan, rules, outputs);
            *tidy = true;
        }
        if *swept || left == (0, 0) || now.saturating_sub(*since) < GONE_MAX {
            return None;
        }
        *swept = true;
        Some(plan.without(rules, outputs))
    }
}
