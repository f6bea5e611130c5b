//! What tx keeps of copies that it has handed to a port.

use crate::packet::{Meta, Packet, Ticks};
use crate::stages::Tally;

/// What must be known of copies once the port has them: those of one output, one behind the other,
/// that arrived together and are due together. Egress DRR serves outputs in runs, so that runs are
/// kept and counted, not copies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) arrival: Ticks,
    pub(super) deadline: Ticks,
    pub(super) output: u32,
    pub(super) rule: u32,
    pub(super) copies: u32,
    pub(super) bytes: u32,
}

impl Run {
    /// A run of one copy.
    #[inline(always)]
    pub(super) fn of(first: &Meta) -> Self {
        let Meta { arrival, deadline, output, rule, bytes, .. } = *first;
        Self { arrival, deadline, output, rule, copies: 1, bytes }
    }

    /// The run that `copies` begin with; none without copies.
    #[inline]
    pub(super) fn at<P: Packet>(copies: &[P]) -> Option<Self> {
        let (first, others) = copies.split_first()?;
        let mut run = Self::of(first.meta());
        for other in others {
            let other = Self::of(other.meta());
            if !run.is_one_with(&other) {
                break;
            }
            run.extend(&other);
        }
        Some(run)
    }

    /// Whether the two are one run.
    #[inline(always)]
    pub(super) fn is_one_with(&self, next: &Self) -> bool {
        (self.output, self.arrival, self.deadline) == (next.output, next.arrival, next.deadline)
    }

    /// Adds the copies of another run, which is one with it.
    #[inline(always)]
    pub(super) fn extend(&mut self, next: &Self) {
        self.copies += next.copies;
        self.bytes += next.bytes;
    }

    /// Counts its copies as sent at `now`.
    pub(super) fn count(&self, now: Ticks, tally: &Tally) {
        if self.copies == 0 {
            return;
        }
        let copies = u64::from(self.copies);
        let on_time = if now <= self.deadline { copies } else { 0 };
        let output = &tally.counters.outputs[self.output as usize];
        output.sent.add(copies);
        output.bytes.add(self.bytes.into());
        output.on_time.add(on_time);
        output.late_sent.add(copies - on_time);
        let rule = &tally.counters.rules[self.rule as usize];
        rule.latency.record(now.saturating_sub(self.arrival), copies);
    }
}
