//! Packets that no rule took, as a worker shows them to management: a bounded ring of samples.
//!
//! One writer, one reader, neither ever waits. A sample stands for one packet or for several
//! alike it in time: its weight says for how many. Where the ring is full the weight is counted
//! as unseen, so that `weights + unseen` is every miss up to the last sample.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Counter;
use crate::packet::{DropReason, Ticks};
use crate::plan::Miss;
use crate::wire::Key;

/// Samples that the ring holds: what management takes in one tick.
pub const MISSES_MAX: usize = 256;
/// Misses that are all sampled where no more come in one instant.
const EXACT: u64 = 4;
/// Twice the mean distance between samples where more come.
const GAP: u64 = 16;
/// 64-bit words of a sample.
const WORDS: usize = 6;

/// A packet that no rule took: all that rules look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Missed {
    /// Slot of the port that received it.
    pub port: u8,
    /// Its destination, UDP port and VLAN.
    pub key: Key,
    /// Its IP source; an IPv4 one as `::ffff:a.b.c.d`.
    pub source: u128,
    /// Why.
    pub miss: Miss,
}

impl Miss {
    /// What it is dropped as.
    pub const fn reason(self) -> DropReason {
        match self {
            Self::NoRule => DropReason::NoRule,
            Self::Source => DropReason::Source,
        }
    }
}

/// The ring. worker: writes, management: reads.
#[derive(Debug)]
#[repr(align(64))]
pub struct MissRing {
    slots: Box<[[AtomicU64; WORDS]]>,
    /// Samples written since the start; the worker's.
    written: AtomicU64,
    /// Samples read since the start; management's.
    read: AtomicU64,
    /// Misses that no sample stands for, because the ring was full.
    pub unseen: Counter,
}

impl Default for MissRing {
    fn default() -> Self {
        let slots = std::iter::repeat_with(Default::default).take(MISSES_MAX).collect();
        let [written, read] = [AtomicU64::new(0), AtomicU64::new(0)];
        Self { slots, written, read, unseen: Counter::default() }
    }
}

impl MissRing {
    /// Worker: shows a packet that stands for `weight` of them.
    fn push(&self, missed: &Missed, weight: u64) {
        let written = self.written.load(Ordering::Relaxed);
        // Acquire: what was read from a slot was read before it is written anew.
        if written.wrapping_sub(self.read.load(Ordering::Acquire)) >= MISSES_MAX as u64 {
            self.unseen.add(weight);
            return;
        }
        let Missed { port, key, source, miss } = *missed;
        let rest = u64::from(key.udp_port)
            | u64::from(key.vlan) << 16
            | u64::from(port) << 32
            | u64::from(miss == Miss::Source) << 40;
        let [high, low] = [key.destination, source].map(|ip| [(ip >> 64) as u64, ip as u64]);
        let words = [high[0], high[1], low[0], low[1], rest, weight];
        let slot = &self.slots[written as usize % MISSES_MAX];
        slot.iter().zip(words).for_each(|(place, word)| place.store(word, Ordering::Relaxed));
        // Release: who sees the new count sees the words.
        self.written.store(written.wrapping_add(1), Ordering::Release);
    }

    /// Management: takes what has been shown, oldest first, with its weight.
    pub fn take(&self, mut each: impl FnMut(Missed, u64)) {
        let mut read = self.read.load(Ordering::Relaxed);
        let written = self.written.load(Ordering::Acquire);
        while read != written {
            let slot = &self.slots[read as usize % MISSES_MAX];
            let [a, b, c, d, rest, weight] =
                std::array::from_fn(|i| slot[i].load(Ordering::Relaxed));
            let ip = |high: u64, low: u64| u128::from(high) << 64 | u128::from(low);
            let missed = Missed {
                port: (rest >> 32) as u8,
                key: Key {
                    destination: ip(a, b),
                    udp_port: rest as u16,
                    vlan: (rest >> 16) as u16,
                },
                source: ip(c, d),
                miss: if rest >> 40 & 1 == 1 { Miss::Source } else { Miss::NoRule },
            };
            read = read.wrapping_add(1);
            self.read.store(read, Ordering::Release);
            each(missed, weight);
        }
    }
}

/// The worker's choice of what it shows: all misses where few come at once, else now and then one at
/// random, so that streams that come in turn are all seen and a flood costs little.
#[derive(Debug)]
pub struct MissSampler {
    /// The instant of the last miss.
    instant: Ticks,
    /// Misses of that instant.
    count: u64,
    /// Whether more than [`EXACT`] came in the instant before.
    flood: bool,
    /// Misses to let pass before the next sample.
    skip: u64,
    /// Misses since the last sample.
    waiting: u64,
    /// Draws the gaps: an xorshift generator (Marsaglia 2003), never 0.
    random: u64,
}

impl Default for MissSampler {
    fn default() -> Self {
        let random = 0x9e37_79b9_7f4a_7c15;
        Self { instant: 0, count: 0, flood: false, skip: 0, waiting: 0, random }
    }
}

impl MissSampler {
    /// Notes a miss at `now`, and shows it in `ring` where it is its turn.
    pub fn note(&mut self, missed: &Missed, now: Ticks, ring: &MissRing) {
        if now != self.instant {
            self.instant = now;
            self.flood = self.count > EXACT;
            // In a flood the gaps go on: who comes first in its instant is not preferred.
            self.skip = if self.flood { self.skip } else { 0 };
            self.count = 0;
        }
        self.count += 1;
        self.waiting += 1;
        if self.skip > 0 {
            self.skip -= 1;
            return;
        }
        if self.flood || self.count >= EXACT {
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
            self.skip = self.random % GAP;
        }
        ring.push(missed, std::mem::take(&mut self.waiting));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn missed(udp_port: u16) -> Missed {
        Missed {
            port: 31,
            key: Key { destination: u128::MAX - 5, udp_port, vlan: 4_094 },
            source: 7 << 100 | 9,
            miss: Miss::Source,
        }
    }

    fn taken(ring: &MissRing) -> Vec<(Missed, u64)> {
        let mut all = Vec::new();
        ring.take(|missed, weight| all.push((missed, weight)));
        all
    }

    #[test]
    fn what_is_shown_is_taken_once_and_whole() {
        let ring = MissRing::default();
        let other = Missed { miss: Miss::NoRule, port: 0, source: 1, ..missed(65_535) };
        ring.push(&missed(1), 1);
        ring.push(&other, u64::MAX);
        assert_eq!(taken(&ring), [(missed(1), 1), (other, u64::MAX)]);
        assert_eq!(taken(&ring), []);
    }

    #[test]
    fn a_full_ring_counts_and_overwrites_nothing() {
        let ring = MissRing::default();
        (0..300).for_each(|i| ring.push(&missed(i), 2));
        let all = taken(&ring);
        assert_eq!((all.len(), ring.unseen.get()), (MISSES_MAX, 2 * 44));
        assert_eq!((all[0].0, all[255].0), (missed(0), missed(255)));
        ring.push(&missed(301), 1);
        assert_eq!(taken(&ring), [(missed(301), 1)]);
    }

    #[test]
    fn few_misses_are_all_shown_and_many_stand_for_each_other() {
        let ring = MissRing::default();
        let mut sampler = MissSampler::default();
        for now in 1..=60 {
            (0..EXACT).for_each(|_| sampler.note(&missed(1), now, &ring));
        }
        let all = taken(&ring);
        assert_eq!(all.len(), 240);
        assert!(all.iter().all(|(_, weight)| *weight == 1));
        // Two streams in turn, one never first in its instant.
        let mut seen = HashMap::<u16, u64>::new();
        let mut samples = 0;
        for now in 100..1_100 {
            (0..32).for_each(|i| sampler.note(&missed(2 + i % 2), now, &ring));
            ring.take(|missed, weight| {
                samples += 1;
                *seen.entry(missed.key.udp_port).or_default() += weight;
            });
        }
        assert!((3_000..5_000).contains(&samples), "{samples}");
        let total: u64 = seen.values().sum();
        assert!((32_000 - GAP..=32_000).contains(&total), "{total}");
        for port in [2, 3] {
            let share = seen[&port];
            assert!((15_000..17_000).contains(&share), "{seen:?}");
        }
        assert_eq!(ring.unseen.get(), 0);
    }

    #[test]
    fn a_reader_beside_the_writer_sees_whole_samples() {
        let ring = MissRing::default();
        let count = 20_000;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for i in 0..count {
                    let both = u128::from(i) << 64 | u128::from(i);
                    let key = Key { destination: both, udp_port: i as u16, vlan: 0 };
                    ring.push(&Missed { port: 0, key, source: both, miss: Miss::NoRule }, i + 1);
                }
            });
            let mut seen = 0;
            let mut last = 0;
            while seen + ring.unseen.get() < count * (count + 1) / 2 {
                ring.take(|missed, weight| {
                    let i = weight - 1;
                    let both = u128::from(i) << 64 | u128::from(i);
                    assert_eq!((missed.key.destination, missed.source), (both, both));
                    assert_eq!(missed.key.udp_port, i as u16);
                    assert!(weight > last);
                    last = weight;
                    seen += weight;
                });
                std::thread::yield_now();
            }
        });
    }
}
