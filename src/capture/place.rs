//! How a tap comes to a worker, and back: one place, two parties, as with the plan's mailbox.

use std::sync::{Mutex, PoisonError, TryLockError};

use super::Tap;

/// Where a worker's tap is handed over. management: rw, worker: rw, never waiting.
#[derive(Debug, Default)]
pub struct Place(Mutex<Option<Box<Tap>>>);

impl Place {
    /// Management: puts a tap in, or nothing, for the worker to take. Returns what was there.
    pub fn put(&self, tap: Option<Box<Tap>>) -> Option<Box<Tap>> {
        std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), tap)
    }

    /// Worker: swaps what it has for what is there, so that it frees nothing; false where
    /// management happens to be here.
    pub fn swap(&self, tap: &mut Option<Box<Tap>>) -> bool {
        let mut place = match self.0.try_lock() {
            Ok(place) => place,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        std::mem::swap(&mut *place, tap);
        true
    }
}
