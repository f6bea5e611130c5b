//! What a simulation found.

use hdrhistogram::Histogram;

use super::loads::Resource;
use crate::config::Class;
use crate::ledger::Drops;
use crate::manage::breaker::{Change, Of};
use crate::manage::report::Report;
use crate::packet::DropReason;
use crate::stages::BreakerState;
use crate::testkit::RxCounts;
use crate::testkit::fault::Fault;
use crate::testkit::record::{Accepted, Offered};

/// Everything that is known at the end.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The report that a run leaves, at rest.
    pub report: Report,
    /// How long traffic was offered, in nanoseconds.
    pub span: u64,
    /// How long it took until all was drained.
    pub elapsed: u64,
    /// Nanoseconds that the worker's CPU was busy.
    pub busy: u64,
    /// Nanoseconds of a slice in [`OutputOutcome::bytes_by_slice`].
    pub slice: u64,
    /// By rule slot.
    pub rules: Vec<RuleOutcome>,
    /// By output slot; the outputs of a rule lie side by side.
    pub outputs: Vec<OutputOutcome>,
    /// By port slot.
    pub ports: Vec<PortOutcome>,
    /// What no rule takes.
    pub unmatched: Offered,
    /// What each resource was asked to carry; 1 is all it can.
    pub loads: Vec<(Resource, f64)>,
    /// What went wrong on purpose.
    pub faults: Vec<Fault>,
    /// What the circuit breakers did, in the order of time.
    pub breakers: Vec<BreakerChange>,
    /// What the operator was told of them.
    pub alerts: Vec<BreakerAlert>,
    /// The steps by which classes were shed as memory ran short, in the order of time.
    pub pressure: Vec<PressureChange>,
    /// The most packets in use, by pool as in the report and by slice of time.
    pub in_use: Vec<Vec<u64>>,
    /// What ports accepted, in the order of time, where the scenario asks for it.
    pub trace: Vec<Accepted>,
    /// Copies that left behind a later packet of their flow: 0, or it is a defect.
    pub reordered: u64,
    /// Packets of each pool that are still in use at the end: 0, or it is a defect.
    pub leaked: u64,
    /// By how much offered is off received and lost at the ports: 0, or it is a defect.
    pub unaccounted: u64,
}

/// A circuit breaker changed its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerChange {
    /// Nanoseconds since the start.
    pub at: u64,
    /// Whose it is.
    pub of: Of,
    /// The state that it entered.
    pub state: BreakerState,
}

/// The operator was told of a circuit breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerAlert {
    /// Nanoseconds since the start.
    pub at: u64,
    /// Whose it is.
    pub of: Of,
    /// What was told.
    pub change: Change,
}

/// From now on so many classes were admitted, the highest first: memory ran short, or was there
/// again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PressureChange {
    /// Nanoseconds since the start.
    pub at: u64,
    /// Classes that are admitted.
    pub admitted: usize,
}

/// One rule.
#[derive(Clone, Debug)]
pub struct RuleOutcome {
    /// Its name.
    pub name: String,
    /// Its class.
    pub class: Class,
    /// What came for it, and what the ports lost of that.
    pub offered: Offered,
    /// Packets that reached it.
    pub packets: u64,
    /// Packets dropped before fan-out.
    pub dropped: Drops,
}

/// One output of a rule.
#[derive(Clone, Debug)]
pub struct OutputOutcome {
    /// Slot of its rule.
    pub rule: usize,
    /// Its name, unique in its rule.
    pub name: String,
    /// Slot of its port.
    pub port: usize,
    /// Its class.
    pub class: Class,
    /// Its weight within the class.
    pub weight: u32,
    /// Copies that it would get if nothing were lost.
    pub offered: u64,
    /// Their bytes, frame overhead included, as long as they were received.
    pub offered_bytes: u64,
    /// Copies that it was selected for.
    pub copies: u64,
    /// Copies that its port accepted.
    pub sent: u64,
    /// Their bytes, frame overhead included.
    pub bytes: u64,
    /// Of `sent`: by the deadline.
    pub on_time: u64,
    /// Of `sent`: behind it.
    pub late_sent: u64,
    /// Copies that were not sent.
    pub dropped: Drops,
    /// From receipt to acceptance, in nanoseconds.
    pub residence: Histogram<u32>,
    /// Bytes sent in each slice of time, frame overhead included.
    pub bytes_by_slice: Vec<u64>,
}

/// One port.
#[derive(Clone, Debug)]
pub struct PortOutcome {
    /// Its name.
    pub name: String,
    /// Bits a second of its link.
    pub link: u64,
    /// What came to it.
    pub rx: RxCounts,
    /// Copies that it accepted.
    pub sent: u64,
    /// Their bytes, frame overhead included.
    pub bytes: u64,
}

impl OutputOutcome {
    /// Copies dropped behind fan-out for `reason`.
    pub fn dropped_for(&self, reason: DropReason) -> u64 {
        self.dropped[reason.index()]
    }

    /// Copies that were never made: lost at the port or before fan-out.
    pub fn lost_before(&self) -> u64 {
        self.offered.saturating_sub(self.copies)
    }

    /// The residence time that a share `quantile` of the copies did not pass, in nanoseconds.
    pub fn residence_at(&self, quantile: f64) -> u64 {
        self.residence.value_at_quantile(quantile).min(self.residence.max())
    }
}

impl RuleOutcome {
    /// Packets dropped before fan-out for `reason`.
    pub fn dropped_for(&self, reason: DropReason) -> u64 {
        self.dropped[reason.index()]
    }
}

impl Outcome {
    /// The rule of that name.
    pub fn rule(&self, name: &str) -> Option<&RuleOutcome> {
        self.rules.iter().find(|rule| rule.name == name)
    }

    /// The output of that name in the rule of that name.
    pub fn output(&self, rule: &str, name: &str) -> Option<&OutputOutcome> {
        let of_rule = |output: &&OutputOutcome| self.rules[output.rule].name == rule;
        self.outputs.iter().filter(of_rule).find(|output| output.name == name)
    }

    /// What must never be, where it is: a defect of this program.
    pub fn defect(&self) -> Option<String> {
        let found = [
            (self.report.ledger.residual, "packets or copies unaccounted for (the residual)"),
            (self.unaccounted, "offered frames that were neither received nor lost"),
            (self.reordered, "copies sent behind a later packet of their flow"),
            (self.leaked, "packet buffers still in use at the end"),
        ];
        let found = found.iter().filter(|(count, _)| *count > 0);
        let each: Vec<_> = found.map(|(count, what)| format!("{count} {what}")).collect();
        (!each.is_empty()).then(|| each.join("; "))
    }
}
