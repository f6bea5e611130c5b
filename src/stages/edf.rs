//! EDF - the earliest absolute deadline leaves first, across classes.
//!
//! Expects:  packets in ingress DRR's order, deadlines set.
//! Leaves:   packets in deadline order, to within a bucket; ties FIFO.
//! Drops:    `late` where the rule drops late packets and this one cannot be sent in time any
//!           more, or might be only at the cost of another: before any copy is made, and without
//!           charge to its flow. What has passed is known; what passes while the turn serves it is
//!           taken to be as much as the shorter of the last two turns took.
//!           `removed` where a reload took the rule away and gave up on what waits.
//! Config:   `edf.window`, `class.budget`, `rule.late`.
//! Bounds:   O(1) a packet; the window is filled while it holds fewer copies than its bound; of what
//!           is late in ingress DRR a turn takes out [`GIVEN_UP_A_TURN`] packets at most.

use crate::config::{Class, Late};
use crate::packet::{BURST, Burst, DropReason, Meta, Packet, Ticks};
use crate::plan::{Plan, RulePlan};
use crate::sched::EarliestDeadline;

use super::{IngressDrr, Tally};

/// Packets that a turn takes through fan-out, so that a turn stays short.
pub const TURN_PACKETS: usize = 64;
/// Copies after which a turn takes no further packet through fan-out.
pub const TURN_COPIES: u64 = 512;

/// Packets known to be late that are taken out of ingress DRR a turn, so that a turn stays short;
/// more than a turn may receive.
const GIVEN_UP_A_TURN: usize = 256;

/// The stage: the window that deadlines are ordered in.
#[derive(Debug)]
pub struct Edf<P: Packet> {
    window: EarliestDeadline<P>,
    /// From here to the port, in the last two turns.
    took: [Ticks; 2],
    /// From one fill to the next, the last two times.
    apart: [Ticks; 2],
    /// When the window was filled last.
    filled_at: Ticks,
}

impl<P: Packet> Edf<P> {
    /// An empty window for the classes of `plan`.
    pub fn new(plan: &Plan) -> Self {
        let window = EarliestDeadline::new(budgets(plan), microsecond(plan));
        Self { window, took: [0; 2], apart: [0; 2], filled_at: 0 }
    }

    /// Orders what waits by a plan with other budgets or classes: a flow that changes its class
    /// keeps its order.
    pub fn adopt(&mut self, plan: &Plan, now: Ticks) {
        let class = |packet: &P| plan.rules[packet.meta().rule as usize].ingress.class;
        self.window.set_budgets(budgets(plan), microsecond(plan), now, class);
    }

    /// Fills the window from ingress DRR. What is known to be late there takes no room in it and
    /// nothing of its flow's share: else a flow that waits longer than its budget would spend its
    /// share on packets that are dropped, and starve.
    pub fn fill(
        &mut self,
        ingress: &mut IngressDrr<P>,
        plan: &Plan,
        now: Ticks,
        tally: &mut Tally,
    ) {
        self.apart = [now.saturating_sub(self.filled_at), self.apart[0]];
        self.filled_at = now;
        if ingress.packets() + self.packets() == 0 {
            return;
        }
        self.window.advance(now);
        let sent = self.sent(now);
        let mut given_up = 0;
        while self.window.copies() < plan.edf_window && given_up < GIVEN_UP_A_TURN {
            let wait = self.wait();
            let mut late = false;
            let charged = |packet: &P| {
                let rule = &plan.rules[packet.meta().rule as usize];
                late = is_late(packet.meta(), rule, sent + wait.min(rule.budget / 2));
                !late
            };
            let Some(mut packet) = ingress.dequeue(charged) else {
                return;
            };
            if late {
                tally.drop_before(DropReason::Late, &packet, plan);
                given_up += 1;
                continue;
            }
            let rule = &plan.rules[packet.meta().rule as usize];
            packet.meta_mut().copies = rule.fan_out();
            self.window.push(rule.ingress.class, packet);
        }
    }

    /// How long what is in the window keeps the worker busy behind this turn. A packet with less
    /// time left than that might be in time only at the cost of another; one that is let in with
    /// more will be in time, and so will all that were let in before it. But half of its budget is
    /// enough for any packet: where the window is worth more than that, deadlines alone decide.
    fn wait(&self) -> Ticks {
        let turns = self.window.copies() / TURN_COPIES;
        let turns = turns.max((self.window.packets() / TURN_PACKETS) as u64);
        turns * self.apart[0].min(self.apart[1])
    }

    /// Takes out the packets with the earliest deadlines that are still to be served: a burst, or
    /// as many as there is `room` for, in packets and, roughly, in copies.
    pub fn serve(
        &mut self,
        (packets, copies): (usize, u64),
        ingress: &mut IngressDrr<P>,
        plan: &Plan,
        now: Ticks,
        tally: &mut Tally,
    ) -> Burst<P> {
        let mut burst = Burst::new();
        let mut becomes = 0;
        while burst.len() < packets.min(BURST) && becomes < copies {
            let Some(packet) = self.next(ingress, plan, now, tally) else {
                break;
            };
            becomes += u64::from(packet.meta().copies);
            burst.push(packet);
        }
        burst
    }

    /// Takes out the packet with the earliest deadline that is still to be served.
    fn next(
        &mut self,
        ingress: &mut IngressDrr<P>,
        plan: &Plan,
        now: Ticks,
        tally: &mut Tally,
    ) -> Option<P> {
        let sent = self.sent(now);
        loop {
            let packet = self.window.pop()?;
            let rule = &plan.rules[packet.meta().rule as usize];
            if rule.removed {
                tally.drop_before(DropReason::Removed, &packet, plan);
            } else if is_late(packet.meta(), rule, sent) {
                ingress.refund(&packet);
                tally.drop_before(DropReason::Late, &packet, plan);
            } else {
                return Some(packet);
            }
        }
    }

    /// When a packet that is served in a turn from `now` on will have been sent. Without this, an
    /// overloaded worker would serve packets that are just about to be late, and lose all of them
    /// behind fan-out. One turn that was held up is no measure.
    fn sent(&self, now: Ticks) -> Ticks {
        now + self.took[0].min(self.took[1])
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

/// Whether the rule drops late packets and this one cannot be `sent` in time.
fn is_late(meta: &Meta, rule: &RulePlan, sent: Ticks) -> bool {
    meta.deadline < sent && rule.late == Late::Drop
}
