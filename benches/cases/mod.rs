//! What the benches measure: each scheduler with a standing backlog, ours and the origin's way, and
//! the worker's whole turn; and a reload. A case takes packets out and puts as many in, so it can go
//! on forever.

#![allow(dead_code, reason = "each bench uses a part of it")]

pub mod ours;
pub mod origin;
pub mod pooled;
pub mod turn;
pub mod reload;

use punctual::packet::{BURST, Ticks};

/// Packets of a batch, where a case does not say otherwise.
pub const BATCH: u64 = BURST as u64;

/// Something that is measured in batches.
pub trait Case {
    /// What a batch needs and nobody measures.
    fn prepare(&mut self) {}

    /// Packets, copies or rules that are counted, at least.
    fn least(&self) -> u64 {
        100_000
    }

    /// One batch; returns how many packets, copies or rules it was.
    fn run(&mut self) -> u64;

    /// Panics where packets were lost or made.
    fn check(&mut self);
}

/// Makes a case with so many flows, waiting packets or copies a packet.
pub type Build = fn(usize) -> Box<dyn Case>;

/// A scheduler, in the ways it is measured.
pub struct Scheduler {
    /// Its name in tables.
    pub name: &'static str,
    /// As Punctual has it.
    pub ours: Build,
    /// As the origin had it: a lock, an allocation and a heap or a map a packet.
    pub origin: Build,
    /// A binary heap with neither lock nor allocation, where it does the same.
    pub heap: Option<Build>,
}

/// All that is compared, in the packet's order; the trio is one packet through all three.
pub const SCHEDULERS: [Scheduler; 4] = [
    Scheduler {
        name: "ingress-drr",
        ours: |n| Box::new(ours::Ingress::new(n)),
        origin: |n| Box::new(origin::Ingress::new(n)),
        heap: None,
    },
    Scheduler {
        name: "edf",
        ours: |n| Box::new(ours::Edf::new(n)),
        origin: |n| Box::new(origin::Edf::new(n)),
        heap: Some(|n| Box::new(ours::Heap::new(n))),
    },
    Scheduler {
        name: "egress-drr",
        ours: |n| Box::new(ours::Egress::new(n)),
        origin: |n| Box::new(origin::Egress::new(n)),
        heap: None,
    },
    Scheduler {
        name: "trio",
        ours: |n| Box::new(ours::Trio::new(n)),
        origin: |n| Box::new(origin::Trio::new(n)),
        heap: None,
    },
];

/// The trio as the origin ran it: what is received comes from a thread of its own, so that two
/// threads want the locks. Ours stays on one thread.
pub const PIPELINE: Scheduler = Scheduler {
    name: "trio, fed",
    ours: |n| Box::new(ours::Trio::new(n)),
    origin: |n| Box::new(origin::Pipeline::new(n)),
    heap: None,
};

/// Copies that a packet becomes in the egress cases.
pub const FAN_OUT: usize = 10;
/// Copies that wait for each output.
pub const COPIES_WAITING: usize = 2;
/// The largest frame, in the bytes that are counted: 1,514 and 24 of overhead.
pub const LARGEST: u32 = 1_538;
/// Bytes a visit of each class; the origin's weights are the same.
pub const CLASS_QUANTA: [u32; 3] = [16 * LARGEST, 4 * LARGEST, LARGEST];
/// Budgets of the classes, in ticks of a nanosecond.
pub const BUDGETS: [Ticks; 3] = [1_000_000, 10_000_000, 100_000_000];

/// Frames of 60, 570 and 1,514 bytes as 9 : 5 : 2, overhead counted, in an order without a pattern.
const SIZES: [u32; 16] =
    [84, 594, 84, 84, 1_538, 84, 594, 84, 594, 84, 84, 594, 84, 1_538, 594, 84];

/// What has to be drawn for the next packet; every way draws the same.
pub struct Traffic {
    random: fastrand::Rng,
    drawn: usize,
    /// The time, which is the deadline that was served last.
    now: Ticks,
}

impl Traffic {
    pub fn new() -> Self {
        Self { random: fastrand::Rng::with_seed(1), drawn: 0, now: 1 << 50 }
    }

    pub fn now(&self) -> Ticks {
        self.now
    }

    /// Bytes of the next packet.
    pub fn bytes(&mut self) -> u32 {
        self.drawn += 1;
        SIZES[self.drawn % SIZES.len()]
    }

    /// A deadline half a budget to a budget ahead.
    pub fn deadline(&mut self, class: usize) -> Ticks {
        let half = BUDGETS[class] / 2;
        self.now + half + ((u64::from(self.random.u32(..)) * half) >> 32)
    }

    /// The time goes on to the deadline that was just served.
    pub fn served(&mut self, deadline: Ticks) {
        self.now = self.now.max(deadline);
    }

    /// The numbers below `count` in an order without a pattern, so that memory is not walked.
    pub fn shuffled(&mut self, count: usize) -> Vec<u32> {
        let mut all: Vec<u32> = (0..count as u32).collect();
        self.random.shuffle(&mut all);
        all
    }
}

/// The class of a flow or an output.
pub fn class_of(slot: u32) -> usize {
    slot as usize % 3
}
