//! Origin: what the copies of a packet need of the received one, read once.

use super::checksum::Sum;
use super::load::{be16, load};
use crate::packet::Headers;

/// The fields of a parsed packet that its copies keep or change.
///
/// Words are held as they lie in memory, ready to be masked, summed and stored without byte
/// swaps; numbers that are computed with (ports, lengths, TTL) in the processor's order.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    /// The addresses; an IPv4 one in the low 32 bits.
    pub(super) source: u128,
    pub(super) destination: u128,
    /// The negative of all that a copy replaces in the UDP checksum's sum, and of the checksum
    /// itself: `~HC + ~m` of RFC 1624, equation 3. Each copy adds its new values alone.
    pub(super) udp_sum: Sum,
    /// The VLAN tags (TPID and TCI each), zero behind them.
    pub(super) tags: u64,
    /// The first word of the IP header. IPv4: only the type of service. IPv6: all of it.
    pub(super) first_word: u32,
    /// IPv4: identification and the DF bit. IPv6: 0.
    pub(super) second_word: u32,
    pub(super) source_port: u16,
    pub(super) destination_port: u16,
    /// The UDP length, header included.
    pub(super) udp_len: u16,
    /// The UDP checksum, as it lies in memory.
    pub(super) udp_checksum: [u8; 2],
    payload: u16,
    /// Bytes of VLAN tags: 0, 4 or 8.
    pub(super) tags_len: u8,
    pub(super) ttl: u8,
    version: u8,
}

impl Origin {
    /// Reads a frame that parse has found good; `head` is its first segment.
    ///
    /// Bytes that are not there read as zeros, so nothing can panic.
    #[inline]
    pub fn read(head: &[u8], headers: &Headers) -> Self {
        let udp: [u8; 8] = load(head, headers.udp.into());
        let ports = Sum::of_word(u32::from_ne_bytes(load(&udp, 0)).into());
        let checksum: [u8; 2] = load(&udp, 6);
        let tags_len = headers.ip.saturating_sub(14).min(8);
        // Ethernet's first 12 bytes are the MACs; the next 8 are tags as far as there are any.
        let tags = u64::from_ne_bytes(load(head, 12)) & TAGS[usize::from(tags_len / 4)];
        let ip = read_ip(head, headers);
        let replaced = Sum::of_word(u16::from_ne_bytes(checksum).into()) + ip.addresses + ports;
        Self {
            source: ip.source,
            destination: ip.destination,
            udp_sum: !replaced,
            tags,
            first_word: ip.first_word,
            second_word: ip.second_word,
            source_port: be16(&udp, 0),
            destination_port: be16(&udp, 2),
            udp_len: be16(&udp, 4),
            udp_checksum: checksum,
            payload: headers.udp.saturating_add(8),
            tags_len,
            ttl: ip.ttl,
            version: headers.version,
        }
    }

    /// Offset of the UDP payload: the bytes in front of it are what a copy's header replaces.
    #[inline(always)]
    pub fn payload(&self) -> usize {
        self.payload.into()
    }

    /// The received TTL or hop limit.
    #[inline(always)]
    pub fn ttl(&self) -> u8 {
        self.ttl
    }

    /// 4 or 6.
    #[inline(always)]
    pub fn version(&self) -> u8 {
        self.version
    }
}

/// The bytes of `tags` that are tags, by their number.
const TAGS: [u64; 3] = [0, u64::from_ne_bytes([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]), u64::MAX];

/// What [`Origin`] takes of the IP header.
struct Ip {
    source: u128,
    destination: u128,
    /// The sum of both.
    addresses: Sum,
    first_word: u32,
    second_word: u32,
    ttl: u8,
}

#[inline(always)]
fn read_ip(head: &[u8], headers: &Headers) -> Ip {
    if headers.version == 4 {
        let header: [u8; 20] = load(head, headers.ip.into());
        let word = |at| u32::from_ne_bytes(load(&header, at));
        Ip {
            source: word(12).into(),
            destination: word(16).into(),
            addresses: Sum::of_word(u64::from(word(12)) + u64::from(word(16))),
            first_word: word(0) & u32::from_ne_bytes([0, 0xff, 0, 0]),
            second_word: word(4) & u32::from_ne_bytes([0xff, 0xff, 0x40, 0]),
            ttl: header[8],
        }
    } else {
        let header: [u8; 40] = load(head, headers.ip.into());
        let source = u128::from_ne_bytes(load(&header, 8));
        let destination = u128::from_ne_bytes(load(&header, 24));
        Ip {
            source,
            destination,
            addresses: Sum::of_wide(source) + Sum::of_wide(destination),
            first_word: u32::from_ne_bytes(load(&header, 0)),
            second_word: 0,
            ttl: header[7],
        }
    }
}
