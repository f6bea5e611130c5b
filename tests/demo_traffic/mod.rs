//! The traffic of `config/demo.toml`, the same bytes every time.
//!
//! Three streams such as a relay meets, one in each class, and around them what else is on a wire:
//! ARP, IGMP, streams nobody asked for, and frames that are broken in ways that have a name.

#![allow(dead_code, reason = "each user takes a part of it")]

use std::net::{Ipv4Addr, Ipv6Addr};

use punctual::testkit::pcap::{PcapError, Writer};

use crate::frames::{Checksum, Frame, OURS, resum, v4, v6};

/// Monday, 5 January 2026, 14:30 UTC: an exchange opens. In microseconds.
const OPENING: u64 = 1_767_623_400_000_000;
/// What the capture covers, in microseconds.
const SPAN: u64 = 400_000;

/// A frame and when it is on the wire, in microseconds after the opening.
type Timed = (u64, Vec<u8>);

/// The demo's capture file.
pub fn demo() -> Result<Vec<u8>, PcapError> {
    let mut frames = [market(), media(), telemetry(), around(), broken()].concat();
    frames.sort_by_key(|(at, _)| *at);
    write(frames)
}

fn write(frames: Vec<Timed>) -> Result<Vec<u8>, PcapError> {
    let mut writer = Writer::new(Vec::new())?;
    for (at, frame) in frames {
        writer.write((OPENING + at) * 1_000, &frame)?;
    }
    writer.finish()
}

/// High: an exchange's feed, eight groups with a UDP port each. It comes in bursts: 10 updates at
/// once every 10 ms, as a book moves, and the heartbeat of one group between them.
fn market() -> Vec<Timed> {
    let bursts = (0..SPAN / 10_000).flat_map(|burst| {
        let update = move |i| (burst * 10_000 + 500 + i * 3, 40 + jitter(burst * 10 + i, 48));
        let heartbeat = (burst * 10_000 + 5_000, 8);
        (0..10).map(update).chain([heartbeat])
    });
    let frame = |(sequence, (at, len)): (u64, (u64, u64))| {
        let channel = (jitter(sequence, 8)) as u8;
        let frame = v4().with(|f| {
            f.source_mac = [2, 0, 0, 0, 1, 1];
            f.destination = Ipv4Addr::new(239, 1, 0, 1 + channel).into();
            f.udp_port = 5_000 + u16::from(channel);
            f.id = sequence as u16;
            f.payload = numbered(sequence, len);
            // One sender in the exchange has the TTL that hosts give multicast by default.
            f.ttl = if sequence % 100 == 99 { 1 } else { 16 };
        });
        (at, padded(frame.bytes()))
    };
    (0..).zip(bursts).map(frame).collect()
}

/// Medium: 1,300-byte datagrams in VLAN 110, one every 4 ms, as video sends them. Two are longer
/// than one of the demo's ports can send.
fn media() -> Vec<Timed> {
    let frame = |sequence| {
        let len = if sequence % 40 == 20 { 1_440 } else { 1_300 };
        let frame = v4().with(|f| {
            f.source_mac = [2, 0, 0, 0, 2, 1];
            f.source = Ipv4Addr::new(10, 20, 0, 1).into();
            f.destination = Ipv4Addr::new(239, 2, 0, 1).into();
            f.udp_port = 20_000;
            f.tags = vec![(0x8100, 4 << 13 | 110)];
            f.id = sequence as u16;
            f.payload = numbered(sequence, len);
        });
        (sequence * 4_000 + 1_000 + jitter(sequence, 40), frame.bytes())
    };
    (0..SPAN / 4_000).map(frame).collect()
}

/// Low: syslog over IPv6 from five hosts, one line every 5 ms; at 200 ms one of them floods.
fn telemetry() -> Vec<Timed> {
    let calm = (0..SPAN / 5_000).map(|i| (i * 5_000 + 2_000 + jitter(i, 900), i % 5));
    let flood = (0..40).map(|i| (200_000 + i * 100, 3));
    let frame = |(sequence, (at, host)): (u64, (u64, u64))| {
        let frame = v6().with(|f| {
            f.source_mac = [2, 0, 0, 0, 3, host as u8];
            f.source = Ipv6Addr::new(0xfd00, 0, 0, 3, 0, 0, 0, 1 + host as u16).into();
            f.destination = Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 0, 0x514).into();
            f.udp_port = 514;
            f.payload = numbered(sequence, 120 + jitter(sequence, 64));
        });
        (at, frame.bytes())
    };
    (0..).zip(calm.chain(flood)).map(frame).collect()
}

/// What no rule asks for, and what is the slow path's.
fn around() -> Vec<Timed> {
    let unmatched = (0..12).map(|i| {
        let frame = v4().with(|f| {
            f.destination = Ipv4Addr::new(239, 9, 9, 9).into();
            f.udp_port = 9_999;
            f.payload = numbered(i, 64);
        });
        (i * 33_000 + 7_000, frame.bytes())
    });
    // Right group and port, wrong sender.
    let stranger = v4().with(|f| {
        f.source = Ipv4Addr::new(10, 66, 6, 6).into();
        f.destination = Ipv4Addr::new(239, 1, 0, 1).into();
        f.udp_port = 5_000;
        f.payload = numbered(0, 64);
    });
    let strangers = (0..4).map(|i| (i * 90_000 + 8_000, stranger.bytes()));
    let arp = (0..4).map(|i| (i * 100_000 + 9_000, arp_request()));
    let igmp = (0..2).map(|i| (i * 200_000 + 9_500, igmp_query()));
    unmatched.chain(strangers).chain(arp).chain(igmp).collect()
}

/// Frames of the market feed, each broken in one way.
fn broken() -> Vec<Timed> {
    let good = v4().with(|f| {
        f.destination = Ipv4Addr::new(239, 1, 0, 1).into();
        f.udp_port = 5_000;
        f.payload = numbered(0, 40);
    });
    let ends_inside_ip = good.bytes()[..30].to_vec();
    let mut flipped_bit = good.bytes();
    flipped_bit[14 + 10] ^= 1;
    let changed = |change: fn(&mut Frame)| good.clone().with(change).bytes();
    let frames = [
        ends_inside_ip,
        flipped_bit,
        changed(|f| f.ttl = 0),
        changed(|f| f.fragment = 0x2000), // more fragments follow
        changed(|f| f.udp_len = Some(400)),
        changed(|f| f.ip_len = Some(400)),
        changed(|f| f.source = Ipv4Addr::LOCALHOST.into()),
        changed(|f| f.mac = Some([1, 0, 0x5e, 1, 0, 0x99])), // another group's MAC
        changed(|f| f.tags = vec![(0x88a8, 7), (0x8100, 8), (0x8100, 9)]),
        changed(|f| f.protocol = 6),
        v6().with(|f| f.checksum = Checksum::Zero).bytes(),
    ];
    let spread = |(i, frame): (u64, _)| (i * 30_000 + 11_000, padded(frame));
    (0..).zip(frames).map(spread).collect()
}

/// `len` bytes that begin with a sequence number.
fn numbered(sequence: u64, len: u64) -> Vec<u8> {
    let mut payload = sequence.to_be_bytes().to_vec();
    payload.extend((8..len).map(|i| b' ' + ((sequence + i) % 95) as u8));
    payload
}

/// A number below `bound` that looks random and is not.
fn jitter(seed: u64, bound: u64) -> u64 {
    (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) % 65_521 % bound
}

/// What Ethernet does to a frame that is too short; a cut one stays cut.
fn padded(mut frame: Vec<u8>) -> Vec<u8> {
    if frame.len() >= 42 {
        frame.resize(frame.len().max(60), 0);
    }
    frame
}

/// Who has 10.9.0.254? Tell 10.9.1.1.
fn arp_request() -> Vec<u8> {
    let sender = [2, 0, 0, 0, 1, 1];
    let mut frame = [[0xff; 6], sender].concat();
    frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend(sender);
    frame.extend([10, 9, 1, 1, 0, 0, 0, 0, 0, 0, 10, 9, 0, 254]);
    padded(frame)
}

/// An IGMPv2 general query (RFC 2236), with router alert.
fn igmp_query() -> Vec<u8> {
    let frame = v4().with(|f| {
        f.source = Ipv4Addr::new(10, 9, 0, 254).into();
        f.destination = Ipv4Addr::new(224, 0, 0, 1).into();
        f.source_mac = OURS;
        f.source_mac[5] = 0xfe;
        f.options = vec![0x94, 4, 0, 0];
        f.protocol = 2;
        f.ttl = 1;
        f.payload.clear();
    });
    let (mut bytes, igmp) = (frame.bytes(), frame.udp_at());
    resum(&mut bytes[14..igmp]);
    // An IGMPv2 message is as long as the UDP header that it replaces.
    bytes[igmp..].copy_from_slice(&[0x11, 100, 0xee, 0x9b, 0, 0, 0, 0]);
    padded(bytes)
}
