//! Residence times: the workers' tick buckets -> quantiles in nanoseconds.

use hdrhistogram::Histogram;

use super::LatencyReport;
use crate::ledger::LatencyCounts;
use crate::packet::Ticks;

/// Significant decimal digits; the workers' buckets are coarser.
const DIGITS: u8 = 3;

/// The distribution that several workers' counts make together.
pub fn summary<'a>(
    counts: impl Iterator<Item = &'a LatencyCounts>,
    ticks_per_second: u64,
) -> LatencyReport {
    let Ok(mut histogram) = Histogram::<u64>::new(DIGITS) else {
        unreachable!("three digits are allowed");
    };
    let mut longest = 0;
    for counts in counts {
        for (top, count) in counts.counts() {
            let nanos = to_nanos(top, ticks_per_second);
            if histogram.record_n(nanos, count).is_err() {
                // It could not grow that far: counted all the same, as the longest it can hold.
                histogram.saturating_record_n(nanos, count);
            }
        }
        longest = longest.max(counts.longest());
    }
    let max = to_nanos(longest, ticks_per_second);
    // A bucket is known by its top, which may lie above the longest time in it.
    let quantile = |q| histogram.value_at_quantile(q).min(max);
    LatencyReport {
        count: histogram.len(),
        p50: quantile(0.5),
        p99: quantile(0.99),
        p999: quantile(0.999),
        max,
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

    /// A thousand times of 1 us to 1 ms, in ticks of half a nanosecond, shared by two workers:
    /// quantiles must lie at or above the true ones, by no more than a bucket.
    #[test]
    fn quantiles_are_close_and_never_too_small() {
        let workers = [LatencyCounts::default(), LatencyCounts::default()];
        for i in 1..=1_000_u64 {
            workers[i as usize % 2].record(i * 2_000, 1);
        }
        let summary = summary(workers.iter(), 2_000_000_000);
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
        assert_eq!(summary(std::iter::once(&none), 1_000_000_000), LatencyReport::default());
    }

    #[test]
    fn the_longest_is_exact_and_bounds_all() {
        let counts = LatencyCounts::default();
        counts.record(1_001, 1);
        let summary = summary(std::iter::once(&counts), 1_000_000_000);
        assert_eq!((summary.p50, summary.p999, summary.max), (1_001, 1_001, 1_001));
        let counts = LatencyCounts::default();
        counts.record(u64::MAX, 1);
        let summary = super::summary(std::iter::once(&counts), 1_000);
        assert_eq!(summary.max, u64::MAX);
    }

    #[test]
    fn ticks_become_nanoseconds_without_overflow() {
        assert_eq!(to_nanos(3, 2_000_000_000), 1);
        assert_eq!(to_nanos(u64::MAX, 1_000_000_000), u64::MAX);
        assert_eq!(to_nanos(u64::MAX, 1), u64::MAX);
    }
}
