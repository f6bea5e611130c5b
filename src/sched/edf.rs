//! Earliest deadline first, by wheels of find-first-set buckets: one wheel per class, then the
//! least head across classes. O(1) a packet, whatever waits; ties are FIFO.
//!
//! The bucketed queue is Eiffel's (Saeed et al., NSDI 2019). A wheel covers a moving span of
//! [`SPAN`] buckets, about a quarter of it behind the present; what falls behind that moves, bucket by
//! bucket and once, to a second wheel whose buckets are [`OVERDUE`] times as wide. A packet is
//! never taken before another whose deadline is earlier by more than the coarser of their
//! buckets: the class's bucket (at most 1/1024 of its budget or 1 us) up to one budget late,
//! then 64 of them, up to 256 budgets late; whatever is later still is FIFO.

use crate::config::Class;
use crate::packet::{Meta, Packet, Ticks};

use super::Queue;

/// Buckets of a wheel.
const SPAN: u64 = 4096;
/// Buckets of a wheel that lie behind the present; the others reach [`HORIZON_BUDGETS`] ahead.
const BEHIND: u64 = 1000;
/// Buckets that make one bucket of the overdue wheel, as a power of two.
const OVERDUE: u32 = 6;

/// Budgets that a deadline may lie ahead: a rule's budget against its class's.
pub const HORIZON_BUDGETS: u32 = 3;

/// What packets are ordered by between wheels: deadline, then arrival, as one number, so that two
/// are compared at once.
type Key = u128;

/// The key of an empty wheel.
const NEVER: Key = Key::MAX;

/// The first bucket of a ring that holds nothing.
const NONE: u64 = u64::MAX;

/// The queue: three wheels and a count of the copies that its packets will become.
#[derive(Debug)]
pub struct EarliestDeadline<P: Packet> {
    wheels: [Wheel<P>; Class::COUNT],
    /// The key of the first packet of each wheel; [`NEVER`] where it is empty.
    heads: [Key; Class::COUNT],
    packets: usize,
    copies: u64,
}

impl<P: Packet> EarliestDeadline<P> {
    /// Empty wheels for classes with these budgets, on a clock where `microsecond` ticks are 1 us.
    pub fn new(budgets: [Ticks; Class::COUNT], microsecond: Ticks) -> Self {
        let wheels = budgets.map(|budget| Wheel::new((budget / 1024).max(microsecond)));
        Self { wheels, heads: [NEVER; Class::COUNT], packets: 0, copies: 0 }
    }

    /// Takes new budgets, on a clock where `microsecond` ticks are 1 us and it is `now`; `class`
    /// says the class of each packet that waits. Packets of one deadline stay as they are. O(n).
    pub fn set_budgets(
        &mut self,
        budgets: [Ticks; Class::COUNT],
        microsecond: Ticks,
        now: Ticks,
        class: impl Fn(&P) -> Class,
    ) {
        let mut waiting = Queue::new();
        while let Some(packet) = self.pop() {
            waiting.push_back(packet);
        }
        for (wheel, budget) in self.wheels.iter_mut().zip(budgets) {
            wheel.set_width((budget / 1024).max(microsecond), now);
        }
        while let Some(packet) = waiting.pop_front() {
            self.push(class(&packet), packet);
        }
    }

    /// Packets that wait.
    pub fn packets(&self) -> usize {
        self.packets
    }

    /// Copies that the waiting packets were counted for.
    pub fn copies(&self) -> u64 {
        self.copies
    }

    /// Moves the wheels to `now`; before pushes and pops of a turn.
    pub fn advance(&mut self, now: Ticks) {
        self.wheels.iter_mut().for_each(|wheel| wheel.advance(now));
    }

    /// Puts `packet` in by the deadline in its metadata.
    pub fn push(&mut self, class: Class, packet: P) {
        let class = class as usize;
        let meta = packet.meta();
        self.packets += 1;
        self.copies += u64::from(meta.copies);
        let may_lead = key(meta) < self.heads[class];
        self.wheels[class].push(packet);
        if may_lead {
            self.heads[class] = self.wheels[class].head();
        }
    }

    /// Takes out the packet with the earliest deadline.
    pub fn pop(&mut self) -> Option<P> {
        let mut class = 0;
        for other in 1..Class::COUNT {
            if self.heads[other] < self.heads[class] {
                class = other;
            }
        }
        let wheel = &mut self.wheels[class];
        let packet = wheel.pop()?;
        self.heads[class] = wheel.head();
        self.packets -= 1;
        self.copies -= u64::from(packet.meta().copies);
        Some(packet)
    }
}

fn key(meta: &Meta) -> Key {
    Key::from(meta.deadline) << 64 | Key::from(meta.arrival)
}

/// The packets of one class by deadline.
#[derive(Debug)]
struct Wheel<P: Packet> {
    /// Buckets in a tick, times 2^64: a multiplication instead of a division a packet.
    buckets_per_tick: u64,
    ahead: Buckets<P>,
    overdue: Buckets<P>,
}

impl<P: Packet> Wheel<P> {
    /// Buckets of `width` ticks, at least two.
    fn new(width: Ticks) -> Self {
        let buckets_per_tick = Self::buckets_per_tick(width);
        Self { buckets_per_tick, ahead: Buckets::new(), overdue: Buckets::new() }
    }

    /// Takes another width of its buckets, which are empty.
    fn set_width(&mut self, width: Ticks, now: Ticks) {
        self.buckets_per_tick = Self::buckets_per_tick(width);
        (self.ahead.floor, self.overdue.floor) = (0, 0);
        self.advance(now);
    }

    /// Buckets in a tick, times 2^64; a bucket is at least two ticks.
    fn buckets_per_tick(width: Ticks) -> u64 {
        u64::MAX / width.max(2) + 1
    }

    fn bucket(&self, at: Ticks) -> u64 {
        ((u128::from(at) * u128::from(self.buckets_per_tick)) >> 64) as u64
    }

    fn advance(&mut self, now: Ticks) {
        let floor = self.bucket(now).saturating_sub(BEHIND);
        if floor <= self.ahead.floor {
            return;
        }
        let overdue_floor = ((floor >> OVERDUE) + 1).saturating_sub(SPAN);
        if overdue_floor > self.overdue.floor {
            self.overdue.raise_floor(overdue_floor);
        }
        while self.ahead.first < floor {
            let bucket = self.ahead.first;
            let queue = self.ahead.take_first();
            self.overdue.append(bucket >> OVERDUE, queue);
        }
        self.ahead.floor = floor;
    }

    fn push(&mut self, packet: P) {
        let bucket = self.bucket(packet.meta().deadline);
        let (buckets, bucket) = if bucket < self.ahead.floor {
            (&mut self.overdue, bucket >> OVERDUE)
        } else {
            (&mut self.ahead, bucket)
        };
        buckets.push(bucket, packet);
    }

    /// The key of the first packet.
    fn head(&self) -> Key {
        let buckets = if self.overdue.first == NONE { &self.ahead } else { &self.overdue };
        buckets.front().map_or(NEVER, |packet| key(packet.meta()))
    }

    fn pop(&mut self) -> Option<P> {
        let overdue = self.overdue.first != NONE;
        let buckets = if overdue { &mut self.overdue } else { &mut self.ahead };
        buckets.pop()
    }
}

/// A ring of queues for the buckets from `floor` on, and a two-level bitmap of those that hold
/// something.
#[derive(Debug)]
struct Buckets<P: Packet> {
    floor: u64,
    /// The first bucket that holds something; [`NONE`] where none does.
    first: u64,
    summary: u64,
    words: Box<[u64; (SPAN / 64) as usize]>,
    queues: Box<[Queue<P>]>,
}

impl<P: Packet> Buckets<P> {
    fn new() -> Self {
        Self {
            floor: 0,
            first: NONE,
            summary: 0,
            words: Box::new([0; (SPAN / 64) as usize]),
            queues: std::iter::repeat_with(Queue::new).take(SPAN as usize).collect(),
        }
    }

    /// `bucket`, drawn into the span where it lies outside.
    fn within(&self, bucket: u64) -> u64 {
        bucket.clamp(self.floor, self.floor + SPAN - 1)
    }

    /// A bucket of the span holds something.
    fn mark(&mut self, bucket: u64) {
        let place = place(bucket);
        self.words[place / 64] |= 1 << (place % 64);
        self.summary |= 1 << (place / 64);
        self.first = self.first.min(bucket);
    }

    /// The first bucket holds nothing any more.
    fn unmark_first(&mut self) {
        let place = place(self.first);
        self.words[place / 64] &= !(1 << (place % 64));
        if self.words[place / 64] == 0 {
            self.summary &= !(1 << (place / 64));
        }
        self.first = self.find_first();
    }

    fn push(&mut self, bucket: u64, packet: P) {
        let bucket = self.within(bucket);
        self.queues[place(bucket)].push_back(packet);
        self.mark(bucket);
    }

    fn append(&mut self, bucket: u64, mut queue: Queue<P>) {
        let bucket = self.within(bucket);
        self.queues[place(bucket)].append(&mut queue);
        self.mark(bucket);
    }

    /// The first bucket that holds something, going round from the floor.
    fn find_first(&self) -> u64 {
        if self.summary == 0 {
            return NONE;
        }
        let start = place(self.floor);
        let (word, bit) = (start / 64, start % 64);
        let here = self.words[word] >> bit << bit;
        let place = if here != 0 {
            word * 64 + here.trailing_zeros() as usize
        } else {
            // The word behind this one comes first, this one's low bits last.
            let turned = self.summary.rotate_right(word as u32 + 1);
            let next = (word + 1 + turned.trailing_zeros() as usize) % 64;
            next * 64 + self.words[next].trailing_zeros() as usize
        };
        self.floor + (place as u64).wrapping_sub(self.floor) % SPAN
    }

    fn front(&self) -> Option<super::Front<'_, P>> {
        if self.first == NONE {
            return None;
        }
        self.queues[place(self.first)].front()
    }

    fn pop(&mut self) -> Option<P> {
        if self.first == NONE {
            return None;
        }
        let queue = &mut self.queues[place(self.first)];
        let packet = queue.pop_front();
        if queue.is_empty() {
            self.unmark_first();
        }
        packet
    }

    /// Empties the first bucket.
    fn take_first(&mut self) -> Queue<P> {
        let queue = std::mem::take(&mut self.queues[place(self.first)]);
        self.unmark_first();
        queue
    }

    /// Draws what lies below the new floor into the floor's bucket, in front of what is there.
    fn raise_floor(&mut self, floor: u64) {
        let mut earlier = Queue::new();
        while self.first < floor {
            earlier.append(&mut self.take_first());
        }
        self.floor = floor;
        if !earlier.is_empty() {
            if self.first == floor {
                earlier.append(&mut self.take_first());
            }
            self.append(floor, earlier);
        }
    }
}

/// Where a bucket lies in its ring.
fn place(bucket: u64) -> usize {
    (bucket % SPAN) as usize
}

#[cfg(test)]
mod tests;
