//! Two reports of one run -> what was added between them, and in what time.

use std::time::Duration;

use super::figure::permille;
use crate::manage::control::{Shown, Who};
use crate::manage::report::{PortReport, Report};
use crate::manage::show::per_second;
use crate::packet::FRAME_OVERHEAD;

/// The newest report and, where there was one before it, what was added since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// Who has told it.
    pub instance: Who,
    /// As it is.
    pub now: Report,
    /// What was added, and in what time by the instance's own clock.
    pub added: Option<(Report, Duration)>,
}

impl Look {
    /// A look behind `before`, which counts only if it was at the same run.
    pub fn new(shown: Shown, before: Option<&Self>) -> Self {
        let Shown { instance, report: now } = shown;
        let added = before.filter(|before| before.instance == instance).and_then(|before| {
            let elapsed = now.uptime_ns.checked_sub(before.now.uptime_ns).filter(|&ns| ns > 0)?;
            Some((now.minus(&before.now), Duration::from_nanos(elapsed)))
        });
        Self { instance, now, added }
    }

    /// What was added.
    pub fn delta(&self) -> Option<&Report> {
        self.added.as_ref().map(|(added, _)| added)
    }

    /// Of 1000 turns that a worker took between the two looks, those that moved a packet; none at
    /// the first look, and where it took no turn.
    pub fn busy(&self, lcore: u32) -> Option<u64> {
        let worker = self.delta()?.workers.iter().find(|worker| worker.lcore == lcore)?;
        permille(worker.busy_turns, worker.turns)
    }

    /// So many a second, where `delta` is of what was added; none at the first look.
    pub fn rate(&self, delta: u64) -> Option<u64> {
        self.added.as_ref().map(|(_, elapsed)| per_second(delta, *elapsed))
    }

    /// The rates of the whole instance.
    pub fn totals(&self) -> Option<Totals> {
        let (added, _) = self.added.as_ref()?;
        let sum = |of: fn(&PortReport) -> u64| added.ports.iter().map(of).sum();
        let ledger = &added.ledger;
        Some(Totals {
            received: self.rate(ledger.received)?,
            bits_received: self.rate(sum(bits_received))?,
            sent: self.rate(ledger.sent)?,
            bits_sent: self.rate(sum(bits_sent))?,
            dropped: self.rate(ledger.dropped_before.total() + ledger.dropped_after.total())?,
            missed: self.rate(sum(missed))?,
        })
    }
}

/// What the whole instance does in a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// Packets received.
    pub received: u64,
    /// Bits received, frame overhead included.
    pub bits_received: u64,
    /// Copies sent.
    pub sent: u64,
    /// Bits sent, frame overhead included.
    pub bits_sent: u64,
    /// Packets and copies dropped.
    pub dropped: u64,
    /// Frames that were lost at the ports, before they were packets of ours.
    pub missed: u64,
}

/// Bits that came, frame overhead included.
pub fn bits_received(port: &PortReport) -> u64 {
    wire_bits(port.bytes_received, port.received)
}

/// Bits that went, frame overhead included.
pub fn bits_sent(port: &PortReport) -> u64 {
    wire_bits(port.bytes_sent, port.sent)
}

/// Frames that a port has lost on their way in.
pub fn missed(port: &PortReport) -> u64 {
    port.missed.saturating_add(port.no_mbuf).saturating_add(port.rx_errors)
}

fn wire_bits(bytes: u64, frames: u64) -> u64 {
    let overhead = frames.saturating_mul(FRAME_OVERHEAD.into());
    bytes.saturating_add(overhead).saturating_mul(8)
}
