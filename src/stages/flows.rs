//! What the worker keeps of each flow between bursts, and which flow a source belongs to.
//!
//! Sources live in a bounded table of sets of eight. A source keeps its slot while it is heard
//! of; a slot is given to another source once it has been silent for [`SILENT_SECONDS`] and
//! nothing of it waits. Where all eight are busy the caller uses the rule's overflow flow.

use crate::packet::Ticks;
use crate::plan::{Plan, home_of_source};
use crate::sched::TokenBucket;

/// Slots of a set.
const WAYS: usize = 8;
/// How long a source must have been silent before its slot may go to another.
const SILENT_SECONDS: u64 = 10;

/// The state of one flow.
#[derive(Clone, Copy, Debug, Default)]
pub struct FlowState {
    /// What it may still send.
    pub bucket: TokenBucket,
    /// The latest deadline given to one of its packets: deadlines of a flow never go back.
    pub last_deadline: Ticks,
}

/// A source that has a flow of its own.
#[derive(Clone, Copy, Debug)]
struct Source {
    address: u128,
    last_heard: Ticks,
    /// Its rule's id, or [`Source::NONE`].
    rule: u64,
}

impl Source {
    const NONE: u64 = u64::MAX;
    const FREE: Self = Self { address: 0, last_heard: 0, rule: Self::NONE };
}

/// All flows of one worker.
#[derive(Debug)]
pub struct Flows {
    states: Box<[FlowState]>,
    sources: Box<[Source]>,
    first_source: u32,
    silent: Ticks,
    /// This worker and how many there are: each keeps the sources that a hash gives it.
    share: (usize, usize),
}

impl Flows {
    /// The flows that `plan` has slots for.
    pub fn new(plan: &Plan) -> Self {
        Self::of_worker(plan, 0, 1)
    }

    /// The flows of worker `me` of so many.
    pub fn of_worker(plan: &Plan, me: usize, workers: usize) -> Self {
        // A power of two of whole sets, within the slots that the plan has.
        let sets = (plan.flows.sources as usize / WAYS).checked_ilog2();
        let sets = sets.map_or(0, |bits| 1 << bits);
        Self {
            states: vec![FlowState::default(); plan.flows.total()].into(),
            sources: vec![Source::FREE; sets * WAYS].into(),
            first_source: plan.flows.first_source(),
            silent: SILENT_SECONDS * plan.ticks_per_second,
            share: (me, workers),
        }
    }

    /// The state of a flow.
    pub fn state(&mut self, flow: u32) -> &mut FlowState {
        &mut self.states[flow as usize]
    }

    /// Forgets the state of a flow, whose slot another has now.
    pub fn clear(&mut self, flow: u32) {
        self.states[flow as usize] = FlowState::default();
    }

    /// Loads the sets of these sources, by rule id and address: what is far away comes for all of
    /// them at once.
    pub fn warm(&self, sources: impl Iterator<Item = (u64, u128)>) {
        let loaded = sources.fold(0, |sum, (rule, address)| {
            let first = self.set_of(rule, address);
            let set = self.sources.get(first..first + WAYS).unwrap_or_default();
            // Two to a cache line.
            set.iter().step_by(2).fold(sum, |sum, source| sum ^ source.rule)
        });
        std::hint::black_box(loaded);
    }

    /// Loads the states of these flows, as [`Self::warm`].
    pub fn warm_states(&self, flows: impl Iterator<Item = u32>) {
        let loaded = |sum, flow: u32| sum ^ self.states[flow as usize].last_deadline;
        std::hint::black_box(flows.fold(0, loaded));
    }

    /// Whether the flow of `address` under the rule with id `rule` is kept by this worker.
    pub fn keeps(&self, rule: u64, address: u128) -> bool {
        let (me, workers) = self.share;
        workers == 1 || home_of_source(rule, address, workers) == me
    }

    /// The flow of `address` under the rule with id `rule`, made anew where it has none and there is room; `idle`
    /// says whether nothing waits in a flow's queue.
    pub fn of_source(
        &mut self,
        rule: u64,
        address: u128,
        now: Ticks,
        idle: impl Fn(u32) -> bool,
    ) -> Option<u32> {
        let first = self.set_of(rule, address);
        let set = self.sources.get_mut(first..first + WAYS)?;
        let known = set.iter().position(|s| s.rule == rule && s.address == address);
        let way = known.or_else(|| {
            let flow = |way: usize| self.first_source + (first + way) as u32;
            let silent = |s: &Source| now.saturating_sub(s.last_heard) > self.silent;
            let way = set
                .iter()
                .enumerate()
                .position(|(way, s)| s.rule == Source::NONE || (silent(s) && idle(flow(way))))?;
            self.states[flow(way) as usize] = FlowState::default();
            Some(way)
        })?;
        set[way] = Source { address, last_heard: now, rule };
        Some(self.first_source + (first + way) as u32)
    }

    /// The first slot of the set that `address` under `rule` belongs to.
    fn set_of(&self, rule: u64, address: u128) -> usize {
        let [low, high] = [address as u64, (address >> 64) as u64];
        let word = low ^ high.rotate_left(29) ^ rule.rotate_left(40);
        let product = u128::from(word) * 0x9e37_79b9_7f4a_7c15;
        // Both halves: bits from the middle of one gather the hosts of a network in few sets.
        let mixed = product as u64 ^ (product >> 64) as u64;
        let sets = self.sources.len() / WAYS;
        if sets == 0 { 0 } else { (mixed as usize & (sets - 1)) * WAYS }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room_for(sources: usize) -> Flows {
        Flows {
            states: vec![FlowState::default(); sources].into(),
            sources: vec![Source::FREE; sources].into(),
            first_source: 0,
            silent: Ticks::MAX,
            share: (0, 1),
        }
    }

    /// Hosts of a network have addresses side by side, or as far apart as their subnets.
    #[test]
    fn the_hosts_of_a_network_find_a_place() {
        let (hosts, places) = (100_000, 1 << 18);
        for apart in [1, 2, 3, 4, 16, 256, 1 << 16] {
            let mut flows = room_for(places);
            let addresses = (0..hosts).map(|host| 0xffff_0a00_0001 + host * apart);
            let without =
                addresses.filter(|&address| flows.of_source(7, address, 1, |_| true).is_none());
            // By chance alone 0.2 % would be.
            let without = without.count();
            assert!(without < hosts as usize / 100, "{apart} apart: {without} of {hosts}");
        }
    }
}
