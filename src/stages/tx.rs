//! Tx - bursts to the port; what it refuses stays staged, in order.
//!
//! Expects:  copies in egress DRR's order.
//! Leaves:   nothing where the port takes all; every turn flushes, no copy waits for a full burst.
//! Drops:    nothing.
//! Config:   none.
//! Bounds:   one burst staged; at most [`BURSTS_A_TURN`] bursts a turn.

use arrayvec::ArrayVec;

use crate::packet::{BURST, Burst, DropReason, FRAME_OVERHEAD, Packet, Ticks, TxPort};
use crate::plan::Plan;

use super::{EgressDrr, Tally};

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
        Self {
            port,
            slot,
            copies: Burst::new(),
            staged: ArrayVec::new(),
        }
    }

    /// Copies that the port has refused so far.
    pub fn packets(&self) -> usize {
        self.copies.len()
    }

    /// Sends from `egress` until it is empty or the port refuses; `time` is read after each burst.
    /// Returns how many were sent.
    pub fn flush(
        &mut self,
        egress: &mut EgressDrr<T::Packet>,
        plan: &Plan,
        mut now: Ticks,
        time: impl Fn() -> Ticks,
        tally: &mut Tally,
    ) -> usize {
        let mut sent = 0;
        for _ in 0..BURSTS_A_TURN {
            self.stage(egress, plan, now, tally);
            if self.copies.is_empty() {
                break;
            }
            let accepted = self.port.send(&mut self.copies);
            now = time();
            self.count(accepted, now, tally);
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

    /// Fills the burst behind what the port has refused.
    fn stage(
        &mut self,
        egress: &mut EgressDrr<T::Packet>,
        plan: &Plan,
        now: Ticks,
        tally: &mut Tally,
    ) {
        while !self.copies.is_full() {
            let Some(copy) = egress.next(plan, now, tally) else {
                return;
            };
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
    }

    /// Counts the first `accepted` copies as sent at `now`.
    fn count(&mut self, accepted: usize, now: Ticks, tally: &mut Tally) {
        let mut bytes = 0;
        for copy in self.staged.drain(..accepted) {
            let output = &tally.counters.outputs[copy.output as usize];
            output.sent.add(1);
            output.bytes.add(u64::from(copy.bytes));
            if now <= copy.deadline {
                &output.on_time
            } else {
                &output.late_sent
            }
            .add(1);
            let rule = &tally.counters.rules[copy.rule as usize];
            rule.latency.record(now.saturating_sub(copy.arrival));
            bytes += u64::from(copy.bytes - FRAME_OVERHEAD);
        }
        let port = &tally.counters.ports[self.slot];
        port.sent.add(accepted as u64);
        port.bytes_sent.add(bytes);
        tally.ledger.sent += accepted as u64;
    }
}
