//! Neighbours - to which MAC a unicast copy goes, and the copies that wait for that.
//!
//! Expects:  finished copies of outputs whose next hop is asked for its MAC.
//! Leaves:   copies with their MAC; those of a neighbour that has not answered yet wait, in order,
//!           in front of everything that comes later.
//! Drops:    `unresolved` where the neighbour does not answer or too many wait, `removed` where a
//!           reload took the output away and gave up on what waits.
//! Config:   `limits.neighbours`, `limits.unresolved`.
//! Bounds:   O(1) a copy; `limits.unresolved` copies an output, [`HOP_COPIES`] a neighbour, and half
//!           of the buffers that are free.
//!
//! Who is where is found out by management (`manage::neighbours`): a word for each neighbour holds
//! its MAC. A worker looks at the words when a count of changes has moved, at the beginning of a
//! turn, and sends what has waited then; so within a turn a neighbour is known or it is not.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Egress, Tally};
use crate::packet::{Burst, DropReason, Packet};
use crate::plan::Plan;
use crate::sched::Queue;
use crate::wire::MacAddr;

/// Copies that wait for one neighbour, at most, whosever they are.
pub const HOP_COPIES: u32 = 1_024;

/// What is known of a neighbour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Known {
    /// It has been asked: copies wait.
    #[default]
    Asked,
    /// It is at this MAC.
    At(MacAddr),
    /// It does not answer: no copy is made.
    Silent,
}

impl Known {
    /// The MAC in the low 48 bits, above them what it is.
    fn to_word(self) -> u64 {
        match self {
            Self::Asked => 0,
            Self::Silent => 1 << 48,
            Self::At(MacAddr([a, b, c, d, e, f])) => {
                2 << 48 | u64::from_le_bytes([a, b, c, d, e, f, 0, 0])
            }
        }
    }

    fn of_word(word: u64) -> Self {
        let [a, b, c, d, e, f, kind, _] = word.to_le_bytes();
        match kind {
            0 => Self::Asked,
            1 => Self::Silent,
            _ => Self::At(MacAddr([a, b, c, d, e, f])),
        }
    }
}

/// One word for each neighbour. management: wo, workers: ro.
#[derive(Debug, Default)]
pub struct NeighbourWords {
    /// Counts the changes, so that workers look at the rest only when there is something new.
    changes: AtomicU64,
    words: Box<[AtomicU64]>,
}

impl NeighbourWords {
    /// So many neighbours, all of them asked.
    pub fn new(count: usize) -> Self {
        let words = std::iter::repeat_with(AtomicU64::default).take(count).collect();
        Self { changes: AtomicU64::default(), words }
    }

    /// Says what is known of the neighbour in this slot.
    pub fn set(&self, slot: usize, known: Known) {
        let word = known.to_word();
        if self.words[slot].swap(word, Ordering::Relaxed) != word {
            self.changes.fetch_add(1, Ordering::Release);
        }
    }
}

/// What one worker knows, and what waits there.
#[derive(Debug)]
pub struct Neighbours<P: Packet> {
    seen: u64,
    /// By slot.
    hops: Box<[Waiting<P>]>,
    /// By output slot: copies of it that wait.
    outputs: Box<[u32]>,
    /// All that wait.
    waiting: usize,
    /// How many may, as of this turn.
    room: usize,
}

#[derive(Debug)]
struct Waiting<P: Packet> {
    known: Known,
    copies: Queue<P>,
    count: u32,
}

impl<P: Packet> Neighbours<P> {
    /// Nobody is known, and nothing waits.
    pub fn new(plan: &Plan) -> Self {
        let hop = || Waiting { known: Known::Asked, copies: Queue::new(), count: 0 };
        Self {
            seen: 0,
            hops: std::iter::repeat_with(hop).take(plan.capacity.neighbours as usize).collect(),
            outputs: vec![0; plan.capacity.outputs as usize].into(),
            waiting: 0,
            room: 0,
        }
    }

    /// Copies that wait.
    pub fn packets(&self) -> usize {
        self.waiting
    }

    /// Looks for changes, once a turn, in which `free` buffers are left; sends what waited for who
    /// has answered, and drops what waited for who has not.
    pub fn refresh(
        &mut self,
        words: &NeighbourWords,
        free: usize,
        plan: &Plan,
        egress: &mut impl Egress<P>,
        tally: &mut Tally,
    ) {
        self.room = free / 2;
        let changes = words.changes.load(Ordering::Acquire);
        if changes == self.seen {
            return;
        }
        self.seen = changes;
        for (slot, word) in words.words.iter().enumerate() {
            let known = Known::of_word(word.load(Ordering::Relaxed));
            if known == self.hops[slot].known {
                continue;
            }
            self.hops[slot].known = known;
            if known == Known::Asked {
                continue;
            }
            while let Some(mut copy) = self.pop(slot) {
                let output = &plan.outputs[copy.meta().output as usize];
                match known {
                    _ if output.removed => tally.drop_after(DropReason::Removed, &copy, plan),
                    Known::At(mac) => {
                        address(&mut copy, mac);
                        let mut copies = Burst::new();
                        copies.push(copy);
                        egress.take(output.port, &mut copies, plan, tally);
                    }
                    _ => tally.drop_after(DropReason::Unresolved, &copy, plan),
                }
            }
        }
    }

    /// Whether a copy of an output for the neighbour in this slot can be sent, or may wait.
    pub fn admit(&self, slot: u32, output: u32, plan: &Plan) -> bool {
        let hop = &self.hops[slot as usize];
        match hop.known {
            Known::At(_) => true,
            Known::Silent => false,
            Known::Asked => {
                self.outputs[output as usize] < plan.unresolved
                    && hop.count < HOP_COPIES
                    && self.waiting < self.room
            }
        }
    }

    /// Gives a copy that was admitted its MAC; without one it waits.
    pub fn pass(&mut self, slot: u32, mut copy: P) -> Option<P> {
        let hop = &mut self.hops[slot as usize];
        if let Known::At(mac) = hop.known {
            address(&mut copy, mac);
            return Some(copy);
        }
        self.outputs[copy.meta().output as usize] += 1;
        self.waiting += 1;
        hop.count += 1;
        hop.copies.push_back(copy);
        None
    }

    /// Goes by another plan from now on: what waits of outputs that are gone for good is dropped,
    /// and so is what waits for a neighbour that is no longer its output's.
    pub fn adopt(&mut self, plan: &Plan, tally: &mut Tally) {
        if self.waiting == 0 {
            return;
        }
        for slot in 0..self.hops.len() {
            for _ in 0..self.hops[slot].count {
                let Some(copy) = self.pop(slot) else { break };
                let output = &plan.outputs[copy.meta().output as usize];
                let hops = output.hop.as_ref().map_or(&[][..], |hop| hop.slots());
                if output.removed {
                    tally.drop_after(DropReason::Removed, &copy, plan);
                } else if hops.contains(&(slot as u32)) {
                    self.pass(slot as u32, copy);
                } else {
                    tally.drop_after(DropReason::Unresolved, &copy, plan);
                }
            }
        }
    }

    /// Drops all that waits, as `stopped`.
    pub fn discard(&mut self, plan: &Plan, tally: &mut Tally) {
        if self.waiting == 0 {
            return;
        }
        for slot in 0..self.hops.len() {
            while let Some(copy) = self.pop(slot) {
                tally.drop_after(DropReason::Stopped, &copy, plan);
            }
        }
    }

    fn pop(&mut self, slot: usize) -> Option<P> {
        let hop = &mut self.hops[slot];
        let copy = hop.copies.pop_front()?;
        hop.count -= 1;
        self.waiting -= 1;
        self.outputs[copy.meta().output as usize] -= 1;
        Some(copy)
    }
}

/// Writes the destination MAC of a finished copy.
fn address<P: Packet>(copy: &mut P, mac: MacAddr) {
    if let Some(destination) = copy.head_mut().first_chunk_mut() {
        *destination = mac.0;
    }
}
