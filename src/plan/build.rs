//! Configuration and port facts -> plan.

use std::collections::HashMap;

use ipnet::IpNet;

use super::{Candidate, ClassPlan, FlowSlots, OutputPlan, Plan, PortPlan, RowTable, RulePlan};
use crate::config::{
    self, Class, Config, FlowKind, Input, Output, PortRange, QueueBound, RateLimit, Rule,
};
use crate::packet::{FRAME_OVERHEAD, Ticks};
use crate::sched::{BucketRate, MemberSettings};
use crate::wire::{IpVersion, Key, MacAddr, OwnMacs, Rewrite, Template};

/// Ethernet header and two VLAN tags: what a frame has besides its IP packet.
pub(crate) const LINK_HEADERS: u32 = 14 + 2 * 4;

/// What an open port says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortFacts {
    /// Its own MAC address.
    pub mac: MacAddr,
    /// The longest IP packet that it takes, in bytes; the configuration may ask for less.
    pub mtu: u32,
    /// Whether it sends chains of segments.
    pub sends_chains: bool,
}

/// Why a validated configuration cannot become a plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// More rows than `limits.rows`.
    #[error(
        "the rules match {found} rows, but limits.rows allows {allowed}: raise it, or match less"
    )]
    TooManyRows {
        /// Rows that the rules expand into.
        found: u64,
        /// `limits.rows`.
        allowed: u32,
    },
}

impl Plan {
    /// Builds the plan of `config` on ports with these `facts`, in port slot order, for a clock
    /// of `ticks_per_second`.
    pub fn build(
        config: &Config,
        facts: &[PortFacts],
        ticks_per_second: u64,
        generation: u64,
    ) -> Result<Self, PlanError> {
        let ticks = |duration: std::time::Duration| {
            (duration.as_nanos() * u128::from(ticks_per_second) / 1_000_000_000) as Ticks
        };
        let largest_frame = largest_frame(config);
        let rows = rows(config)?;
        let row_flows = config.rules.iter().any(|rule| rule.flow == FlowKind::Row);
        let source_flows = config.rules.iter().any(|rule| rule.flow == FlowKind::Source);
        let mut plan = Self {
            generation,
            classes: config.classes.map(|class| ClassPlan {
                budget: ticks(class.budget),
                quantum: class.weight * largest_frame,
            }),
            ports: ports(config, facts, ticks_per_second),
            receivers: config.receivers.len() as u32,
            rules: Box::default(),
            outputs: Box::default(),
            own_macs: OwnMacs::new(facts.iter().map(|port| port.mac)),
            edf_window: u64::from(config.edf_window),
            copy_below: config.copy_below,
            polices: config.rules.iter().any(|rule| rule.police.is_some()),
            flows: FlowSlots {
                rules: config.rules.len() as u32,
                rows: if row_flows { rows.len() as u32 } else { 0 },
                sources: if source_flows { config.limits.sources } else { 0 },
            },
            rows,
            largest_frame,
            ticks_per_second,
        };
        let mut rules = Vec::with_capacity(config.rules.len());
        let mut outputs: Vec<OutputPlan> = Vec::new();
        for (slot, rule) in config.rules.iter().enumerate() {
            let first = outputs.len() as u32;
            for output in &rule.outputs {
                let lane = plan.ports[output.port].lanes;
                plan.ports[output.port].lanes += 1;
                outputs.push(output_plan(slot, rule, output, facts, lane, largest_frame));
            }
            rules.push(RulePlan {
                budget: ticks(rule.budget),
                late: rule.late,
                flow: rule.flow,
                police: rule.police.map(|limit| bucket_rate(limit, ticks_per_second)),
                ingress: settings(rule.class, rule.weight, rule.queue, largest_frame),
                outputs: first..outputs.len() as u32,
                name: rule.name.clone(),
            });
        }
        plan.rules = rules.into();
        plan.outputs = outputs.into();
        Ok(plan)
    }
}

/// The largest frame that any port carries, overhead included: the base of every quantum.
fn largest_frame(config: &Config) -> u32 {
    let mtu = config.ports.iter().map(|port| port.mtu).max().unwrap_or_default();
    mtu + LINK_HEADERS + FRAME_OVERHEAD
}

fn bucket_rate(limit: RateLimit, ticks_per_second: u64) -> BucketRate {
    BucketRate::new(limit.rate, limit.burst, ticks_per_second)
}

fn ports(config: &Config, facts: &[PortFacts], ticks_per_second: u64) -> Box<[PortPlan]> {
    let ports = config.ports.iter().zip(facts).map(|(port, facts)| PortPlan {
        name: port.name.clone(),
        mtu: port.mtu,
        sends_chains: facts.sends_chains,
        rx: port.rx,
        rx_checksum: port.rx_checksum,
        shaper: port.shaper.map(|limit| bucket_rate(limit, ticks_per_second)),
        lanes: 0,
    });
    ports.collect()
}

fn settings(class: Class, weight: u32, bound: QueueBound, largest_frame: u32) -> MemberSettings {
    MemberSettings { class, quantum: weight * largest_frame, bound }
}

fn output_plan(
    slot: usize,
    rule: &Rule,
    output: &Output,
    facts: &[PortFacts],
    lane: u32,
    largest_frame: u32,
) -> OutputPlan {
    let rewrite = Rewrite {
        version: match rule.input.destination.first() {
            Some(IpNet::V6(_)) => IpVersion::V6,
            _ => IpVersion::V4,
        },
        source_mac: facts[output.port].mac,
        mac: output.mac,
        destination: output.destination,
        udp_port: output.udp_port,
        source: output.source,
        source_port: output.source_port,
        vlan: output.vlan,
        ttl: output.ttl,
        dscp: output.dscp,
    };
    OutputPlan {
        rule: slot as u32,
        port: output.port as u32,
        receiver: output.receiver.map(|slot| slot as u32),
        lane,
        sample: output.sample,
        late: rule.late,
        egress: settings(rule.class, output.weight, output.queue, largest_frame),
        template: Template::new(&rewrite),
        name: output.name.clone(),
    }
}

/// Expands the inputs of all rules into exact rows.
fn rows(config: &Config) -> Result<RowTable, PlanError> {
    let found = config.rules.iter().map(config::rows).fold(0, u64::saturating_add);
    let allowed = config.limits.rows;
    if found > u64::from(allowed) {
        return Err(PlanError::TooManyRows { found, allowed });
    }
    let mut rows: HashMap<Key, Vec<Candidate>> = HashMap::with_capacity(found as usize);
    for (slot, rule) in config.rules.iter().enumerate() {
        let input = &rule.input;
        for &prefix in &input.destination {
            let candidates = candidates(slot as u32, input, prefix);
            for destination in addresses(prefix) {
                for udp_port in udp_ports(input.udp_port) {
                    let key = RowTable::row_key(destination, udp_port, input.vlan);
                    rows.entry(key).or_default().extend_from_slice(&candidates);
                }
            }
        }
    }
    Ok(RowTable::new(rows))
}

/// UDP ports of a range; `None` for any.
fn width(range: Option<PortRange>) -> Option<u32> {
    range.map(|range| u32::from(range.last - range.first) + 1)
}

/// The candidates that a rule gives each row of one of its destination prefixes.
fn candidates(rule: u32, input: &Input, destination: IpNet) -> Vec<Candidate> {
    let ports = input.ports.iter().fold(0, |bits, &port| bits | 1 << port);
    let width = width(input.udp_port).unwrap_or(65_536);
    let candidate = |(source, source_mask): (u128, u128)| Candidate {
        rule,
        ports,
        source,
        source_mask,
        rank: Candidate::rank(
            prefix_bits(destination),
            width,
            source_mask.count_ones() as u8,
            input.vlan,
        ),
    };
    if input.source.is_empty() {
        return vec![candidate((0, 0))];
    }
    input.source.iter().map(|&source| candidate(mapped_prefix(source))).collect()
}

/// Bits of a prefix, counted in IPv6 form.
fn prefix_bits(prefix: IpNet) -> u8 {
    match prefix {
        IpNet::V4(net) => 96 + net.prefix_len(),
        IpNet::V6(net) => net.prefix_len(),
    }
}

/// A prefix as address and mask in IPv6 form; IPv4 is mapped (RFC 4291, section 2.5.5.2).
fn mapped_prefix(prefix: IpNet) -> (u128, u128) {
    let bits = prefix_bits(prefix);
    let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
    let address = match prefix {
        IpNet::V4(net) => net.network().to_ipv6_mapped(),
        IpNet::V6(net) => net.network(),
    };
    (address.to_bits() & mask, mask)
}

/// Every address of a prefix, in IPv6 form.
fn addresses(prefix: IpNet) -> impl Iterator<Item = u128> {
    let (first, mask) = mapped_prefix(prefix);
    first..=first | !mask
}

/// Every UDP port of a range, or `None` once for any.
fn udp_ports(range: Option<PortRange>) -> impl Iterator<Item = Option<u16>> {
    let any = range.is_none().then_some(None);
    let each = range.into_iter().flat_map(|range| (range.first..=range.last).map(Some));
    any.into_iter().chain(each)
}
