//! Neighbours: who on the ports' links takes unicast copies, and at which MAC.
//!
//! ```text
//! plan -> follow -> Entry (one a port, VLAN and address) -> tick -> requests (ARP, ND)
//! punted frames -> learn -^                                  `-> news -> the workers' words
//! ```
//!
//! All that the plan needs are asked, at the start and at each reload, before a packet comes. An
//! answer is believed for the port's `reachable`, half more or less by chance; then the neighbour is
//! asked itself, and then everyone (RFC 4861, section 7.3.3; ARP likewise). Three requests a second
//! apart each. Who does not answer is asked once a second for as long as it is wanted. Time is an
//! argument, chance has a seed, and state is bounded by what is wanted: strangers add nothing.

mod entry;
mod report;
mod unreachable;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::time::Duration;

use fastrand::Rng;
use foldhash::{HashMap, HashMapExt};

pub use entry::{Heard, State};
pub use report::NeighbourReport;
pub use unreachable::{Quoted, Unreachable};

use super::slow_path::{Host, Outbox, Outcome, arp, nd};
use crate::config::{self, Config, Neighbour};
use crate::plan::{Hop, Plan};
use crate::stages::Known;
use crate::wire::MacAddr;
use entry::Entry;

/// What is seen of a port at a tick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortSeen {
    /// Whether its link is up.
    pub is_up: bool,
    /// Packets that the slow path did not take, since the start.
    pub punt_full: u64,
}

/// All neighbours of an instance.
#[derive(Debug)]
pub struct Neighbours {
    /// By slot, none where nobody is wanted; behind the slots those that are never asked.
    entries: Vec<Option<Entry>>,
    slots: HashMap<Neighbour, usize>,
    /// By port slot: how long an answer is believed.
    reachable: Vec<Duration>,
    /// By port slot, as of the last tick.
    seen: Vec<PortSeen>,
    /// Who says that copies do not arrive.
    pub unreachable: Unreachable,
    /// What the workers are to know.
    news: Vec<(usize, Known)>,
    rng: Rng,
}

impl Default for Neighbours {
    /// Of nobody.
    fn default() -> Self {
        Self::new(0)
    }
}

impl Neighbours {
    /// Of nobody; the same `seed` draws the same times.
    pub fn new(seed: u64) -> Self {
        Self {
            entries: Vec::new(),
            slots: HashMap::new(),
            reachable: Vec::new(),
            seen: Vec::new(),
            unreachable: Unreachable::default(),
            news: Vec::new(),
            rng: Rng::with_seed(seed),
        }
    }

    /// Wants those that the outputs of `plan` go to from now on, and no others. Who was wanted
    /// before stays as it is. The news must reach the workers before the plan does.
    pub fn follow(&mut self, config: &Config, plan: &Plan, now: Duration) {
        self.unreachable.follow(config, plan);
        self.reachable = config.ports.iter().map(|port| port.reachable).collect();
        self.seen.resize(config.ports.len(), PortSeen::default());
        let old = std::mem::take(&mut self.entries).into_iter().flatten();
        let mut old: HashMap<Neighbour, Entry> = old.map(|entry| (entry.who, entry)).collect();
        self.slots.clear();
        self.entries.resize_with(plan.neighbours.len(), || None);
        let outputs = plan.fan_out.iter().map(|&slot| &plan.outputs[slot as usize]);
        let slots = outputs.filter_map(|output| output.hop.as_ref()).flat_map(Hop::slots);
        let asked = slots.map(|&slot| (Some(slot as usize), plan.neighbours[slot as usize]));
        // Those in the outputs' templates have no slot: they are here to be shown and guarded.
        let rules = config.rules.iter();
        let all = rules.flat_map(|rule| rule.outputs.iter().map(move |output| (rule, output)));
        let named = all.filter(|(_, output)| output.next_hop.is_some());
        let named = named.flat_map(|(rule, output)| config::neighbours(&rule.input, output));
        for (slot, who) in asked.chain(named.map(|who| (None, who))) {
            if self.slots.contains_key(&who) {
                continue;
            }
            let port = &config.ports[who.port];
            let fixed = match port.static_mac(who.address) {
                None if port.is_no_neighbour(who.address) => Some(None),
                mac => mac.map(Some),
            };
            let old = old.remove(&who).filter(|old| old.fixed == fixed);
            let entry = old.unwrap_or_else(|| Entry::new(who, fixed, now));
            let slot = slot.unwrap_or(self.entries.len());
            if slot < plan.neighbours.len() {
                self.news.push((slot, entry.known()));
                self.entries[slot] = Some(entry);
            } else {
                self.entries.push(Some(entry));
            }
            self.slots.insert(who, slot);
        }
    }

    /// What the workers are to know, once.
    pub fn news(&mut self) -> impl Iterator<Item = (usize, Known)> + '_ {
        self.news.drain(..)
    }

    /// Asks those whose time has come, as far as there is room; `ports` are as seen now.
    pub fn tick(&mut self, hosts: &[Host], ports: &[PortSeen], now: Duration, out: &mut Outbox) {
        let Self { entries, seen, news, .. } = self;
        for (slot, entry) in entries.iter_mut().enumerate() {
            let Some(entry) = entry.as_mut() else { continue };
            let port = entry.who.port;
            let (Some(&is), Some(was), Some(host)) =
                (ports.get(port), seen.get(port), hosts.get(port))
            else {
                continue;
            };
            if is.is_up && !was.is_up {
                entry.link_came(now, is.punt_full);
            }
            if !is.is_up || !entry.is_due(now) || !out.has_room() {
                continue;
            }
            let before = entry.known();
            let to = entry.ask(now, is.punt_full);
            if entry.known() != before {
                news.push((slot, entry.known()));
            }
            let Neighbour { vlan, address, .. } = entry.who;
            let frame = match address {
                IpAddr::V4(address) => arp::request(host, vlan, address, to),
                IpAddr::V6(address) => nd::solicitation(host, vlan, address, to),
            };
            frame.into_iter().for_each(|frame| out.send(port, frame));
        }
        seen.iter_mut().zip(ports).for_each(|(seen, is)| *seen = *is);
    }

    /// Someone said at which MAC a neighbour is; `own` is the port's.
    pub fn learn(
        &mut self,
        who: Neighbour,
        mac: MacAddr,
        own: MacAddr,
        heard: Heard,
        now: Duration,
    ) -> Outcome {
        let Some(&slot) = self.slots.get(&who) else {
            return Outcome::Ignored;
        };
        if mac.is_group() || mac == MacAddr::default() || mac == own {
            return Outcome::Malformed;
        }
        let Some(entry) = self.entries[slot].as_mut() else {
            return Outcome::Ignored;
        };
        let before = entry.known();
        let half = self.reachable[who.port] / 2;
        let believed = half + half.mul_f64(2.0 * self.rng.f64());
        let outcome = entry.learn(mac, heard, believed, now);
        if entry.known() != before {
            self.news.push((slot, entry.known()));
        }
        outcome
    }

    /// Slots of the receivers none of whose copies has anywhere to go: all of their outputs in force
    /// go to neighbours, and none of these answers.
    pub fn unresolved(&self, plan: &Plan) -> Vec<usize> {
        let is_silent = |&slot: &u32| {
            let entry = self.entries.get(slot as usize).and_then(Option::as_ref);
            entry.is_some_and(|entry| entry.known() == Known::Silent)
        };
        let mut silent = vec![None; plan.capacity.receivers as usize];
        for &slot in plan.rule_slots.iter().flat_map(|&rule| plan.outputs_of(rule)) {
            let output = &plan.outputs[slot as usize];
            let Some(receiver) = output.receiver else { continue };
            let hop = output.hop.as_ref();
            let its = hop.is_some_and(|hop| hop.slots().iter().all(is_silent));
            let all = &mut silent[receiver as usize];
            *all = Some(all.unwrap_or(true) && its);
        }
        let silent = silent.iter().enumerate();
        silent.filter_map(|(slot, all)| (*all == Some(true)).then_some(slot)).collect()
    }

    /// All that is shown of them.
    pub fn shown(&self, now: Duration) -> Shown {
        Shown { rows: self.rows(now), unreachable: self.unreachable.counts().to_vec() }
    }

    /// Each of them, by port, VLAN and address.
    pub fn rows(&self, now: Duration) -> Vec<Row> {
        let row = |entry: &Entry| Row {
            who: entry.who,
            mac: entry.mac,
            state: entry.state,
            answered: entry.answered.map(|at| now.saturating_sub(at)),
            requests: entry.requests,
            answers: entry.answers,
            changes: entry.changes,
            refused: entry.refused,
        };
        let mut rows: Vec<_> = self.entries.iter().flatten().map(row).collect();
        rows.sort_by_key(|row| row.who);
        rows
    }
}

/// All that is shown of neighbours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// Each of them.
    pub rows: Vec<Row>,
    /// By output slot: messages that its copies do not arrive.
    pub unreachable: Vec<u64>,
}

/// A neighbour as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Where and who.
    pub who: Neighbour,
    /// Its MAC, where it is known.
    pub mac: Option<MacAddr>,
    /// What is known of it.
    pub state: State,
    /// How long ago it answered last.
    pub answered: Option<Duration>,
    /// Requests sent.
    pub requests: u64,
    /// Answers believed.
    pub answers: u64,
    /// Times that its MAC became another.
    pub changes: u64,
    /// Claims of another MAC that were not believed.
    pub refused: u64,
}
