//! The protocols without a worker: bytes in, frames out.

use std::net::{Ipv4Addr, Ipv6Addr};

use etherparse::{
    ArpEthIpv4Packet, ArpOperation, EtherType, Icmpv4Type, Icmpv6Type, PacketBuilder, SlicedPacket,
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
    let addresses = ["10.0.0.1/24", "fd00::1/64"].map(|text| text.parse().unwrap());
    let host = Host { mac: OWN, addresses: addresses.to_vec() };
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
        assert_eq!((all.counts.malformed.of(0).total(), all.counts.ignored), counts);
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
    assert_eq!(all.counts.malformed.of(0).total(), 1);
}

const HERE6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
const THERE6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x77);
const NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 1);

/// A solicitation from `source`, with this hop limit and MAC in its option.
fn solicitation(
    source: Ipv6Addr,
    target: Ipv6Addr,
    hop_limit: u8,
    mac: Option<MacAddr>,
) -> Vec<u8> {
    let mut payload = target.octets().to_vec();
    if let Some(mac) = mac {
        payload.extend_from_slice(&[1, 1]);
        payload.extend_from_slice(&mac.0);
    }
    let mut bytes = vec![];
    PacketBuilder::ipv6(source.octets(), NODES.octets(), hop_limit)
        .icmpv6(Icmpv6Type::NeighborSolicitation)
        .write(&mut bytes, &payload)
        .unwrap();
    from_peer(MacAddr::from_group_v6(NODES), &[]).frame(EtherType::IPV6, &bytes)
}

/// What an advertisement says: to whom, of which target, at which MAC, whether asked for.
fn advertised(frame: &[u8]) -> (Ipv6Addr, Ipv6Addr, [u8; 6], bool) {
    let headers = SlicedPacket::from_ethernet(frame).unwrap();
    let Some(NetSlice::Ipv6(ip)) = &headers.net else {
        panic!("{headers:?}");
    };
    let (source, to) = (ip.header().source(), ip.header().destination_addr());
    assert_eq!(ip.header().hop_limit(), 255);
    let Some(TransportSlice::Icmpv6(icmp)) = &headers.transport else {
        panic!("{headers:?}");
    };
    assert!(icmp.is_checksum_valid(source, to.octets()));
    let Icmpv6Type::NeighborAdvertisement(says) = icmp.icmp_type() else {
        panic!("{icmp:?}");
    };
    let payload = icmp.payload();
    let target: [u8; 16] = payload[..16].try_into().unwrap();
    assert_eq!(payload[16..18], [2, 1]);
    (to, target.into(), payload[18..24].try_into().unwrap(), says.solicited)
}

#[test]
fn who_solicits_our_address_is_told_our_mac_and_nobody_else_is_spoken_for() {
    let none = Ipv6Addr::UNSPECIFIED;
    let mut all = protocols();
    let frames = answers(&mut all, &solicitation(THERE6, HERE6, 255, Some(PEER)));
    assert_eq!(advertised(&frames[0]), (THERE6, HERE6, OWN.0, true));
    // Who looks whether an address is taken has none yet: all are told.
    let frames = answers(&mut all, &solicitation(none, HERE6, 255, None));
    assert_eq!(advertised(&frames[0]), ("ff02::1".parse().unwrap(), HERE6, OWN.0, false));
    assert_eq!(frames[0][..6], [0x33, 0x33, 0, 0, 0, 1]);
    assert_eq!((all.counts.malformed.of(0).total(), all.counts.ignored), (0, 0));
    for (frame, malformed) in [
        (solicitation(THERE6, THERE6, 255, Some(PEER)), 0),
        (solicitation(THERE6, HERE6, 64, Some(PEER)), 1),
        (solicitation(THERE6, HERE6, 255, Some(OWN)), 1),
        (solicitation(none, HERE6, 255, Some(PEER)), 1),
    ] {
        let mut all = protocols();
        assert!(answers(&mut all, &frame).is_empty());
        assert_eq!(all.counts.malformed.of(0).total(), malformed);
    }
}

#[test]
fn a_ping_by_ipv6_is_answered_and_one_to_a_group_is_not() {
    let ping = |to: Ipv6Addr, mac| {
        let mut bytes = vec![];
        PacketBuilder::ipv6(THERE6.octets(), to.octets(), 5)
            .icmpv6_echo_request(7, 9)
            .write(&mut bytes, &[3; 1_000])
            .unwrap();
        from_peer(mac, &[]).frame(EtherType::IPV6, &bytes)
    };
    let frames = answers(&mut protocols(), &ping(HERE6, OWN));
    let headers = SlicedPacket::from_ethernet(&frames[0]).unwrap();
    let Some(TransportSlice::Icmpv6(icmp)) = &headers.transport else {
        panic!("{headers:?}");
    };
    assert!(icmp.is_checksum_valid(HERE6.octets(), THERE6.octets()));
    assert!(
        matches!(icmp.icmp_type(), Icmpv6Type::EchoReply(echo) if (echo.id, echo.seq) == (7, 9))
    );
    assert_eq!(icmp.payload(), [3; 1_000]);
    let group = "ff02::1".parse().unwrap();
    let frame = ping(group, MacAddr::from_group_v6(group));
    assert!(answers(&mut protocols(), &frame).is_empty());
}

#[test]
fn addresses_are_announced_twice_at_the_start_and_when_a_reload_adds_one() {
    let host = protocols().hosts.remove(0);
    let (_punted, source) = crate::packet::frame_ring(1, 64);
    let (own, mut said) = crate::packet::frame_ring(64, 1_500);
    let mut path = SlowPath::new(vec![Ends { punted: source, own }], vec![0], vec![host]);
    let mut tick = |path: &mut SlowPath, seconds: u64| {
        path.tick(&[], Duration::from_secs(seconds));
        let frames = std::iter::from_fn(|| said.take(|_, bytes| bytes.to_vec()));
        frames.collect::<Vec<_>>()
    };
    for seconds in [0, 2] {
        let frames = tick(&mut path, seconds);
        assert_eq!(frames.len(), 2, "after {seconds} s");
        let mut v4 = frames.iter().filter(|frame| frame[12..14] == [0x08, 0x06]);
        let packet = Punted::read(0, v4.next().unwrap()).unwrap();
        let arp = packet.headers.net.unwrap().arp_ref().unwrap().to_packet();
        let arp = arp.try_eth_ipv4().unwrap();
        assert_eq!((arp.sender_ipv4_addr(), arp.target_ipv4_addr()), (HERE, HERE));
        assert_eq!((packet.link.destination, arp.sender_mac), (BROADCAST, OWN.0));
        let v6 = frames.iter().find(|frame| frame[12..14] == [0x86, 0xdd]).unwrap();
        assert_eq!(advertised(v6), ("ff02::1".parse().unwrap(), HERE6, OWN.0, false));
        assert!(tick(&mut path, seconds + 1).is_empty());
    }
    assert!(tick(&mut path, 10).is_empty());
    let new = ["10.0.0.1/24", "10.0.0.5/24"].map(|text| text.parse().unwrap()).to_vec();
    path.set_addresses([&new].into_iter(), Duration::from_secs(10));
    assert_eq!(tick(&mut path, 10).len(), 1, "the new one alone");
    assert_eq!(tick(&mut path, 12).len(), 1);
    assert!(tick(&mut path, 60).is_empty());
}

#[test]
fn what_is_for_a_new_port_waits_until_the_workers_know_it() {
    let host = protocols().hosts.remove(0);
    let (_punted, source) = crate::packet::frame_ring(1, 64);
    let (own, mut said) = crate::packet::frame_ring(64, 1_500);
    let mut path = SlowPath::new(vec![Ends { punted: source, own }], vec![], vec![]);
    path.add_port(0, host.clone(), Duration::from_secs(5));
    let mut tick = |path: &mut SlowPath, seconds: u64| {
        path.tick(&[], Duration::from_secs(seconds));
        std::iter::from_fn(|| said.take(|port, _| port)).collect::<Vec<_>>()
    };
    assert!(tick(&mut path, 4).is_empty() && tick(&mut path, 5).is_empty());
    path.known = 1;
    assert_eq!(tick(&mut path, 6), [0, 0], "both addresses");
    path.add_port(0, host, Duration::from_secs(6));
    assert!(tick(&mut path, 7).is_empty(), "the first port's second time is behind it");
    path.known = 2;
    assert_eq!(tick(&mut path, 7), [1, 1, 0, 0]);
}

proptest! {
    #[test]
    fn any_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200), kind in 0..4) {
        let mut protocols = protocols();
        let link = from_peer(OWN, &[]);
        let frame = match kind {
            0 => bytes,
            1 => link.frame(EtherType::ARP, &bytes),
            2 => link.frame(EtherType::IPV4, &bytes),
            _ => link.frame(EtherType::IPV6, &bytes),
        };
        answers(&mut protocols, &frame);
        let counts = protocols.counts;
        let malformed = counts.malformed.of(0).total();
        prop_assert!(counts.taken == 1 && malformed + counts.ignored <= 1);
    }

    #[test]
    fn a_changed_byte_does_no_harm(at in 0_usize..100, value in any::<u8>(), kind in 0..3) {
        let link = from_peer(OWN, &[]);
        let mut frame = match kind {
            0 => arp(&link, &request(HERE)),
            1 => solicitation(THERE6, HERE6, 255, Some(PEER)),
            _ => link.frame(EtherType::IPV4, &ping(HERE, &[1; 80])),
        };
        let at = at.min(frame.len() - 1);
        frame[at] = value;
        for answer in answers(&mut protocols(), &frame) {
            prop_assert!(Punted::read(0, &answer).is_some());
        }
    }
}

/// Whatever comes, no panic; it counts once; and an answer at most is said to it.
#[test]
fn campaign_against_the_slow_path() {
    let to_us = from_peer(OWN, &[]);
    let quoted = ping(THERE, &[1; 30]);
    let unreachable = [&[3, 3, 0, 0, 0, 0, 0, 0][..], &quoted].concat();
    let mut packet = Vec::new();
    PacketBuilder::ipv4(THERE.octets(), HERE.octets(), 64)
        .icmpv4_raw(3, 3, [0; 4])
        .write(&mut packet, &unreachable[8..])
        .unwrap();
    let igmp = [&[0x46, 0, 0, 36, 0, 0, 0, 0, 1, 2, 0, 0][..], &THERE.octets(), &[224, 0, 0, 1]];
    let igmp = [&igmp.concat()[..], &[0x94, 4, 0, 0, 0x11, 100, 0, 0, 0, 0, 0, 0, 2, 125, 0, 0]];
    let good = [
        arp(&from_peer(BROADCAST, &[]), &request(HERE)),
        arp(&from_peer(BROADCAST, &[0x81, 0, 0, 7]), &request(HERE)),
        solicitation(THERE6, HERE6, 255, Some(PEER)),
        nd::advertisement(&to_us, THERE6, HERE6, true),
        to_us.frame(EtherType::IPV4, &ping(HERE, &[1; 80])),
        to_us.frame(EtherType::IPV4, &packet),
        to_us.frame(EtherType::IPV4, &igmp.concat()),
    ];
    let mut done = 0;
    crate::testkit::campaign::of_frames(&good, |bytes| {
        let mut protocols = protocols();
        let said = answers(&mut protocols, bytes);
        let Counts { taken, malformed, ignored } = &protocols.counts;
        let malformed = malformed.of(0).total();
        assert!(*taken == 1 && malformed + ignored <= 1 && said.len() <= 1);
        done += said.len();
    });
    assert!(done > 0 || std::env::var_os("PUNCTUAL_FUZZ_CASE").is_some(), "none was good");
}
