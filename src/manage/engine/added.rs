//! Ports that a reload adds: opened whole before anything changes, closed again where a later step
//! fails, and given to the workers with the plan that has them.

use std::fs::File;
use std::io::BufReader;
use std::time::Duration;

use arrayvec::ArrayVec;

use super::start::{facts, host, pool_config, port_config};
use super::{Engine, WatchedPool, hears_all};
use crate::config::Config;
use crate::dpdk::{Dpdk, Pool, Port};
use crate::manage::breaker::Breaker;
use crate::manage::interfaces::Watched;
use crate::manage::reload::{NewPort, ReloadError};
use crate::manage::wall;
use crate::plan::{Plan, memory};
use crate::stages::RxSource;
use crate::testkit::pcap::Capture;
use crate::worker::{AddedPort, PortParts};

/// How long the workers may take for a turn before a port is not added: they could not take it up.
const TURN_MAX: Duration = Duration::from_secs(1);
/// How often they are looked at meanwhile.
const LOOK: Duration = Duration::from_micros(20);
/// Buffers that an AF_XDP socket keeps for each receive queue.
const AF_XDP_HOLDS: usize = 2_048;

/// A port that was opened and that nobody else knows yet: dropped, it is closed and gone.
pub(super) struct Opened {
    port: Port,
    linear: Option<Pool>,
    own: Option<Pool>,
    interface: Option<Watched>,
    /// Payload buffers that its driver keeps.
    held: usize,
}

impl Opened {
    /// What a plan is made with.
    pub fn new_port(&self) -> NewPort {
        NewPort { facts: facts(&self.port), rx_queues: self.port.rx_queues() }
    }
}

impl Engine {
    /// Opens the ports that `new` has behind those that are open, and waits until the workers have
    /// taken a turn.
    ///
    /// # Errors
    /// Where one cannot be opened, or a worker stands still. Then all of them are closed again.
    pub(super) fn open_added(&self, new: &Config) -> Result<Vec<Opened>, ReloadError> {
        let slots = self.ports.len()..new.ports.len();
        let opened = slots.map(|slot| self.open_one(new, slot));
        let opened = opened.collect::<Result<Vec<_>, _>>()?;
        match opened.is_empty() || self.all_take_turns() {
            true => Ok(opened),
            false => Err(ReloadError::Stalled),
        }
    }

    fn open_one(&self, new: &Config, slot: usize) -> Result<Opened, ReloadError> {
        let refused = |error: &dyn std::fmt::Display| ReloadError::Port(error.to_string());
        let wanted = port_config(new, slot, &self.lcores);
        let port = Port::open(&self.eal, &wanted, &self.payload).map_err(|e| refused(&e))?;
        let make = |size: memory::PoolSize| Pool::new(&self.eal, &pool_config(&size, &self.lcores));
        let linear = memory::linear(new, slot, port.sends_chains()).map(make).transpose();
        let own = memory::own(new, slot).map(make).transpose();
        let interface = self.interfaces.find(port.interface());
        Ok(Opened {
            linear: linear.map_err(|e| refused(&e))?,
            own: own.map_err(|e| refused(&e))?,
            interface: interface
                .map_err(|error| refused(&format!("port `{}`: rtnetlink: {error}", port.name())))?,
            held: held(&port, &new.ports[slot].device),
            port,
        })
    }

    /// Whether each worker ends a turn, soon.
    fn all_take_turns(&self) -> bool {
        let turns = || self.counters.iter().map(|all| all.worker.turns.get());
        let (before, start): (Vec<u64>, _) = (turns().collect(), wall::now());
        loop {
            if turns().zip(&before).all(|(now, before)| now != *before) {
                return true;
            }
            if start.elapsed() >= TURN_MAX {
                return false;
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Gives the ports to the workers, which find them when they take up `plan`, and takes them in
    /// everywhere here.
    pub(super) fn add_ports(
        &mut self,
        opened: Vec<Opened>,
        plan: &Plan,
        new: &Config,
        now: Duration,
    ) {
        for opened in opened {
            let slot = self.ports.len();
            let owner = self.reloader.roles().sends[slot];
            for me in 0..self.doors.len() {
                let added = AddedPort::new(plan, slot, self.parts(&opened, new, slot, me));
                // A ring has room for all ports that a plan has room for.
                let _ = self.doors[me].push(added);
            }
            let Opened { port, linear, own, interface, held } = opened;
            self.pools[0].held += held;
            self.pools.extend(linear.iter().chain(&own).cloned().map(WatchedPool::new));
            self.has_linear.push(linear.is_some());
            self.hears_all.push(hears_all(new, slot));
            self.interfaces.add(interface);
            self.breakers.ports.push(Breaker::of_port());
            self.slow_path.add_port(owner, host(new, slot, &facts(&port)), now);
            self.ports.push(port);
        }
        self.look_at_links(now);
    }

    /// What worker `me` gets of a port.
    fn parts(&self, opened: &Opened, new: &Config, slot: usize, me: usize) -> PortParts<Dpdk> {
        let (port, roles) = (&opened.port, self.reloader.roles());
        let mode = new.ports[slot].rx;
        let mine = roles.receives[slot].iter().enumerate().filter(|(_, worker)| **worker == me);
        let source = |(queue, _): (usize, _)| {
            Some(RxSource { port: port.rx(queue as u16)?, slot: slot as u8, mode })
        };
        let owner = roles.sends[slot];
        let tx = if owner == me { port.tx() } else { None };
        PortParts {
            rx: mine.filter_map(source).collect::<ArrayVec<_, _>>(),
            tx: tx.ok_or(owner),
            linear: opened.linear.clone(),
            own: opened.own.clone().filter(|_| owner == me),
            held: opened.held,
        }
    }
}

/// Payload buffers that the driver keeps from the start to the end. While packets move they cannot
/// be told from those that are on their way.
fn held(port: &Port, device: &str) -> usize {
    let queues = usize::from(port.rx_queues());
    match port.driver() {
        "net_af_xdp" => AF_XDP_HOLDS * queues,
        "net_tap" => usize::from(port.descriptors().0) * queues,
        // A source without an end keeps its whole capture.
        "net_pcap" if device.contains("infinite_rx=1") => {
            let files = device.split(',').filter_map(|part| part.strip_prefix("rx_pcap="));
            files.map(|file| frames(file).unwrap_or_default()).sum()
        }
        _ => 0,
    }
}

/// Frames of a capture.
fn frames(file: &str) -> Option<usize> {
    let capture = Capture::new(BufReader::new(File::open(file).ok()?)).ok()?;
    Some(capture.count())
}
