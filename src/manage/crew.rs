//! The crew: the lcores, and which part of ports and pools each worker gets.

use std::sync::Arc;

use crate::config::{ClockSource, Config, Lcores, Port as PortSettings};
use crate::dpdk::{self, Dpdk, DpdkError, Eal, Pool, Port, RxQueues, TscClock};
use crate::ledger::Counters;
use crate::plan::{Plan, Roles};
use crate::stages::{Originate, Punt, RxSource};
use crate::worker::{Control, Handoff, Parts, PortSink, Worker, port_ring};

use super::placement::{self, Place, PortPlace, Topology};
use super::slow_path::Ends;

/// The lcore of the first worker; 0 is management.
pub const FIRST_LCORE: u32 = 1;

/// The lcores that are asked for, or the first two CPUs that this process may use, for one worker;
/// on one CPU management and worker share it.
pub fn lcores(config: &Config, allowed: &[u32]) -> Lcores {
    config.eal.lcores.clone().unwrap_or_else(|| {
        let management = allowed.first().copied().unwrap_or(0);
        let worker = allowed.get(1).copied().unwrap_or(management);
        Lcores { management, workers: vec![worker] }
    })
}

/// What the workers leave of the allowed CPUs; all of them where that is nothing.
pub fn service_cpus(lcores: &Lcores, allowed: &[u32]) -> Vec<u32> {
    let free = allowed.iter().copied().filter(|cpu| !lcores.workers.contains(cpu));
    let free: Vec<_> = free.collect();
    if free.is_empty() { allowed.to_vec() } else { free }
}

/// The receive queues that a port is asked for.
pub fn rx_queues(port: &PortSettings, lcores: &Lcores) -> RxQueues {
    let workers = u16::try_from(lcores.workers.len()).unwrap_or(u16::MAX);
    port.rx_queues.map_or(RxQueues::For(workers), RxQueues::Exactly)
}

/// What all workers are made of.
pub struct Shared<'a> {
    pub config: &'a Config,
    /// By slot.
    pub ports: &'a [Port],
    pub payload: &'a Pool,
    pub headers: Pool,
    /// By port slot.
    pub linear: Vec<Option<Pool>>,
    /// For frames of our own.
    pub own: Option<Pool>,
    pub clock: Option<TscClock>,
}

/// All workers at rest, and what management keeps of them, each by worker.
#[derive(Default)]
pub struct Crew {
    pub workers: Vec<Worker<Dpdk>>,
    pub counters: Vec<Arc<Counters>>,
    /// Of their slow paths; none where there is none.
    pub ends: Vec<Ends>,
    /// Where ports go that are added.
    pub doors: Vec<PortSink<Dpdk>>,
}

impl Shared<'_> {
    /// All workers at rest.
    pub fn crew(&self, plan: &Arc<Plan>, roles: &Roles, control: &Arc<Control>) -> Crew {
        let mut crew = Crew::default();
        for (me, handoff) in Handoff::connect(plan, roles).into_iter().enumerate() {
            let counters = Arc::new(Counters::for_plan(plan));
            let (slow_path, ends) = slow_path(self.config, plan, self.own.clone());
            crew.ends.extend(ends);
            let (door, added) = port_ring(plan);
            crew.doors.push(door);
            let parts = Parts { slow_path, ..self.parts(roles, me) };
            let (own, control) = (Arc::clone(&counters), Arc::clone(control));
            let worker = Worker::among(Arc::clone(plan), parts, own, control, handoff);
            crew.workers.push(worker.with_ports_from(added));
            crew.counters.push(counters);
        }
        crew
    }

    /// The part of worker `me`.
    fn parts(&self, roles: &Roles, me: usize) -> Parts<Dpdk> {
        let queues = roles.receives.iter().enumerate().flat_map(|(slot, queues)| {
            let mine = queues.iter().enumerate().filter(|(_, worker)| **worker == me);
            mine.map(move |(queue, _)| (slot, queue as u16))
        });
        let sources = queues.filter_map(|(slot, queue)| {
            let mode = self.config.ports[slot].rx;
            Some(RxSource { port: self.ports[slot].rx(queue)?, slot: slot as u8, mode })
        });
        let ports = self.ports.iter().zip(&roles.sends).filter(|(_, worker)| **worker == me);
        Parts {
            rx: sources.collect(),
            tx: ports.filter_map(|(port, _)| port.tx()).collect(),
            payload: self.payload.clone(),
            headers: self.headers.clone(),
            linear: self.linear.clone(),
            clock: self.clock,
            slow_path: None,
        }
    }
}

/// The rings of the slow path, where there is one: the worker's ends, and management's. By the
/// capture's clock there is none, for what is said would hang on how fast management is.
fn slow_path(
    config: &Config,
    plan: &Plan,
    own: Option<Pool>,
) -> (Option<(Punt, Originate<Pool>)>, Vec<Ends>) {
    let Some(pool) = own.filter(|_| config.clock == ClockSource::Tsc) else {
        return (None, vec![]);
    };
    let (punt, punted) = Punt::new(plan);
    let (originate, own) = Originate::new(plan, pool);
    (Some((punt, originate)), vec![Ends { punted, own }])
}

/// Lets a worker begin, on its lcore.
pub fn launch(
    eal: &Eal,
    me: usize,
    mut worker: Worker<Dpdk>,
    adaptive: bool,
) -> Result<dpdk::Worker<()>, DpdkError> {
    dpdk::launch(eal, me, move || worker.run(adaptive))
}

/// All workers' counters.
pub fn all(counters: &[Arc<Counters>]) -> Vec<&Counters> {
    counters.iter().map(|counters| &**counters).collect()
}

/// Where the workers are on this host, and what of that and of the ports is not placed well.
pub fn places(lcores: &Lcores, roles: &Roles, ports: &[Port]) -> Arc<[Place]> {
    let topology = Topology::of_host();
    let mut places = placement::places(&topology, lcores);
    let of = |port| PortPlace { name: Port::name(port), node: port.socket().try_into().ok() };
    let ports: Vec<_> = ports.iter().map(of).collect();
    placement::beside_ports(&mut places, &topology, roles, &ports);
    places.into()
}

/// Whether any two of the lcores share a CPU.
pub fn shares_a_cpu(lcores: &Lcores) -> bool {
    let mut cpus: Vec<_> = lcores.workers.iter().chain([&lcores.management]).collect();
    cpus.sort_unstable();
    cpus.windows(2).any(|pair| pair[0] == pair[1])
}
