//! What a rule's input matches: the keys of its rows and their candidates, those for loops among them.

use std::collections::BTreeSet;
use std::net::IpAddr;

use foldhash::HashSet;
use ipnet::IpNet;

use crate::config::{Config, Input, PortRange};
use crate::plan::Candidate;

/// The addresses of ports that outputs write as source: who sends from them here has it from us.
pub(super) fn own_sources(config: &Config) -> BTreeSet<IpAddr> {
    let owned: HashSet<IpAddr> =
        config.ports.iter().flat_map(|port| &port.address).map(IpNet::addr).collect();
    let written = config.rules.iter().flat_map(|rule| &rule.outputs).filter_map(|o| o.source);
    written.filter(|source| owned.contains(source)).collect()
}

/// UDP ports of a range; `None` for any.
fn width(range: Option<PortRange>) -> Option<u32> {
    range.map(|range| u32::from(range.last - range.first) + 1)
}

/// The candidates that a rule gives each row of one of its destination prefixes; those of `ours`
/// are for loops.
pub(super) fn candidates(
    rule: u32,
    input: &Input,
    destination: IpNet,
    ours: &BTreeSet<IpAddr>,
) -> Vec<Candidate> {
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
    let is_v4 = destination.addr().is_ipv4();
    let ours = ours.iter().filter(|ip| ip.is_ipv4() == is_v4);
    let ours = ours.map(|&ip| Candidate::ours(ports, mapped_prefix(ip.into()).0));
    let any = input.source.is_empty().then(|| candidate((0, 0)));
    let named = input.source.iter().map(|&source| candidate(mapped_prefix(source)));
    ours.chain(any).chain(named).collect()
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
pub(super) fn addresses(prefix: IpNet) -> impl Iterator<Item = u128> {
    let (first, mask) = mapped_prefix(prefix);
    first..=first | !mask
}

/// Every UDP port of a range, or `None` once for any.
pub(super) fn udp_ports(range: Option<PortRange>) -> impl Iterator<Item = Option<u16>> {
    let any = range.is_none().then_some(None);
    let each = range.into_iter().flat_map(|range| (range.first..=range.last).map(Some));
    any.into_iter().chain(each)
}
