//! A link that is asked to carry more than it can: who gets it, how much of it is in time, and
//! that nobody else notices. The CPU has time to spare in every case.

use proptest::prelude::*;
use punctual::packet::DropReason;
use punctual::simulate::Outcome;
use punctual::testkit::traffic::Pattern;

use super::harness::{Feed, Site, mbps};

/// What port `a` carries, in Mbit/s.
const LINK: f64 = 1_000.0;
/// What the worker needs for the most that a turn serves here, in nanoseconds: one packet to three
/// ports, 64 times.
const TURN: u64 = 64 * (60 + 3 * 50);
/// Milliseconds in which all queues have a backlog.
const BUSY: std::ops::Range<usize> = 30..70;

/// How port `a` is held to [`LINK`].
#[derive(Clone, Copy, Debug)]
enum Held {
    /// By the worker's shaper: nothing waits in the wire's ring.
    Shaped,
    /// By a wire whose ring is full: the port refuses.
    Wire,
}

impl Held {
    fn hold(self, site: Site) -> Site {
        match self {
            Self::Shaped => site.shaped("a", "1Gbps", "16KiB"),
            Self::Wire => site.link("a", "1Gbps"),
        }
    }
}

/// A rule with one output on port `a`.
#[derive(Clone, Debug)]
struct Member {
    class: usize,
    weight: u32,
    sizes: Vec<usize>,
}

const CLASSES: [(&str, u32); 3] = [("high", 16), ("medium", 4), ("low", 1)];

fn member(class: usize, weight: u32) -> Member {
    Member { class, weight, sizes: vec![64, 576, 1_400] }
}

/// The share of the link that each member is due, if all have a backlog.
fn shares(members: &[Member]) -> Vec<f64> {
    let present = |class: usize| members.iter().any(|member| member.class == class);
    let weights = CLASSES.iter().enumerate().filter(|(class, _)| present(*class));
    let classes: u32 = weights.map(|(_, (_, weight))| weight).sum();
    let share = |member: &Member| {
        let peers = members.iter().filter(|peer| peer.class == member.class);
        let all: u32 = peers.map(|peer| peer.weight).sum();
        let class = f64::from(CLASSES[member.class].1) / f64::from(classes);
        class * f64::from(member.weight) / f64::from(all)
    };
    members.iter().map(share).collect()
}

/// Members that are each offered `factor` times their share.
fn site(members: &[Member], late: &str, factor: f64) -> Site {
    let rule = |(i, member): (usize, &Member)| {
        format!(
            r#"
            [[rule]]
            name = "r{i}"
            class = "{}"
            budget = "{}ms"
            late = "{late}"
            input = {{ port = "in", destination = "239.1.{i}.0/24", udp_port = 5001 }}
            output = [{{ port = "a", weight = {} }}]
            "#,
            CLASSES[member.class].0,
            [1, 5, 20][member.class],
            member.weight,
        )
    };
    let rules: String = members.iter().enumerate().map(rule).collect();
    let feeds = members.iter().zip(shares(members)).enumerate();
    feeds.fold(Site::new(&rules), |site, (i, (member, share))| {
        let rate = format!("{}kbps", (factor * share * LINK * 1_000.0) as u64);
        site.feed(Feed::of(&format!("r{i}")).rate(&rate).sizes(&member.sizes))
    })
}

/// Link `a` at 1.2, 1.5 and 2 times what it carries, all classes with a backlog: at least 95 % of
/// it is on-time goodput, nothing is sent late, and each output has its weight's share to 2 %.
#[test]
fn an_overloaded_link_is_shared_by_weight_and_carries_what_is_in_time() {
    let members = [member(0, 1), member(0, 3), member(1, 1), member(1, 2), member(2, 1)];
    for held in [Held::Shaped, Held::Wire] {
        for factor in [1.2, 1.5, 2.0] {
            let site = held.hold(site(&members, "drop", factor).cpu(60, 50)).ms(BUSY.end as u64);
            let outcome = site.run();
            let what = format!("{held:?} {factor}");
            let goodput: f64 = outcome.outputs.iter().map(|o| mbps(&o.bytes_by_slice[BUSY])).sum();
            assert!((0.95 * LINK..=1.001 * LINK).contains(&goodput), "{what}: {goodput} Mbit/s");
            for (output, share) in outcome.outputs.iter().zip(shares(&members)) {
                assert_eq!((output.late_sent, output.sent), (0, output.on_time), "{what}");
                let got = mbps(&output.bytes_by_slice[BUSY]) / goodput;
                assert!((got / share - 1.0).abs() < 0.02, "{what}: {got} of {share}");
            }
            let lost: u64 = outcome.outputs.iter().map(|o| o.offered - o.sent).sum();
            assert!(lost > 0, "{what}: it was overloaded");
            assert_eq!(outcome.ports[0].rx.missed, 0, "{what}: the CPU was not");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..Default::default() })]

    /// Link `a` at 1.5 times what it carries, whatever the weights, classes and frame sizes: shares
    /// are within 2 %, or two visits, which is what DRR may be ahead or behind at either end.
    #[test]
    fn shares_are_the_weights_whatever_they_are(
        members in prop::collection::vec(
            (0_usize..3, 1_u32..6, prop::sample::subsequence(vec![64, 300, 800, 1_400], 1..4))
                .prop_map(|(class, weight, sizes)| Member { class, weight, sizes }),
            2..6,
        ),
        wire in any::<bool>(),
        late in prop::sample::select(vec!["drop", "send"]),
    ) {
        let held = if wire { Held::Wire } else { Held::Shaped };
        let outcome = held.hold(site(&members, late, 1.5)).ms(BUSY.end as u64).run();
        let total: f64 = outcome.outputs.iter().map(|o| mbps(&o.bytes_by_slice[BUSY])).sum();
        prop_assert!(total > 0.95 * LINK, "{}", total);
        for (output, share) in outcome.outputs.iter().zip(shares(&members)) {
            let (got, due) = (mbps(&output.bytes_by_slice[BUSY]), share * total);
            // A visit's bytes: the weight of member or class times the largest frame.
            let class = CLASSES[output.class as usize].1;
            let visit = f64::from(output.weight.max(class) * 1_546) * 8.0 / 1e3 / BUSY.len() as f64;
            prop_assert!((got - due).abs() < 0.02 * due + 2.0 * visit, "{} of {} {:?}", got, due, members);
        }
    }
}

/// Lengths of IP packets that make few packets of much traffic.
const SIZES: [usize; 2] = [576, 1_400];

/// A feed to three ports and one to each of the two that are not overloaded.
const THREE: &str = r#"
    [[rule]]
    name = "all"
    late = "drop"
    budget = "2ms"
    input = { port = "in", destination = "239.1.1.0/24", udp_port = 5001 }
    output = [{ port = "a" }, { port = "b" }, { port = "c" }]
    [[rule]]
    name = "b"
    class = "high"
    input = { port = "in", destination = "239.1.2.0/24", udp_port = 5001 }
    output = [{ port = "b" }]
    [[rule]]
    name = "c"
    class = "low"
    input = { port = "in", destination = "239.1.3.0/24", udp_port = 5001 }
    output = [{ port = "c" }]
"#;

/// Link `a` at 1.2, 1.5 and 2 times what it carries: the other ports lose nothing, and their p99
/// moves by at most 10 % or one turn against the same traffic where `a` carries all of it.
#[test]
fn an_overloaded_link_is_not_noticed_at_the_others() {
    let run = |held: Option<Held>, factor: f64| -> Outcome {
        let site = Site::new(THREE).cpu(60, 50);
        let site = site
            .feed(Feed::of("all").rate(&format!("{}Mbps", (factor * LINK) as u64)).sizes(&SIZES))
            .feed(Feed::of("b").rate("2Gbps").sizes(&SIZES))
            .feed(Feed::of("c").rate("2Gbps").sizes(&SIZES).pattern(Pattern::Bursts))
            .ms(60);
        held.map_or(site.clone(), |held| held.hold(site)).run()
    };
    for factor in [1.2, 1.5, 2.0] {
        let calm = run(None, factor);
        for held in [Held::Shaped, Held::Wire] {
            let outcome = run(Some(held), factor);
            let what = format!("{held:?} {factor}");
            let a = &outcome.outputs[0];
            assert!(
                a.dropped_for(DropReason::EgressFull) + a.dropped_for(DropReason::EgressLate) > 0
            );
            for (output, before) in outcome.outputs.iter().zip(&calm.outputs).skip(1) {
                assert_eq!((output.sent, output.late_sent), (output.offered, 0), "{what}");
                let (p99, was) = (output.residence_at(0.99), before.residence_at(0.99));
                assert!(p99 <= (was + was / 10).max(was + TURN), "{what}: {p99} ns, was {was}");
            }
        }
    }
}
