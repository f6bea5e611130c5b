//! What no rule takes: the packets that miss most, out of a bounded memory.
//!
//! The space-saving algorithm (Metwally, Agrawal, El Abbadi, "Efficient computation of frequent and
//! top-k elements in data streams", ICDT 2005): so many places; who finds none takes that of the
//! least, and its count with it, as a possible error. A count is never too small, and too great by
//! at most its error, which is at most the sum of all counts divided by the places. Who makes more
//! than that share of all misses has a place for certain.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::nearest::{Fields, Nearest, nearest};
use crate::config::Config;
use crate::ledger::{MissRing, Missed};

/// Packets, told apart by all that rules look at, that are remembered.
pub const PLACES: usize = 64;

/// One of those that miss most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frequent {
    /// The packet.
    pub missed: Missed,
    /// How many there were, at most.
    pub count: u64,
    /// Of `count`: what may have been others.
    pub error: u64,
}

/// Those that miss most, and how many of all there were.
#[derive(Clone, Debug, Default)]
pub struct Unmatched {
    places: Vec<Frequent>,
}

impl Unmatched {
    /// Takes what a worker has shown since the last call; once a tick. Returns whether it has.
    pub fn take(&mut self, ring: &MissRing) -> bool {
        let mut some = false;
        ring.take(|missed, weight| {
            some = true;
            self.add(missed, weight);
        });
        some
    }

    /// Counts `weight` packets.
    pub fn add(&mut self, missed: Missed, weight: u64) {
        if let Some(known) = self.places.iter_mut().find(|place| place.missed == missed) {
            known.count += weight;
        } else if self.places.len() < PLACES {
            self.places.push(Frequent { missed, count: weight, error: 0 });
        } else if let Some(least) = self.places.iter_mut().min_by_key(|place| place.count) {
            *least = Frequent { missed, count: least.count + weight, error: least.count };
        }
    }

    /// The places, the greatest count first; each with the rule that is nearest by now.
    pub fn report(&self, config: &Config) -> Vec<UnmatchedReport> {
        let mut places = self.places.clone();
        // Stable: of equals, who came first.
        places.sort_by_key(|place| std::cmp::Reverse(place.count));
        places.iter().map(|place| place.report(config)).collect()
    }
}

impl Frequent {
    fn report(&self, config: &Config) -> UnmatchedReport {
        let Missed { port, key, source, miss } = self.missed;
        let [source, destination] = [source, key.destination].map(address);
        let fields = Fields {
            port: port.into(),
            vlan: key.vlan,
            source,
            destination,
            udp_port: key.udp_port,
        };
        UnmatchedReport {
            port: config.ports.get(fields.port).map_or_else(String::new, |port| port.name.clone()),
            vlan: key.vlan,
            source,
            destination,
            udp_port: key.udp_port,
            reason: miss.reason().name().into(),
            count: self.count,
            count_error: self.error,
            nearest: nearest(config, &fields),
        }
    }
}

/// An address as a worker has it; an IPv4 one is mapped.
fn address(bits: u128) -> IpAddr {
    IpAddr::from(bits.to_be_bytes()).to_canonical()
}

/// Packets that no rule takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnmatchedReport {
    /// The port that received them.
    pub port: String,
    /// VLAN id of the outermost tag; 0 for none.
    pub vlan: u16,
    /// Where they come from.
    pub source: IpAddr,
    /// Where they go to.
    pub destination: IpAddr,
    /// Their UDP port.
    pub udp_port: u16,
    /// What they were dropped as: `no_rule` or `source`.
    pub reason: String,
    /// How many there were, as far as samples tell.
    pub count: u64,
    /// Of `count`: what may have been others, that were forgotten.
    pub count_error: u64,
    /// The rule that they just miss, and by what; null where there are no rules.
    pub nearest: Option<Nearest>,
}

impl UnmatchedReport {
    /// Whether both are of the same packets.
    pub fn is_of(&self, other: &Self) -> bool {
        let key = |row: &Self| (row.vlan, row.source, row.destination, row.udp_port);
        key(self) == key(other) && self.port == other.port && self.reason == other.reason
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manage::fixture;
    use crate::plan::Miss;
    use crate::wire::Key;

    fn missed(number: u16) -> Missed {
        let destination = std::net::Ipv4Addr::new(239, 1, 0, 9).to_ipv6_mapped().to_bits();
        let key = Key { destination, udp_port: number, vlan: 200 };
        Missed { port: 0, key, source: 0xffff_0a09_0101, miss: Miss::NoRule }
    }

    fn counts(unmatched: &Unmatched) -> Vec<(u16, u64, u64)> {
        let report = unmatched.report(&fixture::config());
        report.iter().map(|row| (row.udp_port, row.count, row.count_error)).collect()
    }

    #[test]
    fn as_many_as_there_are_places_are_exact() {
        let mut unmatched = Unmatched::default();
        for round in 1..=3 {
            (0..64).for_each(|number| unmatched.add(missed(number), round));
        }
        unmatched.add(missed(7), 1);
        let counts = counts(&unmatched);
        assert_eq!(counts.len(), PLACES);
        assert_eq!(counts[0], (7, 7, 0));
        assert!(counts[1..].iter().all(|(_, count, error)| (*count, *error) == (6, 0)));
    }

    /// Against exact counts: no count is too small, none too great by more than its error, and
    /// who makes more than a 64th of all has a place.
    #[test]
    fn those_that_miss_most_are_found_among_many() {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut unmatched = Unmatched::default();
        let mut exact = [0_u64; 1_000];
        for _ in 0..50_000 {
            // Few are frequent, many are rare.
            let number = rng.u16(..1_000).min(rng.u16(..1_000)).min(rng.u16(..1_000));
            let number = if rng.u8(..) < 64 { number % 8 } else { number };
            let weight = rng.u64(1..4);
            exact[usize::from(number)] += weight;
            unmatched.add(missed(number), weight);
        }
        let total: u64 = exact.iter().sum();
        let counts = counts(&unmatched);
        assert_eq!(counts.iter().map(|(_, count, _)| count).sum::<u64>(), total);
        for (number, count, error) in &counts {
            let true_count = exact[usize::from(*number)];
            assert!(*count >= true_count && count - error <= true_count, "{number}");
            assert!(*error <= total / PLACES as u64);
        }
        let frequent = (0..1_000_u16).filter(|n| exact[usize::from(*n)] > total / PLACES as u64);
        let frequent: Vec<_> = frequent.collect();
        assert_eq!(frequent, [0, 1, 2, 3, 4, 5, 6, 7]);
        let placed: Vec<_> = counts.iter().map(|(number, ..)| *number).collect();
        assert!(frequent.iter().all(|number| placed.contains(number)), "{placed:?}");
    }

    #[test]
    fn each_is_told_with_the_rule_that_it_just_misses() {
        let mut unmatched = Unmatched::default();
        unmatched.add(missed(5_001), 3);
        let report = unmatched.report(&fixture::config());
        let nearest = report[0].nearest.clone().unwrap();
        assert_eq!((report[0].port.as_str(), nearest.rule.as_str()), ("in", "itch"));
        assert_eq!(nearest.why(), "VLAN is 200, not untagged");
        assert_eq!(report[0].source, IpAddr::from([10, 9, 1, 1]));
        let mut config = fixture::config();
        config.rules.clear();
        assert_eq!(unmatched.report(&config)[0].nearest, None);
    }
}
