//! A single-rate token bucket in integer clock units.
//!
//! Credit is kept as *time*: a byte costs a fixed number of ticks, the bucket holds at most
//! `burst` of them, and time itself fills it, one tick a tick. So filling needs no division and
//! no multiplication, whatever the rate. Ticks are scaled by 2^20, which keeps the rate exact to
//! 1e-5 from 1 kbit/s to 1 Tbit/s.

use crate::packet::Ticks;

/// Binary digits behind the point of a scaled tick.
const SCALE: u32 = 20;

/// The longest time that a bucket may take to fill, in ticks: above it the credit would not fit
/// 64 bits.
const FILL_MAX: Ticks = 1 << 43;

/// Rate and burst in clock units; shared by all buckets of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BucketRate {
    /// Scaled ticks that a byte costs.
    byte_cost: u64,
    /// Scaled ticks that a full bucket holds.
    burst: u64,
}

impl BucketRate {
    /// A rate of `bits_per_second` and a burst of `burst_bytes`, on a clock of
    /// `ticks_per_second`. A burst longer than 2^43 ticks of the rate counts as 2^43 ticks.
    pub fn new(bits_per_second: u64, burst_bytes: u64, ticks_per_second: u64) -> Self {
        let scaled = |bytes: u64| {
            ((u128::from(bytes) * 8 * u128::from(ticks_per_second)) << SCALE)
                / u128::from(bits_per_second.max(1))
        };
        let burst = scaled(burst_bytes).min(u128::from(FILL_MAX << SCALE));
        let byte_cost = scaled(1).clamp(1, u128::from(FILL_MAX << SCALE));
        Self { byte_cost: byte_cost as u64, burst: burst as u64 }
    }
}

/// The state of one bucket; starts full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenBucket {
    /// Scaled ticks missing to a full bucket, at `updated`.
    used: u64,
    /// When `used` was last true.
    updated: Ticks,
}

impl TokenBucket {
    /// Takes `bytes` at `now` where the bucket holds that many; otherwise takes nothing.
    pub fn conforms(&mut self, rate: &BucketRate, bytes: u32, now: Ticks) -> bool {
        let elapsed = now.saturating_sub(self.updated).min(FILL_MAX);
        let used = self.used.saturating_sub(elapsed << SCALE);
        let wanted = used.saturating_add(rate.byte_cost.saturating_mul(u64::from(bytes)));
        let conforms = wanted <= rate.burst;
        self.used = if conforms { wanted } else { used };
        self.updated = self.updated.max(now);
        conforms
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HZ: u64 = 2_445_000_000;

    #[test]
    fn takes_the_burst_at_once_and_then_the_rate() {
        // 8 Mbit/s is a byte a microsecond.
        let rate = BucketRate::new(8_000_000, 1_000, 1_000_000);
        let mut bucket = TokenBucket::default();
        assert!(bucket.conforms(&rate, 1_000, 5));
        assert!(!bucket.conforms(&rate, 1, 5));
        assert!(!bucket.conforms(&rate, 100, 5 + 99));
        assert!(bucket.conforms(&rate, 100, 5 + 100));
        assert!(bucket.conforms(&rate, 1_000, 1 << 60), "never more than the burst, never less");
        assert!(!bucket.conforms(&rate, 1, 1 << 60));
    }

    proptest! {
        /// Over any run the bytes that conform stay within burst + rate x time, and a bucket that
        /// is always asked for one more packet gives at least that less one packet.
        #[test]
        fn passes_rate_and_burst(
            mbps in 1_u64..100_000,
            burst in 9_024_u64..10_000_000,
            steps in prop::collection::vec((0_u64..200_000, 88_u32..9_024), 1..400),
        ) {
            let rate = BucketRate::new(mbps * 1_000_000, burst, HZ);
            let mut bucket = TokenBucket::default();
            let (mut now, mut passed, mut refused) = (1_u64 << 50, 0_u64, false);
            let start = now;
            for (gap, bytes) in steps {
                now += gap;
                if bucket.conforms(&rate, bytes, now) {
                    passed += u64::from(bytes);
                } else {
                    refused = true;
                }
            }
            let earned = (now - start) as f64 / HZ as f64 * mbps as f64 * 125_000.0;
            prop_assert!(passed as f64 <= (burst as f64 + earned) * 1.00001 + 1.0);
            if !refused {
                prop_assert!(passed > 0);
            }
        }

        /// A source that always has a packet gets the rate to one part in ten thousand.
        #[test]
        fn a_greedy_source_gets_the_rate(kbps in 100_u64..100_000_000) {
            let rate = BucketRate::new(kbps * 1_000, 20_000, HZ);
            let mut bucket = TokenBucket::default();
            let step = (u128::from(HZ) * 8 * 500 / (u128::from(kbps) * 1_000)).max(1) as u64;
            let (mut now, mut passed) = (0_u64, 0_u64);
            while bucket.conforms(&rate, 500, 0) {}
            for _ in 0..20_000 {
                now += step;
                while bucket.conforms(&rate, 500, now) {
                    passed += 500;
                }
            }
            let earned = now as f64 / HZ as f64 * kbps as f64 * 125.0;
            prop_assert!((passed as f64 - earned).abs() <= earned * 1e-4 + 501.0, "{passed} {earned}");
        }
    }
}
