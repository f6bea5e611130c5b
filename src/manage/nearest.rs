//! Which rule a packet just misses, and by what: the rules as they are written, not the table.
//!
//! Whether a packet matches is for [`RowTable`](crate::plan::RowTable) alone to say. Here each
//! rule's input is held against the packet field by field. The rule that differs in the least is
//! the nearest. Another destination counts for more than all else together, for it is most likely
//! another stream; but of other destinations those are nearer that agree in more bits.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::config::{Config, Input, PortRange, VlanMatch};

/// What any other field counts.
const OTHER_FIELD: u32 = 4;
/// What another destination counts, besides a point for each bit that does not agree.
const OTHER_DESTINATION: u32 = 4 * OTHER_FIELD + 1;
/// What another IP version counts: more than all bits of an address.
const OTHER_VERSION: u32 = 200;

/// What of a packet rules look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fields {
    /// Slot of the port that received it.
    pub port: usize,
    /// VLAN id of the outermost tag; 0 for none.
    pub vlan: u16,
    /// Where it comes from.
    pub source: IpAddr,
    /// Where it goes to.
    pub destination: IpAddr,
    /// Its UDP port.
    pub udp_port: u16,
}

/// A field of a packet, and what a rule takes there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// `port`, `vlan`, `destination`, `udp_port` or `source`.
    pub field: String,
    /// The packet's.
    pub found: String,
    /// The rule's.
    pub allowed: String,
    /// Whether the one is within the other.
    pub matches: bool,
}

/// The rule that a packet just misses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nearest {
    /// Its name.
    pub rule: String,
    /// The fields that differ; none where it takes the packet.
    pub differs: Vec<Field>,
}

impl Field {
    /// The field as people say it.
    pub fn label(&self) -> &str {
        match self.field.as_str() {
            "vlan" => "VLAN",
            "udp_port" => "UDP port",
            other => other,
        }
    }

    /// As in `VLAN is 200, not untagged`.
    pub fn difference(&self) -> String {
        format!("{} is {}, not {}", self.label(), self.found, self.allowed)
    }
}

impl Nearest {
    /// What differs, in words.
    pub fn why(&self) -> String {
        match self.differs.is_empty() {
            true => "it takes such packets now".into(),
            false => self.differs.iter().map(Field::difference).collect::<Vec<_>>().join("; "),
        }
    }
}

/// The rule of `config` that differs in the least; none where there is no rule. Of several the
/// one whose prefixes agree in more bits, then the first.
pub fn nearest(config: &Config, packet: &Fields) -> Option<Nearest> {
    let distances = config.rules.iter().map(|rule| distance(&rule.input, packet));
    let (slot, _) = distances.enumerate().min_by_key(|(_, distance)| *distance)?;
    let rule = &config.rules[slot];
    let mut differs = fields(config, &rule.input, packet);
    differs.retain(|field| !field.matches);
    Some(Nearest { rule: rule.name.clone(), differs })
}

/// Whether a rule's input takes the packet.
pub fn takes(input: &Input, packet: &Fields) -> bool {
    distance(input, packet).0 == 0
}

/// Each field that rules match, in the order of their weight, held against the packet's.
pub fn fields(config: &Config, input: &Input, packet: &Fields) -> Vec<Field> {
    let matches = matches(input, packet);
    let field = |field: &str, found: String, allowed: String, matches: bool| Field {
        field: field.into(),
        found,
        allowed,
        matches,
    };
    let ports: Vec<_> = input.ports.iter().map(|&slot| config.ports[slot].name.as_str()).collect();
    let received = config.ports.get(packet.port).map_or("?", |port| port.name.as_str());
    vec![
        field(
            "destination",
            packet.destination.to_string(),
            prefixes(&input.destination, packet.destination),
            matches.destination,
        ),
        field("udp_port", packet.udp_port.to_string(), range(input.udp_port), matches.udp_port),
        field("vlan", vlan(packet.vlan), show_vlan(input.vlan), matches.vlan),
        field(
            "source",
            packet.source.to_string(),
            prefixes(&input.source, packet.source),
            matches.source,
        ),
        field("port", received.into(), ports.join(" or "), matches.port),
    ]
}

struct Matches {
    port: bool,
    vlan: bool,
    destination: bool,
    udp_port: bool,
    source: bool,
}

fn matches(input: &Input, packet: &Fields) -> Matches {
    let within = |prefixes: &[IpNet], ip| prefixes.iter().any(|prefix| prefix.contains(&ip));
    Matches {
        port: input.ports.contains(&packet.port),
        vlan: match input.vlan {
            VlanMatch::Any => true,
            VlanMatch::Untagged => packet.vlan == 0,
            VlanMatch::Id(id) => packet.vlan == id,
        },
        destination: within(&input.destination, packet.destination),
        udp_port: input
            .udp_port
            .is_none_or(|range| (range.first..=range.last).contains(&packet.udp_port)),
        source: input.source.is_empty() || within(&input.source, packet.source),
    }
}

/// How far a packet is from an input: what differs, then the bits of the source.
fn distance(input: &Input, packet: &Fields) -> (u32, u32) {
    let Matches { port, vlan, destination, udp_port, source } = matches(input, packet);
    let others = [port, vlan, udp_port, source].iter().filter(|same| !**same).count() as u32;
    let bits = |prefixes: &[IpNet], ip| {
        prefixes.iter().map(|prefix| apart(prefix, ip)).min().unwrap_or(OTHER_VERSION)
    };
    let far = match destination {
        true => 0,
        false => OTHER_DESTINATION + bits(&input.destination, packet.destination),
    };
    let source = if source { 0 } else { bits(&input.source, packet.source) };
    (others * OTHER_FIELD + far, source)
}

/// Bits of the prefix from the first on in which the address differs.
fn apart(prefix: &IpNet, ip: IpAddr) -> u32 {
    let agree = match (prefix.network(), ip) {
        (IpAddr::V4(net), IpAddr::V4(ip)) => (u32::from(net) ^ u32::from(ip)).leading_zeros(),
        (IpAddr::V6(net), IpAddr::V6(ip)) => (u128::from(net) ^ u128::from(ip)).leading_zeros(),
        _ => return OTHER_VERSION,
    };
    u32::from(prefix.prefix_len()).saturating_sub(agree)
}

/// The prefix next to `ip`, and how many others there are; `any` where there is none.
fn prefixes(prefixes: &[IpNet], ip: IpAddr) -> String {
    let Some(first) = prefixes.iter().min_by_key(|prefix| apart(prefix, ip)) else {
        return "any".into();
    };
    let shown = match first.prefix_len() == first.max_prefix_len() {
        true => first.addr().to_string(),
        false => first.to_string(),
    };
    match prefixes.len() - 1 {
        0 => shown,
        others => format!("{shown} or {others} more"),
    }
}

fn range(range: Option<PortRange>) -> String {
    match range {
        None => "any".into(),
        Some(range) if range.first == range.last => range.first.to_string(),
        Some(range) => format!("{}-{}", range.first, range.last),
    }
}

/// A VLAN id, or `untagged` for 0.
pub fn vlan(id: u16) -> String {
    if id == 0 { "untagged".into() } else { id.to_string() }
}

fn show_vlan(allowed: VlanMatch) -> String {
    match allowed {
        VlanMatch::Any => "any".into(),
        VlanMatch::Untagged => vlan(0),
        VlanMatch::Id(id) => vlan(id),
    }
}
