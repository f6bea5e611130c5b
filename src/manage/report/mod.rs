//! The report: what `run` leaves at its end and `show --json` answers, one schema.
//!
//! Names and nesting are a contract; a field may be added, none is renamed. Every number is exact
//! and since the start. Values that the configuration writes in several types (`udp_port = 6002`,
//! `"+1000"`, or absent) are strings here, so that each field has one JSON type: `"6002"`,
//! `"+1000"`, `"keep"`.

mod drops;
mod gather;
mod latency;
mod minus;

pub use drops::DropCounts;
pub use gather::{Inputs, PortStatus, WorkerView};
pub(super) use gather::{show_destination, show_udp_port, total};
pub use latency::Distribution;

use serde::{Deserialize, Serialize};

use super::alerts::Alert;
use super::groups::GroupReport;
use super::neighbours::NeighbourReport;
use crate::manage::unmatched::UnmatchedReport;
use crate::stages::BreakerState;

/// The version of the schema.
pub const SCHEMA: u32 = 1;

/// A whole report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The version of the program.
    pub punctual: String,
    /// The version of DPDK that it runs on.
    pub dpdk: String,
    /// The plan in force, counted from 1.
    pub generation: u64,
    /// Nanoseconds since the start.
    pub uptime_ns: u64,
    /// Where every packet and every copy is.
    pub ledger: LedgerReport,
    /// In file order.
    pub rules: Vec<RuleReport>,
    /// High, medium, low.
    pub classes: Vec<ClassReport>,
    /// In file order.
    pub receivers: Vec<ReceiverReport>,
    /// In file order.
    pub ports: Vec<PortReport>,
    /// In the order of their lcores.
    pub workers: Vec<WorkerReport>,
    /// Every packet buffer there is.
    pub pools: Vec<PoolStatus>,
    /// The packets that no rule takes, the most frequent first; at most 64, by samples.
    #[serde(default)]
    pub unmatched: Vec<UnmatchedReport>,
    /// Packets that no rule took and no sample stands for: they came faster than they are counted.
    #[serde(default)]
    pub unmatched_unseen: u64,
    /// The groups that are joined, by port, VLAN and group.
    #[serde(default)]
    pub groups: Vec<GroupReport>,
    /// Whom unicast copies go to, by port, VLAN and address.
    #[serde(default)]
    pub neighbours: Vec<NeighbourReport>,
    /// The newest, the oldest of them first.
    #[serde(default)]
    pub alerts: Vec<Alert>,
}

/// The ledger, the port's view of the input included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerReport {
    /// What came to the ports: `received` and their `missed`, `no_mbuf` and `rx_errors`.
    pub offered: u64,
    /// Packets taken from the ports.
    pub received: u64,
    /// Packets that are the slow path's.
    pub punted: u64,
    /// Packets that reached fan-out.
    pub admitted: u64,
    /// Packets dropped before fan-out.
    pub dropped_before: DropCounts,
    /// Packets that wait for fan-out.
    pub waiting_before: u64,
    /// Copies that the admitted packets were to become.
    pub copies: u64,
    /// Copies that the ports accepted.
    pub sent: u64,
    /// Copies dropped behind fan-out.
    pub dropped_after: DropCounts,
    /// Copies that wait for their port.
    pub waiting_after: u64,
    /// What is unaccounted for: 0.
    pub residual: u64,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleReport {
    /// Its name.
    pub name: String,
    /// Its class.
    pub class: String,
    /// Packets that matched it.
    pub packets: u64,
    /// Their bytes, frame overhead included.
    pub bytes: u64,
    /// Packets dropped before fan-out.
    pub dropped: DropCounts,
    /// Packets that shared its overflow flow because the table of sources was full.
    pub flow_overflow: u64,
    /// Nanoseconds since its last packet; 0 where there was none.
    pub last_packet_ns_ago: u64,
    /// From the receive burst to the send burst, over all its outputs.
    pub latency_ns: LatencyReport,
    /// In file order.
    pub outputs: Vec<OutputReport>,
}

/// One class: what its rules sum up to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassReport {
    /// Its name.
    pub name: String,
    /// Packets that matched its rules.
    pub packets: u64,
    /// Their bytes, frame overhead included.
    pub bytes: u64,
    /// Packets dropped before fan-out.
    pub dropped_before: DropCounts,
    /// Copies that its outputs were selected for.
    pub copies: u64,
    /// Copies that the ports accepted.
    pub sent: u64,
    /// Of `sent`: accepted by the deadline.
    pub on_time: u64,
    /// Of `sent`: accepted behind it.
    pub late_sent: u64,
    /// Copies that were not sent.
    pub dropped_after: DropCounts,
    /// From the receive burst to the send burst, over all its outputs.
    pub latency_ns: LatencyReport,
}

/// A distribution of times in nanoseconds; all 0 where `count` is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatencyReport {
    /// How many were measured.
    pub count: u64,
    /// Half took at most this long; quantiles are exact to 12 %, never too small.
    pub p50: u64,
    /// 99 of 100.
    pub p99: u64,
    /// 999 of 1000.
    pub p999: u64,
    /// The longest, exact.
    pub max: u64,
}

/// One output of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputReport {
    /// Its name, unique in its rule.
    pub name: String,
    /// Its receiver; null where it has none.
    pub receiver: Option<String>,
    /// Its port.
    pub port: String,
    /// A prefix, an address, or `keep`.
    pub destination: String,
    /// A number, `+N`, `-N` or `keep`.
    pub udp_port: String,
    /// Copies it was selected for.
    pub copies: u64,
    /// Copies that its port accepted.
    pub sent: u64,
    /// Their bytes, frame overhead included.
    pub bytes: u64,
    /// Of `sent`: accepted by the deadline.
    pub on_time: u64,
    /// Of `sent`: accepted behind it.
    pub late_sent: u64,
    /// Of `dropped`: `egress_late`.
    pub late_dropped: u64,
    /// Packets that sampling left out, or that went to another balanced output; not part of `copies`.
    pub not_selected: u64,
    /// What stays with it, `source` or `flow`, where it shares the rule's packets with others by
    /// `balance`; null where it gets them all.
    #[serde(default)]
    pub balanced_by: Option<String>,
    /// Of 1000 packets of the rule how many are its by weight, sampling aside.
    #[serde(default)]
    pub fair_permille: u64,
    /// Of `copies`: those of balanced outputs that did not take theirs.
    #[serde(default)]
    pub taken_over: u64,
    /// Messages of others that copies did not arrive: ICMP destination unreachable.
    #[serde(default)]
    pub unreachable: u64,
    /// Copies that were not sent.
    pub dropped: DropCounts,
}

/// One receiver: the sum of its outputs over all rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiverReport {
    /// Its name.
    pub name: String,
    /// Its port.
    pub port: String,
    /// How many outputs are its.
    pub outputs: u64,
    /// Copies they were selected for.
    pub copies: u64,
    /// Copies that the port accepted.
    pub sent: u64,
    /// Their bytes, frame overhead included.
    pub bytes: u64,
    /// Of `sent`: accepted by the deadline.
    pub on_time: u64,
    /// Of `sent`: accepted behind it.
    pub late_sent: u64,
    /// Copies that were not sent.
    pub dropped: DropCounts,
    /// Its circuit breaker.
    pub breaker: Breaker,
    /// How often the breaker has opened; failed probes are not counted.
    pub breaker_opened: u64,
}

/// Up or down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Link {
    /// Frames can pass.
    Up,
    /// They cannot.
    #[default]
    Down,
}

impl Link {
    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// How copies are handed to a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TxChain {
    /// A header chained to the shared payload; nothing is copied.
    Native,
    /// One buffer a copy: the driver sends no chains.
    #[default]
    Linear,
}

impl TxChain {
    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Linear => "linear",
        }
    }
}

/// The state of a circuit breaker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Breaker {
    /// Copies pass.
    #[default]
    Closed,
    /// None is made.
    Open,
    /// A few try whether it works again.
    HalfOpen,
}

impl Breaker {
    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

impl From<BreakerState> for Breaker {
    fn from(state: BreakerState) -> Self {
        match state {
            BreakerState::Closed => Self::Closed,
            BreakerState::Open => Self::Open,
            BreakerState::HalfOpen => Self::HalfOpen,
        }
    }
}

/// One port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortReport {
    /// Its name.
    pub name: String,
    /// Its link.
    pub link: Link,
    /// Packets taken from it.
    pub received: u64,
    /// Copies that it accepted.
    pub sent: u64,
    /// Bytes of `received`, without frame overhead.
    pub bytes_received: u64,
    /// Bytes of `sent`, without frame overhead.
    pub bytes_sent: u64,
    /// Frames that the device dropped because its ring was full.
    pub missed: u64,
    /// Frames that the driver dropped because the payload pool was empty.
    pub no_mbuf: u64,
    /// Frames that the device refused: bad FCS, too long.
    pub rx_errors: u64,
    /// Copies that it accepted and could not send.
    pub tx_errors: u64,
    /// Frames of our own that it sent: ARP, ND, ICMP, IGMP.
    pub originated: u64,
    /// Frames of our own that found no buffer, or no room at it.
    #[serde(default)]
    pub unsent: u64,
    /// Packets that went to the slow path.
    #[serde(default)]
    pub punted: u64,
    /// Packets that the slow path did not take.
    #[serde(default)]
    pub punt_full: u64,
    /// Packets for the slow path that were not what their headers say, by protocol: `arp`, `nd`,
    /// `icmp`, `icmpv6`, `igmp`, `mld`.
    #[serde(default)]
    pub malformed: DropCounts,
    /// IGMP and MLD queries that it brought.
    #[serde(default)]
    pub group_queries: u64,
    /// Other good messages of IGMP and MLD: reports and leaves of others.
    #[serde(default)]
    pub group_others: u64,
    /// Messages of IGMP and MLD that were ignored.
    #[serde(default)]
    pub group_ignored: DropCounts,
    /// How copies are handed to it.
    pub tx_chain: TxChain,
    /// Its driver, such as `net_pcap`.
    pub driver: String,
    /// Bytes of the longest IP packet that it carries.
    pub mtu: u64,
    /// Whether it hears unicast frames for others, too: where a rule takes unicast from it.
    pub promiscuous: bool,
    /// Its circuit breaker.
    pub breaker: Breaker,
    /// How often the breaker has opened; failed probes are not counted.
    pub breaker_opened: u64,
}

/// One worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerReport {
    /// Its lcore.
    pub lcore: u32,
    /// Where it is: `CPU 1`, and its NUMA node where the host says it. Empty in a simulation.
    #[serde(default)]
    pub place: String,
    /// What is not well about its place, and what to do.
    #[serde(default)]
    pub misplaced: Vec<String>,
    /// Turns since the start.
    pub turns: u64,
    /// Of these, those that moved a packet.
    #[serde(default)]
    pub busy_turns: u64,
    /// Of 1000 turns since the start, how many moved a packet.
    pub busy_permille: u64,
    /// Nanoseconds since the end of its last turn.
    pub heartbeat_age_ns: u64,
    /// Nanoseconds from the end of a turn to that of the next: the most since the start.
    pub longest_turn_ns: u64,
    /// The same of the turn that took up the plan; 0 by the first plan.
    #[serde(default)]
    pub plan_turn_ns: u64,
    /// The plan that it goes by.
    pub generation: u64,
    /// Packets that it received and handed to the workers that keep their flows.
    #[serde(default)]
    pub packets_handed: u64,
    /// Packets of its flows that others received.
    #[serde(default)]
    pub packets_taken: u64,
    /// Copies that it made and handed to the workers that send to their ports.
    #[serde(default)]
    pub copies_handed: u64,
    /// Copies for its ports that others made.
    #[serde(default)]
    pub copies_taken: u64,
}

/// One pool of packet buffers: `size = free + in_use`, `in_use = ours + held`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolStatus {
    /// `payload`, `headers`, `own`, or `linear/` and the port's name.
    pub name: String,
    /// Buffers in all.
    pub size: u64,
    /// Buffers that are not free.
    pub in_use: u64,
    /// The most that were in use at once, as far as was seen.
    pub in_use_max: u64,
    /// Of `in_use`: in the rings of drivers.
    pub held: u64,
}

impl PoolStatus {
    /// Buffers that hold packets of ours: 0 after a drain.
    pub fn ours(&self) -> u64 {
        self.in_use.saturating_sub(self.held)
    }
}

impl Report {
    /// The JSON text, indented, with a newline at the end.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self)
            .unwrap_or_else(|error| unreachable!("a report is plain data: {error}"));
        text.push('\n');
        text
    }
}

#[cfg(test)]
mod tests;
