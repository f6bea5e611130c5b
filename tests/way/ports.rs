//! Ports that come while packets move: whoever takes them up when, nothing is lost, doubled or
//! overtaken, and what comes in by them and leaves by them is relayed from then on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use punctual::config::Config;
use punctual::manage::reload::{NewPort, ReloadError, Reloader, diff};
use punctual::packet::Packet;
use punctual::worker::Phase;

use crate::crew::{Crew, facts};
use crate::frames::v4;
use crate::site::{load, number, numbered};

/// Ports that are added.
const ADDED: usize = 6;
/// Packets between two reloads, of each rule.
const ROUND: u32 = 20;

/// A rule that takes `239.1.GROUP.1` from a port to others.
fn rule(group: usize, from: &str, to: &[String]) -> String {
    let outputs: Vec<_> = to
        .iter()
        .map(|port| format!("{{ port = \"{port}\", destination = \"239.9.{group}.1\" }}"))
        .collect();
    format!(
        "[[rule]]\nname = \"r{group}\"\noutput = [{}]\n\
         input = {{ port = \"{from}\", destination = \"239.1.{group}.1\", udp_port = 5001 }}\n",
        outputs.join(", ")
    )
}

/// Rule 0 never changes. Rule 1 goes to every port that was added; each of these has a rule of its
/// own, 2 and more, that takes from it to port b. In the file the newest port comes first.
fn config(added: usize) -> Config {
    let names: Vec<_> = (0..added).map(|n| format!("new{n}")).collect();
    let mut text = rule(0, "in", &["a".to_owned(), "b".to_owned()]);
    text += &rule(1, "in", &[&["a".to_owned()], &names[..]].concat());
    for (n, name) in names.iter().enumerate().rev() {
        text += &rule(2 + n, name, &["b".to_owned()]);
        text += &format!("[[port]]\nname = \"{name}\"\ndevice = \"net_null1{n}\"\n");
    }
    load(&text)
}

/// One reload: from `old` to a port more, which is returned.
fn add_one(
    crew: &mut Crew,
    reloader: &mut Reloader,
    old: &Config,
    queues: u16,
    now: Duration,
) -> Config {
    let added = old.ports.len() - 3;
    let mut new = config(added + 1);
    new.order_ports_as(old);
    assert_eq!(diff(old, &new).added[0], format!("port new{added}: added live"));
    let port = NewPort { facts: facts(&new)[3 + added], rx_queues: queues };
    let all: Vec<_> = crew.counters.iter().map(|counters| &**counters).collect();
    let next = reloader.follow_with(&[port], &crew.plan, (old, &new), &all, now);
    let next = next.expect("it is live");
    crew.control.mailbox.take();
    crew.add_port(&next, reloader.roles());
    crew.plan = Arc::new(next);
    crew.control.mailbox.put(&crew.plan);
    new
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn ports_come_under_way(seed: u64, workers in 1_usize..4, queues in 1_u16..3) {
        let mut config = config(0);
        let mut crew = Crew::new(&config, &[1, 1, 1], workers, seed);
        let start = crew.roles.clone();
        let mut reloader = Reloader::new(crew.slots.clone(), facts(&config));
        let pools = crew.pools();
        let (mut added, mut now) = (0, 0);
        // By port that was added: the number of the first packet that came in by it.
        let mut since = Vec::new();
        while added < ADDED || !crew.is_taken_up() {
            for group in 0..2_u8 {
                let frame = v4().with(|f| f.destination = [239, 1, group, 1].into());
                crew.push(0, &numbered(frame, now));
            }
            for n in 0..added {
                let frame = v4().with(|f| f.destination = [239, 1, 2 + n as u8, 1].into());
                // A queue keeps its order, as RSS would have it.
                crew.push_to(3 + n, usize::from(queues) - 1, &numbered(frame, now));
            }
            now += 1;
            let turns = crew.rng.usize(..6);
            crew.turns(turns);
            if added < ADDED && now.is_multiple_of(ROUND) && crew.is_taken_up() {
                let time = Duration::from_millis(now.into());
                config = add_one(&mut crew, &mut reloader, &config, queues, time);
                since.push(now);
                added += 1;
            }
        }
        prop_assert_eq!(&reloader.roles().receives[..3], &start.receives[..]);
        prop_assert_eq!(&reloader.roles().sends[..3], &start.sends[..]);
        crew.settle();
        let (ledger, sent) = crew.finish(Phase::Drain);
        prop_assert_eq!(ledger.dropped(), 0);
        // By port and rule: what came, in order and without a gap from its first to the last.
        let mut came = BTreeMap::<(usize, u8), Vec<u32>>::new();
        for (port, copies) in sent.iter().enumerate() {
            for copy in copies {
                let group = copy.head()[32];
                came.entry((port, group)).or_default().push(number(copy));
            }
        }
        for ((port, group), numbers) in &came {
            prop_assert!(numbers.windows(2).all(|p| p[0] + 1 == p[1]), "{port}, {group}: {numbers:?}");
            prop_assert_eq!(numbers.last(), Some(&(now - 1)), "{}, {}", port, group);
        }
        for (group, first) in [(0, 0), (1, 0)] {
            prop_assert_eq!(came[&(1, group)][0], first);
        }
        for n in 0..ADDED {
            prop_assert!(came.contains_key(&(3 + n, 1)), "rule 1 goes to port {}", n);
            prop_assert_eq!(came[&(2, 2 + n as u8)][0], since[n]);
        }
        drop(sent);
        prop_assert_eq!(pools.map(|pool| pool.in_use()), [0, 0]);
    }
}

#[test]
fn a_plan_that_fails_leaves_the_ports_as_they_were() {
    let limits = "[limits]\nrules = 2\n";
    let new_port = "[[port]]\nname = \"new\"\ndevice = \"net_null9\"\n";
    let two = rule(0, "in", &["a".to_owned()]) + &rule(1, "in", &["b".to_owned()]);
    let (old, new) = (load(&(two.clone() + limits)), load(&(two + new_port + limits)));
    let mut full = new.clone();
    full.rules.push(punctual::config::Rule { name: "third".into(), ..new.rules[0].clone() });
    let mut crew = Crew::new(&old, &[1, 1, 1], 2, 1);
    let mut reloader = Reloader::new(crew.slots.clone(), facts(&old));
    let port = NewPort { facts: facts(&new)[3], rx_queues: 1 };
    let all = [&*crew.counters[0].clone(), &*crew.counters[1].clone()];
    let mut follow = |new: &Config| {
        let next = reloader.follow_with(&[port], &crew.plan, (&old, new), &all, Duration::ZERO);
        (next, reloader.facts().len(), reloader.roles().sends.len())
    };
    let (refused, facts, sends) = follow(&full);
    assert!(matches!(refused, Err(ReloadError::Plan(_))), "{refused:?}");
    assert_eq!((facts, sends), (3, 3));
    let (next, facts, sends) = follow(&new);
    assert_eq!((next.expect("it fits").ports.len(), facts, sends), (4, 4, 4));
    crew.settle();
    crew.finish(Phase::Drain);
}

#[test]
fn what_cannot_come_live_is_named_with_the_reason() {
    let old = load("");
    let with = |keys: &str| {
        let port = format!("[[port]]\nname = \"new\"\n{keys}\n");
        diff(&old, &load(&port)).needs_restart
    };
    assert_eq!(
        with("device = \"0000:3b:00.0\""),
        ["port new: new, and EAL looks for PCI devices at its start only"]
    );
    assert_eq!(
        with("device = \"net_null9\"\nmtu = 1501"),
        ["port new: new, and its mtu of 1501 is above 1500, the largest so far"]
    );
    assert!(with("device = \"net_null9\"\nmtu = 1500").is_empty());
    let gone = Config { ports: old.ports[1..].to_vec(), rules: vec![], ..old.clone() };
    assert_eq!(diff(&old, &gone).needs_restart, ["port in: removed"]);
}
