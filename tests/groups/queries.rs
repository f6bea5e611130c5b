//! Queries as frames, made by `etherparse` and by hand.

use std::net::{Ipv4Addr, Ipv6Addr};

use etherparse::{
    IpHeaders, IpNumber, Ipv4Header, Ipv6Extensions, Ipv6Header, Ipv6RawExtHeader, PacketBuilder,
};

const QUERIER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x99];

/// An IGMP message from 10.0.0.99 to a group.
pub fn igmp(mut message: Vec<u8>, to: Ipv4Addr, ttl: u8) -> Vec<u8> {
    let sum = checksum(&message);
    message[2..4].copy_from_slice(&sum);
    let length = message.len() as u16;
    let from = [10, 0, 0, 99];
    let mut header = Ipv4Header::new(length, ttl, IpNumber::IGMP, from, to.octets()).unwrap();
    header.options = [0x94, 4, 0, 0].into();
    let [_, b, c, d] = to.octets();
    let ethernet = PacketBuilder::ethernet2(QUERIER_MAC, [1, 0, 0x5e, b & 0x7f, c, d]);
    let mut frame = Vec::new();
    let packet = ethernet.ip(IpHeaders::Ipv4(header, Default::default()));
    packet.write(&mut frame, IpNumber::IGMP, &message).unwrap();
    frame
}

/// A general query of IGMPv3: at most so many tenths of a second to answer.
pub fn igmp3(tenths: u8) -> Vec<u8> {
    igmp(vec![0x11, tenths, 0, 0, 0, 0, 0, 0, 2, 125, 0, 0], Ipv4Addr::new(224, 0, 0, 1), 1)
}

/// A general query of IGMPv2.
pub fn igmp2(tenths: u8) -> Vec<u8> {
    igmp(vec![0x11, tenths, 0, 0, 0, 0, 0, 0], Ipv4Addr::new(224, 0, 0, 1), 1)
}

/// A general query of MLDv2 from fe80::99: at most so many milliseconds to answer.
pub fn mld2(milliseconds: u16) -> Vec<u8> {
    let (from, to) = (
        Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x99).octets(),
        Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1).octets(),
    );
    let [high, low] = milliseconds.to_be_bytes();
    let mut message = vec![130, 0, 0, 0, high, low, 0, 0];
    message.extend([0; 16]);
    message.extend([2, 125, 0, 0]);
    let length = (message.len() as u32).to_be_bytes();
    let sum = checksum(&[&from[..], &to, &length, &[0, 0, 0, 58], &message].concat());
    message[2..4].copy_from_slice(&sum);
    let header =
        Ipv6Header { hop_limit: 1, source: from, destination: to, ..Ipv6Header::default() };
    let alert = Ipv6RawExtHeader::new_raw(IpNumber::IPV6_ICMP, &[5, 2, 0, 0, 1, 0]).unwrap();
    let extensions =
        Ipv6Extensions { hop_by_hop_options: Some(alert), ..Ipv6Extensions::default() };
    let ethernet = PacketBuilder::ethernet2(QUERIER_MAC, [0x33, 0x33, 0, 0, 0, 1]);
    let mut frame = Vec::new();
    let packet = ethernet.ip(IpHeaders::Ipv6(header, extensions));
    packet.write(&mut frame, IpNumber::IPV6_ICMP, &message).unwrap();
    frame
}

/// RFC 1071, word by word.
fn checksum(bytes: &[u8]) -> [u8; 2] {
    let words = bytes.chunks(2).map(|w| u32::from(w[0]) << 8 | u32::from(*w.get(1).unwrap_or(&0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}
