//! Datagrams that leave as one long datagram, which a kernel or a card cuts up (UDP segmentation).
//!
//! Who cuts gives each part the headers of the whole, writes lengths and checksums anew, and counts
//! the IPv4 identification up. So a datagram goes with those in front of it only where that gives
//! back what it was: the headers are the same, it is as long as the first (the last may be shorter),
//! its UDP checksum is there and right (a wrong one would become right), and its identification
//! counts up, or says nothing because the datagram may not be fragmented (RFC 6864, section 4.1).

use super::checksum::{Sum, UDP};
use super::load::{be16, load};

/// The longest headers of a bundle, in bytes: Ethernet, IPv6, UDP.
pub const BUNDLE_HEADERS: usize = ETHERNET + 40 + 8;
const ETHERNET: usize = 14;
/// Payload bytes of a bundle at most, so that lengths of 16 bits hold it with all headers.
const PAYLOAD_MAX: usize = 0xffff - BUNDLE_HEADERS;
/// "Don't fragment" in the IPv4 header's flags.
const DF: u16 = 0x4000;
/// What a fragment has there: more follow, or an offset.
const FRAGMENT: u16 = 0x3fff;

/// A datagram that could be part of a bundle.
#[derive(Clone, Debug)]
pub struct Part {
    /// Its headers, with zeros where parts differ: lengths, identification, checksums.
    common: [u8; BUNDLE_HEADERS],
    /// Where its UDP header is.
    udp: usize,
    /// Bytes of its payload.
    payload: usize,
    /// IPv4 identification.
    id: u16,
    /// The sum of the UDP header, its checksum and the pseudo-header.
    sum: Sum,
}

impl Part {
    /// Reads the frame of `len` bytes whose first segment is `head`; `None` where it goes alone
    /// whatever comes next: tags, options, fragments, padding, no checksum, no payload.
    pub fn read(head: &[u8], len: usize) -> Option<Self> {
        let (udp, ip_len) = match (be16(head, 12), *head.get(ETHERNET)?) {
            (0x0800, 0x45) => (ETHERNET + 20, usize::from(be16(head, 16))),
            (0x86dd, 0x60..=0x6f) => (ETHERNET + 40, usize::from(be16(head, 18)) + 40),
            _ => return None,
        };
        let (is_v4, end) = (udp == ETHERNET + 20, udp + 8);
        let mut common = [0; BUNDLE_HEADERS];
        common[..end].copy_from_slice(head.get(..end)?);
        let (protocol, fragment) =
            if is_v4 { (common[23], be16(&common, 20) & FRAGMENT) } else { (common[20], 0) };
        let udp_len = be16(&common, udp + 4);
        let fits = ETHERNET + ip_len == len && udp + usize::from(udp_len) == len && len > end;
        if protocol != UDP || fragment != 0 || !fits || be16(&common, udp + 6) == 0 {
            return None;
        }
        let header = Sum::of_word(u64::from_ne_bytes(load(&common, udp)));
        let sum = pseudo(&common, udp, udp_len) + header;
        let id = if is_v4 { be16(&common, 18) } else { 0 };
        let differing = if is_v4 { [16..18, 18..20, 24..26] } else { [18..20, 18..20, 18..20] };
        differing.into_iter().for_each(|field| common[field].fill(0));
        common[udp + 4..end].fill(0);
        Some(Self { common, udp, payload: len - end, id, sum })
    }

    /// Bytes in front of the payload.
    pub const fn headers_len(&self) -> usize {
        self.udp + 8
    }

    /// Whether its UDP checksum is right; `payload` is the sum of its payload's bytes.
    fn is_right(&self, payload: Sum) -> bool {
        (self.sum + payload).fold() == [0xff, 0xff]
    }

    const fn is_v4(&self) -> bool {
        self.udp == ETHERNET + 20
    }
}

/// The sum of the pseudo-header (RFC 768, RFC 8200 section 8.1) for a UDP length.
fn pseudo(headers: &[u8], udp: usize, udp_len: u16) -> Sum {
    let addresses = if udp == ETHERNET + 20 { &headers[26..34] } else { &headers[22..54] };
    Sum::of_bytes(addresses) + Sum::of_number(UDP.into()) + Sum::of_number(udp_len)
}

/// Datagrams that leave as one.
#[derive(Clone, Debug)]
pub struct Bundle {
    first: Part,
    datagrams: u16,
    payload: usize,
    is_full: bool,
}

impl Bundle {
    /// Of one datagram, whose payload has this sum; `None` where its checksum is wrong.
    pub fn new(first: Part, sum: Sum) -> Option<Self> {
        let payload = first.payload;
        first.is_right(sum).then_some(Self { first, datagrams: 1, payload, is_full: false })
    }

    /// Takes a datagram in, if it can come next and its checksum is right, which `sum` tells.
    pub fn takes(&mut self, next: &Part, sum: impl FnOnce() -> Sum) -> bool {
        let Self { first, datagrams, payload, is_full } = self;
        // IPv6 has no identification, and its headers no such flag.
        let says_nothing = !first.is_v4() || be16(&first.common, 20) & DF != 0;
        let fits = !*is_full
            && next.common == first.common
            && next.udp == first.udp
            && next.payload <= first.payload
            && *payload + next.payload <= PAYLOAD_MAX
            && (says_nothing || next.id == first.id.wrapping_add(*datagrams))
            && next.is_right(sum());
        if fits {
            *datagrams += 1;
            *payload += next.payload;
            *is_full = next.payload < first.payload;
        }
        fits
    }

    /// How many they are.
    pub fn datagrams(&self) -> usize {
        self.datagrams.into()
    }

    /// Payload bytes of each but the last.
    pub fn segment(&self) -> u16 {
        // A UDP length was as large.
        self.first.payload as u16
    }

    /// The bytes in front of the payload, and in front of the UDP header.
    pub fn lengths(&self) -> (u16, u16) {
        (self.first.headers_len() as u16, self.first.udp as u16)
    }

    /// The headers of the whole. Its UDP checksum is the sum of the pseudo-header, as a kernel
    /// leaves it to who cuts.
    pub fn headers(&self) -> [u8; BUNDLE_HEADERS] {
        let Self { first, payload, .. } = self;
        let mut headers = first.common;
        let udp_len = (payload + 8) as u16;
        let mut write = |at: usize, number: u16| {
            headers[at..at + 2].copy_from_slice(&number.to_be_bytes());
        };
        write(first.udp + 4, udp_len);
        if first.is_v4() {
            write(16, udp_len + 20);
            write(18, first.id);
        } else {
            write(18, udp_len);
        }
        if first.is_v4() {
            let checksum = Sum::of_bytes(&headers[ETHERNET..first.udp]).checksum();
            headers[24..26].copy_from_slice(&checksum);
        }
        let sum = pseudo(&headers, first.udp, udp_len).fold();
        headers[first.udp + 6..first.udp + 8].copy_from_slice(&sum);
        headers
    }
}
