//! Police's token bucket beside `rte_meter`: the same packets at the same times, a bucket a flow, half
//! of the bytes over the rate.
//!
//! A single-rate three-colour marker (RFC 2697) without an excess burst is a token bucket: green is
//! what conforms. Its library counts in whole periods of a byte; so do the times here, and both must
//! let the very same packets pass. `rte_meter` keeps 24 bytes a flow, ours 16.

use fastrand::Rng;
use punctual::dpdk::Eal;
use punctual::packet::{BURST, Ticks};
use punctual::sched::{BucketRate, TokenBucket};

use crate::draw::{Draw, SEQUENCE, Walk};
use crate::duel::{Answer, Contest, Names};
use crate::theirs::{Meters, Offered};

/// A rate at which a byte takes more than 100 ticks of any clock of today: below, the library rounds.
const BYTES_PER_SECOND: u64 = 1_000_000;
/// Bytes.
const BURST_BYTES: u64 = 4096;
/// Lengths of packets, overhead counted.
const LENGTHS: [u32; 4] = [88, 598, 88, 1542];

/// The contest.
pub struct Police<'a> {
    rate: BucketRate,
    buckets: Vec<TokenBucket>,
    meters: Meters<'a>,
    /// When each burst of the sequence comes, from its beginning.
    times: Vec<Ticks>,
    /// How long the sequence takes.
    span: Ticks,
    ours: Walk,
    theirs: Walk,
}

impl<'a> Police<'a> {
    /// So many flows.
    pub fn new(eal: &'a Eal, flows: usize) -> Self {
        let mut random = Rng::with_seed(3);
        let drawn = Draw::Uniform.sequence(flows, SEQUENCE, &mut random);
        let length = |random: &mut Rng| LENGTHS[random.usize(..LENGTHS.len())];
        let offered = drawn.into_iter().map(|flow| Offered { flow, bytes: length(&mut random) });
        let meters = Meters::new(eal, flows, (BYTES_PER_SECOND, BURST_BYTES), offered.collect())
            .expect("rte_meter takes the rate");
        // A byte in a period, whatever a second is.
        let rate = BucketRate::new(8, BURST_BYTES, meters.period);
        // All flows together earn half of what is offered.
        let (mut bytes, mut times) = (0, vec![]);
        let earned = |bytes: u64| bytes / 2 / flows as u64 * meters.period;
        for burst in meters.offered().chunks_exact(BURST) {
            bytes += burst.iter().map(|one| u64::from(one.bytes)).sum::<u64>();
            times.push(earned(bytes));
        }
        let span = earned(bytes);
        let (ours, theirs) = Default::default();
        Self {
            rate,
            buckets: vec![TokenBucket::default(); flows],
            meters,
            times,
            span,
            ours,
            theirs,
        }
    }
}

impl Contest for Police<'_> {
    fn names(&self) -> Names {
        Names {
            stage: "police",
            ours: "TokenBucket",
            rival: "rte_meter_srtcm_color_blind_check",
            size: self.buckets.len(),
            drawn: Draw::Uniform.name(),
        }
    }

    fn ours(&mut self, packets: u64) -> Answer {
        let Self { rate, buckets, meters, times, span, ours, .. } = self;
        let (mut answer, offered) = (Answer::default(), meters.offered());
        ours.go(packets, offered.len(), |part, rounds| {
            let times = &times[part.start / BURST..];
            for (burst, time) in offered[part].chunks_exact(BURST).zip(times) {
                let now = rounds * *span + time;
                for one in burst {
                    if buckets[one.flow as usize].conforms(rate, one.bytes, now) {
                        answer.count += 1;
                        answer.sum += u64::from(one.bytes);
                    }
                }
            }
        });
        answer
    }

    fn theirs(&mut self, packets: u64) -> Answer {
        let Self { meters, times, span, theirs, .. } = self;
        let mut answer = Answer::default();
        theirs.go(packets, meters.offered().len(), |part, rounds| {
            let times = &times[part.start / BURST..];
            let passed = meters.check(part, times, rounds * *span);
            answer.count += passed.count;
            answer.sum += passed.sum;
        });
        answer
    }
}
