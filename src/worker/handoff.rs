//! Handoff - packets to the worker that keeps their flow, copies to the one that sends to their
//! port.
//!
//! Expects:  packets with a rule, behind classify; finished copies, behind fan-out.
//! Leaves:   each with its worker, in the order in which it was handed over.
//! Drops:    `handoff_full` where the ring is full, for the rule or the output.
//! Config:   `eal.lcores`; where there is one worker, none of this exists.
//! Bounds:   O(1) a packet; a ring of [`PACKETS`] packets and one of copies for each pair of workers
//!           and each direction; of what others hand over a turn takes [`TURN_COPIES`] copies at
//!           most.
//!
//! A ring has one writer and one reader, and neither waits. What is written in bursts becomes visible
//! at once: the reader sees all that the writer did before, the payload's count of owners too. A
//! turn takes only what was there when it began, and takes up its plan behind that look, so that it
//! never goes by an older plan than who handed a packet over.

use rtrb::{Consumer, Producer, RingBuffer};

use crate::config::FlowKind;
use crate::packet::{BURST, Burst, DropReason, Packet};
use crate::plan::{Plan, Roles, home_of_source};
use crate::stages::{TURN_COPIES, Tally};
use crate::wire;

/// Packets that a ring between two workers holds.
const PACKETS: usize = 1_024;
/// Copies that a ring between two workers holds, at least; more where a burst may become more.
const COPIES_MIN: usize = 4_096;

/// What one worker shares with the others.
#[derive(Debug)]
pub struct Handoff<P> {
    /// This worker.
    me: usize,
    /// By worker; none for this one.
    peers: Vec<Option<Peer<P>>>,
    /// By port slot: who sends to it.
    sends: Box<[usize]>,
    /// Whose turn it is to be taken from.
    next: usize,
    /// Whether the next burst is to be another's, if there is one.
    is_theirs: bool,
}

/// The rings between this worker and another.
#[derive(Debug)]
struct Peer<P> {
    packets: Way<P>,
    copies: Way<P>,
}

/// A ring each way.
#[derive(Debug)]
struct Way<P> {
    out: Producer<P>,
    /// What is to be written next, as one.
    staged: Burst<P>,
    from: Consumer<P>,
    /// Of what there is to read: what was there when the turn began.
    ready: usize,
}

impl<P> Way<P> {
    /// Both ends of a ring each way, for `capacity` packets.
    fn pair(capacity: usize) -> (Self, Self) {
        let (there, back) = (RingBuffer::new(capacity), RingBuffer::new(capacity));
        let way = |out, from| Self { out, staged: Burst::new(), from, ready: 0 };
        (way(there.0, back.1), way(back.0, there.1))
    }

    /// Writes what is staged; calls `full` with what does not fit. Returns how many were written.
    fn flush(&mut self, full: impl FnMut(P)) -> usize {
        let count = self.staged.len().min(self.out.slots());
        if count > 0
            && let Ok(chunk) = self.out.write_chunk_uninit(count)
        {
            chunk.fill_from_iter(self.staged.drain(..count));
        }
        self.staged.drain(..).for_each(full);
        count
    }

    /// Reads up to `count` packets of those that were there when the turn began; returns how many.
    fn take(&mut self, count: usize, each: impl FnMut(P)) -> usize {
        let count = count.min(self.ready);
        self.ready -= count;
        match self.from.read_chunk(count) {
            Ok(chunk) => chunk.into_iter().for_each(each),
            Err(_) => unreachable!("they were there, and nobody else reads"),
        }
        count
    }
}

impl<P: Packet> Handoff<P> {
    /// The rings of all workers with these roles, one [`Handoff`] each; none where there is one
    /// worker.
    pub fn connect(plan: &Plan, roles: &Roles) -> Vec<Option<Self>> {
        let count = roles.workers;
        if count < 2 {
            return vec![None];
        }
        let copies = COPIES_MIN.max(burst_copies(plan).next_power_of_two());
        let mut all: Vec<Vec<Option<Peer<P>>>> =
            (0..count).map(|_| (0..count).map(|_| None).collect()).collect();
        for (a, b) in (0..count).flat_map(|a| (0..a).map(move |b| (a, b))) {
            let ((packets, others), (copies, other_copies)) =
                (Way::pair(PACKETS), Way::pair(copies));
            all[a][b] = Some(Peer { packets, copies });
            all[b][a] = Some(Peer { packets: others, copies: other_copies });
        }
        let sends: Box<[usize]> = roles.sends.clone().into();
        let one =
            |(me, peers)| Some(Self { me, peers, sends: sends.clone(), next: 0, is_theirs: true });
        all.into_iter().enumerate().map(one).collect()
    }

    /// This worker's number.
    pub fn me(&self) -> usize {
        self.me
    }

    /// Workers that there are.
    pub fn workers(&self) -> usize {
        self.peers.len()
    }

    /// Who sends to a port.
    pub fn sends(&self, port: usize) -> usize {
        self.sends[port]
    }

    /// Looks at what others have handed over; before the turn takes up its plan.
    pub fn look(&mut self) {
        for Peer { packets, copies } in self.peers.iter_mut().flatten() {
            packets.ready = packets.from.slots();
            copies.ready = copies.from.slots();
        }
    }

    /// Hands over the packets of a burst whose flows others keep.
    pub fn spread(&mut self, burst: &mut Burst<P>, plan: &Plan, tally: &mut Tally) {
        let (me, workers) = (self.me, self.peers.len());
        if burst.iter().all(|packet| home(packet, plan, workers) == me) {
            return;
        }
        for packet in std::mem::take(burst) {
            match &mut self.peers[home(&packet, plan, workers)] {
                None => burst.push(packet),
                Some(peer) => peer.packets.staged.push(packet),
            }
        }
        for Peer { packets, .. } in self.peers.iter_mut().flatten() {
            let full = |packet| tally.drop_before(DropReason::HandoffFull, &packet, plan);
            let handed = packets.flush(full);
            tally.ledger.handed.packets += handed as u64;
        }
    }

    /// Fills an empty burst with packets whose flows are kept here, of one worker; says whether
    /// there are any. Every second call is for the worker's own queues.
    pub fn receive(&mut self, burst: &mut Burst<P>, tally: &mut Tally) -> bool {
        self.is_theirs = !self.is_theirs;
        if self.is_theirs {
            return false;
        }
        for _ in 0..self.peers.len() {
            self.next = (self.next + 1) % self.peers.len();
            if let Some(peer) = &mut self.peers[self.next] {
                let taken = peer.packets.take(BURST, |packet| burst.push(packet));
                if taken > 0 {
                    tally.ledger.taken.packets += taken as u64;
                    return true;
                }
            }
        }
        false
    }

    /// Hands copies over to the worker that sends to their port; at the latest with the next
    /// [`Self::flush`].
    pub fn hand(&mut self, worker: usize, copies: &mut Burst<P>, plan: &Plan, tally: &mut Tally) {
        let Some(Peer { copies: way, .. }) = &mut self.peers[worker] else {
            return;
        };
        for copy in copies.drain(..) {
            way.staged.push(copy);
            if way.staged.is_full() {
                flush(way, plan, tally);
            }
        }
    }

    /// Hands over all copies.
    pub fn flush(&mut self, plan: &Plan, tally: &mut Tally) {
        for Peer { copies, .. } in self.peers.iter_mut().flatten() {
            flush(copies, plan, tally);
        }
    }

    /// Copies that a turn takes of each other worker.
    pub fn copies_a_turn(&self) -> usize {
        (TURN_COPIES as usize / (self.peers.len() - 1)).max(BURST)
    }

    /// Takes up to `count` copies of each other worker, for the ports that this one sends to;
    /// returns how many.
    pub fn take_copies(
        &mut self,
        count: usize,
        tally: &mut Tally,
        mut each: impl FnMut(P, &mut Tally),
    ) -> usize {
        let mut taken = 0;
        for Peer { copies, .. } in self.peers.iter_mut().flatten() {
            taken += copies.take(count, |copy| each(copy, tally));
        }
        tally.ledger.taken.copies += taken as u64;
        taken
    }

    /// Whether so many copies could be handed over, whomever they are for.
    pub fn has_room(&self, copies: usize) -> bool {
        let has_room = |Peer { copies: way, .. }: &Peer<P>| {
            way.out.slots() >= copies.min(way.out.buffer().capacity())
        };
        self.peers.iter().flatten().all(has_room)
    }

    /// Whether a burst could be handed over, whoever keeps its flows.
    pub fn can_spread(&self) -> bool {
        self.peers.iter().flatten().all(|peer| peer.packets.out.slots() >= BURST)
    }

    /// Whether others have handed over packets that were not taken.
    pub fn has_packets(&self) -> bool {
        self.peers.iter().flatten().any(|peer| !peer.packets.from.is_empty())
    }

    /// Whether others have handed over copies that were not taken.
    pub fn has_copies(&self) -> bool {
        self.peers.iter().flatten().any(|peer| !peer.copies.from.is_empty())
    }

    /// Drops what others have handed over, as `stopped`.
    pub fn discard(&mut self, plan: &Plan, tally: &mut Tally) {
        self.look();
        for Peer { packets, copies } in self.peers.iter_mut().flatten() {
            let drop = |packet| tally.drop_before(DropReason::Stopped, &packet, plan);
            let taken = packets.take(usize::MAX, drop);
            tally.ledger.taken.packets += taken as u64;
            let drop = |copy| tally.drop_after(DropReason::Stopped, &copy, plan);
            let taken = copies.take(usize::MAX, drop);
            tally.ledger.taken.copies += taken as u64;
        }
    }
}

/// Writes what is staged; copies that do not fit are dropped.
fn flush<P: Packet>(copies: &mut Way<P>, plan: &Plan, tally: &mut Tally) {
    let full = |copy| tally.drop_after(DropReason::HandoffFull, &copy, plan);
    let handed = copies.flush(full);
    tally.ledger.handed.copies += handed as u64;
}

/// Copies that a burst may become.
pub fn burst_copies(plan: &Plan) -> usize {
    BURST * plan.rules.iter().map(|rule| rule.fan_out() as usize).max().unwrap_or(0)
}

/// Who keeps the flow of a packet.
#[inline(always)]
fn home<P: Packet>(packet: &P, plan: &Plan, workers: usize) -> usize {
    let meta = packet.meta();
    let rule = &plan.rules[meta.rule as usize];
    match rule.flow {
        FlowKind::Rule => rule.home.into(),
        FlowKind::Row => meta.flow as usize % workers,
        FlowKind::Source => {
            home_of_source(rule.id, wire::source(packet.head(), &meta.headers), workers)
        }
    }
}
