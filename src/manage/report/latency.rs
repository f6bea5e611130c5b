//! Residence times: the workers' tick buckets -> a distribution and its quantiles in nanoseconds.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::LatencyReport;
use crate::ledger::LatencyCounts;
use crate::packet::Ticks;

/// Significant decimal digits; the workers' buckets are coarser.
const DIGITS: u8 = 3;

/// A distribution of times, as it was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Distribution {
    /// Buckets that counted something, the shortest times first: the longest time in it, in
    /// nanoseconds, at most an eighth above the others; and how many.
    pub buckets: Vec<(u64, u64)>,
    /// The longest time, exact, in nanoseconds.
    pub max: u64,
}

impl Distribution {
    /// What several workers' counts make together.
    pub fn of<'a>(counts: impl Iterator<Item = &'a LatencyCounts>, ticks_per_second: u64) -> Self {
        let mut buckets = BTreeMap::new();
        let mut longest = 0;
        for counts in counts {
            for (top, count) in counts.counts() {
                *buckets.entry(to_nanos(top, ticks_per_second)).or_default() += count;
            }
            longest = longest.max(counts.longest());
        }
        Self { buckets: buckets.into_iter().collect(), max: to_nanos(longest, ticks_per_second) }
    }

    /// How many were measured.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| count).sum()
    }

    /// As an HDR histogram of nanoseconds. A bucket is known by its top, which may lie above the
    /// longest time: no value is above that.
    pub fn histogram(&self) -> Histogram<u64> {
        let Ok(mut histogram) = Histogram::<u64>::new(DIGITS) else {
            unreachable!("three digits are allowed");
        };
        for &(top, count) in &self.buckets {
            let nanos = top.min(self.max);
            if histogram.record_n(nanos, count).is_err() {
                // It could not grow that far: counted all the same, as the longest it can hold.
                histogram.saturating_record_n(nanos, count);
            }
        }
        histogram
    }

    /// Its quantiles.
    pub fn summary(&self) -> LatencyReport {
        let histogram = self.histogram();
        // Three digits are a little coarser than the longest time.
        let quantile = |q| histogram.value_at_quantile(q).min(self.max);
        LatencyReport {
            count: histogram.len(),
            p50: quantile(0.5),
            p99: quantile(0.99),
            p999: quantile(0.999),
            max: self.max,
        }
    }
}

/// Ticks as nanoseconds, rounded down.
pub fn to_nanos(ticks: Ticks, ticks_per_second: u64) -> u64 {
    let nanos = u128::from(ticks) * 1_000_000_000 / u128::from(ticks_per_second.max(1));
    u64::try_from(nanos).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Residence;

    /// A thousand times of 1 us to 1 ms, in ticks of half a nanosecond, shared by two workers:
    /// quantiles must lie at or above the true ones, by no more than a bucket.
    #[test]
    fn quantiles_are_close_and_never_too_small() {
        let workers = [LatencyCounts::default(), LatencyCounts::default()];
        for i in 1..=1_000_u64 {
            workers[i as usize % 2].record(Residence::of(i * 2_000), 1);
        }
        let summary = Distribution::of(workers.iter(), 2_000_000_000).summary();
        assert_eq!(summary.count, 1_000);
        assert_eq!(summary.max, 1_000_000);
        for (found, exact) in
            [(summary.p50, 500_000), (summary.p99, 990_000), (summary.p999, 999_000)]
        {
            assert!((exact..=exact + exact / 8).contains(&found), "{found} for {exact}");
        }
    }

    #[test]
    fn nothing_measured_is_all_zero() {
        let none = LatencyCounts::default();
        let summary = Distribution::of(std::iter::once(&none), 1_000_000_000).summary();
        assert_eq!(summary, LatencyReport::default());
    }

    #[test]
    fn the_longest_is_exact_and_bounds_all() {
        let counts = LatencyCounts::default();
        counts.record(Residence::of(1_001), 1);
        let summary = Distribution::of(std::iter::once(&counts), 1_000_000_000).summary();
        assert_eq!((summary.p50, summary.p999, summary.max), (1_001, 1_001, 1_001));
        let counts = LatencyCounts::default();
        counts.record(Residence::of(u64::MAX), 1);
        let summary = Distribution::of(std::iter::once(&counts), 1_000).summary();
        assert_eq!(summary.max, u64::MAX);
    }

    #[test]
    fn ticks_become_nanoseconds_without_overflow() {
        assert_eq!(to_nanos(3, 2_000_000_000), 1);
        assert_eq!(to_nanos(u64::MAX, 1_000_000_000), u64::MAX);
        assert_eq!(to_nanos(u64::MAX, 1), u64::MAX);
    }
}
