//! What the RFCs say a host does, rule by rule.

use super::wire::{Asks, Said, internet_checksum, read};
use super::*;

fn groups() -> Groups {
    Groups::new([speaker(1_500)], 7)
}

/// All that is said until `until`, with the time at which it was said.
fn until(groups: &mut Groups, until: Duration) -> Vec<(Duration, Said)> {
    let mut all = Vec::new();
    while let Some(at) = due(groups).filter(|&at| at <= until) {
        let frames = said(groups, at);
        all.extend(frames.iter().flat_map(|frame| read(frame)).map(|said| (at, said)));
    }
    all
}

fn record(kind: u8, group: &str, sources: &[&str]) -> Said {
    Said::Record(kind, ip(group), sources.iter().map(|s| ip(s)).collect())
}

/// Only what was said, not when.
fn what(all: Vec<(Duration, Said)>) -> Vec<Said> {
    all.into_iter().map(|(_, said)| said).collect()
}

#[test]
fn joins_are_said_at_once_and_again_within_a_second() {
    let mut groups = groups();
    groups.set(wants(&[("239.1.1.1", &[]), ("232.1.1.1", &["10.9.0.1"])]), s(1));
    let all = until(&mut groups, s(60));
    let [allow, exclude] = [record(5, "232.1.1.1", &["10.9.0.1"]), record(4, "239.1.1.1", &[])];
    assert_eq!(all[..2], [(s(1), allow.clone()), (s(1), exclude.clone())]);
    let again = all[2].0;
    assert!(again > s(1) && again <= s(2), "{again:?}");
    assert_eq!(all[2..], [(again, allow), (again, exclude)]);
}

#[test]
fn leaves_are_said_by_version_and_then_forgotten() {
    for (sources, left) in [
        (&[][..], record(3, "239.1.1.1", &[])),
        (&["10.9.0.1"], record(6, "239.1.1.1", &["10.9.0.1"])),
    ] {
        let mut groups = groups();
        groups.set(wants(&[("239.1.1.1", sources)]), s(1));
        until(&mut groups, s(60));
        groups.set(Wanted::new(), s(60));
        assert_eq!(groups.rows(s(60)), [], "not joined any more");
        assert_eq!(what(until(&mut groups, s(120))), [left.clone(), left]);
        assert_eq!(groups.next(s(120)), None);
        assert!(groups.hosts.is_empty());
    }
}

#[test]
fn a_change_back_while_it_is_being_said_is_said_by_the_present_state() {
    let mut groups = groups();
    groups.set(wants(&[("232.1.1.1", &["10.9.0.1", "10.9.0.2"])]), s(1));
    until(&mut groups, s(60));
    groups.set(wants(&[("232.1.1.1", &["10.9.0.1"])]), s(60));
    let at = until(&mut groups, s(60));
    assert_eq!(what(at), [record(6, "232.1.1.1", &["10.9.0.2"])]);
    groups.set(wants(&[("232.1.1.1", &["10.9.0.2", "10.9.0.3"])]), s(60));
    let both =
        [record(5, "232.1.1.1", &["10.9.0.2", "10.9.0.3"]), record(6, "232.1.1.1", &["10.9.0.1"])];
    assert_eq!(what(until(&mut groups, s(120))), [both.clone(), both].concat());
    // From sources to all: the mode is said as often as is due, the sources no more.
    groups.set(wants(&[("232.1.1.1", &[])]), s(120));
    let all = record(4, "232.1.1.1", &[]);
    assert_eq!(what(until(&mut groups, s(180))), [all.clone(), all]);
}

#[test]
fn at_a_stop_everything_is_said_at_once() {
    let mut groups = groups();
    groups.set(wants(&[("239.1.1.1", &[])]), s(1));
    until(&mut groups, s(60));
    groups.leave(s(60));
    let left = (s(60), record(3, "239.1.1.1", &[]));
    assert_eq!(until(&mut groups, s(60)), [left.clone(), left]);
}

#[test]
fn a_general_query_is_answered_once_for_all_within_its_time() {
    let mut groups = groups();
    groups.set(wants(&[("239.1.1.1", &[]), ("232.1.1.1", &["10.9.0.1"])]), s(1));
    until(&mut groups, s(60));
    // Ten seconds, then one: the earlier answer is good for both (RFC 3376, section 5.2, rule 1).
    groups.received(0, &Asks::general(Version::Igmp3, 100).frame(), s(60));
    groups.received(0, &Asks::general(Version::Igmp3, 10).frame(), s(60));
    let all = until(&mut groups, s(120));
    assert!(all.iter().all(|(at, _)| *at <= s(61)), "{all:?}");
    assert_eq!(what(all), [record(1, "232.1.1.1", &["10.9.0.1"]), record(2, "239.1.1.1", &[])]);
}

#[test]
fn queries_of_groups_and_sources_are_answered_by_what_is_wanted() {
    let query = || Asks::general(Version::Igmp3, 10);
    for (asked, answer) in [
        (query().of("239.1.1.1"), vec![record(2, "239.1.1.1", &[])]),
        (query().of("232.1.1.1"), vec![record(1, "232.1.1.1", &["10.9.0.1"])]),
        (
            query().of("232.1.1.1").from(&["10.9.0.1", "10.9.0.2"]),
            vec![record(1, "232.1.1.1", &["10.9.0.1"])],
        ),
        (query().of("239.1.1.1").from(&["10.9.0.2"]), vec![record(1, "239.1.1.1", &["10.9.0.2"])]),
        (query().of("232.1.1.1").from(&["10.9.0.2"]), vec![]),
        (query().of("239.1.1.2"), vec![]),
    ] {
        let mut groups = groups();
        groups.set(wants(&[("239.1.1.1", &[]), ("232.1.1.1", &["10.9.0.1"])]), s(1));
        until(&mut groups, s(60));
        groups.received(0, &asked.frame(), s(60));
        assert_eq!(what(until(&mut groups, s(61))), answer, "{asked:?}");
    }
}

#[test]
fn an_older_querier_is_answered_in_its_version_until_it_has_been_silent() {
    let mut groups = groups();
    groups.set(wants(&[("239.1.1.1", &[])]), s(1));
    until(&mut groups, s(60));
    groups.received(0, &Asks::general(Version::Igmp2, 100).frame(), s(60));
    assert_eq!(what(until(&mut groups, s(70))), [Said::Report(0x16, ip("239.1.1.1"))]);
    // 2 x 125 s and 10 s (RFC 3376, section 8.12).
    assert_eq!(groups.rows(s(60 + 259))[0].version, Version::Igmp2);
    assert_eq!(groups.rows(s(60 + 260))[0].version, Version::Igmp3);
    groups.received(0, &Asks::general(Version::Igmp3, 100).frame(), s(400));
    assert_eq!(what(until(&mut groups, s(410))), [record(2, "239.1.1.1", &[])]);
    // The first version knows no leave, the second one does.
    groups.received(0, &Asks::general(Version::Igmp2, 100).frame(), s(420));
    groups.received(0, &Asks::general(Version::Igmp1, 0).frame(), s(421));
    assert_eq!(what(until(&mut groups, s(431))), [Said::Report(0x12, ip("239.1.1.1"))]);
    groups.set(wants(&[("239.1.1.2", &[])]), s(432));
    let joins = what(until(&mut groups, s(442)));
    assert_eq!(
        joins,
        [const { Said::Report(0x12, IpAddr::V4(std::net::Ipv4Addr::new(239, 1, 1, 2))) }; 2]
    );
    let mut groups = self::groups();
    groups.set(wants(&[("ff15::1", &[])]), s(1));
    groups.received(0, &Asks::general(Version::Mld1, 1_000).frame(), s(2));
    until(&mut groups, s(60));
    groups.set(Wanted::new(), s(60));
    assert_eq!(what(until(&mut groups, s(90))), [Said::Leave(ip("ff15::1"))]);
}

#[test]
fn one_report_is_enough_for_an_older_querier() {
    for (version, kind) in [(Version::Igmp2, 0x16), (Version::Igmp3, 0x16)] {
        let mut groups = groups();
        groups.set(wants(&[("239.1.1.1", &[])]), s(1));
        until(&mut groups, s(60));
        groups.received(0, &Asks::general(version, 100).frame(), s(60));
        // Another host is faster.
        let mut report = vec![kind, 0, 0, 0, 239, 1, 1, 1];
        let sum = internet_checksum(&report);
        report[2..4].copy_from_slice(&sum);
        let frame = wire::in_ip(report, ip("10.0.0.9"), ip("239.1.1.1"), 1, true);
        groups.received(0, &frame, s(60));
        assert_eq!(groups.state(s(0)).heeded(0).others, 1);
        // By source lists each host is known to the querier, so nobody is silent for another.
        assert_eq!(until(&mut groups, s(120)).len(), usize::from(version == Version::Igmp3));
    }
}

#[test]
fn a_flood_of_queries_is_answered_at_intervals() {
    for version in [Version::Igmp3, Version::Igmp2, Version::Mld1, Version::Mld2] {
        let mut groups = groups();
        groups.set(wants(&[("239.1.1.1", &[]), ("ff15::1", &[])]), s(1));
        until(&mut groups, s(60));
        let code = u16::from(version == Version::Igmp2);
        let mut answers = 0;
        for at in 60_000..61_000 {
            let query = Asks::general(version, code);
            groups.received(0, &query.frame(), ms(at));
            groups.received(
                0,
                &query.of(if code > 0 { "239.1.1.1" } else { "ff15::1" }).frame(),
                ms(at),
            );
            answers += until(&mut groups, ms(at)).len();
        }
        // 20 a second in general, and as many for the group alone.
        assert!((10..=42).contains(&answers), "{version:?}: {answers}");
    }
}

#[test]
fn absurd_words_of_a_querier_have_bounds() {
    let mut groups = groups();
    groups.set(wants(&[("239.1.1.1", &[])]), s(1));
    until(&mut groups, s(60));
    // An hour to answer does not put off what was asked before, nor joins.
    groups.received(0, &Asks::general(Version::Igmp3, 100).frame(), s(60));
    let endless = Asks { robustness: 7, interval: 255, ..Asks::general(Version::Igmp3, 255) };
    groups.received(0, &endless.frame(), s(60));
    assert_eq!(until(&mut groups, s(70)).len(), 1);
    // Its version is kept for an hour at most.
    groups.received(0, &Asks::general(Version::Igmp2, 255).frame(), s(100));
    assert_eq!(groups.rows(s(100 + 3_599))[0].version, Version::Igmp2);
    assert_eq!(groups.rows(s(100 + 3_600))[0].version, Version::Igmp3);
    // No robustness and no interval are the RFC's defaults.
    let nothing = Asks { robustness: 0, interval: 0, ..Asks::general(Version::Igmp3, 0) };
    groups.received(0, &nothing.frame(), s(4_000));
    groups.received(0, &Asks::general(Version::Igmp2, 100).frame(), s(4_001));
    assert_eq!(groups.rows(s(4_001 + 260))[0].version, Version::Igmp3);
    assert_eq!(groups.rows(s(4_001 + 259))[0].version, Version::Igmp2);
}

#[test]
fn each_vlan_is_a_network_of_its_own() {
    let mut groups = groups();
    let place = |vlan| Place { port: 0, vlan, group: ip("239.1.1.1") };
    groups.set([(place(0), Interest::Exclude), (place(7), Interest::Exclude)].into(), s(1));
    let frames = said(&mut groups, s(1));
    assert_eq!(frames.len(), 2);
    assert_eq!(frames[1][12..18], [0x81, 0, 0, 7, 8, 0]);
    until(&mut groups, s(60));
    let mut query = Asks::general(Version::Igmp3, 10).frame();
    query.splice(12..12, [0x81, 0, 0xe0, 7]);
    groups.received(0, &query, s(60));
    let answers = said(&mut groups, s(61));
    assert_eq!(answers.len(), 1, "priority bits are no VLAN");
    assert_eq!(answers[0][12..16], [0x81, 0, 0, 7]);
    query[15] = 8;
    groups.received(0, &query, s(62));
    assert_eq!(groups.state(s(0)).heeded(0).ignored[Ignored::NotJoined as usize], 1);
}
