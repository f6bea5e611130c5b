//! Two workers that hand packets and copies to one another, each in its turn on one lcore.

use std::sync::Arc;
use std::time::Duration;

use punctual::config::Config;
use punctual::dpdk::ring::RingPort;
use punctual::dpdk::{Dpdk, Port, PortConfig, TscClock, launch};
use punctual::ledger::{Counters, Ledger, PortCounters};
use punctual::manage::reload::{NewPort, Reloader};
use punctual::packet::{Clock, DropReason};
use punctual::plan::{Plan, PortFacts, Roles};
use punctual::stages::RxSource;
use punctual::worker::{
    AddedPort, Control, Handoff, Parts, Phase, PortParts, PortSink, Worker, port_ring,
};

use crate::frames::v4;
use crate::site::{Site, Sizes, is_whole, load, try_frame};
use crate::{calls, config, traffic};

/// Packets of the run.
const PACKETS: u64 = 200_000;

/// Both workers, and what they stand on.
struct Pair {
    workers: Vec<Worker<Dpdk>>,
    counters: Vec<Arc<Counters>>,
    control: Arc<Control>,
    plan: Arc<Plan>,
    /// By worker: where ports go that are added.
    doors: Vec<PortSink<Dpdk>>,
    /// The configuration in force, and what is kept from one to the next.
    config: Config,
    reloader: Reloader,
    site: Rest,
}

/// What is left of a site whose worker is gone.
struct Rest {
    rings: Vec<punctual::dpdk::ring::RingPort>,
    ports: Vec<punctual::dpdk::Port>,
    payload: punctual::dpdk::Pool,
    headers: punctual::dpdk::Pool,
    eal: punctual::dpdk::Eal,
}

impl Pair {
    fn new() -> Self {
        let config = load(config());
        let mut doors = Vec::new();
        let rings = vec![1_023, 16_383, 31];
        let sizes = Sizes { payload: 8_192, headers: 8_192, rings, tsc: true };
        let Site { worker, ports, rings, payload, headers, linear, eal, .. } =
            Site::new(&config, &sizes);
        // It gives its queues back.
        drop(worker);
        let roles = Roles::new(&config, &[1, 1, 1], 2);
        let clock = TscClock::new(&eal);
        let facts = ports.iter().map(|port| PortFacts {
            mac: port.mac(),
            mtu: port.mtu().into(),
            sends_chains: port.sends_chains(),
        });
        let facts: Vec<_> = facts.collect();
        let plan = Plan::first_for(&config, &facts, clock.ticks_per_second(), roles.clone());
        let (plan, slots) = plan.expect("a good plan");
        let plan = Arc::new(plan);
        let control = Arc::new(Control::for_workers(&plan, 2));
        let worker = |(me, handoff): (usize, Option<Handoff<_>>)| {
            let source = |port| RxSource { port, slot: 0, mode: config.ports[0].rx };
            let own = ports.iter().zip(&roles.sends).filter(|(_, worker)| **worker == me);
            let parts = Parts {
                rx: ports[0].rx(0).filter(|_| me == 0).map(source).into_iter().collect(),
                tx: own.filter_map(|(port, _)| port.tx()).collect(),
                payload: payload.clone(),
                headers: headers.clone(),
                linear: ports.iter().map(|_| Some(linear.clone())).collect(),
                clock: Some(clock),
                slow_path: None,
            };
            let counters = Arc::new(Counters::for_plan(&plan));
            let (plan, control) = (Arc::clone(&plan), Arc::clone(&control));
            let (door, added) = port_ring(&plan);
            doors.push(door);
            let worker = Worker::among(plan, parts, Arc::clone(&counters), control, handoff);
            (worker.with_ports_from(added), counters)
        };
        let handoffs = Handoff::connect(&plan, &roles).into_iter().enumerate();
        let (workers, counters) = handoffs.map(worker).unzip();
        let site = Rest { rings, ports, payload, headers, eal };
        let reloader = Reloader::new(slots, facts);
        Self { workers, counters, control, plan, doors, config, reloader, site }
    }

    /// Adds the next port, with a rule to it and one from it; the workers find it at their next turns.
    fn add_port(&mut self) {
        let (slot, site) = (self.site.ports.len(), &mut self.site);
        let added = slot - 2;
        let ring = RingPort::new(&site.eal, &format!("r{slot}"), 1_023, 16_383);
        let ring = ring.expect("the rings are made");
        let open = PortConfig::new("new", ring.device());
        let port = Port::open(&site.eal, &open, &site.payload).expect("it opens");
        let mut new = load(config() + &ports_and_rules(added));
        new.order_ports_as(&self.config);
        let (mac, mtu, sends_chains) = (port.mac(), port.mtu().into(), port.sends_chains());
        let facts = PortFacts { mac, mtu, sends_chains };
        let all: Vec<_> = self.counters.iter().map(|counters| &**counters).collect();
        let next = self.reloader.follow_with(
            &[NewPort { facts, rx_queues: 1 }],
            &self.plan,
            (&self.config, &new),
            &all,
            Duration::ZERO,
        );
        let (next, roles) = (next.expect("it is live"), self.reloader.roles());
        for (me, door) in self.doors.iter_mut().enumerate() {
            let rx = if roles.receives[slot] == [me] { port.rx(0) } else { None };
            let tx = if roles.sends[slot] == me { port.tx() } else { None };
            let source = |port| RxSource { port, slot: slot as u8, mode: new.ports[slot].rx };
            let parts = PortParts {
                rx: rx.map(source).into_iter().collect(),
                tx: tx.ok_or(roles.sends[slot]),
                linear: None,
                own: None,
                held: 0,
            };
            assert!(door.push(AddedPort::new(&next, slot, parts)).is_ok(), "there is room");
        }
        self.plan = Arc::new(next);
        self.control.mailbox.put(&self.plan);
        self.config = new;
        site.ports.push(port);
        site.rings.push(ring);
    }

    /// Lets `packets` come in for each port that was added, and as many by it, while ports come up to
    /// `most`. Returns how often the allocator was called.
    fn drive_ports(&mut self, packets: usize, most: usize) -> u64 {
        let mut allocated = 0;
        let to = |group: u8, n: usize| {
            v4().with(|f| f.destination = [239, 1, group, n as u8].into()).bytes()
        };
        while self.site.ports.len() < 3 + most {
            self.add_port();
            let added = self.site.ports.len() - 3;
            for _ in 0..packets {
                let before = calls();
                self.workers.iter_mut().for_each(|worker| _ = worker.turn());
                allocated += calls() - before;
                for n in 1..=added {
                    for (ring, frame) in [(0, to(2, n)), (2 + n, to(3, n))] {
                        let packet = try_frame(&mut self.site.payload, &frame);
                        let packet = packet.expect("the pool is large enough");
                        assert!(self.site.rings[ring].rx.push(packet).is_ok());
                    }
                }
                self.site.rings[1..].iter().for_each(|ring| while ring.tx.pop().is_some() {});
            }
            drop(self.control.mailbox.take());
        }
        allocated
    }

    /// Lets the first worker receive; the second now and then stands still. Returns how often the
    /// allocator was called.
    fn drive(&mut self, traffic: &[Vec<u8>]) -> u64 {
        let (mut allocated, mut pushed, mut turn) = (0, 0, 0_u64);
        let mut next = traffic.iter().cycle();
        while pushed < PACKETS {
            for bytes in next.by_ref().take(48) {
                let Some(packet) = try_frame(&mut self.site.payload, bytes) else {
                    break;
                };
                if self.site.rings[0].rx.push(packet).is_err() {
                    break;
                }
                pushed += 1;
            }
            turn += 1;
            let standing = turn % 1_000 < 200;
            let before = calls();
            for worker in &mut self.workers[..if standing { 1 } else { 2 }] {
                worker.turn();
            }
            allocated += calls() - before;
            while self.site.rings[1].tx.pop().is_some() {}
            if turn.is_multiple_of(50) {
                drop(self.site.rings[2].tx.pop());
            }
        }
        allocated
    }

    /// Ends both, each a step at a time; nothing is left in a pool.
    fn finish(mut self) {
        self.control.set(Phase::Abort);
        while !self.workers.is_empty() {
            self.workers.retain_mut(|worker| worker.step().is_some());
        }
        for ring in &self.site.rings {
            while ring.tx.pop().is_some() {}
            while ring.rx.pop().is_some() {}
        }
        is_whole(&mut self.site.payload);
        is_whole(&mut self.site.headers);
    }
}

/// So many ports more, with a rule to each and one from each.
fn ports_and_rules(added: usize) -> String {
    let each = (1..=added).map(|n| {
        let rule = |name: &str, port: &str, group: u8, to: &str| {
            format!(
                "[[rule]]\nname = \"{name}{n}\"\noutput = [{{ port = \"{to}\" }}]\n\
                 input = {{ port = \"{port}\", destination = \"239.1.{group}.{n}\" }}\n"
            )
        };
        let (new, slot) = (format!("new{n}"), 2 + n);
        let port = format!("[[port]]\nname = \"{new}\"\ndevice = \"net_ring_r{slot}\"\n");
        port + &rule("to", "in", 2, &new) + &rule("from", &new, 3, "a")
    });
    each.collect()
}

/// They take up ports with their queues, and serve them.
pub fn two_workers_that_take_up_ports() {
    let (packets, most) = (200, 8);
    let mut pair = Pair::new();
    let eal = pair.site.eal.clone();
    let driven = launch(&eal, 0, move || {
        let allocated = pair.drive_ports(packets, most);
        for _ in 0..10 {
            pair.workers.iter_mut().for_each(|worker| _ = worker.turn());
        }
        (pair, allocated)
    });
    let (pair, allocated) = driven.expect("the lcore is free").join().expect("it ends well");
    let ledgers: Vec<Ledger> = pair.counters.iter().map(|all| all.ledger.read()).collect();
    assert_eq!(allocated, 0, "calls of the allocator: {ledgers:?}");
    assert!(ledgers.iter().all(|ledger| ledger.residual() == 0), "{ledgers:?}");
    for slot in 3..3 + most {
        // The first has been there for all rounds, the last for one.
        let expected = ((3 + most - slot) * packets) as u64;
        let sum = |of: fn(&PortCounters) -> u64| -> u64 {
            pair.counters.iter().map(|all| of(&all.ports[slot])).sum()
        };
        let counts = [sum(|port| port.received.get()), sum(|port| port.sent.get())];
        assert_eq!(counts, [expected; 2], "port {slot}");
    }
    let owners = &pair.reloader.roles().sends[3..];
    assert!(owners.contains(&0) && owners.contains(&1), "{owners:?}");
    let end = launch(&eal, 0, move || pair.finish());
    end.expect("the lcore is free").join().expect("all is given back");
}

pub fn two_workers_that_hand_over() {
    let mut pair = Pair::new();
    let traffic = traffic();
    let eal = pair.site.eal.clone();
    let driven = launch(&eal, 0, move || {
        let allocated = pair.drive(&traffic);
        (pair, allocated)
    });
    let (pair, allocated) = driven.expect("the lcore is free").join().expect("it ends well");
    assert_eq!(pair.site.ports.len(), 3);
    let ledgers: Vec<Ledger> = pair.counters.iter().map(|all| all.ledger.read()).collect();
    assert_eq!(allocated, 0, "calls of the allocator: {ledgers:?}");
    assert!(ledgers.iter().all(|ledger| ledger.residual() == 0), "{ledgers:?}");
    let full = DropReason::HandoffFull.index();
    let [first, second] = &ledgers[..] else {
        panic!("two workers");
    };
    assert!(first.dropped_before[full] > 0 && first.handed.packets > 10_000, "{first:?}");
    assert!(second.taken.packets > 10_000 && second.handed.copies > 10_000, "{second:?}");
    assert!(first.taken.copies > 10_000 && first.handed.copies > 0, "{first:?}");
    // On the same lcore, whose cache of the pools no other can empty.
    let end = launch(&eal, 0, move || pair.finish());
    end.expect("the lcore is free").join().expect("all is given back");
}
