//! The plan: what the worker reads and never writes. Built whole by management from a validated
//! configuration and the facts of the open ports; immutable from then on.

mod build;
pub mod memory;
mod roles;
mod rows;
mod slots;

pub(crate) use build::LINK_HEADERS;
pub use build::{PlanError, PortFacts};
pub use roles::{Roles, WORKERS_MAX, home_of_source};
pub use rows::{AtOnce, Candidate, Given, Match, Miss, OURS, Row, RowTable};
pub use slots::{Capacity, OutputIdentity, Slots};

use std::mem::offset_of;
use std::ops::Range;
use std::sync::Arc;

use crate::config::{BalanceBy, Class, FlowKind, Late, Neighbour, RxChecksum, RxMode};
use crate::packet::{FRAME_OVERHEAD, Ticks};
use crate::sched::{BucketRate, Contender, MemberSettings};
use crate::wire::{Origin, OwnMacs, Template};

/// Bytes of an Ethernet header without tags.
const ETHERNET_HEADER: u32 = 14;

/// Everything a worker's turn goes by.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Counts the plans of this process, from 1.
    pub generation: u64,
    /// By [`Class`].
    pub classes: [ClassPlan; Class::COUNT],
    /// By port slot.
    pub ports: Box<[PortPlan]>,
    /// By rule slot. A slot that no rule of the configuration has is one's that is gone; so are
    /// outputs.
    pub rules: Box<[RulePlan]>,
    /// The rules' slots, in the order of the configuration.
    pub rule_slots: Box<[u32]>,
    /// The receivers' slots, in the order of the configuration.
    pub receiver_slots: Box<[u32]>,
    /// By output slot.
    pub outputs: Box<[OutputPlan]>,
    /// Output slots: those of a rule lie side by side, in the order of the configuration.
    pub fan_out: Box<[u32]>,
    /// Destination, UDP port, VLAN, input port and source -> rule.
    pub rows: Arc<RowTable>,
    /// The MAC addresses of the ports: what comes from them is a loop.
    pub own_macs: OwnMacs,
    /// Copies that the EDF window may hold.
    pub edf_window: u64,
    /// Frames shorter than this are copied by fan-out, not chained; 0 chains all.
    pub copy_below: u32,
    /// Whether any port completes UDP checksums.
    pub completes: bool,
    /// Whether any rule relays fragments.
    pub forwards_fragments: bool,
    /// Whether any rule is policed.
    pub polices: bool,
    /// Whether all ports that rules take input from wait for room.
    pub lossless: bool,
    /// How flow slots are shared out.
    pub flows: FlowSlots,
    /// Slots that there are, taken or not: what workers and counters are sized by.
    pub capacity: Capacity,
    /// By neighbour slot: who it is. Those that no output goes to any more are among them.
    pub neighbours: Box<[Neighbour]>,
    /// Copies of an output that may wait for a neighbour.
    pub unresolved: u32,
    /// Slots that had another holder before.
    pub cleared: Cleared,
    /// Whether a class's budget or a rule's class is another than in the plan before, so that
    /// what waits in EDF has to be ordered anew.
    pub reorders: bool,
    /// The largest frame of any port, overhead included.
    pub largest_frame: u32,
    /// Ticks in a second of the worker's clock.
    pub ticks_per_second: u64,
}

/// Slots that had another holder before: the worker clears what is left of it when it takes up the
/// plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cleared {
    /// Of rules: their counters.
    pub rules: Vec<u32>,
    /// Of outputs: their counters.
    pub outputs: Vec<u32>,
    /// Of flows: bucket and last deadline.
    pub flows: Vec<u32>,
    /// Of receivers: their breakers, which are management's.
    pub receivers: Vec<u32>,
    /// Of neighbours: their words, which are management's.
    pub neighbours: Vec<u32>,
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
    /// Its outputs, counted; those that are gone are among them until nothing of them waits.
    pub lanes: u32,
    /// Members of its egress DRR, taken or not.
    pub lane_slots: u32,
}

/// A rule. What each packet of it asks for lies in one cache line.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub struct RulePlan {
    /// From arrival to deadline.
    pub budget: Ticks,
    /// The place of its outputs in [`Plan::fan_out`].
    pub outputs: Range<u32>,
    /// What holds for all of its outputs, where none of them asks for a choice by packet.
    pub plain: Option<PlainOutputs>,
    /// What happens behind the deadline.
    pub late: Late,
    /// What fairness and policing count.
    pub flow: FlowKind,
    /// The worker that keeps its flow; the same as long as the rule lives.
    pub home: u8,
    /// Whether it is gone, and what is left of it is dropped as `removed`.
    pub removed: bool,
    /// Whether it relays fragments.
    pub forwards_fragments: bool,
    /// Class, quantum and bound of its flows in ingress DRR.
    pub ingress: MemberSettings,
    /// Tells it from the rules that had its slot before.
    pub id: u64,
    /// Rate and burst of each of its flows.
    pub police: Option<BucketRate>,
    /// Which of its last outputs a packet goes to, where it goes to one of them only.
    pub balance: Option<BalancePlan>,
    /// Its name in the configuration.
    pub name: Arc<str>,
}

const _: () = assert!(offset_of!(RulePlan, id) == 64, "the first line is full");

/// The last outputs of a rule, of which each packet goes to one.
#[derive(Clone, Debug, PartialEq)]
pub struct BalancePlan {
    /// What stays with one of them.
    pub by: BalanceBy,
    /// They, in the order of the outputs.
    pub members: Box<[Contender]>,
}

/// Outputs that get a copy of every packet that is fit for all of them: none samples, and each
/// takes the payload as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlainOutputs {
    /// The longest IP packet that each of their ports sends, in bytes.
    pub mtu: u32,
    /// The least TTL that a packet may have: 2 where one of them decrements it.
    pub least_ttl: u8,
    /// The only one, where there are no others.
    pub only: Option<OnlyOutput>,
}

/// What must be known of a rule's only output in front of its template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnlyOutput {
    /// Its slot.
    pub slot: u32,
    /// Slot of its port.
    pub port: u8,
    /// Whether that sends chains.
    pub chained: bool,
}

impl Plan {
    /// Bytes a visit, by class.
    pub fn class_quanta(&self) -> [u32; Class::COUNT] {
        Class::ALL.map(|class| self.classes[class as usize].quantum)
    }

    /// The slots of the outputs of the rule with slot `rule`.
    pub fn outputs_of(&self, rule: u32) -> &[u32] {
        let outputs = &self.rules[rule as usize].outputs;
        &self.fan_out[outputs.start as usize..outputs.end as usize]
    }
}

impl PlainOutputs {
    /// Whether a packet is fit for all of the outputs, of which `first` is one: its TTL lasts, and
    /// it is not too long for any port.
    #[inline(always)]
    pub fn suit(&self, origin: &Origin, first: &OutputPlan) -> bool {
        origin.ttl() >= self.least_ttl && first.template.ip_len(origin) <= self.mtu as usize
    }

    /// [`Self::suit`] of a plain packet ([`plain_head`](crate::wire::plain_head)) that counts for so
    /// many `bytes` ([`Meta::bytes`](crate::packet::Meta)), for plain copies, which are as long.
    #[inline(always)]
    pub fn suit_plain(&self, origin: &Origin, bytes: u32) -> bool {
        origin.ttl() >= self.least_ttl && bytes <= self.mtu + ETHERNET_HEADER + FRAME_OVERHEAD
    }
}

/// The neighbours that an output's copies go to.
#[derive(Clone, Debug)]
pub enum Hop {
    /// All to the one in this slot.
    One(u32),
    /// Slots by the host bits of the copy's destination.
    Each(Arc<[u32]>),
}

impl Hop {
    /// All slots.
    pub fn slots(&self) -> &[u32] {
        match self {
            Self::One(slot) => std::slice::from_ref(slot),
            Self::Each(slots) => slots,
        }
    }
}

impl OutputPlan {
    /// The slot of the neighbour that the copy of a packet goes to, where it has one.
    pub fn neighbour(&self, origin: &Origin) -> Option<u32> {
        match self.hop.as_ref()? {
            Hop::One(slot) => Some(*slot),
            // A prefix has a power of two of hosts.
            Hop::Each(slots) => {
                let host = self.template.destination_tail(origin) as usize & (slots.len() - 1);
                slots.get(host).copied()
            }
        }
    }
}

impl RulePlan {
    /// Copies that a packet becomes, at most.
    pub fn fan_out(&self) -> u32 {
        let outputs = self.outputs.end - self.outputs.start;
        if self.plain.is_some() {
            return outputs;
        }
        let members = self.balance.as_ref().map_or(0, |balance| balance.members.len() as u32);
        outputs - members.saturating_sub(1)
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
    /// Whether it is gone, and what is left of it is dropped as `removed`.
    pub removed: bool,
    /// What happens behind the deadline: the rule's policy.
    pub late: Late,
    /// Class, quantum and bound in egress DRR.
    pub egress: MemberSettings,
    /// Who takes its copies on the link, where that is to be asked for its MAC.
    pub hop: Option<Hop>,
    /// The new headers.
    pub template: Template,
    /// Its name in the configuration.
    pub name: Arc<str>,
}
