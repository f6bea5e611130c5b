//! Several workers, stepped in any order: no flow overtakes itself, totals are exact, and a port
//! that all of them send to is shared as by one.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use punctual::config::RxMode;
use punctual::manage::reload::Reloader;
use punctual::packet::{DropReason, FRAME_OVERHEAD, Packet};
use punctual::worker::Phase;

use crate::crew::{Crew, by_flow, facts};
use crate::frames::{Frame, v4};
use crate::site::{load, number, numbered};

/// Rules whose flows are theirs, their rows', and their sources', each to both ports.
fn rules() -> String {
    let outputs = "output = [{ port = \"a\", destination = \"239.9.1.0/24\" },\n\
                   { port = \"b\", destination = \"239.9.2.0/24\" },\n\
                   { port = \"b\", destination = \"239.9.3.0/24\" }]\n";
    let mut text = String::new();
    for rule in 1..=4 {
        text += &format!(
            "[[rule]]\nname = \"r{rule}\"\n\
             input = {{ port = \"in\", destination = \"239.1.1.{rule}/32\", udp_port = 5001 }}\n\
             {}",
            outputs.replace("/24", "/32")
        );
    }
    for (group, flow) in [(2, "row"), (3, "source")] {
        text += &format!(
            "[[rule]]\nname = \"{flow}\"\nflow = \"{flow}\"\n\
             input = {{ port = \"in\", destination = \"239.1.{group}.0/24\", udp_port = 5001 }}\n\
             {outputs}"
        );
    }
    text
}

/// Flows of the rules: four of the first kind, eight rows, eight sources.
const FLOWS: u32 = 20;

fn frame(flow: u32, number: u32) -> Frame {
    let frame = v4().with(|f| match flow as u8 {
        n @ 0..4 => f.destination = [239, 1, 1, n + 1].into(),
        n @ 4..12 => f.destination = [239, 1, 2, n].into(),
        n => {
            f.destination = [239, 1, 3, 1].into();
            f.source = [10, 9, 1, n].into();
        }
    });
    numbered(frame, flow * 10_000 + number)
}

fn check_order(sent: &[Vec<punctual::testkit::HeapPacket>], packets: u32) {
    for (port, outputs) in [(1, 1), (2, 2)] {
        let flows = by_flow(&sent[port]);
        assert_eq!(flows.len() as u32, FLOWS * outputs, "port {port}");
        for ((output, flow), numbers) in flows {
            assert!(numbers.is_sorted(), "output {output}, flow {flow}: {numbers:?}");
            assert_eq!(numbers.len() as u32, packets, "output {output}, flow {flow}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Whatever the order of their turns and however many queues the port has: every copy comes,
    /// once, and behind the copies of its flow that came before it.
    #[test]
    fn no_flow_overtakes_itself(seed: u64, workers in 1_usize..5, queues in 1_u16..4) {
        let mut crew = Crew::new(&load(&rules()), &[queues, 1, 1], workers, seed);
        let pools = crew.pools();
        for n in 0..40 {
            for flow in 0..FLOWS {
                // As RSS would have it: a flow of one sender to one address is in one queue.
                crew.push((flow % u32::from(queues)) as usize, &frame(flow, n));
            }
            let turns = crew.rng.usize(..12);
            crew.turns(turns);
        }
        crew.settle();
        let (ledger, sent) = crew.finish(Phase::Drain);
        prop_assert_eq!((ledger.received, ledger.sent), (800, 2_400));
        prop_assert_eq!(ledger.dropped(), 0);
        check_order(&sent, 40);
        drop(sent);
        prop_assert_eq!(pools.map(|pool| pool.in_use()), [0, 0]);
    }

    /// However early the end is asked for, every packet is sent or counted.
    #[test]
    fn an_end_at_any_moment_loses_nothing_uncounted(seed: u64, workers in 2_usize..4, turns in 0_usize..40) {
        for phase in [Phase::Drain, Phase::Abort] {
            let mut crew = Crew::new(&load(&rules()), &[1, 1, 1], workers, seed);
            let pools = crew.pools();
            (0..10).for_each(|n| (0..FLOWS).for_each(|flow| crew.push(0, &frame(flow, n))));
            crew.turns(turns);
            let waiting = crew.rx[0][0].len() as u64;
            let (ledger, sent) = crew.finish(phase);
            prop_assert_eq!(ledger.received, 200 - waiting);
            let stopped = DropReason::Stopped.index();
            let stopped = ledger.dropped_before[stopped] + ledger.dropped_after[stopped];
            prop_assert_eq!(ledger.dropped(), stopped);
            prop_assert!(phase == Phase::Abort || stopped == 0);
            drop(sent);
            prop_assert_eq!(pools.map(|pool| pool.in_use()), [0, 0]);
        }
    }

    /// Rules come and go while packets are under way between the workers, which take up each plan
    /// when they get to it: nothing is lost, doubled or overtaken.
    #[test]
    fn plans_change_under_way(seed: u64) {
        let half = |odd: u8| {
            let rule = |n: u8| format!(
                "[[rule]]\nname = \"r{n}\"\n\
                 input = {{ port = \"in\", destination = \"239.1.1.{n}\", udp_port = 5001 }}\n\
                 output = [{{ port = \"a\", destination = \"239.9.1.{n}\" }}, \
                 {{ port = \"b\", destination = \"239.9.2.{n}\" }}]\n"
            );
            (0..8).filter(|n| *n < 4 || n % 2 == odd).map(rule).collect::<String>()
        };
        let configs = [load(&half(0)), load(&half(1))];
        let mut crew = Crew::new(&configs[0], &[1, 1, 1], 3, seed);
        let mut reloader = Reloader::new(crew.slots.clone(), facts(&configs[0]));
        let mut now = Duration::ZERO;
        let mut reloads = 0;
        for n in 0..150 {
            for rule in 0..8_u8 {
                let destination = [239, 1, 1, rule].into();
                let number = u32::from(rule) * 10_000 + n;
                crew.push(0, &numbered(v4().with(|f| f.destination = destination), number));
            }
            let turns = crew.rng.usize(..10);
            crew.turns(turns);
            now += Duration::from_millis(1);
            if !crew.is_taken_up() {
                continue;
            }
            let all: Vec<_> = crew.counters.iter().map(|counters| &**counters).collect();
            crew.control.mailbox.take();
            let next = if n % 3 == 0 {
                let (old, new) = (reloads % 2, (reloads + 1) % 2);
                reloads += 1;
                reloader.follow(&crew.plan, &configs[old], &configs[new], &all, now).ok()
            } else {
                reloader.tick(&crew.plan, &all, now)
            };
            if let Some(next) = next {
                crew.plan = Arc::new(next);
                crew.control.mailbox.put(&crew.plan);
            }
        }
        prop_assert!(reloads > 10, "{}", reloads);
        crew.settle();
        let (ledger, sent) = crew.finish(Phase::Drain);
        prop_assert_eq!(ledger.received, 1_200);
        let missed = ledger.dropped_before[DropReason::NoRule.index()];
        prop_assert_eq!((ledger.dropped(), ledger.sent), (missed, 2 * (1_200 - missed)));
        for port in [1, 2] {
            let mut flows = std::collections::BTreeMap::<u32, Vec<u32>>::new();
            for copy in &sent[port] {
                flows.entry(number(copy) / 10_000).or_default().push(number(copy) % 10_000);
            }
            for (rule, numbers) in flows {
                prop_assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "rule {}", rule);
                prop_assert!(rule >= 4 || numbers.len() == 150, "rule {}", rule);
            }
        }
    }
}

#[test]
fn flows_and_ports_are_spread_over_the_workers() {
    let mut crew = Crew::new(&load(&rules()), &[1, 1, 1], 2, 1);
    (0..10).for_each(|n| (0..FLOWS).for_each(|flow| crew.push(0, &frame(flow, n))));
    crew.settle();
    for counters in &crew.counters {
        let ledger = counters.ledger.read();
        // Four of the ten flows by rule and row at least, and some sources.
        assert!(ledger.admitted >= 60, "{ledger:?}");
        assert_eq!(ledger.sent % 200, 0, "a port's copies, all of them: {ledger:?}");
    }
    assert!(crew.handed().iter().all(|handed| *handed > 0));
    assert_eq!(crew.finish(Phase::Drain).0.sent, 600);
}

#[test]
fn one_worker_hands_nothing_over() {
    let mut crew = Crew::new(&load(&rules()), &[2, 1, 1], 1, 1);
    (0..FLOWS).for_each(|flow| crew.push(flow as usize % 2, &frame(flow, 1)));
    crew.settle();
    assert_eq!(crew.handed(), [0, 0]);
    assert_eq!(crew.finish(Phase::Drain).0.sent, 60);
}

/// A worker that stands still costs what it was to do, counted, and nothing else.
#[test]
fn what_a_full_ring_does_not_take_is_counted() {
    let mut crew = Crew::new(&load(&rules()), &[1, 1, 1], 2, 1);
    // Rule 1 has slot 0 and is the first worker's, rule 2 the second's; port a is the first's.
    assert_eq!((crew.plan.rules[0].home, crew.plan.rules[1].home), (0, 1));
    assert_eq!(&crew.roles.sends[1..], [0, 1]);
    for n in 0..3_000 {
        crew.push(0, &frame(0, n));
        crew.push(0, &frame(1, n));
        crew.workers[0].turn();
    }
    for _ in 0..100 {
        crew.workers[0].turn();
    }
    let ledger = crew.ledger();
    let full = DropReason::HandoffFull;
    let of_rule = |rule: usize| crew.counters[0].rules[rule].dropped()[full.index()];
    assert_eq!([of_rule(0), of_rule(1)], [0, 3_000 - 1_024]);
    assert_eq!(ledger.dropped_before[full.index()], 3_000 - 1_024);
    // Rule 1's copies for port a are all sent; of the two for port b as many as the ring holds.
    assert_eq!(crew.tx[1].take().len(), 3_000);
    let outputs = crew.plan.outputs_of(0).to_vec();
    let full_copies: u64 = outputs[1..].iter().map(|&o| crew.dropped_after(o, full)).sum();
    assert_eq!(full_copies, 6_000 - 4_096);
    assert_eq!(ledger.waiting_before, 1_024);
    assert_eq!(ledger.waiting_after, 4_096);
    let (ledger, sent) = crew.finish(Phase::Drain);
    assert_eq!(ledger.dropped(), 3_000 - 1_024 + full_copies);
    assert_eq!(sent[1].len() + sent[2].len(), 1_024 * 3 + 4_096);
}

/// A lossless source is not asked for more than the other workers take.
#[test]
fn a_lossless_port_loses_nothing_in_the_rings() {
    for slow in [0, 1] {
        let mut config = load(&rules());
        config.ports[0].rx = RxMode::Lossless;
        let mut crew = Crew::new(&config, &[1, 1, 1], 2, 1);
        (0..200).for_each(|n| (0..FLOWS).for_each(|flow| crew.push(0, &frame(flow, n))));
        for turn in 0..200_000 {
            // One of them hardly comes to its turn.
            crew.workers[if turn % 500 == 0 { slow } else { 1 - slow }].turn();
            if crew.rx[0][0].is_empty() && crew.ledger().is_quiet() {
                break;
            }
        }
        let (ledger, sent) = crew.finish(Phase::Drain);
        assert_eq!((ledger.received, ledger.dropped()), (4_000, 0), "slow worker {slow}");
        check_order(&sent, 200);
    }
}

/// Bytes that two outputs of one port sent, by weights of 1 and 3, while both had more than fits:
/// their flows are kept by one worker, or by two.
fn shares(workers: usize) -> [u64; 2] {
    let rule = |n: u8, weight: u8| {
        format!(
            "[[rule]]\nname = \"r{n}\"\n\
             input = {{ port = \"in\", destination = \"239.1.1.{n}\", udp_port = 5001 }}\n\
             output = [{{ port = \"a\", weight = {weight}, destination = \"239.9.1.{n}\" }}]\n"
        )
    };
    let mut crew = Crew::new(&load(&(rule(1, 1) + &rule(2, 3))), &[1, 1, 1], workers, 5);
    let homes = [crew.plan.rules[0].home, crew.plan.rules[1].home];
    assert_eq!(homes, [0, u8::from(workers > 1)]);
    crew.tx[1].allow(0);
    let mut bytes = [0, 0];
    for n in 0..20_000 {
        for group in [1, 2] {
            let long = n % 7 * 200;
            let frame = v4().with(|f| f.destination = [239, 1, 1, group].into());
            crew.push(0, &frame.with(|f| f.payload = vec![0; 64 + long]));
        }
        crew.turns(4);
        if n < 1_000 {
            continue;
        }
        // Both queues are full by now: the port takes one of the two that come.
        crew.tx[1].allow(1);
        crew.turns(2);
        let sent = crew.tx[1].take();
        if n < 1_100 {
            // What was staged first had nothing to be fair to.
            continue;
        }
        for copy in sent {
            let output = copy.meta().output as usize;
            bytes[output] += copy.frame_len() as u64 + u64::from(FRAME_OVERHEAD);
        }
    }
    assert_eq!(crew.handed()[1] > 0, workers > 1);
    crew.finish(Phase::Abort);
    bytes
}

#[test]
fn a_port_is_shared_by_two_workers_as_by_one() {
    // Shreedhar and Varghese's bound: a quantum and a frame, of each weight.
    let bound = 2.0 * (1_546.0 + 1_546.0);
    for workers in [1, 2, 3] {
        let [one, three] = shares(workers).map(|bytes| bytes as f64);
        assert!(one > 1_000_000.0, "{workers} workers: {one}");
        assert!((one - three / 3.0).abs() <= bound, "{workers} workers: {one} and {three}");
    }
}

/// Packets that a policer lets pass, by rule or by source.
fn policed(flow: &str, workers: usize) -> Vec<usize> {
    let rule = format!(
        "[[rule]]\nname = \"r\"\nflow = \"{flow}\"\npolice = {{ rate = \"100Mbps\", burst = \"4KiB\" }}\n\
         queue = {{ packets = 65536, bytes = \"64MiB\" }}\n\
         input = {{ port = \"in\", destination = \"239.1.1.0/29\", udp_port = 5001 }}\n\
         output = [{{ port = \"a\" }}]\n"
    );
    let mut crew = Crew::new(&load(&rule), &[2, 1, 1], workers, 11);
    let mut passed = vec![0; 8];
    for n in 0..4_000_u32 {
        for sender in 0..8_u8 {
            let frame = v4().with(|f| {
                f.source = [10, 9, 1, sender].into();
                f.destination = [239, 1, 1, sender].into();
                f.payload = vec![0; 1_000];
            });
            crew.push(usize::from(sender) % 2, &numbered(frame, u32::from(sender) * 10_000 + n));
        }
        // Each worker receives within the same 100 us.
        crew.clock.step(100_000);
        for _ in 0..2 {
            crew.workers.iter_mut().for_each(|worker| _ = worker.turn());
        }
        for copy in crew.tx[1].take() {
            passed[number(&copy) as usize / 10_000] += 1;
        }
    }
    let (ledger, sent) = crew.finish(Phase::Drain);
    sent[1].iter().for_each(|copy| passed[number(copy) as usize / 10_000] += 1);
    let policed = ledger.dropped_before[DropReason::Policed.index()];
    assert_eq!(passed.iter().sum::<usize>() as u64 + policed, 32_000);
    passed
}

#[test]
fn a_policer_lets_as_much_pass_on_two_workers_as_on_one() {
    for flow in ["rule", "row", "source"] {
        let one: usize = policed(flow, 1).iter().sum();
        for workers in [2, 3] {
            let several: usize = policed(flow, workers).iter().sum();
            let off = one.abs_diff(several) as f64 / one as f64;
            assert!(off <= 0.01, "{flow}: {one} by one worker, {several} by {workers}");
        }
    }
}
