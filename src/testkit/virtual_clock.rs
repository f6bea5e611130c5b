//! Virtual time: what a worker's CPU does takes time, and nothing else does.
//!
//! The work of a received packet is owed from its receipt on and paid before the next thing
//! happens, so that its arrival stamp is the time of its receipt, as on a real worker. The work
//! of a copy is paid where its headers are written. The host's clock is never read.

use std::cell::Cell;
use std::rc::Rc;

use crate::packet::{Clock, Ticks};

/// What the stages cost, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Costs {
    /// Receipt to ingress DRR, for each packet.
    pub packet: u64,
    /// Fan-out to send, for each copy.
    pub copy: u64,
}

/// A clock of nanoseconds that goes on by the work done; clones share it.
#[derive(Clone, Debug)]
pub struct VirtualClock(Rc<Time>);

#[derive(Debug)]
struct Time {
    costs: Costs,
    now: Cell<u64>,
    /// Work of packets that were received and not yet worked on.
    owed: Cell<u64>,
    /// Nanoseconds of work so far.
    busy: Cell<u64>,
    /// By how much the worker's clock is ahead.
    ahead: Cell<u64>,
    /// What the worker's clock shows while it stands.
    stands_at: Cell<Option<u64>>,
}

impl VirtualClock {
    /// A clock that begins at `start`.
    pub fn new(start: Ticks, costs: Costs) -> Self {
        Self(Rc::new(Time {
            costs,
            now: Cell::new(start),
            owed: Cell::new(0),
            busy: Cell::new(0),
            ahead: Cell::new(0),
            stands_at: Cell::new(None),
        }))
    }

    /// The true time: what wires and faults go by.
    pub fn time(&self) -> Ticks {
        self.0.now.get()
    }

    /// Nanoseconds that were worked.
    pub fn busy(&self) -> u64 {
        self.0.busy.get()
    }

    /// Owes the work of `count` received packets.
    pub fn received(&self, count: usize) {
        self.0.owed.set(self.0.owed.get() + self.0.costs.packet * count as u64);
    }

    /// Pays the work of one copy, and what is owed before it.
    pub fn copied(&self) {
        self.work(self.0.owed.take() + self.0.costs.copy);
    }

    /// Pays what is owed.
    pub fn settle(&self) {
        self.work(self.0.owed.take());
    }

    /// Lets time pass without work.
    pub fn pass(&self, nanos: u64) {
        self.0.now.set(self.0.now.get() + nanos);
    }

    /// Lets time pass up to `instant`, where that is not past.
    pub fn pass_to(&self, instant: Ticks) {
        self.0.now.set(self.0.now.get().max(instant));
    }

    /// A fault: the worker's clock shows so much more from now on.
    pub fn jump(&self, nanos: u64) {
        self.0.ahead.set(self.0.ahead.get() + nanos);
    }

    /// A fault: the worker's clock shows `instant` until it goes on.
    pub fn stand(&self, instant: Option<Ticks>) {
        self.0.stands_at.set(instant.map(|at| at + self.0.ahead.get()));
    }

    fn work(&self, nanos: u64) {
        self.pass(nanos);
        self.0.busy.set(self.0.busy.get() + nanos);
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Ticks {
        self.0.stands_at.get().unwrap_or_else(|| self.0.now.get() + self.0.ahead.get())
    }

    fn ticks_per_second(&self) -> u64 {
        1_000_000_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packets_work_is_paid_behind_its_arrival() {
        let clock = VirtualClock::new(1_000, Costs { packet: 60, copy: 50 });
        clock.received(2);
        assert_eq!(clock.now(), 1_000, "the arrival stamp");
        clock.copied();
        assert_eq!(clock.now(), 1_000 + 2 * 60 + 50);
        clock.settle();
        clock.copied();
        assert_eq!((clock.now(), clock.busy()), (1_220, 220));
        clock.pass(30);
        clock.pass_to(1_200);
        assert_eq!((clock.now(), clock.busy()), (1_250, 220));
    }

    #[test]
    fn a_faulty_clock_changes_what_is_shown_alone() {
        let clock = VirtualClock::new(1_000, Costs { packet: 0, copy: 0 });
        clock.jump(500);
        assert_eq!((clock.time(), clock.now()), (1_000, 1_500));
        clock.stand(Some(1_000));
        clock.pass(100);
        assert_eq!((clock.time(), clock.now()), (1_100, 1_500));
        clock.stand(None);
        assert_eq!(clock.now(), 1_600);
    }
}
