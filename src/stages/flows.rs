//! What the worker keeps of each flow between bursts, and which flow a source belongs to.
//!
//! Sources live in a bounded table of sets of eight. A source keeps its slot while it is heard
//! of; a slot is given to another source once it has been silent for [`SILENT_SECONDS`] and
//! nothing of it waits. Where all eight are busy the caller uses the rule's overflow flow.
//!
//! Each source has a mark of one byte; those of a set are one word. So nearly all look-ups read a
//! word, and then the one source that is meant, however many the set has.

use prefetch_index::prefetch_index;

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

/// The marks of a set's sources, a byte each; 0 for none.
#[derive(Clone, Copy, Debug, Default)]
struct Marks(u64);

impl Marks {
    /// A 1 in each byte.
    const ONES: u64 = u64::MAX / 0xff;

    /// The slots that have this mark; perhaps others, but none that has it is left out.
    #[inline(always)]
    fn with(self, mark: u8) -> impl Iterator<Item = usize> {
        // The high bit of each byte that is 0, and of some behind one ("Hacker's Delight", section 6-1).
        let differ = self.0 ^ (Self::ONES * u64::from(mark));
        let mut zeros = differ.wrapping_sub(Self::ONES) & !differ & (Self::ONES << 7);
        std::iter::from_fn(move || {
            let way = (zeros != 0).then(|| zeros.trailing_zeros() as usize / 8);
            zeros &= zeros.wrapping_sub(1);
            way
        })
    }

    fn set(&mut self, way: usize, mark: u8) {
        let mut marks = self.0.to_le_bytes();
        marks[way] = mark;
        self.0 = u64::from_le_bytes(marks);
    }
}

/// All flows of one worker.
#[derive(Debug)]
pub struct Flows {
    states: Box<[FlowState]>,
    /// By set.
    marks: Box<[Marks]>,
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
            marks: vec![Marks::default(); sets].into(),
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

    /// Asks the cache for these sources, by rule id and address: what is far away comes for all of
    /// them at once.
    pub fn warm(&self, sources: impl Iterator<Item = (u64, u128)> + Clone) {
        for (rule, address) in sources.clone() {
            prefetch_index(&*self.marks, self.place(rule, address).0);
        }
        for (rule, address) in sources {
            let (set, mark) = self.place(rule, address);
            if let Some(way) = self.marks.get(set).and_then(|marks| marks.with(mark).next()) {
                prefetch_index(&*self.sources, set * WAYS + way);
            }
        }
    }

    /// Asks for the states of these flows, as [`Self::warm`].
    pub fn warm_states(&self, flows: impl Iterator<Item = u32>) {
        flows.for_each(|flow| prefetch_index(&*self.states, flow as usize));
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
        let (set, mark) = self.place(rule, address);
        let is_it = |&way: &usize| {
            let source = &self.sources[set * WAYS + way];
            source.address == address && source.rule == rule
        };
        let known = self.marks.get(set)?.with(mark).find(is_it);
        let way = match known {
            Some(way) => way,
            None => self.make_room(set, now, idle)?,
        };
        if known.is_none() {
            self.marks[set].set(way, mark);
        }
        self.sources[set * WAYS + way] = Source { address, last_heard: now, rule };
        Some(self.first_source + (set * WAYS + way) as u32)
    }

    /// A slot of a set that is free, or whose source has been silent for long; its state is new.
    #[inline(never)]
    fn make_room(&mut self, set: usize, now: Ticks, idle: impl Fn(u32) -> bool) -> Option<usize> {
        let flow = |way: usize| self.first_source + (set * WAYS + way) as u32;
        let silent = |source: &Source| now.saturating_sub(source.last_heard) > self.silent;
        let way = self.sources[set * WAYS..][..WAYS]
            .iter()
            .enumerate()
            .position(|(way, s)| s.rule == Source::NONE || (silent(s) && idle(flow(way))))?;
        self.states[flow(way) as usize] = FlowState::default();
        Some(way)
    }

    /// The set that `address` under `rule` belongs to, and its mark there.
    #[inline(always)]
    fn place(&self, rule: u64, address: u128) -> (usize, u8) {
        let [low, high] = [address as u64, (address >> 64) as u64];
        let word = low ^ high.rotate_left(29) ^ rule.rotate_left(40);
        let product = u128::from(word) * 0x9e37_79b9_7f4a_7c15;
        // Both halves: bits from the middle of one gather the hosts of a network in few sets.
        let mixed = product as u64 ^ (product >> 64) as u64;
        let set = mixed as usize & self.marks.len().wrapping_sub(1);
        (set, ((mixed >> 56) as u8).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room_for(sources: usize) -> Flows {
        Flows {
            states: vec![FlowState::default(); sources].into(),
            marks: vec![Marks::default(); sources / WAYS].into(),
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

    /// With and without marks in common: all marks are, eight in a set.
    #[test]
    fn each_source_has_a_flow_of_its_own_and_keeps_it() {
        let mut flows = room_for(1 << 16);
        let mut flow_of =
            |rule, host: u128| flows.of_source(rule, 0xffff_0a00_0000 + host, 1, |_| true);
        let asked = || (0..30_000).map(|i| (u64::from(i % 3 == 0), u128::from(i as u32 / 2)));
        let first: Vec<_> = asked().map(|(rule, host)| flow_of(rule, host)).collect();
        let again: Vec<_> = asked().map(|(rule, host)| flow_of(rule, host)).collect();
        assert_eq!(first, again);
        let mut own = std::collections::HashMap::new();
        for (source, flow) in asked().zip(first) {
            if let Some(flow) = flow {
                assert_eq!(*own.entry(flow).or_insert(source), source, "flow {flow}");
            }
        }
        assert!(own.len() > 20_000);
    }

    #[test]
    fn marks_are_found_wherever_they_are() {
        let mut marks = Marks::default();
        assert_eq!(marks.with(1).next(), None);
        let all = [7, 1, 255, 7, 128, 2, 1, 9];
        all.into_iter().enumerate().for_each(|(way, mark)| marks.set(way, mark));
        for mark in 1..=u8::MAX {
            let found: Vec<_> = marks.with(mark).collect();
            let has = |way: usize| all[way] == mark;
            assert!((0..8).all(|way| !has(way) || found.contains(&way)), "{mark}: {found:?}");
        }
    }
}
