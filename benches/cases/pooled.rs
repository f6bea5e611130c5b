//! Packets that are made beforehand and come back to their home, and a driver of them: between two
//! preparations of a turn nothing is allocated or freed, as with a card's buffers.

use std::cell::RefCell;
use std::mem::take;
use std::rc::Rc;

use arrayvec::ArrayVec;
use punctual::packet::{
    Burst, Driver, Meta, Packet, PacketPool, Payload, Received, RxPort, TxPort,
};
use punctual::sched::{Link, Node};
use punctual::testkit::StepClock;

/// Bytes of a buffer, and where a frame begins in it.
const ROOM: usize = 256;
const HEADROOM: usize = 128;

/// A packet of one buffer, and a payload that others own too.
pub struct Frame {
    meta: Meta,
    buffer: Rc<[u8; ROOM]>,
    start: usize,
    end: usize,
    payload: Option<Rc<[u8; ROOM]>>,
    /// Where the payload lies in its buffer.
    at: (usize, usize),
    home: Home,
}

pub type Pooled = Box<Frame>;

impl Node for Frame {
    fn link_mut(&mut self) -> &mut Option<Link> {
        &mut self.meta.link
    }
}

impl Frame {
    fn buffer_mut(&mut self) -> &mut [u8; ROOM] {
        Rc::get_mut(&mut self.buffer).expect("it has one owner")
    }
}

impl Packet for Pooled {
    type Payload = Spent;

    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut Meta {
        &mut self.meta
    }

    fn frame_len(&self) -> usize {
        self.end - self.start + self.at.1 - self.at.0
    }

    fn segments(&self) -> usize {
        1 + usize::from(self.payload.is_some())
    }

    fn head(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    fn head_mut(&mut self) -> &mut [u8] {
        let range = self.start..self.end;
        &mut self.buffer_mut()[range]
    }

    fn for_each_segment(&self, mut visit: impl FnMut(&[u8])) {
        visit(self.head());
        if let Some(payload) = &self.payload {
            visit(&payload[self.at.0..self.at.1]);
        }
    }

    fn capture_time(&self) -> Option<u64> {
        None
    }

    fn truncate(&mut self, len: usize) {
        self.end = self.end.min(self.start + len);
    }

    fn replace_front(&mut self, strip: usize, len: usize) -> Option<&mut [u8]> {
        let behind = self.start + strip;
        if behind > self.end || len > behind {
            return None;
        }
        self.start = behind - len;
        let range = self.start..behind;
        Some(&mut self.buffer_mut()[range])
    }

    /// No case copies.
    fn copy_tail(&self, _: usize, _: &mut Self) -> bool {
        false
    }

    fn into_payload(self, strip: usize, _: usize) -> Spent {
        let (buffer, at) = (Rc::clone(&self.buffer), (self.start + strip, self.end));
        let home = self.home.clone();
        home.0.borrow_mut().spent.push(self);
        Spent { buffer, at }
    }
}

/// A payload, whose packet waits at home until its copies have come back.
pub struct Spent {
    buffer: Rc<[u8; ROOM]>,
    at: (usize, usize),
}

impl Payload<Pooled> for Spent {
    fn chain_to(&mut self, header: &mut Pooled) {
        header.payload = Some(Rc::clone(&self.buffer));
        header.at = self.at;
    }
}

/// The packets that nobody has; clones are the same.
#[derive(Clone)]
pub struct Home(Rc<RefCell<Rooms>>);

struct Rooms {
    free: Vec<Pooled>,
    /// Whose buffers are others' payload still.
    spent: Vec<Pooled>,
}

impl Home {
    /// A home of so many packets.
    pub fn new(packets: usize) -> Self {
        let (free, spent) = (Vec::with_capacity(packets), Vec::with_capacity(packets));
        let home = Self(Rc::new(RefCell::new(Rooms { free, spent })));
        for _ in 0..packets {
            let frame = Frame {
                meta: Meta::default(),
                buffer: Rc::new([0; ROOM]),
                start: HEADROOM,
                end: HEADROOM,
                payload: None,
                at: (0, 0),
                home: home.clone(),
            };
            home.0.borrow_mut().free.push(Box::new(frame));
        }
        home
    }

    /// A packet with these bytes.
    pub fn frame(&self, bytes: &[u8]) -> Pooled {
        let mut frame = self.0.borrow_mut().free.pop().expect("the home is large enough");
        frame.end = HEADROOM + bytes.len();
        frame.head_mut().copy_from_slice(bytes);
        frame
    }

    /// Takes back `sent` and the packets whose payloads they had.
    pub fn take_back(&self, sent: Vec<Pooled>) {
        let mut rooms = self.0.borrow_mut();
        let spent = take(&mut rooms.spent);
        rooms.spent.reserve(spent.capacity());
        for mut frame in sent.into_iter().chain(spent) {
            (frame.start, frame.end, frame.at) = (HEADROOM, HEADROOM, (0, 0));
            frame.payload = None;
            rooms.free.push(frame);
        }
    }

    /// Packets at home.
    pub fn free(&self) -> usize {
        self.0.borrow().free.len()
    }
}

impl PacketPool for Home {
    type Packet = Pooled;

    fn take<const N: usize>(&mut self, into: &mut ArrayVec<Pooled, N>, count: usize) -> usize {
        let free = &mut self.0.borrow_mut().free;
        let count = count.min(free.len()).min(into.remaining_capacity());
        into.extend(free.drain(free.len() - count..));
        count
    }

    fn available(&self) -> usize {
        self.free()
    }
}

/// A receive or send queue; clones are the same.
#[derive(Clone)]
pub struct Wire(Rc<RefCell<Vec<Pooled>>>);

impl Wire {
    /// A wire that holds so many packets without allocating.
    pub fn new(packets: usize) -> Self {
        Self(Rc::new(RefCell::new(Vec::with_capacity(packets))))
    }

    /// Puts a packet on it.
    pub fn push(&self, packet: Pooled) {
        self.0.borrow_mut().push(packet);
    }

    /// Takes all off it.
    pub fn take(&self) -> Vec<Pooled> {
        let mut wire = self.0.borrow_mut();
        let empty = Vec::with_capacity(wire.capacity());
        std::mem::replace(&mut wire, empty)
    }
}

impl RxPort for Wire {
    type Packet = Pooled;

    fn receive(&mut self, burst: &mut Burst<Pooled>) -> Received {
        let mut wire = self.0.borrow_mut();
        let count = burst.remaining_capacity().min(wire.len());
        burst.extend(wire.drain(..count));
        Received { frames: count as u32, foreign: 0 }
    }
}

impl TxPort for Wire {
    type Packet = Pooled;

    fn send(&mut self, packets: &mut Burst<Pooled>) -> usize {
        let count = packets.len();
        self.0.borrow_mut().extend(packets.drain(..));
        count
    }
}

/// A driver of pooled packets.
pub struct Bench;

impl Driver for Bench {
    type Packet = Pooled;
    type Rx = Wire;
    type Tx = Wire;
    type Pool = Home;
    type Clock = StepClock;
}
