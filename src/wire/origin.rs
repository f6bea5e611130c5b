//! Origin: what the copies of a packet need of the received one, read once.

use super::checksum::Sum;
use super::fragment::Fragment;
use super::key::PLAIN_HEADER;
use super::load::{be16, load};
use crate::packet::{Headers, Part};

/// The fields of a parsed packet that its copies keep or change.
///
/// Words are held as they lie in memory, ready to be masked, summed and stored without byte
/// swaps; numbers that are computed with (ports, lengths, TTL) in the processor's order.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    /// IPv4: the plain header of a copy as far as the received one goes into it: version to fragment
    /// bits; TTL, protocol, a checksum that means nothing, and source; destination and UDP ports.
    pub(super) v4: [u64; 3],
    /// IPv6: the addresses.
    pub(super) source: u128,
    pub(super) destination: u128,
    /// The UDP checksum and all that a copy replaces in its sum: `HC - ~m` of RFC 1624, equation 4.
    /// Each copy takes its new values alone.
    pub(super) udp_sum: Sum,
    /// The VLAN tags (TPID and TCI each), zero behind them.
    pub(super) tags: u64,
    /// IPv6: the first word of the header.
    pub(super) first_word: u32,
    /// The UDP ports, as they lie in memory.
    pub(super) ports: u32,
    /// The UDP length, header included; of a fragment what it has of IP payload.
    pub(super) udp_len: u16,
    /// The UDP length, as it lies in memory.
    pub(super) udp_length: [u8; 2],
    /// The UDP checksum, as it lies in memory.
    pub(super) udp_checksum: u16,
    payload: u16,
    /// Bytes of VLAN tags: 0, 4 or 8.
    pub(super) tags_len: u8,
    pub(super) ttl: u8,
    version: u8,
    /// What else there is of a fragment.
    pub(super) fragment: Option<Fragment>,
}

/// The bytes of an IPv4 header's first word that come from the received one: all but version,
/// lengths and fragment offset.
const KEPT_V4: u64 = u64::from_ne_bytes([0, 0xff, 0, 0, 0xff, 0xff, 0x40, 0]);

impl Origin {
    const NONE: Self = Self {
        v4: [0; 3],
        source: 0,
        destination: 0,
        udp_sum: Sum::ZERO,
        tags: 0,
        first_word: 0,
        ports: 0,
        udp_len: 0,
        udp_length: [0; 2],
        udp_checksum: 0,
        payload: 0,
        tags_len: 0,
        ttl: 0,
        version: 0,
        fragment: None,
    };

    /// Reads a frame that parse has found good; `head` is its first segment.
    ///
    /// Bytes that are not there read as zeros, so nothing can panic.
    pub fn read(head: &[u8], headers: &Headers) -> Self {
        let mut origin = Self::read_at(head, headers.ip, headers.version, headers.udp);
        if headers.part != Part::Whole {
            origin.read_fragment(head, headers);
        }
        origin
    }

    /// Reads what a fragment has besides: its flags and offset, and its own length.
    #[cold]
    fn read_fragment(&mut self, head: &[u8], headers: &Headers) {
        let (fragment, len) = Fragment::read(head, headers);
        (self.fragment, self.udp_len) = (Some(fragment), len);
        if headers.version == 4 {
            let [high, low] = len.wrapping_add(20).to_be_bytes();
            let [.., a, b, flags, offset] = load::<8>(head, headers.ip.into());
            let kept = u64::from_ne_bytes([0xff, 0xff, 0, 0, 0, 0, 0, 0]);
            let own = [0, 0, high, low, a, b, flags & 0x7f, offset];
            self.v4[0] = self.v4[0] & kept | u64::from_ne_bytes(own);
        }
    }

    /// Whether it is a fragment of a datagram.
    #[inline(always)]
    pub fn is_fragment(&self) -> bool {
        self.fragment.is_some()
    }

    /// As [`Self::read`], of headers that are plain ([`plain_head`](super::plain_head)).
    #[inline(always)]
    pub fn read_plain(head: &[u8; PLAIN_HEADER]) -> Self {
        let [first, second, third] = [14, 22, 30].map(|at| u64::from_ne_bytes(load(head, at)));
        let udp_checksum = u16::from_ne_bytes(load(head, 40));
        Self {
            // A plain header is that of its copies: nothing in it but what they keep.
            v4: [first, second, third],
            udp_sum: Sum::of_word(udp_checksum.into())
                + Sum::of_word(second & SOURCE_V4)
                + Sum::of_word(third),
            ports: u32::from_ne_bytes(load(head, 34)),
            udp_len: be16(head, 38),
            udp_length: load(head, 38),
            udp_checksum,
            payload: PLAIN_HEADER as u16,
            ttl: head[22],
            version: 4,
            ..Self::NONE
        }
    }

    /// Whether the received headers are IPv4 without tags; options do not go into a copy.
    #[inline(always)]
    pub fn is_plain(&self) -> bool {
        self.version == 4 && self.tags_len == 0
    }

    /// Reads headers at `ip` and `udp`.
    #[inline(always)]
    fn read_at(head: &[u8], ip: u8, version: u8, udp: u16) -> Self {
        let at = usize::from(ip);
        let udp_header: [u8; 8] = load(head, udp.into());
        let udp_checksum = u16::from_ne_bytes(load(&udp_header, 6));
        let udp_len = be16(&udp_header, 4);
        let tags_len = ip.saturating_sub(14).min(8);
        let mut origin = Self {
            udp_sum: Sum::of_word(udp_checksum.into()),
            // Ethernet's first 12 bytes are the MACs; the next 8 are tags as far as there are any.
            tags: u64::from_ne_bytes(load(head, 12)) & TAGS[usize::from(tags_len / 4)],
            ports: u32::from_ne_bytes(load(&udp_header, 0)),
            udp_len,
            udp_length: load(&udp_header, 4),
            udp_checksum,
            payload: udp.saturating_add(8),
            tags_len,
            version,
            ..Self::NONE
        };
        if version == 4 {
            let header: [u8; 20] = load(head, at);
            let [first, second] = [0, 8].map(|at| u64::from_ne_bytes(load(&header, at)));
            let [a, b, c, d] = load(&header, 16);
            let [e, f, g, h] = origin.ports.to_ne_bytes();
            origin.set_v4([first, second, u64::from_ne_bytes([a, b, c, d, e, f, g, h])]);
        } else {
            origin.read_v6(&load(head, at));
        }
        origin
    }

    /// Takes an IPv4 header and the UDP ports, in words as they lie in memory.
    #[inline(always)]
    fn set_v4(&mut self, [first, second, third]: [u64; 3]) {
        // No overflow: the received IP packet was at least 20 bytes longer than its datagram.
        let [high, low] = self.udp_len.wrapping_add(20).to_be_bytes();
        let own = u64::from_ne_bytes([0x45, 0, high, low, 0, 0, 0, 0]);
        self.v4 = [first & KEPT_V4 | own, second, third];
        [self.ttl, ..] = second.to_ne_bytes();
        self.udp_sum += Sum::of_word(second & SOURCE_V4) + Sum::of_word(third);
    }

    #[inline(always)]
    fn read_v6(&mut self, header: &[u8; 40]) {
        self.source = u128::from_ne_bytes(load(header, 8));
        self.destination = u128::from_ne_bytes(load(header, 24));
        self.first_word = u32::from_ne_bytes(load(header, 0));
        self.ttl = header[7];
        self.udp_sum += Sum::of_word(self.ports.into())
            + Sum::of_wide(self.source)
            + Sum::of_wide(self.destination);
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

/// The source in the second word of an IPv4 header.
pub(super) const SOURCE_V4: u64 = u64::from_ne_bytes([0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
