//! EDF beside a plain heap: the cases of `benches/schedulers.rs`, so many packets wait.
//!
//! Ours is right to within a bucket, the heap exactly; both serve ties in the order of arrival.

use crate::cases::{Case, ours};
use crate::duel::{Answer, Contest, Names};

/// The contest.
pub struct Edf {
    wheels: ours::Edf,
    heap: ours::Heap,
    waiting: usize,
}

impl Edf {
    /// So many packets wait.
    pub fn new(waiting: usize) -> Self {
        Self { wheels: ours::Edf::new(waiting), heap: ours::Heap::new(waiting), waiting }
    }
}

fn run(case: &mut dyn Case, packets: u64) -> Answer {
    let mut answer = Answer::default();
    while answer.count < packets {
        answer.count += case.run();
    }
    answer
}

impl Contest for Edf {
    fn names(&self) -> Names {
        Names {
            stage: "EDF",
            ours: "EarliestDeadline",
            rival: "std BinaryHeap",
            size: self.waiting,
            drawn: "all wait",
        }
    }

    fn ours(&mut self, packets: u64) -> Answer {
        run(&mut self.wheels, packets)
    }

    fn theirs(&mut self, packets: u64) -> Answer {
        run(&mut self.heap, packets)
    }

    fn end(&mut self) {
        self.wheels.check();
        self.heap.check();
    }
}
