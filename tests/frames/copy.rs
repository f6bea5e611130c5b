//! A copy as etherparse reads it: a second opinion on what was sent.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::defrag::IpDefragPool;
use etherparse::{LinkExtSlice, LinkSlice, NetSlice, SlicedPacket, TransportSlice, UdpHeader};
use ipnet::IpNet;

/// What a copy says.
#[derive(Clone, Debug, PartialEq)]
pub struct Fields {
    /// Destination MAC.
    pub mac: [u8; 6],
    /// Source MAC.
    pub source_mac: [u8; 6],
    /// VLAN tags as TPID and TCI, outermost first.
    pub tags: Vec<(u16, u16)>,
    /// IP source.
    pub source: IpAddr,
    /// IP destination.
    pub destination: IpAddr,
    /// TTL or hop limit.
    pub ttl: u8,
    /// Type of service or traffic class.
    pub tos: u8,
    /// IPv6 flow label.
    pub flow_label: u32,
    /// IPv4 identification.
    pub id: u16,
    /// IPv4 flags and fragment offset.
    pub fragment: u16,
    /// UDP source port.
    pub source_port: u16,
    /// UDP port.
    pub udp_port: u16,
    /// UDP payload.
    pub payload: Vec<u8>,
}

/// The address, moved into the prefix.
pub fn moved(address: IpAddr, net: Option<IpNet>) -> IpAddr {
    match (net, address) {
        (Some(IpNet::V4(net)), IpAddr::V4(to)) => {
            Ipv4Addr::from_bits(net.network().to_bits() | to.to_bits() & net.hostmask().to_bits())
                .into()
        }
        (Some(IpNet::V6(net)), IpAddr::V6(to)) => {
            Ipv6Addr::from_bits(net.network().to_bits() | to.to_bits() & net.hostmask().to_bits())
                .into()
        }
        _ => address,
    }
}

/// The fields that etherparse reads, which must leave no byte unread, and the UDP checksum as it
/// is and as it should be. Fails where the IPv4 header is not plain or its checksum wrong.
pub fn read(bytes: &[u8]) -> Result<(Fields, u16, u16), String> {
    let sliced =
        SlicedPacket::from_ethernet(bytes).map_err(|error| format!("etherparse: {error}"))?;
    let Some(LinkSlice::Ethernet2(ethernet)) = &sliced.link else {
        return Err("no Ethernet".to_owned());
    };
    let Some(TransportSlice::Udp(udp)) = &sliced.transport else {
        return Err("no UDP".to_owned());
    };
    ensure(udp.slice().as_ptr_range().end == bytes.as_ptr_range().end, "bytes are left unread")?;
    ensure(usize::from(udp.length()) == udp.slice().len(), "the UDP length is wrong")?;
    let tags = tags(ethernet.ether_type().0, &sliced.link_exts)?;
    let udp_header = UdpHeader { checksum: 0, ..udp.to_header() };
    let mut fields = Fields {
        mac: ethernet.destination(),
        source_mac: ethernet.source(),
        tags,
        source: Ipv4Addr::UNSPECIFIED.into(),
        destination: Ipv4Addr::UNSPECIFIED.into(),
        ttl: 0,
        tos: 0,
        flow_label: 0,
        id: 0,
        fragment: 0,
        source_port: udp.source_port(),
        udp_port: udp.destination_port(),
        payload: udp.payload().to_vec(),
    };
    let right = match &sliced.net {
        Some(NetSlice::Ipv4(ip)) => {
            let header = ip.header().to_header();
            ensure(header.header_len() == 20, "IPv4 options")?;
            ensure(
                header.header_checksum == header.calc_header_checksum(),
                "the IPv4 checksum is wrong",
            )?;
            fields.source = ip.header().source_addr().into();
            fields.destination = ip.header().destination_addr().into();
            fields.ttl = header.time_to_live;
            fields.tos = header.dscp.value() << 2 | header.ecn.value();
            fields.id = header.identification;
            fields.fragment = u16::from_be_bytes([ip.header().slice()[6], ip.header().slice()[7]]);
            udp_header.calc_checksum_ipv4_raw(header.source, header.destination, udp.payload())
        }
        Some(NetSlice::Ipv6(ip)) => {
            let header = ip.header().to_header();
            ensure(ip.extensions().is_empty(), "IPv6 extension headers")?;
            fields.source = ip.header().source_addr().into();
            fields.destination = ip.header().destination_addr().into();
            fields.ttl = header.hop_limit;
            fields.tos = header.traffic_class;
            fields.flow_label = header.flow_label.value();
            udp_header.calc_checksum_ipv6_raw(header.source, header.destination, udp.payload())
        }
        other => return Err(format!("{other:?}")),
    };
    Ok((fields, udp.checksum(), right.expect("the payload is short enough")))
}

/// The tags as TPID and TCI; `tpid` is the outermost one's.
fn tags(mut tpid: u16, exts: &[LinkExtSlice<'_>]) -> Result<Vec<(u16, u16)>, String> {
    let mut tags = vec![];
    for tag in exts {
        let LinkExtSlice::Vlan(vlan) = tag else {
            return Err("no VLAN tag".to_owned());
        };
        let [high, low, next_high, next_low] = vlan.to_header().to_bytes();
        tags.push((tpid, u16::from_be_bytes([high, low])));
        tpid = u16::from_be_bytes([next_high, next_low]);
    }
    Ok(tags)
}

/// The IP payload of a datagram whose fragments these are, in any order, as etherparse puts it
/// together; `None` where one is missing.
pub fn put_together(fragments: &[Vec<u8>]) -> Result<Option<Vec<u8>>, String> {
    let mut pool = IpDefragPool::<(), ()>::new();
    let mut whole = None;
    for bytes in fragments {
        let sliced = SlicedPacket::from_ethernet(bytes).map_err(|e| format!("etherparse: {e}"))?;
        if let Some(NetSlice::Ipv4(ip)) = &sliced.net {
            let header = ip.header().to_header();
            let right = header.header_checksum == header.calc_header_checksum();
            ensure(right, "the IPv4 checksum is wrong")?;
        }
        let done = pool.process_sliced_packet(&sliced, (), ()).map_err(|e| format!("{e:?}"))?;
        ensure(whole.is_none(), "more than the whole")?;
        whole = done.map(|whole| whole.payload);
    }
    Ok(whole)
}

fn ensure(holds: bool, why: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(why.to_owned()) }
}
