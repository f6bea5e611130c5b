//! Frames of our own: reports and leaves as Ethernet carries them, many groups in few.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::{
    IpDscp, IpHeaders, IpNumber, Ipv4Header, Ipv4Options, Ipv6Extensions, Ipv6Header,
    Ipv6RawExtHeader, PacketBuilder, VlanId,
};

use super::message::{Family, Kind, Record, Say, Version};
use crate::wire::{MacAddr, Sum};

/// Where IGMPv3 and MLDv2 reports go, and leaves of the versions before.
const IGMP3_ROUTERS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 22);
const MLD2_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);
const ALL_ROUTERS_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 2);
const ALL_ROUTERS_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
/// IP headers: IPv4's with a router alert, IPv6's with a hop-by-hop header for it.
const HEADERS_V4: usize = 24;
const HEADERS_V6: usize = 48;
/// In front of the first record.
const REPORT: usize = 8;

/// From where a port speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Speaker {
    /// Its MAC address.
    pub mac: MacAddr,
    /// Its IPv4 address; unspecified where it has none (RFC 3376, section 4.2.13).
    pub v4: Ipv4Addr,
    /// Its link-local IPv6 address (RFC 3810, section 5.2.13).
    pub v6: Ipv6Addr,
    /// The longest IP packet, bytes.
    pub mtu: usize,
}

impl Speaker {
    /// A port with these addresses: the first of IPv4, and the first link-local one or that which
    /// the MAC makes (RFC 4291, appendix A).
    pub fn new(mac: MacAddr, addresses: impl IntoIterator<Item = IpAddr>, mtu: usize) -> Self {
        let (mut v4, mut v6) = (None, None);
        for address in addresses {
            match address {
                IpAddr::V4(address) => v4 = v4.or(Some(address)),
                IpAddr::V6(address) if address.is_unicast_link_local() => v6 = v6.or(Some(address)),
                IpAddr::V6(_) => {}
            }
        }
        let v4 = v4.unwrap_or(Ipv4Addr::UNSPECIFIED);
        Self { mac, v4, v6: v6.unwrap_or_else(|| link_local(mac)), mtu }
    }

    /// The frames that say all of `what` on the VLAN with this id; 0 is untagged.
    pub fn frames(&self, vlan: u16, what: Vec<Say>) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        let mut packed = Packed::default();
        for say in what {
            let single = match say {
                Say::Record(record) => {
                    for part in split(record, self.mtu) {
                        if !packed.takes(&part, self.mtu) {
                            frames.extend(self.packed(vlan, std::mem::take(&mut packed)));
                        }
                        packed.push(&part);
                    }
                    continue;
                }
                Say::Report(version, group) => self.report(vlan, version, group),
                Say::Leave(group) => self.leave(vlan, group),
            };
            frames.extend(self.packed(vlan, std::mem::take(&mut packed)));
            frames.extend(single);
        }
        frames.extend(self.packed(vlan, packed));
        frames
    }

    fn packed(&self, vlan: u16, packed: Packed) -> Option<Vec<u8>> {
        let count = packed.count.to_be_bytes();
        let (kind, to) = match packed.family? {
            Family::V4 => (0x22, IpAddr::V4(IGMP3_ROUTERS)),
            Family::V6 => (143, IpAddr::V6(MLD2_ROUTERS)),
        };
        let mut body = vec![kind, 0, 0, 0, 0, 0, count[0], count[1]];
        body.extend(packed.records);
        self.frame(vlan, to, body)
    }

    fn report(&self, vlan: u16, version: Version, group: IpAddr) -> Option<Vec<u8>> {
        let kind = match version {
            Version::Igmp1 => 0x12,
            Version::Igmp2 | Version::Igmp3 => 0x16,
            Version::Mld1 | Version::Mld2 => 131,
        };
        self.frame(vlan, group, single(kind, group))
    }

    fn leave(&self, vlan: u16, group: IpAddr) -> Option<Vec<u8>> {
        let (kind, to) = match group {
            IpAddr::V4(_) => (0x17, IpAddr::V4(ALL_ROUTERS_V4)),
            IpAddr::V6(_) => (132, IpAddr::V6(ALL_ROUTERS_V6)),
        };
        self.frame(vlan, to, single(kind, group))
    }

    /// A message in IP with TTL 1, router alert and internetwork control precedence.
    fn frame(&self, vlan: u16, to: IpAddr, mut body: Vec<u8>) -> Option<Vec<u8>> {
        let (ip, mac) = match to {
            IpAddr::V4(to) => {
                let sum = Sum::of_bytes(&body);
                body[2..4].copy_from_slice(&sum.checksum());
                (self.ipv4(to, body.len())?, MacAddr::from_group_v4(to))
            }
            IpAddr::V6(to) => {
                let sum = Sum::of_bytes(&self.v6.octets())
                    + Sum::of_bytes(&to.octets())
                    + Sum::of_bytes(&(body.len() as u32).to_be_bytes())
                    + Sum::of_number(IpNumber::IPV6_ICMP.0.into())
                    + Sum::of_bytes(&body);
                body[2..4].copy_from_slice(&sum.checksum());
                (self.ipv6(to)?, MacAddr::from_group_v6(to))
            }
        };
        let protocol = match to {
            IpAddr::V4(_) => IpNumber::IGMP,
            IpAddr::V6(_) => IpNumber::IPV6_ICMP,
        };
        let ethernet = PacketBuilder::ethernet2(self.mac.0, mac.0);
        let packet = match VlanId::try_new(vlan) {
            Ok(id) if vlan != 0 => ethernet.single_vlan(id).ip(ip),
            _ => ethernet.ip(ip),
        };
        let mut frame = Vec::with_capacity(packet.size(body.len()));
        packet.write(&mut frame, protocol, &body).ok().map(|()| frame)
    }

    fn ipv4(&self, to: Ipv4Addr, len: usize) -> Option<IpHeaders> {
        let len = u16::try_from(len).ok()?;
        let mut header =
            Ipv4Header::new(len, 1, IpNumber::IGMP, self.v4.octets(), to.octets()).ok()?;
        header.dscp = IpDscp::try_new(48).ok()?;
        header.options = Ipv4Options::from([0x94, 4, 0, 0]);
        Some(IpHeaders::Ipv4(header, Default::default()))
    }

    fn ipv6(&self, to: Ipv6Addr) -> Option<IpHeaders> {
        let header = Ipv6Header {
            hop_limit: 1,
            source: self.v6.octets(),
            destination: to.octets(),
            ..Ipv6Header::default()
        };
        // Router alert for MLD (RFC 2711), and two bytes of padding.
        let alert = Ipv6RawExtHeader::new_raw(IpNumber::IPV6_ICMP, &[5, 2, 0, 0, 1, 0]).ok()?;
        let extensions =
            Ipv6Extensions { hop_by_hop_options: Some(alert), ..Ipv6Extensions::default() };
        Some(IpHeaders::Ipv6(header, extensions))
    }
}

/// The link-local address that a MAC address makes (RFC 4291, appendix A).
fn link_local(mac: MacAddr) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac.0;
    let mut octets = [0; 16];
    octets[..2].copy_from_slice(&[0xfe, 0x80]);
    octets[8..].copy_from_slice(&[a ^ 2, b, c, 0xff, 0xfe, d, e, f]);
    octets.into()
}

/// A message of one group; its checksum is not there yet.
fn single(kind: u8, group: IpAddr) -> Vec<u8> {
    let mut body = match group {
        IpAddr::V4(_) => vec![kind, 0, 0, 0],
        IpAddr::V6(_) => vec![kind, 0, 0, 0, 0, 0, 0, 0],
    };
    push_address(&mut body, group);
    body
}

fn push_address(bytes: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => bytes.extend(address.octets()),
        IpAddr::V6(address) => bytes.extend(address.octets()),
    }
}

/// Bytes of an address.
const fn width(family: Family) -> usize {
    match family {
        Family::V4 => 4,
        Family::V6 => 16,
    }
}

/// Bytes for records in one report.
fn room(family: Family, mtu: usize) -> usize {
    let headers = match family {
        Family::V4 => HEADERS_V4,
        Family::V6 => HEADERS_V6,
    };
    // One record with one source must fit, even where the MTU is none that IPv6 allows.
    mtu.saturating_sub(headers + REPORT).max(4 + 2 * width(family))
}

/// A record whose sources do not fit into one report becomes several (RFC 3376, section 4.2.16).
fn split(record: Record, mtu: usize) -> Vec<Record> {
    let family = Family::of(record.group);
    let most = (room(family, mtu) - 4) / width(family) - 1;
    if record.sources.len() <= most {
        return vec![record];
    }
    let Record { kind, group, sources } = record;
    let kind_of = |part: usize| match kind {
        // The second list must not undo the first: what follows a change of mode adds to it.
        Kind::ToInclude if part > 0 => Kind::Allow,
        kind => kind,
    };
    let parts = sources.chunks(most).enumerate();
    parts.map(|(i, part)| Record { kind: kind_of(i), group, sources: part.to_vec() }).collect()
}

/// Records that share a report.
#[derive(Debug, Default)]
struct Packed {
    family: Option<Family>,
    count: u16,
    records: Vec<u8>,
}

impl Packed {
    fn takes(&self, record: &Record, mtu: usize) -> bool {
        let family = Family::of(record.group);
        let bytes = 4 + (1 + record.sources.len()) * width(family);
        self.family.is_none_or(|f| f == family) && self.records.len() + bytes <= room(family, mtu)
    }

    fn push(&mut self, record: &Record) {
        self.family = Some(Family::of(record.group));
        self.count += 1;
        let [high, low] = (record.sources.len() as u16).to_be_bytes();
        self.records.extend([record.kind as u8, 0, high, low]);
        push_address(&mut self.records, record.group);
        record.sources.iter().for_each(|&source| push_address(&mut self.records, source));
    }
}
