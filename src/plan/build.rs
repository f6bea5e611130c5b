//! Configuration and port facts -> plan.

mod matched;
mod outputs;

use std::sync::Arc;
use std::time::Duration;

use self::matched::{addresses, candidates, own_sources, udp_ports};
use super::rows::RowsInMaking;
use super::slots::{Slots, Table, Taken};
use super::{ClassPlan, Cleared, FlowSlots, OutputPlan, Plan, PortPlan, Roles, RowTable, RulePlan};
use crate::config::{
    self, Class, Config, FlowKind, Fragments, Neighbour, QueueBound, RateLimit, Rule, RxChecksum,
    RxMode,
};
use crate::packet::{FRAME_OVERHEAD, Ticks};
use crate::sched::{BucketRate, MemberSettings};
use crate::wire::{MacAddr, OwnMacs};
use foldhash::HashSet;

/// Ethernet header and two VLAN tags: what a frame has besides its IP packet.
pub(crate) const LINK_HEADERS: u32 = 14 + 2 * 4;

/// What an open port says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortFacts {
    /// Its own MAC address.
    pub mac: MacAddr,
    /// The longest IP packet that it takes, in bytes; the configuration may ask for less.
    pub mtu: u32,
    /// Whether it sends chains of segments.
    pub sends_chains: bool,
}

/// Why a validated configuration cannot become a plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// More rows than `limits.rows`.
    #[error(
        "the rules match {found} rows, but limits.rows allows {allowed}: raise it, or match less"
    )]
    TooManyRows {
        /// Rows that the rules expand into.
        found: u64,
        /// `limits.rows`.
        allowed: u32,
    },
    /// More of something than there are slots since the start.
    #[error("there is room for {allowed} {what} since the start; restart to get more")]
    NoRoom {
        /// What there is too much of.
        what: &'static str,
        /// Slots that there are.
        allowed: u32,
    },
}

impl Plan {
    /// Builds the plan of `config` on ports with these `facts`, in port slot order, for a clock
    /// of `ticks_per_second`, with room for nothing else.
    ///
    /// # Errors
    /// Where the configuration matches too much.
    pub fn build(
        config: &Config,
        facts: &[PortFacts],
        ticks_per_second: u64,
        generation: u64,
    ) -> Result<Self, PlanError> {
        let has_sources = config.rules.iter().any(|rule| rule.flow == FlowKind::Source);
        let mut slots = Slots::fitting(config, row_flows(config)?, has_sources);
        assemble(config, facts, (ticks_per_second, generation), &mut slots, None)
    }

    /// The first of several plans, with room for what `[limits]` allows, and its slots.
    ///
    /// # Errors
    /// Where the configuration matches too much.
    pub fn first(
        config: &Config,
        facts: &[PortFacts],
        ticks_per_second: u64,
    ) -> Result<(Self, Slots), PlanError> {
        Self::first_for(config, facts, ticks_per_second, Roles::one(config.ports.len()))
    }

    /// The first of several plans, for several workers with these roles.
    ///
    /// # Errors
    /// As [`Plan::first`].
    pub fn first_for(
        config: &Config,
        facts: &[PortFacts],
        ticks_per_second: u64,
        roles: Roles,
    ) -> Result<(Self, Slots), PlanError> {
        let mut slots = Slots::growing(config, row_flows(config)?, roles);
        let plan = assemble(config, facts, (ticks_per_second, 1), &mut slots, None)?;
        Ok((plan, slots))
    }

    /// The plan that follows this one, which was built from `old`, on the same ports. What is in
    /// both keeps its slot; what is gone stays as it was, without rows, so that what waits can be
    /// served. Where no input is another, both share one table of rows.
    ///
    /// # Errors
    /// Where the configuration matches too much, or there is no slot left; then `slots` are as
    /// they were.
    pub fn follow(
        &self,
        old: &Config,
        config: &Config,
        facts: &[PortFacts],
        slots: &mut Slots,
    ) -> Result<Self, PlanError> {
        row_flows(config)?;
        let mut next = slots.clone();
        let time = (self.ticks_per_second, self.generation + 1);
        let plan = assemble(config, facts, time, &mut next, Some((self, old)))?;
        *slots = next;
        Ok(plan)
    }

    /// The plan that follows this one in that what is left of these rules and outputs is dropped.
    pub fn without(&self, rules: &[u32], outputs: &[u32]) -> Self {
        let mut plan = self.clone();
        plan.generation += 1;
        plan.cleared = Cleared::default();
        plan.reorders = false;
        rules.iter().for_each(|&slot| plan.rules[slot as usize].removed = true);
        outputs.iter().for_each(|&slot| plan.outputs[slot as usize].removed = true);
        plan
    }
}

/// Row flows that the rules may ask for, at most.
fn row_flows(config: &Config) -> Result<u32, PlanError> {
    let rows = |rule: &Rule| config::rows(rule);
    let found = config.rules.iter().map(rows).fold(0, u64::saturating_add);
    let allowed = config.limits.rows;
    if found > u64::from(allowed) {
        return Err(PlanError::TooManyRows { found, allowed });
    }
    let by_row = config.rules.iter().filter(|rule| rule.flow == FlowKind::Row);
    Ok(by_row.map(rows).sum::<u64>() as u32)
}

fn assemble(
    config: &Config,
    facts: &[PortFacts],
    (ticks_per_second, generation): (u64, u64),
    slots: &mut Slots,
    previous: Option<(&Plan, &Config)>,
) -> Result<Plan, PlanError> {
    let (previous, old) = previous.unzip();
    let mut cleared = Cleared::default();
    let rule_slots = take_all(&mut slots.rules, config.rules.iter().map(|rule| &rule.name))?;
    let receivers = config.receivers.iter().map(|receiver| &receiver.name);
    let receiver_slots = take_all(&mut slots.receivers, receivers)?;
    cleared.receivers = used(&receiver_slots);
    let receiver_slots = slots_of(&receiver_slots);
    cleared.rules = used(&rule_slots);
    cleared.flows = used(&rule_slots);
    let rule_slots = slots_of(&rule_slots);

    let largest_frame = largest_frame(config);
    let mut ports = ports(config, facts, ticks_per_second);
    for (port, lanes) in ports.iter_mut().zip(&slots.lanes) {
        port.lane_slots = lanes.capacity();
    }
    let mut build = Building {
        facts,
        ticks_per_second,
        generation,
        previous,
        receiver_slots: &receiver_slots,
        largest_frame,
        slots,
        cleared,
        ports,
        rules: previous.map_or_else(Vec::new, |plan| plan.rules.to_vec()),
        outputs: previous.map_or_else(Vec::new, |plan| plan.outputs.to_vec()),
        fan_out: Vec::new(),
        neighbours: previous.map_or_else(Vec::new, |plan| plan.neighbours.to_vec()),
        config,
    };
    build.keep_gone(&rule_slots);
    build.add_rules(&config.rules, &rule_slots)?;
    let rows = build.rows(config, old, &rule_slots)?;
    let classes = config.classes.map(|class| ClassPlan {
        budget: ticks(class.budget, ticks_per_second),
        quantum: class.weight * largest_frame,
    });
    let reorders = previous.is_some_and(|previous| reorders(previous, &classes, &build.rules));
    let Building { cleared, ports, rules, outputs, fan_out, neighbours, slots, .. } = build;
    Ok(Plan {
        generation,
        classes,
        ports: ports.into(),
        rules: rules.into(),
        rule_slots: rule_slots.into(),
        receiver_slots: receiver_slots.clone().into(),
        outputs: outputs.into(),
        fan_out: fan_out.into(),
        own_macs: OwnMacs::new(facts.iter().map(|port| port.mac)),
        edf_window: u64::from(config.edf_window),
        copy_below: config.copy_below,
        completes: config.ports.iter().any(|port| port.rx_checksum == RxChecksum::Complete),
        forwards_fragments: config.rules.iter().any(|r| r.input.fragments == Fragments::Forward),
        polices: config.rules.iter().any(|rule| rule.police.is_some()),
        lossless: lossless(config),
        flows: FlowSlots {
            rules: slots.capacity().rules,
            rows: slots.row_flows.capacity(),
            sources: slots.sources,
        },
        capacity: slots.capacity(),
        neighbours: neighbours.into(),
        unresolved: config.limits.unresolved,
        cleared,
        reorders,
        rows,
        largest_frame,
        ticks_per_second,
    })
}

fn ticks(duration: Duration, ticks_per_second: u64) -> Ticks {
    (duration.as_nanos() * u128::from(ticks_per_second) / 1_000_000_000) as Ticks
}

/// Whether two configurations with these rule slots have the same rows: the same inputs, in the
/// same order and the same slots, with row flows for the same of them, and the same addresses of
/// ours.
fn same_rows((old, old_slots): (&Config, &[u32]), (new, new_slots): (&Config, &[u32])) -> bool {
    let by_row = |rule: &Rule| rule.flow == FlowKind::Row;
    let mut rules = old.rules.iter().zip(&new.rules);
    old_slots == new_slots
        && rules.all(|(old, new)| old.input == new.input && by_row(old) == by_row(new))
        && own_sources(old) == own_sources(new)
}

/// Whether a class's budget or a rule's class is another than it was.
fn reorders(previous: &Plan, classes: &[ClassPlan], rules: &[RulePlan]) -> bool {
    let mut classes = classes.iter().zip(&previous.classes);
    let mut rules = rules.iter().zip(&previous.rules);
    classes.any(|(new, old)| new.budget != old.budget)
        || rules.any(|(new, old)| new.ingress.class != old.ingress.class)
}

fn take_all<'a>(
    table: &mut Table<Arc<str>>,
    names: impl Iterator<Item = &'a String>,
) -> Result<Vec<Taken>, PlanError> {
    names.map(|name| table.take_as(name.as_str(), |name| name.into())).collect()
}

/// The name that the plan before has there, or where it is another, a new one.
fn same_name(before: Option<&Arc<str>>, name: &str) -> Arc<str> {
    before.filter(|before| ***before == *name).map_or_else(|| name.into(), Arc::clone)
}

fn slots_of(taken: &[Taken]) -> Vec<u32> {
    taken.iter().map(|taken| taken.slot).collect()
}

fn used(taken: &[Taken]) -> Vec<u32> {
    taken.iter().filter(|taken| taken.used).map(|taken| taken.slot).collect()
}

/// Puts `value` at `slot`; slots are taken in order, so that there is no gap that was never taken.
fn put<T: Clone>(values: &mut Vec<T>, slot: u32, value: T) {
    let slot = slot as usize;
    if slot < values.len() {
        values[slot] = value;
    } else {
        values.resize(slot + 1, value);
    }
}

/// A plan in the making.
struct Building<'a> {
    facts: &'a [PortFacts],
    ticks_per_second: u64,
    generation: u64,
    previous: Option<&'a Plan>,
    receiver_slots: &'a [u32],
    largest_frame: u32,
    slots: &'a mut Slots,
    cleared: Cleared,
    ports: Vec<PortPlan>,
    rules: Vec<RulePlan>,
    outputs: Vec<OutputPlan>,
    fan_out: Vec<u32>,
    neighbours: Vec<Neighbour>,
    config: &'a Config,
}

impl Building<'_> {
    /// Keeps the outputs of rules that are gone, for what still waits; `current` are the slots of
    /// those that are not.
    fn keep_gone(&mut self, current: &[u32]) {
        let Some(previous) = self.previous else {
            return;
        };
        let current: HashSet<_> = current.iter().copied().collect();
        let held = self.slots.rules.held();
        for slot in 0..self.rules.len() as u32 {
            let first = self.fan_out.len() as u32;
            if !current.contains(&slot) && held.contains(&slot) {
                self.fan_out.extend_from_slice(previous.outputs_of(slot));
            } else {
                self.rules[slot as usize].plain = None;
            }
            self.rules[slot as usize].outputs = first..self.fan_out.len() as u32;
        }
    }

    /// Plans the rules, and counts the outputs of each port: those that are gone may still hold
    /// copies, so that a lossless port must leave room for them too.
    fn add_rules(&mut self, rules: &[Rule], rule_slots: &[u32]) -> Result<(), PlanError> {
        for (rule, &slot) in rules.iter().zip(rule_slots) {
            self.add_rule(slot, rule)?;
        }
        for (port, lanes) in self.ports.iter_mut().zip(&self.slots.lanes) {
            port.lanes = lanes.count();
        }
        Ok(())
    }

    /// Plans the rule with slot `slot`, its outputs first.
    fn add_rule(&mut self, slot: u32, rule: &Rule) -> Result<(), PlanError> {
        let first = self.fan_out.len() as u32;
        self.add_outputs(slot, rule)?;
        let known = self.previous.and_then(|plan| plan.rules.get(slot as usize));
        let known = known.filter(|_| !self.cleared.rules.contains(&slot));
        let id = known.map_or(self.generation << 32 | u64::from(slot), |known| known.id);
        // A flow never moves to another worker: it would overtake itself.
        let home = known.map(|known| known.home);
        let home = home.unwrap_or_else(|| self.slots.roles.home(slot, &rule.input.ports));
        let plan = RulePlan {
            id,
            removed: false,
            budget: ticks(rule.budget, self.ticks_per_second),
            late: rule.late,
            flow: rule.flow,
            home,
            police: rule.police.map(|limit| bucket_rate(limit, self.ticks_per_second)),
            ingress: settings(rule.class, rule.weight, rule.queue, self.largest_frame),
            outputs: first..self.fan_out.len() as u32,
            balance: self.balance(rule),
            forwards_fragments: rule.input.fragments == Fragments::Forward,
            plain: self.plain(rule, first),
            name: same_name(self.rules.get(slot as usize).map(|rule| &rule.name), &rule.name),
        };
        put(&mut self.rules, slot, plan);
        Ok(())
    }

    /// Expands the inputs of all rules into exact rows; those of the plan before, where `old` has
    /// the same.
    fn rows(
        &mut self,
        config: &Config,
        old: Option<&Config>,
        rule_slots: &[u32],
    ) -> Result<Arc<RowTable>, PlanError> {
        if let Some((plan, old)) = self.previous.zip(old)
            && same_rows((old, &plan.rule_slots), (config, rule_slots))
        {
            return Ok(Arc::clone(&plan.rows));
        }
        let ours = own_sources(config);
        let count = config.rules.iter().map(config::rows).sum::<u64>() as usize;
        let mut rows = RowsInMaking::with_room(count);
        for (rule, &slot) in config.rules.iter().zip(rule_slots) {
            let input = &rule.input;
            for &prefix in &input.destination {
                let candidates = rows.list(candidates(slot, input, prefix, &ours));
                for destination in addresses(prefix) {
                    for udp_port in udp_ports(input.udp_port) {
                        let key = RowTable::row_key(destination, udp_port, input.vlan);
                        rows.add(&key, candidates);
                    }
                }
            }
        }
        let by_row = |rule: u32| {
            self.rules.get(rule as usize).is_some_and(|rule| rule.flow == FlowKind::Row)
        };
        let rules = self.slots.capacity().rules;
        let rows = rows.finish(|key, candidates| {
            if !candidates.iter().any(|candidate| by_row(candidate.rule)) {
                return Ok(0);
            }
            let taken = self.slots.row_flows.take(key)?;
            if taken.used {
                self.cleared.flows.push(rules + taken.slot);
            }
            Ok(taken.slot)
        })?;
        Ok(Arc::new(rows))
    }
}

/// Whether all ports that rules take input from wait for room.
fn lossless(config: &Config) -> bool {
    let mut inputs = config.rules.iter().flat_map(|rule| &rule.input.ports);
    inputs.all(|&port| config.ports[port].rx == RxMode::Lossless)
}

/// The largest frame that any port carries, overhead included: the base of every quantum.
fn largest_frame(config: &Config) -> u32 {
    let mtu = config.ports.iter().map(|port| port.mtu).max().unwrap_or_default();
    mtu + LINK_HEADERS + FRAME_OVERHEAD
}

fn bucket_rate(limit: RateLimit, ticks_per_second: u64) -> BucketRate {
    BucketRate::new(limit.rate, limit.burst, ticks_per_second)
}

fn ports(config: &Config, facts: &[PortFacts], ticks_per_second: u64) -> Vec<PortPlan> {
    let ports = config.ports.iter().zip(facts).map(|(port, facts)| PortPlan {
        name: port.name.clone(),
        mtu: port.mtu.min(facts.mtu),
        sends_chains: facts.sends_chains,
        rx: port.rx,
        rx_checksum: port.rx_checksum,
        shaper: port.shaper.map(|limit| bucket_rate(limit, ticks_per_second)),
        lanes: 0,
        lane_slots: 0,
    });
    ports.collect()
}

fn settings(class: Class, weight: u32, bound: QueueBound, largest_frame: u32) -> MemberSettings {
    MemberSettings { class, quantum: weight * largest_frame, bound }
}
