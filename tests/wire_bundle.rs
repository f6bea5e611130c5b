//! Bundles against a cutter: any row of datagrams comes out as it went in.

mod frames;

use frames::{Checksum, Frame, v4, v6};
use proptest::collection::vec;
use proptest::prelude::*;
use punctual::wire::{BUNDLE_HEADERS, Bundle, Part, SegmentSum};

/// What is different in a datagram from the one before it: mostly nothing, so that there are bundles.
fn change() -> impl Strategy<Value = fn(&mut Frame)> {
    let nothing: fn(&mut Frame) = |_| {};
    prop_oneof![
        30 => Just(nothing),
        1 => Just((|f| f.udp_port ^= 1) as fn(&mut Frame)),
        1 => Just((|f| f.ttl ^= 1) as fn(&mut Frame)),
        1 => Just((|f| f.tos ^= 4) as fn(&mut Frame)),
        1 => Just((|f| f.fragment ^= 0x4000) as fn(&mut Frame)),
        1 => Just((|f| f.fragment ^= 0x2000) as fn(&mut Frame)),
        1 => Just((|f| f.id = f.id.wrapping_add(7)) as fn(&mut Frame)),
        1 => Just((|f| f.source_mac[5] ^= 1) as fn(&mut Frame)),
        1 => Just((|f| f.flow_label ^= 1) as fn(&mut Frame)),
        1 => Just((|f| f.checksum = Checksum::Off(1)) as fn(&mut Frame)),
        1 => Just((|f| f.checksum = Checksum::Zero) as fn(&mut Frame)),
        1 => Just((|f| f.checksum = Checksum::Right) as fn(&mut Frame)),
        1 => Just((|f| f.padding = vec![0; 3]) as fn(&mut Frame)),
        1 => Just((|f| f.padding.clear()) as fn(&mut Frame)),
        1 => Just((|f| f.tags = vec![(0x8100, 7)]) as fn(&mut Frame)),
        1 => Just((|f| f.tags.clear()) as fn(&mut Frame)),
        1 => Just((|f| f.options = vec![1, 1, 1, 0]) as fn(&mut Frame)),
        1 => Just((|f| f.options.clear()) as fn(&mut Frame)),
        1 => Just((|f| f.protocol ^= 1) as fn(&mut Frame)),
    ]
}

/// Datagrams in a row, each with its length and what has changed.
fn rows() -> impl Strategy<Value = Vec<Frame>> {
    let len = prop_oneof![8 => Just(200_usize), 1 => 0_usize..1_400, 1 => Just(1_400)];
    (any::<bool>(), any::<u16>(), any::<u8>(), vec((len, change()), 1..64)).prop_map(
        |(is_v6, id, seed, changes)| {
            let mut frame = if is_v6 { v6() } else { v4() };
            frame.id = id;
            changes
                .into_iter()
                .enumerate()
                .map(|(n, (len, change))| {
                    frame.id = frame.id.wrapping_add(1);
                    frame.payload = (0..len).map(|at| (at + n) as u8 ^ seed).collect();
                    change(&mut frame);
                    if is_v6 {
                        frame.options.clear();
                    }
                    frame.clone()
                })
                .collect()
        },
    )
}

fn sum(frame: &[u8], headers: usize) -> punctual::wire::Sum {
    let mut sum = SegmentSum::behind(headers);
    frame.chunks(77).for_each(|segment| sum.add(segment));
    sum.sum()
}

/// The longest bundle from the front, as a port makes it.
fn gather(frames: &[Vec<u8>]) -> Option<Bundle> {
    let first = Part::read(&frames[0], frames[0].len())?;
    let headers = first.headers_len();
    let mut bundle = Bundle::new(first, sum(&frames[0], headers))?;
    for frame in &frames[1..] {
        let Some(next) = Part::read(frame, frame.len()) else { break };
        if !bundle.takes(&next, || sum(frame, next.headers_len())) {
            break;
        }
    }
    Some(bundle)
}

/// A checksum, byte by byte.
fn checksum(bytes: impl Iterator<Item = u8>) -> u16 {
    let mut sum = 0_u32;
    for (at, byte) in bytes.enumerate() {
        sum += u32::from(byte) << if at % 2 == 0 { 8 } else { 0 };
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// Cuts a long datagram up as Linux does (`__udp_gso_segment`, `inet_gso_segment`).
fn cut(whole: &[u8], headers: usize, segment: usize) -> Vec<Vec<u8>> {
    let udp = headers - 8;
    let is_v4 = udp == 34;
    let part = |(n, payload): (usize, &[u8])| {
        let mut frame = [&whole[..headers], payload].concat();
        let udp_len = (payload.len() + 8) as u16;
        frame[udp + 4..udp + 6].copy_from_slice(&udp_len.to_be_bytes());
        frame[udp + 6..udp + 8].fill(0);
        if is_v4 {
            frame[16..18].copy_from_slice(&(udp_len + 20).to_be_bytes());
            let id = u16::from_be_bytes([frame[18], frame[19]]).wrapping_add(n as u16);
            frame[18..20].copy_from_slice(&id.to_be_bytes());
            frame[24..26].fill(0);
            let sum = checksum(frame[14..34].iter().copied());
            frame[24..26].copy_from_slice(&sum.to_be_bytes());
        } else {
            frame[18..20].copy_from_slice(&udp_len.to_be_bytes());
        }
        let addresses = if is_v4 { 26..34 } else { 22..54 };
        let pseudo = [&frame[addresses], &[0, 17], &udp_len.to_be_bytes()[..]].concat();
        let sum = match checksum(pseudo.iter().chain(&frame[udp..]).copied()) {
            0 => u16::MAX,
            sum => sum,
        };
        frame[udp + 6..udp + 8].copy_from_slice(&sum.to_be_bytes());
        frame
    };
    whole[headers..].chunks(segment).enumerate().map(part).collect()
}

/// The frame without its identification, where that says nothing.
fn shown(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    if frame[12..14] == [8, 0] && frame[20] & 0x40 != 0 {
        frame[18..20].fill(0);
        frame[24..26].fill(0);
    }
    frame
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn who_cuts_a_bundle_has_what_went_in(rows in rows()) {
        let frames: Vec<Vec<u8>> = rows.iter().map(Frame::bytes).collect();
        let mut at = 0;
        while at < frames.len() {
            let Some(bundle) = gather(&frames[at..]) else {
                at += 1;
                continue;
            };
            let (parts, (headers, udp)) = (bundle.datagrams(), bundle.lengths());
            prop_assert_eq!(headers, udp + 8);
            let headers = usize::from(headers);
            prop_assert!(headers <= BUNDLE_HEADERS);
            let parts = &frames[at..at + parts];
            let mut whole = bundle.headers()[..headers].to_vec();
            // What a receiver that does not cut goes by.
            parts.iter().for_each(|part| whole.extend_from_slice(&part[headers..]));
            prop_assert!(whole.len() <= 0xffff);
            let udp_len = u16::from_be_bytes([whole[headers - 4], whole[headers - 3]]);
            prop_assert_eq!(usize::from(udp_len), whole.len() - headers + 8);
            if headers == 42 {
                prop_assert_eq!(checksum(whole[14..34].iter().copied()), 0);
            }
            let cut = cut(&whole, headers, bundle.segment().into());
            let [cut, parts] = [&cut[..], parts].map(|all| all.iter().map(|f| shown(f)).collect::<Vec<_>>());
            prop_assert_eq!(cut, parts);
            at += bundle.datagrams();
        }
    }

    #[test]
    fn no_bytes_are_too_few(bytes in vec(any::<u8>(), 0..80), len in 0_usize..100) {
        let _ = Part::read(&bytes, len);
    }
}

#[test]
fn equal_datagrams_are_one_bundle_and_a_shorter_one_ends_it() {
    for frame in [v4(), v6()] {
        let row = |lens: &[usize]| -> Vec<Vec<u8>> {
            let frame = |(n, &len): (usize, &usize)| {
                let frame = frame.clone().with(|f| {
                    f.fragment = 0;
                    f.id = 0xfffe_u16.wrapping_add(n as u16);
                    f.payload = vec![n as u8; len];
                });
                frame.bytes()
            };
            lens.iter().enumerate().map(frame).collect()
        };
        let bundled = |lens: &[usize]| gather(&row(lens)).expect("it is a part").datagrams();
        assert_eq!(bundled(&[200; 32]), 32);
        assert_eq!(bundled(&[200, 200, 100, 200]), 3);
        assert_eq!(bundled(&[200, 201]), 1);
        // 65,535 bytes hold 44 of them.
        assert_eq!(bundled(&[1_472; 64]), 44);
        assert!(gather(&row(&[0, 0])).is_none());
    }
}
