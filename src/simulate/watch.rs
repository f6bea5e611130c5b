//! What is watched in virtual time: circuit breakers, once a millisecond as management does, and
//! memory, once a turn.

use std::time::Duration;

use super::outcome::{BreakerAlert, BreakerChange, PressureChange};
use crate::config::Class;
use crate::ledger::Counters;
use crate::manage::alerts::{Alerts, Drivers, Seen};
use crate::manage::breaker::{Breakers, News, Of};
use crate::manage::report::PoolStatus;
use crate::packet::Ticks;
use crate::plan::Plan;
use crate::sched::Pressure;
use crate::stages::{BreakerState, BreakerWords};
use crate::testkit::{HeapPool, VirtualTx};

/// How often management looks at circuit breakers, in nanoseconds.
const TICK: u64 = 1_000_000;

/// The circuit breakers, and what they did.
pub struct Watch {
    /// The breakers.
    pub breakers: Breakers,
    /// When they are looked at next.
    pub next_tick: Ticks,
    /// By receiver: faults by which it is dead, and the copies sent to it so far.
    receivers: Vec<(u32, u64)>,
    /// What they did.
    pub changes: Vec<BreakerChange>,
    /// The alerts of the whole instance.
    pub told: Alerts,
    /// What the operator was told of breakers.
    pub alerts: Vec<BreakerAlert>,
    /// How many of them are among the alerts.
    noted: usize,
    start: Ticks,
}

impl Watch {
    /// All closed, at the start of the simulation.
    pub fn new(plan: &Plan, start: Ticks) -> Self {
        Self {
            breakers: Breakers::new(plan),
            next_tick: start,
            receivers: vec![(0, 0); plan.receiver_slots.len()],
            changes: Vec::new(),
            told: Alerts::default(),
            alerts: Vec::new(),
            noted: 0,
            start,
        }
    }

    /// Begins or ends a fault: meanwhile bad news comes back for what is sent to the receiver.
    pub fn dies(&mut self, receiver: usize, begins: bool) {
        let faults = &mut self.receivers[receiver].0;
        *faults = if begins { *faults + 1 } else { *faults - 1 };
    }

    /// Whether all links are up and all breakers closed: then no tick is missed.
    pub fn is_calm(&self, links: &[VirtualTx]) -> bool {
        // There is room for many more receivers than there are.
        let receivers = self.breakers.receivers.iter().take(self.receivers.len());
        let mut all = self.breakers.ports.iter().chain(receivers);
        links.iter().all(VirtualTx::is_up)
            && all.all(|breaker| breaker.state() == BreakerState::Closed)
    }

    /// Looks at all breakers at `now`, and tells the worker.
    pub fn tick(
        &mut self,
        now: Ticks,
        links: &[VirtualTx],
        plan: &Plan,
        counters: &Counters,
        words: &BreakerWords,
    ) {
        self.next_tick = (now + 1).next_multiple_of(TICK);
        let links: Vec<_> = links.iter().map(VirtualTx::is_up).collect();
        let unreachable = self.bad_news(plan, counters);
        let before = self.states();
        let since = Duration::from_nanos(now - self.start);
        let news = News { links: &links, unreachable: &unreachable, unresolved: &[] };
        let at = now - self.start;
        let alert = |of, change| self.alerts.push(BreakerAlert { at, of, change });
        self.breakers.look(since, plan, &[counters], &news, words, alert);
        let changed = self.states().into_iter().zip(before).filter(|(now, before)| now != before);
        self.changes.extend(changed.map(|((of, state), _)| BreakerChange { at, of, state }));
    }

    /// Looks at what there may be an alert of; behind [`Self::tick`].
    pub fn note(&mut self, now: Ticks, seen: &Seen<'_>, pools: &[WatchedPool]) {
        let since = Duration::from_nanos(now - self.start);
        let drivers = || Drivers {
            pools: pools.iter().map(WatchedPool::status).collect(),
            ..Drivers::default()
        };
        self.told.tick(since, seen, drivers, |_| {});
        for alert in self.alerts.iter().skip(self.noted) {
            let change = (alert.of, alert.change);
            self.told.breaker(since, seen.config, change, |_| {});
        }
        self.noted = self.alerts.len();
    }

    /// Receivers that are dead and were sent something since the last look.
    fn bad_news(&mut self, plan: &Plan, counters: &Counters) -> Vec<usize> {
        let dead = self.receivers.iter_mut().enumerate().filter(|(_, (faults, _))| *faults > 0);
        let told = dead.filter_map(|(slot, (_, told))| {
            let outputs = plan.outputs.iter().zip(&counters.outputs);
            let its = outputs.filter(|(output, _)| output.receiver == Some(slot as u32));
            let sent: u64 = its.map(|(_, counters)| counters.sent.get()).sum();
            (sent > std::mem::replace(told, sent)).then_some(slot)
        });
        told.collect()
    }

    fn states(&self) -> Vec<(Of, BreakerState)> {
        let ports = self.breakers.ports.iter().enumerate();
        let receivers = self.breakers.receivers.iter().take(self.receivers.len()).enumerate();
        ports
            .map(|(slot, breaker)| (Of::Port(slot), breaker.state()))
            .chain(receivers.map(|(slot, breaker)| (Of::Receiver(slot), breaker.state())))
            .collect()
    }
}

/// A pool and the most that was seen of it, ever and by slice of time.
pub struct WatchedPool {
    name: String,
    /// The pool.
    pub pool: HeapPool,
    most: usize,
    /// The most in use, by slice of time.
    pub by_slice: Vec<u64>,
}

impl WatchedPool {
    /// Nothing seen yet.
    pub fn new(name: &str, pool: &HeapPool) -> Self {
        Self { name: name.to_owned(), pool: pool.share(), most: 0, by_slice: Vec::new() }
    }

    /// Looks at it in the slice of time with this number.
    pub fn watch(&mut self, slice: usize) {
        let in_use = self.pool.in_use();
        self.most = self.most.max(in_use);
        if self.by_slice.len() <= slice {
            self.by_slice.resize(slice + 1, 0);
        }
        let most = &mut self.by_slice[slice];
        *most = (*most).max(in_use as u64);
    }

    /// As a report shows it.
    pub fn status(&self) -> PoolStatus {
        PoolStatus {
            name: self.name.clone(),
            size: self.pool.size() as u64,
            in_use: self.pool.in_use() as u64,
            in_use_max: self.most as u64,
            held: 0,
        }
    }
}

/// The steps by which a worker sheds classes as its memory fills.
#[derive(Debug, Default)]
pub struct WatchedPressure {
    last: Pressure,
    /// When they changed.
    pub changes: Vec<PressureChange>,
}

impl WatchedPressure {
    /// Looks at it, `at` nanoseconds since the start.
    pub fn watch(&mut self, pressure: Pressure, at: Ticks) {
        if pressure != std::mem::replace(&mut self.last, pressure) {
            let admitted = Class::ALL.into_iter().filter(|class| pressure.admits(*class)).count();
            self.changes.push(PressureChange { at, admitted });
        }
    }
}
