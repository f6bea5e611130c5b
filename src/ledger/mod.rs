//! The ledger: where every packet and every copy is, so that nothing is lost unseen.
//!
//! ```text
//! received + taken = dropped before fan-out + punted + admitted + waiting (ingress, EDF) + handed
//! copies   + taken = sent + dropped after fan-out + waiting (egress, staged) + handed
//! ```
//! The difference is the residual, and it is 0. What one worker has handed over and another has not
//! taken yet waits between them.

mod counters;
mod misses;
mod histogram;
mod snapshot;

pub use counters::{
    Counter, Counters, OutputCounters, PortCounters, RuleCounters, WorkerCounters, output_waiting,
    rule_waiting,
};
pub use histogram::{BUCKETS, LatencyCounts, Residence, bucket_of, bucket_top};
pub use misses::{MISSES_MAX, MissRing, MissSampler, Missed};
pub use snapshot::Published;

use crate::packet::DropReason;

/// Packets by [`DropReason`].
pub type Drops = [u64; DropReason::COUNT];

/// What passes between workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// Packets, parsed and with a rule, for the worker that keeps their flow.
    pub packets: u64,
    /// Copies, for the worker that sends to their port.
    pub copies: u64,
}

/// One worker's totals since start; exact at each turn boundary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ledger {
    /// Packets taken from the ports.
    pub received: u64,
    /// Packets that are the slow path's: ARP, ICMP, IGMP, ND.
    pub punted: u64,
    /// Packets that reached fan-out.
    pub admitted: u64,
    /// Packets in ingress queues and the EDF window.
    pub waiting_before: u64,
    /// Copies that admitted packets were to become, by the plan of that moment.
    pub copies: u64,
    /// Copies that the ports accepted.
    pub sent: u64,
    /// Copies in egress queues and staged for a port.
    pub waiting_after: u64,
    /// Packets and copies handed to other workers, whose flow or port they are for.
    pub handed: Passed,
    /// Packets and copies taken from other workers.
    pub taken: Passed,
    /// Packets dropped before fan-out.
    pub dropped_before: Drops,
    /// Copies dropped behind it.
    pub dropped_after: Drops,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            received: 0,
            punted: 0,
            admitted: 0,
            waiting_before: 0,
            copies: 0,
            sent: 0,
            waiting_after: 0,
            handed: Passed::default(),
            taken: Passed::default(),
            dropped_before: [0; DropReason::COUNT],
            dropped_after: [0; DropReason::COUNT],
        }
    }
}

impl Ledger {
    /// What is unaccounted for, packets and copies together, as a distance: 0 when all is well.
    pub fn residual(&self) -> u64 {
        let before = self.dropped_before.iter().sum::<u64>();
        let after = self.dropped_after.iter().sum::<u64>();
        let Self { handed, taken, .. } = self;
        let packets = before + self.punted + self.admitted + self.waiting_before + handed.packets;
        let copies = self.sent + after + self.waiting_after + handed.copies;
        (self.received + taken.packets).abs_diff(packets)
            + (self.copies + taken.copies).abs_diff(copies)
    }

    /// Whether every packet has come to its end.
    pub fn is_quiet(&self) -> bool {
        self.waiting_before == 0 && self.waiting_after == 0
    }

    /// Packets and copies dropped, for whatever reason.
    pub fn dropped(&self) -> u64 {
        self.dropped_before.iter().chain(&self.dropped_after).sum()
    }
}
