//! A ledger that one thread publishes and others read whole: a sequence lock over atomic words.
//!
//! The writer never waits. A reader that met a writer reads again. (Boehm, "Can Seqlocks Get Along
//! With Programming Language Memory Models?", MSPC 2012.)

use std::sync::atomic::{AtomicU64, Ordering, fence};

use super::Ledger;
use crate::packet::DropReason;

/// The ledger as its worker last published it.
#[derive(Debug)]
pub struct Published {
    /// Odd while the writer is at work.
    sequence: AtomicU64,
    totals: [AtomicU64; TOTALS],
    dropped_before: [AtomicU64; DropReason::COUNT],
    dropped_after: [AtomicU64; DropReason::COUNT],
}

/// Totals of a ledger besides its drops.
const TOTALS: usize = 7;

impl Default for Published {
    fn default() -> Self {
        Self {
            sequence: AtomicU64::new(0),
            totals: zeros(),
            dropped_before: zeros(),
            dropped_after: zeros(),
        }
    }
}

impl Published {
    /// Publishes; by the owning worker only.
    pub fn publish(&self, ledger: &Ledger) {
        let sequence = self.sequence.load(Ordering::Relaxed);
        self.sequence.store(sequence + 1, Ordering::Relaxed);
        fence(Ordering::Release);
        let totals = [
            ledger.received,
            ledger.punted,
            ledger.admitted,
            ledger.waiting_before,
            ledger.copies,
            ledger.sent,
            ledger.waiting_after,
        ];
        store(&self.totals, &totals);
        store(&self.dropped_before, &ledger.dropped_before);
        store(&self.dropped_after, &ledger.dropped_after);
        self.sequence.store(sequence + 2, Ordering::Release);
    }

    /// The ledger at one turn boundary.
    pub fn read(&self) -> Ledger {
        loop {
            let before = self.sequence.load(Ordering::Acquire);
            let totals = load(&self.totals);
            let [received, punted, admitted, waiting_before, copies, sent, waiting_after] = totals;
            let ledger = Ledger {
                received,
                punted,
                admitted,
                waiting_before,
                copies,
                sent,
                waiting_after,
                dropped_before: load(&self.dropped_before),
                dropped_after: load(&self.dropped_after),
            };
            fence(Ordering::Acquire);
            if before.is_multiple_of(2) && self.sequence.load(Ordering::Relaxed) == before {
                return ledger;
            }
            std::hint::spin_loop();
        }
    }
}

fn zeros<const N: usize>() -> [AtomicU64; N] {
    [const { AtomicU64::new(0) }; N]
}

fn store<const N: usize>(words: &[AtomicU64; N], values: &[u64; N]) {
    for (word, value) in words.iter().zip(values) {
        word.store(*value, Ordering::Relaxed);
    }
}

fn load<const N: usize>(words: &[AtomicU64; N]) -> [u64; N] {
    std::array::from_fn(|i| words[i].load(Ordering::Relaxed))
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
                    let mut ledger = Ledger { received: n, admitted: n, ..Ledger::default() };
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
