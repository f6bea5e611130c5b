//! Ingress DRR - fair shares between flows, in bytes; classes above flows.
//!
//! Expects:  packets with rule and flow.
//! Leaves:   packets in service order; the order within a flow kept; `deadline` set, never
//!           before that of the flow's packet ahead.
//! Drops:    `pool_pressure` where its class is not admitted because the payload pool fills;
//!           `ingress_full` where the flow's queue is at its bound.
//! Config:   `class.weight`, `rule.weight`, `rule.queue`, `rule.budget`.
//! Bounds:   O(1) a packet; queues bounded in packets and bytes.

use crate::packet::{Burst, DropReason, Meta, Packet, Ticks, keep};
use crate::plan::Plan;
use crate::sched::{Drr, Pressure};

use super::{Edf, Flows, Tally};

/// The stage: one queue a flow.
#[derive(Debug)]
pub struct IngressDrr<P: Packet> {
    drr: Drr<P>,
}

impl<P: Packet> IngressDrr<P> {
    /// Empty queues for the flows of `plan`.
    pub fn new(plan: &Plan) -> Self {
        Self { drr: Drr::new(plan.flows.total(), plan.class_quanta(), plan.largest_frame) }
    }

    /// Goes by another plan from now on.
    pub fn adopt(&mut self, plan: &Plan) {
        self.drr.set_class_quanta(plan.class_quanta());
    }

    /// Drops the packets of classes that are not admitted under `pressure`.
    pub fn shed(&self, burst: &mut Burst<P>, pressure: Pressure, plan: &Plan, tally: &mut Tally) {
        if pressure.is_none() {
            return;
        }
        keep(burst, |packet| {
            let class = plan.rules[packet.meta().rule as usize].ingress.class;
            let admits = pressure.admits(class);
            if !admits {
                tally.drop_before(DropReason::PoolPressure, packet, plan);
            }
            admits
        });
    }

    /// Queues a burst, each packet in its flow.
    pub fn enqueue(
        &mut self,
        burst: &mut Burst<P>,
        plan: &Plan,
        flows: &mut Flows,
        tally: &mut Tally,
    ) {
        for mut packet in burst.drain(..) {
            let (rule, flow) = (packet.meta().rule, packet.meta().flow);
            let rule = &plan.rules[rule as usize];
            if !self.drr.has_room(flow, &rule.ingress, packet.meta().bytes) {
                tally.drop_before(DropReason::IngressFull, &packet, plan);
                continue;
            }
            stamp(packet.meta_mut(), rule.budget, &mut flows.state(flow).last_deadline);
            self.drr.enqueue(flow, &rule.ingress, packet);
        }
    }

    /// Whether this stage and EDF would let the burst through as it is: nothing waits, it is of
    /// one flow, whose deadlines only go forward, and it becomes no more copies than the window
    /// would hold. Sets its deadlines where that is so.
    pub fn passes(
        &self,
        burst: &mut Burst<P>,
        edf: &Edf<P>,
        plan: &Plan,
        flows: &mut Flows,
    ) -> bool {
        let Some(&Meta { rule, flow, .. }) = burst.first().map(|packet| packet.meta()) else {
            return false;
        };
        let rule = &plan.rules[rule as usize];
        let passes = self.packets() + edf.packets() == 0
            && u64::from(rule.fan_out()) * burst.len() as u64 <= plan.edf_window
            && burst.iter().all(|packet| packet.meta().flow == flow);
        if passes {
            let last = &mut flows.state(flow).last_deadline;
            burst.iter_mut().for_each(|packet| stamp(packet.meta_mut(), rule.budget, last));
        }
        passes
    }

    /// Takes out the packet whose turn it is; one that is not `charged` for takes nothing of its
    /// flow's share.
    pub fn dequeue(&mut self, charged: impl FnOnce(&P) -> bool) -> Option<P> {
        self.drr.dequeue_charged(charged)
    }

    /// Gives its flow back what a packet took of its share that came to nothing.
    pub fn refund(&mut self, packet: &P) {
        let meta = packet.meta();
        self.drr.refund(meta.flow, meta.bytes);
    }

    /// Loads the queues of these flows, which will be asked for next.
    pub fn warm(&self, flows: impl Iterator<Item = u32>) {
        self.drr.warm(flows);
    }

    /// Packets that wait.
    pub fn packets(&self) -> usize {
        self.drr.packets()
    }

    /// Whether nothing of `flow` waits.
    pub fn is_idle(&self, flow: u32) -> bool {
        self.drr.waiting(flow) == 0
    }
}

/// Sets the deadline: by the rule's budget, and never before that of the flow's packet ahead, which
/// was `last`.
#[inline(always)]
fn stamp(meta: &mut Meta, budget: Ticks, last: &mut Ticks) {
    *last = (*last).max(meta.arrival + budget);
    meta.deadline = *last;
}
