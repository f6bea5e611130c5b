//! Several workers on memory ports, stepped one at a time in an order that a seed draws.

use std::sync::Arc;

use punctual::config::Config;
use punctual::ledger::{Counters, Ledger};
use punctual::packet::{DropReason, Packet};
use punctual::plan::{Plan, PortFacts, Roles, Slots};
use punctual::stages::RxSource;
use punctual::testkit::{HeapFrame, HeapPacket, HeapPool, Memory, MemoryRx, MemoryTx, StepClock};
use punctual::wire::MacAddr;
use punctual::worker::{
    AddedPort, Control, Handoff, Parts, Phase, PortParts, PortSink, Worker, port_ring,
};

use crate::frames::Frame;
use crate::site::number;

/// Workers, their ports and pools.
pub struct Crew {
    pub workers: Vec<Worker<Memory>>,
    /// By port slot, by queue.
    pub rx: Vec<Vec<MemoryRx>>,
    /// By port slot.
    pub tx: Vec<MemoryTx>,
    pub clock: StepClock,
    pub counters: Vec<Arc<Counters>>,
    pub payload: HeapPool,
    pub headers: HeapPool,
    pub plan: Arc<Plan>,
    pub slots: Slots,
    pub control: Arc<Control>,
    pub roles: Roles,
    /// By worker: where ports go that are added.
    pub doors: Vec<PortSink<Memory>>,
    pub rng: fastrand::Rng,
}

impl Crew {
    /// So many workers, and receive queues by port slot.
    pub fn new(config: &Config, queues: &[u16], workers: usize, seed: u64) -> Self {
        let roles = Roles::new(config, queues, workers);
        let facts = facts(config);
        let (plan, slots) =
            Plan::first_for(config, &facts, 1_000_000_000, roles.clone()).expect("a good plan");
        let plan = Arc::new(plan);
        let clock = StepClock::default();
        clock.step(1 << 40);
        let rx: Vec<Vec<_>> =
            queues.iter().map(|&count| (0..count).map(|_| MemoryRx::default()).collect()).collect();
        let tx: Vec<_> = config.ports.iter().map(|_| MemoryTx::default()).collect();
        let [payload, headers] = [50_000, 50_000].map(HeapPool::new);
        let control = Arc::new(Control::for_workers(&plan, workers));
        let (mut counters, mut doors) = (Vec::new(), Vec::new());
        let parts = |me: usize| {
            let queues = roles.receives.iter().enumerate().flat_map(|(slot, queues)| {
                let mine = queues.iter().enumerate().filter(|(_, worker)| **worker == me);
                mine.map(move |(queue, _)| (slot, queue))
            });
            let source = |(slot, queue): (usize, usize)| RxSource {
                port: rx[slot][queue].clone(),
                slot: slot as u8,
                mode: config.ports[slot].rx,
            };
            let own = tx.iter().zip(&roles.sends).filter(|(_, worker)| **worker == me);
            Parts {
                rx: queues.map(source).collect(),
                tx: own.map(|(tx, _)| tx.clone()).collect(),
                payload: payload.share(),
                headers: headers.share(),
                linear: config.ports.iter().map(|_| None).collect(),
                clock: Some(clock.clone()),
                slow_path: None,
            }
        };
        let handoff = Handoff::connect(&plan, &roles);
        let worker = |(me, handoff)| {
            counters.push(Arc::new(Counters::for_plan(&plan)));
            let (own, (door, added)) = (Arc::clone(&counters[me]), port_ring(&plan));
            doors.push(door);
            Worker::among(Arc::clone(&plan), parts(me), own, Arc::clone(&control), handoff)
                .with_ports_from(added)
        };
        let workers = handoff.into_iter().enumerate().map(worker).collect();
        let rng = fastrand::Rng::with_seed(seed);
        Self {
            workers,
            rx,
            tx,
            clock,
            counters,
            payload,
            headers,
            plan,
            slots,
            control,
            roles,
            doors,
            rng,
        }
    }

    /// Lets a frame arrive at a queue of the first port.
    pub fn push(&self, queue: usize, frame: &Frame) {
        self.rx[0][queue].push(self.payload.adopt(HeapFrame::new(&[&frame.bytes()])));
    }

    /// Gives the workers the next port of `plan`, shared out by `roles`.
    pub fn add_port(&mut self, plan: &Plan, roles: &Roles) {
        let slot = self.tx.len();
        let queues: Vec<_> = roles.receives[slot].iter().map(|_| MemoryRx::default()).collect();
        let (tx, owner) = (MemoryTx::default(), roles.sends[slot]);
        for (me, door) in self.doors.iter_mut().enumerate() {
            let mine = queues.iter().zip(&roles.receives[slot]).filter(|(_, w)| **w == me);
            let mode = plan.ports[slot].rx;
            let source =
                |(rx, _): (&MemoryRx, _)| RxSource { port: rx.clone(), slot: slot as u8, mode };
            let parts = PortParts {
                rx: mine.map(source).collect(),
                tx: if owner == me { Ok(tx.clone()) } else { Err(owner) },
                linear: None,
                own: None,
                held: 0,
            };
            assert!(door.push(AddedPort::new(plan, slot, parts)).is_ok(), "there is room");
        }
        self.rx.push(queues);
        self.tx.push(tx);
    }

    /// Lets a frame arrive at a queue of the port with this slot.
    pub fn push_to(&self, slot: usize, queue: usize, frame: &Frame) {
        self.rx[slot][queue].push(self.payload.adopt(HeapFrame::new(&[&frame.bytes()])));
    }

    /// Whether all workers run by the plan.
    pub fn is_taken_up(&self) -> bool {
        let mut generations = self.counters.iter().map(|all| all.worker.generation.acquire());
        generations.all(|generation| generation == self.plan.generation)
    }

    /// Lets so many turns pass, each of whichever worker; every ledger is whole behind each.
    pub fn turns(&mut self, count: usize) -> Ledger {
        for _ in 0..count {
            let who = self.rng.usize(..self.workers.len());
            self.clock.step(self.rng.u64(..1_000));
            self.workers[who].turn();
            assert_eq!(self.counters[who].ledger.read().residual(), 0, "worker {who}");
        }
        self.ledger()
    }

    /// Turns until nothing waits but what a port refuses.
    pub fn settle(&mut self) -> Ledger {
        self.turns(200 * self.workers.len())
    }

    /// The sum of all ledgers, which is whole too: what one has handed over and another not taken
    /// waits.
    pub fn ledger(&self) -> Ledger {
        let mut sum = Ledger::default();
        for counters in &self.counters {
            let one = counters.ledger.read();
            sum.received += one.received;
            sum.punted += one.punted;
            sum.admitted += one.admitted;
            sum.copies += one.copies;
            sum.sent += one.sent;
            sum.waiting_before += one.waiting_before;
            sum.waiting_after += one.waiting_after;
            for (sum, more) in [(&mut sum.handed, one.handed), (&mut sum.taken, one.taken)] {
                sum.packets += more.packets;
                sum.copies += more.copies;
            }
            for i in 0..DropReason::COUNT {
                sum.dropped_before[i] += one.dropped_before[i];
                sum.dropped_after[i] += one.dropped_after[i];
            }
        }
        sum.waiting_before += sum.handed.packets - sum.taken.packets;
        sum.waiting_after += sum.handed.copies - sum.taken.copies;
        (sum.handed, sum.taken) = Default::default();
        assert_eq!(sum.residual(), 0);
        sum
    }

    /// Asks for the end, and steps whichever worker has not ended yet; nothing is left anywhere.
    pub fn finish(mut self, phase: Phase) -> (Ledger, Vec<Vec<HeapPacket>>) {
        self.control.set(phase);
        let mut left: Vec<usize> = (0..self.workers.len()).collect();
        let mut steps = 0;
        while !left.is_empty() {
            let at = self.rng.usize(..left.len());
            if self.workers[left[at]].step().is_none() {
                left.swap_remove(at);
            }
            steps += 1;
            assert!(steps < 100_000, "{left:?} do not end");
        }
        let sent = self.tx.iter().map(MemoryTx::take).collect();
        let ledger = self.ledger();
        assert!(ledger.is_quiet(), "{ledger:?}");
        for counters in &self.counters {
            let one = counters.ledger.read();
            assert!(one.residual() == 0 && one.is_quiet());
        }
        (ledger, sent)
    }

    /// Whether everything is back, once the copies are gone.
    pub fn pools(&self) -> [HeapPool; 2] {
        [self.payload.share(), self.headers.share()]
    }

    /// Workers that have handed something over.
    pub fn handed(&self) -> [u64; 2] {
        let each = || self.counters.iter().map(|counters| counters.ledger.read().handed);
        [each().map(|h| h.packets).sum(), each().map(|h| h.copies).sum()]
    }

    /// Copies dropped, of an output slot.
    pub fn dropped_after(&self, output: u32, reason: DropReason) -> u64 {
        let each = self.counters.iter().map(|all| all.outputs[output as usize].dropped());
        each.map(|dropped| dropped[reason.index()]).sum()
    }
}

/// What the ports say of themselves.
pub fn facts(config: &Config) -> Vec<PortFacts> {
    let fact = |slot: usize| PortFacts {
        mac: MacAddr([2, 0, 0, 0, 1, slot as u8]),
        mtu: config.ports[slot].mtu,
        sends_chains: true,
    };
    (0..config.ports.len()).map(fact).collect()
}

/// Numbers of the copies of each output and flow, in the order in which they were sent; a flow is
/// told by the thousands of its packets' numbers.
pub fn by_flow(sent: &[HeapPacket]) -> std::collections::BTreeMap<(u32, u32), Vec<u32>> {
    let mut all = std::collections::BTreeMap::<_, Vec<u32>>::new();
    for copy in sent {
        let number = number(copy);
        all.entry((copy.meta().output, number / 10_000)).or_default().push(number % 10_000);
    }
    all
}
