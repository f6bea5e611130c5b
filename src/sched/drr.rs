//! Deficit round robin on two levels: classes, and members within a class.
//!
//! Shreedhar and Varghese, "Efficient Fair Queuing using Deficit Round Robin" (SIGCOMM 1995),
//! in bytes: a visit adds the quantum to the deficit and serves packets while it lasts; what is
//! left is kept for the next visit, unless the queue ran empty. A visit that is interrupted
//! keeps its deficit and gets no new quantum. O(1) a packet where every quantum is at least the
//! largest packet. The same code serves ingress (members are flows) and egress (outputs).

use prefetch_index::prefetch_index;

use crate::config::{Class, QueueBound};
use crate::packet::{BURST, Packet};

use super::{Front, Queue};

/// The end of a list of members.
const NONE: u32 = u32::MAX;

/// What a member's next packet is queued under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberSettings {
    /// The class it is served in; taken up when its queue is empty.
    pub class: Class,
    /// Bytes it may send a visit: weight x base.
    pub quantum: u32,
    /// How much may wait in it.
    pub bound: QueueBound,
}

/// The scheduler: `members` bounded FIFO queues in three classes.
#[derive(Debug)]
pub struct Drr<P: Packet> {
    classes: [ClassRound; Class::COUNT],
    members: Box<[Member<P>]>,
    /// The class whose visit goes on or begins next.
    current: usize,
    /// Whether the current class has had its quantum.
    visiting: bool,
    packets: usize,
    busy: usize,
    tight: usize,
    /// Bytes that a burst of largest packets takes.
    burst_bytes: u64,
}

/// One class: a round of its members that have packets, the first being visited.
#[derive(Debug)]
struct ClassRound {
    quantum: u32,
    deficit: u32,
    first: u32,
    last: u32,
    /// Whether the first member has had its quantum.
    visiting: bool,
}

/// One queue, its share and its place in the round; a cache line.
#[derive(Debug)]
#[repr(align(64))]
struct Member<P: Packet> {
    queue: Queue<P>,
    packets: u32,
    deficit: u32,
    quantum: u32,
    /// The member behind this one in the round of its class.
    next: u32,
    bytes: u64,
    /// The bound that its last packet was queued under.
    bound: QueueBound,
    class: Class,
    /// Whether it holds something and another burst might not fit.
    tight: bool,
}

impl<P: Packet> Member<P> {
    fn new() -> Self {
        Self {
            queue: Queue::new(),
            packets: 0,
            deficit: 0,
            quantum: 0,
            next: NONE,
            bytes: 0,
            bound: QueueBound { packets: 0, bytes: 0 },
            class: Class::High,
            tight: false,
        }
    }

    /// Whether another burst might not fit.
    fn is_tight(&self, bound: &QueueBound, burst_bytes: u64) -> bool {
        u64::from(self.packets) + BURST as u64 > u64::from(bound.packets)
            || self.bytes + burst_bytes > bound.bytes
    }
}

impl<P: Packet> Drr<P> {
    /// `members` empty queues; `class_quanta` are bytes a visit, by class. `largest` is the
    /// largest packet, in the bytes that are counted.
    pub fn new(members: usize, class_quanta: [u32; Class::COUNT], largest: u32) -> Self {
        Self {
            classes: class_quanta.map(ClassRound::new),
            members: std::iter::repeat_with(Member::new).take(members).collect(),
            current: 0,
            visiting: false,
            packets: 0,
            busy: 0,
            tight: 0,
            burst_bytes: u64::from(largest) * BURST as u64,
        }
    }

    /// Sets the bytes a visit, by class; visits that have begun keep what they have.
    pub fn set_class_quanta(&mut self, class_quanta: [u32; Class::COUNT]) {
        for (class, quantum) in self.classes.iter_mut().zip(class_quanta) {
            class.quantum = quantum;
        }
    }

    /// Packets in all queues.
    pub fn packets(&self) -> usize {
        self.packets
    }

    /// Queues that hold something.
    pub fn busy(&self) -> usize {
        self.busy
    }

    /// Queues that hold something and might not take another burst.
    pub fn tight(&self) -> usize {
        self.tight
    }

    /// Packets that wait in `member`.
    pub fn waiting(&self, member: u32) -> usize {
        self.members[member as usize].packets as usize
    }

    /// Asks the cache for what is known of these members: what is far away comes for all of them at
    /// once.
    pub fn warm(&self, members: impl Iterator<Item = u32>) {
        members.for_each(|member| prefetch_index(&*self.members, member as usize));
    }

    /// Whether a packet of so many bytes fits behind the others of `member`.
    pub fn has_room(&self, member: u32, settings: &MemberSettings, bytes: u32) -> bool {
        let m = &self.members[member as usize];
        let bound = &settings.bound;
        m.packets < bound.packets && m.bytes + u64::from(bytes) <= bound.bytes
    }

    /// Puts `packet` behind the others of `member`, which has room for it.
    pub fn enqueue(&mut self, member: u32, settings: &MemberSettings, packet: P) {
        let m = &mut self.members[member as usize];
        m.bytes += u64::from(packet.meta().bytes);
        m.packets += 1;
        m.queue.push_back(packet);
        m.quantum = settings.quantum;
        m.bound = settings.bound;
        if !m.tight && m.is_tight(&settings.bound, self.burst_bytes) {
            m.tight = true;
            self.tight += 1;
        }
        self.packets += 1;
        if m.packets == 1 {
            m.class = settings.class;
            self.busy += 1;
            self.classes[settings.class as usize].join(&mut self.members, member);
        }
    }

    /// Takes out the packet whose turn it is.
    pub fn dequeue(&mut self) -> Option<P> {
        self.dequeue_charged(|_| true)
    }

    /// The same; what is not `charged` for leaves member and class the share that it would have
    /// taken.
    pub fn dequeue_charged(&mut self, charged: impl FnOnce(&P) -> bool) -> Option<P> {
        let bytes = self.select()?;
        self.serve(bytes, charged)
    }

    /// Gives back what `member` was charged for a packet that came to nothing, to it and its class;
    /// an empty queue begins anew and has nothing to be given back.
    pub fn refund(&mut self, member: u32, bytes: u32) {
        let m = &mut self.members[member as usize];
        let class = &mut self.classes[m.class as usize];
        if m.packets > 0 {
            m.deficit += bytes;
        }
        if class.first != NONE {
            class.deficit += bytes;
        }
    }

    /// Looks at the packet that [`Self::dequeue`] takes out next. Whoever does not take it has
    /// interrupted the visit: it goes on as it was.
    pub fn front(&mut self) -> Option<Front<'_, P>> {
        self.select()?;
        let member = self.classes[self.current].first;
        self.members[member as usize].queue.front()
    }

    /// Goes round until a class and its first member have the deficit for that member's first
    /// packet; returns that packet's bytes.
    fn select(&mut self) -> Option<u32> {
        if self.packets == 0 {
            return None;
        }
        loop {
            let class = &mut self.classes[self.current];
            if class.first == NONE {
                self.next_class();
                continue;
            }
            if !self.visiting {
                class.deficit += class.quantum;
                self.visiting = true;
            }
            let bytes = class.select(&mut self.members);
            if bytes > class.deficit {
                self.next_class();
                continue;
            }
            return Some(bytes);
        }
    }

    /// Ends the visit of the current class.
    fn next_class(&mut self) {
        self.current = (self.current + 1) % Class::COUNT;
        self.visiting = false;
    }

    /// Takes a packet of `bytes` from the first member of the current class, which has the deficit
    /// for it.
    fn serve(&mut self, bytes: u32, charged: impl FnOnce(&P) -> bool) -> Option<P> {
        let class = &mut self.classes[self.current];
        let m = &mut self.members[class.first as usize];
        let packet = m.queue.pop_front();
        let charge = if packet.as_ref().is_some_and(charged) { bytes } else { 0 };
        class.deficit -= charge;
        m.packets -= 1;
        m.bytes -= u64::from(bytes);
        m.deficit -= charge;
        self.packets -= 1;
        if m.tight && (m.packets == 0 || !m.is_tight(&m.bound, self.burst_bytes)) {
            m.tight = false;
            self.tight -= 1;
        }
        if m.packets == 0 {
            m.deficit = 0;
            self.busy -= 1;
            class.leave(&mut self.members);
            if class.first == NONE {
                class.deficit = 0;
                self.next_class();
            }
        }
        packet
    }
}

impl ClassRound {
    fn new(quantum: u32) -> Self {
        Self { quantum, deficit: 0, first: NONE, last: NONE, visiting: false }
    }

    /// Puts `member` last in the round.
    fn join<P: Packet>(&mut self, members: &mut [Member<P>], member: u32) {
        members[member as usize].next = NONE;
        match self.last {
            NONE => self.first = member,
            last => members[last as usize].next = member,
        }
        self.last = member;
    }

    /// Takes the first member out of the round; its visit is over.
    fn leave<P: Packet>(&mut self, members: &mut [Member<P>]) -> u32 {
        let member = self.first;
        self.first = members[member as usize].next;
        if self.first == NONE {
            self.last = NONE;
        }
        self.visiting = false;
        member
    }

    /// Goes round until the first member has the deficit for its first packet; returns that
    /// packet's bytes.
    fn select<P: Packet>(&mut self, members: &mut [Member<P>]) -> u32 {
        loop {
            let m = &mut members[self.first as usize];
            if !self.visiting {
                m.deficit += m.quantum;
                self.visiting = true;
            }
            let bytes = m.queue.front().map_or(0, |packet| packet.meta().bytes);
            if bytes <= m.deficit {
                return bytes;
            }
            let member = self.leave(members);
            self.join(members, member);
        }
    }
}

#[cfg(test)]
mod tests;
