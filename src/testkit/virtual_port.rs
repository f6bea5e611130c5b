//! Ports in virtual time: a receive ring that traffic falls into, a wire behind a send ring, and
//! the driver made of them.
//!
//! A port is shared by its queue, which the worker owns, and the simulator, which lets time pass
//! and makes it faulty.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use fastrand::Rng;

use super::line_time::{LineTime, wire_bits};
use super::record::Record;
use super::traffic::Traffic;
use super::{HeapFrame, HeapPacket, HeapPool, VirtualClock};
use crate::packet::{Burst, Clock, Driver, Packet, PacketPool, Received, RxPort, Ticks, TxPort};

/// A driver of heap packets and ports in virtual time.
#[derive(Debug)]
pub struct Virtual;

impl Driver for Virtual {
    type Packet = HeapPacket;
    type Rx = VirtualRx;
    type Tx = VirtualTx;
    type Pool = HeapPool;
    type Clock = VirtualClock;
}

/// A receive queue; clones share it.
#[derive(Clone, Debug)]
pub struct VirtualRx(Rc<RefCell<RxState>>);

/// What a receive queue is made of.
#[derive(Debug)]
pub struct RxParts {
    /// What comes to it.
    pub traffic: Traffic,
    /// Descriptors of its ring.
    pub descriptors: usize,
    /// Bytes of the longest frame that it takes.
    pub longest: usize,
    /// Where its packets lie.
    pub pool: HeapPool,
    /// The time, which received packets cost.
    pub clock: VirtualClock,
    /// The number of the next packet, shared by all ports.
    pub sequence: Rc<Cell<u64>>,
    /// Where it counts.
    pub record: Rc<RefCell<Record>>,
}

/// What the port counts, as the driver of a card does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RxCounts {
    /// Frames that came to the port.
    pub offered: u64,
    /// Lost because the ring was full.
    pub missed: u64,
    /// Lost because the pool was empty.
    pub no_mbuf: u64,
    /// Refused because they are too long.
    pub rx_errors: u64,
    /// Frames that a fault kept from the port; not offered.
    pub withheld: u64,
}

#[derive(Debug)]
struct RxState {
    parts: RxParts,
    ring: VecDeque<u32>,
    counts: RxCounts,
    /// Faults that keep everything away.
    gaps: u32,
}

impl VirtualRx {
    /// An empty ring.
    pub fn new(parts: RxParts) -> Self {
        let ring = VecDeque::with_capacity(parts.descriptors);
        let counts = RxCounts::default();
        Self(Rc::new(RefCell::new(RxState { parts, ring, counts, gaps: 0 })))
    }

    /// Puts into the ring what has come by `now`.
    pub fn fill(&self, now: Ticks) {
        self.0.borrow_mut().fill(now);
    }

    /// When the next frame comes.
    pub fn due(&self) -> Option<Ticks> {
        self.0.borrow().parts.traffic.due()
    }

    /// Whether nothing waits in the ring and nothing will come.
    pub fn is_done(&self) -> bool {
        let state = self.0.borrow();
        state.ring.is_empty() && state.parts.traffic.due().is_none()
    }

    /// Begins or ends a fault: meanwhile nothing arrives.
    pub fn gap(&self, begins: bool) {
        let gaps = &mut self.0.borrow_mut().gaps;
        *gaps = if begins { *gaps + 1 } else { *gaps - 1 };
    }

    /// Ends it: what is left in the ring is `missed`. What it counted.
    pub fn finish(&self) -> RxCounts {
        let mut state = self.0.borrow_mut();
        while let Some(frame) = state.ring.pop_front() {
            state.miss(frame);
        }
        state.counts
    }
}

impl RxState {
    fn fill(&mut self, now: Ticks) {
        while self.parts.traffic.due().is_some_and(|due| due <= now) {
            let Some((_, frame)) = self.parts.traffic.next() else {
                return;
            };
            if self.gaps > 0 {
                self.counts.withheld += 1;
                continue;
            }
            let len = self.parts.traffic.frame(frame).bytes.len();
            let refused = len > self.parts.longest;
            self.counts.offered += 1;
            self.counts.rx_errors += u64::from(refused);
            self.count(frame, |offered| {
                offered.packets += 1;
                offered.bytes += wire_bits(len) / 8;
                offered.rx_errors += u64::from(refused);
            });
            if refused {
                continue;
            }
            if self.ring.len() < self.parts.descriptors {
                self.ring.push_back(frame);
            } else {
                self.miss(frame);
            }
        }
    }

    fn miss(&mut self, frame: u32) {
        self.counts.missed += 1;
        self.count(frame, |offered| offered.missed += 1);
    }

    fn count(&self, frame: u32, add: impl FnOnce(&mut super::record::Offered)) {
        let rule = self.parts.traffic.frame(frame).rule;
        add(self.parts.record.borrow_mut().offered_of(rule));
    }
}

impl RxPort for VirtualRx {
    type Packet = HeapPacket;

    fn receive(&mut self, burst: &mut Burst<HeapPacket>) -> Received {
        let mut state = self.0.borrow_mut();
        let state = &mut *state;
        state.parts.clock.settle();
        state.fill(state.parts.clock.time());
        let mut frames = 0;
        for _ in 0..burst.remaining_capacity() {
            let Some(frame) = state.ring.pop_front() else {
                break;
            };
            if state.parts.pool.available() == 0 {
                state.counts.no_mbuf += 1;
                state.count(frame, |offered| offered.no_mbuf += 1);
                continue;
            }
            let sequence = state.parts.sequence.get();
            state.parts.sequence.set(sequence + 1);
            let bytes = &state.parts.traffic.frame(frame).bytes;
            let packet = HeapFrame::new(&[bytes]).numbered(sequence);
            burst.push(state.parts.pool.adopt(packet));
            frames += 1;
        }
        state.parts.clock.received(frames as usize);
        Received { frames, foreign: 0 }
    }
}

/// A send queue; clones share it.
#[derive(Clone, Debug)]
pub struct VirtualTx(Rc<RefCell<TxState>>);

/// What a send queue is made of.
#[derive(Debug)]
pub struct TxParts {
    /// Bits a second of its wire; not 0.
    pub rate: u64,
    /// Descriptors of its ring.
    pub descriptors: usize,
    /// The time.
    pub clock: VirtualClock,
    /// Where it counts.
    pub record: Rc<RefCell<Record>>,
    /// Seed of what it takes where it takes a part.
    pub seed: u64,
}

#[derive(Debug)]
struct TxState {
    parts: TxParts,
    /// Frames that wait for the wire or are on it, and when each has left.
    ring: VecDeque<(Ticks, HeapPacket)>,
    /// When the wire has sent all of them.
    free: LineTime,
    rng: Rng,
    /// Whether the last call left something with the worker.
    refused: bool,
    /// Faults by which it takes nothing.
    refusals: u32,
    /// Faults by which it takes a part.
    partial: u32,
    /// Faults by which the link is down, and since when it is.
    downs: u32,
    down_since: Ticks,
}

impl VirtualTx {
    /// An idle wire.
    pub fn new(parts: TxParts) -> Self {
        let rng = Rng::with_seed(parts.seed);
        Self(Rc::new(RefCell::new(TxState {
            ring: VecDeque::with_capacity(parts.descriptors),
            parts,
            free: LineTime::default(),
            rng,
            refused: false,
            refusals: 0,
            partial: 0,
            downs: 0,
            down_since: 0,
        })))
    }

    /// Frees what has left by `now`.
    pub fn advance(&self, now: Ticks) {
        self.0.borrow_mut().advance(now);
    }

    /// When a port that had to refuse can take a frame again; none where it need not be waited
    /// for, or only the end of a fault helps.
    pub fn ready(&self) -> Option<Ticks> {
        let state = self.0.borrow();
        let blocked = state.refused && state.downs + state.refusals == 0;
        state.ring.front().filter(|_| blocked).map(|(left, _)| *left)
    }

    /// Whether its link is up.
    pub fn is_up(&self) -> bool {
        self.0.borrow().downs == 0
    }

    /// Begins or ends a fault: meanwhile it takes nothing.
    pub fn refuse(&self, begins: bool) {
        step(&mut self.0.borrow_mut().refusals, begins);
    }

    /// Begins or ends a fault: meanwhile it takes a part of each burst.
    pub fn take_part(&self, begins: bool) {
        step(&mut self.0.borrow_mut().partial, begins);
    }

    /// Begins or ends, at `now`, a fault: meanwhile the wire stands still.
    pub fn link_down(&self, begins: bool, now: Ticks) {
        let mut state = self.0.borrow_mut();
        state.advance(now);
        step(&mut state.downs, begins);
        match state.downs {
            1 if begins => state.down_since = now,
            0 => {
                let stood = now.saturating_sub(state.down_since);
                state.ring.iter_mut().for_each(|(left, _)| *left += stood);
                state.free.pass_nanos(stood);
            }
            _ => {}
        }
    }

    /// Ends it: what is in the ring counts as sent, and is freed.
    pub fn finish(&self) {
        self.0.borrow_mut().ring.clear();
    }

    /// Frames in its ring.
    pub fn held(&self) -> usize {
        self.0.borrow().ring.len()
    }
}

/// Counts a fault that begins or ends.
fn step(faults: &mut u32, begins: bool) {
    *faults = if begins { *faults + 1 } else { *faults - 1 };
}

impl TxState {
    fn advance(&mut self, now: Ticks) {
        if self.downs > 0 {
            return;
        }
        while self.ring.front().is_some_and(|(left, _)| *left <= now) {
            self.ring.pop_front();
        }
    }

    /// How many of `wanted` frames it takes.
    fn takes(&mut self, wanted: usize) -> usize {
        if self.downs + self.refusals > 0 {
            return 0;
        }
        let wanted = if self.partial > 0 { self.rng.usize(0..=wanted / 2) } else { wanted };
        wanted.min(self.parts.descriptors - self.ring.len())
    }
}

impl TxPort for VirtualTx {
    type Packet = HeapPacket;

    fn send(&mut self, packets: &mut Burst<HeapPacket>) -> usize {
        let mut state = self.0.borrow_mut();
        let state = &mut *state;
        let (time, shown) = (state.parts.clock.time(), state.parts.clock.now());
        state.advance(time);
        let accepted = state.takes(packets.len());
        state.refused = accepted < packets.len();
        state.free.not_before(time);
        let mut record = state.parts.record.borrow_mut();
        for packet in packets.drain(..accepted) {
            record.accepted(&packet, time, shown);
            state.free.pass(wire_bits(packet.frame_len()), state.parts.rate);
            state.ring.push_back((state.free.ceiling(), packet));
        }
        accepted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::FRAME_OVERHEAD;
    use crate::testkit::traffic::Frame;
    use crate::testkit::virtual_clock::Costs;

    const COSTS: Costs = Costs { packet: 10, copy: 20 };

    fn record() -> Rc<RefCell<Record>> {
        Rc::new(RefCell::new(Record::new(0, 1_000, 1, 1)))
    }

    fn rx(times: &[u64], descriptors: usize, packets: usize) -> (VirtualRx, VirtualClock) {
        let clock = VirtualClock::new(0, COSTS);
        let frame = Frame { bytes: vec![0; 60].into(), rule: None };
        let mut traffic = Traffic::new(vec![frame]);
        traffic.capture(times.iter().map(|&at| (at, 0)).collect());
        let parts = RxParts {
            traffic,
            descriptors,
            longest: 60,
            pool: HeapPool::new(packets),
            clock: clock.clone(),
            sequence: Rc::default(),
            record: record(),
        };
        (VirtualRx::new(parts), clock)
    }

    fn tx(rate: u64, descriptors: usize) -> (VirtualTx, VirtualClock) {
        let clock = VirtualClock::new(0, COSTS);
        let record = record();
        let parts = TxParts { rate, descriptors, clock: clock.clone(), record, seed: 1 };
        (VirtualTx::new(parts), clock)
    }

    fn burst(count: u64) -> Burst<HeapPacket> {
        let frame = |n| {
            let mut frame = HeapFrame::new(&[&[0; 101]]).numbered(n);
            frame.meta_mut().bytes = 101 + FRAME_OVERHEAD;
            frame
        };
        (0..count).map(frame).collect()
    }

    #[test]
    fn traffic_falls_into_the_ring_and_over_it() {
        let (mut port, clock) = rx(&[5, 6, 7, 8, 50], 3, 10);
        let mut packets = Burst::new();
        assert_eq!(port.receive(&mut packets).frames, 0);
        clock.pass(10);
        assert_eq!(port.receive(&mut packets).frames, 3);
        assert_eq!(clock.time(), 10, "the work is owed");
        assert_eq!(port.receive(&mut packets).frames, 0);
        assert_eq!(clock.time(), 40);
        clock.pass(10);
        port.gap(true);
        port.fill(60);
        port.gap(false);
        assert!(port.is_done());
        let numbers: Vec<_> = packets.iter().map(|packet| packet.sequence()).collect();
        assert_eq!(numbers, [0, 1, 2]);
        let counts = port.finish();
        assert_eq!(counts, RxCounts { offered: 4, missed: 1, withheld: 1, ..counts });
    }

    #[test]
    fn what_is_too_long_is_an_error() {
        let (port, _) = rx(&[1, 2], 8, 8);
        port.0.borrow_mut().parts.longest = 59;
        port.fill(2);
        let counts = port.finish();
        assert_eq!((counts.offered, counts.rx_errors, counts.missed), (2, 2, 0));
    }

    #[test]
    fn an_empty_pool_costs_the_frame() {
        let (mut port, clock) = rx(&[1, 1, 1], 8, 2);
        clock.pass(1);
        let mut packets = Burst::new();
        assert_eq!(port.receive(&mut packets).frames, 2);
        assert_eq!(port.finish().no_mbuf, 1);
    }

    #[test]
    fn a_wire_takes_its_time_and_its_ring_refuses() {
        // 125 bytes on the wire at 1 Gbit/s are 1 us.
        let (mut port, clock) = tx(1_000_000_000, 4);
        let mut packets = burst(6);
        assert_eq!(port.send(&mut packets), 4);
        assert_eq!((packets.len(), packets[0].sequence()), (2, 4));
        assert_eq!(port.ready(), Some(1_000));
        clock.pass(999);
        assert_eq!(port.send(&mut packets), 0);
        clock.pass(1_001);
        assert_eq!(port.send(&mut packets), 2);
        assert_eq!((port.ready(), port.held()), (None, 4));
        port.advance(6_000);
        assert_eq!(port.held(), 0);
    }

    #[test]
    fn a_link_that_was_down_sends_later() {
        let (mut port, clock) = tx(1_000_000_000, 4);
        port.send(&mut burst(2));
        clock.pass(500);
        port.link_down(true, 500);
        assert!(!port.is_up());
        assert_eq!(port.send(&mut burst(1)), 0);
        clock.pass(10_000);
        port.advance(10_500);
        assert_eq!(port.held(), 2);
        port.link_down(false, 10_500);
        port.advance(10_999);
        assert_eq!(port.held(), 2);
        port.advance(11_000);
        assert_eq!(port.held(), 1);
    }

    #[test]
    fn faults_refuse_all_or_a_part() {
        let (mut port, _) = tx(1_000_000_000, 1_000);
        port.refuse(true);
        assert_eq!(port.send(&mut burst(32)), 0);
        port.refuse(false);
        port.take_part(true);
        let taken: Vec<_> = (0..20).map(|_| port.send(&mut burst(32))).collect();
        assert!(taken.iter().all(|&count| count <= 16) && taken.iter().any(|&count| count > 8));
        port.take_part(false);
        assert_eq!(port.send(&mut burst(32)), 32);
    }
}
