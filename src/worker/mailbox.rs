//! How a plan comes to a worker, and the one before it back: one place, two parties.
//!
//! Management puts a plan in and raises the generation. The worker compares that number once a
//! turn; where it is new it swaps its plan for the one in the place, so that it neither allocates
//! nor frees. It never waits: where management happens to be at the place, it comes back a turn
//! later. Management takes the old plan out when the worker has published that it runs the new one.

use super::sync::{Arc, AtomicU64, Mutex, Ordering, PoisonError, TryLockError};
use crate::plan::Plan;

/// The place. management: rw, worker: rw, never waiting.
#[derive(Debug)]
pub struct Mailbox {
    /// The generation of the plan that was put in last.
    generation: AtomicU64,
    place: Mutex<Option<Arc<Plan>>>,
}

impl Mailbox {
    /// Empty, for a worker that runs by a plan of this generation.
    pub fn new(generation: u64) -> Self {
        Self { generation: AtomicU64::new(generation), place: Mutex::new(None) }
    }

    /// Management: puts a plan in. What was there comes out: a plan that the worker has done
    /// with, or one that it never took.
    pub fn put(&self, plan: Arc<Plan>) -> Option<Arc<Plan>> {
        let generation = plan.generation;
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        let out = place.replace(plan);
        self.generation.store(generation, Ordering::Release);
        out
    }

    /// Management: takes out what is there; the plan before, once the worker has published that
    /// it runs the new one.
    pub fn take(&self) -> Option<Arc<Plan>> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Worker: swaps `plan` for a newer one, where there is one; says whether there was.
    pub fn swap(&self, plan: &mut Arc<Plan>) -> bool {
        if self.generation.load(Ordering::Acquire) == plan.generation {
            return false;
        }
        let mut place = match self.place.try_lock() {
            Ok(place) => place,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        match place.as_mut() {
            Some(next) if next.generation > plan.generation => {
                std::mem::swap(next, plan);
                true
            }
            _ => false,
        }
    }
}
