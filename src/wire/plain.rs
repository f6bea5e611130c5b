//! Plain frames, as nearly all are: good ones of IPv4 without tags and options, known by checks at
//! constant offsets. The other frames are not judged here, but by [`parse()`](super::parse()).
//!
//! Numbers are compared as they lie in memory, with the first byte lowest: what need not be turned
//! is not.

use super::checksum::{Sum, UDP};
use super::key::PLAIN_HEADER;
use super::load::{be16, be32, load};
use super::parse::{OwnMacs, is_martian_source, martian_v4};
use crate::packet::NarrowKey;

/// A good frame with [`Headers::PLAIN`](crate::packet::Headers::PLAIN).
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
/// What is set in fragments: more of them, an offset.
const FRAGMENT_BITS: u16 = u16::from_le_bytes([0x3f, 0xff]);
/// The MAC of an IPv4 group (RFC 1112, section 6.4) begins so, and then has these bits of the address
/// and the two bytes behind them.
const GROUP_MAC: u32 = u32::from_le_bytes([0x01, 0x00, 0x5e, 0]);
const GROUP_BITS: u32 = u32::from_le_bytes([0, 0x7f, 0, 0]);

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
    let (fragment, ttl) = (quarter(20) & FRAGMENT_BITS, head[22]);
    if fragment != 0 || ttl == 0 || head[23] != UDP {
        return None;
    }
    // The UDP header's destination port and length.
    let (udp_port, udp_len) = (be32(head, 36) & 0xffff_0000, be32(head, 36) & 0xffff);
    let [total_len, udp_len] = [be16(head, 16).into(), i64::from(udp_len)];
    // Below 0 where one of them is.
    let spare = (udp_len - 8) | (total_len - 20 - udp_len) | (frame_len as i64 - 14 - total_len);
    if spare < 0 {
        return None;
    }
    let sum = Sum::of_word(word(14)) + Sum::of_word(word(22)) + Sum::of_word(half(30).into());
    if !sum.is_valid() || own.may_have(head[11]) || is_martian(head) {
        return None;
    }
    let key = NarrowKey::from(be32(head, 30)) << 32 | NarrowKey::from(udp_port);
    Some(Plain { frame_len: 34 + udp_len as usize, key })
}

/// Whether the addresses cannot be on the wire. A group with its own MAC has a good destination,
/// which is no source's.
#[inline(always)]
fn is_martian(head: &[u8; PLAIN_HEADER]) -> bool {
    let half = |at| u32::from_le_bytes(load(head, at));
    let destination = half(30);
    let is_group = (destination & 0xf0 == 0xe0)
        && half(0) == GROUP_MAC | (destination & GROUP_BITS) << 16
        && u16::from_le_bytes(load(head, 4)) == (destination >> 16) as u16;
    if is_group {
        return is_martian_source(head[26]);
    }
    let mac = u64::from_be_bytes(load(head, 0)) >> 16;
    martian_v4(be32(head, 26), be32(head, 30), mac, UDP)
}
