//! What is asked for: numbers below a bound, evenly or by Zipf's law, and the walk round a sequence of
//! them that each way of a contest takes by itself.

use fastrand::Rng;

/// Packets of a sequence; whoever needs more begins again.
pub const SEQUENCE: usize = 1 << 20;

/// How numbers are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Draw {
    /// Each as often.
    Uniform,
    /// The nth most frequent 1/n times as often as the first.
    Zipf,
}

impl Draw {
    /// As the table says it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Zipf => "zipf",
        }
    }

    /// A sequence of `length` numbers below `count`; which are frequent is by chance, too.
    pub fn sequence(self, count: usize, length: usize, random: &mut Rng) -> Vec<u32> {
        if self == Self::Uniform {
            return (0..length).map(|_| random.u32(..count as u32)).collect();
        }
        let mut order: Vec<u32> = (0..count as u32).collect();
        random.shuffle(&mut order);
        let mut total = 0.0;
        let sums: Vec<f64> = (1..=count)
            .map(|rank| {
                total += 1.0 / rank as f64;
                total
            })
            .collect();
        let mut one = || {
            let point = random.f64() * total;
            order[sums.partition_point(|&sum| sum < point).min(count - 1)]
        };
        (0..length).map(|_| one()).collect()
    }
}

/// A place in a sequence, which goes round.
#[derive(Clone, Copy, Debug, Default)]
pub struct Walk {
    at: usize,
    /// How often it was at the end.
    pub rounds: u64,
}

impl Walk {
    /// Goes on by so many packets and hands out the places, part by part.
    pub fn go(
        &mut self,
        packets: u64,
        length: usize,
        mut each: impl FnMut(std::ops::Range<usize>, u64),
    ) {
        let mut left = packets as usize;
        while left > 0 {
            let part = left.min(length - self.at);
            each(self.at..self.at + part, self.rounds);
            left -= part;
            self.at += part;
            if self.at == length {
                (self.at, self.rounds) = (0, self.rounds + 1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zipf_draws_the_first_far_more_often() {
        let mut random = Rng::with_seed(1);
        let drawn = Draw::Zipf.sequence(1_000, 100_000, &mut random);
        let mut counts = vec![0_u32; 1_000];
        drawn.iter().for_each(|&number| counts[number as usize] += 1);
        counts.sort_unstable_by(|a, b| b.cmp(a));
        // The harmonic number of 1,000 is 7.49.
        assert!((12_800..13_900).contains(&counts[0]), "{}", counts[0]);
        assert!((1_200..1_500).contains(&counts[9]), "{}", counts[9]);
    }

    #[test]
    fn a_walk_goes_round() {
        let mut walk = Walk::default();
        let mut seen = vec![];
        walk.go(5, 4, |range, rounds| seen.extend(range.map(|at| (at, rounds))));
        walk.go(4, 4, |range, rounds| seen.extend(range.map(|at| (at, rounds))));
        assert_eq!(seen, [(0, 0), (1, 0), (2, 0), (3, 0), (0, 1), (1, 1), (2, 1), (3, 1), (0, 2)]);
    }
}
