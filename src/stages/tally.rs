//! Where the stages count: the worker's own ledger, and the counters that others read.

use std::sync::Arc;

use crate::capture::{Fate, NOBODY, Tap};
use crate::ledger::{Counters, Ledger, MissSampler, Missed};
use crate::packet::{DropReason, Packet, Ticks};
use crate::plan::Plan;

/// The ledger and counters of one worker.
#[derive(Debug)]
pub struct Tally {
    /// The totals; published at the end of the turn.
    pub ledger: Ledger,
    /// By rule, output and port.
    pub counters: Arc<Counters>,
    /// Which of the packets that no rule took are shown to management.
    misses: MissSampler,
    /// Where a capture is under way: who copies what it wants.
    tap: Option<Box<Tap>>,
}

impl Tally {
    /// A ledger at zero beside `counters`.
    pub fn new(counters: Arc<Counters>) -> Self {
        Self { ledger: Ledger::default(), counters, misses: MissSampler::default(), tap: None }
    }

    /// Takes the tap of a capture that has begun, or gives back that of one that has ended; false
    /// where management happens to be at the place.
    #[cold]
    pub fn swap_tap(&mut self, is_on: bool) -> bool {
        self.tap.is_some() == is_on || self.counters.capture.swap(&mut self.tap)
    }

    /// Counts a packet that ended before it had a rule.
    pub fn drop_unmatched(&mut self, reason: DropReason, packet: &impl Packet, plan: &Plan) {
        self.ledger.dropped_before[reason.index()] += 1;
        if self.tap.is_some() {
            self.tap_dropped(packet, (NOBODY, NOBODY), reason, plan);
        }
    }

    /// Counts a packet that no rule took, and may show it to management.
    #[cold]
    #[inline(never)]
    pub fn drop_missed(&mut self, missed: &Missed, now: Ticks, packet: &impl Packet, plan: &Plan) {
        self.drop_unmatched(missed.miss.reason(), packet, plan);
        self.misses.note(missed, now, &self.counters.misses);
    }

    /// Counts a packet that is the slow path's.
    pub fn punt(&mut self, packet: &impl Packet, plan: &Plan) {
        self.ledger.punted += 1;
        if self.tap.is_some() {
            self.tap_received(packet, NOBODY, Fate::Punted, plan);
        }
    }

    /// Counts a packet that ended before fan-out, for its rule too.
    pub fn drop_before(&mut self, reason: DropReason, packet: &impl Packet, plan: &Plan) {
        let rule = packet.meta().rule;
        self.ledger.dropped_before[reason.index()] += 1;
        self.counters.rules[rule as usize].drop_one(reason);
        if self.tap.is_some() {
            self.tap_dropped(packet, (rule, NOBODY), reason, plan);
        }
    }

    /// Counts a copy of `packet` that was not made, for its output too.
    pub fn drop_unmade(
        &mut self,
        reason: DropReason,
        output: u32,
        packet: &impl Packet,
        plan: &Plan,
    ) {
        self.count_after(reason, output);
        if self.tap.is_some() {
            self.tap_dropped(packet, (packet.meta().rule, output), reason, plan);
        }
    }

    /// Counts a copy that was not sent, for its output too.
    pub fn drop_after(&mut self, reason: DropReason, copy: &impl Packet, plan: &Plan) {
        self.count_after(reason, copy.meta().output);
        if self.tap.is_some() {
            self.tap_dropped_copy(copy, reason, plan);
        }
    }

    /// Counts a copy that was not sent, for its output too, where there is no packet to show.
    pub fn count_after(&mut self, reason: DropReason, output: u32) {
        self.ledger.dropped_after[reason.index()] += 1;
        self.counters.outputs[output as usize].drop_one(reason);
    }

    /// Shows a capture, where one is under way, packets that have a rule.
    #[inline]
    pub fn show_matched<P: Packet>(&mut self, burst: &[P], plan: &Plan) {
        if self.tap.is_some() {
            let rule = |packet: &P| packet.meta().rule;
            burst.iter().for_each(|p| self.tap_received(p, rule(p), Fate::Matched, plan));
        }
    }

    /// Shows a capture, where one is under way, copies that a port is about to be handed.
    #[inline]
    pub fn show_copies<P: Packet>(&mut self, copies: &[P], now: Ticks, plan: &Plan) {
        if self.tap.is_some() {
            self.tap_copies(copies, now, plan);
        }
    }

    /// Tells a capture, where one is under way, how many of them the port has accepted.
    #[inline]
    pub fn show_sent(&mut self, accepted: usize, now: Ticks) {
        if let Some(tap) = &mut self.tap {
            tap.sent(accepted, now);
        }
    }

    #[cold]
    #[inline(never)]
    fn tap_received(&mut self, packet: &impl Packet, rule: u32, fate: Fate, plan: &Plan) {
        if let Some(tap) = &mut self.tap {
            tap.received(packet, rule, fate, plan);
        }
    }

    #[cold]
    #[inline(never)]
    fn tap_dropped(
        &mut self,
        packet: &impl Packet,
        of: (u32, u32),
        reason: DropReason,
        plan: &Plan,
    ) {
        if let Some(tap) = &mut self.tap {
            tap.dropped(packet, of, reason, plan);
        }
    }

    #[cold]
    #[inline(never)]
    fn tap_dropped_copy(&mut self, copy: &impl Packet, reason: DropReason, plan: &Plan) {
        if let Some(tap) = &mut self.tap {
            tap.dropped_copy(copy, reason, plan);
        }
    }

    #[cold]
    #[inline(never)]
    fn tap_copies<P: Packet>(&mut self, copies: &[P], now: Ticks, plan: &Plan) {
        if let Some(tap) = &mut self.tap {
            tap.aim(copies, now, plan);
        }
    }
}
