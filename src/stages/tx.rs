//! Tx - bursts to the port; what it refuses stays staged, in order.
//!
//! Expects:  copies in egress DRR's order.
//! Leaves:   nothing where the port takes all; a full burst goes at once and every turn flushes, so
//!           that no copy waits for a full burst.
//! Drops:    `egress_late` where a copy's deadline passes while it is staged and the rule drops
//!           late packets; `breaker_open` where the port's circuit breaker has opened.
//! Config:   `rule.late`.
//! Bounds:   one burst staged; at most [`BURSTS_A_TURN`] bursts a turn.

mod run;

use std::slice;

use arrayvec::ArrayVec;

use crate::packet::{BURST, Burst, Clock, DropReason, Packet, RxPort, Ticks, TxPort};
use crate::plan::Plan;

use super::egress_drr::is_late;
use super::{EgressDrr, Rx, Tally};
use run::{Run, Sent};

/// Bursts that a port is handed a turn, so that a port with a backlog does not stall the others.
const BURSTS_A_TURN: usize = 32;

/// Copies that are given up a turn for a port whose breaker is open, so that a turn stays short.
const GIVEN_UP_A_TURN: usize = 1_024;

/// The stage, for one port.
#[derive(Debug)]
pub struct Tx<T: TxPort> {
    port: T,
    slot: usize,
    copies: Burst<T::Packet>,
    /// What is staged, in runs.
    runs: ArrayVec<Run, BURST>,
    /// The first and the last time of a row of refusals; 0 where the port took something last.
    refused: [Ticks; 2],
}

impl<T: TxPort> Tx<T> {
    /// Nothing staged for `port`, whose slot is `slot`.
    pub fn new(port: T, slot: usize) -> Self {
        Self { port, slot, copies: Burst::new(), runs: ArrayVec::new(), refused: [0; 2] }
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
            while !self.is_full() {
                let Some(copy) = egress.next(plan, clock.now(), tally) else {
                    break;
                };
                self.push(copy);
            }
            if self.copies.is_empty() {
                break;
            }
            sent += self.send(plan, clock, tally);
            if !self.copies.is_empty() {
                break;
            }
        }
        sent
    }

    /// Sends what is staged ahead of the turn's end, so that there is room for more.
    pub fn send_early<R: RxPort, C: Clock>(
        &mut self,
        egress: &mut EgressDrr<T::Packet>,
        plan: &Plan,
        clock: &mut Rx<R, C>,
        tally: &mut Tally,
    ) {
        let now = clock.read_clock();
        self.expire(egress, plan, now, tally);
        if !self.copies.is_empty() {
            self.send(plan, clock, tally);
        }
    }

    /// Hands what is staged to the port, once, and counts what it takes; returns how many.
    fn send<R: RxPort, C: Clock>(
        &mut self,
        plan: &Plan,
        clock: &mut Rx<R, C>,
        tally: &mut Tally,
    ) -> usize {
        tally.show_copies(&self.copies, clock.now(), plan);
        let accepted = self.port.send(&mut self.copies);
        let now = clock.read_clock();
        tally.show_sent(accepted, now);
        self.count(accepted, now, tally);
        if self.copies.is_empty() {
            self.note_refusal(None, plan, tally);
        } else {
            tally.counters.ports[self.slot].tx_refused.add(1);
            self.note_refusal((accepted == 0).then_some(now), plan, tally);
        }
        accepted
    }

    /// Drops staged copies that have become late; they have taken nothing of the link.
    fn expire(
        &mut self,
        egress: &mut EgressDrr<T::Packet>,
        plan: &Plan,
        now: Ticks,
        tally: &mut Tally,
    ) {
        if !self.runs.iter().any(|run| is_late(run.deadline, run.output, plan, now)) {
            return;
        }
        self.runs.clear();
        for copy in std::mem::take(&mut self.copies) {
            let meta = copy.meta();
            if is_late(meta.deadline, meta.output, plan, now) {
                egress.refund(meta.output, meta.bytes, plan);
                tally.drop_after(DropReason::EgressLate, &copy, plan);
            } else {
                self.push(copy);
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
        let mut dropped = self.copies.len();
        self.drop_staged(DropReason::BreakerOpen, plan, tally);
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
        self.drop_staged(DropReason::Stopped, plan, tally);
    }

    fn drop_staged(&mut self, reason: DropReason, plan: &Plan, tally: &mut Tally) {
        self.runs.clear();
        for copy in self.copies.drain(..) {
            tally.drop_after(reason, &copy, plan);
        }
    }

    /// Sends frames that are no copies, ahead of those; what the port refuses stays in `frames`.
    pub fn originate(&mut self, frames: &mut Burst<T::Packet>, tally: &Tally) -> usize {
        let accepted = self.port.send(frames);
        tally.counters.ports[self.slot].originated.add(accepted as u64);
        accepted
    }

    /// Whether there is no room for another copy.
    pub fn is_full(&self) -> bool {
        self.copies.is_full()
    }

    /// Puts copies behind those that are staged, as many as there is room for.
    pub fn stage(&mut self, copies: &mut Burst<T::Packet>) {
        let room = self.copies.remaining_capacity().min(copies.len());
        Self::note(&mut self.runs, &copies[..room]);
        if self.copies.is_empty() && room == copies.len() {
            std::mem::swap(&mut self.copies, copies);
        } else {
            self.copies.extend(copies.drain(..room));
        }
    }

    /// Puts a copy behind those that are staged; there is room.
    fn push(&mut self, copy: T::Packet) {
        Self::note(&mut self.runs, slice::from_ref(&copy));
        self.copies.push(copy);
    }

    /// Notes copies that are to be staged.
    #[inline(always)]
    fn note(runs: &mut ArrayVec<Run, BURST>, copies: &[T::Packet]) {
        let mut rest = copies;
        while let Some(first) = rest.first() {
            let mut run = Run::of(first.meta());
            match runs.last_mut() {
                Some(last) if last.has(first.meta()) => rest = last.extend(rest),
                _ => {
                    rest = run.extend(rest);
                    runs.push(run);
                }
            }
        }
    }

    /// Counts the first `accepted` copies of those that were staged as sent at `now`; the others
    /// still are.
    fn count(&mut self, accepted: usize, now: Ticks, tally: &mut Tally) {
        let mut sent = Sent::nothing();
        if self.copies.is_empty() {
            let counters = &*tally.counters;
            self.runs.iter().for_each(|run| run.count(now, &mut sent, counters));
            self.runs.clear();
        } else {
            self.count_some(accepted as u32, now, &mut sent, tally);
        }
        let port = &tally.counters.ports[self.slot];
        port.sent.add(accepted as u64);
        port.bytes_sent.add(sent.bytes);
        tally.ledger.sent += accepted as u64;
    }

    /// [`Self::count`] where some were refused, which are still in `copies`.
    #[cold]
    fn count_some(&mut self, accepted: u32, now: Ticks, sent: &mut Sent, tally: &Tally) {
        let (mut left, mut whole) = (accepted, 0);
        for run in &mut self.runs {
            if left == 0 {
                break;
            }
            let mut part = *run;
            if run.copies <= left {
                whole += 1;
            } else {
                run.copies -= left;
                let refused = &self.copies[..run.copies as usize];
                run.bytes = refused.iter().map(|copy| copy.meta().bytes).sum();
                part.copies -= run.copies;
                part.bytes -= run.bytes;
            }
            left -= part.copies;
            part.count(now, sent, &tally.counters);
        }
        self.runs.drain(..whole);
    }
}
