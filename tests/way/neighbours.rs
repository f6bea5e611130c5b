//! Unicast to neighbours whose MAC is asked for: what waits for an answer, and what becomes of it.

use std::time::Duration;

use proptest::prelude::*;
use punctual::packet::{DropReason, Packet};
use punctual::stages::{HOP_COPIES, Known};
use punctual::wire::MacAddr;
use punctual::worker::Phase;

use crate::crew::{Crew, by_flow};
use crate::frames::v4;
use crate::reload::Live;
use crate::site::{Site, config_with, load, number, numbered};

const HERE: MacAddr = MacAddr([2, 0, 0, 0, 0, 9]);
const ELSEWHERE: MacAddr = MacAddr([2, 0, 0, 0, 0, 10]);

/// Two outputs to two neighbours, and a group that has nothing to do with them.
const UNICAST: &str = r#"
    [[rule]]
    name = "feed"
    input = { port = "in", destination = "239.1.1.1", udp_port = 5001 }
    output = [
      { port = "a", destination = "10.0.0.9" },
      { port = "a", destination = "10.0.0.10" },
      { port = "b", destination = "239.103.1.1" },
    ]
    [limits]
    unresolved = 16
"#;

fn push(site: &Site, from: u32, to: u32) {
    (from..to).for_each(|n| site.push(&numbered(v4(), n)));
}

/// Says what is known of the neighbour with this last byte.
fn say(site: &Site, last: u8, known: Known) {
    let address = std::net::IpAddr::from([10, 0, 0, last]);
    let slot = site.plan.neighbours.iter().position(|who| who.address == address);
    site.control.neighbours.set(slot.expect("it is one"), known);
}

/// The numbers of what port a has sent to this MAC since the last look, and whether nothing else.
fn sent_to(site: &Site, mac: MacAddr) -> Vec<u32> {
    let sent = site.sent(1);
    assert!(sent.iter().all(|copy| copy.head()[..6] == mac.0));
    sent.iter().map(number).collect()
}

#[test]
fn copies_wait_for_an_answer_and_go_ahead_of_what_comes_later() {
    let mut site = Site::new(UNICAST);
    push(&site, 0, 10);
    let ledger = site.turns(2);
    assert_eq!((ledger.copies, ledger.sent, ledger.waiting_after), (30, 10, 20));
    assert_eq!(site.sent(2).len(), 10, "the group notices nothing");
    say(&site, 9, Known::At(HERE));
    push(&site, 10, 15);
    let ledger = site.turns(2);
    assert_eq!(sent_to(&site, HERE), (0..15).collect::<Vec<_>>());
    assert_eq!(ledger.waiting_after, 15, "the other has not answered");
    say(&site, 10, Known::At(ELSEWHERE));
    site.turns(1);
    assert_eq!(sent_to(&site, ELSEWHERE), (0..15).collect::<Vec<_>>());
    assert_eq!(site.finish().sent, 45);
}

#[test]
fn more_than_may_wait_is_counted_by_output() {
    let mut site = Site::new(UNICAST);
    push(&site, 0, 100);
    let ledger = site.turns(10);
    assert_eq!((ledger.sent, ledger.waiting_after), (100, 32));
    assert_eq!([0, 1].map(|output| site.dropped_after(output, DropReason::Unresolved)), [84; 2]);
    say(&site, 9, Known::At(HERE));
    site.turns(1);
    assert_eq!(sent_to(&site, HERE), (0..16).collect::<Vec<_>>(), "the first ones");
    site.finish();
}

#[test]
fn silence_ends_what_waits_and_an_answer_ends_silence() {
    let mut site = Site::new(UNICAST);
    push(&site, 0, 10);
    site.turns(2);
    say(&site, 9, Known::Silent);
    push(&site, 10, 20);
    let ledger = site.turns(2);
    assert_eq!(site.dropped_after(0, DropReason::Unresolved), 20);
    assert_eq!((ledger.sent, ledger.waiting_after), (20, 16));
    say(&site, 9, Known::At(HERE));
    push(&site, 20, 22);
    site.turns(2);
    assert_eq!(sent_to(&site, HERE), [20, 21]);
    site.finish();
}

#[test]
fn a_neighbour_that_moves_is_followed() {
    let mut site = Site::new(UNICAST);
    for (n, mac) in [HERE, ELSEWHERE, HERE].into_iter().enumerate() {
        say(&site, 9, Known::At(mac));
        push(&site, n as u32, n as u32 + 1);
        site.turns(2);
        assert_eq!(sent_to(&site, mac), [n as u32]);
    }
    site.finish();
}

#[test]
fn a_drain_ends_what_waits_as_stopped() {
    let mut site = Site::new(UNICAST);
    push(&site, 0, 10);
    site.turns(2);
    let counters = site.counters.clone();
    let ledger = site.finish();
    assert_eq!((ledger.sent, ledger.copies), (10, 30));
    let stopped = |at: usize| counters.outputs[at].dropped()[DropReason::Stopped.index()];
    assert_eq!([0, 1].map(stopped), [10; 2]);
}

#[test]
fn a_prefix_on_the_link_has_a_neighbour_for_each_host() {
    let mut site = Site::new(
        r#"
        [[rule]]
        name = "mapped"
        input = { port = "in", destination = "239.1.1.0/30", udp_port = 5001 }
        output = [{ port = "a", destination = "10.0.0.8/30" }]
        "#,
    );
    assert_eq!(site.plan.neighbours.len(), 4);
    let to =
        |last: u8, n: u32| numbered(v4().with(|f| f.destination = [239, 1, 1, last].into()), n);
    (0..4).for_each(|last| site.push(&to(last, last.into())));
    assert_eq!(site.turns(2).waiting_after, 4);
    say(&site, 10, Known::At(HERE));
    site.turns(1);
    assert_eq!(sent_to(&site, HERE), [2]);
    assert_eq!(site.ledger().waiting_after, 3);
    site.finish();
}

#[test]
fn a_static_neighbour_is_in_the_template_and_costs_no_look() {
    let site = Site::new(&UNICAST.replace("10.0.0.9\"", "10.0.0.9\", mac = \"02:00:00:00:00:09\""));
    let asked: Vec<_> = site.plan.neighbours.iter().map(|who| who.address.to_string()).collect();
    assert_eq!(asked, ["10.0.0.10"]);
    site.finish();
}

#[test]
fn one_neighbour_holds_no_more_than_its_bound() {
    let mut site =
        Site::new(&UNICAST.replace("16", "1024").replace("0.0.10", "0.0.9\", vlan = \"none"));
    assert_eq!(site.plan.neighbours.len(), 1, "both outputs go to one host");
    push(&site, 0, 1_000);
    let ledger = site.turns(100);
    assert_eq!(ledger.waiting_after, u64::from(HOP_COPIES));
    let dropped = [0, 1].map(|output| site.dropped_after(output, DropReason::Unresolved));
    assert_eq!(dropped.iter().sum::<u64>(), 2_000 - u64::from(HOP_COPIES));
    site.finish();
}

#[test]
fn what_waits_leaves_buffers_for_the_rest() {
    let rules = UNICAST.replace("16", "1024");
    let mut site = Site::build(&load(&rules), |_| true, true, 600);
    push(&site, 0, 500);
    let ledger = site.turns(100);
    assert_eq!(site.sent(2).len(), 500, "the group notices nothing");
    assert!((100..=300).contains(&ledger.waiting_after), "{}", ledger.waiting_after);
    site.finish();
}

/// The rule with this output in place of the first.
fn with(first: &str) -> String {
    UNICAST.replace("{ port = \"a\", destination = \"10.0.0.9\" },", first)
}

#[test]
fn what_waits_of_a_removed_output_is_removed() {
    let mut live = Live::new(UNICAST);
    push(&live.site, 0, 10);
    live.site.turns(2);
    live.reload(&with("")).expect("it is live");
    assert_eq!(live.site.ledger().waiting_after, 20, "it may still be answered");
    live.tick(Duration::from_secs(1));
    assert_eq!(live.site.ledger().waiting_after, 10);
    assert_eq!(live.site.dropped_after(0, DropReason::Removed), 10);
    say(&live.site, 10, Known::At(ELSEWHERE));
    live.site.turns(1);
    assert_eq!(sent_to(&live.site, ELSEWHERE), (0..10).collect::<Vec<_>>());
    live.site.finish();
}

#[test]
fn a_removed_output_s_copies_still_go_to_who_answers() {
    let mut live = Live::new(UNICAST);
    push(&live.site, 0, 10);
    live.site.turns(2);
    live.reload(&with("")).expect("it is live");
    say(&live.site, 9, Known::At(HERE));
    live.site.turns(1);
    assert_eq!(sent_to(&live.site, HERE), (0..10).collect::<Vec<_>>());
    live.site.finish();
}

#[test]
fn a_reload_that_changes_the_next_hop_ends_what_waits() {
    let routed = |via: u8| {
        let port = format!("device = \"net_null1\"\n    gateway = \"10.0.0.{via}\"");
        let output = "{ port = \"a\", destination = \"10.7.0.1\" },";
        config_with(&with(output), "device = \"net_null1\"", &port)
    };
    let mut live = Live::of(routed(11));
    push(&live.site, 0, 10);
    live.site.turns(2);
    live.take_up(routed(12)).expect("it is live");
    assert_eq!(live.site.dropped_after(0, DropReason::Unresolved), 10);
    push(&live.site, 10, 12);
    live.site.turns(2);
    say(&live.site, 12, Known::At(HERE));
    live.site.turns(1);
    assert_eq!(sent_to(&live.site, HERE), [10, 11]);
    live.site.finish();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Flows of several workers wait for one host; each is sent in order, whenever it answers, and
    /// the end comes whenever it is asked for.
    #[test]
    fn several_workers_wait_for_one_neighbour(seed: u64, workers in 1_usize..4, answers in 0_u32..60) {
        let rule = |n: u8| format!(
            "[[rule]]\nname = \"r{n}\"\n\
             input = {{ port = \"in\", destination = \"239.1.1.{n}\", udp_port = 5001 }}\n\
             output = [{{ port = \"a\", destination = \"10.0.0.9\", udp_port = {} }}, \
             {{ port = \"b\", destination = \"239.9.2.{n}\" }}]\n",
            6_000 + u32::from(n)
        );
        let rules = (0..6).map(rule).collect::<String>() + "[limits]\nunresolved = 64\n";
        let mut crew = Crew::new(&load(&rules), &[1, 1, 1], workers, seed);
        let pools = crew.pools();
        prop_assert_eq!(crew.plan.neighbours.len(), 1);
        for n in 0..40 {
            for rule in 0..6_u8 {
                let frame = v4().with(|f| f.destination = [239, 1, 1, rule].into());
                crew.push(0, &numbered(frame, u32::from(rule) * 10_000 + n));
            }
            if n == answers {
                crew.control.neighbours.set(0, Known::At(HERE));
            }
            let turns = crew.rng.usize(..12);
            crew.turns(turns);
        }
        let packets = 240 - crew.rx[0][0].len() as u64;
        let (ledger, sent) = crew.finish(Phase::Drain);
        let stopped = ledger.dropped_after[DropReason::Stopped.index()];
        prop_assert_eq!((ledger.copies, ledger.sent + stopped), (2 * packets, 2 * packets));
        prop_assert!(answers < 40 || stopped == packets, "{}", stopped);
        for (port, count) in [(1, packets - stopped), (2, packets)] {
            let flows = by_flow(&sent[port]);
            prop_assert_eq!(flows.values().map(Vec::len).sum::<usize>() as u64, count);
            for numbers in flows.values() {
                prop_assert!(numbers.is_sorted(), "{:?}", numbers);
            }
        }
        drop(sent);
        prop_assert_eq!(pools.map(|pool| pool.in_use()), [0, 0]);
    }
}
