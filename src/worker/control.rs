//! The words by which management steers the workers, and by which they part at the end.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use crate::plan::{Capacity, Plan};
use crate::stages::{BreakerWords, NeighbourWords};

use super::Mailbox;

/// What the workers are asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Receive and send.
    Run,
    /// Receive no more; end when nothing waits.
    Drain,
    /// End at once; what waits is dropped as `stopped`.
    Abort,
}

/// What a worker reads each turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word {
    /// What it is asked to do.
    pub phase: Phase,
    /// Captures that have begun or ended: odd while there is one. Where it has changed, a tap is
    /// to be taken or given back.
    pub captures: u32,
}

/// How far a worker has come on its way to the end: what it will not hand to others any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Left {
    /// Nothing yet.
    Nothing,
    /// It receives no more: no packet for another's flows.
    Receiving,
    /// It makes no copies any more: none for another's ports.
    Copying,
}

/// What management asks of the workers. management: wo, workers: ro, but for what they say of
/// their own end.
#[derive(Debug)]
pub struct Control {
    /// A [`Word`]: the phase, and above its 32 bits the captures.
    word: AtomicU64,
    /// The circuit breakers of ports and receivers.
    pub breakers: BreakerWords,
    /// What is known of the neighbours.
    pub neighbours: NeighbourWords,
    /// Where the workers' next plan comes from.
    pub mailbox: Mailbox,
    /// By worker: what it has [`Left`]. worker: wo, others: ro.
    left: Box<[AtomicU8]>,
}

impl Control {
    /// Run, with all breakers closed, on one worker.
    pub fn new(plan: &Plan) -> Self {
        Self::for_workers(plan, 1)
    }

    /// Run, with all breakers closed, on so many workers.
    pub fn for_workers(plan: &Plan, workers: usize) -> Self {
        let Capacity { ports, receivers, .. } = plan.capacity;
        let breakers = BreakerWords::new(ports as usize, receivers as usize);
        let mailbox = Mailbox::new(plan.generation, workers);
        let left = (0..workers).map(|_| AtomicU8::new(Left::Nothing as u8)).collect();
        let neighbours = NeighbourWords::new(plan.capacity.neighbours as usize);
        Self { word: AtomicU64::new(Phase::Run as u64), breakers, neighbours, mailbox, left }
    }

    /// Asks the workers for `phase`.
    pub fn set(&self, phase: Phase) {
        let captures = u64::from(self.word().captures) << 32;
        self.word.store(captures | phase as u64, Ordering::Release);
    }

    /// Asks the workers to take the tap of a capture that begins, or to give it back.
    pub fn swap_tap(&self) {
        // Above the phase it carries nothing over, and wraps by itself.
        self.word.fetch_add(1 << 32, Ordering::Release);
    }

    /// What the workers are asked for.
    pub fn word(&self) -> Word {
        let word = self.word.load(Ordering::Acquire);
        let phase = match word as u32 {
            0 => Phase::Run,
            1 => Phase::Drain,
            _ => Phase::Abort,
        };
        Word { phase, captures: (word >> 32) as u32 }
    }

    /// Worker: says what it has left. Management says it of one that is gone.
    pub fn leave(&self, worker: usize, left: Left) {
        // Release: who sees it sees all that was handed over before.
        self.left[worker].store(left as u8, Ordering::Release);
    }

    /// Whether all workers have left that.
    pub fn all_left(&self, left: Left) -> bool {
        self.left.iter().all(|word| word.load(Ordering::Acquire) >= left as u8)
    }
}
