//! A packet on the heap that behaves as an mbuf does and counts its payload's owners.

use std::cell::Cell;
use std::rc::Rc;

use arrayvec::ArrayVec;

use super::VirtualClock;
use crate::packet::{Meta, Packet, PacketPool, Payload};
use crate::sched::{Link, Node};

/// Bytes in front of a frame where new headers may grow, as DPDK's headroom.
const HEADROOM: usize = 128;

/// A packet of ordinary memory.
pub type HeapPacket = Box<HeapFrame>;

/// The heap value behind a [`HeapPacket`].
#[derive(Debug, Default)]
pub struct HeapFrame {
    meta: Meta,
    /// The first segment, behind `start`.
    buffer: Buffer,
    start: usize,
    /// The segments behind the first; those of a shared payload have several owners.
    tail: Vec<Segment>,
    capture_time: Option<u64>,
    sequence: u64,
}

/// Memory that counts as taken from its pool for as long as it lives.
#[derive(Debug, Default)]
struct Buffer {
    bytes: Vec<u8>,
    ticket: Option<Rc<Ticket>>,
}

/// A piece of a shared buffer.
#[derive(Clone, Debug)]
struct Segment {
    buffer: Rc<Buffer>,
    start: usize,
    end: usize,
}

impl Segment {
    fn new(buffer: Buffer, start: usize) -> Self {
        let end = buffer.bytes.len();
        Self { buffer: Rc::new(buffer), start, end }
    }

    fn bytes(&self) -> &[u8] {
        &self.buffer.bytes[self.start..self.end]
    }
}

impl HeapFrame {
    /// A packet whose first segment holds the first element, and so on.
    pub fn new(segments: &[&[u8]]) -> HeapPacket {
        let first = segments.first().copied().unwrap_or_default();
        let mut bytes = Vec::with_capacity(HEADROOM + first.len());
        bytes.resize(HEADROOM, 0);
        bytes.extend_from_slice(first);
        let tail = segments
            .iter()
            .skip(1)
            .map(|bytes| Segment::new(Buffer { bytes: bytes.to_vec(), ticket: None }, 0));
        Box::new(Self {
            buffer: Buffer { bytes, ticket: None },
            start: HEADROOM,
            tail: tail.collect(),
            ..Self::default()
        })
    }

    /// The same packet, captured at `nanos`.
    pub fn at(mut self: Box<Self>, nanos: u64) -> HeapPacket {
        self.capture_time = Some(nanos);
        self
    }

    /// The same packet with a number that its copies inherit: the order of its receipt.
    pub fn numbered(mut self: Box<Self>, sequence: u64) -> HeapPacket {
        self.sequence = sequence;
        self
    }

    /// The number of the packet that this is or is a copy of.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// All bytes of the frame, in one piece.
    pub fn bytes(&self) -> Vec<u8> {
        let mut all = self.buffer.bytes[self.start..].to_vec();
        self.tail.iter().for_each(|s| all.extend_from_slice(s.bytes()));
        all
    }

    /// Where the segments behind the first one are in memory: equal addresses, shared payload.
    pub fn tail_addresses(&self) -> Vec<*const u8> {
        self.tail.iter().map(|s| s.bytes().as_ptr()).collect()
    }

    /// How many packets own the segments behind the first one.
    pub fn tail_owners(&self) -> Vec<usize> {
        self.tail.iter().map(|s| Rc::strong_count(&s.buffer)).collect()
    }
}

impl Node for HeapFrame {
    fn link_mut(&mut self) -> &mut Option<Link> {
        &mut self.meta.link
    }
}

impl Packet for HeapPacket {
    type Payload = HeapPayload;

    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut Meta {
        &mut self.meta
    }

    fn frame_len(&self) -> usize {
        self.head().len() + self.tail.iter().map(|s| s.bytes().len()).sum::<usize>()
    }

    fn segments(&self) -> usize {
        1 + self.tail.len()
    }

    fn head(&self) -> &[u8] {
        &self.buffer.bytes[self.start..]
    }

    fn head_mut(&mut self) -> &mut [u8] {
        // Who asks for it writes a header in its place.
        if let Some(clock) = self.buffer.ticket.as_deref().and_then(|t| t.clock.as_ref()) {
            clock.copied();
        }
        let start = self.start;
        &mut self.buffer.bytes[start..]
    }

    fn for_each_segment(&self, mut visit: impl FnMut(&[u8])) {
        visit(self.head());
        self.tail.iter().for_each(|s| visit(s.bytes()));
    }

    fn capture_time(&self) -> Option<u64> {
        self.capture_time
    }

    fn truncate(&mut self, len: usize) {
        let in_head = len.min(self.head().len());
        let mut left = len - in_head;
        self.buffer.bytes.truncate(self.start + in_head);
        for segment in &mut self.tail {
            let keep = left.min(segment.bytes().len());
            segment.end = segment.start + keep;
            left -= keep;
        }
        self.tail.retain(|s| !s.bytes().is_empty());
    }

    fn replace_front(&mut self, strip: usize, len: usize) -> Option<&mut [u8]> {
        if strip == self.head().len() && len > self.start + strip {
            // Nothing follows in this segment, so that what is new may lie where there is room.
            self.buffer.bytes.resize(len, 0);
            self.start = len - strip;
        }
        let behind = self.start + strip;
        if strip > self.head().len() || len > behind {
            return None;
        }
        if let Some(clock) = self.buffer.ticket.as_deref().and_then(|t| t.clock.as_ref()) {
            clock.copied();
        }
        self.start = behind - len;
        let start = self.start;
        Some(&mut self.buffer.bytes[start..behind])
    }

    fn copy_tail(&self, strip: usize, into: &mut Self) -> bool {
        let bytes = self.bytes();
        let Some(tail) = bytes.get(strip..) else {
            return false;
        };
        into.buffer.bytes.extend_from_slice(tail);
        into.sequence = self.sequence;
        true
    }

    fn into_payload(mut self, strip: usize, owners: usize) -> HeapPayload {
        let first = Segment::new(std::mem::take(&mut self.buffer), self.start + strip);
        let chain = std::iter::once(first).chain(std::mem::take(&mut self.tail));
        let segments = chain.filter(|s| !s.bytes().is_empty()).collect();
        HeapPayload { segments, sequence: self.sequence, owners }
    }
}

/// The segments that the copies of a packet own together.
#[derive(Debug)]
pub struct HeapPayload {
    segments: Vec<Segment>,
    sequence: u64,
    /// Owners that are still to be found.
    owners: usize,
}

impl Payload<HeapPacket> for HeapPayload {
    fn chain_to(&mut self, header: &mut HeapPacket) {
        self.owners = self.owners.checked_sub(1).expect("no more owners than were counted");
        header.sequence = self.sequence;
        header.tail.extend(self.segments.iter().cloned());
    }
}

/// A pool of heap packets with a bound, so that exhaustion and leaks show.
#[derive(Debug)]
pub struct HeapPool {
    size: usize,
    tickets: Rc<Tickets>,
}

/// One owner besides this for each packet taken and not yet freed, however many handles the pool
/// has.
#[derive(Debug, Default)]
struct Tickets(Rc<Ticket>);

/// What the packets of one pool share.
#[derive(Debug, Default)]
struct Ticket {
    /// The clock that pays for headers written into the pool's packets.
    clock: Option<VirtualClock>,
    /// How many faults keep the pool from giving anything.
    failing: Cell<u32>,
}

impl HeapPool {
    /// A pool that gives up to `size` packets at a time.
    pub fn new(size: usize) -> Self {
        Self { size, tickets: Rc::default() }
    }

    /// The same; each header written into one of its packets takes the time that `clock` says.
    pub fn metered(size: usize, clock: VirtualClock) -> Self {
        let ticket = Ticket { clock: Some(clock), failing: Cell::new(0) };
        Self { size, tickets: Rc::new(Tickets(Rc::new(ticket))) }
    }

    /// Packets that it gives at a time.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Begins or ends a fault: while there is one the pool gives nothing.
    pub fn fail(&self, begins: bool) {
        let failing = &self.tickets.0.failing;
        failing.set(if begins { failing.get() + 1 } else { failing.get() - 1 });
    }

    /// Packets taken and not yet freed.
    pub fn in_use(&self) -> usize {
        Rc::strong_count(&self.tickets.0) - 1
    }

    /// An owner's mark for a packet made elsewhere, so that it counts as taken from here.
    pub fn adopt(&self, mut packet: HeapPacket) -> HeapPacket {
        packet.buffer.ticket = Some(Rc::clone(&self.tickets.0));
        packet
    }

    /// The same pool, seen from elsewhere.
    pub fn share(&self) -> Self {
        Self { size: self.size, tickets: Rc::clone(&self.tickets) }
    }
}

impl PacketPool for HeapPool {
    type Packet = HeapPacket;

    fn take<const N: usize>(&mut self, into: &mut ArrayVec<HeapPacket, N>, count: usize) -> usize {
        let count = count.min(self.available()).min(into.remaining_capacity());
        for _ in 0..count {
            into.push(self.adopt(HeapFrame::new(&[])));
        }
        count
    }

    fn available(&self) -> usize {
        match self.tickets.0.failing.get() {
            0 => self.size.saturating_sub(self.in_use()),
            _ => 0,
        }
    }
}
