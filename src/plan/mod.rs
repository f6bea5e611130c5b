//! The plan: what the worker reads and never writes. Built whole by management from a validated
//! configuration and the facts of the open ports; immutable from then on.

mod build;
pub mod memory;
mod rows;

pub(crate) use build::LINK_HEADERS;
pub use build::{PlanError, PortFacts};
pub use rows::{Candidate, Miss, RowTable};

use std::ops::Range;

use crate::config::{Class, FlowKind, Late, RxChecksum, RxMode};
use crate::packet::Ticks;
use crate::sched::{BucketRate, MemberSettings};
use crate::wire::{OwnMacs, Template};

/// Everything a worker's turn goes by.
#[derive(Debug)]
pub struct Plan {
    /// Counts the plans of this process, from 1.
    pub generation: u64,
    /// By [`Class`].
    pub classes: [ClassPlan; Class::COUNT],
    /// By port slot.
    pub ports: Box<[PortPlan]>,
    /// By rule slot.
    pub rules: Box<[RulePlan]>,
    /// How many receivers there are.
    pub receivers: u32,
    /// By output slot; the outputs of a rule lie side by side.
    pub outputs: Box<[OutputPlan]>,
    /// Destination, UDP port, VLAN, input port and source -> rule.
    pub rows: RowTable,
    /// The MAC addresses of the ports: what comes from them is a loop.
    pub own_macs: OwnMacs,
    /// Copies that the EDF window may hold.
    pub edf_window: u64,
    /// Frames shorter than this are copied by fan-out, not chained; 0 chains all.
    pub copy_below: u32,
    /// Whether any rule is policed.
    pub polices: bool,
    /// How flow slots are shared out.
    pub flows: FlowSlots,
    /// The largest frame of any port, overhead included.
    pub largest_frame: u32,
    /// Ticks in a second of the worker's clock.
    pub ticks_per_second: u64,
}

/// Where the flows of each kind have their slots: rules first, then rows, then sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowSlots {
    /// One a rule: its flow, or where its sources overflow.
    pub rules: u32,
    /// One a row of rules with `flow = "row"`.
    pub rows: u32,
    /// Shared by all rules with `flow = "source"`.
    pub sources: u32,
}

impl FlowSlots {
    /// All slots.
    pub fn total(&self) -> usize {
        self.rules as usize + self.rows as usize + self.sources as usize
    }

    /// The slot of the first source flow.
    pub fn first_source(&self) -> u32 {
        self.rules + self.rows
    }
}

/// A class.
#[derive(Clone, Copy, Debug)]
pub struct ClassPlan {
    /// From arrival to deadline, where a rule has no budget of its own.
    pub budget: Ticks,
    /// Bytes a visit.
    pub quantum: u32,
}

/// A port.
#[derive(Clone, Debug)]
pub struct PortPlan {
    /// Its name in the configuration.
    pub name: String,
    /// The longest IP packet it sends, in bytes.
    pub mtu: u32,
    /// Whether it sends chains; others get linear copies.
    pub sends_chains: bool,
    /// When it is polled.
    pub rx: RxMode,
    /// What the UDP checksum of its frames is worth.
    pub rx_checksum: RxChecksum,
    /// What it is sent at most; none is as fast as it takes.
    pub shaper: Option<BucketRate>,
    /// Its outputs: the members of its egress DRR are numbered in this order.
    pub lanes: u32,
}

/// A rule.
#[derive(Clone, Debug)]
pub struct RulePlan {
    /// From arrival to deadline.
    pub budget: Ticks,
    /// What happens behind the deadline.
    pub late: Late,
    /// What fairness and policing count.
    pub flow: FlowKind,
    /// Rate and burst of each of its flows.
    pub police: Option<BucketRate>,
    /// Class, quantum and bound of its flows in ingress DRR.
    pub ingress: MemberSettings,
    /// Slots of its outputs.
    pub outputs: Range<u32>,
    /// Its name in the configuration.
    pub name: String,
}

impl RulePlan {
    /// Its outputs, counted.
    pub fn fan_out(&self) -> u32 {
        self.outputs.end - self.outputs.start
    }
}

/// An output of a rule.
#[derive(Clone, Debug)]
pub struct OutputPlan {
    /// Slot of its rule.
    pub rule: u32,
    /// Slot of its port.
    pub port: u32,
    /// Slot of its receiver, where it has one.
    pub receiver: Option<u32>,
    /// Its member in the egress DRR of the port.
    pub lane: u32,
    /// One packet in so many is sent.
    pub sample: u32,
    /// What happens behind the deadline: the rule's policy.
    pub late: Late,
    /// Class, quantum and bound in egress DRR.
    pub egress: MemberSettings,
    /// The new headers.
    pub template: Template,
    /// Its name in the configuration.
    pub name: String,
}
