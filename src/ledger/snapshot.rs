//! A ledger that one thread publishes and others read whole: a sequence lock over atomic words.
//!
//! The writer never waits, and a reader never waits for a writer that stands still. (Boehm, "Can Seqlocks Get Along
//! With Programming Language Memory Models?", MSPC 2012.)

use std::sync::atomic::{AtomicU64, Ordering, fence};

use super::{Ledger, Passed};
use crate::packet::DropReason;

/// The ledger as its worker last published it.
///
/// There are two copies, and the worker writes the one that was published before the last. So who
/// reads the last one finds it whole even where the worker stands still in the middle of the next,
/// and reads again only where the worker has published and begun another meanwhile.
#[derive(Debug)]
pub struct Published {
    /// Twice as much as was published; odd while the writer is at work.
    sequence: AtomicU64,
    copies: [Copy; 2],
}

/// One of the copies.
#[derive(Debug)]
struct Copy {
    totals: [AtomicU64; TOTALS],
    dropped_before: [AtomicU64; DropReason::COUNT],
    dropped_after: [AtomicU64; DropReason::COUNT],
}

/// Totals of a ledger besides its drops.
const TOTALS: usize = 11;

impl Default for Published {
    fn default() -> Self {
        let copy = || Copy { totals: zeros(), dropped_before: zeros(), dropped_after: zeros() };
        Self { sequence: AtomicU64::new(0), copies: [copy(), copy()] }
    }
}

impl Published {
    /// Publishes; by the owning worker only.
    pub fn publish(&self, ledger: &Ledger) {
        let next = self.begin();
        self.copies[next as usize % 2].store(ledger);
        self.sequence.store(2 * next, Ordering::Release);
    }

    /// Says that a copy is being written: that of the publication whose number this returns.
    fn begin(&self) -> u64 {
        let sequence = self.sequence.load(Ordering::Relaxed);
        // Whoever sees this may read the copy that was published last.
        self.sequence.store(sequence + 1, Ordering::Release);
        fence(Ordering::Release);
        sequence / 2 + 1
    }

    /// The ledger at the last turn boundary that was published.
    pub fn read(&self) -> Ledger {
        self.read_while(|| {})
    }

    /// The same; whenever a copy is read, `meanwhile` happens before it is believed.
    fn read_while(&self, mut meanwhile: impl FnMut()) -> Ledger {
        loop {
            let last = self.sequence.load(Ordering::Acquire) / 2;
            let ledger = self.copies[last as usize % 2].load();
            meanwhile();
            fence(Ordering::Acquire);
            // This copy is written again by the publication after the next.
            if self.sequence.load(Ordering::Relaxed) < 2 * last + 3 {
                return ledger;
            }
            std::hint::spin_loop();
        }
    }
}

impl Copy {
    fn store(&self, ledger: &Ledger) {
        let totals = [
            ledger.received,
            ledger.punted,
            ledger.admitted,
            ledger.waiting_before,
            ledger.copies,
            ledger.sent,
            ledger.waiting_after,
            ledger.handed.packets,
            ledger.handed.copies,
            ledger.taken.packets,
            ledger.taken.copies,
        ];
        store(&self.totals, &totals);
        store(&self.dropped_before, &ledger.dropped_before);
        store(&self.dropped_after, &ledger.dropped_after);
    }

    fn load(&self) -> Ledger {
        let [received, punted, admitted, waiting_before, copies, sent, waiting_after, passed @ ..] =
            load(&self.totals);
        let [packets_handed, copies_handed, packets_taken, copies_taken] = passed;
        Ledger {
            received,
            punted,
            admitted,
            waiting_before,
            copies,
            sent,
            waiting_after,
            handed: Passed { packets: packets_handed, copies: copies_handed },
            taken: Passed { packets: packets_taken, copies: copies_taken },
            dropped_before: load(&self.dropped_before),
            dropped_after: load(&self.dropped_after),
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
    use std::sync::{Arc, mpsc};
    use std::time::Duration;

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
                assert_eq!(ledger.dropped_after[DropReason::Mtu.index()], ledger.received);
                assert_eq!(ledger.residual(), 0);
                assert!(ledger.received >= last);
                last = ledger.received;
            }
        });
    }

    /// How often a copy is read before it is believed, where this happens the first time.
    fn reads(meanwhile: impl Fn(&Published)) -> (usize, u64) {
        let published = Published::default();
        let ledger = |n| Ledger { received: n, admitted: n, ..Ledger::default() };
        (1..=2).for_each(|n| published.publish(&ledger(n)));
        let mut reads = 0;
        let read = published.read_while(|| {
            if reads == 0 {
                meanwhile(&published);
            }
            reads += 1;
        });
        assert_eq!(read.residual(), 0);
        (reads, read.received)
    }

    #[test]
    fn a_copy_is_believed_until_it_is_written_again() {
        let publish = |published: &Published, n| {
            published.publish(&Ledger { received: n, admitted: n, ..Ledger::default() });
        };
        let begin = |published: &Published| {
            published.begin();
        };
        assert_eq!(reads(|_| {}), (1, 2));
        assert_eq!(reads(begin), (1, 2));
        assert_eq!(reads(|published| publish(published, 3)), (1, 2));
        let third = |published: &Published| {
            publish(published, 3);
            published.begin();
        };
        assert_eq!(reads(third), (2, 3), "the copy was being written when it was read");
        assert_eq!(reads(|published| (3..6).for_each(|n| publish(published, n))), (2, 5));
    }

    #[test]
    fn a_writer_that_stands_still_keeps_nobody_waiting() {
        let published = Arc::new(Published::default());
        for n in 1..=3 {
            published.publish(&Ledger { received: n, admitted: n, ..Ledger::default() });
            // The next one is begun, half of it is written, and the worker goes no further.
            let next = published.begin();
            published.copies[next as usize % 2].totals[0].store(77, Ordering::Relaxed);
            let (done, read) = mpsc::channel();
            let reader = Arc::clone(&published);
            std::thread::spawn(move || {
                let ledger = reader.read();
                done.send((ledger.received, ledger.residual())).ok()
            });
            assert_eq!(read.recv_timeout(Duration::from_secs(20)), Ok((n, 0)), "it does not wait");
            published.sequence.store(2 * (next - 1), Ordering::Release);
        }
    }
}
