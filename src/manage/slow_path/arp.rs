//! ARP (RFC 826): answers to those who ask for an address of ours, requests for neighbours, and what
//! either says of them.

use etherparse::{ArpEthIpv4Packet, ArpOperation, ArpPacketSlice, EtherType};

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::{Host, Link, Outbox, Outcome, Punted};
use crate::config::Neighbour;
use crate::manage::neighbours::{Heard, Neighbours};
use crate::wire::MacAddr;

/// Reads an ARP packet that came to `host`.
pub fn received(
    host: &Host,
    packet: &Punted<'_>,
    arp: &ArpPacketSlice<'_>,
    (neighbours, now): (&mut Neighbours, Duration),
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
    let is_for_us = host.owns(arp.target_ipv4_addr());
    let heard = match arp.operation == ArpOperation::REPLY && is_for_us {
        true => Heard::Answer,
        false => Heard::Told,
    };
    let learned = packet.link.vlan().map(|vlan| {
        let address = IpAddr::V4(arp.sender_ipv4_addr());
        let who = Neighbour { port: packet.port, vlan, address };
        neighbours.learn(who, sender, host.mac, heard, now)
    });
    if arp.operation != ArpOperation::REQUEST || !is_for_us {
        return learned.unwrap_or(Outcome::Ignored);
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

/// Asks for the MAC of `target`: the one at `to`, or everyone. None where we have no address.
pub fn request(host: &Host, vlan: u16, target: Ipv4Addr, to: Option<MacAddr>) -> Option<Vec<u8>> {
    let IpAddr::V4(own) = host.near(target.into())? else {
        return None;
    };
    let request = ArpEthIpv4Packet {
        operation: ArpOperation::REQUEST,
        sender_mac: host.mac.0,
        sender_ipv4: own.octets(),
        target_mac: [0; 6],
        target_ipv4: target.octets(),
    };
    let link = Link::in_vlan(host.mac, to.unwrap_or(MacAddr([0xff; 6])), vlan);
    Some(link.frame(EtherType::ARP, &request.to_bytes()))
}
