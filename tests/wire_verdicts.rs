//! Parse's golden table: malformed and unusual frames, a name and a verdict each.

mod frames;

use frames::vectors::all;
use frames::{OURS, extension, v4, v6};
use punctual::packet::DropReason;
use punctual::wire::{MacAddr, OwnMacs, Verdict, parse};

fn judge(frame: &[u8]) -> Verdict {
    parse(frame, frame.len(), &OwnMacs::new([MacAddr(OURS)]))
}

#[test]
fn every_vector_gets_its_verdict() {
    let wrong: Vec<String> = all()
        .iter()
        .filter(|(_, frame, expected)| judge(frame) != *expected)
        .map(|(name, frame, expected)| format!("{name}: {:?}, not {expected:?}", judge(frame)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_vector_has_its_own_name() {
    let mut names: Vec<&str> = all().iter().map(|(name, ..)| *name).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}

/// Cut at every byte, a frame is truncated while a header is missing; then its lengths tell.
#[test]
fn a_frame_cut_at_every_byte() {
    let tags = vec![(0x88a8, 7), (0x8100, 200)];
    let frames = [
        (v4(), 20),
        (v4().with(|f| f.tags = tags.clone()), 20),
        (v4().with(|f| f.options = vec![1; 12]), 32),
        (v6(), 40),
        (v6().with(|f| f.tags = tags), 40),
        (v6().with(|f| f.extensions = vec![extension(0); 1]), 40),
    ];
    for (frame, ip_len) in frames {
        let bytes = frame.bytes();
        for len in 0..bytes.len() {
            let reason = if len < frame.ip_at() + ip_len {
                DropReason::Truncated
            } else {
                DropReason::IpLength
            };
            assert_eq!(judge(&bytes[..len]), Verdict::Drop(reason), "{len} bytes");
        }
        assert!(matches!(judge(&bytes), Verdict::Udp { .. }));
    }
}

/// The whole frame is there, but its first segment ends inside the headers.
#[test]
fn a_first_segment_cut_at_every_byte() {
    let frames = [
        v4(),
        v4().with(|f| f.tags = vec![(0x8100, 5); 2]),
        v4().with(|f| f.options = vec![1; 40]),
        v6(),
        v6().with(|f| f.extensions = vec![extension(0), extension(60)]),
    ];
    for frame in frames {
        let bytes = frame.bytes();
        let whole = judge(&bytes);
        for len in 0..bytes.len() {
            let verdict = parse(&bytes[..len], bytes.len(), &OwnMacs::default());
            let expected =
                if len < frame.udp_at() + 8 { Verdict::Drop(DropReason::Segmented) } else { whole };
            assert_eq!(verdict, expected, "{len} bytes of {}", bytes.len());
        }
    }
}

/// Bytes that a buffer holds behind the frame's length are not the frame's.
#[test]
fn a_head_longer_than_the_frame() {
    let bytes = v4().bytes();
    let verdict = parse(&bytes, 33, &OwnMacs::default());
    assert_eq!(verdict, Verdict::Drop(DropReason::Truncated));
}
