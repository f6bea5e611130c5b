//! Originate - management's own frames (ARP, ND, ICMP, IGMP), in front of a port's copies.
//!
//! Expects:  whole frames in the ring from management, each with its port.
//! Leaves:   nothing where the port takes them; what it refuses stays staged, in order.
//! Drops:    none of the ledger's: a frame without a buffer, or with a burst staged in front of it,
//!           is counted as `unsent` for its port.
//! Config:   none.
//! Bounds:   one burst from the ring a turn, one burst staged a port; a shaper does not count them.

use arrayvec::ArrayVec;

use crate::packet::{BURST, Burst, FrameSink, FrameSource, Packet, PacketPool, frame_ring};
use crate::plan::Plan;

use super::Tally;

/// Frames that may wait for the worker.
pub const OWN_FRAMES: usize = 256;

/// The stage, for all ports of a worker.
#[derive(Debug)]
pub struct Originate<O: PacketPool> {
    source: FrameSource,
    /// Buffers for its frames: one for the ports since the start, and one each for those that were
    /// added.
    pool: O,
    added: Vec<(usize, O)>,
    /// By port slot: what the port has refused so far.
    staged: Vec<Burst<O::Packet>>,
    /// How many are staged.
    waiting: usize,
}

impl<O: PacketPool> Originate<O> {
    /// A ring for frames to all ports that `plan` has room for, in buffers of `pool`: the worker's
    /// end, and management's.
    pub fn new(plan: &Plan, pool: O) -> (Self, FrameSink) {
        let (sink, source) = frame_ring(OWN_FRAMES, plan.largest_frame as usize);
        let ports = plan.capacity.ports as usize;
        let staged = std::iter::repeat_with(Burst::new).take(ports).collect();
        let added = Vec::with_capacity(ports - plan.ports.len());
        (Self { source, pool, added, staged, waiting: 0 }, sink)
    }

    /// Frames to the port with this slot, which is new, come in buffers of `pool`.
    pub fn add_port(&mut self, slot: usize, pool: O) {
        self.added.push((slot, pool));
    }

    /// Whether there is nothing to send.
    pub fn is_idle(&self) -> bool {
        self.waiting == 0 && self.source.is_empty()
    }

    /// Whether management has sent nothing that is not at its port yet.
    pub fn is_quiet(&self) -> bool {
        self.source.is_empty()
    }

    /// Takes frames from management to their ports; `send` hands those of a port's slot to it and
    /// returns how many it accepted. Returns how many all accepted.
    #[cold]
    pub fn flush(
        &mut self,
        tally: &Tally,
        mut send: impl FnMut(usize, &mut Burst<O::Packet>) -> usize,
    ) -> usize {
        for _ in 0..BURST {
            let Self { source, pool, added, staged, .. } = self;
            let stages = |port: u8, bytes: &[u8]| {
                let slot = usize::from(port);
                let staged = &mut staged[slot];
                let its = added.iter_mut().find(|(port, _)| *port == slot);
                let pool = its.map_or(&mut *pool, |(_, pool)| pool);
                match (staged.is_full(), frame(pool, bytes)) {
                    (false, Some(frame)) => staged.push(frame),
                    _ => tally.counters.ports[slot].unsent.add(1),
                }
            };
            if source.take(stages).is_none() {
                break;
            }
        }
        let (mut sent, mut waiting) = (0, 0);
        for (slot, staged) in self.staged.iter_mut().enumerate().filter(|(_, s)| !s.is_empty()) {
            sent += send(slot, staged);
            waiting += staged.len();
        }
        self.waiting = waiting;
        sent
    }

    /// Frees what is staged.
    pub fn discard(&mut self) {
        self.staged.iter_mut().for_each(Burst::clear);
        self.waiting = 0;
    }
}

/// A frame of its own buffer; none where the pool is dry or the buffer too short.
fn frame<O: PacketPool>(pool: &mut O, bytes: &[u8]) -> Option<O::Packet> {
    let mut one = ArrayVec::<_, 1>::new();
    pool.take(&mut one, 1);
    let mut frame = one.pop()?;
    frame.replace_front(0, bytes.len())?.copy_from_slice(bytes);
    Some(frame)
}
