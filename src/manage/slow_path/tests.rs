//! The protocols without a worker: bytes in, frames out.

use std::net::Ipv4Addr;

use etherparse::{
    ArpEthIpv4Packet, ArpOperation, EtherType, Icmpv4Type, PacketBuilder, SlicedPacket,
    TransportSlice,
};
use proptest::prelude::*;

use super::*;
use crate::wire::MacAddr;

const OWN: MacAddr = MacAddr([2, 0, 0, 0, 1, 0]);
const PEER: MacAddr = MacAddr([2, 0, 0, 0, 9, 9]);
const BROADCAST: MacAddr = MacAddr([0xff; 6]);
const HERE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const THERE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 77);

fn protocols() -> Protocols {
    let host = Host { mac: OWN, addresses: vec!["10.0.0.1/24".parse().unwrap()] };
    Protocols { hosts: vec![host], ..Protocols::default() }
}

/// What is said to `bytes`.
fn answers(protocols: &mut Protocols, bytes: &[u8]) -> Vec<Vec<u8>> {
    protocols.received(0, bytes, Duration::ZERO);
    let mut frames = vec![];
    protocols.outbox.drain(|port, frame| {
        assert_eq!(port, 0);
        frames.push(frame.to_vec());
        true
    });
    frames
}

fn from_peer(destination: MacAddr, tags: &[u8]) -> Link {
    Link { source: PEER, destination, tags: tags.to_vec() }
}

fn request(target: Ipv4Addr) -> ArpEthIpv4Packet {
    ArpEthIpv4Packet {
        operation: ArpOperation::REQUEST,
        sender_mac: PEER.0,
        sender_ipv4: THERE.octets(),
        target_mac: [0; 6],
        target_ipv4: target.octets(),
    }
}

fn arp(link: &Link, packet: &ArpEthIpv4Packet) -> Vec<u8> {
    link.frame(EtherType::ARP, &packet.to_bytes())
}

fn ping(destination: Ipv4Addr, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![];
    PacketBuilder::ipv4(THERE.octets(), destination.octets(), 5)
        .icmpv4_echo_request(7, 9)
        .write(&mut bytes, payload)
        .unwrap();
    bytes
}

#[test]
fn who_asks_for_our_address_is_told_our_mac_in_his_vlan() {
    for tags in [&[][..], &[0x81, 0, 0, 7]] {
        let answers = answers(&mut protocols(), &arp(&from_peer(BROADCAST, tags), &request(HERE)));
        assert_eq!(answers.len(), 1);
        let packet = Punted::read(0, &answers[0]).unwrap();
        assert_eq!(packet.link, Link { source: OWN, destination: PEER, tags: tags.to_vec() });
        let arp = packet.headers.net.unwrap();
        let arp = arp.arp_ref().unwrap().to_packet().try_eth_ipv4().unwrap();
        assert_eq!(arp.operation, ArpOperation::REPLY);
        assert_eq!((arp.sender_mac, arp.sender_ipv4_addr()), (OWN.0, HERE));
        assert_eq!((arp.target_mac, arp.target_ipv4_addr()), (PEER.0, THERE));
        assert!(answers[0].len() >= 60);
    }
}

#[test]
fn nobody_else_is_spoken_for() {
    let broadcast = from_peer(BROADCAST, &[]);
    let mut forged = request(HERE);
    forged.sender_mac = [2, 9, 9, 9, 9, 9];
    let mut all = protocols();
    for (frame, counts) in [
        (arp(&broadcast, &request(THERE)), (0, 1)),
        (arp(&broadcast, &forged), (1, 1)),
        (broadcast.frame(EtherType::ARP, &[0; 8]), (2, 1)),
    ] {
        assert!(answers(&mut all, &frame).is_empty());
        assert_eq!((all.counts.malformed, all.counts.ignored), counts);
    }
}

#[test]
fn a_ping_is_answered_whole_and_only_where_it_is_for_us_alone() {
    let payload: Vec<u8> = (0..1_400_u32).map(|i| i as u8).collect();
    let to_us = from_peer(OWN, &[]);
    let frames = answers(&mut protocols(), &to_us.frame(EtherType::IPV4, &ping(HERE, &payload)));
    assert_eq!(frames.len(), 1);
    let headers = SlicedPacket::from_ethernet(&frames[0]).unwrap();
    let Some(TransportSlice::Icmpv4(icmp)) = &headers.transport else {
        panic!("{headers:?}");
    };
    assert!(
        matches!(icmp.icmp_type(), Icmpv4Type::EchoReply(echo) if (echo.id, echo.seq) == (7, 9))
    );
    assert_eq!(icmp.payload(), payload);
    assert_eq!(icmp.header().icmp_type.calc_checksum(&payload), icmp.checksum());

    let silent = [
        (BROADCAST, ping(HERE, &[])),
        (OWN, ping(THERE, &[])),
        (MacAddr::from_group_v4([224, 0, 0, 1].into()), ping([224, 0, 0, 1].into(), &[])),
    ];
    for (destination, packet) in silent {
        let link = from_peer(destination, &[]);
        let frame = link.frame(EtherType::IPV4, &packet);
        assert!(answers(&mut protocols(), &frame).is_empty(), "{destination} {packet:?}");
    }
    let mut wrong = to_us.frame(EtherType::IPV4, &ping(HERE, &payload));
    wrong[100] ^= 1;
    let mut all = protocols();
    assert!(answers(&mut all, &wrong).is_empty());
    assert_eq!(all.counts.malformed, 1);
}

proptest! {
    #[test]
    fn any_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200), kind in 0..3) {
        let mut protocols = protocols();
        let link = from_peer(OWN, &[]);
        let frame = match kind {
            0 => bytes,
            1 => link.frame(EtherType::ARP, &bytes),
            _ => link.frame(EtherType::IPV4, &bytes),
        };
        answers(&mut protocols, &frame);
        let counts = protocols.counts;
        prop_assert!(counts.taken == 1 && counts.malformed + counts.ignored <= 1);
    }

    #[test]
    fn a_changed_byte_does_no_harm(at in 0_usize..100, value in any::<u8>(), is_arp in any::<bool>()) {
        let link = from_peer(OWN, &[]);
        let mut frame = match is_arp {
            true => arp(&link, &request(HERE)),
            false => link.frame(EtherType::IPV4, &ping(HERE, &[1; 80])),
        };
        let at = at.min(frame.len() - 1);
        frame[at] = value;
        for answer in answers(&mut protocols(), &frame) {
            prop_assert!(Punted::read(0, &answer).is_some());
        }
    }
}
