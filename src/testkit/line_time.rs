//! Time on a line of so many bits a second, exact to a fraction of a nanosecond: no drift.

use crate::packet::{FRAME_OVERHEAD, Ticks};

/// An instant that moves on by bits at a rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineTime {
    nanos: Ticks,
    /// Billionths of a bit behind the nanosecond; less than the rate.
    rest: u64,
}

impl LineTime {
    /// The instant `nanos`.
    pub fn at(nanos: Ticks) -> Self {
        Self { nanos, rest: 0 }
    }

    /// Moves on by `bits` at `rate` bits a second, which is not 0.
    pub fn pass(&mut self, bits: u64, rate: u64) {
        let total = u128::from(bits) * 1_000_000_000 + u128::from(self.rest);
        // A product of 64 bits at most is divided as such: it is much faster.
        let (nanos, rest) = match u64::try_from(total) {
            Ok(total) => (total / rate, total % rate),
            Err(_) => {
                let nanos = u64::try_from(total / u128::from(rate)).unwrap_or(u64::MAX);
                (nanos, (total % u128::from(rate)) as u64)
            }
        };
        self.nanos = self.nanos.saturating_add(nanos);
        self.rest = rest;
    }

    /// Moves on to `nanos`, where that is not past.
    pub fn not_before(&mut self, nanos: Ticks) {
        if nanos > self.nanos {
            *self = Self::at(nanos);
        }
    }

    /// Moves on by `nanos`.
    pub fn pass_nanos(&mut self, nanos: Ticks) {
        self.nanos = self.nanos.saturating_add(nanos);
    }

    /// The first whole nanosecond at or behind it.
    pub fn ceiling(self) -> Ticks {
        self.nanos.saturating_add(u64::from(self.rest > 0))
    }
}

/// Bits that a frame of `len` bytes takes on the wire.
pub fn wire_bits(len: usize) -> u64 {
    (len as u64 + u64::from(FRAME_OVERHEAD)) * 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_billion_thirds_are_whole() {
        let mut time = LineTime::at(7);
        (0..3_000).for_each(|_| time.pass(1, 3_000_000_000));
        assert_eq!(time, LineTime::at(1_007));
        time.pass(1, 3_000_000_000);
        assert_eq!(time.ceiling(), 1_008);
        time.pass(u64::MAX, 1);
        assert_eq!(time.ceiling(), u64::MAX, "it does not wrap");
    }

    #[test]
    fn a_small_frame_takes_67_2_ns_at_10_gbit() {
        let mut time = LineTime::default();
        (0..10).for_each(|_| time.pass(wire_bits(60), 10_000_000_000));
        assert_eq!(time.ceiling(), 672);
    }
}
