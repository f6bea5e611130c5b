//! A worker on memory ports, and what management shows of it.

use std::sync::Arc;
use std::time::Duration;

use punctual::config::{Config, RxMode};
use punctual::ledger::Ledger;
use punctual::manage::breaker::{Breakers, News};
use punctual::manage::neighbours::{Heard, Neighbours, PortSeen, Quoted};
use punctual::manage::reload::{Reloader, Retired};
use punctual::manage::report::{Link, PoolStatus, PortStatus};
use punctual::manage::slow_path::{Host, Outbox};
use punctual::manage::unmatched::Unmatched;
use punctual::manage::view::View;
use punctual::packet::Clock;
use punctual::plan::{Plan, PortFacts};
use punctual::stages::{BreakerWords, Known};
use punctual::testkit::HeapFrame;
use punctual::wire::MacAddr;
use punctual::worker::Phase;

use crate::frames::{Frame, v4, vectors};
use crate::moved::Moved;
use crate::site::{FAN_OUT, Site, load, numbered};
use crate::table::Mover;

/// Packets that one turn takes in, and that one flow's queue holds, but no turn serves.
const WAITING: u32 = 500;

/// A site and its configuration.
struct Live {
    config: Config,
    site: Site,
}

impl Live {
    fn new(rules: &str) -> Self {
        Self::with(load(rules))
    }

    fn with(config: Config) -> Self {
        let site = Site::build(&config, |_| true, true, 10_000);
        Self { config, site }
    }

    /// What management shows now.
    fn view(&self) -> View {
        let site = &self.site;
        let pool = |name: &str, pool: &punctual::testkit::HeapPool| PoolStatus {
            name: name.into(),
            size: 50_000,
            in_use: pool.in_use() as u64,
            in_use_max: pool.in_use() as u64,
            held: 0,
        };
        View {
            config: Arc::new(self.config.clone()),
            plan: Arc::clone(&site.plan),
            workers: vec![(1, Arc::clone(&site.counters))],
            places: Arc::default(),
            ports: vec![PortStatus { link: Link::Up, ..PortStatus::default() }; site.tx.len()],
            retired: Retired::default(),
            breakers: Breakers::new(&site.plan),
            pools: vec![pool("payload", &site.payload), pool("headers", &site.headers)],
            unmatched: Unmatched::default(),
            groups: Default::default(),
            neighbours: Default::default(),
            malformed: Default::default(),
            alerts: Vec::new(),
            now: Some(site.clock.now() + 1_000),
            uptime: Duration::from_millis(1),
            dpdk: "none".into(),
            dumpcap: "no".into(),
        }
    }
}

/// Packets that no good rule takes, and those that a rule does not want.
const REFUSING: &str = r#"
    [[receiver]]
    name = "desk"
    port = "a"
    [limits]
    sources = 64
    [[rule]]
    name = "policed"
    flow = "source"
    queue = { packets = 64, bytes = "1MiB" }
    police = { rate = "1kbps", burst = "9064B" }
    input = { port = "in", destination = "239.1.1.1", udp_port = 5001 }
    output = [{ receiver = "desk", ttl = "decrement" }, { port = "b", destination = "239.9.9.9" }]
    [[rule]]
    name = "choosy"
    input = { port = "in", destination = "239.1.1.2", udp_port = 5001, source = "10.7.0.0/16" }
    output = [{ port = "b" }]
"#;

fn refused(moved: &mut Moved) {
    let mut live = Live::new(REFUSING);
    let site = &live.site;
    let push = |frame: Frame| site.push(&frame);
    vectors::all().into_iter().for_each(|(_, bytes, _)| {
        site.rx.push(site.payload.adopt(HeapFrame::new(&[&bytes])));
    });
    let bytes = v4().bytes();
    site.rx.push(site.payload.adopt(HeapFrame::new(&[&bytes[..20], &bytes[20..]])));
    site.rx.push_stranger();
    push(v4().with(|f| f.source_mac = [2, 0, 0, 0, 1, 1]));
    push(v4().with(|f| f.destination = [239, 1, 1, 2].into()));
    push(v4().with(|f| f.ttl = 1));
    push(v4().with(|f| f.payload = vec![0; 1_480]));
    for host in 0..200_u8 {
        push(v4().with(|f| f.source = [10, 9, 1, host].into()));
    }
    (0..500).for_each(|_| push(v4()));
    // More that no rule takes than management looks at.
    (0..5_000).for_each(|n| push(v4().with(|f| f.udp_port = 6_000 + n % 2)));
    while !live.site.rx.is_empty() {
        live.site.clock.step(1_000);
        live.site.turns(1);
    }
    moved.view(&live.view());
    live.site.finish();
}

/// Two flows of three and one copies: bursts of both wait in ingress DRR.
fn two_flows() -> Config {
    load(&format!(
        "{FAN_OUT}\n[[rule]]\nname = \"other\"\n\
         input = {{ port = \"in\", destination = \"239.1.2.1\", udp_port = 5001 }}\n\
         output = [{{ port = \"b\" }}]\n"
    ))
}

fn push_both(site: &Site) {
    for n in 0..WAITING {
        site.push(&numbered(v4().with(|f| f.destination = [239, 1, 1 + n as u8 % 2, 1].into()), n));
    }
}

/// A burst that is more than a turn serves: what waits, before fan-out and behind it, and what is
/// given up.
fn waiting(moved: &mut Moved) {
    let mut live = Live::with(two_flows());
    live.site.tx[1].allow(0);
    push_both(&live.site);
    while !live.site.rx.is_empty() {
        live.site.turns(1);
        moved.view(&live.view());
    }
    assert!(live.site.ledger().waiting_before > 0);
    live.site.control.set(Phase::Abort);
    live.site.worker.run(false);
    moved.view(&live.view());
    live.site.finish();
}

/// A rule that a reload takes away: what waits of it a second later, before fan-out and behind it.
fn removed(moved: &mut Moved) {
    let config = two_flows();
    let fact = |slot: u8| PortFacts {
        mac: MacAddr([2, 0, 0, 0, 1, slot]),
        mtu: 1_500,
        sends_chains: true,
    };
    let facts: Vec<_> = (0..3).map(fact).collect();
    let (plan, slots) = Plan::first(&config, &facts, 1_000_000_000).expect("a good plan");
    let mut reloader = Reloader::new(slots, facts);
    let site = Site::on(&config, Arc::new(plan), 10_000);
    let mut live = Live { config, site };
    let publish = |live: &mut Live, plan: Plan| {
        live.site.plan = Arc::new(plan);
        assert!(live.site.control.mailbox.put(&live.site.plan).is_empty());
        live.site.turns(1);
        drop(live.site.control.mailbox.take());
    };
    live.site.tx[1].allow(0);
    push_both(&live.site);
    while !live.site.rx.is_empty() {
        live.site.turns(1);
    }
    assert!(live.site.ledger().waiting_before > 64, "{:?}", live.site.ledger());
    let without = load("");
    let next = reloader.follow(
        &live.site.plan,
        &live.config,
        &without,
        &[&live.site.counters],
        Duration::ZERO,
    );
    publish(&mut live, next.expect("it is live"));
    live.config = without;
    let next = reloader.tick(&live.site.plan, &[&live.site.counters], Duration::from_secs(1));
    publish(&mut live, next.expect("something of it waits"));
    live.site.tx[1].allow(usize::MAX);
    live.site.turns(50);
    moved.view(&live.view());
    live.site.finish();
}

/// Memory that runs short.
fn pressed(moved: &mut Moved) {
    let rule = |n: u8, port: &str, class: &str| {
        format!(
            "[[rule]]\nname = \"{class}\"\nclass = \"{class}\"\n\
             queue = {{ packets = 1048576, bytes = \"1GiB\" }}\n\
             input = {{ port = \"in\", destination = \"239.1.1.{n}\", udp_port = 5001 }}\n\
             output = [{{ port = \"{port}\" }}]\n"
        )
    };
    let mut config = load(&[rule(1, "a", "high"), rule(2, "b", "low")].concat());
    config.ports[0].rx = RxMode::Live;
    let mut live = Live::with(config);
    for turn in 0..3_000 {
        let frame = |n| v4().with(|f| f.destination = [239, 1, 1, n].into());
        (0..64).for_each(|n| live.site.push(&numbered(frame(1), n)));
        (0..64).for_each(|n| live.site.push(&numbered(frame(2), n)));
        live.site.turns(1);
        let (_, _) = (live.site.sent(1), live.site.sent(2));
        if turn % 500 == 499 {
            moved.view(&live.view());
        }
    }
    while !live.site.rx.is_empty() {
        live.site.turns(1);
        let (_, _) = (live.site.sent(1), live.site.sent(2));
    }
    live.site.finish();
}

/// What management alone decides: breakers, and a ledger that is wrong.
fn managed(moved: &mut Moved) {
    let live = Live::new(REFUSING);
    let (plan, counters) = (&live.site.plan, &live.site.counters);
    let mut view = live.view();
    let words = BreakerWords::new(plan.ports.len(), 1);
    // Port `a` has refused all for 100 ms, and its receiver is reported gone.
    counters.ports[1].refused_from.set(1);
    counters.ports[1].refused_until.set(1 + 100_000_000);
    for (millis, unreachable) in [(1, &[0][..]), (150, &[])] {
        let news = News { links: &[true; 3], unreachable, unresolved: &[] };
        let now = Duration::from_millis(millis);
        view.breakers.look(now, plan, &[counters], &news, &words, |_, _| {});
        moved.view(&view);
    }
    let wrong = Ledger { received: 3, admitted: 2, ..Ledger::default() };
    counters.ledger.publish(&wrong);
    moved.view(&view);
}

/// More for the slow path than it takes, and more from it than a port takes.
fn beside_the_way(moved: &mut Moved) {
    let config = load(FAN_OUT);
    let (site, from, mut own) = Site::with_slow_path(&config);
    let mut live = Live { config, site };
    (0..100).for_each(|_| live.site.push(&v4().with(|f| f.protocol = 1)));
    live.site.tx[1].allow(1);
    for _ in 0..40 {
        assert!(own.put(1, 60, |buffer| buffer.resize(60, 2)));
    }
    live.site.turns(5);
    moved.view(&live.view());
    drop(from);
    live.site.tx[1].allow(usize::MAX);
    live.site.finish();
}

/// Copies for a host that says where it is only when more wait than may; then it moves, and another
/// says that it is there.
fn unicast(moved: &mut Moved) {
    let mut live = Live::new(
        "[[rule]]\nname = \"feed\"\n\
         input = { port = \"in\", destination = \"239.1.1.1\", udp_port = 5001 }\n\
         output = [{ port = \"a\", destination = \"10.0.0.9\", source = \"port\" }]\n",
    );
    let own = MacAddr([2, 0, 0, 0, 1, 1]);
    let mut neighbours = Neighbours::new(1);
    neighbours.follow(&live.config, &live.site.plan, Duration::ZERO);
    (0..50).for_each(|_| live.site.push(&v4()));
    live.site.turns(5);
    let host = |port: &punctual::config::Port| Host { mac: own, addresses: port.address.clone() };
    let hosts: Vec<_> = live.config.ports.iter().map(host).collect();
    let seen = [PortSeen { is_up: true, punt_full: 0 }; 3];
    neighbours.tick(&hosts, &seen, Duration::ZERO, &mut Outbox::default());
    let who = live.site.plan.neighbours[0];
    let heard = [(1, Heard::Answer), (2, Heard::Told), (3, Heard::Hinted)];
    for (second, heard) in heard {
        let mac = MacAddr([2, 0, 0, 0, 0, second]);
        neighbours.learn(who, mac, own, heard, Duration::from_secs(second.into()));
    }
    let quoted = Quoted::read(
        &v4()
            .with(|f| {
                (f.source, f.destination) = ([10, 0, 0, 1].into(), [10, 0, 0, 9].into());
            })
            .bytes()[14..],
    );
    neighbours.unreachable.hears(1, &quoted.expect("it is a datagram"));
    moved.view(&View { neighbours: neighbours.shown(Duration::from_secs(4)), ..live.view() });
    live.site.finish();
}

/// Two hosts that share a rule's packets, of which one is silent.
fn balanced(moved: &mut Moved) {
    let mut live = Live::new(
        "[[rule]]\nname = \"feed\"\n\
         input = { port = \"in\", destination = \"239.1.1.1\", udp_port = 5001 }\n\
         balance = { to = [{ port = \"a\", destination = \"10.0.0.9\" }, { port = \"b\" }] }\n",
    );
    live.site.control.neighbours.set(0, Known::Silent);
    (0..50).for_each(|host| live.site.push(&v4().with(|f| f.source = [10, 9, 1, host].into())));
    live.site.turns(5);
    moved.view(&live.view());
    live.site.finish();
}

pub fn what_a_worker_on_memory_ports_moves() {
    let mut moved = Moved::default();
    refused(&mut moved);
    waiting(&mut moved);
    removed(&mut moved);
    pressed(&mut moved);
    managed(&mut moved);
    beside_the_way(&mut moved);
    unicast(&mut moved);
    balanced(&mut moved);
    moved.is_as_the_table_says(Mover::Worker);
}
