//! The words by which management steers a worker: written by management, read once a turn.

use std::sync::atomic::{AtomicU8, Ordering};

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

/// A worker's phase. management: wo, worker: ro.
#[derive(Debug)]
pub struct Control(AtomicU8);

impl Default for Control {
    fn default() -> Self {
        Self(AtomicU8::new(Phase::Run as u8))
    }
}

impl Control {
    /// Asks the worker for `phase`.
    pub fn set(&self, phase: Phase) {
        self.0.store(phase as u8, Ordering::Release);
    }

    /// What the worker is asked for.
    pub fn phase(&self) -> Phase {
        match self.0.load(Ordering::Acquire) {
            0 => Phase::Run,
            1 => Phase::Drain,
            _ => Phase::Abort,
        }
    }
}
