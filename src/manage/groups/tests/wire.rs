//! The tests' own bytes of queries, and their own eyes for reports: nothing here is the code that is
//! tested. Checksums and headers are judged by `etherparse`.

use std::net::{Ipv4Addr, Ipv6Addr};

use etherparse::{
    Icmpv6Header, IgmpSlice, IpNumber, LinkSlice, NetSlice, PacketBuilder, SlicedPacket, ip_number,
};

use super::*;

/// A query of the tests.
#[derive(Clone, Debug)]
pub struct Asks {
    pub version: Version,
    pub group: Option<IpAddr>,
    pub sources: Vec<IpAddr>,
    /// The code as it stands in the field.
    pub code: u16,
    pub robustness: u8,
    pub interval: u8,
}

impl Asks {
    pub fn general(version: Version, code: u16) -> Self {
        Self { version, group: None, sources: vec![], code, robustness: 2, interval: 125 }
    }

    pub fn of(self, group: &str) -> Self {
        Self { group: Some(ip(group)), ..self }
    }

    pub fn from(self, sources: &[&str]) -> Self {
        Self { sources: sources.iter().map(|s| ip(s)).collect(), ..self }
    }

    /// IGMP or MLD, with its checksum where it is IGMP's.
    pub fn message(&self) -> Vec<u8> {
        let v6 = matches!(self.version, Version::Mld1 | Version::Mld2);
        let nobody = if v6 { ip("::") } else { ip("0.0.0.0") };
        let mut bytes = if v6 {
            let [high, low] = self.code.to_be_bytes();
            vec![130, 0, 0, 0, high, low, 0, 0]
        } else {
            vec![0x11, self.code as u8, 0, 0]
        };
        push(&mut bytes, self.group.unwrap_or(nobody));
        if self.version.has_sources() {
            let [high, low] = (self.sources.len() as u16).to_be_bytes();
            bytes.extend([self.robustness, self.interval, high, low]);
            self.sources.iter().for_each(|&source| push(&mut bytes, source));
        }
        if !v6 {
            let sum = internet_checksum(&bytes);
            bytes[2..4].copy_from_slice(&sum);
        }
        bytes
    }

    /// The frame, from a switch without an IPv4 address.
    pub fn frame(&self) -> Vec<u8> {
        let to = match (self.group, self.version) {
            (Some(group), _) => group,
            (None, Version::Mld1 | Version::Mld2) => ip("ff02::1"),
            (None, _) => ip("224.0.0.1"),
        };
        let from = if to.is_ipv4() { ip("0.0.0.0") } else { ip("fe80::99") };
        in_ip(self.message(), from, to, 1, true)
    }
}

fn push(bytes: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => bytes.extend(address.octets()),
        IpAddr::V6(address) => bytes.extend(address.octets()),
    }
}

/// RFC 1071, word by word.
pub fn internet_checksum(bytes: &[u8]) -> [u8; 2] {
    let words = bytes.chunks(2).map(|w| u32::from(w[0]) << 8 | u32::from(*w.get(1).unwrap_or(&0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

/// A message in a frame; MLD gets its checksum here.
pub fn in_ip(mut message: Vec<u8>, from: IpAddr, to: IpAddr, ttl: u8, alert: bool) -> Vec<u8> {
    use etherparse::{IpHeaders, Ipv4Header, Ipv6Extensions, Ipv6Header, Ipv6RawExtHeader};
    let (ip, protocol) = match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let len = message.len() as u16;
            let mut header =
                Ipv4Header::new(len, ttl, IpNumber::IGMP, from.octets(), to.octets()).unwrap();
            if alert {
                header.options = [0x94, 4, 0, 0].into();
            }
            (IpHeaders::Ipv4(header, Default::default()), ip_number::IGMP)
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let (from, to) = (from.octets(), to.octets());
            let length = (message.len() as u32).to_be_bytes();
            let pseudo = [&from[..], &to[..], &length, &[0, 0, 0, 58], &message].concat();
            let sum = internet_checksum(&pseudo);
            message[2..4].copy_from_slice(&sum);
            let header = Ipv6Header {
                hop_limit: ttl,
                source: from,
                destination: to,
                ..Ipv6Header::default()
            };
            let options =
                Ipv6RawExtHeader::new_raw(IpNumber::IPV6_ICMP, &[5, 2, 0, 0, 1, 0]).unwrap();
            let extensions = Ipv6Extensions {
                hop_by_hop_options: alert.then_some(options),
                ..Ipv6Extensions::default()
            };
            (IpHeaders::Ipv6(header, extensions), ip_number::IPV6_ICMP)
        }
        mixed => panic!("{mixed:?}"),
    };
    let mut frame = Vec::new();
    let builder = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 9], [1, 0, 0x5e, 0, 0, 1]).ip(ip);
    builder.write(&mut frame, protocol, &message).unwrap();
    frame
}

/// What a frame of ours says, as a querier reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// Kind, group, sources.
    Record(u8, IpAddr, Vec<IpAddr>),
    /// The message's type, and the group.
    Report(u8, IpAddr),
    Leave(IpAddr),
}

/// Reads a frame of ours, and judges all of it that a switch may look at.
pub fn read(frame: &[u8]) -> Vec<Said> {
    let packet = SlicedPacket::from_ethernet(frame).unwrap();
    let Some(LinkSlice::Ethernet2(ethernet)) = &packet.link else { panic!("no Ethernet") };
    match packet.net.as_ref().unwrap() {
        NetSlice::Ipv4(ip) => {
            let header = ip.header().to_header();
            assert_eq!(header.header_checksum, header.calc_header_checksum());
            assert_eq!((header.time_to_live, header.dscp.value()), (1, 48));
            assert_eq!(&header.options[..], [0x94, 4, 0, 0], "router alert");
            let to = Ipv4Addr::from(header.destination);
            let [_, b, c, d] = to.octets();
            assert_eq!(ethernet.destination(), [1, 0, 0x5e, b & 0x7f, c, d]);
            let bytes = ip.payload().payload;
            assert!(IgmpSlice::from_slice(bytes).unwrap().is_checksum_valid());
            read_message(bytes, to.into(), 4)
        }
        NetSlice::Ipv6(ip) => {
            let header = ip.header();
            assert_eq!(header.hop_limit(), 1);
            assert!(header.source_addr().is_unicast_link_local());
            let options = &ip.extensions().slice()[2..];
            assert_eq!(options, [5, 2, 0, 0, 1, 0], "router alert");
            let to = header.destination_addr();
            assert_eq!(ethernet.destination()[..2], [0x33, 0x33]);
            assert_eq!(ethernet.destination()[2..], to.octets()[12..]);
            let bytes = ip.payload().payload;
            let (icmp, rest) = Icmpv6Header::from_slice(bytes).unwrap();
            let (from, to_octets) = (header.source(), header.destination());
            let sum = icmp.icmp_type.calc_checksum(from, to_octets, rest).unwrap();
            assert_eq!(icmp.checksum, sum);
            read_message(bytes, to.into(), 16)
        }
        other => panic!("{other:?}"),
    }
}

fn read_message(bytes: &[u8], to: IpAddr, width: usize) -> Vec<Said> {
    let address = |at: usize| match width {
        4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(&bytes[at..at + 4]).unwrap())),
        _ => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(&bytes[at..at + 16]).unwrap())),
    };
    match bytes[0] {
        kind @ (0x12 | 0x16 | 131) => {
            let group = address(bytes.len() - width);
            assert_eq!(to, group, "a report goes to its group");
            vec![Said::Report(kind, group)]
        }
        0x17 | 132 => {
            assert_eq!(to, ip(if width == 4 { "224.0.0.2" } else { "ff02::2" }));
            vec![Said::Leave(address(bytes.len() - width))]
        }
        0x22 | 143 => {
            assert_eq!(to, ip(if width == 4 { "224.0.0.22" } else { "ff02::16" }));
            let mut at = 8;
            let mut records = Vec::new();
            for _ in 0..u16::from_be_bytes([bytes[6], bytes[7]]) {
                assert_eq!(bytes[at + 1], 0, "no auxiliary data");
                let count = usize::from(u16::from_be_bytes([bytes[at + 2], bytes[at + 3]]));
                let sources = (1..=count).map(|i| address(at + 4 + i * width)).collect();
                records.push(Said::Record(bytes[at], address(at + 4), sources));
                at += 4 + (1 + count) * width;
            }
            assert_eq!(at, bytes.len(), "nothing behind the last record");
            records
        }
        other => panic!("type {other}"),
    }
}
