//! Fragments: what is relayed of a datagram that IP has cut, one by one (RFC 791, section 3.2; RFC
//! 8200, section 4.5). None waits for another, and nothing is put together.
//!
//! The first one holds the UDP header, and its copies get a new one; those behind it have addresses
//! alone. Where and whose they are in their datagram stays as the sender made it.

use super::checksum::UDP;
use super::load::{be16, be128, load};
use super::parse::{FRAGMENT, is_tag};
use crate::packet::{Headers, Part};

/// Bytes of IPv6's fragment header.
pub const FRAGMENT_HEADER: usize = 8;
/// The longest IP packet, which no datagram may be longer than when it is put together.
const IP_MAX: usize = 65_535;

/// What a copy of a fragment needs besides its [`Origin`](super::Origin).
#[derive(Clone, Copy, Debug)]
pub struct Fragment {
    /// IPv6: the fragment header.
    pub(super) header: [u8; FRAGMENT_HEADER],
    /// The UDP length of the whole datagram; the first fragment has it.
    pub(super) udp_len: u16,
    /// Whether it is the first.
    pub(super) first: bool,
}

impl Fragment {
    /// What is kept of a fragment's headers, and the bytes of IP payload that it is sent with: of
    /// IPv6 those of its fragment header are among them.
    #[cold]
    pub(super) fn read(head: &[u8], headers: &Headers) -> (Self, u16) {
        let (ip, first) = (usize::from(headers.ip), headers.part == Part::First);
        let header_at = headers.payload().saturating_sub(8 * (1 + usize::from(first)));
        let fragment = Self {
            header: load(head, header_at),
            udp_len: be16(head, usize::from(headers.udp) + 4),
            first,
        };
        let len = match headers.version {
            4 => usize::from(be16(head, ip + 2)).saturating_sub(header_len_v4(head, ip)),
            _ => (ip + 40 + usize::from(be16(head, ip + 4))).saturating_sub(header_at),
        };
        (fragment, len as u16)
    }
}

/// Where the headers of a fragment of UDP are, and where it ends in its frame; `head` is the first
/// segment of a frame that [`parse`](super::parse()) has found good but for being a fragment.
///
/// `None` where it can be no part of a datagram that is: its length is no multiple of 8 though
/// more follow, it ends beyond 65,535 bytes (RFC 791), or it is the first and has no whole UDP header
/// (RFC 1858, section 3; RFC 7112), or one whose length disagrees. Nor where it comes from nowhere.
#[cold]
pub fn parse_fragment(head: &[u8]) -> Option<(Headers, usize)> {
    let mut headers = Headers { ip: 14, ..Headers::default() };
    if is_tag(be16(head, 12)) {
        (headers.ip, headers.vlan) = (18, be16(head, 14) & 0xfff);
        if is_tag(be16(head, 16)) {
            headers.ip = 22;
        }
    }
    let ip = usize::from(headers.ip);
    headers.version = head.get(ip)? >> 4;
    // The payload's start and end, the offset in units of 8, and whether more follow.
    let (start, end, offset, more) = match headers.version {
        4 => {
            let field = be16(head, ip + 6);
            let (start, end) = (ip + header_len_v4(head, ip), ip + usize::from(be16(head, ip + 2)));
            (start, end, field & 0x1fff, field & 0x2000 != 0)
        }
        _ => {
            let at = fragment_header(head, ip).filter(|_| be128(head, ip + 8) != 0)?;
            let field = be16(head, at + 2);
            let end = ip + 40 + usize::from(be16(head, ip + 4));
            (at + FRAGMENT_HEADER, end, field >> 3, field & 1 != 0)
        }
    };
    let len = end.checked_sub(start).filter(|len| *len > 0)?;
    let offset = usize::from(offset) * 8;
    let is_sound = (!more || len.is_multiple_of(8)) && offset + len + (start - ip) <= IP_MAX;
    headers.part = if offset == 0 { Part::First } else { Part::Later };
    if headers.part == Part::Later {
        headers.udp = (start - 8) as u16;
        return (is_sound && start <= head.len()).then_some((headers, end));
    }
    headers.udp = start as u16;
    let udp: &[u8; 8] = head.get(start..)?.first_chunk()?;
    let udp_len = usize::from(be16(udp, 4));
    // One that says of itself that it is all of them (RFC 6946) is a whole datagram.
    let agrees = if more { udp_len > len } else { (8..=len).contains(&udp_len) };
    // IPv6 has a checksum (RFC 8200, section 8.1).
    let summed = headers.version == 4 || be16(udp, 6) != 0;
    (is_sound && agrees && summed).then_some((headers, end))
}

/// Bytes of an IPv4 header.
fn header_len_v4(head: &[u8], ip: usize) -> usize {
    usize::from(head.get(ip).map_or(0, |byte| byte & 0xf)) * 4
}

/// Offset of IPv6's fragment header, where UDP is behind it. The headers in front of it have been
/// walked before, so they are as long as they say.
fn fragment_header(head: &[u8], ip: usize) -> Option<usize> {
    let (mut next, mut at) = (*head.get(ip + 6)?, ip + 40);
    while next != FRAGMENT {
        let [following, units] = load(head, at);
        (next, at) = (following, at + (usize::from(units) + 1) * 8);
        if at >= head.len() {
            return None;
        }
    }
    (*head.get(at)? == UDP).then_some(at)
}
