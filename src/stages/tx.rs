//! Tx - bursts to the port; what it refuses stays staged, in order.
//!
//! Expects:  copies in egress DRR's order.
//! Leaves:   nothing where the port takes all; every turn flushes, no copy waits for a full burst.
//! Drops:    nothing.
//! Config:   none.
//! Bounds:   one burst staged; at most [`BURSTS_A_TURN`] bursts a turn.

use arrayvec::ArrayVec;

use crate::packet::{
    BURST, Burst, Clock, DropReason, FRAME_OVERHEAD, Packet, RxPort, Ticks, TxPort,
};
use crate::plan::Plan;

use super::{EgressDrr, Rx, Tally};

/// Bursts that a port is handed a turn, so that a port with a backlog does not stall the others.
const BURSTS_A_TURN: usize = 32;

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
}

impl<T: TxPort> Tx<T> {
    /// Nothing staged for `port`, whose slot is `slot`.
    pub fn new(port: T, slot: usize) -> Self {
        Self { port, slot, copies: Burst::new(), staged: ArrayVec::new() }
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
            let accepted = self.port.send(&mut self.copies);
            self.count(accepted, clock.read_clock(), tally);
            sent += accepted;
            if !self.copies.is_empty() {
                tally.counters.ports[self.slot].tx_refused.add(1);
                break;
            }
        }
        sent
    }

    /// Drops what is staged.
    pub fn discard(&mut self, tally: &mut Tally) {
        self.copies.clear();
        for staged in self.staged.drain(..) {
            tally.drop_after(DropReason::Stopped, staged.output);
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
