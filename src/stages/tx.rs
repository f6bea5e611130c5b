//! Tx - bursts to the port; what it refuses stays staged, in order.
//!
//! Expects:  copies in egress DRR's order.
//! Leaves:   nothing where the port takes all; every turn flushes, no copy waits for a full burst.
//! Drops:    `egress_late` where a copy's deadline passes while it is staged and the rule drops
//!           late packets; `breaker_open` where the port's circuit breaker has opened.
//! Config:   `rule.late`.
//! Bounds:   one burst staged; at most [`BURSTS_A_TURN`] bursts a turn.

use arrayvec::ArrayVec;

use crate::packet::{
    BURST, Burst, Clock, DropReason, FRAME_OVERHEAD, Packet, RxPort, Ticks, TxPort,
};
use crate::plan::Plan;

use super::egress_drr::is_late;
use super::{EgressDrr, Rx, Tally};

/// Bursts that a port is handed a turn, so that a port with a backlog does not stall the others.
const BURSTS_A_TURN: usize = 32;

/// Copies that are given up a turn for a port whose breaker is open, so that a turn stays short.
const GIVEN_UP_A_TURN: usize = 1_024;

/// What must be known of a copy once the port has it.
#[derive(Clone, Copy, Debug)]
struct Staged {
    arrival: Ticks,
    deadline: Ticks,
    output: u32,
    rule: u32,
    bytes: u32,
}

/// The stage, for one port.
#[derive(Debug)]
pub struct Tx<T: TxPort> {
    port: T,
    slot: usize,
    copies: Burst<T::Packet>,
    staged: ArrayVec<Staged, BURST>,
    /// The first and the last time of a row of refusals; 0 where the port took something last.
    refused: [Ticks; 2],
}

impl<T: TxPort> Tx<T> {
    /// Nothing staged for `port`, whose slot is `slot`.
    pub fn new(port: T, slot: usize) -> Self {
        Self { port, slot, copies: Burst::new(), staged: ArrayVec::new(), refused: [0; 2] }
    }

    /// Copies that the port has refused so far.
    pub fn packets(&self) -> usize {
        self.copies.len()
    }

    /// Sends from `egress` until it is empty or the port refuses; the clock is read behind each
    /// burst. Returns how many were sent.
    pub fn flush<R: RxPort, C: Clock>(
        &mut self,
        egress: &mut EgressDrr<T::Packet>,
        plan: &Plan,
        clock: &mut Rx<R, C>,
        tally: &mut Tally,
    ) -> usize {
        let mut sent = 0;
        self.expire(egress, plan, clock.now(), tally);
        for _ in 0..BURSTS_A_TURN {
            while !self.copies.is_full() {
                let Some(copy) = egress.next(plan, clock.now(), tally) else {
                    break;
                };
                self.stage(copy);
            }
            if self.copies.is_empty() {
                break;
            }
            tally.show_copies(&self.copies, clock.now(), plan);
            let accepted = self.port.send(&mut self.copies);
            let now = clock.read_clock();
            tally.show_sent(accepted, now);
            self.count(accepted, now, tally);
            sent += accepted;
            if self.copies.is_empty() {
                self.note_refusal(None, plan, tally);
            } else {
                tally.counters.ports[self.slot].tx_refused.add(1);
                self.note_refusal((accepted == 0).then_some(now), plan, tally);
                break;
            }
        }
        sent
    }

    /// Drops staged copies that have become late; they have taken nothing of the link.
    fn expire(
        &mut self,
        egress: &mut EgressDrr<T::Packet>,
        plan: &Plan,
        now: Ticks,
        tally: &mut Tally,
    ) {
        if self.staged.iter().all(|staged| staged.deadline >= now) {
            return;
        }
        let copies = std::mem::take(&mut self.copies);
        for (copy, staged) in copies.into_iter().zip(std::mem::take(&mut self.staged)) {
            if is_late(copy.meta(), plan, now) {
                tally.drop_after(DropReason::EgressLate, &copy, plan);
                egress.refund(staged.output, staged.bytes, plan);
            } else {
                self.copies.push(copy);
                self.staged.push(staged);
            }
        }
    }

    /// Remembers since when the port has taken nothing, for its circuit breaker: `now` where it
    /// has just refused all, none where it took something.
    fn note_refusal(&mut self, now: Option<Ticks>, plan: &Plan, tally: &Tally) {
        let [first, last] = self.refused;
        self.refused = match now {
            None if last == 0 => return,
            None => [0; 2],
            // Refusals far apart, with nothing to send between them, are no row.
            Some(now) if last == 0 || now - last > plan.ticks_per_second / 10 => [now; 2],
            Some(now) => [first, now],
        };
        let port = &tally.counters.ports[self.slot];
        port.refused_from.set(self.refused[0]);
        port.refused_until.set(self.refused[1]);
    }

    /// Drops copies that wait for a port whose circuit breaker is open; returns how many.
    pub fn give_up(
        &mut self,
        egress: &mut EgressDrr<T::Packet>,
        plan: &Plan,
        tally: &mut Tally,
    ) -> usize {
        self.note_refusal(None, plan, tally);
        let mut dropped = self.staged.len();
        self.staged.clear();
        for copy in self.copies.drain(..) {
            tally.drop_after(DropReason::BreakerOpen, &copy, plan);
        }
        while dropped < GIVEN_UP_A_TURN
            && let Some(copy) = egress.take()
        {
            tally.drop_after(DropReason::BreakerOpen, &copy, plan);
            dropped += 1;
        }
        dropped
    }

    /// Drops what is staged.
    pub fn discard(&mut self, plan: &Plan, tally: &mut Tally) {
        self.staged.clear();
        for copy in self.copies.drain(..) {
            tally.drop_after(DropReason::Stopped, &copy, plan);
        }
    }

    /// Whether there is room for `copy`, and what is staged last is of the same output.
    pub fn continues(&self, copy: &T::Packet) -> bool {
        let same = |last: &Staged| last.output == copy.meta().output;
        !self.copies.is_full() && self.staged.last().is_none_or(same)
    }

    /// Puts a copy behind those that are staged; there is room.
    pub fn stage(&mut self, copy: T::Packet) {
        let meta = copy.meta();
        self.staged.push(Staged {
            arrival: meta.arrival,
            deadline: meta.deadline,
            output: meta.output,
            rule: meta.rule,
            bytes: meta.bytes,
        });
        self.copies.push(copy);
    }

    /// Counts the first `accepted` copies as sent at `now`. Egress DRR serves outputs in runs, and
    /// what arrived together took as long, so that runs are counted, not copies.
    fn count(&mut self, accepted: usize, now: Ticks, tally: &mut Tally) {
        let Some(&first) = self.staged.first() else {
            return;
        };
        let mut run = Run::of(first);
        let mut bytes = 0;
        for copy in &self.staged[..accepted] {
            if copy.output != run.first.output || copy.arrival != run.first.arrival {
                std::mem::replace(&mut run, Run::of(*copy)).count(now, tally);
            }
            run.count += 1;
            run.bytes += u64::from(copy.bytes);
            run.on_time += u64::from(now <= copy.deadline);
            bytes += u64::from(copy.bytes - FRAME_OVERHEAD);
        }
        run.count(now, tally);
        self.staged.drain(..accepted);
        let port = &tally.counters.ports[self.slot];
        port.sent.add(accepted as u64);
        port.bytes_sent.add(bytes);
        tally.ledger.sent += accepted as u64;
    }
}

/// Copies of one output that arrived together.
struct Run {
    first: Staged,
    count: u64,
    bytes: u64,
    on_time: u64,
}

impl Run {
    fn of(first: Staged) -> Self {
        let (count, bytes, on_time) = (0, 0, 0);
        Self { first, count, bytes, on_time }
    }

    fn count(self, now: Ticks, tally: &Tally) {
        if self.count == 0 {
            return;
        }
        let output = &tally.counters.outputs[self.first.output as usize];
        output.sent.add(self.count);
        output.bytes.add(self.bytes);
        output.on_time.add(self.on_time);
        output.late_sent.add(self.count - self.on_time);
        let rule = &tally.counters.rules[self.first.rule as usize];
        let took = now.saturating_sub(self.first.arrival);
        rule.latency.record(took, self.count);
    }
}
