//! Egress DRR - fair shares of one port between outputs, in bytes; classes above outputs.
//!
//! Expects:  copies for this port, `output` set.
//! Leaves:   copies in service order; the order within an output kept.
//! Drops:    `egress_full` where the output's queue is at its bound; `egress_late` at dequeue,
//!           where the deadline has passed and the rule drops late packets.
//! Config:   `class.weight`, `output.weight`, `output.queue`, `rule.late`.
//! Bounds:   O(1) a copy; queues bounded in packets and bytes; other ports notice nothing.

use crate::config::{Class, Late};
use crate::packet::{DropReason, Packet, Ticks};
use crate::plan::Plan;
use crate::sched::Drr;

use super::Tally;

/// The stage, for one port: one queue an output.
#[derive(Debug)]
pub struct EgressDrr<P: Packet> {
    drr: Drr<P>,
}

impl<P: Packet> EgressDrr<P> {
    /// Empty queues for the outputs that `plan` has on the port with slot `port`.
    pub fn new(plan: &Plan, port: usize) -> Self {
        let quanta = Class::ALL.map(|class| plan.classes[class as usize].quantum);
        Self { drr: Drr::new(plan.ports[port].lanes as usize, quanta, plan.largest_frame) }
    }

    /// Queues a copy for its output.
    pub fn enqueue(&mut self, copy: P, plan: &Plan, tally: &mut Tally) {
        let slot = copy.meta().output;
        let output = &plan.outputs[slot as usize];
        if self.drr.has_room(output.lane, &output.egress, copy.meta().bytes) {
            self.drr.enqueue(output.lane, &output.egress, copy);
        } else {
            tally.drop_after(DropReason::EgressFull, slot);
        }
    }

    /// Takes out the copy whose turn it is and that is still to be sent.
    pub fn next(&mut self, plan: &Plan, now: Ticks, tally: &mut Tally) -> Option<P> {
        loop {
            let copy = self.drr.dequeue()?;
            let meta = copy.meta();
            let drops_late = plan.outputs[meta.output as usize].late == Late::Drop;
            if !drops_late || meta.deadline >= now {
                return Some(copy);
            }
            tally.drop_after(DropReason::EgressLate, meta.output);
        }
    }

    /// Takes out the first copy, late or not.
    pub fn take(&mut self) -> Option<P> {
        self.drr.dequeue()
    }

    /// Copies that wait.
    pub fn packets(&self) -> usize {
        self.drr.packets()
    }

    /// Whether every output could take another burst.
    pub fn has_room(&self) -> bool {
        self.drr.tight() == 0
    }
}
