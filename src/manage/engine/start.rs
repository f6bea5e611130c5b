//! The start: EAL, pools, ports and workers of a configuration, each made of what was made before.

use std::sync::Arc;
use std::time::Duration;

use super::{Engine, WatchedPool, hears_all, links_up, speakers};
use crate::config::{ClockSource, Config, Idle, Lcores};
use crate::dpdk::{
    self, DEFAULT_CACHE, DpdkError, Eal, EalConfig, Pool, PoolConfig, Port, PortConfig, TscClock,
};
use crate::manage::breaker::Breakers;
use crate::manage::check;
use crate::manage::crew::{self, Crew, Shared};
use crate::manage::groups::{Groups, wanted};
use crate::manage::interfaces::Interfaces;
use crate::manage::neighbours::Neighbours;
use crate::manage::reload::Reloader;
use crate::manage::serve::RunError;
use crate::manage::slow_path::{Ends, Host, SlowPath};
use crate::manage::unmatched::Unmatched;
use crate::manage::wall;
use crate::packet::Clock;
use crate::plan::memory::{PoolSize, Pools};
use crate::plan::{Plan, PortFacts, Roles};
use crate::worker::Control;

/// Memory besides the pools, in MiB: rings, port structures and EAL itself.
const MEGABYTES_BESIDES: u64 = 32;
/// How long the start waits for the links of ports that are sent to.
const LINKS_WAIT: Duration = Duration::from_secs(1);
/// The clock of `clock = "capture"` ticks in nanoseconds.
const CAPTURE_TICKS_PER_SECOND: u64 = 1_000_000_000;

impl Engine {
    /// Starts everything that `config` names. The calling thread becomes the management lcore.
    pub fn start(config: &Config) -> Result<Self, RunError> {
        let pools = Pools::new(config, &check::plan(config)?);
        // Asked before EAL pins this thread to one CPU.
        let allowed = dpdk::allowed_cpus();
        let lcores = crew::lcores(config, &allowed);
        let eal = Eal::start(&eal_config(config, &lcores, &pools))?;
        let make = |size: &PoolSize| Pool::new(&eal, &pool_config(size, &lcores));
        let payload = make(&pools.payload)?;
        let headers = make(&pools.headers)?;
        let ports = open_ports(config, &lcores, &eal, &payload)?;

        let facts: Vec<_> = ports.iter().map(facts).collect();
        let clock = (config.clock == ClockSource::Tsc).then(|| TscClock::new(&eal));
        let rate = clock.as_ref().map_or(CAPTURE_TICKS_PER_SECOND, Clock::ticks_per_second);
        let queues: Vec<_> = ports.iter().map(Port::rx_queues).collect();
        let roles = Roles::new(config, &queues, lcores.workers.len());
        let (plan, slots) = Plan::first_for(config, &facts, rate, roles.clone())?;
        let plan = Arc::new(plan);
        // Only the open ports say for sure which of them need linear copies.
        let linear = Pools::new(config, &plan).linear;
        let linear = linear.iter().map(|size| size.as_ref().map(make).transpose());
        let linear: Vec<_> = linear.collect::<Result<_, _>>()?;
        let has_linear = linear.iter().map(Option::is_some).collect();
        let own = pools.own.as_ref().map(make).transpose()?;
        let watched = [&payload, &headers].into_iter().chain(linear.iter().flatten()).chain(&own);
        let pools = watched.cloned().map(WatchedPool::new).collect();
        let control = Arc::new(Control::for_workers(&plan, roles.workers));
        let shared =
            Shared { config, ports: &ports, payload: &payload, headers, linear, own, clock };
        let Crew { workers, counters, ends, doors } = shared.crew(&plan, &roles, &control);
        let breakers = Breakers::new(&plan);
        let mut slow_path = protocols(config, &facts, ends, roles.sends.clone());
        let neighbours = &mut slow_path.protocols.neighbours;
        neighbours.follow(config, &plan, Duration::ZERO);
        neighbours.news().for_each(|(slot, known)| control.neighbours.set(slot, known));
        let reloader = Reloader::new(slots, facts);
        let hears_all = (0..ports.len()).map(|slot| hears_all(config, slot)).collect();
        let mut interfaces =
            Interfaces::watch(ports.iter().map(Port::interface)).map_err(RunError::Interfaces)?;
        let links = (wait_for_links(&ports, &mut interfaces, &plan), Duration::ZERO);
        let places = crew::places(&lcores, &roles, &ports);
        let service_cpus = crew::service_cpus(&lcores, &allowed);
        let adaptive = is_adaptive(config, &lcores);
        let launch = |(me, worker)| crew::launch(&eal, me, worker, adaptive);
        let workers = workers.into_iter().enumerate().map(launch);
        let workers = workers.collect::<Result<_, _>>()?;
        Ok(Self {
            workers,
            doors,
            ports,
            payload,
            pools,
            links,
            hears_all,
            interfaces,
            breakers,
            unresolved: slow_path.protocols.neighbours.unresolved(&plan),
            unmatched: Unmatched::default(),
            slow_path,
            leaving: None,
            clock,
            control,
            counters,
            plan,
            reloader,
            has_linear,
            places,
            service_cpus,
            lcores,
            eal,
        })
    }
}

/// Opens the ports; what they receive goes into `payload`.
fn open_ports(
    config: &Config,
    lcores: &Lcores,
    eal: &Eal,
    payload: &Pool,
) -> Result<Vec<Port>, DpdkError> {
    let open = |slot| Port::open(eal, &port_config(config, slot, lcores), payload);
    (0..config.ports.len()).map(open).collect()
}

/// How the port with this slot is opened.
pub(super) fn port_config(config: &Config, slot: usize, lcores: &Lcores) -> PortConfig {
    let port = &config.ports[slot];
    PortConfig {
        driver: port.driver,
        mtu: u16::try_from(port.mtu).unwrap_or(u16::MAX),
        rx_queues: crew::rx_queues(port, lcores),
        promiscuous: hears_all(config, slot),
        bundle: port.bundle,
        ..PortConfig::new(&port.name, &port.device)
    }
}

/// What an open port says of itself.
pub(super) fn facts(port: &Port) -> PortFacts {
    PortFacts { mac: port.mac(), mtu: port.mtu().into(), sends_chains: port.sends_chains() }
}

/// Whether workers nap while nothing comes.
fn is_adaptive(config: &Config, lcores: &Lcores) -> bool {
    match config.idle {
        Idle::Spin => false,
        Idle::Adaptive => true,
        Idle::Auto => crew::shares_a_cpu(lcores),
    }
}

/// Waits until all ports that are sent to have a link, so that their breakers need not open at
/// once; a link that does not come is no reason not to start. Returns which links are up.
fn wait_for_links(ports: &[Port], interfaces: &mut Interfaces, plan: &Plan) -> Vec<bool> {
    let start = wall::now();
    loop {
        interfaces.look();
        let links = links_up(ports, interfaces);
        let all = links.iter().zip(&plan.ports).all(|(&up, port)| up || port.lanes == 0);
        if all || start.elapsed() >= LINKS_WAIT {
            return links;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Management's side of the slow path, whose groups are to be joined at once.
fn protocols(
    config: &Config,
    facts: &[PortFacts],
    ends: Vec<Ends>,
    owners: Vec<usize>,
) -> SlowPath {
    let hosts = facts.iter().enumerate().map(|(slot, facts)| host(config, slot, facts));
    let mut slow_path = SlowPath::new(ends, owners, hosts.collect());
    let groups = &mut slow_path.protocols.groups;
    *groups = Groups::new(speakers(config, facts), wall::unix_ms());
    groups.set(wanted(config), Duration::ZERO);
    slow_path.protocols.neighbours = Neighbours::new(wall::unix_ms());
    slow_path
}

/// Who we are at the port with this slot.
pub(super) fn host(config: &Config, slot: usize, facts: &PortFacts) -> Host {
    Host { mac: facts.mac, addresses: config.ports[slot].address.clone() }
}

fn eal_config(config: &Config, lcores: &Lcores, pools: &Pools) -> EalConfig {
    let needed = pools.all().map(|size| size.bytes(config.eal.memory));
    let needed = needed.sum::<u64>() + Pools::spare(config);
    let megabytes = needed.div_ceil(1 << 20) + MEGABYTES_BESIDES;
    EalConfig {
        name: config.instance.clone(),
        memory: config.eal.memory,
        megabytes: u32::try_from(megabytes).unwrap_or(u32::MAX),
        management_cpu: lcores.management,
        worker_cpus: lcores.workers.clone(),
        devices: config.ports.iter().map(|port| port.device.clone()).collect(),
        extra: config.eal.extra.clone(),
    }
}

pub(super) fn pool_config<'a>(size: &'a PoolSize, lcores: &Lcores) -> PoolConfig<'a> {
    PoolConfig {
        name: &size.name,
        packets: size.packets,
        data_room: size.data_room,
        // What one worker keeps aside no other can take.
        cache: DEFAULT_CACHE.min(size.packets / 8 / lcores.workers.len().max(1) as u32),
    }
}
