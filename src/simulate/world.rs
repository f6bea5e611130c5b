//! The world that a scenario describes: ports, pools, clock and one worker, and the loop in which
//! time passes.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::inputs::{SimulateError, faults, rule_loads, seed, traffic};
use super::outcome::{Outcome, OutputOutcome, PortOutcome, RuleOutcome};
use super::scenario::Scenario;
use super::watch::{Watch, WatchedPool, WatchedPressure};
use super::{frames, loads};
use crate::config::{ClockSource, Config, RxMode};
use crate::ledger::Counters;
use crate::manage::alerts::Seen;
use crate::manage::groups;
use crate::manage::neighbours;
use crate::manage::reload::Retired;
use crate::manage::report::{Inputs, Link, PortStatus, Report, TxChain, WorkerView};
use crate::manage::run::DRAIN_MAX;
use crate::manage::slow_path::Malformed;
use crate::manage::unmatched::Unmatched;
use crate::packet::{Clock, Ticks};
use crate::plan::memory::{PoolSize, Pools};
use crate::plan::{LINK_HEADERS, Plan, PortFacts};
use crate::stages::{Known, RxSource};
use crate::testkit::fault::{Edge, Fault, FaultKind};
use crate::testkit::record::Record;
use crate::testkit::traffic::Traffic;
use crate::testkit::{HeapPool, RxParts, TxParts, Virtual, VirtualClock, VirtualRx, VirtualTx};
use crate::wire::MacAddr;
use crate::worker::{Control, Parts, Phase, Worker};

/// When a simulation begins, in nanoseconds: late enough for every bucket to be full.
const START: Ticks = 1 << 40;
/// What a turn costs besides its packets and copies, in nanoseconds.
const POLL: u64 = 20;
/// How long a turn that moved nothing waits where it is not known what comes next, in nanoseconds:
/// a 64th of the idle time, within these bounds.
const BREATH: std::ops::RangeInclusive<u64> = 1_000..=1_000_000;
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
    /// Whether a port may have credit again without anything else happening: one is shaped, or
    /// takes a part of what it is given by so many faults.
    shaped: bool,
    partial: u32,
    watch: Watch,
    pressure: WatchedPressure,
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
        let slice = slice(scenario, plan.outputs.len());
        let mut record = Record::new(START, slice, plan.rules.len(), plan.outputs.len());
        record.trace = scenario.trace.then(Vec::new);
        let record = Rc::new(RefCell::new(record));

        let sizes = Pools::new(&config, &plan);
        let pool = |size: &PoolSize| HeapPool::metered(size.packets as usize, clock.clone());
        let (payload, headers) = (pool(&sizes.payload), pool(&sizes.headers));
        let linear: Vec<_> = sizes.linear.iter().map(|size| size.as_ref().map(pool)).collect();
        let all = [&payload, &headers].into_iter().chain(linear.iter().flatten());
        let named = sizes.all().zip(all).map(|(size, pool)| WatchedPool::new(&size.name, pool));
        let pools = named.collect();

        let rx = receivers(scenario, traffic, &payload, &clock, &record);
        let tx = senders(scenario, config.ports.len(), &clock, &record);
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
            slow_path: None,
        };
        let control = Arc::new(Control::new(&plan));
        // Whoever is asked answers at once.
        let mac = MacAddr([2, 0, 0, 0, 0, 1]);
        (0..plan.neighbours.len()).for_each(|slot| control.neighbours.set(slot, Known::At(mac)));
        let worker =
            Worker::new(Arc::clone(&plan), parts, Arc::clone(&counters), Arc::clone(&control));
        Ok(Self {
            edges: edges(&faults),
            watch: Watch::new(&plan, START),
            pressure: WatchedPressure::default(),
            shaped: plan.ports.iter().any(|port| port.shaper.is_some()),
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
            stalls: 0,
            stands: 0,
            partial: 0,
            give_up: None,
            moved_at: START,
        })
    }

    /// Lets the worker take a turn, and time pass until the next; false at the end.
    fn turn(&mut self) -> bool {
        self.meet_faults();
        self.tick();
        if self.stalls > 0 {
            let end = self.edges.front().map_or(Ticks::MAX, |edge| edge.at);
            self.clock.pass_to(end.min(self.watch.next_tick));
            return true;
        }
        if self.give_up.is_none() && self.rx.iter().all(VirtualRx::is_done) {
            self.drain(nanos(DRAIN_MAX));
        }
        if self.give_up.is_some_and(|at| self.clock.time() >= at) {
            self.control.set(Phase::Abort);
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
        self.look(now - START);
        true
    }

    /// Looks at the memory, `at` nanoseconds since the start.
    fn look(&mut self, at: Ticks) {
        let slice = (at / self.record.borrow().slice()) as usize;
        self.pools.iter_mut().for_each(|pool| pool.watch(slice));
        self.pressure.watch(self.worker.pressure(), at);
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
        let restless = waits || !self.watch.is_calm(&self.tx);
        let tick = restless.then_some(self.watch.next_tick);
        let known: Option<Ticks> =
            arrivals.chain(wires).chain(faults).chain(self.give_up).chain(tick).min();
        // Only by trying it is known when a shaper has credit, or a driver changes its mind.
        let breath = ((now - self.moved_at) / 64).clamp(*BREATH.start(), *BREATH.end());
        match known {
            Some(at) if !waits || !self.shaped && self.partial == 0 => at,
            Some(at) => at.min(now + breath),
            None => now + breath,
        }
    }

    /// What management does once a millisecond.
    fn tick(&mut self) {
        let now = self.clock.time();
        if now >= self.watch.next_tick {
            let words = &self.control.breakers;
            self.watch.tick(now, &self.tx, &self.plan, &self.counters, words);
            let workers = [WorkerView { lcore: 1, counters: &self.counters }];
            let seen = Seen { config: &self.config, plan: &self.plan, workers: &workers };
            self.watch.note(now, &seen, &self.pools);
        }
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
            FaultKind::TxPartial => {
                count(&mut self.partial);
                self.tx[slot].take_part(begins);
            }
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
            FaultKind::ReceiverDies => self.watch.dies(slot, begins),
            FaultKind::ClockJumps | FaultKind::Stop => {}
        }
    }

    /// Lets go of what the ports hold, and adds everything up.
    fn outcome(mut self) -> Outcome {
        let rx: Vec<_> = self.rx.iter().map(VirtualRx::finish).collect();
        self.tx.iter().for_each(VirtualTx::finish);
        let ports = rx.iter().zip(&self.tx).zip(&self.plan.ports);
        let status = ports.map(|((counts, tx), port)| PortStatus {
            link: if tx.is_up() { Link::Up } else { Link::Down },
            missed: counts.missed,
            no_mbuf: counts.no_mbuf,
            rx_errors: counts.rx_errors,
            tx_chain: TxChain::Native,
            driver: "simulated",
            mtu: port.mtu.into(),
            promiscuous: true,
            ..PortStatus::default()
        });
        let status: Vec<_> = status.collect();
        let elapsed = self.clock.time() - START;
        self.look(elapsed);
        let pools: Vec<_> = self.pools.iter().map(WatchedPool::status).collect();
        let report = Report::gather(&Inputs {
            config: &self.config,
            plan: &self.plan,
            workers: &[WorkerView { lcore: 1, counters: &self.counters }],
            places: &[],
            ports: &status,
            breakers: &self.watch.breakers,
            retired: &Retired::default(),
            pools: &pools,
            unmatched: &Unmatched::default(),
            groups: &groups::State::default(),
            neighbours: &neighbours::Shown::default(),
            malformed: &Malformed::default(),
            alerts: &self.watch.told.list(),
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
            breakers: self.watch.changes.clone(),
            alerts: self.watch.alerts.clone(),
            pressure: self.pressure.changes.clone(),
            in_use: self.pools.iter().map(|pool| pool.by_slice.clone()).collect(),
            trace: record.trace.clone().unwrap_or_default(),
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
        let configured = configured.flat_map(|(slot, rule)| {
            let outputs = rule.outputs.iter().enumerate();
            outputs.map(move |(place, output)| (slot, rule, place, output))
        });
        let counted = self.counters.outputs.iter().zip(&record.sent);
        configured
            .zip(counted)
            .map(|((slot, rule, place, output), (counters, sent))| {
                let offered = record.offered[slot];
                let sample = u64::from(output.sample.max(1));
                // Which of balanced outputs a sender has is not known before it was chosen.
                let (had, left) = (counters.copies.get(), counters.not_selected.get());
                let all = u128::from((had + left).max(1));
                let is_shared = rule.share_of(place) < 1.0;
                let part = |of: u64| (u128::from(of) * u128::from(had) / all) as u64;
                let shared = |of: u64| is_shared.then(|| part(of));
                OutputOutcome {
                    rule: slot,
                    name: output.name.clone(),
                    port: output.port,
                    class: rule.class,
                    weight: output.weight,
                    offered: shared(offered.packets)
                        .unwrap_or_else(|| offered.packets.div_ceil(sample)),
                    offered_bytes: shared(offered.bytes).unwrap_or(offered.bytes / sample),
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

/// The receive queues, each with its traffic.
fn receivers(
    scenario: &Scenario,
    traffic: Vec<Traffic>,
    pool: &HeapPool,
    clock: &VirtualClock,
    record: &Rc<RefCell<Record>>,
) -> Vec<VirtualRx> {
    let sequence = Rc::new(Cell::new(0));
    let rx = |(traffic, port): (Traffic, &crate::config::Port)| {
        VirtualRx::new(RxParts {
            traffic,
            descriptors: scenario.rx_descriptors,
            longest: (port.mtu + LINK_HEADERS) as usize,
            pool: pool.share(),
            clock: clock.clone(),
            sequence: Rc::clone(&sequence),
            record: Rc::clone(record),
        })
    };
    traffic.into_iter().zip(&scenario.config.ports).map(rx).collect()
}

/// The send queues, each with its wire.
fn senders(
    scenario: &Scenario,
    ports: usize,
    clock: &VirtualClock,
    record: &Rc<RefCell<Record>>,
) -> Vec<VirtualTx> {
    let tx = |port| {
        VirtualTx::new(TxParts {
            rate: scenario.link_of(port),
            descriptors: scenario.tx_descriptors.max(1),
            clock: clock.clone(),
            record: Rc::clone(record),
            seed: seed(scenario, 3, port),
        })
    };
    (0..ports).map(tx).collect()
}

/// The ends of all faults, in the order of time.
fn edges(faults: &[Fault]) -> VecDeque<Edge> {
    let mut edges: Vec<_> = faults.iter().flat_map(Fault::edges).collect();
    edges.iter_mut().for_each(|edge| edge.at += START);
    edges.sort_by_key(|edge| edge.at);
    edges.into()
}

/// Nanoseconds of a slice of time: longer where the span is long and outputs are many.
fn slice(scenario: &Scenario, outputs: usize) -> u64 {
    let longest = scenario.span + nanos(DRAIN_MAX);
    (longest * outputs as u64 / SLICES_MAX).max(SLICE).next_multiple_of(SLICE)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
