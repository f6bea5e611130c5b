//! Group membership: the host's side of IGMP and MLD, so that switches and routers send the ports
//! what the rules relay, for as long as they are to.
//!
//! ```text
//! configuration -> wanted -> Host (one a port, VLAN and protocol) -> send -> frames of ours
//! punted frames -> receive -^
//! ```
//!
//! IGMPv1 (RFC 1112), v2 (RFC 2236), v3 (RFC 3376), MLDv1 (RFC 2710), v2 (RFC 3810). Nothing here
//! does input or output: time is an argument, chance has a seed, frames are bytes. State is bounded by
//! what is wanted: strangers' messages change when something is said, never how much there is to
//! remember.

mod message;
mod receive;
mod send;
mod member;
mod host;
mod wanted;
mod report;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use fastrand::Rng;

pub use member::Interest;
pub use message::{Family, Version};
pub use receive::Ignored;
pub use report::{GroupReport, State};
pub use send::Speaker;
pub use wanted::wanted;

use super::slow_path::Outcome;
use host::Host;
use message::Heard;

/// A group that is to be received.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Slot of the port.
    pub port: usize,
    /// VLAN id; 0 is untagged.
    pub vlan: u16,
    /// The group.
    pub group: IpAddr,
}

/// What is to be received where.
pub type Wanted = BTreeMap<Place, Interest>;

/// A frame that is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Slot of the port.
    pub port: usize,
    /// The whole frame, without FCS.
    pub frame: Vec<u8>,
}

/// What was heard at a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heeded {
    /// Queries.
    pub queries: u64,
    /// Good messages that are for queriers, or other hosts' reports.
    pub others: u64,
    /// By [`Ignored`].
    pub ignored: [u64; Ignored::ALL.len()],
}

/// A group as it stands on one network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Where.
    pub place: Place,
    /// The sources that are wanted; `None` is all.
    pub sources: Option<Vec<IpAddr>>,
    /// The version that is spoken.
    pub version: Version,
    /// Who asked last, and how long ago.
    pub query: Option<(IpAddr, Duration)>,
    /// How long ago it was reported last.
    pub reported: Option<Duration>,
}

/// All memberships of an instance.
#[derive(Debug)]
pub struct Groups {
    /// By port slot.
    ports: Vec<PortOfGroups>,
    /// By port slot, VLAN and protocol.
    hosts: BTreeMap<(usize, u16, Family), Host>,
    /// Said, and not taken yet.
    said: VecDeque<Outgoing>,
    rng: Rng,
}

/// A port and what was heard there.
#[derive(Clone, Copy, Debug)]
struct PortOfGroups {
    speaker: Speaker,
    heeded: Heeded,
}

impl Default for Groups {
    /// A member of nothing, without ports.
    fn default() -> Self {
        Self::new([], 0)
    }
}

impl Groups {
    /// A member of nothing, on ports that speak as these, by slot. The same `seed` draws the same
    /// times.
    pub fn new(speakers: impl IntoIterator<Item = Speaker>, seed: u64) -> Self {
        let port = |speaker| PortOfGroups { speaker, heeded: Heeded::default() };
        Self {
            ports: speakers.into_iter().map(port).collect(),
            hosts: BTreeMap::new(),
            said: VecDeque::new(),
            rng: Rng::with_seed(seed),
        }
    }

    /// Wants these groups from now on, and no others.
    pub fn set(&mut self, wanted: Wanted, now: Duration) {
        let mut by_host: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for (Place { port, vlan, group }, interest) in wanted {
            by_host.entry((port, vlan, Family::of(group))).or_default().insert(group, interest);
        }
        for (at, host) in &mut self.hosts {
            host.set(&by_host.remove(at).unwrap_or_default(), now);
        }
        for (at, wanted) in by_host {
            let mut host = Host::new(at.2);
            host.set(&wanted, now);
            self.hosts.insert(at, host);
        }
    }

    /// The port with this slot, which may be the next one, speaks so from now on.
    pub fn set_speaker(&mut self, port: usize, speaker: Speaker) {
        match self.ports.get_mut(port) {
            Some(port) => port.speaker = speaker,
            None => self.ports.push(PortOfGroups { speaker, heeded: Heeded::default() }),
        }
    }

    /// Leaves all groups, and says so at once as often as is to be said.
    pub fn leave(&mut self, now: Duration) {
        self.hosts.values_mut().for_each(|host| host.leave(now));
    }

    /// A frame with IGMP or MLD came in by `port`.
    pub fn received(&mut self, port: usize, frame: &[u8], now: Duration) -> Outcome {
        let Some(heeded) = self.ports.get_mut(port).map(|port| &mut port.heeded) else {
            return Outcome::Ignored;
        };
        let heard = receive::receive(frame).and_then(|message| {
            let host = self.hosts.get_mut(&(port, message.vlan, message.family));
            match (message.heard, host) {
                (Heard::Query(_), None) => Err(Ignored::NotJoined),
                (heard, host) => Ok((heard, host)),
            }
        });
        match heard {
            Err(why) => {
                heeded.ignored[why as usize] += 1;
                match why {
                    Ignored::Malformed | Ignored::Checksum => Outcome::Malformed,
                    _ => Outcome::Ignored,
                }
            }
            Ok((Heard::Query(query), Some(host))) => {
                heeded.queries += 1;
                host.heard_query(&query, now, &mut self.rng);
                Outcome::Done
            }
            Ok((heard, host)) => {
                heeded.others += 1;
                if let (Heard::Report(group), Some(host)) = (heard, host) {
                    host.heard_report(group);
                }
                Outcome::Done
            }
        }
    }

    /// The next frame that is to be sent, one at a time: what there is no room for is taken later.
    pub fn next(&mut self, now: Duration) -> Option<Outgoing> {
        if self.said.is_empty() {
            for (&(port, vlan, _), host) in &mut self.hosts {
                if host.due().is_none_or(|due| due > now) {
                    continue;
                }
                let said = host.poll(now, &mut self.rng);
                if let Some(PortOfGroups { speaker, .. }) = self.ports.get(port) {
                    let frames = speaker.frames(vlan, said).into_iter();
                    self.said.extend(frames.map(|frame| Outgoing { port, frame }));
                }
            }
            self.hosts.retain(|_, host| !host.is_idle(now));
        }
        self.said.pop_front()
    }

    /// Whether nothing is joined and nothing is left to be said.
    pub fn is_quiet(&self) -> bool {
        self.said.is_empty() && self.hosts.values().all(|host| host.members().is_empty())
    }

    /// All that is shown of it.
    pub fn state(&self, now: Duration) -> State {
        let heeded = self.ports.iter().map(|port| port.heeded);
        State { rows: self.rows(now), heeded: heeded.collect() }
    }

    /// The groups that are joined, by port, VLAN and group.
    fn rows(&self, now: Duration) -> Vec<Row> {
        let rows = self.hosts.iter().flat_map(|(&(port, vlan, _), host)| {
            let joined = host.members().iter().filter(|(_, m)| !m.interest().is_none());
            joined.map(move |(&group, member)| {
                let querier = host.querier();
                let ago = |at: Duration| now.saturating_sub(at);
                Row {
                    place: Place { port, vlan, group },
                    sources: match member.interest() {
                        Interest::Include(sources) => Some(sources.iter().copied().collect()),
                        Interest::Exclude => None,
                    },
                    version: host.version(now),
                    query: querier.address.zip(querier.last_query.map(ago)),
                    reported: member.last_report.map(ago),
                }
            })
        });
        rows.collect()
    }
}
