//! The slow path: what is not ours to relay, and what we say ourselves - ARP, ND, ICMP, and of groups
//! (`super::groups`).
//!
//! A worker leaves such packets in a bounded ring, policed (`stages::Punt`); here they are read, a
//! bounded number a tick. What is to be sent goes into the [`Outbox`], and from there into the ring
//! of the worker that sends to that port (`stages::Originate`). Nothing here touches a packet of
//! the workers' or DPDK, and time is an argument, so that all of it runs in tests as it is.
//!
//! Each protocol is a module. What it receives comes as
//! `received(host: &Host, packet: &Punted, now: Duration, out: &mut Outbox)`; one that speaks first
//! has a `tick(hosts: &[Host], now: Duration, out: &mut Outbox)` too. [`Protocols`] calls them all.

mod announce;
pub(super) mod arp;
mod frame;
mod host;
mod icmp;
pub(super) mod nd;
mod outbox;

pub use announce::Announcements;
pub use frame::{Link, Punted};
pub use host::Host;
pub use outbox::Outbox;

use std::time::Duration;

use etherparse::{IpNumber, NetSlice};
use ipnet::IpNet;

use super::groups::{Groups, Outgoing};
use super::neighbours::{Neighbours, PortSeen};
use crate::manage::report::DropCounts;
use crate::packet::{FrameSink, FrameSource};
use crate::wire::{PuntKind, PuntProtocol};

/// Packets that are read from a worker's ring a tick, so that a tick stays short.
const PACKETS_A_TICK: usize = 64;

/// Management's ends of the rings of one worker.
#[derive(Debug)]
pub struct Ends {
    /// What the worker leaves.
    pub punted: FrameSource,
    /// What it is to send.
    pub own: FrameSink,
}

/// What became of the packets that were read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packets that were read.
    pub taken: u64,
    /// Of these: not what their headers say.
    pub malformed: Malformed,
    /// Of these: nothing of ours.
    pub ignored: u64,
}

/// Packets that are not what their headers say, by port slot and [`PuntProtocol`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Malformed(Vec<[u64; PuntProtocol::ALL.len()]>);

impl Malformed {
    /// Counts one.
    pub fn add(&mut self, port: usize, protocol: PuntProtocol) {
        if self.0.len() <= port {
            self.0.resize(port + 1, Default::default());
        }
        self.0[port][protocol as usize] += 1;
    }

    /// Those of a port, by protocol.
    pub fn of(&self, port: usize) -> DropCounts {
        let counts = self.0.get(port).copied().unwrap_or_default();
        PuntProtocol::ALL
            .iter()
            .map(|&protocol| (protocol.name(), counts[protocol as usize]))
            .collect()
    }
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was of use.
    Done,
    /// It is not what its headers say.
    Malformed,
    /// It is nothing of ours.
    Ignored,
}

/// Management's side of the slow path.
#[derive(Debug, Default)]
pub struct SlowPath {
    /// By worker.
    workers: Vec<Ends>,
    /// By port slot: the worker that sends to it.
    owners: Vec<usize>,
    /// Ports that the workers know; what is for others waits until they do, with what is behind it.
    pub known: usize,
    /// The protocols, and what they have to send.
    pub protocols: Protocols,
}

/// All that is said on the slow path.
#[derive(Debug, Default)]
pub struct Protocols {
    /// By port slot.
    pub hosts: Vec<Host>,
    /// What we tell unasked.
    pub announcements: Announcements,
    /// IGMP and MLD.
    pub groups: Groups,
    /// Whom unicast copies go to.
    pub neighbours: Neighbours,
    /// Frames to send.
    pub outbox: Outbox,
    /// What became of those that came.
    pub counts: Counts,
}

impl SlowPath {
    /// A slow path to `workers`; by port slot, `owners` says who sends to it, `hosts` who we are.
    pub fn new(workers: Vec<Ends>, owners: Vec<usize>, hosts: Vec<Host>) -> Self {
        let mut slow_path = Self { workers, ..Self::default() };
        for (owner, host) in owners.into_iter().zip(hosts) {
            slow_path.add_port(owner, host, Duration::ZERO);
        }
        slow_path.known = slow_path.owners.len();
        slow_path
    }

    /// Takes in the next port, which `owner` sends to as soon as it knows it, and announces its
    /// addresses from `now` on.
    pub fn add_port(&mut self, owner: usize, host: Host, now: Duration) {
        let Protocols { hosts, announcements, .. } = &mut self.protocols;
        if !self.workers.is_empty() {
            let own = host.addresses.iter().map(IpNet::addr);
            own.for_each(|address| announcements.add(hosts.len(), address, now));
        }
        hosts.push(host);
        self.owners.push(owner);
    }

    /// Reads what has come and sends what is to be sent, once a tick. `now` is since the start;
    /// `ports` are as seen now.
    pub fn tick(&mut self, ports: &[PortSeen], now: Duration) {
        let Self { workers, protocols, .. } = self;
        for worker in workers.iter_mut() {
            for _ in 0..PACKETS_A_TICK {
                let received = |port: u8, bytes: &[u8]| protocols.received(port, bytes, now);
                if worker.punted.take(received).is_none() {
                    break;
                }
            }
        }
        protocols.announcements.tick(&protocols.hosts, now, &mut protocols.outbox);
        // Without rings nobody is asked, and nobody will answer.
        if !workers.is_empty() {
            let Protocols { neighbours, hosts, outbox, .. } = protocols;
            neighbours.tick(hosts, ports, now, outbox);
        }
        while protocols.outbox.has_room() {
            let Some(Outgoing { port, frame }) = protocols.groups.next(now) else { break };
            protocols.outbox.send(port, frame);
        }
        self.flush();
    }

    /// Packets that were read, and whether nothing is left to be sent.
    pub fn seen(&self) -> (u64, bool) {
        (self.protocols.counts.taken, self.protocols.outbox.is_empty())
    }

    /// Whether nothing is left to be sent, and no group is joined.
    pub fn is_quiet(&self) -> bool {
        self.protocols.outbox.is_empty() && self.protocols.groups.is_quiet()
    }

    /// Goes by other addresses from now on, by port slot, and announces those that are new.
    pub fn set_addresses<'a>(
        &mut self,
        addresses: impl Iterator<Item = &'a Vec<IpNet>>,
        now: Duration,
    ) {
        let Protocols { hosts, announcements, .. } = &mut self.protocols;
        for (slot, (host, addresses)) in hosts.iter_mut().zip(addresses).enumerate() {
            let old = std::mem::replace(&mut host.addresses, addresses.clone());
            for own in addresses.iter().filter(|own| !old.iter().any(|o| o.addr() == own.addr())) {
                announcements.add(slot, own.addr(), now);
            }
        }
    }

    /// Reads what is left when the workers have ended; nothing is sent any more.
    pub fn finish(&mut self, now: Duration) {
        let Self { workers, protocols, .. } = self;
        for worker in workers.iter_mut() {
            let mut received = |port: u8, bytes: &[u8]| protocols.received(port, bytes, now);
            while worker.punted.take(&mut received).is_some() {}
        }
    }

    fn flush(&mut self) {
        let Self { workers, owners, known, protocols } = self;
        protocols.outbox.drain(|port, frame| {
            if port >= *known {
                return false;
            }
            let own = &mut workers[owners[port]].own;
            own.put(port as u8, frame.len(), |buffer| buffer.extend_from_slice(frame))
        });
    }
}

impl Protocols {
    /// Reads one packet.
    fn received(&mut self, port: u8, bytes: &[u8], now: Duration) {
        self.counts.taken += 1;
        let protocol = PuntProtocol::of(bytes);
        let outcome = match protocol.kind() {
            // It counts for itself, too, by port and reason.
            PuntKind::Groups => self.groups.received(port.into(), bytes, now),
            PuntKind::Neighbours | PuntKind::Messages => Punted::read(port, bytes)
                .map_or(Outcome::Malformed, |packet| self.hand_out(&packet, now)),
        };
        match outcome {
            Outcome::Done => {}
            Outcome::Malformed => self.counts.malformed.add(port.into(), protocol),
            Outcome::Ignored => self.counts.ignored += 1,
        }
    }

    /// Gives a packet to the protocol that it is of.
    fn hand_out(&mut self, packet: &Punted<'_>, now: Duration) -> Outcome {
        let Self { hosts, neighbours, outbox, .. } = self;
        let host = &hosts[packet.port];
        match &packet.headers.net {
            Some(NetSlice::Arp(arp)) => arp::received(host, packet, arp, (neighbours, now), outbox),
            Some(NetSlice::Ipv4(ip)) => match ip.payload_ip_number() {
                IpNumber::ICMP => icmp::received_v4(host, packet, ip, neighbours, outbox),
                _ => Outcome::Ignored,
            },
            Some(NetSlice::Ipv6(ip)) => match ip.payload().ip_number {
                IpNumber::IPV6_ICMP => {
                    icmp::received_v6(host, packet, ip, (neighbours, now), outbox)
                }
                _ => Outcome::Ignored,
            },
            _ => Outcome::Ignored,
        }
    }
}

#[cfg(test)]
mod tests;
