//! What tx keeps of copies that it has handed to a port.

use crate::ledger::{Counters, Residence};
use crate::packet::{FRAME_OVERHEAD, Meta, Packet, Ticks};

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
    /// A run of no copies, that copies like this one extend.
    #[inline(always)]
    pub(super) fn of(first: &Meta) -> Self {
        let Meta { arrival, deadline, output, rule, .. } = *first;
        Self { arrival, deadline, output, rule, copies: 0, bytes: 0 }
    }

    /// Whether this copy is of the run.
    #[inline(always)]
    pub(super) fn has(&self, copy: &Meta) -> bool {
        (self.output, self.arrival, self.deadline) == (copy.output, copy.arrival, copy.deadline)
    }

    /// Adds the copies in front that are of the run; returns the others.
    #[inline(always)]
    pub(super) fn extend<'a, P: Packet>(&mut self, copies: &'a [P]) -> &'a [P] {
        let run = *self;
        let one = |copy: &&P| run.has(copy.meta());
        let (count, bytes) = copies
            .iter()
            .take_while(one)
            .fold((0, 0), |(count, bytes), copy| (count + 1, bytes + copy.meta().bytes));
        self.copies += count as u32;
        self.bytes += bytes;
        &copies[count..]
    }

    /// Counts its copies as sent at `now`.
    #[inline(always)]
    pub(super) fn count(&self, now: Ticks, sent: &mut Sent, counters: &Counters) {
        let copies = u64::from(self.copies);
        let output = &counters.outputs[self.output as usize];
        output.sent.add(copies);
        output.bytes.add(self.bytes.into());
        let in_time = now <= self.deadline;
        let counter = if in_time { &output.on_time } else { &output.late_sent };
        counter.add(copies);
        let ticks = now.saturating_sub(self.arrival);
        if sent.residence.ticks() != ticks {
            sent.residence = Residence::of(ticks);
        }
        counters.rules[self.rule as usize].latency.record(sent.residence, copies);
        sent.bytes += u64::from(self.bytes - self.copies * FRAME_OVERHEAD);
    }
}

/// What runs that are counted together add up to, and have in common.
pub(super) struct Sent {
    /// Bytes without frame overhead.
    pub(super) bytes: u64,
    /// That of the last run, which is mostly the next one's, too.
    residence: Residence,
}

impl Sent {
    /// Nothing as yet.
    pub(super) fn nothing() -> Self {
        Self { bytes: 0, residence: Residence::of(0) }
    }
}
