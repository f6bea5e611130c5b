//! Template: the header of an output's copies, prebuilt from its rewrite.
//!
//! Each field of a copy is `constant | (received & mask)`, the ports and the TTL
//! `constant + (received & mask)`: the choices of the configuration became masks when the plan was
//! built, so writing a header has no branch but the one on its length. A copy carries a plain
//! header, IPv4 without options, IPv6 without extension headers.
//!
//! The payload is never read: the UDP checksum follows from the received one (RFC 1624,
//! equation 4), whose old fields [`Origin`] has already taken out. So a wrong checksum stays
//! wrong, and the receiver, not the relay, is the judge of the payload.

use std::net::IpAddr;

use ipnet::IpNet;

use super::MacAddr;
use super::checksum::{Sum, UDP};
use super::fragment::FRAGMENT_HEADER;
use super::key::PLAIN_HEADER;
use super::origin::{Origin, SOURCE_V4};
use super::parse::FRAGMENT;
use crate::config::{SourcePortRewrite, TtlRewrite, UdpPortRewrite, VlanRewrite};

/// Bytes of the longest header of a copy: Ethernet 14, two tags 8, IPv6 40, UDP 8.
pub const MAX_HEADER: usize = 70;

/// Bytes of the longest header of a fragment's copy.
pub const MAX_FRAGMENT_HEADER: usize = MAX_HEADER + FRAGMENT_HEADER;

/// The version of the Internet Protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IpVersion {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// What an output changes in its copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rewrite {
    /// The version of the rule's packets; a copy keeps it.
    pub version: IpVersion,
    /// The MAC of the port that sends.
    pub source_mac: MacAddr,
    /// The destination MAC; `None` derives it from the copy's destination, which must then be a
    /// group.
    pub mac: Option<MacAddr>,
    /// The destination's prefix, the host bits being the received ones; `None` keeps all. A
    /// prefix of the other IP version is taken for `None`.
    pub destination: Option<IpNet>,
    /// The UDP port; a shift past 0 or 65535 wraps.
    pub udp_port: UdpPortRewrite,
    /// The source address; `None`, or one of the other IP version, keeps it.
    pub source: Option<IpAddr>,
    /// The UDP source port.
    pub source_port: SourcePortRewrite,
    /// The VLAN tags.
    pub vlan: VlanRewrite,
    /// TTL or hop limit.
    pub ttl: TtlRewrite,
    /// The code point, 0 to 63; `None` keeps it. The ECN bits are always kept.
    pub dscp: Option<u8>,
}

/// A prebuilt header: constants, and masks for what is kept of the received one.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct Template {
    /// The destination MAC and the source's first two bytes, as they lie in memory; zeros where
    /// the group's bits go.
    macs: u64,
    /// The rest of the source MAC, the ethertype and two bytes that others overwrite, as they lie in
    /// memory.
    source_mac: u64,
    /// The bits of the destination's last four bytes that the MAC takes (RFC 1112, RFC 2464).
    mac_mask: u32,
    /// IPv4: the header and the UDP ports, in the words of [`Origin`].
    v4: [Field<u64>; 3],
    /// What goes from the second of these words: 1 of the TTL, or nothing.
    ttl_step: u64,
    tags: Field<u64>,
    tags_len: Field<u8>,
    ttl: Field<u8>,
    /// IPv6: the header's first word.
    first_word: Field<u32>,
    udp_port: Field<u16>,
    source_port: Field<u16>,
    /// All ones where the source port is the copy's destination port.
    port_to_source: u16,
    /// Whether a port is computed from the received ones, not only kept or replaced.
    moves_ports: bool,
    version: IpVersion,
    /// IPv6: the addresses.
    source: Field<u128>,
    destination: Field<u128>,
}

const _: () = assert!(size_of::<Template>() == 192, "three cache lines, of which IPv4 takes two");

/// A field of the copy: constant bits, and a mask for the received ones.
#[derive(Clone, Copy, Debug)]
struct Field<T> {
    constant: T,
    mask: T,
}

impl<T> Field<T> {
    const fn new(constant: T, mask: T) -> Self {
        Self { constant, mask }
    }
}

impl Field<u64> {
    /// The copy's bits where the packet has `received`.
    #[inline(always)]
    const fn of(&self, received: u64) -> u64 {
        self.constant | received & self.mask
    }
}

/// The destination in the third word of IPv4.
const DESTINATION_V4: u64 = u64::from_ne_bytes([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);

/// Four bytes behind four zeros.
const fn in_last_bytes([a, b, c, d]: [u8; 4]) -> u64 {
    u64::from_ne_bytes([0, 0, 0, 0, a, b, c, d])
}

impl Template {
    /// Prebuilds the header of an output's copies.
    pub fn new(rewrite: &Rewrite) -> Self {
        let (head, tail, mac_mask) = mac(rewrite);
        let [a, b, c, d, e, f] = rewrite.source_mac.0;
        let (udp_port, source_port, port_to_source) = ports(rewrite);
        let ethertype = ethertype(rewrite.version);
        let ttl = match rewrite.ttl {
            TtlRewrite::Decrement => Field::new(u8::MAX, u8::MAX),
            TtlRewrite::Set(ttl) => Field::new(ttl, 0),
        };
        Self {
            v4: words_v4(rewrite, ttl, udp_port, source_port),
            ttl_step: u64::from_ne_bytes([ttl.mask & 1, 0, 0, 0, 0, 0, 0, 0]),
            moves_ports: port_to_source != 0
                || matches!(rewrite.udp_port, UdpPortRewrite::Shift(_)),
            macs: u64::from_ne_bytes([head[0], head[1], tail[0], tail[1], tail[2], tail[3], a, b]),
            source_mac: u64::from_ne_bytes([c, d, e, f, ethertype[0], ethertype[1], 0, 0]),
            mac_mask: u32::from_ne_bytes(mac_mask),
            tags: tags(rewrite.vlan),
            tags_len: match rewrite.vlan {
                VlanRewrite::Keep => Field::new(0, u8::MAX),
                VlanRewrite::None => Field::new(0, 0),
                VlanRewrite::Id(_) => Field::new(4, 0),
            },
            ttl,
            first_word: first_word(rewrite),
            udp_port,
            source_port,
            port_to_source,
            version: rewrite.version,
            source: address(rewrite.version, rewrite.source.map(IpNet::from)),
            destination: address(rewrite.version, rewrite.destination),
        }
    }

    /// Bytes of the copy's header, from Ethernet to UDP; at most [`MAX_HEADER`].
    #[inline(always)]
    pub fn header_len(&self, origin: &Origin) -> usize {
        14 + self.tags_len(origin) + self.ip_header_len() + 8
    }

    /// Bytes of the copy's IP packet, payload included: what an MTU bounds.
    #[inline(always)]
    pub fn ip_len(&self, origin: &Origin) -> usize {
        self.ip_header_len() + usize::from(origin.udp_len)
    }

    /// The last four bytes of the copy's destination, as a number.
    pub fn destination_tail(&self, origin: &Origin) -> u32 {
        match self.version {
            IpVersion::V4 => {
                let [a, b, c, d, ..] = self.v4[2].of(origin.v4[2]).to_ne_bytes();
                u32::from_be_bytes([a, b, c, d])
            }
            IpVersion::V6 => {
                let to = self.destination.constant | origin.destination & self.destination.mask;
                u32::from_be(tail(to))
            }
        }
    }

    /// Whether the packet may not be forwarded further: the output decrements a TTL of 1 or 0.
    #[inline(always)]
    pub fn ttl_expired(&self, origin: &Origin) -> bool {
        self.ttl.mask != 0 && origin.ttl <= 1
    }

    /// Writes the copy's whole header into the first [`Self::header_len`] bytes of `out`.
    ///
    /// Expects a packet of the template's IP version, and room; without room nothing is written.
    #[inline]
    pub fn write(&self, origin: &Origin, out: &mut [u8]) {
        debug_assert!(out.len() >= self.header_len(origin), "no room for a header");
        match (self.version, self.tags_len(origin)) {
            (IpVersion::V4, 0) => self.write_v4::<42>(origin, out),
            (IpVersion::V4, 4) => self.write_v4::<46>(origin, out),
            (IpVersion::V4, _) => self.write_v4::<50>(origin, out),
            (IpVersion::V6, 0) => self.write_v6::<62>(origin, out),
            (IpVersion::V6, 4) => self.write_v6::<66>(origin, out),
            (IpVersion::V6, _) => self.write_v6::<70>(origin, out),
        }
    }

    /// Bytes of the header of a fragment's copy, from Ethernet to the payload, or
    /// [`Self::header_len`] of what is no fragment.
    #[cold]
    pub fn fragment_header_len(&self, origin: &Origin) -> usize {
        let len = self.header_len(origin);
        let Some(fragment) = &origin.fragment else {
            return len;
        };
        let inserted = if self.version == IpVersion::V6 { FRAGMENT_HEADER } else { 0 };
        len + inserted - if fragment.first { 0 } else { 8 }
    }

    /// Writes the header of a fragment's copy into the first [`Self::fragment_header_len`] bytes of
    /// `out`: the UDP header goes with the first only, and IPv6 has its fragment header again.
    #[cold]
    pub fn write_fragment(&self, origin: &Origin, out: &mut [u8]) {
        let Some(fragment) = &origin.fragment else {
            return;
        };
        let mut whole = [0; MAX_HEADER];
        let len = self.header_len(origin).min(MAX_HEADER);
        self.write(origin, &mut whole[..len]);
        let (below, udp) = whole[..len].split_at_mut(len - 8);
        udp[4..6].copy_from_slice(&fragment.udp_len.to_be_bytes());
        let udp = if fragment.first { udp } else { &mut [] };
        let mut inserted: &[u8] = &[];
        if self.version == IpVersion::V6 {
            below[len - 8 - 40 + 6] = FRAGMENT;
            inserted = &fragment.header;
        }
        let all = below.iter().chain(inserted).chain(udp.iter());
        out.iter_mut().zip(all).for_each(|(out, byte)| *out = *byte);
    }

    /// Whether the copy of a packet without tags is IPv4 without tags.
    #[inline(always)]
    pub fn is_plain(&self) -> bool {
        self.version == IpVersion::V4 && self.tags_len.constant == 0
    }

    /// As [`Self::write`], where packet and copy are IPv4 without tags.
    #[inline(always)]
    pub fn write_plain(&self, origin: &Origin, out: &mut [u8; PLAIN_HEADER]) {
        self.write_v4::<PLAIN_HEADER>(origin, out);
    }

    #[inline(always)]
    const fn ip_header_len(&self) -> usize {
        match self.version {
            IpVersion::V4 => 20,
            IpVersion::V6 => 40,
        }
    }

    #[inline(always)]
    fn tags_len(&self, origin: &Origin) -> usize {
        usize::from(self.tags_len.constant | origin.tags_len & self.tags_len.mask)
    }

    /// A header of `LEN` bytes; what is not IPv4 and UDP is Ethernet.
    #[inline(always)]
    fn write_v4<const LEN: usize>(&self, origin: &Origin, out: &mut [u8]) {
        let Some(out) = out.first_chunk_mut::<LEN>() else {
            return;
        };
        let [first, second, third] = &self.v4;
        let first = first.of(origin.v4[0]);
        // A TTL that is decremented is at least 1, so that nothing is borrowed.
        let second = second.of(origin.v4[1]).wrapping_sub(self.ttl_step);
        let mut third = third.of(origin.v4[2]);
        if self.moves_ports {
            let ports = self.ports(origin).to_be_bytes();
            third = third & DESTINATION_V4 | in_last_bytes(ports);
        }
        let sum = Sum::of_word(first) + Sum::of_word(second) + Sum::of_word(third & DESTINATION_V4);
        let [high, low] = sum.checksum();
        let second = second | u64::from_ne_bytes([0, 0, high, low, 0, 0, 0, 0]);
        let [a, b, c, d, ..] = third.to_ne_bytes();

        let ip = LEN - 28;
        self.write_ethernet(origin, u32::from_ne_bytes([a, b, c, d]), ip, out);
        put(out, ip, first.to_ne_bytes());
        put(out, ip + 8, second.to_ne_bytes());
        put(out, ip + 16, third.to_ne_bytes());
        let sum = Sum::of_word(second & SOURCE_V4) + Sum::of_word(third);
        write_udp_end(origin, sum, out);
    }

    /// A header of `LEN` bytes; what is not IPv6 and UDP is Ethernet.
    #[inline(always)]
    fn write_v6<const LEN: usize>(&self, origin: &Origin, out: &mut [u8]) {
        let Some(out) = out.first_chunk_mut::<LEN>() else {
            return;
        };
        let source = self.source.constant | origin.source & self.source.mask;
        let destination = self.destination.constant | origin.destination & self.destination.mask;
        let first = self.first_word.constant | origin.first_word & self.first_word.mask;
        let second =
            u32::from(origin.udp_len) << 16 | u32::from(UDP) << 8 | u32::from(self.new_ttl(origin));
        let ports = self.ports(origin).to_be();
        let sum = Sum::of_wide(source) + Sum::of_wide(destination) + Sum::of_word(ports.into());

        let ip = LEN - 48;
        self.write_ethernet(origin, tail(destination), ip, out);
        put(out, ip, first.to_ne_bytes());
        put(out, ip + 4, second.to_be_bytes());
        put(out, ip + 8, source.to_ne_bytes());
        put(out, ip + 24, destination.to_ne_bytes());
        put(out, ip + 40, ports.to_ne_bytes());
        write_udp_end(origin, sum, out);
    }

    /// The new UDP ports, the source's in the high half.
    #[inline(always)]
    fn ports(&self, origin: &Origin) -> u32 {
        let received = u32::from_be(origin.ports);
        let udp_port = (received as u16 & self.udp_port.mask).wrapping_add(self.udp_port.constant);
        let source_port = ((received >> 16) as u16 & self.source_port.mask)
            | self.source_port.constant
            | udp_port & self.port_to_source;
        u32::from(source_port) << 16 | u32::from(udp_port)
    }

    #[inline(always)]
    fn new_ttl(&self, origin: &Origin) -> u8 {
        (origin.ttl & self.ttl.mask).wrapping_add(self.ttl.constant)
    }

    /// Ethernet in front of `ip`; `tail` is the last four bytes of the IP destination.
    #[inline(always)]
    fn write_ethernet<const LEN: usize>(
        &self,
        origin: &Origin,
        tail: u32,
        ip: usize,
        out: &mut [u8; LEN],
    ) {
        // Bytes 2 to 5 of 8, in either byte order.
        let group = u64::from(tail & self.mac_mask) << 16;
        put(out, 0, (self.macs | group).to_ne_bytes());
        // The last two bytes are those of a tag or of the IP header, which come behind this.
        put(out, 8, self.source_mac.to_ne_bytes());
        let tags = (self.tags.constant | origin.tags & self.tags.mask).to_ne_bytes();
        match ip {
            14 => return,
            18 => put(out, 12, [tags[0], tags[1], tags[2], tags[3]]),
            _ => put(out, 12, tags),
        }
        put(out, ip - 2, ethertype(self.version));
    }
}

/// What Ethernet says that it carries.
const fn ethertype(version: IpVersion) -> [u8; 2] {
    match version {
        IpVersion::V4 => [0x08, 0x00],
        IpVersion::V6 => [0x86, 0xdd],
    }
}

/// The UDP length and checksum at the end of `out`; `sum` is that of the new addresses and ports.
#[inline(always)]
fn write_udp_end<const LEN: usize>(origin: &Origin, sum: Sum, out: &mut [u8; LEN]) {
    // Zero says that the sender has none, and stays (RFC 768).
    // What it becomes is not 0, for a sum of what is not 0 is not.
    let checksum = if origin.udp_checksum == 0 { [0; 2] } else { (origin.udp_sum + !sum).fold() };
    // By itself: in its own place a length stays, and that store goes.
    put(out, LEN - 4, origin.udp_length);
    put(out, LEN - 2, checksum);
}

/// Stores `bytes` at `at`; with constants, one store without a check.
#[inline(always)]
fn put<const N: usize, const LEN: usize>(out: &mut [u8; LEN], at: usize, bytes: [u8; N]) {
    if let Some(field) = out.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
        *field = bytes;
    }
}

/// The last four bytes of an IPv6 address.
#[inline(always)]
fn tail(address: u128) -> u32 {
    (u128::from_be(address) as u32).to_be()
}

/// The destination MAC's first two and last four bytes, and the bits of the IP destination that
/// the last four take.
fn mac(rewrite: &Rewrite) -> ([u8; 2], [u8; 4], [u8; 4]) {
    match (rewrite.mac, rewrite.version) {
        (Some(MacAddr([a, b, c, d, e, f])), _) => ([a, b], [c, d, e, f], [0; 4]),
        (None, IpVersion::V4) => ([0x01, 0x00], [0x5e, 0, 0, 0], [0, 0x7f, 0xff, 0xff]),
        (None, IpVersion::V6) => ([0x33, 0x33], [0; 4], [0xff; 4]),
    }
}

/// For an id: the priority (PCP and DEI) of the received outer tag stays, TPID and id are new.
fn tags(vlan: VlanRewrite) -> Field<u64> {
    match vlan {
        VlanRewrite::Keep => Field::new(0, u64::MAX),
        VlanRewrite::None => Field::new(0, 0),
        VlanRewrite::Id(id) => {
            let [high, low] = (id & 0xfff).to_be_bytes();
            Field::new(
                u64::from_ne_bytes([0x81, 0x00, high, low, 0, 0, 0, 0]),
                u64::from_ne_bytes([0, 0, 0xf0, 0, 0, 0, 0, 0]),
            )
        }
    }
}

/// Version, IPv4 header length, traffic class; of IPv6 also the flow label, which is kept.
fn first_word(rewrite: &Rewrite) -> Field<u32> {
    let (constant, dscp_mask, shift) = match rewrite.version {
        IpVersion::V4 => (0x4500_0000, 0x00fc_0000, 18),
        IpVersion::V6 => (0x6000_0000, 0x0fc0_0000, 22),
    };
    let (dscp, mask) = match rewrite.dscp {
        Some(dscp) => (u32::from(dscp & 0x3f) << shift, !dscp_mask),
        None => (0, u32::MAX),
    };
    Field::new((constant | dscp).to_be(), mask.to_be())
}

/// IPv4's header and the UDP ports in three words. Bits that are computed are kept here.
fn words_v4(
    rewrite: &Rewrite,
    ttl: Field<u8>,
    udp_port: Field<u16>,
    source_port: Field<u16>,
) -> [Field<u64>; 3] {
    if rewrite.version == IpVersion::V6 {
        return [Field::new(0, 0); 3];
    }
    let field = |constant, mask| Field::new(u64::from_ne_bytes(constant), u64::from_ne_bytes(mask));
    let (dscp, dscp_mask) = match rewrite.dscp {
        Some(dscp) => (dscp << 2, 0x03),
        None => (0, 0xff),
    };
    let ttl = match rewrite.ttl {
        TtlRewrite::Decrement => Field::new(0, u8::MAX),
        TtlRewrite::Set(_) => ttl,
    };
    let udp_port = match rewrite.udp_port {
        UdpPortRewrite::Shift(_) => Field::new(0, u16::MAX),
        _ => udp_port,
    };
    let both = |field: Field<u16>| (field.constant.to_be_bytes(), field.mask.to_be_bytes());
    let (([i, j], [m, n]), ([k, l], [o, p])) = (both(source_port), both(udp_port));
    let address = |net| {
        let Field { constant, mask } = address(IpVersion::V4, net);
        ((constant as u32).to_ne_bytes(), (mask as u32).to_ne_bytes())
    };
    let ([a, b, c, d], [e, f, g, h]) = address(rewrite.source.map(IpNet::from));
    let source = field([ttl.constant, 0, 0, 0, a, b, c, d], [ttl.mask, 0xff, 0, 0, e, f, g, h]);
    let ([a, b, c, d], [e, f, g, h]) = address(rewrite.destination);
    let destination = field([a, b, c, d, i, j, k, l], [e, f, g, h, m, n, o, p]);
    let first =
        field([0, dscp, 0, 0, 0, 0, 0, 0], [0xff, dscp_mask, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    [first, source, destination]
}

/// UDP port and source port, and what makes the second the first.
fn ports(rewrite: &Rewrite) -> (Field<u16>, Field<u16>, u16) {
    let udp_port = match rewrite.udp_port {
        UdpPortRewrite::Keep => Field::new(0, u16::MAX),
        UdpPortRewrite::Fixed(port) => Field::new(port, 0),
        UdpPortRewrite::Shift(by) => Field::new(by as u16, u16::MAX),
    };
    let (source_port, to_source) = match rewrite.source_port {
        SourcePortRewrite::Keep => (Field::new(0, u16::MAX), 0),
        SourcePortRewrite::Destination => (Field::new(0, 0), u16::MAX),
        SourcePortRewrite::Fixed(port) => (Field::new(port, 0), 0),
    };
    (udp_port, source_port, to_source)
}

/// The prefix bits of `net`, and a mask for the host bits; all bits are kept where it is absent
/// or of the other version.
fn address(version: IpVersion, net: Option<IpNet>) -> Field<u128> {
    match (version, net) {
        (IpVersion::V4, Some(IpNet::V4(net))) => Field::new(
            u32::from_ne_bytes(net.network().octets()).into(),
            u32::from_ne_bytes(net.hostmask().octets()).into(),
        ),
        (IpVersion::V6, Some(IpNet::V6(net))) => Field::new(
            u128::from_ne_bytes(net.network().octets()),
            u128::from_ne_bytes(net.hostmask().octets()),
        ),
        _ => Field::new(0, u128::MAX),
    }
}
