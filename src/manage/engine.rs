//! The engine: EAL, pools, ports and the workers of one configuration, from start to stop.

mod added;
mod start;

use std::sync::Arc;
use std::time::Duration;

use self::added::Opened;
use super::breaker::{Breakers, Change, News, Of};
use super::crew;
use super::groups::{Speaker, wanted};
use super::interfaces::Interfaces;
use super::live::Totals;
use super::neighbours::PortSeen;
use super::placement::Place;
use super::reload::{Diff, ReloadError, Reloader, diff};
use super::report::{Link, PoolStatus, PortStatus, TxChain};
use super::slow_path::SlowPath;
use super::unmatched::Unmatched;
use super::wall;
use crate::config::{Config, Lcores, Rule};
use crate::dpdk::{self, Dpdk, Eal, Pool, Port, TscClock, WorkerPanicked};
use crate::ledger::Counters;
use crate::packet::{Clock, PacketPool, Ticks};
use crate::plan::{Plan, PortFacts, PortPlan};
use crate::worker::{Control, Left, Phase, PortSink};

/// How long a stop waits for what is to be said of groups that are left.
const LEAVE_MAX: Duration = Duration::from_millis(200);
/// How often links are looked at.
const LINKS_EVERY: Duration = Duration::from_millis(10);
/// How long the end waits for buffers that drivers hold.
const RECLAIM_MAX: Duration = Duration::from_millis(200);

/// A running instance. Fields are dropped in this order: the workers first, EAL last.
#[derive(Debug)]
pub struct Engine {
    workers: Vec<dpdk::Worker<()>>,
    /// By worker: where ports go that are added.
    doors: Vec<PortSink<Dpdk>>,
    ports: Vec<Port>,
    /// Where received packets lie.
    payload: Pool,
    /// That of received packets first.
    pools: Vec<WatchedPool>,
    /// By port slot: whether the link was up when it was looked at last, and when that was.
    links: (Vec<bool>, Duration),
    /// By port slot: whether it is promiscuous.
    hears_all: Vec<bool>,
    /// What the kernel says of them.
    interfaces: Interfaces,
    /// The circuit breakers.
    pub breakers: Breakers,
    /// Slots of receivers none of whose neighbours answers.
    unresolved: Vec<usize>,
    /// What no rule takes.
    pub unmatched: Unmatched,
    /// ARP, ICMP and what else we say ourselves.
    pub slow_path: SlowPath,
    /// Since when groups are being left, because the instance stops.
    leaving: Option<Duration>,
    clock: Option<TscClock>,
    /// What the workers are asked for.
    pub control: Arc<Control>,
    /// By worker: its counters.
    pub counters: Vec<Arc<Counters>>,
    /// The plan that the workers run by.
    pub plan: Arc<Plan>,
    /// What is kept from one plan to the next.
    pub reloader: Reloader,
    /// By port slot: whether it has buffers for linear copies.
    has_linear: Vec<bool>,
    /// Where the workers are.
    pub places: Arc<[Place]>,
    /// CPUs for threads that are not lcores: none of the workers', where there are others.
    pub service_cpus: Vec<u32>,
    lcores: Lcores,
    eal: Eal,
}

/// A pool and what was seen of it.
#[derive(Debug)]
struct WatchedPool {
    name: String,
    pool: Pool,
    /// Buffers that the ports held before the first packet: in receive rings, or a whole capture.
    held: usize,
    in_use_max: usize,
}

impl Engine {
    /// Goes by another configuration from now on, whose ports are in order; `old` is the one in
    /// force, and taken up. Returns what differs; the workers take it up at their next turns.
    ///
    /// # Errors
    /// Where it needs a restart or cannot be planned, or a new port cannot be opened. Nothing has
    /// changed then.
    pub fn reload(
        &mut self,
        old: &Config,
        new: &Config,
        now: Duration,
    ) -> Result<Diff, ReloadError> {
        let lacks = |(slot, port): (usize, &PortPlan)| {
            let linear = !port.sends_chains || new.copy_below > 0;
            let sent_to = new.rules.iter().flat_map(|r| &r.outputs).any(|o| o.port == slot);
            let lacks = linear && sent_to && !self.has_linear[slot];
            lacks.then(|| format!("port {}: buffers for linear copies", port.name))
        };
        let lacking = self.plan.ports.iter().enumerate().filter_map(lacks);
        let lacking: Vec<_> = lacking.collect();
        if !lacking.is_empty() {
            return Err(ReloadError::NeedsRestart(lacking));
        }
        let differs = diff(old, new);
        if differs.is_empty() {
            return Ok(differs);
        }
        if !differs.needs_restart.is_empty() {
            return Err(ReloadError::NeedsRestart(differs.needs_restart));
        }
        let opened = self.open_added(new)?;
        let added: Vec<_> = opened.iter().map(Opened::new_port).collect();
        let (configs, counters) = ((old, new), crew::all(&self.counters));
        let next = self.reloader.follow_with(&added, &self.plan, configs, &counters, now)?;
        self.add_ports(opened, &next, new, now);
        for &slot in &next.cleared.receivers {
            self.breakers.reset_receiver(slot as usize, &self.control.breakers);
        }
        // Before the plan: where a slot is another's now, nobody must go by what was known.
        self.slow_path.protocols.neighbours.follow(new, &next, now);
        self.tell_neighbours();
        self.publish(next);
        self.unresolved = self.slow_path.protocols.neighbours.unresolved(&self.plan);
        for (slot, (port, hears)) in self.ports.iter().zip(&mut self.hears_all).enumerate() {
            let needed = hears_all(new, slot);
            if std::mem::replace(hears, needed) != needed {
                port.set_promiscuous(needed);
            }
        }
        self.slow_path.set_addresses(new.ports.iter().map(|port| &port.address), now);
        let groups = &mut self.slow_path.protocols.groups;
        let speakers = speakers(new, self.reloader.facts()).enumerate();
        speakers.for_each(|(port, speaker)| groups.set_speaker(port, speaker));
        groups.set(wanted(new), now);
        Ok(differs)
    }

    /// Tells the workers what is new of neighbours.
    fn tell_neighbours(&mut self) {
        let words = &self.control.neighbours;
        let neighbours = &mut self.slow_path.protocols.neighbours;
        let mut is_new = false;
        for (slot, known) in neighbours.news() {
            words.set(slot, known);
            is_new = true;
        }
        if is_new {
            self.unresolved = neighbours.unresolved(&self.plan);
        }
    }

    /// What the neighbours are to know of the ports.
    fn ports_seen(&self) -> Vec<PortSeen> {
        let (links, _) = &self.links;
        let seen = |(slot, &is_up): (usize, &bool)| PortSeen {
            is_up,
            punt_full: self.counters.iter().map(|all| all.ports[slot].punt_full.get()).sum(),
        };
        links.iter().enumerate().map(seen).collect()
    }

    /// Puts a plan into the workers' mailbox, and frees those that come out of it.
    fn publish(&mut self, plan: Plan) {
        self.plan = Arc::new(plan);
        drop(self.control.mailbox.put(&self.plan));
    }

    /// Whether all workers run by the plan in force.
    pub fn is_taken_up(&self) -> bool {
        let generations = self.counters.iter().map(|all| all.worker.generation.acquire());
        generations.into_iter().all(|generation| generation == self.plan.generation)
    }

    /// Of the workers the longest turn that took up the plan, and the longest since the start, in
    /// nanoseconds.
    pub fn turns_ns(&self) -> (u64, u64) {
        let rate = u128::from(self.plan.ticks_per_second);
        let nanos = |ticks: u64| (u128::from(ticks) * 1_000_000_000 / rate) as u64;
        let longest = |turn: fn(&Counters) -> u64| {
            nanos(self.counters.iter().map(|all| turn(all)).max().unwrap_or_default())
        };
        (longest(|all| all.worker.plan_turn.get()), longest(|all| all.worker.longest_turn.get()))
    }

    /// Each worker's lcore and counters.
    pub fn workers(&self) -> impl Iterator<Item = (u32, Arc<Counters>)> + '_ {
        (crew::FIRST_LCORE..).zip(self.counters.iter().cloned())
    }

    /// The totals of all workers.
    pub fn totals(&self) -> Totals {
        Totals::read(self.counters.iter().map(|counters| &**counters))
    }

    /// Steers the workers.
    pub fn set_phase(&self, phase: Phase) {
        self.control.set(phase);
    }

    /// Leaves all groups, before the drain begins; true while there is more to say of them, but
    /// not for long.
    pub fn is_leaving(&mut self, now: Duration) -> bool {
        let groups = &mut self.slow_path.protocols.groups;
        let since = *self.leaving.get_or_insert_with(|| {
            groups.leave(now);
            now
        });
        now.saturating_sub(since) < LEAVE_MAX && !self.slow_path.is_quiet()
    }

    /// Whether the workers have ended, or one of them has before its time.
    pub fn has_ended(&mut self) -> bool {
        let mut left = 0;
        for (me, worker) in self.workers.iter_mut().enumerate() {
            if worker.has_ended() {
                // One that panicked could not say it, and the others wait for it.
                self.control.leave(me, Left::Copying);
            } else {
                left += 1;
            }
        }
        left == 0 || left < self.workers.len() && self.control.word().phase == Phase::Run
    }

    /// Looks at pools, for their high-water marks, and at circuit breakers; once a tick. `now` is
    /// since the start; `alert` hears of breakers that open or close. Returns whether there was
    /// nothing that is to be followed closely.
    pub fn watch(&mut self, now: Duration, alert: impl FnMut(Of, Change)) -> bool {
        self.pools.iter_mut().for_each(WatchedPool::watch);
        let unmatched = &mut self.unmatched;
        let misses = self.counters.iter().filter(|all| unmatched.take(&all.misses)).count();
        let (read, _) = self.slow_path.seen();
        self.slow_path.tick(&self.ports_seen(), now);
        self.tell_neighbours();
        let (_, looked) = self.links;
        if self.interfaces.look() || now.saturating_sub(looked) >= LINKS_EVERY {
            self.look_at_links(now);
        }
        let is_taken_up = self.is_taken_up();
        if is_taken_up {
            self.slow_path.known = self.ports.len();
            // The plan before, if it is still there: nobody runs by it.
            drop(self.control.mailbox.take());
            if let Some(plan) = self.reloader.tick(&self.plan, &crew::all(&self.counters), now) {
                self.publish(plan);
            }
        }
        let (links, _) = &self.links;
        let news = News { links, unreachable: &[], unresolved: &self.unresolved };
        let words = &self.control.breakers;
        self.breakers.look(now, &self.plan, &crew::all(&self.counters), &news, words, alert);
        let said_nothing = self.slow_path.seen() == (read, true);
        said_nothing && misses == 0 && is_taken_up && self.breakers.is_calm(&self.plan)
    }

    fn look_at_links(&mut self, now: Duration) {
        self.links = (links_up(&self.ports, &self.interfaces), now);
    }

    /// Waits for the workers' end; ports and pools stay as they are. `now` is since the start.
    pub fn join(&mut self, now: Duration) -> Result<(), WorkerPanicked> {
        if self.control.word().phase == Phase::Run {
            // One has ended before its time.
            self.control.set(Phase::Abort);
        }
        let joined = self.workers.drain(..).map(dpdk::Worker::join);
        // All of them, whatever became of the first.
        let joined = joined.fold(Ok(()), Result::and);
        self.slow_path.finish(now);
        self.counters.iter().for_each(|all| _ = self.unmatched.take(&all.misses));
        self.reclaim();
        joined
    }

    /// Whether DPDK's capture tools can attach, in words.
    pub fn dumpcap(&self) -> String {
        match self.eal.dumpcap() {
            Ok(()) => format!("yes: dpdk-dumpcap --file-prefix={} -i PORT", self.eal.name()),
            Err(why) => format!("no: {why}"),
        }
    }

    /// EAL, as long as it runs.
    pub fn eal(&self) -> &Eal {
        &self.eal
    }

    /// Waits until drivers that give buffers back only when asked have given them back, but not
    /// for long: a card may hold some as long as its link is down.
    fn reclaim(&self) {
        let start = wall::now();
        while self.pools.iter().any(|pool| pool.pool.in_use() > pool.held)
            && start.elapsed() < RECLAIM_MAX
        {
            self.ports.iter().for_each(Port::reclaim);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// The time by the workers' clock; none where it is the capture's.
    pub fn now(&self) -> Option<Ticks> {
        self.clock.map(|clock| clock.now())
    }

    /// What the drivers say of the ports, by slot.
    pub fn port_status(&self) -> Vec<PortStatus> {
        let status = |(slot, port): (usize, &Port)| {
            let mut status = port_status(port);
            if let Some(is_up) = self.interfaces.is_up(slot) {
                status.link = if is_up { Link::Up } else { Link::Down };
                let dropped = self.interfaces.dropped(slot);
                // A bundler is told of what an interface drops, too, and counts datagrams.
                status.tx_errors = match port.bundles() {
                    true => status.tx_errors.max(dropped),
                    false => status.tx_errors + dropped,
                };
            }
            status.promiscuous = self.hears_all[slot];
            status
        };
        self.ports.iter().enumerate().map(status).collect()
    }

    /// The pools; exact where the worker has ended.
    pub fn pool_status(&self) -> Vec<PoolStatus> {
        self.pools.iter().map(WatchedPool::status).collect()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // A start that fails behind a worker's launch waits for its end, too.
        self.control.set(Phase::Abort);
    }
}

impl WatchedPool {
    fn new(pool: Pool) -> Self {
        let held = pool.in_use();
        Self { name: pool.name().to_owned(), pool, held, in_use_max: held }
    }

    fn watch(&mut self) {
        let in_use = self.pool.size().saturating_sub(self.pool.available());
        self.in_use_max = self.in_use_max.max(in_use);
    }

    fn status(&self) -> PoolStatus {
        let in_use = self.pool.in_use();
        PoolStatus {
            name: self.name.clone(),
            size: self.pool.size() as u64,
            in_use: in_use as u64,
            in_use_max: self.in_use_max.max(in_use) as u64,
            held: self.held.min(in_use) as u64,
        }
    }
}

/// Which links are up: as the kernel says it of its interfaces, else as drivers do.
fn links_up(ports: &[Port], interfaces: &Interfaces) -> Vec<bool> {
    let is_up =
        |(slot, port): (usize, &Port)| interfaces.is_up(slot).unwrap_or_else(|| port.link().up);
    ports.iter().enumerate().map(is_up).collect()
}

/// Whether a port must hear unicast frames that are not for its own address: where a rule takes
/// unicast from it. Groups are heard always.
fn hears_all(config: &Config, slot: usize) -> bool {
    let takes_unicast = |rule: &Rule| {
        rule.input.ports.contains(&slot)
            && rule.input.destination.iter().any(|net| !net.network().is_multicast())
    };
    config.rules.iter().any(takes_unicast)
}

/// From where the ports speak of groups, by slot.
fn speakers(config: &Config, facts: &[PortFacts]) -> impl Iterator<Item = Speaker> {
    config.ports.iter().zip(facts).map(|(port, facts)| {
        let addresses = port.address.iter().map(|net| net.addr());
        Speaker::new(facts.mac, addresses, facts.mtu as usize)
    })
}

fn port_status(port: &Port) -> PortStatus {
    let stats = port.stats();
    PortStatus {
        link: if port.link().up { Link::Up } else { Link::Down },
        missed: stats.missed,
        no_mbuf: stats.no_mbuf,
        rx_errors: stats.rx_errors,
        tx_errors: stats.tx_errors,
        tx_chain: if port.sends_chains() { TxChain::Native } else { TxChain::Linear },
        driver: port.driver(),
        mtu: port.mtu().into(),
        ..PortStatus::default()
    }
}
