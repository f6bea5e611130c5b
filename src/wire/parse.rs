//! Parse: a frame's bytes in, where its headers are or why it ends here out.
//!
//! The order of the checks is the order of the layers, and within IP that of a router (RFC 1812,
//! section 5.2.2): the first thing wrong on the way in names the drop.
//!
//! 1. Ethernet: our own source MAC is a loop, whatever the frame carries. Up to two VLAN tags
//!    (0x8100, 0x88a8, 0x9100). ARP is punted; what is not IP, or has a third tag, ends.
//! 2. IP's form: version, header length, the lengths against the frame, the IPv4 header checksum.
//!    No address is believed before the checksum.
//! 3. IP's addresses: martians (RFC 1122, section 3.2.1.3; RFC 6890), source equal to destination,
//!    MAC and IP that disagree. Then a TTL of 0.
//! 4. IPv6 extension headers, at most [`EXTENSIONS`] of them (RFC 8200, section 4).
//! 5. The protocol: ICMP, IGMP and ICMPv6 are punted, what is not UDP ends, so that a fragment of
//!    TCP counts as `not_udp`. Then fragments.
//! 6. UDP: the length, and that IPv6 has a checksum (RFC 8200, section 8.1).
//!
//! A frame that ends inside a header is `truncated`; one whose first segment does, `segmented`.
//! Bytes behind the datagram (Ethernet padding, or an IP payload longer than the UDP length) are
//! not part of it: [`Verdict::Udp`] says where it ends.

use super::MacAddr;
use super::checksum::{Sum, UDP, ipv4_header_valid};
use super::load::{be16, be32, be128, load};
use super::plain::{Plain, parse_plain};
use crate::packet::{DropReason, Headers, Part};

/// IPv6 extension headers that a packet may have.
pub const EXTENSIONS: usize = 8;

const ICMP: u8 = 1;
const IGMP: u8 = 2;
const ICMPV6: u8 = 58;
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
pub(super) const FRAGMENT: u8 = 44;
const DESTINATION_OPTIONS: u8 = 60;

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A whole UDP datagram.
    Udp {
        /// Where its headers are; `port` is 0, for the receiver to fill.
        headers: Headers,
        /// Bytes from the frame's start to the datagram's end; what follows is padding.
        frame_len: usize,
    },
    /// For the slow path: ARP, ICMP, IGMP, ICMPv6.
    Punt,
    /// It ends here.
    Drop(DropReason),
}

/// The MAC addresses of our own ports.
#[derive(Clone, Debug, Default)]
pub struct OwnMacs {
    /// One bit for each value of an address's low six bits: most strangers end here.
    filter: u64,
    macs: Vec<u64>,
}

impl OwnMacs {
    /// The set of these addresses.
    pub fn new(macs: impl IntoIterator<Item = MacAddr>) -> Self {
        let macs: Vec<u64> = macs.into_iter().map(|mac| number(mac.0)).collect();
        let filter = macs.iter().fold(0, |filter, mac| filter | 1 << (mac & 63));
        Self { filter, macs }
    }

    /// Whether the address is one of ours.
    pub fn contains(&self, mac: MacAddr) -> bool {
        self.has(number(mac.0))
    }

    #[inline(always)]
    fn has(&self, mac: u64) -> bool {
        self.may_have(mac as u8) && self.lists(mac)
    }

    /// Whether one of them may end with this byte.
    #[inline(always)]
    pub(super) fn may_have(&self, last: u8) -> bool {
        self.filter >> (last & 63) & 1 == 1
    }

    #[cold]
    fn lists(&self, mac: u64) -> bool {
        self.macs.contains(&mac)
    }
}

/// Judges a frame of `frame_len` bytes of which `head` is the first segment.
///
/// No bytes make it panic, and no header it vouches for lies outside `head`.
#[inline]
pub fn parse(head: &[u8], frame_len: usize, own: &OwnMacs) -> Verdict {
    match parse_plain(head, frame_len, own) {
        Some(Plain { frame_len, .. }) => Verdict::Udp { headers: Headers::PLAIN, frame_len },
        None => parse_other(head, frame_len, own),
    }
}

/// [`parse`] for the frames that [`parse_plain`] does not know: it finds out what is wrong, or
/// special.
#[inline(never)]
pub fn parse_other(head: &[u8], frame_len: usize, own: &OwnMacs) -> Verdict {
    let frame = Frame { head: head.get(..frame_len).unwrap_or(head), len: frame_len };
    match ethernet(&frame, own) {
        Ok(Datagram { headers, end }) => Verdict::Udp { headers, frame_len: end },
        Err(End::Punt) => Verdict::Punt,
        Err(End::Drop(reason)) => Verdict::Drop(reason),
    }
}

/// A datagram that was found good.
struct Datagram {
    headers: Headers,
    /// Where it ends in the frame.
    end: usize,
}

/// Why the way ends before a datagram was found.
enum End {
    Punt,
    Drop(DropReason),
}

impl From<DropReason> for End {
    #[inline(always)]
    fn from(reason: DropReason) -> Self {
        Self::Drop(reason)
    }
}

/// Ends with `reason` where `wrong`.
#[inline(always)]
fn refuse(wrong: bool, reason: DropReason) -> Result<(), End> {
    if wrong { Err(End::Drop(reason)) } else { Ok(()) }
}

/// A frame's first segment and whole length.
struct Frame<'a> {
    head: &'a [u8],
    len: usize,
}

impl<'a> Frame<'a> {
    /// The `N` bytes at `at`.
    #[inline(always)]
    fn array<const N: usize>(&self, at: usize) -> Result<&'a [u8; N], End> {
        match self.head.get(at..at + N).and_then(|part| part.first_chunk()) {
            Some(bytes) => Ok(bytes),
            None => Err(self.short(at + N)),
        }
    }

    /// The bytes from `start` to `end`.
    #[inline(always)]
    fn bytes(&self, start: usize, end: usize) -> Result<&'a [u8], End> {
        match self.head.get(start..end) {
            Some(bytes) => Ok(bytes),
            None => Err(self.short(end)),
        }
    }

    /// Why a header that ends at `end` is not there.
    #[cold]
    fn short(&self, end: usize) -> End {
        End::Drop(if end > self.len { DropReason::Truncated } else { DropReason::Segmented })
    }
}

/// What Ethernet says to IP.
struct Below {
    /// The destination MAC, as a number.
    mac: u64,
    /// VLAN id of the outermost tag.
    vlan: u16,
    /// Offset of the IP header.
    ip: usize,
}

#[inline(always)]
fn ethernet(frame: &Frame<'_>, own: &OwnMacs) -> Result<Datagram, End> {
    let header: &[u8; 14] = frame.array(0)?;
    // Each MAC in one load of eight bytes.
    let source = u64::from_be_bytes(load(header, 6)) >> 16;
    refuse(own.has(source), DropReason::OwnSource)?;
    let mut ethertype = be16(header, 12);
    let mut below = Below { mac: u64::from_be_bytes(load(header, 0)) >> 16, vlan: 0, ip: 14 };
    if is_tag(ethertype) {
        let tag = be32(frame.array::<4>(14)?, 0);
        below.vlan = (tag >> 16) as u16 & 0xfff;
        below.ip = 18;
        ethertype = tag as u16;
        if is_tag(ethertype) {
            ethertype = be16(frame.array::<4>(18)?, 2);
            below.ip = 22;
        }
    }
    match ethertype {
        0x0800 => ipv4(frame, &below),
        0x86dd => ipv6(frame, &below),
        0x0806 => Err(End::Punt),
        _ => Err(End::Drop(DropReason::NotIp)),
    }
}

#[inline(always)]
pub(super) const fn is_tag(ethertype: u16) -> bool {
    matches!(ethertype, 0x8100 | 0x88a8 | 0x9100)
}

#[inline(always)]
fn ipv4(frame: &Frame<'_>, below: &Below) -> Result<Datagram, End> {
    let ip = below.ip;
    let header: &[u8; 20] = frame.array(ip)?;
    let header_len = usize::from(header[0] & 0xf) * 4;
    refuse(header[0] >> 4 != 4 || header_len < 20, DropReason::IpHeader)?;
    let valid = if header_len == 20 {
        let sum = Sum::of_word(u64::from_ne_bytes(load(header, 0)))
            + Sum::of_word(u64::from_ne_bytes(load(header, 8)))
            + Sum::of_word(u32::from_ne_bytes(load(header, 16)).into());
        sum.is_valid()
    } else {
        long_header_valid(frame.bytes(ip, ip + header_len)?)
    };
    let total_len = usize::from(be16(header, 2));
    refuse(header_len > total_len || ip + total_len > frame.len, DropReason::IpLength)?;
    refuse(!valid, DropReason::IpChecksum)?;
    let [ttl, protocol] = load(header, 8);
    let (source, destination) = (be32(header, 12), be32(header, 16));
    refuse(martian_v4(source, destination, below.mac, protocol), DropReason::Martian)?;
    refuse(ttl == 0, DropReason::Ttl)?;
    match protocol {
        UDP => {}
        ICMP | IGMP => return Err(End::Punt),
        _ => return Err(End::Drop(DropReason::NotUdp)),
    }
    // More fragments, or an offset.
    refuse(be16(header, 6) & 0x3fff != 0, DropReason::Fragment)?;
    udp(frame, below, 4, ip + header_len, total_len - header_len)
}

/// [`ipv4_header_valid`], kept out of the way of headers without options.
#[cold]
fn long_header_valid(header: &[u8]) -> bool {
    ipv4_header_valid(header)
}

/// Whether IPv4 addresses cannot be on the wire, or the MAC is not theirs. Nearly never true, so
/// one branch behind them all is cheaper than one each.
///
/// A host without an address may speak IGMP (RFC 3376, section 4.2.13), so 0.0.0.0 is a martian
/// source for the others only.
#[inline(always)]
pub(super) fn martian_v4(source: u32, destination: u32, mac: u64, protocol: u8) -> bool {
    let [net, destination_net] = [source, destination].map(|ip| NETS[(ip >> 24) as usize]);
    let bad_source = net & NO_SOURCE != 0;
    let bad_destination = (destination_net & NO_DESTINATION != 0) | (destination == u32::MAX);
    let group_mac = 0x0100_5e00_0000 | u64::from(destination & 0x007f_ffff);
    let disagree = is_group(mac) & ((destination_net & NO_GROUP != 0) | (mac != group_mac));
    let others = bad_destination | (source == destination) | disagree;
    (bad_source & ((source != 0) | (protocol != IGMP))) | others
}

/// Whether no host has an IPv4 address with this first byte.
#[inline(always)]
pub(super) fn is_martian_source(net: u8) -> bool {
    NETS[usize::from(net)] & NO_SOURCE != 0
}

const NO_SOURCE: u8 = 1;
const NO_DESTINATION: u8 = 2;
const NO_GROUP: u8 = 4;

/// What IPv4 addresses with this first byte cannot be: a load takes less than to compare.
static NETS: [u8; 256] = {
    let mut nets = [0; 256];
    let mut net = 0;
    while net < nets.len() {
        let is_nowhere = net == 0 || net == 127;
        nets[net] = if is_nowhere || net >= 224 { NO_SOURCE } else { 0 }
            | if is_nowhere { NO_DESTINATION } else { 0 }
            | if net >> 4 == 14 { 0 } else { NO_GROUP };
        net += 1;
    }
    nets
};

#[inline(always)]
fn ipv6(frame: &Frame<'_>, below: &Below) -> Result<Datagram, End> {
    let ip = below.ip;
    let header: &[u8; 40] = frame.array(ip)?;
    refuse(header[0] >> 4 != 6, DropReason::IpHeader)?;
    // A payload length of 0 is a jumbogram's (RFC 2675), or there is no payload.
    let payload_len = usize::from(be16(header, 4));
    let end = ip + 40 + payload_len;
    refuse(payload_len == 0 || end > frame.len, DropReason::IpLength)?;
    let [next, hop_limit] = load(header, 6);
    let source = be128(header, 8);
    refuse(martian_v6(source, be128(header, 24), below.mac, next), DropReason::Martian)?;
    refuse(hop_limit == 0, DropReason::Ttl)?;
    let mut at = ip + 40;
    if next != UDP {
        at = extensions(frame, next, at, end)?;
        refuse(source == 0, DropReason::Martian)?;
    }
    udp(frame, below, 6, at, end - at)
}

/// Whether IPv6 addresses cannot be on the wire, or the MAC is not theirs.
///
/// IPv4-mapped addresses belong into programs, not packets; here they would be taken for IPv4
/// ones. Neighbour discovery and MLD may speak from `::` (RFC 4862, RFC 3590), MLD behind a
/// hop-by-hop header.
#[inline(always)]
fn martian_v6(source: u128, destination: u128, mac: u64, next: u8) -> bool {
    let bad_source = (source >> 120 == 0xff) | (source <= 1);
    let mapped = (source >> 32 == 0xffff) | (destination >> 32 == 0xffff);
    let group_mac = 0x3333_0000_0000 | u64::from(destination as u32);
    let disagree = is_group(mac) & ((destination >> 120 != 0xff) | (mac != group_mac));
    let others = (destination <= 1) | (source == destination) | mapped | disagree;
    (bad_source | others) && (others || source != 0 || !matches!(next, ICMPV6 | HOP_BY_HOP))
}

/// Walks the extension headers from `at` to `end`, the end of the IP payload.
/// Returns the offset of the UDP header.
#[cold]
fn extensions(frame: &Frame<'_>, first: u8, first_at: usize, end: usize) -> Result<usize, End> {
    let (mut next, mut at) = (first, first_at);
    for _ in 0..=EXTENSIONS {
        match next {
            UDP => return Ok(at),
            ICMPV6 => return Err(End::Punt),
            FRAGMENT => return Err(End::Drop(DropReason::Fragment)),
            // Nowhere but in front (RFC 8200, section 4.1).
            HOP_BY_HOP if at != first_at => break,
            HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS => {}
            _ => return Err(End::Drop(DropReason::NotUdp)),
        }
        if at + 8 > end {
            break;
        }
        let [following, units, _, segments_left] = *frame.array(at)?;
        at += (usize::from(units) + 1) * 8;
        // A source route that is not finished: the destination is not the last one.
        if at > end || (next == ROUTING && segments_left > 0) {
            break;
        }
        next = following;
    }
    Err(End::Drop(DropReason::IpHeader))
}

/// The UDP header at `at`, with `room` bytes of IP payload from there on.
#[inline(always)]
fn udp(
    frame: &Frame<'_>,
    below: &Below,
    version: u8,
    at: usize,
    room: usize,
) -> Result<Datagram, End> {
    refuse(room < 8, DropReason::UdpLength)?;
    let header: &[u8; 8] = frame.array(at)?;
    let length = usize::from(be16(header, 4));
    refuse(length < 8 || length > room, DropReason::UdpLength)?;
    refuse(version == 6 && be16(header, 6) == 0, DropReason::UdpChecksum)?;
    let headers = Headers {
        ip: below.ip as u8,
        version,
        udp: at as u16,
        vlan: below.vlan,
        port: 0,
        part: Part::Whole,
    };
    Ok(Datagram { headers, end: at + length })
}

/// Whether the address names a group (the broadcast address included).
#[inline(always)]
const fn is_group(mac: u64) -> bool {
    mac >> 40 & 1 == 1
}

/// The address as a number of 48 bits.
#[inline(always)]
const fn number(mac: [u8; 6]) -> u64 {
    let [a, b, c, d, e, f] = mac;
    u64::from_be_bytes([0, 0, a, b, c, d, e, f])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_macs_are_told_from_those_that_share_their_low_bits() {
        let mac = |last| MacAddr([2, 0, 0, 0, 0, last]);
        let own = OwnMacs::new([mac(1), mac(2)]);
        assert!(own.contains(mac(1)) && own.contains(mac(2)));
        assert!(!own.contains(mac(3)));
        assert!(!own.contains(mac(0x41)), "the filter's bit is that of 01");
        assert!(!OwnMacs::default().contains(mac(1)));
    }
}
