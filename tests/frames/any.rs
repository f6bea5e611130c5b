//! Any good frame, for property tests.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::collection::vec;
use proptest::prelude::*;

use super::{Checksum, Frame, v4};

/// Any frame that parse must find good.
pub fn frame() -> impl Strategy<Value = Frame> {
    (addresses(), ethernet(), ip(), udp(), tails())
        .prop_map(
            |((source, destination), (tags, group), (ttl, tos, flow_label, id), udp, tails)| {
                let (options, extensions, flags) = tails.0;
                let v6 = source.is_ipv6();
                let (source_port, udp_port, checksum, payload) = udp;
                Frame {
                    mac: (!group).then_some(super::OURS),
                    tags,
                    source,
                    destination,
                    ttl,
                    tos,
                    flow_label,
                    id,
                    fragment: flags << 14,
                    options: if v6 { vec![] } else { options },
                    extensions: if v6 { extensions } else { vec![] },
                    source_port,
                    udp_port,
                    checksum,
                    payload,
                    behind_udp: tails.1,
                    padding: tails.2,
                    ..v4()
                }
            },
        )
        // IPv6 must have a checksum.
        .prop_map(|frame| {
            let udp = frame.udp_at();
            let none = frame.source.is_ipv6() && frame.bytes()[udp + 6..udp + 8] == [0, 0];
            frame.with(|f| {
                if none {
                    f.checksum = Checksum::Right;
                }
            })
        })
}

fn addresses() -> impl Strategy<Value = (IpAddr, IpAddr)> {
    // Unicast in front, a group or another unicast address behind.
    let v4 = (128u8..=223, any::<[u8; 3]>(), 1u8..=126, any::<bool>(), any::<[u8; 3]>()).prop_map(
        |(a, [b, c, d], first, group, [f, g, h])| {
            let first = if group { 224 | first & 15 } else { first };
            (Ipv4Addr::new(a, b, c, d).into(), Ipv4Addr::new(first, f, g, h).into())
        },
    );
    let v6 = (any::<u128>(), any::<u128>(), any::<bool>()).prop_map(|(source, low, group)| {
        let high = if group { 0xff05 } else { 0xfd00 };
        (
            Ipv6Addr::from_bits(source >> 3 | 0x2000 << 112).into(),
            Ipv6Addr::from_bits(low >> 16 | high << 112).into(),
        )
    });
    prop_oneof![v4, v6]
}

fn ethernet() -> impl Strategy<Value = (Vec<(u16, u16)>, bool)> {
    let tpid = prop_oneof![Just(0x8100u16), Just(0x88a8), Just(0x9100)];
    (vec((tpid, any::<u16>()), 0..=2), any::<bool>())
}

/// TTL, type of service, flow label, identification.
fn ip() -> impl Strategy<Value = (u8, u8, u32, u16)> {
    (2u8.., any::<u8>(), 0u32..1 << 20, any::<u16>())
}

fn udp() -> impl Strategy<Value = (u16, u16, Checksum, Vec<u8>)> {
    let checksum = prop_oneof![
        3 => Just(Checksum::Right),
        1 => Just(Checksum::Zero),
        1 => any::<u16>().prop_map(Checksum::Off),
    ];
    // All zeros and all ones are where one's complement has two zeros.
    let payload = prop_oneof![
        4 => vec(any::<u8>(), 0..64),
        1 => vec(any::<u8>(), 0..=9_000),
        1 => vec(prop_oneof![Just(0u8), Just(0xff)], 0..8),
    ];
    let port = || prop_oneof![4 => any::<u16>(), 1 => Just(0u16), 1 => Just(u16::MAX)];
    (port(), port(), checksum, payload)
}

/// IPv4 options, IPv6 extension headers, the reserved flag and DF; bytes behind the datagram; padding.
type Tails = ((Vec<u8>, Vec<(u8, Vec<u8>)>, u16), Vec<u8>, Vec<u8>);

fn tails() -> impl Strategy<Value = Tails> {
    let options = vec(any::<[u8; 4]>(), 0..=10).prop_map(|words| words.concat());
    let body = (0u8..4).prop_flat_map(|units| {
        vec(any::<u8>(), 6 + 8 * usize::from(units))
            .prop_map(move |rest| [&[units][..], &rest].concat())
    });
    let extension = (prop_oneof![Just(43u8), Just(60)], body);
    let extensions =
        (any::<bool>(), vec(extension, 0..=8)).prop_map(|(hop_by_hop, mut extensions)| {
            if let Some((number, _)) = extensions.first_mut().filter(|_| hop_by_hop) {
                *number = 0;
            }
            for (number, body) in &mut extensions {
                if *number == 43 {
                    body[2] = 0;
                }
            }
            extensions
        });
    ((options, extensions, 0u16..4), vec(any::<u8>(), 0..16), vec(any::<u8>(), 0..16))
}
