//! ICMP (RFC 792, RFC 4443): answers to echo requests for our own addresses, and messages that copies
//! do not arrive.

use std::time::Duration;

use etherparse::checksum::Sum16BitWords;
use etherparse::icmpv4::DestUnreachableHeader;
use etherparse::{
    EtherType, Icmpv4Slice, Icmpv4Type, Icmpv6Slice, Icmpv6Type, Ipv4Slice, Ipv6Slice,
    PacketBuilder,
};

use super::{Host, Outbox, Outcome, Punted, nd};
use crate::manage::neighbours::{Neighbours, Quoted};

/// The TTL of what we send (RFC 1122, section 3.2.1.7).
const TTL: u8 = 64;

/// Reads an ICMP packet that came to `host`.
pub fn received_v4(
    host: &Host,
    packet: &Punted<'_>,
    ip: &Ipv4Slice<'_>,
    neighbours: &mut Neighbours,
    out: &mut Outbox,
) -> Outcome {
    let header = ip.header();
    // To a group or to all there is no answer (RFC 1122, section 3.2.2).
    if packet.link.destination != host.mac || !host.owns(header.destination_addr()) {
        return Outcome::Ignored;
    }
    if ip.is_payload_fragmented() {
        return Outcome::Ignored;
    }
    let Ok(icmp) = Icmpv4Slice::from_slice(ip.payload().payload) else {
        return Outcome::Malformed;
    };
    if Sum16BitWords::new().add_slice(icmp.slice()).ones_complement() != 0 {
        return Outcome::Malformed;
    }
    let echo = match icmp.icmp_type() {
        Icmpv4Type::EchoRequest(echo) => echo,
        // What is too long was told by its MTU, and is another matter.
        Icmpv4Type::DestinationUnreachable(DestUnreachableHeader::FragmentationNeeded {
            ..
        }) => return Outcome::Ignored,
        Icmpv4Type::DestinationUnreachable(_) => {
            return unreachable(packet.port, icmp.payload(), neighbours);
        }
        _ => return Outcome::Ignored,
    };
    if host.is_broadcast(header.source_addr()) {
        return Outcome::Ignored;
    }
    let reply = PacketBuilder::ipv4(header.destination(), header.source(), TTL)
        .icmpv4(Icmpv4Type::EchoReply(echo));
    let mut bytes = Vec::with_capacity(reply.size(icmp.payload().len()));
    if reply.write(&mut bytes, icmp.payload()).is_err() {
        return Outcome::Malformed;
    }
    out.send(packet.port, packet.link.reply(host.mac).frame(EtherType::IPV4, &bytes));
    Outcome::Done
}

/// Reads an ICMPv6 packet that came to `host` (RFC 4443); neighbour solicitations among them.
pub fn received_v6(
    host: &Host,
    packet: &Punted<'_>,
    ip: &Ipv6Slice<'_>,
    (neighbours, now): (&mut Neighbours, Duration),
    out: &mut Outbox,
) -> Outcome {
    let header = ip.header();
    if ip.is_payload_fragmented() {
        return Outcome::Ignored;
    }
    let Ok(icmp) = Icmpv6Slice::from_slice(ip.payload().payload) else {
        return Outcome::Malformed;
    };
    if !icmp.is_checksum_valid(header.source(), header.destination()) {
        return Outcome::Malformed;
    }
    match icmp.icmp_type() {
        Icmpv6Type::NeighborSolicitation => {
            nd::received(host, packet, ip, &icmp, (neighbours, now), out)
        }
        Icmpv6Type::NeighborAdvertisement(says) => {
            nd::answered(host, packet, ip, &icmp, (says, neighbours, now))
        }
        Icmpv6Type::DestinationUnreachable(_)
            if packet.link.destination == host.mac && host.owns(header.destination_addr()) =>
        {
            unreachable(packet.port, icmp.payload(), neighbours)
        }
        Icmpv6Type::EchoRequest(echo) => {
            // To a group there is no answer here: who asks all would hear all at once.
            let for_us =
                packet.link.destination == host.mac && host.owns(header.destination_addr());
            if !for_us || header.source_addr().is_unspecified() {
                return Outcome::Ignored;
            }
            let reply = PacketBuilder::ipv6(header.destination(), header.source(), TTL)
                .icmpv6(Icmpv6Type::EchoReply(echo));
            let mut bytes = Vec::with_capacity(reply.size(icmp.payload().len()));
            if reply.write(&mut bytes, icmp.payload()).is_err() {
                return Outcome::Malformed;
            }
            out.send(packet.port, packet.link.reply(host.mac).frame(EtherType::IPV6, &bytes));
            Outcome::Done
        }
        _ => Outcome::Ignored,
    }
}

/// Hears at a port that the datagram which a message quotes did not arrive.
fn unreachable(port: usize, quoted: &[u8], neighbours: &mut Neighbours) -> Outcome {
    match Quoted::read(quoted) {
        Some(quoted) => neighbours.unreachable.hears(port, &quoted),
        None => Outcome::Malformed,
    }
}
