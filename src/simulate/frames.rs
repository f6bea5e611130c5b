//! Frames that a rule takes: built for its prefixes, ports, tag and senders, and judged by the
//! plan that the worker goes by.

use std::net::IpAddr;
use std::rc::Rc;

use etherparse::PacketBuilder;
use fastrand::Rng;
use ipnet::IpNet;

use crate::config::{Config, FlowKind, Rule, VlanMatch};
use crate::packet::Headers;
use crate::plan::{OURS, Plan};
use crate::testkit::traffic::Frame;
use crate::testkit::wire_bits;
use crate::wire::{self, Key, MacAddr, Verdict};

/// The sender's Ethernet address.
const SENDER: [u8; 6] = [0x02, 0, 0, 0, 0x99, 0x01];
/// Draws for a flow before it is given up: a more specific rule may take most of a prefix.
const DRAWS: usize = 64;
/// Flows of a rule that is one flow to the scheduler.
const PLAIN_FLOWS: usize = 4;

/// The Ethernet address of a port.
pub fn mac_of(port: usize) -> MacAddr {
    MacAddr([0x02, b'P', b'u', b'n', b'c', port as u8])
}

/// The slot of the rule that takes a frame received at the port with slot `port`.
pub fn rule_of(plan: &Plan, bytes: &[u8], port: usize) -> Option<u32> {
    let Verdict::Udp { headers, .. } = wire::parse(bytes, bytes.len(), &plan.own_macs) else {
        return None;
    };
    let headers = Headers { port: port as u8, ..headers };
    let (key, source) = (Key::read(bytes, &headers), wire::source(bytes, &headers));
    plan.rows
        .find(&key, source, headers.port)
        .ok()
        .map(|found| found.rule)
        .filter(|rule| *rule != OURS)
}

/// The port that a rule's traffic is offered at: the first of its inputs that no copy leaves by,
/// else the first.
pub fn input_of(config: &Config, rule: &Rule) -> usize {
    let sends = |port: usize| {
        let mut outputs = config.rules.iter().flat_map(|rule| &rule.outputs);
        outputs.any(|output| output.port == port)
    };
    let inputs = &rule.input.ports;
    let quiet = inputs.iter().copied().find(|&port| !sends(port));
    quiet.or(inputs.first().copied()).unwrap_or(0)
}

/// The length of an IP packet of the rule that every port concerned can carry, `wanted` at most.
pub fn fitting(config: &Config, rule: &Rule, wanted: usize) -> usize {
    let ports = rule.outputs.iter().map(|output| output.port).chain([input_of(config, rule)]);
    let mtu = ports.map(|port| config.ports[port].mtu).min().unwrap_or(u32::MAX);
    wanted.min(mtu as usize).max(LEAST)
}

/// Bits on the wire of the rule's frames in a mix of sizes, on average.
pub fn mean_bits(config: &Config, rule: &Rule, sizes: &[(usize, u32)]) -> f64 {
    let ethernet = if matches!(rule.input.vlan, VlanMatch::Id(_)) { 18 } else { 14 };
    let weights: f64 = sizes.iter().map(|(_, weight)| f64::from(*weight)).sum();
    let bits = |&(size, weight): &(usize, u32)| {
        wire_bits(fitting(config, rule, size) + ethernet) as f64 * f64::from(weight)
    };
    sizes.iter().map(bits).sum::<f64>() / weights.max(1.0)
}

/// The shortest IP packet that is built: IPv6, UDP and 8 bytes.
const LEAST: usize = 40 + 8 + 8;

/// Frames that the plan gives to the rule with slot `slot`, each with its weight: up to `flows`
/// flows of every size. Empty where other rules take all that it could match.
pub fn of_rule(
    config: &Config,
    plan: &Plan,
    slot: usize,
    flows: usize,
    sizes: &[(usize, u32)],
    rng: &mut Rng,
) -> Vec<(Frame, u32)> {
    let rule = &config.rules[slot];
    let port = input_of(config, rule);
    let flows = if rule.flow == FlowKind::Rule { flows.min(PLAIN_FLOWS) } else { flows };
    let mut found: Vec<Flow> = Vec::new();
    for _ in 0..flows.max(1) {
        let fits =
            |flow: &Flow| rule_of(plan, &flow.frame(rule, port, LEAST), port) == Some(slot as u32);
        let drawn = (0..DRAWS).map(|_| Flow::draw(rule, rng)).find(fits);
        match drawn {
            Some(flow) if !found.contains(&flow) => found.push(flow),
            Some(_) => {}
            None => break,
        }
    }
    let frame = |flow: &Flow, (size, weight)| {
        let bytes = flow.frame(rule, port, fitting(config, rule, size));
        (Frame { bytes: Rc::from(bytes), rule: Some(slot as u32) }, weight)
    };
    found.iter().flat_map(|flow| sizes.iter().map(|&size| frame(flow, size))).collect()
}

/// Who sends where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Flow {
    source: IpAddr,
    destination: IpAddr,
    udp_port: u16,
}

impl Flow {
    fn draw(rule: &Rule, rng: &mut Rng) -> Self {
        let input = &rule.input;
        let destination = rng
            .choice(&input.destination)
            .map_or(IpAddr::from([239, 0, 0, 1]), |p| address(p, rng));
        let anywhere = match destination {
            IpAddr::V4(_) => IpNet::from(IpAddr::from([10, 9, 0, 0])),
            IpAddr::V6(_) => IpNet::from(IpAddr::from([0xfd00, 9, 0, 0, 0, 0, 0, 0])),
        };
        let anywhere = IpNet::new(anywhere.addr(), 16).unwrap_or(anywhere);
        let source = address(rng.choice(&input.source).unwrap_or(&anywhere), rng);
        let udp_port = match input.udp_port {
            Some(range) => rng.u16(range.first..=range.last),
            None => rng.u16(1_024..),
        };
        Self { source, destination, udp_port }
    }

    /// The frame with an IP packet of `len` bytes, received at `port`.
    fn frame(&self, rule: &Rule, port: usize, len: usize) -> Vec<u8> {
        let mac = match self.destination {
            IpAddr::V4(ip) if ip.is_multicast() => MacAddr::from_group_v4(ip),
            IpAddr::V6(ip) if ip.is_multicast() => MacAddr::from_group_v6(ip),
            _ => mac_of(port),
        };
        let id = match rule.input.vlan {
            VlanMatch::Id(id) => etherparse::VlanId::try_new(id).ok(),
            VlanMatch::Untagged | VlanMatch::Any => None,
        };
        let ethernet = PacketBuilder::ethernet2(SENDER, mac.0);
        let (ip, headers) = match (self.source, self.destination) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let (from, to) = (from.octets(), to.octets());
                (
                    match id {
                        Some(id) => ethernet.single_vlan(id).ipv4(from, to, 64),
                        None => ethernet.ipv4(from, to, 64),
                    },
                    28,
                )
            }
            (from, to) => {
                let octets = |ip: IpAddr| match ip {
                    IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
                    IpAddr::V6(ip) => ip.octets(),
                };
                let (from, to) = (octets(from), octets(to));
                (
                    match id {
                        Some(id) => ethernet.single_vlan(id).ipv6(from, to, 64),
                        None => ethernet.ipv6(from, to, 64),
                    },
                    48,
                )
            }
        };
        let payload = vec![0x50; len - headers];
        let builder = ip.udp(4_000, self.udp_port);
        let mut bytes = Vec::with_capacity(builder.size(payload.len()));
        builder
            .write(&mut bytes, &payload)
            .unwrap_or_else(|error| unreachable!("a datagram of {len} bytes: {error}"));
        bytes
    }
}

/// An address of a prefix; of an IPv4 prefix with room neither its first nor its last.
fn address(prefix: &IpNet, rng: &mut Rng) -> IpAddr {
    let host = rng.u128(..);
    match prefix {
        IpNet::V4(net) => {
            let hosts = u32::from(net.hostmask());
            let host = if hosts > 1 { 1 + host as u32 % (hosts - 1) } else { host as u32 & hosts };
            IpAddr::V4((u32::from(net.network()) | host).into())
        }
        IpNet::V6(net) => {
            let hosts = u128::from(net.hostmask());
            IpAddr::V6((u128::from(net.network()) | host & hosts).into())
        }
    }
}
