//! Bytes of strangers: what an IGMP or MLD frame says, or why it is ignored.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use etherparse::{
    InternetSlice, IpNumber, Ipv4Slice, Ipv6ExtensionSlice, Ipv6Slice, LinkExtSlice, SlicedPacket,
};

use super::message::{Family, Heard, Query, Version};
use crate::wire::Sum;

/// What an IGMPv1 query leaves time for (RFC 1112; RFC 3376, section 7.2.1).
const IGMP1_RESPONSE: Duration = Duration::from_secs(10);
/// The option of IPv4 and IPv6 by which routers look at what is not for them (RFC 2113, RFC 2711).
const ALERT_V4: u8 = 0x94;
const ALERT_V6: u8 = 5;
const ALL_HOSTS_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);
const ALL_HOSTS_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// Makes the enum, `ALL`, `name` and `meaning` from one list.
macro_rules! ignored {
    ($($variant:ident $name:literal $meaning:literal,)+) => {
        /// Why a message was ignored; each has a counter.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Ignored {
            $(#[doc = $meaning] $variant,)+
        }

        impl Ignored {
            /// Every reason.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The stable snake_case name in reports.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// One line for the operator.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)+ }
            }
        }
    };
}

ignored! {
    Malformed "malformed" "no whole message: too short, a length that no version has, a list that does not fit",
    Checksum "checksum" "the checksum is wrong",
    Ttl "ttl" "the TTL or hop limit is not 1, so it may come from afar",
    RouterAlert "router_alert" "there is no router alert option",
    Source "source" "an MLD message whose sender is not link-local",
    Destination "destination" "a query that was sent to neither all hosts nor its group",
    Group "group" "it names a group that is none",
    NotJoined "not_joined" "a query on a VLAN on which nothing is joined",
}

/// A message and where it was heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The VLAN id of the outermost tag; 0 is untagged.
    pub vlan: u16,
    /// Its protocol.
    pub family: Family,
    /// What it says.
    pub heard: Heard,
}

/// What an Ethernet frame says of groups. No bytes make it panic.
///
/// # Errors
/// Why it is to be ignored (RFC 3376, sections 4 and 9.1; RFC 3810, sections 5.1.14 and 6.2).
pub fn receive(frame: &[u8]) -> Result<Message, Ignored> {
    let packet = SlicedPacket::from_ethernet(frame).map_err(|_| Ignored::Malformed)?;
    let vlan = packet.link_exts.iter().find_map(|tag| match tag {
        LinkExtSlice::Vlan(tag) => Some(tag.vlan_identifier().value()),
        LinkExtSlice::Macsec(_) => None,
    });
    let (family, heard) = match &packet.net {
        Some(InternetSlice::Ipv4(ip)) => (Family::V4, igmp(ip)?),
        Some(InternetSlice::Ipv6(ip)) => (Family::V6, mld(ip)?),
        _ => return Err(Ignored::Malformed),
    };
    Ok(Message { vlan: vlan.unwrap_or(0), family, heard })
}

fn refuse(wrong: bool, why: Ignored) -> Result<(), Ignored> {
    if wrong { Err(why) } else { Ok(()) }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], Ignored> {
    bytes.get(at..).and_then(|b| b.first_chunk()).copied().ok_or(Ignored::Malformed)
}

fn igmp(ip: &Ipv4Slice<'_>) -> Result<Heard, Ignored> {
    let (header, bytes) = (ip.header(), ip.payload().payload);
    let other = ip.payload_ip_number() != IpNumber::IGMP || ip.is_payload_fragmented();
    refuse(other || bytes.len() < 8, Ignored::Malformed)?;
    refuse(header.ttl() != 1, Ignored::Ttl)?;
    refuse(Sum::of_bytes(bytes).checksum() != [0, 0], Ignored::Checksum)?;
    let [kind, code] = array(bytes, 0)?;
    let group = Ipv4Addr::from(array(bytes, 4)?);
    // A host of IGMPv1 knows no router alert (RFC 3376, section 9.1).
    let oldest = kind == 0x12 || (kind == 0x11 && code == 0 && bytes.len() == 8);
    refuse(!oldest && !has_alert_v4(header.options()), Ignored::RouterAlert)?;
    match kind {
        0x11 => {}
        0x12 | 0x16 => {
            refuse(!group.is_multicast(), Ignored::Group)?;
            return Ok(Heard::Report(group.into()));
        }
        _ => return Ok(Heard::Other),
    }
    let tenths = |count: u32| Duration::from_millis(100) * count;
    let (version, max_response) = match (bytes.len(), code) {
        (8, 0) => (Version::Igmp1, IGMP1_RESPONSE),
        (8, tens) => (Version::Igmp2, tenths(tens.into())),
        (12.., code) => (Version::Igmp3, tenths(small_float(code))),
        _ => return Err(Ignored::Malformed),
    };
    let mut query = Query {
        version,
        // In the first version the field means nothing.
        group: (version != Version::Igmp1 && !group.is_unspecified()).then_some(group.into()),
        sources: Vec::new(),
        max_response,
        robustness: None,
        interval: None,
        querier: header.source_addr().into(),
    };
    if version == Version::Igmp3 {
        read_tail(&mut query, array(bytes, 8)?, &bytes[12..], 4, |source| {
            array(source, 0).map(|octets: [u8; 4]| IpAddr::from(octets))
        })?;
    }
    check_query(&query, header.destination_addr().into(), ALL_HOSTS_V4.into())?;
    Ok(Heard::Query(query))
}

fn mld(ip: &Ipv6Slice<'_>) -> Result<Heard, Ignored> {
    let (header, payload) = (ip.header(), ip.payload());
    let bytes = payload.payload;
    let other = payload.ip_number != IpNumber::IPV6_ICMP || ip.is_payload_fragmented();
    refuse(other || bytes.len() < 8, Ignored::Malformed)?;
    refuse(header.hop_limit() != 1, Ignored::Ttl)?;
    refuse(!has_alert_v6(ip), Ignored::RouterAlert)?;
    let (from, to) = (header.source_addr(), header.destination_addr());
    let pseudo = Sum::of_bytes(&from.octets())
        + Sum::of_bytes(&to.octets())
        + Sum::of_bytes(&(bytes.len() as u32).to_be_bytes())
        + Sum::of_number(IpNumber::IPV6_ICMP.0.into());
    refuse((pseudo + Sum::of_bytes(bytes)).checksum() != [0, 0], Ignored::Checksum)?;
    let [kind] = array(bytes, 0)?;
    // A host that has no address yet reports from `::`, and asks nothing (RFC 3590).
    let nobody = from.is_unspecified() && kind != 130;
    refuse(!from.is_unicast_link_local() && !nobody, Ignored::Source)?;
    match kind {
        130 => {}
        131 => {
            let group = Ipv6Addr::from(array::<16>(bytes, 8)?);
            refuse(!group.is_multicast(), Ignored::Group)?;
            return Ok(Heard::Report(group.into()));
        }
        132 | 143 => return Ok(Heard::Other),
        _ => return Err(Ignored::Malformed),
    }
    let code = u16::from_be_bytes(array(bytes, 4)?);
    let group = Ipv6Addr::from(array::<16>(bytes, 8)?);
    let (version, milliseconds) = match bytes.len() {
        24 => (Version::Mld1, code.into()),
        28.. => (Version::Mld2, large_float(code)),
        _ => return Err(Ignored::Malformed),
    };
    let mut query = Query {
        version,
        group: (!group.is_unspecified()).then_some(group.into()),
        sources: Vec::new(),
        max_response: Duration::from_millis(milliseconds.into()),
        robustness: None,
        interval: None,
        querier: from.into(),
    };
    if version == Version::Mld2 {
        read_tail(&mut query, array(bytes, 24)?, &bytes[28..], 16, |source| {
            array(source, 0).map(|octets: [u8; 16]| IpAddr::from(octets))
        })?;
    }
    check_query(&query, to.into(), ALL_HOSTS_V6.into())?;
    Ok(Heard::Query(query))
}

/// What IGMPv3 and MLDv2 queries have behind the group: robustness, interval, sources.
fn read_tail(
    query: &mut Query,
    [robustness, interval, count_high, count_low]: [u8; 4],
    sources: &[u8],
    source_bytes: usize,
    source: impl Fn(&[u8]) -> Result<IpAddr, Ignored>,
) -> Result<(), Ignored> {
    let count = usize::from(u16::from_be_bytes([count_high, count_low]));
    let sources = sources.get(..count * source_bytes).ok_or(Ignored::Malformed)?;
    query.sources = sources.chunks(source_bytes).map(source).collect::<Result<_, _>>()?;
    // Zero says: above seven, or none; then the host's own default holds.
    query.robustness = Some(robustness & 7).filter(|&robustness| robustness > 0);
    let seconds = small_float(interval);
    query.interval = (seconds > 0).then(|| Duration::from_secs(seconds.into()));
    Ok(())
}

/// Whether the group is one, and the query was sent to it, to all hosts, or to a host alone.
fn check_query(query: &Query, to: IpAddr, all_hosts: IpAddr) -> Result<(), Ignored> {
    let no_group = query.group.is_some_and(|group| !group.is_multicast());
    refuse(no_group || (query.group.is_none() && !query.sources.is_empty()), Ignored::Group)?;
    let elsewhere = to.is_multicast() && to != all_hosts && Some(to) != query.group;
    refuse(elsewhere, Ignored::Destination)
}

fn has_alert_v4(mut options: &[u8]) -> bool {
    loop {
        match *options {
            [ALERT_V4, 4, _, _, ..] => return true,
            // No operation; the end of the list and what cannot be skipped end the search.
            [1, ref rest @ ..] => options = rest,
            [kind, length, ..] if kind > 1 && length > 1 => match options.get(length.into()..) {
                Some(rest) => options = rest,
                None => return false,
            },
            _ => return false,
        }
    }
}

fn has_alert_v6(ip: &Ipv6Slice<'_>) -> bool {
    let hop_by_hop = ip.extensions().clone().into_iter().find_map(|extension| match extension {
        Ipv6ExtensionSlice::HopByHop(options) => Some(options),
        _ => None,
    });
    let Some(header) = hop_by_hop else { return false };
    let mut options = header.payload();
    loop {
        match *options {
            [ALERT_V6, 2, _, _, ..] => return true,
            [0, ref rest @ ..] => options = rest,
            [_, length, ref rest @ ..] => match rest.get(usize::from(length)..) {
                Some(rest) => options = rest,
                None => return false,
            },
            _ => return false,
        }
    }
}

/// A code of eight bits: itself, or a mantissa of four bits and an exponent of three
/// (RFC 3376, section 4.1.1).
pub(super) fn small_float(code: u8) -> u32 {
    match code {
        ..128 => code.into(),
        _ => u32::from(code & 0xf | 0x10) << ((code >> 4 & 7) + 3),
    }
}

/// A code of 16 bits: itself, or a mantissa of twelve bits and an exponent of three
/// (RFC 3810, section 5.1.3).
pub(super) fn large_float(code: u16) -> u32 {
    match code {
        ..0x8000 => code.into(),
        _ => u32::from(code & 0xfff | 0x1000) << ((code >> 12 & 7) + 3),
    }
}
