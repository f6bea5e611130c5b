//! Ingress DRR - fair shares between flows, in bytes; classes above flows.
//!
//! Expects:  packets with rule and flow.
//! Leaves:   packets in service order; the order within a flow kept; `deadline` set, never
//!           before that of the flow's packet ahead.
//! Drops:    `pool_pressure` where its class is not admitted because the payload pool fills;
//!           `ingress_full` where the flow's queue is at its bound.
//! Config:   `class.weight`, `rule.weight`, `rule.queue`, `rule.budget`.
//! Bounds:   O(1) a packet; queues bounded in packets and bytes.

use arrayvec::ArrayVec;

use crate::packet::{BURST, Burst, DropReason, Meta, Packet, Ticks, keep};
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

    /// Whether the burst may go past this stage and EDF, in the order that they would give it:
    /// nothing waits, and it becomes no more copies than the window would hold. Sets its deadlines
    /// where that is so. Of several flows it must be `complete`: with more to come, shares decide.
    pub fn passes(
        &self,
        burst: &mut Burst<P>,
        complete: bool,
        edf: &Edf<P>,
        plan: &Plan,
        flows: &mut Flows,
    ) -> bool {
        let Some(&Meta { rule, flow, .. }) = burst.first().map(|packet| packet.meta()) else {
            return false;
        };
        if self.packets() + edf.packets() > 0 {
            return false;
        }
        let rule = &plan.rules[rule as usize];
        let mut last = flows.state(flow).last_deadline;
        let is_one = burst.iter_mut().all(|packet| {
            let meta = packet.meta_mut();
            stamp(meta, rule.budget, &mut last);
            meta.flow == flow
        });
        if !is_one {
            // These deadlines count for nothing; others come in their place.
            return complete && passes_together(burst, plan, flows);
        }
        // Nearly all bursts: rule and flow are looked up once.
        let passes = u64::from(rule.fan_out()) * burst.len() as u64 <= plan.edf_window;
        if passes {
            flows.state(flow).last_deadline = last;
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

    /// Asks the cache for the queues of these flows, which come next.
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

/// Whether DRR and EDF would serve a burst of several flows in one round: they are of one class, none
/// has more bytes than a visit, and their deadlines only go forward. Brings each flow's packets
/// together, but where they are few, and sets the deadlines.
fn passes_together<P: Packet>(burst: &mut Burst<P>, plan: &Plan, flows: &mut Flows) -> bool {
    if !is_scattered(burst, plan.largest_frame) {
        gather(burst);
    }
    let Some(&first) = burst.first().map(|packet| packet.meta()) else {
        return false;
    };
    let class = plan.rules[first.rule as usize].ingress.class;
    let (mut flow, mut bytes, mut copies, mut due) = (first.flow, 0, 0, 0);
    for packet in burst {
        let meta = packet.meta_mut();
        let rule = &plan.rules[meta.rule as usize];
        if meta.flow != flow {
            (flow, bytes) = (meta.flow, 0);
        }
        bytes += meta.bytes;
        copies += u64::from(rule.fan_out());
        if meta.arrival != first.arrival {
            return false;
        }
        // Should the burst not pass, it gets these deadlines again: what arrived together is due
        // alike, however often that is said.
        stamp(meta, rule.budget, &mut flows.state(flow).last_deadline);
        let in_turn =
            rule.ingress.class == class && bytes <= rule.ingress.quantum && meta.deadline >= due;
        if !in_turn {
            return false;
        }
        due = meta.deadline;
    }
    copies <= plan.edf_window
}

/// Whether a burst is of so many flows that none of them can have more than `quantum` bytes, in
/// whatever order: there is little to bring together then.
fn is_scattered<P: Packet>(burst: &Burst<P>, quantum: u32) -> bool {
    // At least as many flows as there are different values of their low six bits.
    let (mut seen, mut longest) = (0_u64, 0);
    for meta in burst.iter().map(|packet| packet.meta()) {
        seen |= 1 << (meta.flow & 63);
        longest = longest.max(meta.bytes);
    }
    (burst.len() as u32 + 1 - seen.count_ones()) * longest <= quantum
}

/// Brings the packets of each flow together, where its first one is. What DRR makes of the burst is
/// the same before and after.
fn gather<P: Packet>(burst: &mut Burst<P>) {
    let mut flows: ArrayVec<u32, BURST> = burst.iter().map(|packet| packet.meta().flow).collect();
    // One bit for each value of a flow's low six bits: most new flows are known by it.
    let mut seen = 0_u64;
    for at in 0..flows.len() {
        let flow = flows[at];
        let bit = 1 << (flow & 63);
        if seen & bit == 0 {
            seen |= bit;
            continue;
        }
        let Some(last) = flows[..at].iter().rposition(|&ahead| ahead == flow) else {
            continue;
        };
        if last + 1 == at {
            continue;
        }
        burst[last + 1..=at].rotate_right(1);
        flows[last + 1..=at].rotate_right(1);
    }
}
