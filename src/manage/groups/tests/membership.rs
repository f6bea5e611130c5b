//! The promise: who is a member stays one while a querier of any version asks, and who leaves is
//! no member any more within the last member query time.

use proptest::prelude::*;

use super::router::{Router, Settings};
use super::wire::read;
use super::*;

pub const VERSIONS: [Version; 5] =
    [Version::Igmp1, Version::Igmp2, Version::Igmp3, Version::Mld1, Version::Mld2];
/// Ticks of management, and what a frame takes on its way.
const TICK: Duration = ms(1);

fn is_v6(version: Version) -> bool {
    matches!(version, Version::Mld1 | Version::Mld2)
}

/// Group `number`; the upper half are wanted with sources.
fn group(version: Version, number: u8) -> IpAddr {
    ip(&if is_v6(version) { format!("ff15::{number}") } else { format!("239.1.1.{number}") })
}

fn source(version: Version, number: u8) -> IpAddr {
    ip(&if is_v6(version) { format!("fd00::{number}") } else { format!("10.9.0.{number}") })
}

/// What is wanted: each group with a set of sources, as bits; 0 is all.
type Draft = BTreeMap<u8, u8>;

fn wanted(version: Version, draft: &Draft) -> Wanted {
    let wants = draft.iter().map(|(&number, &sources)| {
        let interest = match sources {
            0 => Interest::Exclude,
            bits => Interest::Include(
                (0..3).filter(|i| bits >> i & 1 == 1).map(|i| source(version, i)).collect(),
            ),
        };
        (Place { port: 0, vlan: 0, group: group(version, number) }, interest)
    });
    wants.collect()
}

/// One host and one querier on a wire.
struct World {
    groups: Groups,
    router: Router,
    now: Duration,
    /// Which rounds of a general query and its answers are lost.
    lost: fn(u64, u8) -> bool,
    round: u64,
    settings: Settings,
}

impl World {
    fn new(settings: Settings, seed: u64, lost: fn(u64, u8) -> bool) -> Self {
        Self {
            groups: Groups::new([speaker(1_500)], seed),
            router: Router::new(settings, s(1)),
            now: s(1),
            lost,
            round: 0,
            settings,
        }
    }

    /// Lets time pass until `until`, and calls `look` after each event.
    fn run(&mut self, until: Duration, mut look: impl FnMut(Duration, &Router)) {
        while self.now < until {
            let next = due(&self.groups).unwrap_or(until).min(self.router.due()).min(until);
            // Management looks once a tick.
            let ticks = next.max(self.now + TICK).as_nanos().div_ceil(TICK.as_nanos());
            self.now = TICK * ticks as u32;
            // One look at what has expired just before anything is said.
            let (queries, general) = self.router.ask(self.now);
            look(self.now, &self.router);
            self.round += u64::from(general);
            let lost = (self.lost)(self.round, self.settings.robustness);
            if !lost {
                for query in queries {
                    self.groups.received(0, &query, self.now);
                }
            }
            for frame in said(&mut self.groups, self.now) {
                if !lost {
                    read(&frame).into_iter().for_each(|said| self.router.hears(said, self.now));
                }
            }
        }
    }
}

fn any_settings() -> impl Strategy<Value = Settings> {
    let version = prop::sample::select(&VERSIONS[..]);
    (version, 2..=7u8, 20..=125u8, 1..=100u8, 1..=25u8).prop_map(
        |(version, robustness, interval, response, last_member)| Settings {
            version,
            robustness,
            interval,
            // A querier of the first version leaves ten seconds.
            response: if version == Version::Igmp1 { 100 } else { response },
            last_member,
        },
    )
}

fn any_draft() -> impl Strategy<Value = Draft> {
    prop::collection::btree_map(0..8u8, 0..8u8, 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_member_stays_one_while_a_querier_asks(
        settings in any_settings(),
        draft in any_draft(),
        seed in any::<u64>(),
        loses in any::<bool>(),
    ) {
        // Of as many rounds as the robustness variable says, all but one may be lost.
        let lost = |round: u64, robustness: u8| !round.is_multiple_of(robustness.into());
        let mut world = World::new(settings, seed, if loses { lost } else { |_, _| false });
        let version = settings.version;
        world.groups.set(wanted(version, &draft), s(2));
        // The first answer that is not lost.
        let first = s(2) + settings.membership();
        world.run(first, |_, _| ());
        let end = first + settings.membership() * 4;
        let mut gone = None;
        world.run(end, |now, router| {
            for (&number, &sources) in &draft {
                for i in (0..3).filter(|i| sources == 0 || sources >> i & 1 == 1) {
                    if !router.forwards(group(version, number), source(version, i)) {
                        gone = gone.or(Some((now, number)));
                    }
                }
            }
        });
        prop_assert_eq!(gone, None);
    }

    #[test]
    fn who_leaves_is_seen_within_the_last_member_query_time(
        settings in any_settings().prop_filter("leaves", |s| s.version != Version::Igmp1),
        drafts in prop::collection::vec((any_draft(), 1..60u64), 1..5),
        seed in any::<u64>(),
    ) {
        let version = settings.version;
        let mut world = World::new(settings, seed, |_, _| false);
        // The querier has been heard when the first groups are joined.
        world.groups.set(wanted(version, &[(9, 0)].into()), s(2));
        world.run(s(30), |_, _| ());
        for (draft, seconds) in &drafts {
            world.groups.set(wanted(version, draft), world.now);
            let seen = world.now + settings.last_member_time() + TICK * 2;
            world.run(seen, |_, _| ());
            // Just past the last timer.
            world.router.ask(world.now + TICK);
            for number in 0..8 {
                for i in 0..3 {
                    let wanted = draft.get(&number).is_some_and(|&sources| {
                        sources == 0 || (sources >> i & 1 == 1)
                    });
                    let forwards =
                        world.router.forwards(group(version, number), source(version, i));
                    // An older querier knows groups only.
                    let wanted = if version.has_sources() { wanted } else { draft.contains_key(&number) };
                    prop_assert_eq!(forwards, wanted, "group {} source {} of {:?}", number, i, draft);
                }
            }
            world.run(world.now + s(*seconds), |_, _| ());
        }
    }
}

#[test]
fn queriers_may_take_turns() {
    // Each version asks for longer than a membership lasts; the host goes along.
    let mut groups = Groups::new([speaker(1_500)], 7);
    groups.set(wants(&[("239.1.1.1", &[]), ("ff15::1", &[])]), s(1));
    let mut now = s(1);
    let orders = [Version::Igmp3, Version::Igmp2, Version::Igmp3, Version::Igmp1, Version::Igmp3];
    let orders_v6 = [Version::Mld2, Version::Mld1, Version::Mld2, Version::Mld1, Version::Mld2];
    for (v4, v6) in orders.into_iter().zip(orders_v6) {
        let settings = |version| Settings {
            version,
            robustness: 2,
            interval: 30,
            response: 100,
            last_member: 10,
        };
        let mut routers = [v4, v6].map(|version| Router::new(settings(version), now));
        let start = now;
        while now < start + settings(v4).membership() * 4 {
            now += ms(100);
            for router in &mut routers {
                for query in router.ask(now).0 {
                    groups.received(0, &query, now);
                }
            }
            for said in said(&mut groups, now).iter().flat_map(|frame| read(frame)) {
                routers.iter_mut().for_each(|router| router.hears(said.clone(), now));
            }
            if now > start + s(11) {
                assert!(routers[0].forwards(ip("239.1.1.1"), ip("10.9.0.1")), "{v4:?} {now:?}");
                assert!(routers[1].forwards(ip("ff15::1"), ip("fd00::1")), "{v6:?} {now:?}");
            }
        }
    }
}
