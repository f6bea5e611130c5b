//! Residence times on the worker: a fixed log-linear array, so that recording is one addition.
//!
//! Eight buckets an octave from 64 ticks up: a value is known to 12 % or better. Management turns
//! them into an HDR histogram in nanoseconds.

use super::Counter;
use crate::packet::Ticks;

/// Buckets an octave, as a power of two.
const SUB: u32 = 3;
/// The shortest time that is told apart, as a power of two of ticks.
const FLOOR: u32 = 6;
/// The longest, as a power of two of ticks; what is longer counts as this.
const CEILING: u32 = 40;

/// Buckets in all.
pub const BUCKETS: usize = (((CEILING - FLOOR) << SUB) + 2) as usize;

/// The bucket that counts `ticks`.
pub fn bucket_of(ticks: Ticks) -> usize {
    if ticks < 1 << FLOOR {
        return 0;
    }
    let octave = ticks.ilog2();
    if octave >= CEILING {
        return BUCKETS - 1;
    }
    let sub = (ticks >> (octave - SUB)) & ((1 << SUB) - 1);
    1 + (((octave - FLOOR) << SUB) as usize) + sub as usize
}

/// The greatest number of ticks that `bucket` counts.
pub fn bucket_top(bucket: usize) -> Ticks {
    let Some(bucket) = (bucket as u32).checked_sub(1) else {
        return (1 << FLOOR) - 1;
    };
    let (octave, sub) = (FLOOR + (bucket >> SUB), bucket & ((1 << SUB) - 1));
    (1 << octave) + (u64::from(sub + 1) << (octave - SUB)) - 1
}

/// A residence time, and the bucket that counts it: copies that arrived together and are sent
/// together share it.
#[derive(Clone, Copy, Debug)]
pub struct Residence {
    ticks: Ticks,
    bucket: usize,
}

impl Residence {
    /// A residence time of so many ticks.
    #[inline(always)]
    pub fn of(ticks: Ticks) -> Self {
        Self { ticks, bucket: bucket_of(ticks) }
    }

    /// So many ticks.
    #[inline(always)]
    pub fn ticks(&self) -> Ticks {
        self.ticks
    }
}

/// Counts by residence time; one writer.
#[derive(Debug)]
pub struct LatencyCounts {
    buckets: Box<[Counter; BUCKETS]>,
    longest: Counter,
}

impl Default for LatencyCounts {
    fn default() -> Self {
        let buckets = Box::new(std::array::from_fn(|_| Counter::default()));
        Self { buckets, longest: Counter::default() }
    }
}

impl LatencyCounts {
    /// Begins anew; only by the owning worker.
    pub fn clear(&self) {
        self.buckets.iter().chain([&self.longest]).for_each(|counter| counter.set(0));
    }

    /// Counts `count` copies that took so long each.
    #[inline(always)]
    pub fn record(&self, residence: Residence, count: u64) {
        self.buckets[residence.bucket].add(count);
        self.longest.raise_to(residence.ticks);
    }

    /// Each bucket that counted something: its top in ticks, and how often.
    pub fn counts(&self) -> impl Iterator<Item = (Ticks, u64)> + '_ {
        let counts = self.buckets.iter().enumerate().map(|(i, c)| (bucket_top(i), c.get()));
        counts.filter(|&(_, count)| count > 0)
    }

    /// The longest residence time, in ticks.
    pub fn longest(&self) -> Ticks {
        self.longest.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_bucket_holds_its_values_to_an_eighth(ticks in 0_u64..1 << CEILING) {
            let bucket = bucket_of(ticks);
            prop_assert!(bucket < BUCKETS);
            prop_assert!(ticks <= bucket_top(bucket));
            if bucket > 0 {
                prop_assert!(ticks > bucket_top(bucket - 1));
                prop_assert!(bucket_top(bucket) - ticks <= ticks / 8);
            }
        }
    }

    #[test]
    fn the_longest_times_share_the_last_bucket() {
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
        assert_eq!(bucket_of((1 << CEILING) - 1), BUCKETS - 2);
    }
}
