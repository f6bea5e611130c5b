//! EDF - the earliest absolute deadline leaves first, across classes.
//!
//! Expects:  packets in ingress DRR's order, deadlines set.
//! Leaves:   packets in deadline order, to within a bucket; ties FIFO.
//! Drops:    `late` where the deadline has passed and the rule drops late packets: before any
//!           copy is made.
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
}

impl<P: Packet> Edf<P> {
    /// An empty window for the classes of `plan`.
    pub fn new(plan: &Plan) -> Self {
        let budgets = Class::ALL.map(|class| plan.classes[class as usize].budget);
        Self { window: EarliestDeadline::new(budgets, plan.ticks_per_second / 1_000_000) }
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
        loop {
            let packet = self.window.pop()?;
            let meta = packet.meta();
            let drops_late = plan.rules[meta.rule as usize].late == Late::Drop;
            if !drops_late || meta.deadline >= now {
                return Some(packet);
            }
            tally.drop_before(DropReason::Late, &packet);
        }
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
