//! EDF - the earliest absolute deadline leaves first, across classes.
//!
//! Expects:  packets in ingress DRR's order, deadlines set.
//! Leaves:   packets in deadline order, to within a bucket; ties FIFO.
//! Drops:    `late` where the rule drops late packets and this one cannot be sent in time any
//!           more: before any copy is made. What has passed is known; what passes while the turn
//!           serves it is taken to be as much as the shorter of the last two turns took.
//!           `removed` where a reload took the rule away and gave up on what waits.
//! Config:   `edf.window`, `class.budget`, `rule.late`.
//! Bounds:   O(1) a packet; the window is filled while it holds fewer copies than its bound.

use crate::config::{Class, Late};
use crate::packet::{DropReason, Packet, Ticks};
use crate::plan::Plan;
use crate::sched::EarliestDeadline;

use super::{IngressDrr, Tally};

/// The stage: the window that deadlines are ordered in.
#[derive(Debug)]
pub struct Edf<P: Packet> {
    window: EarliestDeadline<P>,
    /// From here to the port, in the last two turns.
    took: [Ticks; 2],
}

impl<P: Packet> Edf<P> {
    /// An empty window for the classes of `plan`.
    pub fn new(plan: &Plan) -> Self {
        let window = EarliestDeadline::new(budgets(plan), microsecond(plan));
        Self { window, took: [0; 2] }
    }

    /// Orders what waits by a plan with other budgets or classes: a flow that changes its class
    /// keeps its order.
    pub fn adopt(&mut self, plan: &Plan, now: Ticks) {
        let class = |packet: &P| plan.rules[packet.meta().rule as usize].ingress.class;
        self.window.set_budgets(budgets(plan), microsecond(plan), now, class);
    }

    /// Fills the window from ingress DRR.
    pub fn fill(&mut self, ingress: &mut IngressDrr<P>, plan: &Plan, now: Ticks) {
        self.window.advance(now);
        while self.window.copies() < plan.edf_window {
            let Some(mut packet) = ingress.dequeue() else {
                return;
            };
            let rule = &plan.rules[packet.meta().rule as usize];
            packet.meta_mut().copies = rule.fan_out();
            self.window.push(rule.ingress.class, packet);
        }
    }

    /// Takes out the packet with the earliest deadline that is still to be served.
    pub fn next(&mut self, plan: &Plan, now: Ticks, tally: &mut Tally) -> Option<P> {
        // Without this, an overloaded worker would serve packets that are just about to be late,
        // and lose all of them behind fan-out. One turn that was held up is no measure.
        let sent = now + self.took[0].min(self.took[1]);
        loop {
            let packet = self.window.pop()?;
            let meta = packet.meta();
            let rule = &plan.rules[meta.rule as usize];
            if rule.removed {
                tally.drop_before(DropReason::Removed, &packet);
            } else if rule.late == Late::Drop && meta.deadline < sent {
                tally.drop_before(DropReason::Late, &packet);
            } else {
                return Some(packet);
            }
        }
    }

    /// Notes how long it took from the last fill until all was handed to the ports.
    pub fn note(&mut self, took: Ticks) {
        self.took = [took, self.took[0]];
    }

    /// Takes out the first packet, late or not.
    pub fn take(&mut self) -> Option<P> {
        self.window.pop()
    }

    /// Packets that wait.
    pub fn packets(&self) -> usize {
        self.window.packets()
    }
}

/// By class.
fn budgets(plan: &Plan) -> [Ticks; Class::COUNT] {
    Class::ALL.map(|class| plan.classes[class as usize].budget)
}

/// Ticks in a microsecond.
fn microsecond(plan: &Plan) -> Ticks {
    plan.ticks_per_second / 1_000_000
}
