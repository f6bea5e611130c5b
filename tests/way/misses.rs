//! What no rule takes is shown to management: sampled, bounded, and no packet the worse for it.

use std::collections::HashMap;

use punctual::ledger::{MISSES_MAX, Missed};
use punctual::packet::DropReason;
use punctual::plan::Miss;

use crate::frames::{v4, v6};
use crate::site::{FAN_OUT, Site};

/// Everything shown so far, and how many packets it stands for.
fn shown(site: &Site) -> HashMap<Missed, u64> {
    let mut all = HashMap::new();
    site.counters.misses.take(|missed, weight| *all.entry(missed).or_default() += weight);
    all
}

#[test]
fn a_packet_that_no_rule_takes_is_shown_as_it_is() {
    let mut site = Site::new(&format!(
        "{FAN_OUT}\n[[rule]]\nname = \"known\"\noutput = [{{ port = \"b\" }}]\n\
         input = {{ port = \"in\", destination = \"239.9.9.9\", udp_port = 9, source = \"10.7.0.0/16\" }}\n"
    ));
    site.push(&v4().with(|f| f.tags = vec![(0x8100, 200)]));
    site.push(&v4());
    site.push(&v4().with(|f| {
        f.destination = [239, 9, 9, 9].into();
        f.udp_port = 9;
    }));
    site.push(&v6());
    site.turns(2);
    let shown = shown(&site);
    assert_eq!(shown.values().copied().collect::<Vec<_>>(), [1, 1, 1]);
    let find = |vlan: u16, port: u16| {
        let mut found = shown.keys().filter(|m| (m.key.vlan, m.key.udp_port) == (vlan, port));
        *found.next().expect("it is shown")
    };
    let tagged = find(200, 5001);
    assert_eq!((tagged.port, tagged.miss, tagged.source), (0, Miss::NoRule, 0xffff_0a09_0101));
    assert_eq!(tagged.key.destination, 0xffff_ef01_0101);
    assert_eq!(find(0, 9).miss, Miss::Source);
    let six = shown.keys().filter(|missed| missed.source >> 32 != 0xffff);
    assert_eq!(six.count(), 1);
    let ledger = site.finish();
    assert_eq!(ledger.dropped_before[DropReason::NoRule.index()], 2);
    assert_eq!(ledger.dropped_before[DropReason::Source.index()], 1);
    assert_eq!(ledger.sent, 3);
}

#[test]
fn a_flood_that_nobody_looks_at_is_counted_and_costs_no_packet() {
    let mut site = Site::new(FAN_OUT);
    let count = 40_000_u64;
    for i in 0..count {
        site.push(&v4().with(|f| f.udp_port = 6_000 + (i % 2) as u16));
        if i % 100 == 0 {
            site.push(&v4());
        }
    }
    while !site.rx.is_empty() {
        site.clock.step(1_000);
        site.turns(1);
    }
    let shown = shown(&site);
    let unseen = site.counters.misses.unseen.get();
    let seen: u64 = shown.values().sum();
    assert!(seen > 0 && seen <= 16 * MISSES_MAX as u64, "{seen}");
    assert!((count - 16..=count).contains(&(seen + unseen)), "{seen} + {unseen}");
    assert_eq!(shown.len(), 2, "both streams are seen");
    let ledger = site.finish();
    assert_eq!(ledger.dropped_before[DropReason::NoRule.index()], count);
    assert_eq!((ledger.admitted, ledger.sent), (count / 100, 3 * count / 100));
}
