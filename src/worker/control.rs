//! The words by which management steers a worker: written by management, read once a turn.

use std::sync::atomic::{AtomicU8, Ordering};

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

/// What management asks of the workers. management: wo, workers: ro.
#[derive(Debug)]
pub struct Control {
    phase: AtomicU8,
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
        Self { phase: AtomicU8::new(Phase::Run as u8), breakers, mailbox }
    }

    /// Asks the worker for `phase`.
    pub fn set(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
    }

    /// What the worker is asked for.
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Run,
            1 => Phase::Drain,
            _ => Phase::Abort,
        }
    }
}
