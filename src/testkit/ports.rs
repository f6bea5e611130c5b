//! Ports in memory, a clock that is stepped, and the driver made of them.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use super::{HeapPacket, HeapPool};
use crate::packet::{Burst, Clock, Driver, Received, RxPort, Ticks, TxPort};

/// A driver of heap packets and memory ports.
#[derive(Debug)]
pub struct Memory;

impl Driver for Memory {
    type Packet = HeapPacket;
    type Rx = MemoryRx;
    type Tx = MemoryTx;
    type Pool = HeapPool;
    type Clock = StepClock;
}

/// A receive queue that is filled by hand; clones share it.
#[derive(Clone, Debug, Default)]
pub struct MemoryRx(Rc<Arriving>);

#[derive(Debug, Default)]
struct Arriving {
    wire: RefCell<VecDeque<HeapPacket>>,
    /// Frames in buffers that are not ours.
    strangers: Cell<u32>,
}

impl MemoryRx {
    /// Puts a packet on the wire.
    pub fn push(&self, packet: HeapPacket) {
        self.0.wire.borrow_mut().push_back(packet);
    }

    /// Lets the next poll refuse one more frame, as lying in a buffer that is not ours.
    pub fn push_stranger(&self) {
        self.0.strangers.set(self.0.strangers.get() + 1);
    }

    /// Packets on the wire.
    pub fn len(&self) -> usize {
        self.0.wire.borrow().len()
    }

    /// Whether the wire is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl RxPort for MemoryRx {
    type Packet = HeapPacket;

    fn receive(&mut self, burst: &mut Burst<HeapPacket>) -> Received {
        let mut wire = self.0.wire.borrow_mut();
        let count = burst.remaining_capacity().min(wire.len());
        burst.extend(wire.drain(..count));
        let foreign = self.0.strangers.take();
        Received { frames: count as u32 + foreign, foreign }
    }
}

/// A send queue that keeps what it is sent, up to a limit; clones share it.
#[derive(Clone, Debug)]
pub struct MemoryTx(Rc<Wire>);

#[derive(Debug)]
struct Wire {
    sent: RefCell<Vec<HeapPacket>>,
    /// Packets that it will still take.
    credit: Cell<usize>,
}

impl Default for MemoryTx {
    fn default() -> Self {
        let wire = Wire { sent: RefCell::default(), credit: Cell::new(usize::MAX) };
        Self(Rc::new(wire))
    }
}

impl MemoryTx {
    /// Takes `count` packets more and refuses the rest.
    pub fn allow(&self, count: usize) {
        self.0.credit.set(count);
    }

    /// What was sent so far.
    pub fn take(&self) -> Vec<HeapPacket> {
        self.0.sent.take()
    }
}

impl TxPort for MemoryTx {
    type Packet = HeapPacket;

    fn send(&mut self, packets: &mut Burst<HeapPacket>) -> usize {
        let accepted = packets.len().min(self.0.credit.get());
        self.0.credit.set(self.0.credit.get().saturating_sub(accepted));
        self.0.sent.borrow_mut().extend(packets.drain(..accepted));
        accepted
    }
}

/// A clock of nanoseconds that moves when it is told to; clones share it.
#[derive(Clone, Debug, Default)]
pub struct StepClock(Rc<Cell<Ticks>>);

impl StepClock {
    /// Moves the clock on.
    pub fn step(&self, nanos: Ticks) {
        self.0.set(self.0.get() + nanos);
    }
}

impl Clock for StepClock {
    fn now(&self) -> Ticks {
        self.0.get()
    }

    fn ticks_per_second(&self) -> u64 {
        1_000_000_000
    }
}
