//! Strangers' bytes: what is refused and why, and that nothing makes it panic or grow.

use proptest::prelude::*;

use super::super::receive::{large_float, receive, small_float};
use super::wire::{Asks, in_ip};
use super::*;
use crate::wire::Sum;

/// Why the frame is ignored.
fn ignored(frame: &[u8]) -> Option<Ignored> {
    receive(frame).err()
}

#[test]
fn each_reason_has_a_message_that_it_is_given_for() {
    let query = || Asks::general(Version::Igmp3, 100);
    let igmp = |to: &str, ttl, alert| in_ip(query().message(), ip("10.0.0.9"), ip(to), ttl, alert);
    let mld = |from: &str, to: &str, ttl, alert| {
        let message = Asks::general(Version::Mld2, 1_000).message();
        in_ip(message, ip(from), ip(to), ttl, alert)
    };
    let broken = |mut frame: Vec<u8>, from_end: usize| {
        let at = frame.len() - from_end;
        frame[at] ^= 1;
        frame
    };
    let in_igmp = |message: Vec<u8>| in_ip(message, ip("10.0.0.9"), ip("224.0.0.1"), 1, true);
    let mut lies = Asks::general(Version::Igmp3, 100).of("239.1.1.1").from(&["10.9.0.1"]).message();
    lies[11] = 2;
    lies[2..4].copy_from_slice(&[0, 0]);
    let sum = Sum::of_bytes(&lies);
    lies[2..4].copy_from_slice(&sum.checksum());
    for (frame, why) in [
        (query().frame(), None),
        (mld("fe80::9", "ff02::1", 1, true), None),
        (igmp("10.0.0.1", 1, true), None),
        (igmp("224.0.0.1", 2, true), Some(Ignored::Ttl)),
        (igmp("224.0.0.1", 1, false), Some(Ignored::RouterAlert)),
        (igmp("224.0.0.22", 1, true), Some(Ignored::Destination)),
        (mld("fe80::9", "ff02::1", 255, true), Some(Ignored::Ttl)),
        (mld("fe80::9", "ff02::1", 1, false), Some(Ignored::RouterAlert)),
        (mld("fd00::9", "ff02::1", 1, true), Some(Ignored::Source)),
        (mld("::", "ff02::1", 1, true), Some(Ignored::Source)),
        (mld("fe80::9", "ff02::2", 1, true), Some(Ignored::Destination)),
        (broken(query().frame(), 11), Some(Ignored::Checksum)),
        (broken(Asks::general(Version::Mld2, 1_000).frame(), 24), Some(Ignored::Checksum)),
        (query().of("10.0.0.7").frame(), Some(Ignored::Group)),
        (query().from(&["10.9.0.1"]).frame(), Some(Ignored::Group)),
        (in_igmp(vec![0x11, 0, 0, 0, 0, 0, 0]), Some(Ignored::Malformed)),
        (in_igmp(lies), Some(Ignored::Malformed)),
        (vec![0; 60], Some(Ignored::Malformed)),
        (vec![], Some(Ignored::Malformed)),
    ] {
        assert_eq!(ignored(&frame), why, "{frame:02x?}");
    }
    // The oldest version has no router alert, and is believed (RFC 3376, section 9.1).
    let oldest = Asks::general(Version::Igmp1, 0).message();
    assert_eq!(ignored(&in_ip(oldest, ip("10.0.0.9"), ip("224.0.0.1"), 1, false)), None);
}

#[test]
fn times_are_floats() {
    for (code, value) in [(0, 0), (127, 127), (128, 128), (0x8f, 248), (0xff, 31_744)] {
        assert_eq!(small_float(code), value, "{code}");
    }
    for (code, value) in [(0x7fff, 0x7fff), (0x8000, 32_768), (0xffff, 8_387_584)] {
        assert_eq!(large_float(code), value, "{code}");
    }
}

#[test]
fn reasons_have_names_and_meanings_of_their_own() {
    let names: std::collections::BTreeSet<_> = Ignored::ALL.iter().map(|why| why.name()).collect();
    assert_eq!(names.len(), Ignored::ALL.len());
    assert!(Ignored::ALL.iter().enumerate().all(|(i, &why)| why as usize == i));
}

fn any_query() -> impl Strategy<Value = Asks> {
    let fields = (any::<u16>(), any::<u8>(), any::<u8>(), 0..4u8, 0..6usize);
    (prop::sample::select(&super::membership::VERSIONS[..]), fields).prop_map(
        |(version, (code, robustness, interval, group, sources))| {
            let v6 = matches!(version, Version::Mld1 | Version::Mld2);
            // Version 1 asks for all groups only (RFC 1112, appendix I), and a query of version 2
            // without a response time is one of version 1.
            let code = if version == Version::Igmp2 { code | 1 } else { code };
            let group = (group > 0 && version != Version::Igmp1).then(|| {
                ip(&if v6 { format!("ff15::{group}") } else { format!("239.1.1.{group}") })
            });
            let source = |i| ip(&if v6 { format!("fd00::{i}") } else { format!("10.9.0.{i}") });
            let sources = if group.is_some() { (0..sources).map(source).collect() } else { vec![] };
            Asks { version, group, sources, code, robustness, interval }
        },
    )
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(frame in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = receive(&frame);
    }

    #[test]
    fn no_change_of_a_query_makes_it_panic_or_grow(
        query in any_query(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
        cuts in any::<bool>(),
    ) {
        let mut frame = query.frame();
        prop_assert!(cuts || !changes.is_empty() || receive(&frame).is_ok(), "{:02x?}", frame);
        for (at, byte) in changes {
            let at = at.index(frame.len());
            frame[at] = byte;
        }
        if cuts {
            frame.truncate(cut.index(frame.len()));
        }
        let mut groups = Groups::new([speaker(1_500)], 7);
        groups.set(wants(&[("239.1.1.1", &[]), ("ff15::1", &["fd00::1"])]), s(1));
        said(&mut groups, s(1));
        for round in 0..3 {
            groups.received(0, &frame, s(60 + round));
            for frame in said(&mut groups, s(60 + round)) {
                wire::read(&frame);
            }
        }
        let heeded = groups.state(s(0)).heeded(0);
        prop_assert_eq!(heeded.queries + heeded.others + heeded.ignored.iter().sum::<u64>(), 3);
        prop_assert_eq!(groups.hosts.len(), 2);
        prop_assert_eq!(groups.rows(s(99)).len(), 2);
    }
}

/// Whatever comes is heard or ignored for a reason, and a query that is believed asks for what is there.
#[test]
fn campaign_against_igmp_and_mld() {
    let versions = [Version::Igmp1, Version::Igmp2, Version::Igmp3, Version::Mld1, Version::Mld2];
    let mut good: Vec<_> = versions.map(|version| Asks::general(version, 100).frame()).to_vec();
    good.push(Asks::general(Version::Igmp3, 100).of("239.1.1.1").from(&["10.9.0.1"]).frame());
    good.push(Asks::general(Version::Mld2, 100).of("ff05::1").from(&["fd00::9"]).frame());
    let mut queries = 0;
    crate::testkit::campaign::of_frames(&good, |bytes| {
        let Ok(message) = receive(bytes) else { return };
        if let Heard::Query(query) = message.heard {
            queries += 1;
            assert!(query.group.is_none_or(|group| group.is_multicast()));
            assert!(query.sources.len() * 4 <= bytes.len());
            assert!(query.sources.is_empty() || query.group.is_some());
        }
    });
    assert!(queries > 0 || std::env::var_os("PUNCTUAL_FUZZ_CASE").is_some(), "none was good");
}
