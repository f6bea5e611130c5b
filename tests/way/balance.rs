//! Balanced outputs: each packet at one of them, a sender's always at the same, and the share of one
//! whose breaker is open at the others until it closes.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use punctual::packet::{DropReason, Packet};
use punctual::stages::{BreakerState, Known};
use punctual::wire::MacAddr;

use crate::frames::{Frame, v4};
use crate::reload::Live;
use crate::site::{Site, number, numbered};

/// One output that gets all, and three that share.
const RULE: &str = r#"
    [[receiver]]
    name = "one"
    port = "a"
    [[receiver]]
    name = "two"
    port = "b"
    [[receiver]]
    name = "three"
    port = "b"
    [[rule]]
    name = "netflow"
    input = { port = "in", destination = "239.1.1.1", udp_port = "any" }
    output = [{ port = "a", destination = "239.9.9.9" }]
    balance = { by = "source", to = [
      { receiver = "one", destination = "239.2.0.1" },
      { receiver = "two", destination = "239.2.0.2" },
      { receiver = "three", destination = "239.2.0.3", weight = 2 },
    ] }
"#;
const SENDERS: u32 = 2_000;

fn from(sender: u32) -> Frame {
    let source = Ipv4Addr::from(0x0a09_0000 + sender + 1);
    numbered(v4(), sender).with(|f| f.source = IpAddr::V4(source))
}

/// Who has which sender, after a packet of each; the output that gets all has had all.
fn round(site: &mut Site) -> BTreeMap<u32, u32> {
    (0..SENDERS).for_each(|sender| site.push(&from(sender)));
    site.turns(200);
    let copies: Vec<_> = (1..3).flat_map(|port| site.sent(port)).collect();
    let of = |output: u32| copies.iter().filter(move |copy| copy.meta().output == output);
    assert_eq!(of(0).count() as u32, SENDERS, "the output beside them gets all");
    let members = copies.iter().filter(|copy| copy.meta().output > 0);
    let mut homes = BTreeMap::new();
    for copy in members {
        assert_eq!(homes.insert(number(copy), copy.meta().output), None, "one member a packet");
    }
    homes
}

fn share(homes: &BTreeMap<u32, u32>, output: u32) -> f64 {
    homes.values().filter(|&&home| home == output).count() as f64 / f64::from(SENDERS)
}

#[test]
fn a_sender_stays_with_one_member_and_weights_are_honoured() {
    let mut site = Site::new(RULE);
    let homes = round(&mut site);
    for (output, fair) in [(1, 0.25), (2, 0.25), (3, 0.5)] {
        assert!((share(&homes, output) - fair).abs() < 0.04, "{output}: {}", share(&homes, output));
    }
    assert_eq!(round(&mut site), homes);
    let selected = |output: usize| {
        let counters = &site.counters.outputs[output];
        (counters.copies.get(), counters.not_selected.get())
    };
    for output in 1..4 {
        let (copies, not_selected) = selected(output);
        assert_eq!(copies + not_selected, 2 * u64::from(SENDERS));
    }
    assert_eq!(selected(0), (2 * u64::from(SENDERS), 0));
    assert_eq!(site.finish().sent, 4 * u64::from(SENDERS));
}

#[test]
fn an_open_breaker_hands_over_its_own_share_and_takes_it_back() {
    let mut site = Site::new(RULE);
    let before = round(&mut site);
    site.control.breakers.set_receiver(1, BreakerState::Open);
    let without = round(&mut site);
    for (sender, home) in &before {
        match home {
            2 => assert_ne!(without[sender], 2),
            home => assert_eq!(without[sender], *home, "it lost nothing by another's breaker"),
        }
    }
    let took = |output| share(&without, output) - share(&before, output);
    assert!(took(1) > 0.04 && took(3) > 0.1, "both take of it: {} {}", took(1), took(3));
    assert_eq!(site.dropped_after(2, DropReason::BreakerOpen), 0);
    let gone = before.values().filter(|&&home| home == 2).count() as u64;
    let taken_over = |output: usize| site.counters.outputs[output].taken_over.get();
    assert_eq!([0, 1, 2, 3].map(taken_over).iter().sum::<u64>(), gone);
    assert_eq!((taken_over(0), taken_over(2)), (0, 0));
    site.control.breakers.set_receiver(1, BreakerState::Closed);
    assert_eq!(round(&mut site), before);
    assert_eq!(site.finish().residual(), 0);
}

#[test]
fn a_half_open_member_gets_its_probes_and_where_all_are_open_the_drop_is_counted() {
    let mut site = Site::new(RULE);
    let before = round(&mut site);
    site.control.breakers.set_receiver(1, BreakerState::HalfOpen);
    let probed = round(&mut site);
    let probes: Vec<_> = probed.iter().filter(|(_, home)| **home == 2).collect();
    assert_eq!(probes.len(), 5);
    assert!(probes.iter().all(|(sender, _)| before[sender] == 2), "of its own share");
    (0..3).for_each(|receiver| site.control.breakers.set_receiver(receiver, BreakerState::Open));
    assert!(round(&mut site).is_empty());
    let dropped = (1..4).map(|output| site.dropped_after(output, DropReason::BreakerOpen));
    assert_eq!(dropped.sum::<u64>(), u64::from(SENDERS));
    assert_eq!(site.finish().residual(), 0);
}

/// Members without receivers, two of them hosts whose MAC is asked for.
const HOSTS: &str = r#"
    [[rule]]
    name = "netflow"
    input = { port = "in", destination = "239.1.1.1", udp_port = "any" }
    output = [{ port = "a", destination = "239.9.9.9" }]
    balance = { by = "source", to = [
      { port = "a", destination = "10.0.0.9" },
      { port = "a", destination = "10.0.0.10" },
      { port = "b", destination = "239.2.0.3", weight = 2 },
    ] }
    [limits]
    unresolved = 16
"#;

#[test]
fn a_member_whose_neighbour_is_silent_hands_over_its_share_and_takes_it_back() {
    let mut site = Site::new(HOSTS);
    let [near, far] = [1, 2].map(|last| Known::At(MacAddr([2, 0, 0, 0, 0, last])));
    let say = |site: &Site, what: [Known; 2]| {
        (0..2).for_each(|slot| site.control.neighbours.set(slot, what[slot]));
    };
    say(&site, [near, far]);
    let before = round(&mut site);
    assert!(share(&before, 1) > 0.2 && share(&before, 2) > 0.2);
    say(&site, [near, Known::Silent]);
    let without = round(&mut site);
    assert_eq!(without.len() as u32, SENDERS, "nobody's packet is lost");
    for (sender, home) in &before {
        match home {
            2 => assert_ne!(without[sender], 2),
            home => assert_eq!(without[sender], *home, "it lost nothing by another's silence"),
        }
    }
    let taken_over = [1, 2, 3].map(|slot| site.counters.outputs[slot].taken_over.get());
    let gone = before.values().filter(|&&home| home == 2).count() as u64;
    assert_eq!((taken_over[1], taken_over[0] + taken_over[2]), (0, gone));
    assert_eq!(site.dropped_after(2, DropReason::Unresolved), 0);
    // Its answer brings it back, and so does another MAC.
    say(&site, [near, far]);
    assert_eq!(round(&mut site), before);
    // All silent but the group: it has everything.
    say(&site, [Known::Silent; 2]);
    assert!(round(&mut site).values().all(|&home| home == 3));
    assert_eq!(site.finish().residual(), 0);
}

#[test]
fn what_cannot_wait_for_a_first_answer_goes_to_another_member() {
    let mut site = Site::new(HOSTS);
    let sent = round(&mut site);
    // Sixteen copies of each wait, and nothing is dropped for want of a MAC.
    assert_eq!((sent.len() as u32, site.ledger().waiting_after), (SENDERS - 32, 32));
    assert!(sent.values().all(|&home| home == 3));
    let mac = MacAddr([2, 0, 0, 0, 0, 9]);
    (0..2).for_each(|slot| site.control.neighbours.set(slot, Known::At(mac)));
    site.turns(1);
    assert_eq!(site.sent(1).len(), 32);
    assert_eq!(site.finish().dropped_after, [0; DropReason::COUNT]);
}

#[test]
fn where_no_member_takes_copies_its_own_reason_is_counted() {
    let group = "{ port = \"b\", destination = \"239.2.0.3\", weight = 2 },";
    let mut site = Site::new(&HOSTS.replace(group, ""));
    (0..2).for_each(|slot| site.control.neighbours.set(slot, Known::Silent));
    assert!(round(&mut site).is_empty());
    let dropped = [1, 2].map(|output| site.dropped_after(output, DropReason::Unresolved));
    assert_eq!(dropped.iter().sum::<u64>(), u64::from(SENDERS));
    assert!(dropped.iter().all(|&count| count > 500), "each for its own share: {dropped:?}");
    assert_eq!(site.finish().residual(), 0);
}

/// [`RULE`] with these groups as members, `239.2.0.N`, all at one port.
fn shared(members: &[u8]) -> String {
    let to: String = members
        .iter()
        .map(|n| format!("{{ port = \"b\", destination = \"239.2.0.{n}\" }}, "))
        .collect();
    format!(
        "[[rule]]\nname = \"netflow\"\n\
         input = {{ port = \"in\", destination = \"239.1.1.1\", udp_port = \"any\" }}\n\
         output = [{{ port = \"a\", destination = \"239.9.9.9\" }}]\n\
         balance = {{ to = [{to}] }}\n"
    )
}

/// As [`round`], by the member's group rather than by its slot.
fn groups(site: &mut Site) -> BTreeMap<u32, u8> {
    (0..SENDERS).for_each(|sender| site.push(&from(sender)));
    site.turns(200);
    assert_eq!(site.sent(1).len() as u32, SENDERS, "the output beside them gets all");
    let copies = site.sent(2);
    let group = |copy: &_| Packet::head(copy)[33];
    let homes: BTreeMap<_, _> = copies.iter().map(|copy| (number(copy), group(copy))).collect();
    assert_eq!((copies.len(), homes.len()), (SENDERS as usize, SENDERS as usize));
    homes
}

#[test]
fn a_reload_moves_the_share_of_who_comes_or_goes_and_no_order_or_slot_matters() {
    let mut live = Live::new(&shared(&[1, 2, 3]));
    let three = groups(&mut live.site);
    // One comes, and those that stay are written in another order.
    live.reload(&shared(&[4, 3, 1, 2])).expect("it is live");
    let four = groups(&mut live.site);
    let moved: Vec<_> = three.iter().filter(|(sender, home)| four[sender] != **home).collect();
    assert!(moved.iter().all(|(sender, _)| four[sender] == 4), "to who has come");
    let part = moved.len() as f64 / f64::from(SENDERS);
    assert!((part - 0.25).abs() < 0.04, "{part}");
    // One goes: what it had, and nothing else, goes to the others.
    live.reload(&shared(&[4, 3, 1])).expect("it is live");
    let without = groups(&mut live.site);
    let stayed = |(sender, home): (&u32, &u8)| *home == 2 || without[sender] == *home;
    assert!(four.iter().all(stayed));
    assert!(!without.values().any(|home| *home == 2));
    // All is as it was.
    live.reload(&shared(&[1, 2, 3])).expect("it is live");
    assert_eq!(groups(&mut live.site), three);
    assert_eq!(live.site.finish().residual(), 0);
}

#[test]
fn by_flow_a_sender_s_flows_are_apart() {
    let mut site = Site::new(&RULE.replace("by = \"source\"", "by = \"flow\""));
    for n in 0..SENDERS {
        site.push(&numbered(v4(), n).with(|f| f.source_port = 1_000 + n as u16));
    }
    site.turns(200);
    let copies: Vec<_> = (1..3).flat_map(|port| site.sent(port)).collect();
    for (output, fair) in [(1, 0.25), (2, 0.25), (3, 0.5)] {
        let found = copies.iter().filter(|copy| copy.meta().output == output).count();
        assert!((found as f64 / f64::from(SENDERS) - fair).abs() < 0.04, "{output}: {found}");
    }
    drop(copies);
    assert_eq!(site.finish().residual(), 0);
}
