//! The words by which management steers a worker: written by management, read once a turn.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::plan::Plan;
use crate::stages::BreakerWords;

use super::Mailbox;

/// What a worker is asked to do.
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

/// What management asks of the workers. management: wo, workers: ro.
#[derive(Debug)]
pub struct Control {
    /// A [`Word`]: the phase, and above its 32 bits the captures.
    word: AtomicU64,
    /// The circuit breakers of ports and receivers.
    pub breakers: BreakerWords,
    /// Where the worker's next plan comes from.
    pub mailbox: Mailbox,
}

impl Control {
    /// Run, with all breakers closed.
    pub fn new(plan: &Plan) -> Self {
        let breakers = BreakerWords::new(plan.ports.len(), plan.capacity.receivers as usize);
        let mailbox = Mailbox::new(plan.generation);
        Self { word: AtomicU64::new(Phase::Run as u64), breakers, mailbox }
    }

    /// Asks the worker for `phase`.
    pub fn set(&self, phase: Phase) {
        let captures = u64::from(self.word().captures) << 32;
        self.word.store(captures | phase as u64, Ordering::Release);
    }

    /// Asks the worker to take the tap of a capture that begins, or to give it back.
    pub fn swap_tap(&self) {
        // Above the phase it carries nothing over, and wraps by itself.
        self.word.fetch_add(1 << 32, Ordering::Release);
    }

    /// What the worker is asked for.
    pub fn word(&self) -> Word {
        let word = self.word.load(Ordering::Acquire);
        let phase = match word as u32 {
            0 => Phase::Run,
            1 => Phase::Drain,
            _ => Phase::Abort,
        };
        Word { phase, captures: (word >> 32) as u32 }
    }
}
