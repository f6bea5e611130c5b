//! The world that a scenario describes: ports, pools, clock and one worker, and the loop in which
//! time passes.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::inputs::{SimulateError, faults, rule_loads, seed, traffic};
use super::outcome::{BreakerChange, Outcome, OutputOutcome, PortOutcome, RuleOutcome};
use super::scenario::Scenario;
use super::{frames, loads};
use crate::config::{ClockSource, Config, RxMode};
use crate::ledger::Counters;
use crate::manage::breaker::{Breakers, News, Of};
use crate::manage::report::{Inputs, Link, PoolStatus, PortStatus, Report, TxChain, WorkerView};
use crate::manage::run::DRAIN_MAX;
use crate::packet::{Clock, Ticks};
use crate::plan::memory::{PoolSize, Pools};
use crate::plan::{Plan, PortFacts};
use crate::stages::{BreakerState, RxSource};
use crate::testkit::fault::{Edge, Fault, FaultKind};
use crate::testkit::record::Record;
use crate::testkit::{HeapPool, RxParts, TxParts, Virtual, VirtualClock, VirtualRx, VirtualTx};
use crate::worker::{Control, Parts, Phase, Worker};

/// When a simulation begins, in nanoseconds: late enough for every bucket to be full.
const START: Ticks = 1 << 40;
/// What a turn costs besides its packets and copies, in nanoseconds.
const POLL: u64 = 20;
/// How long a turn that moved nothing waits where it is not known what comes next, in nanoseconds:
/// a 64th of the idle time, within these bounds.
const BREATH: std::ops::RangeInclusive<u64> = 1_000..=1_000_000;
/// How often management looks at circuit breakers, in nanoseconds.
const TICK: u64 = 1_000_000;
/// Slices of time that are told apart at most, over all outputs.
const SLICES_MAX: u64 = 8_000_000;
/// The shortest slice, in nanoseconds.
const SLICE: u64 = 1_000_000;

/// The plan of a configuration in virtual time.
pub fn plan(config: &Config) -> Result<Plan, SimulateError> {
    let facts = config.ports.iter().enumerate().map(|(slot, port)| PortFacts {
        mac: frames::mac_of(slot),
        mtu: port.mtu,
        sends_chains: true,
    });
    Ok(Plan::build(config, &facts.collect::<Vec<_>>(), 1_000_000_000, 1)?)
}

/// Runs a scenario.
pub fn run(scenario: &Scenario) -> Result<Outcome, SimulateError> {
    let mut world = World::new(scenario)?;
    while world.turn() {}
    Ok(world.outcome())
}

/// A simulation under way.
struct World<'a> {
    scenario: &'a Scenario,
    config: Config,
    plan: Arc<Plan>,
    counters: Arc<Counters>,
    control: Arc<Control>,
    worker: Worker<Virtual>,
    clock: VirtualClock,
    rx: Vec<VirtualRx>,
    tx: Vec<VirtualTx>,
    pools: Vec<WatchedPool>,
    record: Rc<RefCell<Record>>,
    faults: Vec<Fault>,
    /// Ends of faults that are still to come.
    edges: VecDeque<Edge>,
    /// Faults by which the worker takes no turn, and by which its clock stands.
    stalls: u32,
    stands: u32,
    /// When what waits is given up, once the worker drains.
    give_up: Option<Ticks>,
    /// When a packet moved last.
    moved_at: Ticks,
    breakers: Watched,
}

/// The circuit breakers, and what they did.
struct Watched {
    breakers: Breakers,
    next_tick: Ticks,
    /// By receiver: faults by which it is dead, and the copies sent to it so far.
    receivers: Vec<(u32, u64)>,
    changes: Vec<BreakerChange>,
}

/// A pool and the most that was seen of it.
struct WatchedPool {
    name: String,
    pool: HeapPool,
    most: usize,
}

impl<'a> World<'a> {
    fn new(scenario: &'a Scenario) -> Result<Self, SimulateError> {
        let mut config = scenario.config.clone();
        config.clock = ClockSource::Tsc;
        config.ports.iter_mut().for_each(|port| port.rx = RxMode::Live);
        let plan = Arc::new(plan(&config)?);
        let traffic = traffic(scenario, &config, &plan, START)?;
        let faults = faults(scenario, &config)?;
        let counters =
            Arc::new(Counters::new(plan.rules.len(), plan.outputs.len(), plan.ports.len()));
        let clock = VirtualClock::new(START, scenario.costs);
        let pools = Pools::new(&config, &plan);
        let pool = |size: &PoolSize| HeapPool::metered(size.packets as usize, clock.clone());
        let (payload, headers) = (pool(&pools.payload), pool(&pools.headers));
        let linear: Vec<_> = pools.linear.iter().map(|size| size.as_ref().map(pool)).collect();
        let named =
            pools.all().zip([&payload, &headers].into_iter().chain(linear.iter().flatten()));
        let pools = named.map(|(size, pool)| WatchedPool::new(&size.name, pool)).collect();

        let longest = scenario.span + nanos(DRAIN_MAX);
        let slice = (longest * plan.outputs.len() as u64 / SLICES_MAX).max(SLICE);
        let slice = slice.next_multiple_of(SLICE);
        let record = Record::new(START, slice, plan.rules.len(), plan.outputs.len());
        let record = Rc::new(RefCell::new(record));
        let sequence = Rc::new(Cell::new(0));
        let rx = |traffic| {
            VirtualRx::new(RxParts {
                traffic,
                descriptors: scenario.rx_descriptors,
                pool: payload.share(),
                clock: clock.clone(),
                sequence: Rc::clone(&sequence),
                record: Rc::clone(&record),
            })
        };
        let tx = |port| {
            VirtualTx::new(TxParts {
                rate: scenario.link_of(port),
                descriptors: scenario.tx_descriptors.max(1),
                clock: clock.clone(),
                record: Rc::clone(&record),
                seed: seed(scenario, 3, port),
            })
        };
        let rx: Vec<_> = traffic.into_iter().map(rx).collect();
        let tx: Vec<_> = (0..config.ports.len()).map(tx).collect();
        let source = |(slot, port): (usize, &VirtualRx)| RxSource {
            port: port.clone(),
            slot: slot as u8,
            mode: RxMode::Live,
        };
        let parts = Parts {
            rx: rx.iter().enumerate().map(source).collect(),
            tx: tx.clone(),
            payload,
            headers,
            linear,
            clock: Some(clock.clone()),
        };
        let control = Arc::new(Control::new(&plan));
        let worker =
            Worker::new(Arc::clone(&plan), parts, Arc::clone(&counters), Arc::clone(&control));
        let breakers = Watched {
            breakers: Breakers::new(&plan),
            next_tick: START,
            receivers: vec![(0, 0); config.receivers.len()],
            changes: Vec::new(),
        };
        let mut edges: Vec<_> = faults.iter().flat_map(Fault::edges).collect();
        edges.iter_mut().for_each(|edge| edge.at += START);
        edges.sort_by_key(|edge| edge.at);
        Ok(Self {
            scenario,
            config,
            plan,
            counters,
            control,
            worker,
            clock,
            rx,
            tx,
            pools,
            record,
            faults,
            edges: edges.into(),
            stalls: 0,
            stands: 0,
            give_up: None,
            moved_at: START,
            breakers,
        })
    }

    /// Lets the worker take a turn, and time pass until the next; false at the end.
    fn turn(&mut self) -> bool {
        self.meet_faults();
        if self.stalls > 0 {
            match self.edges.front() {
                Some(edge) => self.clock.pass_to(edge.at),
                None => self.clock.pass(*BREATH.end()),
            }
            return true;
        }
        if self.give_up.is_none() && self.rx.iter().all(VirtualRx::is_done) {
            self.drain(nanos(DRAIN_MAX));
        }
        if self.give_up.is_some_and(|at| self.clock.time() >= at) {
            self.control.set(Phase::Abort);
        }
        if self.clock.time() >= self.breakers.next_tick {
            self.tick();
        }
        let Some(moved) = self.worker.step() else {
            return false;
        };
        self.clock.settle();
        self.clock.pass(POLL);
        if moved > 0 {
            self.moved_at = self.clock.time();
        } else {
            self.clock.pass_to(self.next_event());
        }
        let now = self.clock.time();
        self.tx.iter().for_each(|port| port.advance(now));
        self.pools.iter_mut().for_each(WatchedPool::watch);
        true
    }

    /// Asks for the end; what waits after `patience` nanoseconds is given up.
    fn drain(&mut self, patience: u64) {
        self.control.set(Phase::Drain);
        self.give_up = Some(self.clock.time() + patience);
    }

    /// When there is something to do again, where a turn found nothing.
    fn next_event(&self) -> Ticks {
        let now = self.clock.time();
        let polls = self.give_up.is_none();
        let arrivals = self.rx.iter().filter(|_| polls).filter_map(VirtualRx::due);
        let wires = self.tx.iter().filter_map(VirtualTx::ready);
        let faults = self.edges.front().map(|edge| edge.at);
        let waits = !self.counters.ledger.read().is_quiet();
        if self.give_up.is_some() && !waits {
            return now;
        }
        let tick = (waits || !self.is_calm()).then_some(self.breakers.next_tick);
        // A shaper's credit, or a driver's change of mind.
        let breath = ((now - self.moved_at) / 64).clamp(*BREATH.start(), *BREATH.end());
        let breath = waits.then_some(now + breath);
        let known = arrivals.chain(wires).chain(faults).chain(self.give_up).chain(tick);
        known.chain(breath).min().unwrap_or(now + *BREATH.start())
    }

    /// Whether all links are up and all breakers closed: then no tick is missed.
    fn is_calm(&self) -> bool {
        let Breakers { ports, receivers } = &self.breakers.breakers;
        let mut all = ports.iter().chain(receivers);
        self.tx.iter().all(VirtualTx::is_up)
            && all.all(|breaker| breaker.state() == BreakerState::Closed)
    }

    /// What management does once a millisecond: it looks at the circuit breakers.
    fn tick(&mut self) {
        let now = self.clock.time();
        let Watched { breakers, next_tick, receivers, changes } = &mut self.breakers;
        *next_tick = (now + 1).next_multiple_of(TICK);
        let links: Vec<_> = self.tx.iter().map(VirtualTx::is_up).collect();
        let mut unreachable = Vec::new();
        for (slot, (dead, told)) in receivers.iter_mut().enumerate().filter(|(_, r)| r.0 > 0) {
            let outputs = self.plan.outputs.iter().zip(&self.counters.outputs);
            let its = outputs.filter(|(output, _)| output.receiver == Some(slot as u32));
            let sent = its.map(|(_, counters)| counters.sent.get()).sum();
            // Bad news comes back for what was sent.
            if *dead > 0 && sent > std::mem::replace(told, sent) {
                unreachable.push(slot);
            }
        }
        let states = |breakers: &Breakers| {
            let ports =
                breakers.ports.iter().enumerate().map(|(slot, b)| (Of::Port(slot), b.state()));
            let receivers = breakers.receivers.iter().enumerate();
            ports
                .chain(receivers.map(|(slot, b)| (Of::Receiver(slot), b.state())))
                .collect::<Vec<_>>()
        };
        let before = states(breakers);
        let since = Duration::from_nanos(now - START);
        let news = News { links: &links, unreachable: &unreachable };
        let words = &self.control.breakers;
        breakers.look(since, &self.plan, &self.counters, &news, words, |_, _| {});
        let changed =
            states(breakers).into_iter().zip(before).filter(|(now, before)| now != before);
        changes.extend(changed.map(|((of, state), _)| BreakerChange {
            at: now - START,
            of,
            state,
        }));
    }

    /// Begins and ends the faults whose time has come; all that came before them comes first.
    fn meet_faults(&mut self) {
        while let Some(edge) = self.edges.front().filter(|edge| edge.at <= self.clock.time()) {
            let edge = *edge;
            self.edges.pop_front();
            self.rx.iter().for_each(|port| port.fill(edge.at));
            self.tx.iter().for_each(|port| port.advance(edge.at));
            self.meet(edge);
        }
    }

    fn meet(&mut self, edge: Edge) {
        let Edge { slot, begins, .. } = edge;
        let count = |faults: &mut u32| *faults = if begins { *faults + 1 } else { *faults - 1 };
        match edge.kind {
            FaultKind::RxGap => self.rx[slot].gap(begins),
            FaultKind::TxRefuses => self.tx[slot].refuse(begins),
            FaultKind::TxPartial => self.tx[slot].take_part(begins),
            FaultKind::AllocFails => self.pools[slot].pool.fail(begins),
            FaultKind::WorkerStalls => count(&mut self.stalls),
            FaultKind::ClockJumps if begins => self.clock.jump(edge.length),
            FaultKind::ClockStands => {
                count(&mut self.stands);
                match self.stands {
                    0 => self.clock.stand(None),
                    1 if begins => self.clock.stand(Some(self.clock.time())),
                    _ => {}
                }
            }
            FaultKind::LinkDown | FaultKind::LinkFlaps => {
                self.tx[slot].link_down(begins, edge.at);
                self.rx[slot].gap(begins);
            }
            FaultKind::Stop if begins => self.drain(edge.length),
            FaultKind::ReceiverDies => count(&mut self.breakers.receivers[slot].0),
            FaultKind::ClockJumps | FaultKind::Stop => {}
        }
    }

    /// Lets go of what the ports hold, and adds everything up.
    fn outcome(mut self) -> Outcome {
        let rx: Vec<_> = self.rx.iter().map(VirtualRx::finish).collect();
        self.tx.iter().for_each(VirtualTx::finish);
        let status = rx.iter().zip(&self.tx).map(|(counts, tx)| PortStatus {
            link: if tx.is_up() { Link::Up } else { Link::Down },
            missed: counts.missed,
            no_mbuf: counts.no_mbuf,
            tx_chain: TxChain::Native,
            ..PortStatus::default()
        });
        let status: Vec<_> = status.collect();
        let pools: Vec<_> = self.pools.iter_mut().map(WatchedPool::status).collect();
        let elapsed = self.clock.time() - START;
        let report = Report::gather(&Inputs {
            config: &self.config,
            plan: &self.plan,
            workers: &[WorkerView { lcore: 1, counters: &self.counters }],
            ports: &status,
            breakers: &self.breakers.breakers,
            pools: &pools,
            now: Some(self.clock.now()),
            uptime: Duration::from_nanos(elapsed),
            dpdk: "none (simulated)",
            at_rest: true,
        });
        let offered: u64 = rx.iter().map(|counts| counts.offered).sum();
        let record = self.record.borrow();
        let rules = self.rules(&record);
        let outputs = self.outputs(&record);
        Outcome {
            span: self.scenario.span,
            elapsed,
            busy: self.clock.busy(),
            slice: record.slice(),
            ports: self.ports(&rx, &outputs),
            unmatched: record.offered.last().copied().unwrap_or_default(),
            loads: loads::loads(self.scenario, &rule_loads(self.scenario, &record)),
            faults: self.faults.clone(),
            breakers: self.breakers.changes.clone(),
            reordered: record.reordered,
            leaked: pools.iter().map(|pool| pool.in_use).sum(),
            unaccounted: offered.abs_diff(report.ledger.offered),
            rules,
            outputs,
            report,
        }
    }

    fn rules(&self, record: &Record) -> Vec<RuleOutcome> {
        let rules = self.config.rules.iter().zip(&self.counters.rules).zip(&record.offered);
        let rule = |((rule, counters), offered): ((&crate::config::Rule, _), &_)| {
            let counters: &crate::ledger::RuleCounters = counters;
            RuleOutcome {
                name: rule.name.clone(),
                class: rule.class,
                offered: *offered,
                packets: counters.packets.get(),
                dropped: counters.dropped(),
            }
        };
        rules.map(rule).collect()
    }

    fn outputs(&self, record: &Record) -> Vec<OutputOutcome> {
        let configured = self.config.rules.iter().enumerate();
        let configured =
            configured.flat_map(|(slot, rule)| rule.outputs.iter().map(move |o| (slot, rule, o)));
        let counted = self.counters.outputs.iter().zip(&record.sent);
        configured
            .zip(counted)
            .map(|((slot, rule, output), (counters, sent))| {
                let offered = record.offered[slot];
                let sample = u64::from(output.sample.max(1));
                OutputOutcome {
                    rule: slot,
                    name: output.name.clone(),
                    port: output.port,
                    class: rule.class,
                    weight: output.weight,
                    offered: offered.packets.div_ceil(sample),
                    offered_bytes: offered.bytes / sample,
                    copies: counters.copies.get(),
                    sent: counters.sent.get(),
                    bytes: counters.bytes.get(),
                    on_time: counters.on_time.get(),
                    late_sent: counters.late_sent.get(),
                    dropped: counters.dropped(),
                    residence: sent.residence.clone(),
                    bytes_by_slice: sent.bytes.clone(),
                }
            })
            .collect()
    }

    fn ports(
        &self,
        rx: &[crate::testkit::RxCounts],
        outputs: &[OutputOutcome],
    ) -> Vec<PortOutcome> {
        let ports = self.config.ports.iter().enumerate();
        ports
            .map(|(slot, port)| PortOutcome {
                name: port.name.clone(),
                link: self.scenario.link_of(slot),
                rx: rx[slot],
                sent: self.counters.ports[slot].sent.get(),
                bytes: outputs.iter().filter(|o| o.port == slot).map(|o| o.bytes).sum(),
            })
            .collect()
    }
}

impl WatchedPool {
    fn new(name: &str, pool: &HeapPool) -> Self {
        Self { name: name.to_owned(), pool: pool.share(), most: 0 }
    }

    fn watch(&mut self) {
        self.most = self.most.max(self.pool.in_use());
    }

    fn status(&mut self) -> PoolStatus {
        self.watch();
        PoolStatus {
            name: self.name.clone(),
            size: self.pool.size() as u64,
            in_use: self.pool.in_use() as u64,
            in_use_max: self.most as u64,
            held: 0,
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
