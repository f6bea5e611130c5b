//! The validated configuration: every reference resolved to an index, every default filled in,
//! every unit converted.

mod port;

pub use port::*;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::alert_kind::AlertLimits;
use crate::wire::MacAddr;

/// A whole validated configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `[instance] name`: EAL file-prefix and lock name.
    pub instance: String,
    /// `clock`: what the worker's time is.
    pub clock: ClockSource,
    /// `idle`: what a worker with nothing to do does.
    pub idle: Idle,
    /// `[eal]`.
    pub eal: Eal,
    /// `[memory]`.
    pub memory: Memory,
    /// `[[port]]`, in file order, or in that of the configuration in force; the index is the port's
    /// slot.
    pub ports: Vec<Port>,
    /// `[class.*]`: high, medium, low; indexed by [`Class`].
    pub classes: [ClassConfig; Class::COUNT],
    /// `[[receiver]]`, in file order.
    pub receivers: Vec<Receiver>,
    /// `[[rule]]`, in file order; the index is the rule's slot.
    pub rules: Vec<Rule>,
    /// `edf.window`: copies that the EDF window may hold.
    pub edf_window: u32,
    /// `fanout.copy_below`: frames shorter than this many bytes are copied, not chained.
    pub copy_below: u32,
    /// `[limits]`: sizes fixed at start.
    pub limits: Limits,
    /// `[alerts]`: when there is an alert.
    pub alerts: AlertLimits,
    /// `management.socket`: where a running instance is asked.
    pub socket: ControlSocket,
    /// `management.metrics`: where HTTP is answered; `None` where it is not.
    pub metrics: Option<SocketAddr>,
    /// `management.detail`; `None` where it is not written.
    pub detail: Option<Detail>,
}

/// How far metrics go; what is named later includes what is named earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detail {
    /// Totals, classes, receivers, ports, workers and pools.
    Ports,
    /// Each rule.
    Rules,
    /// Each output of each rule.
    Outputs,
}

impl Detail {
    /// All, from the least.
    pub const ALL: [Self; 3] = [Self::Ports, Self::Rules, Self::Outputs];

    /// As the configuration writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ports => "ports",
            Self::Rules => "rules",
            Self::Outputs => "outputs",
        }
    }
}

/// `socket = "auto" | "off" | PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlSocket {
    /// `NAME.sock` in the first directory that this process can have.
    Auto,
    /// None.
    Off,
    /// Here; an absolute path.
    At(PathBuf),
}

/// `clock = "tsc" | "capture"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockSource {
    /// The processor's time stamp counter.
    Tsc,
    /// The greatest capture timestamp seen: runs repeat exactly.
    Capture,
}

/// `idle = "auto" | "spin" | "adaptive"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// Adaptive where lcores share a CPU, else spin.
    Auto,
    /// Poll without pause.
    Spin,
    /// Sleep where little comes.
    Adaptive,
}

/// `[eal]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Eal {
    /// `memory = "hugepages" | "in-memory" | "no-huge"`.
    pub memory: EalMemory,
    /// `lcores = "auto"` (`None`) or `{ management = 0, workers = [1] }`.
    pub lcores: Option<Lcores>,
    /// `extra`: arguments passed to EAL as they are.
    pub extra: Vec<String>,
}

/// Where EAL takes memory from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EalMemory {
    /// Hugepages, shared with secondary processes.
    Hugepages,
    /// Hugepages of this process alone; nothing is left behind.
    InMemory,
    /// Ordinary pages: no root, no hugepages.
    NoHuge,
}

/// CPUs of the lcores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lcores {
    /// CPU of the management lcore (EAL main).
    pub management: u32,
    /// CPU of each worker, 1 to 32; some may share one.
    pub workers: Vec<u32>,
}

/// `[memory]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// `packets`: buffers in the payload pool.
    pub packets: u32,
    /// `headers`: buffers in the header pool; default as `packets`.
    pub headers: u32,
}

/// The classes, highest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Class {
    /// 1 ms, weight 16 by default.
    High,
    /// 10 ms, weight 4 by default.
    Medium,
    /// 100 ms, weight 1 by default.
    Low,
}

impl Class {
    /// How many classes there are.
    pub const COUNT: usize = 3;
    /// All of them, highest first.
    pub const ALL: [Self; Self::COUNT] = [Self::High, Self::Medium, Self::Low];

    /// The name in configuration and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
        }
    }
}

/// `[class.NAME]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassConfig {
    /// `budget`: from arrival to deadline, where the rule has none; 1 us to 10 s.
    pub budget: Duration,
    /// `weight`: share against the other classes, 1 to 256.
    pub weight: u32,
}

/// `[[receiver]]`: who gets it. Its output settings are already merged into the outputs.
#[derive(Clone, Debug, PartialEq)]
pub struct Receiver {
    /// `name`, unique.
    pub name: String,
    /// `port`: slot of its port.
    pub port: usize,
}

/// Most outputs of one rule.
pub const OUTPUTS_MAX: usize = 1_024;

/// `[[rule]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// `name`, unique.
    pub name: String,
    /// `input`.
    pub input: Input,
    /// `class`, default medium.
    pub class: Class,
    /// `budget`, default the class's. At most three times the class's budget (the EDF horizon).
    pub budget: Duration,
    /// `weight` of each of its flows within the class, 1 to 256, default 1.
    pub weight: u32,
    /// `late`, default send.
    pub late: Late,
    /// `flow`, default rule.
    pub flow: FlowKind,
    /// `police`, per flow.
    pub police: Option<RateLimit>,
    /// `queue`, per flow.
    pub queue: QueueBound,
    /// `expect`: the least it gets.
    pub expect: Option<Expect>,
    /// `output` and behind them `balance.to`, in file order; 1 to 1,024, and at most `edf.window`.
    pub outputs: Vec<Output>,
    /// `balance`: the last of the outputs of which each packet goes to one.
    pub balance: Option<Balance>,
}

impl Rule {
    /// The outputs of which each packet goes to one.
    pub fn members(&self) -> &[Output] {
        let members = self.balance.map_or(0, |balance| balance.members);
        &self.outputs[self.outputs.len().saturating_sub(members)..]
    }

    /// The part of the rule's packets that the output at `place` gets, sampling aside, where
    /// senders are many.
    pub fn share_of(&self, place: usize) -> f64 {
        let members = self.members();
        if place < self.outputs.len() - members.len() {
            return 1.0;
        }
        let all = members.iter().map(|member| member.weight).sum::<u32>();
        f64::from(self.outputs[place].weight) / f64::from(all.max(1))
    }
}

/// Most members of one `balance`.
pub const MEMBERS_MAX: usize = 16;

/// `balance = { by, to }`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Balance {
    /// `by`, default source.
    pub by: BalanceBy,
    /// How many of the rule's last outputs share its packets, 1 to 16.
    pub members: usize,
}

/// What stays with one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BalanceBy {
    /// The source address.
    Source,
    /// Source and destination, with their UDP ports.
    Flow,
}

impl BalanceBy {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Source, Self::Flow];

    /// As the configuration writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Flow => "flow",
        }
    }
}

/// `input`: what a rule matches.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// `port`: slots of the ports, ascending; default all ports.
    pub ports: Vec<usize>,
    /// `destination`: prefixes, 1 to 1,024, all of one IP version; none holds another.
    pub destination: Vec<IpNet>,
    /// `udp_port`: a number, `"a-b"` or `"any"` (`None`).
    pub udp_port: Option<PortRange>,
    /// `vlan`: absent is untagged, a number, or `"any"`.
    pub vlan: VlanMatch,
    /// `source`: prefixes; empty is any.
    pub source: Vec<IpNet>,
    /// `join`, default true: whether its groups are joined on those of its ports that join.
    pub join: bool,
    /// `fragments = "drop" | "forward"`: forwarded where no `udp_port` is asked for.
    pub fragments: Fragments,
}

/// What becomes of fragments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fragments {
    /// They end as `fragment`.
    #[default]
    Drop,
    /// Each is relayed by its addresses alone.
    Forward,
}

/// UDP ports, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// The first.
    pub first: u16,
    /// The last, not below the first.
    pub last: u16,
}

/// Which tags an input matches; the outermost tag counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VlanMatch {
    /// Untagged or priority-tagged.
    Untagged,
    /// This VLAN id, 1 to 4094.
    Id(u16),
    /// Any or none.
    Any,
}

/// What happens to packets behind their deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    /// Sent and counted.
    Send,
    /// Dropped as soon as it is known.
    Drop,
}

/// What fairness and policing count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowKind {
    /// The whole rule.
    Rule,
    /// Each matched destination and UDP port.
    Row,
    /// Each source address.
    Source,
}

/// `rate` and `burst` of a policer or a port's shaper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Bits a second, frame overhead included; 1 kbit/s to 1 Tbit/s.
    pub rate: u64,
    /// Bytes; at least one largest frame, at most 1,000 s of the rate.
    pub burst: u64,
}

/// `expect = { min, within }`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expect {
    /// Packets a minute, at least one.
    pub min: u64,
    /// Over any such time; 100 ms to 1 h, and at least two packets of `min`.
    pub within: Duration,
}

/// `queue = { packets, bytes }`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueBound {
    /// Default 1024; 1 to 1,048,576.
    pub packets: u32,
    /// Default 2 MiB; at least one largest frame.
    pub bytes: u64,
}

/// One entry of `output`, its receiver's and the default's settings merged in.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// Name in reports: `RECEIVER/DESTINATION` or `PORT/DESTINATION`, where the destination is an
    /// address or a prefix, or `keep`; `@VLAN` and `:UDP_PORT` are added where the name would not
    /// be unique in its rule, and `#N`, its place among the outputs, where that is not enough.
    pub name: String,
    /// Slot of the receiver, where it has one.
    pub receiver: Option<usize>,
    /// Slot of the port.
    pub port: usize,
    /// `destination`: `None` keeps it. A prefix of the input's length keeps the host bits; a
    /// single address takes all.
    pub destination: Option<IpNet>,
    /// `udp_port`.
    pub udp_port: UdpPortRewrite,
    /// `source`, `port` resolved to the port's address of the right IP version.
    pub source: Option<IpAddr>,
    /// `source_port`.
    pub source_port: SourcePortRewrite,
    /// `vlan`, default keep.
    pub vlan: VlanRewrite,
    /// `ttl`: default 16 where `destination` is given, else decrement.
    pub ttl: TtlRewrite,
    /// `dscp`: 0 to 63; `None` keeps it.
    pub dscp: Option<u8>,
    /// `mac`: the destination MAC; `None` derives it from the group, or is the next hop's.
    pub mac: Option<MacAddr>,
    /// Who takes the copies on the link, where they are unicast and `mac` is absent.
    pub next_hop: Option<NextHop>,
    /// `sample = N`: one packet in N, from 1.
    pub sample: u32,
    /// `weight`: share of the port within the class, 1 to 256, default 1.
    pub weight: u32,
    /// `queue`: bound of its egress queue.
    pub queue: QueueBound,
}

/// `udp_port` of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UdpPortRewrite {
    /// Absent: as received.
    Keep,
    /// A number.
    Fixed(u16),
    /// `"+N"` or `"-N"`; checked to stay within 1 to 65535 for the whole input range.
    Shift(i32),
}

/// `source_port` of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourcePortRewrite {
    /// `"keep"`, the default.
    Keep,
    /// `"destination"`: the copy's destination port.
    Destination,
    /// A number.
    Fixed(u16),
}

/// `vlan` of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VlanRewrite {
    /// `"keep"`: all tags as received.
    Keep,
    /// `"none"`: untagged.
    None,
    /// One 802.1Q tag with this id, 1 to 4094; the priority bits of the received outer tag stay.
    Id(u16),
}

/// `ttl` of an output; for IPv6 the hop limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TtlRewrite {
    /// `"decrement"`: one less; TTL 1 is dropped.
    Decrement,
    /// A number, 1 to 255.
    Set(u8),
}

/// `[limits]`: restart-only sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Ports, default 32, which is the most.
    pub ports: u32,
    /// Rules, default 4,096.
    pub rules: u32,
    /// Outputs of all rules, default 16,384.
    pub outputs: u32,
    /// Rows that prefixes and ranges expand into, default 1,048,576.
    pub rows: u32,
    /// Flows that `flow = "source"` rules share, default 65,536.
    pub sources: u32,
    /// Groups joined on all ports, default 4,096.
    pub groups: u32,
    /// Neighbours that are asked for their MAC, on all ports, default 1,024.
    pub neighbours: u32,
    /// Copies of an output that wait for a neighbour's answer, default 16.
    pub unresolved: u32,
}
