//! Frames to judge and rewrite, built field by field, with checksums summed the slow way: an
//! oracle that shares no code with what it tests.

#![allow(dead_code, reason = "each test crate uses a part of it")]

pub mod any;
pub mod copy;
pub mod vectors;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The MAC of the sender of every frame.
pub const PEER: [u8; 6] = [0x02, 0, 0, 0, 0, 0x99];
/// The MAC of our port.
pub const OURS: [u8; 6] = [0x02, 0, 0, 0, 0, 0x01];

/// The UDP checksum that a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// The right one.
    Right,
    /// None.
    Zero,
    /// One that is off by this much.
    Off(u16),
}

/// A UDP frame in parts; what is `None` follows from the rest.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Destination MAC; by default the group's, or our own.
    pub mac: Option<[u8; 6]>,
    /// Source MAC.
    pub source_mac: [u8; 6],
    /// VLAN tags as TPID and TCI, outermost first.
    pub tags: Vec<(u16, u16)>,
    /// Ethertype behind the tags.
    pub ethertype: Option<u16>,
    /// IP source.
    pub source: IpAddr,
    /// IP destination, of the same version.
    pub destination: IpAddr,
    /// TTL or hop limit.
    pub ttl: u8,
    /// Type of service or traffic class.
    pub tos: u8,
    /// IPv6 flow label.
    pub flow_label: u32,
    /// IPv4 identification.
    pub id: u16,
    /// IPv4 flags and fragment offset.
    pub fragment: u16,
    /// The IP protocol of the last header.
    pub protocol: u8,
    /// IPv4 options, a multiple of 4 bytes.
    pub options: Vec<u8>,
    /// IPv6 extension headers: number, and what follows the two first bytes.
    pub extensions: Vec<(u8, Vec<u8>)>,
    /// IPv4 total length or IPv6 payload length.
    pub ip_len: Option<u16>,
    /// UDP ports.
    pub source_port: u16,
    /// UDP ports.
    pub udp_port: u16,
    /// UDP length.
    pub udp_len: Option<u16>,
    /// UDP checksum.
    pub checksum: Checksum,
    /// UDP payload.
    pub payload: Vec<u8>,
    /// Bytes behind the datagram, inside the IP packet.
    pub behind_udp: Vec<u8>,
    /// Bytes behind the IP packet: Ethernet padding.
    pub padding: Vec<u8>,
}

/// An IPv4 datagram from 10.9.1.1:4000 to 239.1.1.1:5001 with four bytes.
pub fn v4() -> Frame {
    Frame {
        mac: None,
        source_mac: PEER,
        tags: vec![],
        ethertype: None,
        source: Ipv4Addr::new(10, 9, 1, 1).into(),
        destination: Ipv4Addr::new(239, 1, 1, 1).into(),
        ttl: 16,
        tos: 0,
        flow_label: 0,
        id: 0x1234,
        fragment: 0x4000,
        protocol: 17,
        options: vec![],
        extensions: vec![],
        ip_len: None,
        source_port: 4000,
        udp_port: 5001,
        udp_len: None,
        checksum: Checksum::Right,
        payload: vec![1, 2, 3, 4],
        behind_udp: vec![],
        padding: vec![],
    }
}

/// As [`v4`], from fd00::1 to ff05::1:1.
pub fn v6() -> Frame {
    Frame {
        source: Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1).into(),
        destination: Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 1, 1).into(),
        ..v4()
    }
}

/// An extension header without content, 8 bytes.
pub fn extension(number: u8) -> (u8, Vec<u8>) {
    (number, vec![0, 1, 4, 0, 0, 0, 0])
}

impl Frame {
    /// The frame with a change.
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// Offset of the IP header.
    pub fn ip_at(&self) -> usize {
        14 + 4 * self.tags.len()
    }

    /// Offset of the UDP header.
    pub fn udp_at(&self) -> usize {
        let extensions: usize = self.extensions.iter().map(|(_, e)| e.len() + 1).sum();
        match self.source {
            IpAddr::V4(_) => self.ip_at() + 20 + self.options.len(),
            IpAddr::V6(_) => self.ip_at() + 40 + extensions,
        }
    }

    /// The bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mac = self.mac.unwrap_or_else(|| group_mac(self.destination));
        let mut frame = [mac, self.source_mac].concat();
        for (tpid, tci) in &self.tags {
            frame.extend(tpid.to_be_bytes());
            frame.extend(tci.to_be_bytes());
        }
        let udp = self.udp();
        let rest = udp.len() + self.behind_udp.len();
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                frame.extend(self.ethertype.unwrap_or(0x0800).to_be_bytes());
                let len = 20 + self.options.len() + rest;
                frame.extend(self.ipv4(source, destination, len));
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                frame.extend(self.ethertype.unwrap_or(0x86dd).to_be_bytes());
                frame.extend(self.ipv6(source, destination, rest));
            }
            _ => panic!("addresses of two versions"),
        }
        frame.extend(udp);
        frame.extend(&self.behind_udp);
        frame.extend(&self.padding);
        frame
    }

    /// The frames that IP makes of the datagram where each takes `bytes` of its payload, a multiple
    /// of 8.
    pub fn fragments(&self, bytes: usize) -> Vec<Vec<u8>> {
        let payload = [&self.udp()[..], &self.behind_udp].concat();
        let count = payload.chunks(bytes).len();
        let fragment = |(i, part): (usize, &[u8])| {
            let (at, more) = ((i * bytes) as u16, i + 1 < count);
            let frame = self.clone().with(|f| {
                f.fragment = f.fragment & 0xc000 | u16::from(more) << 13 | (at / 8);
                if f.source.is_ipv6() {
                    let mut header = vec![0];
                    header.extend((at | u16::from(more)).to_be_bytes());
                    header.extend([0, 0]);
                    header.extend(f.id.to_be_bytes());
                    f.extensions.push((44, header));
                }
            });
            frame.around(part)
        };
        payload.chunks(bytes).enumerate().map(fragment).collect()
    }

    /// The frame with other bytes behind its IP headers.
    fn around(&self, part: &[u8]) -> Vec<u8> {
        let whole = self.clone().with(|f| f.padding.clear()).bytes();
        let ip = match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                self.ipv4(source, destination, 20 + self.options.len() + part.len())
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                self.ipv6(source, destination, part.len())
            }
            _ => panic!("addresses of two versions"),
        };
        [&whole[..self.ip_at()], &ip, part, &self.padding].concat()
    }

    fn ipv4(&self, source: Ipv4Addr, destination: Ipv4Addr, len: usize) -> Vec<u8> {
        let len = self.ip_len.unwrap_or(len as u16).to_be_bytes();
        let [id, fragment] = [self.id, self.fragment].map(u16::to_be_bytes);
        let ihl = 5 + self.options.len() as u8 / 4;
        let mut header = vec![0x40 | ihl, self.tos, len[0], len[1]];
        header.extend([id, fragment].concat());
        header.extend([self.ttl, self.protocol, 0, 0]);
        header.extend([source.octets(), destination.octets()].concat());
        header.extend(&self.options);
        resum(&mut header);
        header
    }

    fn ipv6(&self, source: Ipv6Addr, destination: Ipv6Addr, rest: usize) -> Vec<u8> {
        let mut extensions = vec![];
        let following = self.extensions.iter().map(|(number, _)| *number).skip(1);
        for ((_, body), next) in self.extensions.iter().zip(following.chain([self.protocol])) {
            extensions.push(next);
            extensions.extend(body);
        }
        let first = self.extensions.first().map_or(self.protocol, |(n, _)| *n);
        let word = 6 << 28 | u32::from(self.tos) << 20 | self.flow_label;
        let len = (extensions.len() + rest) as u16;
        let mut header = word.to_be_bytes().to_vec();
        header.extend(self.ip_len.unwrap_or(len).to_be_bytes());
        header.extend([first, self.ttl]);
        header.extend([source.octets(), destination.octets()].concat());
        header.extend(extensions);
        header
    }

    fn udp(&self) -> Vec<u8> {
        let len = self.udp_len.unwrap_or(8 + self.payload.len() as u16);
        let mut udp = [self.source_port, self.udp_port, len, 0].map(u16::to_be_bytes).concat();
        udp.extend(&self.payload);
        let right = udp_checksum(self.source, self.destination, &udp);
        let checksum = match self.checksum {
            Checksum::Right => right,
            Checksum::Zero => 0,
            Checksum::Off(by) => right.wrapping_add(by),
        };
        udp[6..8].copy_from_slice(&checksum.to_be_bytes());
        udp
    }
}

/// The MAC of a group, or our own where the address is none.
pub fn group_mac(address: IpAddr) -> [u8; 6] {
    match address {
        IpAddr::V4(group) if group.is_multicast() => {
            let [_, b, c, d] = group.octets();
            [1, 0, 0x5e, b & 0x7f, c, d]
        }
        IpAddr::V6(group) if group.is_multicast() => {
            let [.., a, b, c, d] = group.octets();
            [0x33, 0x33, a, b, c, d]
        }
        _ => OURS,
    }
}

/// Makes the checksum of an IPv4 header right.
pub fn resum(header: &mut [u8]) {
    header[10..12].fill(0);
    let sum = !sum([&header[..]]);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
}

/// The UDP checksum of a datagram whose checksum field is zero.
pub fn udp_checksum(source: IpAddr, destination: IpAddr, udp: &[u8]) -> u16 {
    let octets = |address| match address {
        IpAddr::V4(v4) => Ipv4Addr::octets(&v4).to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    // The length is the header's, which a frame may have wrong.
    let pseudo = [0, 17, udp[4], udp[5]];
    match !sum([&octets(source), &octets(destination), &pseudo[..], udp]) {
        0 => 0xffff,
        checksum => checksum,
    }
}

/// The one's complement sum of parts of which only the last may be odd.
fn sum<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u16 {
    let mut sum = 0u32;
    for part in parts {
        for word in part.chunks(2) {
            sum += u32::from(word[0]) << 8 | u32::from(*word.get(1).unwrap_or(&0));
            sum = (sum & 0xffff) + (sum >> 16);
        }
    }
    sum as u16
}
