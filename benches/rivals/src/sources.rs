//! Classify's table of sources beside `rte_hash`: every packet is of a known sender, bursts of 32.
//!
//! What is not equal: ours also notes when each source was heard last, which is how it gives up those
//! that have fallen silent, and can take a new one at any time; `rte_hash` only looks. Its keys are
//! 32 bytes (rule and address of either IP version, filled up to a length that DPDK compares by
//! vector), its places as many as ours. Senders that find their set of eight full are left out on both
//! sides.

use fastrand::Rng;
use punctual::dpdk::Eal;
use punctual::packet::{BURST, Ticks};
use punctual::stages::Flows;

use crate::draw::{Draw, SEQUENCE, Walk};
use crate::duel::{Answer, Contest, Names};
use crate::plan;
use crate::theirs::Hash;

/// The rule's id.
const RULE: u64 = 7;
/// Time passes, but no source falls silent.
const TICK: Ticks = 1;
/// 10.0.0.1, as the table has it.
const FIRST: u128 = 0xffff_0000_0000 | 10 << 24 | 1;

/// The contest.
pub struct Sources<'a> {
    flows: Flows,
    hash: Hash<'a>,
    asked: Vec<u128>,
    keys: Vec<[u64; 4]>,
    sources: usize,
    draw: Draw,
    now: Ticks,
    ours: Walk,
    theirs: Walk,
}

fn key_of(address: u128) -> [u64; 4] {
    [address as u64, (address >> 64) as u64, RULE, 0]
}

impl<'a> Sources<'a> {
    /// So many senders.
    pub fn new(eal: &'a Eal, sources: usize, draw: Draw) -> Self {
        let places = (sources * 2).next_power_of_two();
        let mut flows = Flows::new(&plan::of_sources(places));
        let mut hash =
            Hash::new::<[u64; 4]>(eal, "sources", places).expect("there is memory for rte_hash");
        let mut known = vec![];
        for address in (0..sources as u128).map(|number| FIRST + number) {
            if let Some(flow) = flows.of_source(RULE, address, 1, |_| false) {
                assert!(hash.add(key_of(address), flow.into()), "there is room for it");
                known.push(address);
            }
        }
        assert!(known.len() * 100 > sources * 95, "{} of {sources} find a place", known.len());
        let drawn = draw.sequence(known.len(), SEQUENCE, &mut Rng::with_seed(2));
        let asked: Vec<_> = drawn.iter().map(|&number| known[number as usize]).collect();
        let keys = asked.iter().copied().map(key_of).collect();
        let (ours, theirs) = Default::default();
        Self { flows, hash, asked, keys, sources, draw, now: 1, ours, theirs }
    }
}

impl Contest for Sources<'_> {
    fn names(&self) -> Names {
        Names {
            stage: "classify: sources",
            ours: "Flows::of_source",
            rival: "rte_hash_lookup_bulk_data",
            size: self.sources,
            drawn: self.draw.name(),
        }
    }

    fn ours(&mut self, packets: u64) -> Answer {
        let Self { flows, asked, now, ours, .. } = self;
        let mut answer = Answer::default();
        ours.go(packets, asked.len(), |part, _| {
            for burst in asked[part].chunks_exact(BURST) {
                *now += TICK;
                flows.warm(burst.iter().map(|&address| (RULE, address)));
                for &address in burst {
                    if let Some(flow) = flows.of_source(RULE, address, *now, |_| false) {
                        answer.count += 1;
                        answer.sum += u64::from(flow);
                    }
                }
            }
        });
        answer
    }

    fn theirs(&mut self, packets: u64) -> Answer {
        let mut answer = Answer::default();
        self.theirs.go(packets, self.keys.len(), |part, _| {
            let found = self.hash.find(&self.keys[part]);
            answer.count += found.count;
            answer.sum += found.sum;
        });
        answer
    }
}
