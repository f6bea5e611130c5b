//! Traffic of one port: which frame is on the wire when, from a seed or as it was captured.
//!
//! ```
//! use punctual::testkit::traffic::{Frame, Pattern, Stream, Traffic};
//!
//! let frames = vec![Frame { bytes: vec![0; 60].into(), rule: Some(0) }];
//! let stream = Stream {
//!     frames: vec![(0, 1)], rate: 672_000_000, pattern: Pattern::Constant, from: 0, until: 5_000,
//! };
//! let mut traffic = Traffic::new(frames);
//! traffic.stream(&stream, 7);
//! let times: Vec<_> = std::iter::from_fn(|| traffic.next()).map(|(at, _)| at).collect();
//! assert_eq!(times.len(), 5, "one a microsecond");
//! ```

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::rc::Rc;

use fastrand::Rng;

use super::line_time::{LineTime, wire_bits};
use crate::packet::Ticks;

/// A frame that traffic is made of.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Its bytes.
    pub bytes: Rc<[u8]>,
    /// Slot of the rule that takes it; none where none does.
    pub rule: Option<u32>,
}

/// How the frames of a stream lie in time; the mean is the stream's rate in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Evenly, in bits.
    Constant,
    /// Each by itself: exponential gaps.
    Poisson,
    /// 16 to 256 frames at ten times the rate, then a pause.
    Bursts,
    /// At common instants: all that is due for `period` nanoseconds, at `peak` bits a second.
    Together {
        /// Nanoseconds between two instants.
        period: u64,
        /// Bits a second.
        peak: u64,
    },
    /// At instants of its own, `period` nanoseconds apart on average, at `peak` bits a second.
    Apart {
        /// Nanoseconds between two instants, on average.
        period: u64,
        /// Bits a second.
        peak: u64,
    },
}

/// Frames at a rate.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Frames that are drawn from, and how often each compared with the others.
    pub frames: Vec<(u32, u32)>,
    /// Bits a second, frame overhead included.
    pub rate: u64,
    /// How they lie in time.
    pub pattern: Pattern,
    /// When it begins, in nanoseconds.
    pub from: Ticks,
    /// When it has ended.
    pub until: Ticks,
}

/// All traffic of one port, in the order of time.
#[derive(Debug)]
pub struct Traffic {
    frames: Vec<Frame>,
    feeds: Vec<Feed>,
    /// The next frame of each feed: when, which feed, which frame.
    next: BinaryHeap<Reverse<(Ticks, usize, u32)>>,
}

#[derive(Debug)]
enum Feed {
    Stream(Box<Running>),
    Capture(std::vec::IntoIter<(Ticks, u32)>),
}

impl Traffic {
    /// No traffic yet, of these frames.
    pub fn new(frames: Vec<Frame>) -> Self {
        Self { frames, feeds: Vec::new(), next: BinaryHeap::new() }
    }

    /// Adds a stream.
    pub fn stream(&mut self, stream: &Stream, seed: u64) {
        if stream.rate > 0 && !stream.frames.is_empty() {
            self.add(Feed::Stream(Box::new(Running::new(stream, &self.frames, seed))));
        }
    }

    /// Adds frames at given times, in their order.
    pub fn capture(&mut self, frames: Vec<(Ticks, u32)>) {
        self.add(Feed::Capture(frames.into_iter()));
    }

    /// When the next frame comes.
    pub fn due(&self) -> Option<Ticks> {
        self.next.peek().map(|Reverse((at, _, _))| *at)
    }

    /// Takes the next frame out: when it comes, and its number.
    #[allow(clippy::should_implement_trait, reason = "it is looked into between two calls")]
    pub fn next(&mut self) -> Option<(Ticks, u32)> {
        let mut first = self.next.peek_mut()?;
        let Reverse((at, feed, frame)) = *first;
        match self.feeds[feed].next() {
            Some((at, frame)) => *first = Reverse((at, feed, frame)),
            None => {
                std::collections::binary_heap::PeekMut::pop(first);
            }
        }
        Some((at, frame))
    }

    /// A frame by its number.
    pub fn frame(&self, number: u32) -> &Frame {
        &self.frames[number as usize]
    }

    fn add(&mut self, mut feed: Feed) {
        if let Some((at, frame)) = feed.next() {
            self.next.push(Reverse((at, self.feeds.len(), frame)));
            self.feeds.push(feed);
        }
    }
}

impl Feed {
    fn next(&mut self) -> Option<(Ticks, u32)> {
        match self {
            Self::Stream(stream) => stream.next(),
            Self::Capture(frames) => frames.next(),
        }
    }
}

/// A stream under way.
#[derive(Debug)]
struct Running {
    /// Frames with their bits on the wire, and the sum of weights up to each.
    frames: Vec<(u32, u64, u64)>,
    rate: u64,
    pattern: Pattern,
    until: Ticks,
    rng: Rng,
    /// When the next frame comes.
    at: LineTime,
    /// When the next burst would begin.
    burst: LineTime,
    /// What is left of this burst: frames, or bits where it is bounded by bits.
    left: u64,
}

impl Running {
    fn new(stream: &Stream, all: &[Frame], seed: u64) -> Self {
        let mut sum = 0;
        let mut rng = Rng::with_seed(seed);
        let frames: Vec<_> = stream
            .frames
            .iter()
            .map(|&(frame, weight)| {
                sum += u64::from(weight.max(1));
                (frame, wire_bits(all[frame as usize].bytes.len()), sum)
            })
            .collect();
        let mut at = LineTime::at(stream.from);
        // Streams that begin together do not march in step, but where they are meant to.
        let first = frames[0].1;
        match stream.pattern {
            Pattern::Together { .. } => {}
            Pattern::Apart { period, .. } => at.pass_nanos(rng.u64(0..period.max(1))),
            _ => at.pass(rng.u64(0..first), stream.rate),
        }
        let (rate, pattern, until) = (stream.rate, stream.pattern, stream.until);
        Self { frames, rate, pattern, until, rng, at, burst: at, left: 0 }
    }

    fn next(&mut self) -> Option<(Ticks, u32)> {
        let (frame, bits) = self.draw();
        match self.pattern {
            Pattern::Constant | Pattern::Poisson => {}
            Pattern::Bursts => {
                if self.left == 0 {
                    self.at = self.burst;
                    self.left = self.rng.u64(16..=256);
                }
                self.left -= 1;
                self.burst.pass(bits, self.rate);
            }
            Pattern::Together { period, .. } => self.fill_burst(bits, period, false)?,
            Pattern::Apart { period, .. } => self.fill_burst(bits, period, true)?,
        }
        let at = self.at.ceiling();
        if at >= self.until {
            return None;
        }
        match self.pattern {
            Pattern::Constant => self.at.pass(bits, self.rate),
            Pattern::Poisson => {
                let bits = exponential(&mut self.rng) * bits as f64;
                self.at.pass(bits as u64, self.rate);
            }
            Pattern::Bursts => self.at.pass(bits, self.rate.saturating_mul(10)),
            Pattern::Together { peak, .. } | Pattern::Apart { peak, .. } => {
                self.at.pass(bits, peak.max(1));
            }
        }
        Some((at, frame))
    }

    /// Takes a frame of `bits` from what is due in this burst, or from a later one's.
    fn fill_burst(&mut self, bits: u64, period: u64, apart: bool) -> Option<()> {
        while self.left < bits {
            let wait = if apart { self.rng.u64(1..=2 * period.max(1)) } else { period.max(1) };
            let due = u128::from(self.rate) * u128::from(wait) / 1_000_000_000;
            // What does not fill a frame is left for the next burst.
            self.left = self.left.saturating_add(u64::try_from(due).unwrap_or(u64::MAX));
            self.at.not_before(self.burst.ceiling());
            self.burst.pass_nanos(wait);
            if self.left < bits && self.burst.ceiling() > self.until {
                return None;
            }
        }
        self.left -= bits;
        Some(())
    }

    fn draw(&mut self) -> (u32, u64) {
        let sum = self.frames.last().map_or(1, |&(_, _, sum)| sum);
        let drawn = self.rng.u64(0..sum);
        let place = self.frames.partition_point(|&(_, _, sum)| sum <= drawn);
        let (frame, bits, _) = self.frames[place];
        (frame, bits)
    }
}

/// An exponential random number of mean 1. Only of additions, products and quotients, so that it
/// is the same number on every machine.
fn exponential(rng: &mut Rng) -> f64 {
    // A uniform number in (0, 1], as a mantissa from 1 to 2 and an exponent.
    let bits = rng.u64(..) >> 11 | 1;
    let exponent = bits.ilog2();
    let mantissa = bits as f64 / (1_u64 << exponent) as f64;
    // ln(m) = 2 artanh((m - 1) / (m + 1)); the argument is below 1/3, the error below 1e-9.
    let z = (mantissa - 1.0) / (mantissa + 1.0);
    let square = z * z;
    let mut series = 0.0;
    for odd in (0..9).rev() {
        series = series * square + 1.0 / f64::from(2 * odd + 1);
    }
    f64::from(53 - exponent) * std::f64::consts::LN_2 - 2.0 * z * series
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn frames() -> Vec<Frame> {
        [60, 590, 1_414].map(|len| Frame { bytes: vec![0; len].into(), rule: Some(0) }).into()
    }

    fn stream(pattern: Pattern) -> Stream {
        let frames = vec![(0, 7), (1, 4), (2, 1)];
        Stream { frames, rate: 1_000_000_000, pattern, from: 5, until: 5 + 200 * MS }
    }

    fn play(pattern: Pattern, seed: u64) -> Vec<(u64, u32)> {
        let mut traffic = Traffic::new(frames());
        traffic.stream(&stream(pattern), seed);
        std::iter::from_fn(|| traffic.next()).collect()
    }

    const ALL: [Pattern; 5] = [
        Pattern::Constant,
        Pattern::Poisson,
        Pattern::Bursts,
        Pattern::Together { period: MS, peak: 10_000_000_000 },
        Pattern::Apart { period: MS, peak: 10_000_000_000 },
    ];

    #[test]
    fn every_pattern_keeps_its_rate_and_its_order() {
        for pattern in ALL {
            let played = play(pattern, 3);
            let bits: u64 =
                played.iter().map(|&(_, f)| wire_bits(frames()[f as usize].bytes.len())).sum();
            let expected = 200 * MS;
            assert!(bits.abs_diff(expected) < expected / 20, "{pattern:?}: {bits}");
            assert!(played.is_sorted_by_key(|&(at, _)| at), "{pattern:?}");
            assert!(played.iter().all(|&(at, _)| (5..5 + 200 * MS).contains(&at)));
        }
    }

    #[test]
    fn a_seed_is_its_traffic() {
        for pattern in ALL {
            assert_eq!(play(pattern, 3), play(pattern, 3));
            assert_ne!(play(pattern, 3), play(pattern, 4), "{pattern:?}");
        }
    }

    #[test]
    fn bursts_are_bursts() {
        let gaps = |pattern| {
            let played = play(pattern, 9);
            let gaps: Vec<_> = played.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
            let longest = gaps.iter().copied().max().unwrap();
            (longest, gaps.iter().filter(|gap| **gap < 1_200).count() * 100 / gaps.len())
        };
        // At 1 Gbit/s a frame takes 670 ns to 11.5 us; at the peak a tenth.
        assert!(gaps(Pattern::Constant).0 < 12_000);
        for pattern in &ALL[2..] {
            let (longest, close) = gaps(*pattern);
            assert!(longest > 50_000 && close > 90, "{pattern:?}: {longest} {close}");
        }
    }

    #[test]
    fn exponential_gaps_have_their_mean_and_their_spread() {
        let mut rng = Rng::with_seed(1);
        let drawn: Vec<_> = (0..100_000).map(|_| exponential(&mut rng)).collect();
        let mean = drawn.iter().sum::<f64>() / 1e5;
        let square = drawn.iter().map(|x| x * x).sum::<f64>() / 1e5;
        assert!((mean - 1.0).abs() < 0.02 && (square - 2.0).abs() < 0.1, "{mean} {square}");
        assert!(drawn.iter().all(|&x| x >= 0.0));
    }

    #[test]
    fn feeds_are_merged_by_time() {
        let mut traffic = Traffic::new(frames());
        traffic.capture(vec![(10, 0), (30, 1)]);
        traffic.capture(vec![(20, 2), (20, 1)]);
        assert_eq!(traffic.due(), Some(10));
        let all: Vec<_> = std::iter::from_fn(|| traffic.next()).collect();
        assert_eq!(all, [(10, 0), (20, 2), (20, 1), (30, 1)]);
        assert_eq!(traffic.due(), None);
    }

    #[test]
    fn a_rate_next_to_nothing_ends() {
        for pattern in ALL {
            let mut traffic = Traffic::new(frames());
            traffic.stream(&Stream { rate: 1, ..stream(pattern) }, 1);
            assert!(std::iter::from_fn(|| traffic.next()).count() <= 1);
        }
    }
}
