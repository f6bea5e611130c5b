//! Punt - what is not ours to relay goes to management: ARP, ICMP, IGMP, ND.
//!
//! Expects:  whole frames that parse found to be the slow path's.
//! Leaves:   a copy of the frame in the ring to management; the packet itself is freed here.
//! Drops:    `punt_full` where its kind is over its rate at this port, or the ring is full.
//! Config:   none.
//! Bounds:   O(length); a ring of [`FRAMES`] frames, and for each port and kind a token bucket.
//!
//! Each kind has a bucket of its own, and so has what is sent to this host alone, so that a flood of
//! one does not keep the others out: pings not the neighbours, broadcasts not the answers to us.

use crate::packet::{FrameSink, FrameSource, Packet, frame_ring};
use crate::plan::Plan;
use crate::sched::{BucketRate, TokenBucket};
use crate::wire::PuntKind;

/// Frames that may wait for management.
pub const FRAMES: usize = 256;
/// Packets a second that management takes of a port and kind.
pub const PUNTS_A_SECOND: u64 = 1_000;
/// Packets at once.
pub const PUNTS_AT_ONCE: u64 = 64;

/// Buckets of a port: by kind, and by whether it is for a group or for this host.
const BUCKETS: usize = 2 * PuntKind::COUNT;

/// The worker's side.
#[derive(Debug)]
pub struct Punt {
    sink: FrameSink,
    /// By port slot, then by kind and destination.
    buckets: Box<[[TokenBucket; BUCKETS]]>,
    rate: BucketRate,
}

impl Punt {
    /// A ring for the frames of all ports that `plan` has room for: the worker's end, and management's.
    pub fn new(plan: &Plan) -> (Self, FrameSource) {
        let (sink, source) = frame_ring(FRAMES, plan.largest_frame as usize);
        let buckets = vec![[TokenBucket::default(); BUCKETS]; plan.capacity.ports as usize];
        // A packet is a byte to the bucket.
        let rate = BucketRate::new(8 * PUNTS_A_SECOND, PUNTS_AT_ONCE, plan.ticks_per_second);
        (Self { sink, buckets: buckets.into(), rate }, source)
    }

    /// Copies a frame to management; false where it takes no more.
    pub fn take(&mut self, packet: &impl Packet) -> bool {
        let meta = packet.meta();
        let port = meta.headers.port;
        let (kind, to_group) = PuntKind::of(packet.head());
        let bucket =
            &mut self.buckets[usize::from(port)][2 * kind as usize + usize::from(to_group)];
        bucket.conforms(&self.rate, 1, meta.arrival)
            && self.sink.put(port, packet.frame_len(), |bytes| {
                packet.for_each_segment(|segment| bytes.extend_from_slice(segment));
            })
    }
}
