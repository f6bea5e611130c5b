use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use etherparse::{ArpOperation, NetSlice, SlicedPacket};
use proptest::prelude::*;

use super::entry::{Entry, Heard, REQUEST_EVERY, REQUESTS, State};
use super::*;
use crate::config::{self, Config, Neighbour};
use crate::manage::slow_path::{Host, Outbox, Outcome};
use crate::plan::{Plan, PortFacts, Slots};
use crate::stages::Known;
use crate::wire::MacAddr;

const HERE: MacAddr = MacAddr([2, 0, 0, 0, 0, 9]);
const ELSEWHERE: MacAddr = MacAddr([2, 0, 0, 0, 0, 10]);
const BELIEVED: Duration = Duration::from_secs(30);

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn entry(fixed: Option<Option<MacAddr>>) -> Entry {
    let address = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 9));
    Entry::new(Neighbour { port: 0, vlan: 0, address }, fixed, Duration::ZERO)
}

/// Asks at each second from `from` on as long as it is due, and returns whom, until the state
/// is another.
fn asked(entry: &mut Entry, from: u64, floods: u64) -> (Vec<Option<MacAddr>>, u64) {
    let (state, mut to, mut now) = (entry.state, Vec::new(), from);
    while entry.is_due(at(now)) && to.len() < 20 {
        let whom = entry.ask(at(now), floods);
        if entry.state != state {
            break;
        }
        to.push(whom);
        now += 1;
    }
    (to, now)
}

#[test]
fn three_requests_a_second_apart_then_silence_and_an_answer_ends_it() {
    let mut one = entry(None);
    assert_eq!((one.known(), asked(&mut one, 0, 0)), (Known::Asked, (vec![None; 3], 3)));
    assert_eq!((one.state, one.known()), (State::Silent, Known::Silent));
    assert!(!one.is_due(at(3)) && one.is_due(at(4)));
    one.learn(HERE, Heard::Answer, BELIEVED, at(5));
    assert_eq!((one.state, one.known()), (State::Reachable, Known::At(HERE)));
    assert!(!one.is_due(at(34)) && one.is_due(at(35)));
}

#[test]
fn who_has_aged_is_asked_itself_then_everyone_and_sent_to_meanwhile() {
    let mut one = entry(None);
    one.ask(at(0), 0);
    one.learn(HERE, Heard::Answer, BELIEVED, at(0));
    assert_eq!(one.ask(at(30), 0), Some(HERE));
    let (itself, now) = asked(&mut one, 31, 0);
    assert_eq!((itself, one.state), (vec![Some(HERE); 2], State::Searched));
    assert_eq!(one.known(), Known::At(HERE));
    let (all, _) = asked(&mut one, now + 1, 0);
    assert_eq!((all, one.known()), (vec![None; 2], Known::Silent));
}

#[test]
fn no_silence_counts_while_the_slow_path_is_flooded() {
    let mut one = entry(None);
    for second in 0..100 {
        one.ask(at(second), second);
        assert_eq!(one.known(), Known::Asked);
    }
}

#[test]
fn nothing_received_changes_what_the_configuration_says() {
    for fixed in [Some(HERE), None] {
        let mut one = entry(Some(fixed));
        let known = one.known();
        for heard in [Heard::Answer, Heard::Told, Heard::Hinted] {
            one.learn(ELSEWHERE, heard, BELIEVED, at(1));
        }
        assert_eq!((one.known(), one.refused), (known, 3));
        assert!(!one.is_due(at(1_000)));
    }
}

#[test]
fn a_host_that_moves_is_followed_once_a_second_and_asked() {
    let mut one = entry(None);
    one.ask(at(0), 0);
    one.learn(HERE, Heard::Answer, BELIEVED, at(0));
    one.learn(ELSEWHERE, Heard::Hinted, BELIEVED, at(5));
    assert_eq!((one.known(), one.state, one.refused), (Known::At(HERE), State::Probed, 1));
    one.learn(ELSEWHERE, Heard::Told, BELIEVED, at(6));
    assert_eq!((one.known(), one.changes), (Known::At(ELSEWHERE), 1));
    for _ in 0..100 {
        one.learn(HERE, Heard::Told, BELIEVED, at(6));
    }
    assert_eq!((one.known(), one.changes, one.refused), (Known::At(ELSEWHERE), 1, 101));
}

/// Something that happens to a neighbour.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// Time passes, and it is asked if that is due; the slow path may have overflowed.
    Tick { millis: u64, flooded: bool },
    /// Someone says where it is.
    Says(MacAddr, Heard),
}

fn event() -> impl Strategy<Value = Event> {
    let tick = (0_u64..3_000, any::<bool>())
        .prop_map(|(millis, flooded)| Event::Tick { millis, flooded: flooded && millis % 3 == 0 });
    let mac = (9_u8..12).prop_map(|last| MacAddr([2, 0, 0, 0, 0, last]));
    let heard = prop_oneof![Just(Heard::Answer), Just(Heard::Told), Just(Heard::Hinted)];
    prop_oneof![3 => tick, 1 => (mac, heard).prop_map(|(mac, heard)| Event::Says(mac, heard))]
}

proptest! {
    /// A MAC is known only after someone said it, no hint replaces a known one, who is not asked
    /// replaces it once a second at most, and silence takes three requests in three seconds in which
    /// nothing was lost.
    #[test]
    fn any_words_in_any_order(events in proptest::collection::vec(event(), 1..200)) {
        let mut one = entry(None);
        let (mut now, mut floods) = (Duration::ZERO, 0);
        let (mut said, mut heard_at, mut told_at) = (Vec::new(), Duration::ZERO, None::<Duration>);
        let (mut asked, mut words) = (0_u64, 0_u64);
        for event in events {
            let before = one.known();
            match event {
                Event::Tick { millis, flooded } => {
                    now += Duration::from_millis(millis);
                    floods += u64::from(flooded);
                    if !one.is_due(now) {
                        continue;
                    }
                    one.ask(now, floods);
                    asked += 1;
                    prop_assert!(asked <= now.as_secs() + 1 + words);
                    if before != Known::Silent && one.known() == Known::Silent {
                        prop_assert!(now - heard_at >= 3 * REQUEST_EVERY);
                        prop_assert!(one.requests >= u64::from(REQUESTS));
                    }
                    let keeps = one.known() == before || one.known() == Known::Silent;
                    prop_assert!(keeps, "asking makes nobody known");
                }
                Event::Says(mac, heard) => {
                    said.push(mac);
                    words += 1;
                    let state = one.state;
                    one.learn(mac, heard, BELIEVED, now);
                    let after = one.known();
                    let moved = matches!((before, after), (Known::At(a), Known::At(b)) if a != b);
                    prop_assert!(!(moved && heard == Heard::Hinted));
                    if moved && heard == Heard::Told {
                        prop_assert!(told_at.is_none_or(|at| now - at >= Duration::from_secs(1)));
                        told_at = Some(now);
                    }
                    // The same words again prove nothing.
                    if one.state != state {
                        heard_at = now;
                    }
                    prop_assert!(matches!(after, Known::At(_)), "who is heard of is known");
                }
            }
            if let Known::At(mac) = one.known() {
                prop_assert!(said.contains(&mac));
            }
        }
    }
}

const OWN: MacAddr = MacAddr([2, 0, 0, 0, 1, 1]);

/// A port with one rule, whose outputs are these.
fn config(outputs: &str) -> Config {
    let text = format!(
        r#"
        schema = 1
        [[port]]
        name = "in"
        device = "net_null0"
        [[port]]
        name = "out"
        device = "net_null1"
        address = ["10.0.0.1/24", "fd00::1/64"]
        neighbour = [{{ address = "10.0.0.77", mac = "{HERE}" }}]
        [[receiver]]
        name = "desk"
        port = "out"
        [[rule]]
        name = "feed"
        input = {{ port = "in", destination = "239.1.1.0/30" }}
        output = [{outputs}]
        "#
    );
    let path = std::path::Path::new("neighbours.toml");
    config::load_bytes(path, text.into_bytes(), &|_| None).unwrap().config
}

/// Neighbours that follow a plan, and what they have to send to and know of port 1.
struct Link {
    neighbours: Neighbours,
    slots: Slots,
    config: Config,
    plan: Plan,
    outbox: Outbox,
}

impl Link {
    fn new(outputs: &str) -> Self {
        let config = config(outputs);
        let facts = [PortFacts { mac: OWN, mtu: 1_500, sends_chains: true }; 2];
        let (plan, slots) = Plan::first(&config, &facts, 1_000_000_000).unwrap();
        let mut neighbours = Neighbours::new(1);
        neighbours.follow(&config, &plan, Duration::ZERO);
        Self { neighbours, slots, config, plan, outbox: Outbox::default() }
    }

    fn reload(&mut self, outputs: &str, now: Duration) {
        let next = config(outputs);
        let facts = [PortFacts { mac: OWN, mtu: 1_500, sends_chains: true }; 2];
        self.plan = self.plan.follow(&self.config, &next, &facts, &mut self.slots).unwrap();
        self.config = next;
        self.neighbours.follow(&self.config, &self.plan, now);
    }

    /// A tick, with the port's link up or down; returns whom it asks, and at which MACs.
    fn tick(&mut self, is_up: bool, now: Duration) -> Vec<(IpAddr, MacAddr)> {
        let addresses: Vec<_> = self.config.ports[1].address.clone();
        let hosts = [vec![], addresses].map(|addresses| Host { mac: OWN, addresses });
        let seen = [PortSeen { is_up, punt_full: 0 }; 2];
        self.neighbours.tick(&hosts, &seen, now, &mut self.outbox);
        let mut asked = vec![];
        self.outbox.drain(|port, frame| {
            assert_eq!((port, &frame[6..12]), (1, &OWN.0[..]));
            let to = MacAddr(*frame.first_chunk().unwrap());
            let read = SlicedPacket::from_ethernet(frame).unwrap();
            asked.push(match read.net {
                Some(NetSlice::Arp(arp)) => {
                    let arp = arp.to_packet().try_eth_ipv4().unwrap();
                    assert_eq!(arp.operation, ArpOperation::REQUEST);
                    assert_eq!(arp.sender_ipv4_addr(), Ipv4Addr::new(10, 0, 0, 1));
                    (arp.target_ipv4_addr().into(), to)
                }
                other => panic!("{other:?}"),
            });
            true
        });
        asked
    }

    fn hears(&mut self, address: &str, mac: MacAddr, heard: Heard, now: Duration) -> Outcome {
        let who = Neighbour { port: 1, vlan: 0, address: address.parse().unwrap() };
        self.neighbours.learn(who, mac, OWN, heard, now)
    }

    fn news(&mut self) -> Vec<(usize, Known)> {
        self.neighbours.news().collect()
    }

    fn states(&self, now: Duration) -> Vec<(String, &'static str)> {
        let rows = self.neighbours.rows(now).into_iter();
        rows.map(|row| (row.who.address.to_string(), row.state.name())).collect()
    }
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn all_are_asked_before_a_packet_comes_and_an_answer_is_told_at_once() {
    let mut link = Link::new(
        r#"{ port = "out", destination = "10.0.0.9" }, { port = "out", destination = "10.0.0.77" }"#,
    );
    assert_eq!(link.news(), [(0, Known::Asked)]);
    assert_eq!(link.states(at(0)), [("10.0.0.9".into(), "asked"), ("10.0.0.77".into(), "static")]);
    assert_eq!(link.tick(true, at(0)), [(address("10.0.0.9"), MacAddr([0xff; 6]))]);
    assert_eq!(link.hears("10.0.0.9", ELSEWHERE, Heard::Answer, at(0)), Outcome::Done);
    assert_eq!(link.news(), [(0, Known::At(ELSEWHERE))]);
    // Nobody's, a group's, our own: no MAC of another. Strangers are nobody's business.
    for mac in [MacAddr([0; 6]), MacAddr([0xff; 6]), OWN] {
        assert_eq!(link.hears("10.0.0.9", mac, Heard::Answer, at(1)), Outcome::Malformed);
    }
    assert_eq!(link.hears("10.0.0.10", HERE, Heard::Answer, at(1)), Outcome::Ignored);
    // What is written is nobody's to change.
    assert_eq!(link.hears("10.0.0.77", ELSEWHERE, Heard::Answer, at(1)), Outcome::Ignored);
    let rows = link.neighbours.rows(at(1));
    assert_eq!((rows[1].mac, rows[1].refused, rows[0].refused), (Some(HERE), 1, 0));
    assert!(link.news().is_empty());
    // It is asked itself when its answer has aged, between a half and three of them.
    assert!(link.tick(true, at(14)).is_empty());
    assert_eq!(link.tick(true, at(46)), [(address("10.0.0.9"), ELSEWHERE)]);
}

#[test]
fn an_answer_from_another_vlan_is_about_another_host() {
    let mut link = Link::new(r#"{ port = "out", destination = "10.0.0.9", vlan = 7 }"#);
    assert_eq!(link.hears("10.0.0.9", HERE, Heard::Answer, at(1)), Outcome::Ignored);
    assert_eq!(link.states(at(1)), [("10.0.0.9".into(), "asked")]);
}

#[test]
fn a_reload_keeps_those_that_it_keeps_and_asks_new_ones() {
    let [nine, ten] =
        ["9", "10"].map(|last| format!("{{ port = \"out\", destination = \"10.0.0.{last}\" }}"));
    let mut link = Link::new(&nine);
    link.tick(true, at(0));
    link.hears("10.0.0.9", HERE, Heard::Answer, at(0));
    link.news();
    link.reload(&format!("{nine}, {ten}"), at(1));
    assert_eq!(link.news(), [(0, Known::At(HERE)), (1, Known::Asked)]);
    let whom: Vec<_> = link.tick(true, at(1)).into_iter().map(|(whom, _)| whom).collect();
    assert_eq!(whom, [address("10.0.0.10")]);
}

#[test]
fn a_link_that_comes_up_is_asked_at_once_and_one_that_is_down_is_not() {
    let mut link = Link::new(r#"{ port = "out", destination = "10.0.0.9" }"#);
    assert!(link.tick(false, at(0)).is_empty());
    assert_eq!(link.tick(true, at(1)).len(), 1);
    link.hears("10.0.0.9", HERE, Heard::Answer, at(1));
    assert!(link.tick(false, at(2)).is_empty());
    assert_eq!(link.tick(true, at(3)), [(address("10.0.0.9"), HERE)]);
}

#[test]
fn a_prefix_has_no_host_at_its_ends() {
    let mut link = Link::new(r#"{ port = "out", destination = "10.0.0.0/30" }"#);
    let whom: Vec<_> = link.tick(true, at(0)).into_iter().map(|(whom, _)| whom).collect();
    assert_eq!(whom, ["10.0.0.2", "10.0.0.3"].map(address));
    let states: Vec<_> = link.states(at(0)).into_iter().map(|(_, state)| state).collect();
    assert_eq!(states, ["no_host", "no_host", "asked", "asked"]);
}

#[test]
fn a_receiver_is_unresolved_where_none_of_its_neighbours_answers() {
    let to = |last: u8| format!("{{ receiver = \"desk\", destination = \"10.0.0.{last}\" }}");
    let silent = |link: &mut Link, from: u64| {
        (from..from + 4).for_each(|second| drop(link.tick(true, at(second))));
        link.neighbours.unresolved(&link.plan)
    };
    let mut link = Link::new(&[to(9), to(10)].join(", "));
    assert_eq!(link.neighbours.unresolved(&link.plan), [0; 0], "they are still asked");
    assert_eq!(silent(&mut link, 0), [0]);
    link.hears("10.0.0.10", HERE, Heard::Answer, at(4));
    assert_eq!(link.neighbours.unresolved(&link.plan), [0; 0], "one answers");
    // What needs no answer goes on, whoever is silent.
    for other in [to(77), "{ receiver = \"desk\", destination = \"239.9.9.9\" }".to_owned()] {
        let mut link = Link::new(&[to(9), other].join(", "));
        assert_eq!(silent(&mut link, 0), [0; 0]);
    }
    // A receiver without outputs is nobody's.
    let mut link = Link::new("{ port = \"out\", destination = \"10.0.0.9\" }");
    assert_eq!(silent(&mut link, 0), [0; 0]);
}
