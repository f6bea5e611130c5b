//! Plain frames, as nearly all are: good ones of IPv4 without tags and options, known by checks at
//! constant offsets. The other frames are not judged here, but by [`parse()`](super::parse()).
//!
//! Numbers are compared as they lie in memory, with the first byte lowest: what need not be turned
//! is not.

use super::MacAddr;
use super::checksum::{Sum, UDP};
use super::key::PLAIN_HEADER;
use super::load::{be16, be32, load};
use super::parse::{OwnMacs, is_martian_source, martian_v4};
use crate::packet::NarrowKey;

/// A good frame with [`Headers::PLAIN`](crate::packet::Headers::PLAIN), whose IP packet ends with the
/// datagram: a copy's header keeps all that it does not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plain {
    /// As in [`Verdict::Udp`](super::Verdict::Udp).
    pub frame_len: usize,
    /// What it is classified by.
    pub key: NarrowKey,
}

/// Ethertype; version and header length.
const IPV4: u16 = u16::from_le_bytes([0x08, 0x00]);
const NO_OPTIONS: u8 = 0x45;
/// Of flags, fragment offset, TTL and protocol the bits that tell a whole datagram: not the TTL, nor
/// whether it may be cut up. What they are in UDP's.
const WHOLE: u32 = u32::from_le_bytes([0xbf, 0xff, 0, 0xff]);
const WHOLE_UDP: u32 = u32::from_le_bytes([0, 0, 0, UDP]);
/// The destination and the UDP port, without the source port between them, where a key has a VLAN.
const KEY: NarrowKey = NarrowKey::from_ne_bytes([0xff, 0xff, 0xff, 0xff, 0, 0, 0xff, 0xff]);
/// The MAC of an IPv4 group (RFC 1112, section 6.4) begins so, and then has these bits of the
/// address.
const GROUP_MAC: u64 = u64::from_le_bytes([0x01, 0x00, 0x5e, 0, 0, 0, 0, 0]);
const GROUP_BITS: u64 = u64::from_le_bytes([0, 0x7f, 0xff, 0xff, 0, 0, 0, 0]);

/// Knows a plain frame of `frame_len` bytes of which `head` is the first segment.
#[inline(always)]
pub fn parse_plain(head: &[u8], frame_len: usize, own: &OwnMacs) -> Option<Plain> {
    let head: &[u8; PLAIN_HEADER] = head.first_chunk()?;
    let word = |at| u64::from_le_bytes(load(head, at));
    let half = |at| u32::from_le_bytes(load(head, at));
    let quarter = |at| u16::from_le_bytes(load(head, at));
    if quarter(12) != IPV4 || head[14] != NO_OPTIONS {
        return None;
    }
    if half(20) & WHOLE != WHOLE_UDP || head[22] == 0 {
        return None;
    }
    let udp_len = be16(head, 38);
    let end = 34 + usize::from(udp_len);
    // Of a longer datagram the IP packet's length would not go into its field.
    if !(8..=u16::MAX - 20).contains(&udp_len)
        || load(head, 16) != (udp_len + 20).to_be_bytes()
        || end > frame_len
    {
        return None;
    }
    let sum = Sum::of_word(word(14)) + Sum::of_word(word(22)) + Sum::of_word(half(30).into());
    // Nearly all strangers are known by one byte.
    let is_own = || own.may_have(head[11]) && own.contains(MacAddr(load(head, 6)));
    if !sum.is_valid() || is_own() || is_martian(head) {
        return None;
    }
    Some(Plain { frame_len: end, key: NarrowKey::from_ne_bytes(load(head, 30)) & KEY })
}

/// Whether the addresses cannot be on the wire. A group with its own MAC has a good destination,
/// which is no source's.
#[inline(always)]
fn is_martian(head: &[u8; PLAIN_HEADER]) -> bool {
    let destination = u32::from_le_bytes(load(head, 30));
    let group_mac = GROUP_MAC | (u64::from(destination) & GROUP_BITS) << 16;
    // Of the eight bytes two are the source's.
    let has_its_mac = (u64::from_le_bytes(load(head, 0)) ^ group_mac) << 16 == 0;
    if destination & 0xf0 == 0xe0 && has_its_mac {
        return is_martian_source(head[26]);
    }
    is_martian_elsewhere(head)
}

/// [`is_martian`] where the destination is no group, or has not the MAC of one: a call, so that what is
/// compared here takes no registers there.
#[inline(never)]
fn is_martian_elsewhere(head: &[u8; PLAIN_HEADER]) -> bool {
    let mac = u64::from_be_bytes(load(head, 0)) >> 16;
    martian_v4(be32(head, 26), be32(head, 30), mac, UDP)
}
