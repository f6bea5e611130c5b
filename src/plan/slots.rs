//! Which slot each rule, output, receiver and row flow has, from one plan to the next.
//!
//! What keeps its identity keeps its slot, and with it its queue, its counters and its breaker: a
//! rule by its name, an output by rule, port, destination, UDP port and VLAN, a receiver by its
//! name. A slot is given up when nothing waits in it any more, and is taken again last.

use std::borrow::Borrow;
use std::collections::VecDeque;
use std::hash::Hash;
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt, HashSet};
use ipnet::IpNet;

use super::{Hop, Plan, PlanError, Roles};
use crate::config::{self, Config, Neighbour, Output, Rule, UdpPortRewrite, VlanRewrite};
use crate::wire::Key;

/// Outputs that any port has room for, at least, so that a reload can add some.
const LANES_MIN: u32 = 1_024;
/// Row flows that there is room for, at least.
const ROW_FLOWS_MIN: u32 = 1_024;
/// Receivers that there is room for.
const RECEIVERS: u32 = 4_096;

/// Who an output is, within its rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OutputIdentity {
    rule: u32,
    port: usize,
    destination: Option<IpNet>,
    udp_port: UdpPortRewrite,
    vlan: VlanRewrite,
    /// Tells apart those that are alike in all of this.
    nth: u32,
}

impl OutputIdentity {
    /// The identity of the outputs of a rule with slot `rule`, in their order.
    pub fn of_all(rule: u32, outputs: &[Output]) -> impl Iterator<Item = Self> {
        let mut seen = HashMap::new();
        outputs.iter().map(move |output| {
            let Output { port, destination, udp_port, vlan, .. } = *output;
            let identity = Self { rule, port, destination, udp_port, vlan, nth: 1 };
            if outputs.len() == 1 {
                return identity;
            }
            let alike = seen.entry((port, destination, udp_port, vlan)).or_insert(0);
            *alike += 1;
            Self { nth: *alike, ..identity }
        })
    }
}

/// The slots of one kind.
#[derive(Clone, Debug)]
pub(super) struct Table<K> {
    /// What holds them, for the error.
    name: &'static str,
    capacity: u32,
    taken: HashMap<K, u32>,
    never_taken: u32,
    given_up: VecDeque<u32>,
}

/// A slot and whether another held it before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    pub slot: u32,
    /// It was given up by another: what is left in it must be cleared.
    pub used: bool,
}

impl<K: Eq + Hash + Clone> Table<K> {
    fn new(name: &'static str, capacity: u32) -> Self {
        let (taken, given_up) = (HashMap::new(), VecDeque::new());
        Self { name, capacity, taken, never_taken: 0, given_up }
    }

    /// The slot of `key`, which is its from now on.
    pub fn take(&mut self, key: &K) -> Result<Taken, PlanError> {
        self.take_as(key, K::clone)
    }

    /// [`Self::take`] by what a key can be made of.
    pub fn take_as<Q>(&mut self, key: &Q, make: impl Fn(&Q) -> K) -> Result<Taken, PlanError>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        if let Some(&slot) = self.taken.get(key) {
            return Ok(Taken { slot, used: false });
        }
        let taken = if self.never_taken < self.capacity {
            self.never_taken += 1;
            Taken { slot: self.never_taken - 1, used: false }
        } else if let Some(slot) = self.given_up.pop_front() {
            Taken { slot, used: true }
        } else {
            return Err(PlanError::NoRoom { what: self.name, allowed: self.capacity });
        };
        self.taken.insert(make(key), taken.slot);
        Ok(taken)
    }

    /// Slots that there are.
    pub fn capacity(&self) -> u32 {
        self.capacity
    }

    /// How many slots someone has.
    pub fn count(&self) -> u32 {
        self.taken.len() as u32
    }

    /// Slots that someone has.
    pub fn held(&self) -> HashSet<u32> {
        self.taken.values().copied().collect()
    }

    /// Gives up every slot whose holder or slot `keeps` does not want.
    fn retain(&mut self, mut keeps: impl FnMut(&K, u32) -> bool) {
        let gone = self.taken.extract_if(|key, slot| !keeps(key, *slot));
        let mut gone: Vec<_> = gone.map(|(_, slot)| slot).collect();
        gone.sort_unstable();
        self.given_up.extend(gone);
    }
}

/// The slots of all kinds.
#[derive(Clone, Debug)]
pub struct Slots {
    pub(super) rules: Table<Arc<str>>,
    pub(super) outputs: Table<OutputIdentity>,
    pub(super) receivers: Table<Arc<str>>,
    pub(super) row_flows: Table<Key>,
    pub(super) neighbours: Table<Neighbour>,
    /// Ports that there is room for.
    ports: u32,
    /// By port slot: the members of its egress DRR, by output slot.
    pub(super) lanes: Vec<Table<u32>>,
    pub(super) sources: u32,
    /// Who keeps which flow.
    pub(super) roles: Roles,
}

impl Slots {
    /// Slots for exactly what `config` has, for a plan that is never followed by another.
    pub fn fitting(config: &Config, row_flows: u32, has_sources: bool) -> Self {
        let outputs = config.rules.iter().map(|rule| rule.outputs.len() as u32).sum();
        Self {
            rules: Table::new("rules", config.rules.len() as u32),
            outputs: Table::new("outputs", outputs),
            receivers: Table::new("receivers", config.receivers.len() as u32),
            row_flows: Table::new("row flows", row_flows),
            neighbours: Table::new("neighbours", count_neighbours(config)),
            ports: config.ports.len() as u32,
            lanes: outputs_by_port(config)
                .map(|count| Table::new("outputs of a port", count))
                .collect(),
            sources: if has_sources { config.limits.sources } else { 0 },
            roles: Roles::one(config.ports.len()),
        }
    }

    /// Slots as `[limits]` has them, so that reloads have room.
    pub fn growing(config: &Config, row_flows: u32, roles: Roles) -> Self {
        let limits = &config.limits;
        Self {
            rules: Table::new("rules", limits.rules),
            outputs: Table::new("outputs", limits.outputs),
            receivers: Table::new("receivers", RECEIVERS.max(config.receivers.len() as u32)),
            row_flows: Table::new("row flows", (2 * row_flows).max(ROW_FLOWS_MIN)),
            neighbours: Table::new("neighbours", limits.neighbours),
            ports: limits.ports,
            lanes: outputs_by_port(config).map(growing_lanes).collect(),
            sources: limits.sources,
            roles,
        }
    }

    /// Slots for the ports that `config` has behind those so far, which have so many receive queues
    /// each. What the others' workers do stays.
    pub fn add_ports(&mut self, config: &Config, queues: impl IntoIterator<Item = u16>) {
        let lanes = outputs_by_port(config).skip(self.lanes.len()).map(growing_lanes);
        self.lanes.extend(lanes);
        queues.into_iter().for_each(|queues| self.roles.add(config, queues));
    }

    /// Who keeps which flow, and serves which port.
    pub fn roles(&self) -> &Roles {
        &self.roles
    }

    /// Slots of each kind that there are.
    pub(super) fn capacity(&self) -> Capacity {
        Capacity {
            ports: self.ports,
            rules: self.rules.capacity,
            outputs: self.outputs.capacity,
            receivers: self.receivers.capacity,
            neighbours: self.neighbours.capacity,
        }
    }

    /// Slots of rules and of outputs that someone has.
    pub fn held(&self) -> (HashSet<u32>, HashSet<u32>) {
        (self.rules.held(), self.outputs.held())
    }

    /// Gives up the slots of what is not in `plan`'s configuration, but for these rules and
    /// outputs, of which something still waits.
    pub fn keep_only(&mut self, plan: &Plan, rules: &[u32], outputs: &[u32]) {
        let current = plan.rule_slots.iter().copied();
        let rules: HashSet<_> = current.clone().chain(rules.iter().copied()).collect();
        let of_current = current.flat_map(|rule| plan.outputs_of(rule)).copied();
        let outputs: HashSet<_> = of_current.chain(outputs.iter().copied()).collect();
        let receivers: HashSet<_> = plan.receiver_slots.iter().copied().collect();
        self.rules.retain(|_, slot| rules.contains(&slot));
        self.outputs.retain(|_, slot| outputs.contains(&slot));
        let hops = outputs.iter().filter_map(|&slot| plan.outputs[slot as usize].hop.as_ref());
        let neighbours: HashSet<_> = hops.flat_map(Hop::slots).copied().collect();
        self.receivers.retain(|_, slot| receivers.contains(&slot));
        self.neighbours.retain(|_, slot| neighbours.contains(&slot));
        self.row_flows.retain(|key, _| plan.rows.has(key));
        for lanes in &mut self.lanes {
            lanes.retain(|output, _| outputs.contains(output));
        }
    }
}

/// Slots of each kind, taken or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Ports.
    pub ports: u32,
    /// Rules.
    pub rules: u32,
    /// Outputs of all rules.
    pub outputs: u32,
    /// Receivers.
    pub receivers: u32,
    /// Neighbours that are asked for their MAC.
    pub neighbours: u32,
}

/// Neighbours that the outputs need, counted.
fn count_neighbours(config: &Config) -> u32 {
    let of = |rule: &Rule| -> Vec<Neighbour> {
        let outputs = rule.outputs.iter();
        outputs.flat_map(|output| config::neighbours(&rule.input, output)).collect()
    };
    config.rules.iter().flat_map(of).collect::<HashSet<_>>().len() as u32
}

/// The members of the egress DRR of a port that has `count` outputs.
fn growing_lanes(count: u32) -> Table<u32> {
    Table::new("outputs of a port", (2 * count).max(LANES_MIN))
}

/// How many outputs each port has.
fn outputs_by_port(config: &Config) -> impl Iterator<Item = u32> {
    let mut counts = vec![0; config.ports.len()];
    let outputs = config.rules.iter().flat_map(|rule| &rule.outputs);
    outputs.for_each(|output| counts[output.port] += 1);
    counts.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(table: &mut Table<u32>, keys: &[u32]) -> Vec<(u32, bool)> {
        let take = |key| table.take(key).map(|taken| (taken.slot, taken.used)).expect("room");
        keys.iter().map(take).collect()
    }

    #[test]
    fn who_stays_keeps_its_slot_and_a_slot_is_taken_again_last() {
        let mut table = Table::new("things", 4);
        assert_eq!(slots(&mut table, &[10, 20, 30]), [(0, false), (1, false), (2, false)]);
        table.retain(|key, _| *key == 20);
        assert_eq!(slots(&mut table, &[20, 40]), [(1, false), (3, false)]);
        assert_eq!(slots(&mut table, &[50, 60]), [(0, true), (2, true)]);
        let full = table.take(&70).expect_err("four are taken");
        assert_eq!(full, PlanError::NoRoom { what: "things", allowed: 4 });
        assert_eq!(slots(&mut table, &[40, 50]), [(3, false), (0, false)]);
    }
}
