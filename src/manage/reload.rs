//! Reload: from the configuration in force to the next one, without losing a packet.
//!
//! A new configuration is compared with the one in force; what cannot change while running is named,
//! and then nothing changes at all. Otherwise a plan is built in which everything that is in both
//! keeps its slot, and put into the workers' mailbox. What is gone has no rows any more but keeps its
//! outputs, so that what waits is served. When nothing of it waits its slots are free for others;
//! what still waits after [`GONE_MAX`] is dropped as `removed`.

mod diff;

use std::collections::BTreeMap;
use std::time::Duration;

use foldhash::HashSet;

pub use diff::{Diff, diff};

use crate::config::Config;
use crate::ledger::{self, Counters, Drops};
use crate::packet::DropReason;
use crate::plan::{Plan, PlanError, PortFacts, Roles, Slots};

/// How long what waits of a removed rule or output may still be sent.
pub const GONE_MAX: Duration = Duration::from_secs(1);

/// Why a configuration was not taken up. Nothing has changed then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReloadError {
    /// Something in it cannot change while running.
    #[error("this needs a restart: {}", .0.join("; "))]
    NeedsRestart(Vec<String>),
    /// It cannot be planned.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A port that it adds cannot be opened.
    #[error("{0}")]
    Port(String),
    /// A port cannot be added while a worker takes no turn.
    #[error(
        "a worker has taken no turn for 1 s: it stands still or gets no CPU (see `punctual show \
         workers`), and could not take the new ports up; they are closed again, ask again when it \
         runs"
    )]
    Stalled,
}

/// What is known of a port that is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewPort {
    /// What it says of itself.
    pub facts: PortFacts,
    /// Receive queues that it was opened with.
    pub rx_queues: u16,
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
    /// Slots, each with when it went.
    rules: BTreeMap<u32, Duration>,
    outputs: BTreeMap<u32, Duration>,
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

    /// Who serves which port.
    pub fn roles(&self) -> &Roles {
        self.slots.roles()
    }

    /// What was counted in slots that others have now.
    pub fn retired(&self) -> &Retired {
        &self.retired
    }

    /// The plan that follows `plan` for another configuration on the same ports, at `now`;
    /// `counters` are all workers'. It must reach the workers before the next call.
    ///
    /// # Errors
    /// Where it needs a restart or cannot be planned.
    pub fn follow(
        &mut self,
        plan: &Plan,
        old: &Config,
        new: &Config,
        counters: &[&Counters],
        now: Duration,
    ) -> Result<Plan, ReloadError> {
        let diff = diff(old, new);
        if !diff.needs_restart.is_empty() {
            return Err(ReloadError::NeedsRestart(diff.needs_restart));
        }
        self.follow_with(&[], plan, (old, new), counters, now)
    }

    /// [`Self::follow`] with these ports behind those so far, whose order the new configuration
    /// keeps ([`Config::order_ports_as`]), and nothing else in it that needs a restart ([`diff`]).
    ///
    /// # Errors
    /// Where it cannot be planned; then nothing has changed.
    pub fn follow_with(
        &mut self,
        added: &[NewPort],
        plan: &Plan,
        (old, new): (&Config, &Config),
        counters: &[&Counters],
        now: Duration,
    ) -> Result<Plan, ReloadError> {
        let next = if added.is_empty() {
            plan.follow(old, new, &self.facts, &mut self.slots)?
        } else {
            let (mut slots, mut facts) = (self.slots.clone(), self.facts.clone());
            slots.add_ports(new, added.iter().map(|port| port.rx_queues));
            facts.extend(added.iter().map(|port| port.facts));
            let next = plan.follow(old, new, &facts, &mut slots)?;
            (self.slots, self.facts) = (slots, facts);
            next
        };
        let cleared = next.cleared.outputs.iter();
        let cleared =
            cleared.flat_map(|&slot| counters.iter().map(move |c| &c.outputs[slot as usize]));
        for counters in cleared {
            self.retired.copies += counters.copies.get();
            self.retired.sent += counters.sent.get();
            let dropped = self.retired.dropped.iter_mut().zip(counters.dropped());
            dropped.for_each(|(sum, more)| *sum += more);
        }
        let rules: HashSet<_> = next.rule_slots.iter().copied().collect();
        let outputs = next.rule_slots.iter().flat_map(|&rule| next.outputs_of(rule));
        let outputs: HashSet<_> = outputs.copied().collect();
        // What went by an earlier reload goes on counting from then.
        let since =
            |gone: &BTreeMap<u32, Duration>, slot| (slot, gone.get(&slot).copied().unwrap_or(now));
        let (held_rules, held_outputs) = self.slots.held();
        let Gone { rules: old_rules, outputs: old_outputs, .. } = &self.gone;
        self.gone = Gone {
            rules: held_rules.difference(&rules).map(|&slot| since(old_rules, slot)).collect(),
            outputs: held_outputs
                .difference(&outputs)
                .map(|&slot| since(old_outputs, slot))
                .collect(),
            tidy: false,
        };
        Ok(next)
    }

    /// Looks after what is gone, at `now`, once a tick and only while all workers run by `plan`.
    /// Slots in which nothing waits are given up. Returns a plan that drops what has waited too
    /// long.
    pub fn tick(&mut self, plan: &Plan, counters: &[&Counters], now: Duration) -> Option<Plan> {
        let Gone { rules, outputs, tidy } = &mut self.gone;
        let before = (rules.len(), outputs.len());
        if *tidy && before == (0, 0) {
            return None;
        }
        let rule_waits = |slot: u32| ledger::rule_waiting(counters, slot) > 0;
        // While packets of a gone rule wait, copies for its outputs may still be made.
        outputs.retain(|&slot, _| {
            let rule = plan.outputs[slot as usize].rule;
            let may_come = rules.contains_key(&rule) && rule_waits(rule);
            may_come || ledger::output_waiting(counters, slot) > 0
        });
        // A rule keeps its slot as long as its outputs: they are known by it when it comes back.
        let held: HashSet<_> =
            outputs.keys().map(|&output| plan.outputs[output as usize].rule).collect();
        rules.retain(|&slot, _| held.contains(&slot) || rule_waits(slot));
        let left = (rules.len(), outputs.len());
        if !*tidy || left != before {
            let slots = |gone: &BTreeMap<u32, Duration>| gone.keys().copied().collect::<Vec<_>>();
            self.slots.keep_only(plan, &slots(rules), &slots(outputs));
            *tidy = true;
        }
        // What is being dropped already is not told again.
        let is_due = |since: Duration| now.saturating_sub(since) >= GONE_MAX;
        let due = |gone: &BTreeMap<u32, Duration>, is_removed: &dyn Fn(u32) -> bool| {
            let due = gone.iter().filter(|(slot, since)| is_due(**since) && !is_removed(**slot));
            due.map(|(slot, _)| *slot).collect::<Vec<_>>()
        };
        let rules = due(rules, &|slot| plan.rules[slot as usize].removed);
        let outputs = due(outputs, &|slot| plan.outputs[slot as usize].removed);
        let nothing = rules.is_empty() && outputs.is_empty();
        (!nothing).then(|| plan.without(&rules, &outputs))
    }
}
