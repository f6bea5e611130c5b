//! The Internet checksum (RFC 1071) and its update from old and new fields (RFC 1624).
//!
//! Sums are kept in 64 bits with the carry brought back at the low end: as 2^64 - 1 is a multiple
//! of 2^16 - 1, words of 16, 32 and 64 bits add up to the same checksum, and no number of
//! additions overflows. Words are added as they lie in memory, without byte swaps: the sum of
//! swapped words is the swapped sum (RFC 1071, section 2 (B)).

use std::ops::{Add, AddAssign, Not};

use super::load::{be16, load};
use crate::packet::Headers;

/// The IP protocol number of UDP.
pub(super) const UDP: u8 = 17;

/// A one's complement sum of words as they lie in memory.
///
/// `!sum` is its negative: a field that changes from `old` to `new` adds `!old + new`, which is
/// equation 3 of RFC 1624.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum(u64);

impl Sum {
    /// The sum of nothing.
    pub const ZERO: Self = Self(0);

    /// The sum of one 16-bit number, as it would lie in a header.
    #[inline(always)]
    pub const fn of_number(number: u16) -> Self {
        Self(number.to_be() as u64)
    }

    /// The sum of up to four 16-bit words, loaded from memory in the processor's byte order.
    #[inline(always)]
    pub(super) const fn of_word(word: u64) -> Self {
        Self(word)
    }

    /// As [`Self::of_word`], eight words.
    #[inline(always)]
    pub(super) fn of_wide(word: u128) -> Self {
        Self(word as u64) + Self((word >> 64) as u64)
    }

    /// The sum of `bytes`; behind an odd last byte a zero is thought.
    #[inline]
    pub fn of_bytes(bytes: &[u8]) -> Self {
        // 32-bit words into 64-bit sums: no carries, so the compiler may use vectors. 2^32 words
        // would be needed to overflow.
        let (words, rest) = bytes.as_chunks::<4>();
        let sum: u64 = words.iter().map(|w| u64::from(u32::from_ne_bytes(*w))).sum();
        let last: [u8; 4] = match *rest {
            [a] => [a, 0, 0, 0],
            [a, b] => [a, b, 0, 0],
            [a, b, c] => [a, b, c, 0],
            _ => [0; 4],
        };
        Self(sum) + Self(u64::from(u32::from_ne_bytes(last)))
    }

    /// The sum in 16 bits, as it lies in memory.
    #[inline(always)]
    pub const fn fold(self) -> [u8; 2] {
        self.folded().to_ne_bytes()
    }

    /// As [`Self::fold`], in the processor's byte order.
    #[inline(always)]
    const fn folded(self) -> u16 {
        // Both halves of a word hold the sum of the halves, but only the upper one the carry, too.
        let sum = (self.0.wrapping_add(self.0.rotate_left(32)) >> 32) as u32;
        (sum.wrapping_add(sum.rotate_left(16)) >> 16) as u16
    }

    /// Whether it is the sum of a header with a good checksum: 0 in one's complement, where not all
    /// words are 0.
    #[inline(always)]
    pub const fn is_valid(self) -> bool {
        // Whether 2^16 - 1 divides it, by the inverse of that (Granlund and Montgomery, "Division by
        // Invariant Integers using Multiplication", PLDI 1994, section 9).
        self.0.wrapping_mul(0xfffe_fffe_fffe_ffff) <= u64::MAX / 0xffff
    }

    /// The checksum of what was added: the complement, as it lies in an IPv4 header.
    #[inline(always)]
    pub const fn checksum(self) -> [u8; 2] {
        (!self.folded()).to_ne_bytes()
    }

    /// The checksum as it lies in a UDP header, where 0 would say that there is none (RFC 768).
    #[inline(always)]
    pub const fn udp_checksum(self) -> [u8; 2] {
        match !self.folded() {
            0 => [0xff; 2],
            checksum => checksum.to_ne_bytes(),
        }
    }

    /// The same bytes, each one place later: what starts at an odd offset (RFC 1071, 2 (B)).
    #[inline]
    const fn swapped(self) -> Self {
        Self(self.folded().swap_bytes() as u64)
    }
}

impl Add for Sum {
    type Output = Self;

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        let (sum, carry) = self.0.overflowing_add(other.0);
        // No second carry: a sum that wrapped is at most 2^64 - 2.
        Self(sum.wrapping_add(u64::from(carry)))
    }
}

impl AddAssign for Sum {
    #[inline(always)]
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Not for Sum {
    type Output = Self;

    #[inline(always)]
    fn not(self) -> Self {
        Self(!self.0)
    }
}

/// The sum of bytes that come in segments of any length, odd ones included.
#[derive(Clone, Copy, Debug, Default)]
pub struct SegmentSum {
    sum: Sum,
    /// Bytes still to be passed over.
    skip: usize,
    /// Whether an odd number of bytes has been added.
    odd: bool,
}

impl SegmentSum {
    /// A sum that passes over the first `skip` bytes: the headers in front of a payload.
    pub const fn behind(skip: usize) -> Self {
        Self { sum: Sum::ZERO, skip, odd: false }
    }

    /// Adds the next segment.
    #[inline]
    pub fn add(&mut self, segment: &[u8]) {
        let skipped = self.skip.min(segment.len());
        self.skip -= skipped;
        let bytes = segment.get(skipped..).unwrap_or_default();
        let sum = Sum::of_bytes(bytes);
        self.sum += if self.odd { sum.swapped() } else { sum };
        self.odd ^= bytes.len() % 2 == 1;
    }

    /// The sum of all bytes added, the first at an even place.
    pub const fn sum(self) -> Sum {
        self.sum
    }
}

/// Whether the checksum of an IPv4 header, options included, is right (RFC 791, section 3.1).
pub fn ipv4_header_valid(header: &[u8]) -> bool {
    Sum::of_bytes(header).fold() == [0xff, 0xff]
}

/// Computes the UDP checksum of a parsed frame anew and stores it in the UDP header: what
/// `rx_checksum = "complete"` does where a kernel's offload left only the pseudo-header's sum.
///
/// `head` is the first segment, `payload` the sum of the bytes behind the UDP header
/// ([`SegmentSum::behind`] with [`Headers::payload`]), the frame already trimmed to the end of the
/// datagram. A checksum of zero stays zero in IPv4: the sender has none (RFC 768).
pub fn complete_udp_checksum(head: &mut [u8], headers: &Headers, payload: Sum) {
    let ip = usize::from(headers.ip);
    let udp = usize::from(headers.udp);
    let header: [u8; 8] = load(head, udp);
    if headers.version == 4 && header[6..] == [0, 0] {
        return;
    }
    let addresses = if headers.version == 4 {
        Sum::of_word(u64::from_ne_bytes(load(head, ip + 12)))
    } else {
        Sum::of_wide(u128::from_ne_bytes(load(head, ip + 8)))
            + Sum::of_wide(u128::from_ne_bytes(load(head, ip + 24)))
    };
    let [a, b, c, d, e, f, ..] = header;
    let header_sum = Sum::of_word(u64::from_ne_bytes([a, b, c, d, e, f, 0, 0]));
    let pseudo = addresses + Sum::of_number(u16::from(UDP)) + Sum::of_number(be16(&header, 4));
    let checksum = (pseudo + header_sum + payload).udp_checksum();
    if let Some(field) = head.get_mut(udp + 6..udp + 8) {
        field.copy_from_slice(&checksum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 1071, section 3: the example of the byte-by-byte sum.
    #[test]
    fn a_sum_is_valid_where_it_folds_to_all_ones() {
        let multiples = [1, 2, 0x1_0001, 0x1_0000_0001, u64::MAX / 0xffff];
        for multiple in multiples {
            for off in [-1_i64, 0, 1] {
                let sum = Sum::of_word((multiple * 0xffff).wrapping_add_signed(off));
                let folds = sum.0 != 0 && sum.fold() == [0xff, 0xff];
                assert_eq!(sum.is_valid(), folds || sum.0 == 0, "{sum:?}");
            }
        }
    }

    #[test]
    fn the_example_of_rfc_1071() {
        let sum = Sum::of_bytes(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
        assert_eq!(sum.fold(), [0xdd, 0xf2]);
        assert_eq!(sum.checksum(), [0x22, 0x0d]);
    }

    /// RFC 1624, section 4: 0x5555 becomes 0x3285 and the checksum 0xdd2f becomes 0x0000.
    #[test]
    fn the_example_of_rfc_1624() {
        let checksum = Sum::of_number(0xdd2f);
        let sum = !checksum + !Sum::of_number(0x5555) + Sum::of_number(0x3285);
        assert_eq!(sum.checksum(), [0, 0]);
        assert_eq!(sum.udp_checksum(), [0xff, 0xff]);
    }

    #[test]
    fn carries_come_back_at_the_low_end() {
        let most = Sum(u64::MAX);
        assert_eq!((most + most).0, u64::MAX);
        assert_eq!((most + Sum(1)).0, 1);
        assert_eq!(most.fold(), [0xff, 0xff]);
    }

    #[test]
    fn segments_of_any_length_add_up_as_one() {
        let bytes: Vec<u8> = (0..=255).cycle().take(1_001).collect();
        let whole = Sum::of_bytes(&bytes[42..]).fold();
        for step in 1..64 {
            let mut sum = SegmentSum::behind(42);
            bytes.chunks(step).for_each(|segment| sum.add(segment));
            assert_eq!(sum.sum().fold(), whole, "segments of {step} bytes");
        }
    }
}
