//! Ingress DRR - fair shares between flows, in bytes; classes above flows.
//!
//! Expects:  packets with rule and flow.
//! Leaves:   packets in service order; the order within a flow kept; `deadline` set, never
//!           before that of the flow's packet ahead.
//! Drops:    `ingress_full` where the flow's queue is at its bound.
//! Config:   `class.weight`, `rule.weight`, `rule.queue`, `rule.budget`.
//! Bounds:   O(1) a packet; queues bounded in packets and bytes.

use crate::config::Class;
use crate::packet::{Burst, DropReason, Packet};
use crate::plan::Plan;
use crate::sched::Drr;

use super::{Flows, Tally};

/// The stage: one queue a flow.
#[derive(Debug)]
pub struct IngressDrr<P: Packet> {
    drr: Drr<P>,
}

impl<P: Packet> IngressDrr<P> {
    /// Empty queues for the flows of `plan`.
    pub fn new(plan: &Plan) -> Self {
        let quanta = Class::ALL.map(|class| plan.classes[class as usize].quantum);
        Self {
            drr: Drr::new(plan.flows.total(), quanta, plan.largest_frame),
        }
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
            let meta = packet.meta_mut();
            let rule = &plan.rules[meta.rule as usize];
            let flow = meta.flow;
            let state = flows.state(flow);
            let deadline = (meta.arrival + rule.budget).max(state.last_deadline);
            meta.deadline = deadline;
            match self.drr.enqueue(flow, &rule.ingress, packet) {
                Ok(()) => state.last_deadline = deadline,
                Err(packet) => tally.drop_before(DropReason::IngressFull, &packet),
            }
        }
    }

    /// Takes out the packet whose turn it is.
    pub fn dequeue(&mut self) -> Option<P> {
        self.drr.dequeue()
    }

    /// Packets that wait.
    pub fn packets(&self) -> usize {
        self.drr.packets()
    }

    /// Whether nothing of `flow` waits.
    pub fn is_idle(&self, flow: u32) -> bool {
        self.drr.is_idle(flow)
    }
}
