//! How a plan comes to the workers, and the one before it back: a place for each worker, two
//! parties at each.
//!
//! Management puts a plan in all places and then raises the generation. A worker compares that
//! number once a turn; where it is new it swaps its plan for the one in its place, so that it
//! neither allocates nor frees. It never waits: where management happens to be at the place, it
//! comes back a turn later. Management takes the old plan out when all workers have published that
//! they run the new one.
//!
//! The generation is one for all and raised last: a worker that was handed a packet by another,
//! which goes by the new plan, finds the new plan in its own place.

use super::sync::{Arc, AtomicU64, Mutex, MutexGuard, Ordering, PoisonError, TryLockError};
use crate::plan::Plan;

/// The places. management: rw, workers: rw, each its own, never waiting.
#[derive(Debug)]
pub struct Mailbox {
    /// The generation of the plan that was put in last.
    generation: AtomicU64,
    /// By worker.
    places: Box<[Place]>,
}

type Place = Mutex<Option<Arc<Plan>>>;

impl Mailbox {
    /// Empty, for so many workers that run by a plan of this generation.
    pub fn new(generation: u64, workers: usize) -> Self {
        let places = (0..workers).map(|_| Mutex::new(None)).collect();
        Self { generation: AtomicU64::new(generation), places }
    }

    /// Management: puts a plan in. What was there comes out: a plan that a worker has done with,
    /// or one that it never took.
    pub fn put(&self, plan: &Arc<Plan>) -> Vec<Arc<Plan>> {
        let out = self.places.iter().filter_map(|place| lock(place).replace(Arc::clone(plan)));
        let out = out.collect();
        self.generation.store(plan.generation, Ordering::Release);
        out
    }

    /// Management: takes out what is there; the plan before, once the workers have published that
    /// they run the new one.
    pub fn take(&self) -> Vec<Arc<Plan>> {
        self.places.iter().filter_map(|place| lock(place).take()).collect()
    }

    /// Worker: swaps `plan` for a newer one, where there is one; says whether there was.
    pub fn swap(&self, worker: usize, plan: &mut Arc<Plan>) -> bool {
        if self.generation.load(Ordering::Acquire) == plan.generation {
            return false;
        }
        let mut place = match self.places[worker].try_lock() {
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

fn lock(place: &Place) -> MutexGuard<'_, Option<Arc<Plan>>> {
    place.lock().unwrap_or_else(PoisonError::into_inner)
}
