//! Classify's match table beside `rte_hash`: the same keys, bursts of 32, one in 16 of them unknown.
//!
//! What is not equal: ours gives a rule by way of a list of candidates, asked for the input port;
//! `rte_hash` gives a word that was put there. `rte_hash` has as many places as our table, a hash and a
//! comparison made for keys of a word, and no lock.

use fastrand::Rng;
use punctual::dpdk::Eal;
use punctual::packet::{BURST, NarrowKey};
use punctual::plan::{Match, Plan};
use punctual::wire::Key;

use crate::draw::{Draw, SEQUENCE, Walk};
use crate::duel::{Answer, Contest, Names};
use crate::plan;
use crate::theirs::Hash;

/// One packet in so many is of no row.
const MISSES: usize = 16;
/// Behind the UDP ports of all rows.
const UNKNOWN_PORT: u16 = 6000;

/// The contest.
pub struct Rows<'a> {
    plan: Plan,
    hash: Hash<'a>,
    asked: Vec<NarrowKey>,
    rows: usize,
    draw: Draw,
    ours: Walk,
    theirs: Walk,
}

/// The key of the nth row, or of one with this much added to its UDP port.
fn key_of(row: usize, more: u16) -> NarrowKey {
    let (group, port) = (row / 4, row % 4);
    let destination = u128::from(0xffff_ef00_0000 + group as u64);
    let key = Key { destination, udp_port: 5000 + port as u16 + more, vlan: 0 };
    key.narrow().expect("the key of an IPv4 group")
}

/// What a match is as one word.
fn word_of(found: Match) -> u64 {
    u64::from(found.rule) << 32 | u64::from(found.row)
}

impl<'a> Rows<'a> {
    /// So many rows, a multiple of 1,024.
    pub fn new(eal: &'a Eal, rows: usize, draw: Draw) -> Self {
        let plan = plan::of_rows(rows);
        let mut hash = Hash::new::<u64>(eal, "rows", (rows * 2).next_power_of_two())
            .expect("there is memory for rte_hash");
        for key in (0..rows).map(|row| key_of(row, 0)) {
            let found = plan.rows.find(&Key::from_narrow(key), 0, 0).expect("the row is there");
            assert!(hash.add(key, word_of(found)), "there is room for it");
        }
        let mut random = Rng::with_seed(1);
        let drawn = draw.sequence(rows, SEQUENCE, &mut random);
        let unknown = UNKNOWN_PORT - 5000;
        let asked = drawn.iter().enumerate().map(|(number, &row)| {
            let misses = number % MISSES == number / MISSES % MISSES;
            key_of(row as usize, if misses { unknown } else { 0 })
        });
        let (ours, theirs) = Default::default();
        Self { asked: asked.collect(), plan, hash, rows, draw, ours, theirs }
    }
}

impl Contest for Rows<'_> {
    fn names(&self) -> Names {
        Names {
            stage: "classify: rows",
            ours: "RowTable",
            rival: "rte_hash_lookup_bulk_data",
            size: self.rows,
            drawn: self.draw.name(),
        }
    }

    fn ours(&mut self, packets: u64) -> Answer {
        let (mut answer, table) = (Answer::default(), &self.plan.rows);
        self.ours.go(packets, self.asked.len(), |part, _| {
            for burst in self.asked[part].chunks_exact(BURST) {
                burst.iter().for_each(|&key| table.warm(key));
                let rows = table.at_once();
                for &key in burst {
                    let row = rows.row(key);
                    let Some(rule) = table.first(row, 0) else {
                        continue;
                    };
                    answer.count += 1;
                    let found = Match { rule, row: row.number };
                    answer.sum = answer.sum.wrapping_add(word_of(found));
                }
            }
        });
        answer
    }

    fn theirs(&mut self, packets: u64) -> Answer {
        let mut answer = Answer::default();
        self.theirs.go(packets, self.asked.len(), |part, _| {
            let found = self.hash.find(&self.asked[part]);
            answer.count += found.count;
            answer.sum = answer.sum.wrapping_add(found.sum);
        });
        answer
    }
}
