//! What a parsed packet is classified by.

use super::load::{be16, be32, be128};
use crate::packet::{Headers, NarrowKey, Packet, Part};

/// The prefix of an IPv4 address among IPv6 ones: `::ffff:a.b.c.d` (RFC 4291, section 2.5.5.2).
/// Parse drops IPv6 packets that carry such addresses, so the two versions never meet.
const MAPPED: u128 = 0xffff_0000_0000;

/// Destination, UDP port and VLAN: what a row of the classifier matches exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The IP destination; an IPv4 one as `::ffff:a.b.c.d`.
    pub destination: u128,
    /// The UDP destination port; 0 of a fragment.
    pub udp_port: u16,
    /// The VLAN id of the outermost tag; 0 for untagged.
    pub vlan: u16,
}

impl Key {
    /// The key of a parsed frame; `head` is its first segment.
    #[inline(always)]
    pub fn read(head: &[u8], headers: &Headers) -> Self {
        let Some(head) = plain(head, headers) else {
            return Self {
                destination: address(head, headers, 16, 24),
                // Fragments behind the first have none, so the first goes without, too.
                udp_port: match headers.part {
                    Part::Whole => be16(head, usize::from(headers.udp) + 2),
                    Part::First | Part::Later => 0,
                },
                vlan: headers.vlan,
            };
        };
        let destination = MAPPED | u128::from(be32(head, 30));
        Self { destination, udp_port: be16(head, 36), vlan: 0 }
    }

    /// The key of a parsed packet.
    #[inline(always)]
    pub fn of(packet: &impl Packet) -> Self {
        match packet.meta().key {
            0 => Self::read(packet.head(), &packet.meta().headers),
            key => Self::from_narrow(key),
        }
    }

    /// The key that `narrow` is.
    #[inline(always)]
    pub fn from_narrow(narrow: NarrowKey) -> Self {
        let bytes = narrow.to_ne_bytes();
        let destination = MAPPED | u128::from(be32(&bytes, 0));
        Self { destination, udp_port: be16(&bytes, 6), vlan: be16(&bytes, 4) }
    }

    /// The whole of it in a word, where the destination is an IPv4 one.
    #[inline(always)]
    pub fn narrow(&self) -> Option<NarrowKey> {
        let [a, b, c, d] = (self.destination as u32).to_be_bytes();
        let ([e, f], [g, h]) = (self.vlan.to_be_bytes(), self.udp_port.to_be_bytes());
        let is_v4 = self.destination >> 32 == MAPPED >> 32;
        is_v4.then_some(NarrowKey::from_ne_bytes([a, b, c, d, e, f, g, h]))
    }
}

/// The IP source of a parsed frame; an IPv4 one as `::ffff:a.b.c.d`.
#[inline(always)]
pub fn source(head: &[u8], headers: &Headers) -> u128 {
    match plain(head, headers) {
        Some(head) => MAPPED | u128::from(be32(head, 26)),
        None => address(head, headers, 12, 8),
    }
}

/// The UDP source port of a parsed frame.
#[inline(always)]
pub fn source_port(head: &[u8], headers: &Headers) -> u16 {
    be16(head, usize::from(headers.udp))
}

/// Bytes of Ethernet, IPv4 and UDP without tags and options.
pub const PLAIN_HEADER: usize = 42;

/// The headers of a packet that parse has found to be [`Plain`](super::Plain).
#[inline(always)]
pub fn plain_head(packet: &impl Packet) -> Option<&[u8; PLAIN_HEADER]> {
    match packet.meta().key {
        0 => None,
        _ => packet.head().first_chunk(),
    }
}

/// [`plain_head`], to be written.
#[inline(always)]
pub fn plain_head_mut(packet: &mut impl Packet) -> Option<&mut [u8; PLAIN_HEADER]> {
    match packet.meta().key {
        0 => None,
        _ => packet.head_mut().first_chunk_mut(),
    }
}

/// The headers of nearly all frames, IPv4 without tags and options: at constant offsets no load is
/// checked.
#[inline(always)]
fn plain<'a>(head: &'a [u8], headers: &Headers) -> Option<&'a [u8; PLAIN_HEADER]> {
    let Headers { ip, version, udp, vlan, part, .. } = *headers;
    let is_plain = (ip, version, udp, vlan, part as u8) == (14, 4, 34, 0, Part::Whole as u8);
    if is_plain { head.first_chunk() } else { None }
}

/// The address at `v4` or `v6` bytes behind the start of the IP header.
#[inline(always)]
fn address(head: &[u8], headers: &Headers, v4: usize, v6: usize) -> u128 {
    let ip = usize::from(headers.ip);
    if headers.version == 4 {
        MAPPED | u128::from(be32(head, ip + v4))
    } else {
        be128(head, ip + v6)
    }
}
