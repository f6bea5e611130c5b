//! Two workers that hand packets and copies to one another, each in its turn on one lcore.

use std::sync::Arc;

use punctual::dpdk::{Dpdk, TscClock, launch};
use punctual::ledger::{Counters, Ledger};
use punctual::packet::{Clock, DropReason};
use punctual::plan::{Plan, PortFacts, Roles};
use punctual::stages::RxSource;
use punctual::worker::{Control, Handoff, Parts, Phase, Worker};

use crate::site::{Site, Sizes, is_whole, load, try_frame};
use crate::{calls, config, traffic};

/// Packets of the run.
const PACKETS: u64 = 200_000;

/// Both workers, and what they stand on.
struct Pair {
    workers: Vec<Worker<Dpdk>>,
    counters: Vec<Arc<Counters>>,
    control: Arc<Control>,
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
        let plan = Arc::new(plan.expect("a good plan").0);
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
            (Worker::among(plan, parts, Arc::clone(&counters), control, handoff), counters)
        };
        let handoffs = Handoff::connect(&plan, &roles).into_iter().enumerate();
        let (workers, counters) = handoffs.map(worker).unzip();
        Self { workers, counters, control, site: Rest { rings, ports, payload, headers, eal } }
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
