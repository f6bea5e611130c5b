//! Neighbour discovery (RFC 4861): answers to those who solicit an address of ours, solicitations of
//! neighbours, and what either says of them.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use etherparse::icmpv6::{
    Icmpv6PayloadSlice, NdpOptionSlice, NeighborAdvertisementHeader,
    NeighborSolicitationPayloadSlice,
};
use etherparse::{EtherType, Icmpv6Slice, Icmpv6Type, Ipv6Slice, PacketBuilder};

use super::{Host, Link, Outbox, Outcome, Punted};
use crate::config::Neighbour;
use crate::manage::neighbours::{Heard, Neighbours};
use crate::wire::MacAddr;

/// What only a neighbour can have sent: no router has decremented it.
const HOP_LIMIT: u8 = 255;
/// All nodes of the link.
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// The option that carries the MAC of the target, in units of 8 bytes.
const TARGET_MAC: [u8; 2] = [2, 1];
/// The option that carries the MAC of the sender, in units of 8 bytes.
const SOURCE_MAC: [u8; 2] = [1, 1];

/// Reads a neighbour solicitation that came to `host`; its checksum is right.
pub fn received(
    host: &Host,
    packet: &Punted<'_>,
    ip: &Ipv6Slice<'_>,
    icmp: &Icmpv6Slice<'_>,
    (neighbours, now): (&mut Neighbours, Duration),
    out: &mut Outbox,
) -> Outcome {
    let header = ip.header();
    let (source, destination) = (header.source_addr(), header.destination_addr());
    let Ok(Icmpv6PayloadSlice::NeighborSolicitation(solicitation)) = icmp.payload_slice() else {
        return Outcome::Malformed;
    };
    let target = solicitation.target_address();
    if header.hop_limit() != HOP_LIMIT
        || target.is_multicast()
        || !options_fit(source, packet.link.source, &solicitation)
    {
        return Outcome::Malformed;
    }
    // Who has no address yet asks all of those whose address ends alike, and nobody else.
    if source.is_unspecified() && destination != solicited_node(target) {
        return Outcome::Malformed;
    }
    let learned = packet.link.vlan().filter(|_| !source.is_unspecified()).map(|vlan| {
        let who = Neighbour { port: packet.port, vlan, address: source.into() };
        neighbours.learn(who, packet.link.source, host.mac, Heard::Told, now)
    });
    if !host.owns(target) {
        return learned.unwrap_or(Outcome::Ignored);
    }
    let (to, link) = match source.is_unspecified() {
        true => (
            ALL_NODES,
            Link { destination: MacAddr::from_group_v6(ALL_NODES), ..packet.link.reply(host.mac) },
        ),
        false => (source, packet.link.reply(host.mac)),
    };
    out.send(packet.port, advertisement(&link, target, to, !source.is_unspecified()));
    Outcome::Done
}

/// Reads a neighbour advertisement that came to `host`; its checksum is right.
pub fn answered(
    host: &Host,
    packet: &Punted<'_>,
    ip: &Ipv6Slice<'_>,
    icmp: &Icmpv6Slice<'_>,
    (says, neighbours, now): (NeighborAdvertisementHeader, &mut Neighbours, Duration),
) -> Outcome {
    let header = ip.header();
    let Ok(Icmpv6PayloadSlice::NeighborAdvertisement(advertisement)) = icmp.payload_slice() else {
        return Outcome::Malformed;
    };
    let target = advertisement.target_address();
    if header.hop_limit() != HOP_LIMIT
        || target.is_multicast()
        || (header.destination_addr().is_multicast() && says.solicited)
    {
        return Outcome::Malformed;
    }
    // An answer to one may leave its MAC out (RFC 4861, section 4.4): it is the sender's.
    let mut mac = packet.link.source;
    for option in advertisement.options_iterator() {
        match option {
            Ok(NdpOptionSlice::TargetLinkLayerAddress(option)) => {
                let Some(found) = option.link_layer_address().first_chunk() else {
                    return Outcome::Malformed;
                };
                mac = MacAddr(*found);
            }
            Ok(_) => {}
            Err(_) => return Outcome::Malformed,
        }
    }
    let heard = match (says.solicited, says.r#override) {
        (true, _) if host.owns(header.destination_addr()) => Heard::Answer,
        (_, true) => Heard::Told,
        _ => Heard::Hinted,
    };
    let Some(vlan) = packet.link.vlan() else {
        return Outcome::Ignored;
    };
    let who = Neighbour { port: packet.port, vlan, address: target.into() };
    neighbours.learn(who, mac, host.mac, heard, now)
}

/// Asks for the MAC of `target`: the one at `to`, or all whose address ends alike. None where we
/// have no address.
pub fn solicitation(
    host: &Host,
    vlan: u16,
    target: Ipv6Addr,
    to: Option<MacAddr>,
) -> Option<Vec<u8>> {
    let IpAddr::V6(own) = host.near(target.into())? else {
        return None;
    };
    let group = solicited_node(target);
    let destination = if to.is_some() { target } else { group };
    let link = Link::in_vlan(host.mac, to.unwrap_or(MacAddr::from_group_v6(group)), vlan);
    let mut payload = target.octets().to_vec();
    payload.extend_from_slice(&SOURCE_MAC);
    payload.extend_from_slice(&host.mac.0);
    let message = PacketBuilder::ipv6(own.octets(), destination.octets(), HOP_LIMIT)
        .icmpv6(Icmpv6Type::NeighborSolicitation);
    let mut bytes = Vec::with_capacity(message.size(payload.len()));
    // It fits, and a vector takes all that is written.
    let _ = message.write(&mut bytes, &payload);
    Some(link.frame(EtherType::IPV6, &bytes))
}

/// Whether all options can be read, and none of them speaks for another's MAC.
fn options_fit(
    source: Ipv6Addr,
    mac: MacAddr,
    solicitation: &NeighborSolicitationPayloadSlice<'_>,
) -> bool {
    solicitation.options_iterator().all(|option| match option {
        Ok(NdpOptionSlice::SourceLinkLayerAddress(option)) => {
            !source.is_unspecified() && option.link_layer_address().starts_with(&mac.0)
        }
        other => other.is_ok(),
    })
}

/// The group of those whose address ends as this one (RFC 4291, section 2.7.1).
fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    let tail = [u16::from(a) | 0xff00, u16::from_be_bytes([b, c])];
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, tail[0], tail[1])
}

/// Tells `to` that `target` is at the MAC that `link` comes from.
pub fn advertisement(link: &Link, target: Ipv6Addr, to: Ipv6Addr, solicited: bool) -> Vec<u8> {
    let says = NeighborAdvertisementHeader { router: false, solicited, r#override: true };
    let mut payload = target.octets().to_vec();
    payload.extend_from_slice(&TARGET_MAC);
    payload.extend_from_slice(&link.source.0);
    let message = PacketBuilder::ipv6(target.octets(), to.octets(), HOP_LIMIT)
        .icmpv6(Icmpv6Type::NeighborAdvertisement(says));
    let mut bytes = Vec::with_capacity(message.size(payload.len()));
    // It fits, and a vector takes all that is written.
    let _ = message.write(&mut bytes, &payload);
    link.frame(EtherType::IPV6, &bytes)
}
