//! Egress DRR - fair shares of one port between outputs, in bytes; classes above outputs.
//!
//! Expects:  copies for this port, `output` set.
//! Leaves:   copies in service order; the order within an output kept.
//! Drops:    `egress_full` where the output's queue is at its bound; `egress_late` at dequeue,
//!           where the deadline has passed and the rule drops late packets; `removed` where a
//!           reload took the output away and gave up on what waits.
//! Config:   `class.weight`, `output.weight`, `output.queue`, `rule.late`, `port.rate`,
//!           `port.burst`.
//! Bounds:   O(1) a copy; queues bounded in packets and bytes; other ports notice nothing, and
//!           all queues of a port together hold at most as many copies as there are free buffers.
//!
//! That last bound is a dynamic threshold (Choudhury and Hahne, "Dynamic Queue Length Thresholds
//! for Shared-Memory Packet Switches", IEEE/ACM ToN 1998) with a factor of 1, in equal parts for
//! the queues that hold something: a port that stands still pins half of the memory, two of them
//! two thirds, and never all of it; and a long queue does not keep a short one out. What one turn
//! brings, 64 copies, is let in whatever is free.

use crate::config::Late;
use crate::packet::{BURST, DropReason, Meta, Packet, Ticks};
use crate::plan::Plan;
use crate::sched::{BucketRate, Drr, TokenBucket};

use super::Tally;

/// Packets that a turn brings. So many copies may wait at a port however little is free, so that
/// what needs no buffer of a dry pool can go its way, in the same turn.
const TURN: usize = 2 * BURST;

/// The stage, for one port: one queue an output.
#[derive(Debug)]
pub struct EgressDrr<P: Packet> {
    drr: Drr<P>,
    shaper: Option<Shaper>,
}

/// What holds a port to its rate.
#[derive(Debug)]
struct Shaper {
    rate: BucketRate,
    bucket: TokenBucket,
}

impl<P: Packet> EgressDrr<P> {
    /// Empty queues for the outputs that `plan` has on the port with slot `port`.
    pub fn new(plan: &Plan, port: usize) -> Self {
        let port = &plan.ports[port];
        Self {
            drr: Drr::new(port.lane_slots as usize, plan.class_quanta(), plan.largest_frame),
            shaper: port.shaper.map(|rate| Shaper { rate, bucket: TokenBucket::default() }),
        }
    }

    /// Goes by another plan from now on; a shaper keeps what its bucket holds.
    pub fn adopt(&mut self, plan: &Plan, port: usize) {
        self.drr.set_class_quanta(plan.class_quanta());
        let bucket = self.shaper.take().map_or_else(TokenBucket::default, |shaper| shaper.bucket);
        self.shaper = plan.ports[port].shaper.map(|rate| Shaper { rate, bucket });
    }

    /// Queues a copy for its output; `free` buffers are left for all ports.
    pub fn enqueue(&mut self, copy: P, free: usize, plan: &Plan, tally: &mut Tally) {
        let slot = copy.meta().output;
        let output = &plan.outputs[slot as usize];
        let fits =
            self.drr.packets() < TURN || self.drr.waiting(output.lane) * self.drr.busy() <= free;
        if fits && self.drr.has_room(output.lane, &output.egress, copy.meta().bytes) {
            self.drr.enqueue(output.lane, &output.egress, copy);
        } else {
            tally.drop_after(DropReason::EgressFull, &copy, plan);
        }
    }

    /// Takes out the copy whose turn it is and that is still to be sent; none while the shaper
    /// has no credit for it.
    pub fn next(&mut self, plan: &Plan, now: Ticks, tally: &mut Tally) -> Option<P> {
        loop {
            if let Some(Shaper { rate, bucket }) = &mut self.shaper {
                let front = self.drr.front()?;
                let meta = front.meta();
                if ends(meta, plan, now).is_none() && !bucket.conforms(rate, meta.bytes, now) {
                    return None;
                }
            }
            // What ends here takes nothing of the link, and so nothing of its output's share.
            let mut end = None;
            let copy = self.drr.dequeue_charged(|copy| {
                end = ends(copy.meta(), plan, now);
                end.is_none()
            })?;
            match end {
                None => return Some(copy),
                Some(reason) => tally.drop_after(reason, &copy, plan),
            }
        }
    }

    /// Gives its share of the port back to the output of a copy that came to nothing.
    pub fn refund(&mut self, output: u32, bytes: u32, plan: &Plan) {
        self.drr.refund(plan.outputs[output as usize].lane, bytes);
    }

    /// Whether a copy may go past this stage: nothing waits that it would overtake, and no shaper
    /// counts it.
    pub fn passes(&self) -> bool {
        self.drr.packets() == 0 && self.shaper.is_none()
    }

    /// Takes out the first copy, late or not.
    pub fn take(&mut self) -> Option<P> {
        self.drr.dequeue()
    }

    /// Copies that wait.
    pub fn packets(&self) -> usize {
        self.drr.packets()
    }

    /// Whether each of the port's `lanes` could take another burst, where `free` buffers are left.
    pub fn has_room(&self, free: usize, lanes: u32) -> bool {
        let (waiting, lanes) = (self.drr.packets(), lanes as usize);
        waiting == 0 || (self.drr.tight() == 0 && (waiting + BURST) * lanes <= free)
    }
}

/// Why a copy that waited is not sent.
fn ends(meta: &Meta, plan: &Plan, now: Ticks) -> Option<DropReason> {
    if plan.outputs[meta.output as usize].removed {
        Some(DropReason::Removed)
    } else {
        is_late(meta.deadline, meta.output, plan, now).then_some(DropReason::EgressLate)
    }
}

/// Whether the deadline has passed and the rule of the output drops late packets.
pub(super) fn is_late(deadline: Ticks, output: u32, plan: &Plan, now: Ticks) -> bool {
    deadline < now && plan.outputs[output as usize].late == Late::Drop
}
