//! Where the stages count: the worker's own ledger, and the counters that others read.

use std::sync::Arc;

use crate::ledger::{Counters, Ledger, MissSampler, Missed};
use crate::packet::{DropReason, Packet, Ticks};

/// The ledger and counters of one worker.
#[derive(Debug)]
pub struct Tally {
    /// The totals; published at the end of the turn.
    pub ledger: Ledger,
    /// By rule, output and port.
    pub counters: Arc<Counters>,
    /// Which of the packets that no rule took are shown to management.
    misses: MissSampler,
}

impl Tally {
    /// A ledger at zero beside `counters`.
    pub fn new(counters: Arc<Counters>) -> Self {
        Self { ledger: Ledger::default(), counters, misses: MissSampler::default() }
    }

    /// Counts a packet that ended before it had a rule.
    pub fn drop_unmatched(&mut self, reason: DropReason) {
        self.ledger.dropped_before[reason.index()] += 1;
    }

    /// Counts a packet that no rule took, and may show it to management.
    #[cold]
    #[inline(never)]
    pub fn drop_missed(&mut self, missed: &Missed, now: Ticks) {
        self.drop_unmatched(missed.miss.reason());
        self.misses.note(missed, now, &self.counters.misses);
    }

    /// Counts a packet that ended before fan-out, for its rule too.
    pub fn drop_before(&mut self, reason: DropReason, packet: &impl Packet) {
        self.ledger.dropped_before[reason.index()] += 1;
        self.counters.rules[packet.meta().rule as usize].drop_one(reason);
    }

    /// Counts a copy that was not sent, for its output too.
    pub fn drop_after(&mut self, reason: DropReason, output: u32) {
        self.ledger.dropped_after[reason.index()] += 1;
        self.counters.outputs[output as usize].drop_one(reason);
    }
}
