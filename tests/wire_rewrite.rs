//! Rewriting against etherparse: any good frame, any rewrite.

mod frames;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use frames::copy::{Fields, moved, read};
use frames::{Checksum, Frame, any, group_mac, v4, v6};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use proptest::option;
use proptest::prelude::*;
use punctual::config::{SourcePortRewrite, TtlRewrite, UdpPortRewrite, VlanRewrite};
use punctual::wire::{
    IpVersion, MAX_HEADER, MacAddr, Origin, OwnMacs, PLAIN_HEADER, Rewrite, Template, Verdict,
    parse, parse_plain,
};

const PORT_MAC: MacAddr = MacAddr([0x02, 0xaa, 0xbb, 0xcc, 0xdd, 0xee]);

/// A rewrite for both versions, of which a frame takes its own.
#[derive(Clone, Debug)]
struct Wish {
    v4: (Option<Ipv4Net>, Option<Ipv4Addr>),
    v6: (Option<Ipv6Net>, Option<Ipv6Addr>),
    mac: Option<[u8; 6]>,
    udp_port: UdpPortRewrite,
    source_port: SourcePortRewrite,
    vlan: VlanRewrite,
    ttl: TtlRewrite,
    dscp: Option<u8>,
}

fn wish() -> impl Strategy<Value = Wish> {
    let v4_net = (any::<u32>(), 0u8..=32)
        .prop_map(|(a, len)| Ipv4Net::new_assert(Ipv4Addr::from_bits(a), len));
    let v6_net = (any::<u128>(), 0u8..=128)
        .prop_map(|(a, len)| Ipv6Net::new_assert(Ipv6Addr::from_bits(a), len));
    let udp_port = prop_oneof![
        Just(UdpPortRewrite::Keep),
        any::<u16>().prop_map(UdpPortRewrite::Fixed),
        (-70_000i32..70_000).prop_map(UdpPortRewrite::Shift),
    ];
    let source_port = prop_oneof![
        Just(SourcePortRewrite::Keep),
        Just(SourcePortRewrite::Destination),
        any::<u16>().prop_map(SourcePortRewrite::Fixed),
    ];
    let vlan = prop_oneof![
        Just(VlanRewrite::Keep),
        Just(VlanRewrite::None),
        (1u16..4095).prop_map(VlanRewrite::Id),
    ];
    let ttl = prop_oneof![Just(TtlRewrite::Decrement), (1u8..).prop_map(TtlRewrite::Set),];
    let v4 = (option::of(v4_net), option::of(any::<u32>().prop_map(Ipv4Addr::from_bits)));
    let v6 = (option::of(v6_net), option::of(any::<u128>().prop_map(Ipv6Addr::from_bits)));
    (v4, v6, option::of(any::<[u8; 6]>()), udp_port, source_port, vlan, ttl, option::of(0u8..64))
        .prop_map(|(v4, v6, mac, udp_port, source_port, vlan, ttl, dscp)| Wish {
            v4,
            v6,
            mac,
            udp_port,
            source_port,
            vlan,
            ttl,
            dscp,
        })
}

/// The part of a wish that is for this frame's version.
fn rewrite(frame: &Frame, wish: &Wish) -> Rewrite {
    let (version, destination, source) = match frame.source {
        IpAddr::V4(_) => (IpVersion::V4, wish.v4.0.map(IpNet::V4), wish.v4.1.map(IpAddr::V4)),
        IpAddr::V6(_) => (IpVersion::V6, wish.v6.0.map(IpNet::V6), wish.v6.1.map(IpAddr::V6)),
    };
    // A unicast destination needs a MAC.
    let mac = match wish.mac {
        None if !moved(frame.destination, destination).is_multicast() => Some([2; 6]),
        mac => mac,
    };
    Rewrite {
        version,
        source_mac: PORT_MAC,
        mac: mac.map(MacAddr),
        destination,
        udp_port: wish.udp_port,
        source,
        source_port: wish.source_port,
        vlan: wish.vlan,
        ttl: wish.ttl,
        dscp: wish.dscp,
    }
}

/// The fields that a frame's copy must have.
fn expected(frame: &Frame, rewrite: &Rewrite) -> Fields {
    let v4 = rewrite.version == IpVersion::V4;
    let destination = moved(frame.destination, rewrite.destination);
    let udp_port = match rewrite.udp_port {
        UdpPortRewrite::Keep => frame.udp_port,
        UdpPortRewrite::Fixed(port) => port,
        UdpPortRewrite::Shift(by) => (i32::from(frame.udp_port) + by).rem_euclid(65_536) as u16,
    };
    Fields {
        mac: rewrite.mac.map_or_else(|| group_mac(destination), |mac| mac.0),
        source_mac: PORT_MAC.0,
        tags: match rewrite.vlan {
            VlanRewrite::Keep => frame.tags.clone(),
            VlanRewrite::None => vec![],
            VlanRewrite::Id(id) => {
                let priority = frame.tags.first().map_or(0, |(_, tci)| tci & 0xf000);
                vec![(0x8100, priority | id)]
            }
        },
        source: rewrite.source.unwrap_or(frame.source),
        destination,
        ttl: match rewrite.ttl {
            TtlRewrite::Decrement => frame.ttl - 1,
            TtlRewrite::Set(ttl) => ttl,
        },
        tos: rewrite.dscp.map_or(frame.tos, |dscp| dscp << 2 | frame.tos & 3),
        flow_label: if v4 { 0 } else { frame.flow_label },
        id: if v4 { frame.id } else { 0 },
        // The reserved flag is none of ours to pass on.
        fragment: if v4 { frame.fragment & 0x4000 } else { 0 },
        source_port: match rewrite.source_port {
            SourcePortRewrite::Keep => frame.source_port,
            SourcePortRewrite::Destination => udp_port,
            SourcePortRewrite::Fixed(port) => port,
        },
        udp_port,
        payload: frame.payload.clone(),
    }
}

/// What parse and rewriting make of a frame: the copy, header and payload.
fn copy(bytes: &[u8], rewrite: &Rewrite) -> Result<Vec<u8>, TestCaseError> {
    let Verdict::Udp { headers, frame_len } = parse(bytes, bytes.len(), &OwnMacs::default()) else {
        return Err(TestCaseError::fail("the frame is not good"));
    };
    let origin = Origin::read(bytes, &headers);
    let template = Template::new(rewrite);
    let payload = &bytes[origin.payload()..frame_len];
    let header_len = template.header_len(&origin);
    prop_assert!(header_len <= MAX_HEADER);
    // Behind the header lies what must not be touched.
    let mut header = vec![0xa5; header_len + 8];
    template.write(&origin, &mut header);
    prop_assert_eq!(&header[header_len..], [0xa5; 8]);
    header.truncate(header_len);
    // The way of plain frames is another, and comes to the same.
    if let Some(head) = bytes.first_chunk()
        && template.is_plain()
        && parse_plain(bytes, bytes.len(), &OwnMacs::default()).is_some()
    {
        let mut plain = [0xa5; PLAIN_HEADER];
        template.write_plain(&Origin::read_plain(head), &mut plain);
        prop_assert_eq!(&plain[..], &header[..]);
    }
    let tags = header_len + payload.len() - 14 - template.ip_len(&origin);
    prop_assert!(matches!(tags, 0 | 4 | 8), "ip_len leaves {tags} bytes of tags");
    Ok([&header, payload].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn a_copy_is_as_the_output_asks(frame in any::frame(), wish in wish()) {
        let bytes = frame.bytes();
        let rewrite = rewrite(&frame, &wish);
        let copy = copy(&bytes, &rewrite)?;
        let (found, checksum, right) = read(&copy).map_err(TestCaseError::fail)?;
        prop_assert_eq!(found, expected(&frame, &rewrite));

        let udp = frame.udp_at();
        let received = u16::from_be_bytes([bytes[udp + 6], bytes[udp + 7]]);
        if received == 0 {
            prop_assert_eq!(checksum, 0, "zero stays zero");
        } else if frame.checksum == Checksum::Right {
            prop_assert_eq!(checksum, right);
        } else {
            // As wrong as it was: the same distance to the right one, modulo 2^16 - 1.
            let was = frame.clone().with(|f| f.checksum = Checksum::Right).bytes();
            let was = u16::from_be_bytes([was[udp + 6], was[udp + 7]]);
            let distance = |sum: u16, right: u16| (u32::from(sum) + 65_535 - u32::from(right)) % 65_535;
            prop_assert_ne!(checksum, 0);
            prop_assert_eq!(distance(checksum, right), distance(received, was));
        }
    }
}

/// A rewrite that changes nothing but the source MAC.
fn plain(version: IpVersion) -> Rewrite {
    Rewrite {
        version,
        source_mac: PORT_MAC,
        mac: None,
        destination: None,
        udp_port: UdpPortRewrite::Keep,
        source: None,
        source_port: SourcePortRewrite::Keep,
        vlan: VlanRewrite::Keep,
        ttl: TtlRewrite::Set(16),
        dscp: None,
    }
}

/// A rewrite that changes nothing gives the received bytes, but for our MAC: also where the
/// checksum's sum is zero in one of its two forms.
#[test]
fn nothing_changed_is_nothing_changed() {
    for (version, frame) in [(IpVersion::V4, v4()), (IpVersion::V6, v6())] {
        for word in 0..=u16::MAX {
            let frame = frame.clone().with(|f| f.payload = word.to_be_bytes().to_vec());
            let mut bytes = frame.bytes();
            let copy = copy(&bytes, &plain(version)).expect("a good frame");
            bytes[6..12].copy_from_slice(&PORT_MAC.0);
            assert_eq!(copy, bytes, "payload {word:#06x}");
        }
    }
}

#[test]
fn only_a_decremented_ttl_expires() {
    let expired = |ttl, rewrite| {
        let bytes = v4().with(|f| f.ttl = ttl).bytes();
        let Verdict::Udp { headers, .. } = parse(&bytes, bytes.len(), &OwnMacs::default()) else {
            panic!("a good frame");
        };
        let template = Template::new(&Rewrite { ttl: rewrite, ..plain(IpVersion::V4) });
        template.ttl_expired(&Origin::read(&bytes, &headers))
    };
    assert!(expired(1, TtlRewrite::Decrement));
    assert!(!expired(2, TtlRewrite::Decrement));
    assert!(!expired(255, TtlRewrite::Decrement));
    assert!(!expired(1, TtlRewrite::Set(16)));
    assert!(!expired(1, TtlRewrite::Set(1)));
}

#[test]
fn lengths_of_what_is_sent() {
    let bytes = v6()
        .with(|f| f.tags = vec![(0x88a8, 7), (0x8100, 200)])
        .with(|f| f.extensions = vec![frames::extension(0)])
        .bytes();
    let Verdict::Udp { headers, .. } = parse(&bytes, bytes.len(), &OwnMacs::default()) else {
        panic!("a good frame");
    };
    let origin = Origin::read(&bytes, &headers);
    for (vlan, tags) in [(VlanRewrite::Keep, 8), (VlanRewrite::None, 0), (VlanRewrite::Id(5), 4)] {
        let template = Template::new(&Rewrite { vlan, ..plain(IpVersion::V6) });
        assert_eq!(template.header_len(&origin), 14 + tags + 40 + 8);
        assert_eq!(template.ip_len(&origin), 40 + 8 + 4);
    }
    assert_eq!(origin.payload(), 14 + 8 + 40 + 8 + 8);
    assert_eq!((origin.ttl(), origin.version()), (16, 6));
}
