//! What a simulation sees at its ends: what was offered, what left, when, and in which order.

use std::collections::HashMap;

use hdrhistogram::Histogram;

use super::HeapPacket;
use crate::packet::{Packet, Ticks};

/// What was offered for one rule, or for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offered {
    /// Frames that came to the ports.
    pub packets: u64,
    /// Their bytes, frame overhead included.
    pub bytes: u64,
    /// Of them: lost because a receive ring was full.
    pub missed: u64,
    /// Of them: lost because the payload pool was empty.
    pub no_mbuf: u64,
    /// Of them: refused by the port because they are too long.
    pub rx_errors: u64,
}

/// What left for one output.
#[derive(Clone, Debug)]
pub struct Sent {
    /// From receipt to acceptance, in nanoseconds of the worker's clock.
    pub residence: Histogram<u32>,
    /// Bytes by slice of time, frame overhead included.
    pub bytes: Vec<u64>,
    /// The last packet of each flow, and the flow that came last.
    order: HashMap<u32, u64>,
    last: Option<(u32, u64)>,
}

impl Sent {
    fn new() -> Self {
        // Three digits are within what the type allows.
        let residence =
            Histogram::new(3).unwrap_or_else(|error| unreachable!("a histogram: {error}"));
        Self { residence, bytes: Vec::new(), order: HashMap::new(), last: None }
    }

    /// Whether a packet of `flow` with this number may follow what was sent.
    fn in_order(&mut self, flow: u32, sequence: u64) -> bool {
        let before = match self.last {
            Some((last, before)) if last == flow => Some(before),
            _ => {
                if let Some((flow, sequence)) = self.last {
                    self.order.insert(flow, sequence);
                }
                self.order.get(&flow).copied()
            }
        };
        self.last = Some((flow, before.map_or(sequence, |before| before.max(sequence))));
        before.is_none_or(|before| before < sequence)
    }
}

/// A copy that a port accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Nanoseconds since the start.
    pub at: Ticks,
    /// Nanoseconds since its packet was received, by the worker's clock.
    pub residence: Ticks,
    /// Slot of its output.
    pub output: u32,
    /// Its bytes, frame overhead included.
    pub bytes: u32,
}

/// The record of one simulation.
#[derive(Debug)]
pub struct Record {
    /// When the simulation began.
    start: Ticks,
    /// Nanoseconds of a slice.
    slice: u64,
    /// By rule slot; last what no rule takes.
    pub offered: Vec<Offered>,
    /// By output slot.
    pub sent: Vec<Sent>,
    /// Each copy that a port accepted, where that is asked for.
    pub trace: Option<Vec<Accepted>>,
    /// Copies that left behind a later packet of their flow.
    pub reordered: u64,
}

impl Record {
    /// Nothing yet, for so many rules and outputs.
    pub fn new(start: Ticks, slice: u64, rules: usize, outputs: usize) -> Self {
        Self {
            start,
            slice: slice.max(1),
            offered: vec![Offered::default(); rules + 1],
            sent: (0..outputs).map(|_| Sent::new()).collect(),
            trace: None,
            reordered: 0,
        }
    }

    /// Where frames of `rule` are counted.
    pub fn offered_of(&mut self, rule: Option<u32>) -> &mut Offered {
        let none = self.offered.len() - 1;
        &mut self.offered[rule.map_or(none, |rule| rule as usize)]
    }

    /// A port accepted `copy` at `time`, which the worker's clock shows as `shown`.
    pub fn accepted(&mut self, copy: &HeapPacket, time: Ticks, shown: Ticks) {
        let meta = copy.meta();
        let sent = &mut self.sent[meta.output as usize];
        // The histogram grows as it must; no time is beyond its reach.
        let took = shown.saturating_sub(meta.arrival).min(1 << 60);
        let _ = sent.residence.record(took);
        if let Some(trace) = &mut self.trace {
            trace.push(Accepted {
                at: time - self.start,
                residence: shown.saturating_sub(meta.arrival),
                output: meta.output,
                bytes: meta.bytes,
            });
        }
        let slice = ((time - self.start) / self.slice) as usize;
        if sent.bytes.len() <= slice {
            sent.bytes.resize(slice + 1, 0);
        }
        sent.bytes[slice] += u64::from(meta.bytes);
        if !sent.in_order(meta.flow, copy.sequence()) {
            self.reordered += 1;
        }
    }

    /// Nanoseconds of a slice.
    pub fn slice(&self) -> u64 {
        self.slice
    }
}

impl Offered {
    /// Lost before the worker saw it, by the ports' names for it.
    pub fn lost(&self) -> u64 {
        self.missed + self.no_mbuf + self.rx_errors
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::HeapFrame;

    fn copy(flow: u32, sequence: u64) -> HeapPacket {
        let mut copy = HeapFrame::new(&[&[0; 60]]).numbered(sequence);
        let meta = copy.meta_mut();
        (meta.flow, meta.arrival, meta.bytes) = (flow, 1_000, 84);
        copy
    }

    #[test]
    fn order_is_by_output_and_flow() {
        let mut record = Record::new(0, 1_000, 1, 1);
        for (flow, sequence, reordered) in
            [(0, 5, 0), (1, 2, 0), (0, 6, 0), (1, 1, 1), (1, 3, 1), (1, 3, 2), (0, 4, 3), (0, 7, 3)]
        {
            record.accepted(&copy(flow, sequence), 2_500, 2_500);
            assert_eq!(record.reordered, reordered, "{flow} {sequence}");
        }
        assert_eq!(record.sent[0].bytes, [0, 0, 8 * 84]);
        assert_eq!(record.sent[0].residence.max(), 1_500);
        record.accepted(&copy(9, 9), 3_000, u64::MAX);
        assert!(record.sent[0].residence.max() >= 1 << 60);
        assert_eq!(record.sent[0].residence.len(), 9);
    }
}
