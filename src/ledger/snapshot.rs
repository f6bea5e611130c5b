//! A ledger that one thread publishes and others read whole: a sequence lock over atomic words.
//!
//! The writer never waits. A reader that met a writer reads again. (Boehm, "Can Seqlocks Get Along
//! With Programming Language Memory Models?", MSPC 2012.)

use std::sync::atomic::{AtomicU64, Ordering, fence};

use super::Ledger;
use crate::packet::DropReason;

/// Words of a ledger.
const WORDS: usize = 7 + 2 * DropReason::COUNT;

/// The ledger as its worker last published it.
#[derive(Debug)]
pub struct Published {
    /// Odd while the writer is at work.
    sequence: AtomicU64,
    words: [AtomicU64; WORDS],
}

impl Default for Published {
    fn default() -> Self {
        Self {
            sequence: AtomicU64::new(0),
            words: [const { AtomicU64::new(0) }; WORDS],
        }
    }
}

impl Published {
    /// Publishes; by the owning worker only.
    pub fn publish(&self, ledger: &Ledger) {
        let sequence = self.sequence.load(Ordering::Relaxed);
        self.sequence.store(sequence + 1, Ordering::Relaxed);
        fence(Ordering::Release);
        for (word, value) in self.words.iter().zip(to_words(ledger)) {
            word.store(value, Ordering::Relaxed);
        }
        self.sequence.store(sequence + 2, Ordering::Release);
    }

    /// The ledger at one turn boundary.
    pub fn read(&self) -> Ledger {
        loop {
            let before = self.sequence.load(Ordering::Acquire);
            let words = std::array::from_fn(|i| self.words[i].load(Ordering::Relaxed));
            fence(Ordering::Acquire);
            if before.is_multiple_of(2) && self.sequence.load(Ordering::Relaxed) == before {
                return from_words(&words);
            }
            std::hint::spin_loop();
        }
    }
}

fn to_words(l: &Ledger) -> impl Iterator<Item = u64> + '_ {
    let totals = [
        l.received,
        l.punted,
        l.admitted,
        l.waiting_before,
        l.copies,
        l.sent,
        l.waiting_after,
    ];
    totals
        .into_iter()
        .chain(l.dropped_before)
        .chain(l.dropped_after)
}

fn from_words(words: &[u64; WORDS]) -> Ledger {
    let (totals, drops) = words.split_at(7);
    let (before, after) = drops.split_at(DropReason::COUNT);
    Ledger {
        received: totals[0],
        punted: totals[1],
        admitted: totals[2],
        waiting_before: totals[3],
        copies: totals[4],
        sent: totals[5],
        waiting_after: totals[6],
        dropped_before: std::array::from_fn(|i| before[i]),
        dropped_after: std::array::from_fn(|i| after[i]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_never_sees_half_a_turn() {
        let published = Published::default();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for n in 1..=200_000 {
                    let mut ledger = Ledger {
                        received: n,
                        admitted: n,
                        ..Ledger::default()
                    };
                    ledger.copies = 3 * n;
                    ledger.sent = 2 * n;
                    ledger.dropped_after[DropReason::Mtu.index()] = n;
                    published.publish(&ledger);
                }
            });
            let mut last = 0;
            while last < 200_000 {
                let ledger = published.read();
                assert_eq!(ledger.residual(), 0);
                assert!(ledger.received >= last);
                last = ledger.received;
            }
        });
    }
}
