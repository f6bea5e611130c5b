//! Many groups and many sources in few frames.

use std::collections::BTreeSet;

use super::wire::{Said, read};
use super::*;

fn many(count: u32) -> Wanted {
    let group = |i: u32| IpAddr::from((0xef01_0000 + i).to_be_bytes());
    let place = |i| Place { port: 0, vlan: 0, group: group(i) };
    (0..count).map(|i| (place(i), Interest::Exclude)).collect()
}

#[test]
fn many_groups_share_a_report() {
    // 1,500 - 24 of IPv4 and router alert - 8 of the report: 183 records of 8 bytes.
    for (count, frames) in [(1, 1), (183, 1), (184, 2), (4_096, 23)] {
        let mut groups = Groups::new([speaker(1_500)], 7);
        groups.set(many(count), s(1));
        let said = said(&mut groups, s(1));
        assert_eq!(said.len(), frames, "{count} groups");
        assert!(said.iter().all(|frame| frame.len() <= 14 + 1_500));
        let records = said.iter().flat_map(|frame| read(frame)).map(|said| match said {
            Said::Record(4, group, sources) if sources.is_empty() => group,
            other => panic!("{other:?}"),
        });
        let records: BTreeSet<_> = records.collect();
        assert_eq!(records.len(), count as usize);
    }
}

#[test]
fn sources_that_do_not_fit_go_into_more_reports() {
    for (mtu, v6) in [(1_500, false), (1_500, true), (68, false), (1_280, true)] {
        let sources: Vec<String> =
            (0..1_024u32)
                .map(|i| {
                    if v6 { format!("fd00::{i:x}") } else { format!("10.9.{}.{}", i >> 8, i & 255) }
                })
                .collect();
        let named: Vec<&str> = sources.iter().map(String::as_str).collect();
        let group = if v6 { "ff35::1" } else { "232.1.1.1" };
        let mut groups = Groups::new([speaker(mtu)], 7);
        groups.set(wants(&[(group, &named)]), s(1));
        let said = said(&mut groups, s(1));
        assert!(said.iter().all(|frame| frame.len() <= 14 + mtu), "{mtu}");
        let mut found = BTreeSet::new();
        for record in said.iter().flat_map(|frame| read(frame)) {
            let Said::Record(5, _, sources) = record else { panic!("{record:?}") };
            assert!(!sources.is_empty());
            found.extend(sources);
        }
        assert_eq!(found, sources.iter().map(|s| ip(s)).collect());
    }
}

#[test]
fn a_change_to_sources_that_do_not_fit_does_not_undo_itself() {
    let sources: Vec<String> = (0..512).map(|i| format!("10.9.{}.{}", i >> 8, i & 255)).collect();
    let named: Vec<&str> = sources.iter().map(String::as_str).collect();
    let mut groups = Groups::new([speaker(1_500)], 7);
    groups.set(wants(&[("239.1.1.1", &[])]), s(1));
    said(&mut groups, s(1));
    groups.set(wants(&[("239.1.1.1", &named)]), s(2));
    let frames = said(&mut groups, s(2));
    let kinds = frames.iter().flat_map(|frame| read(frame)).map(|said| match said {
        Said::Record(kind, ..) => kind,
        other => panic!("{other:?}"),
    });
    let kinds: Vec<_> = kinds.collect();
    // TO_IN of the first sources, then ALLOW of more: a second TO_IN would drop the first.
    assert_eq!(kinds, [3, 5]);
}

#[test]
fn what_is_not_taken_is_kept() {
    let mut groups = Groups::new([speaker(1_500)], 7);
    groups.set(many(1_000), s(1));
    let first = groups.next(s(1));
    assert!(first.is_some());
    let later = said(&mut groups, s(1));
    assert_eq!(later.len(), 5);
}

#[test]
fn a_port_speaks_from_its_own_addresses() {
    let mac = "02:00:00:00:00:01".parse().unwrap();
    let bare = Speaker::new(mac, [], 1_500);
    assert_eq!(bare.v4.to_string(), "0.0.0.0");
    assert_eq!(bare.v6.to_string(), "fe80::ff:fe00:1");
    let addresses = ["fd00::1", "10.0.0.1", "fe80::7", "10.0.0.2", "fe80::8"].map(ip);
    let told = Speaker::new(mac, addresses, 1_500);
    assert_eq!((told.v4.to_string(), told.v6.to_string()), ("10.0.0.1".into(), "fe80::7".into()));
}
