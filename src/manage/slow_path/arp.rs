//! ARP (RFC 826): answers to those who ask for an address of ours.

use etherparse::{ArpEthIpv4Packet, ArpOperation, ArpPacketSlice, EtherType};

use super::{Host, Outbox, Outcome, Punted};

/// Reads an ARP packet that came to `host`.
pub fn received(
    host: &Host,
    packet: &Punted<'_>,
    arp: &ArpPacketSlice<'_>,
    out: &mut Outbox,
) -> Outcome {
    // Hardware, protocol and lengths are Ethernet's and IPv4's, or it is not for us.
    let Ok(arp) = arp.to_packet().try_eth_ipv4() else {
        return Outcome::Malformed;
    };
    let sender = crate::wire::MacAddr(arp.sender_mac);
    // Who speaks for another's MAC, or a group's, is not answered.
    if sender != packet.link.source || sender.is_group() {
        return Outcome::Malformed;
    }
    if arp.operation != ArpOperation::REQUEST || !host.owns(arp.target_ipv4_addr()) {
        return Outcome::Ignored;
    }
    let reply = ArpEthIpv4Packet {
        operation: ArpOperation::REPLY,
        sender_mac: host.mac.0,
        sender_ipv4: arp.target_ipv4,
        target_mac: arp.sender_mac,
        target_ipv4: arp.sender_ipv4,
    };
    let link = packet.link.reply(host.mac);
    out.send(packet.port, link.frame(EtherType::ARP, &reply.to_bytes()));
    Outcome::Done
}
