//! The live line: what passes now, on a terminal, written over itself.

use std::io::Write;
use std::time::Duration;

use super::text::grouped;
use crate::ledger::{Counters, Ledger};
use crate::packet::{DropReason, FRAME_OVERHEAD};

/// How often the line is written anew.
const PERIOD: Duration = Duration::from_millis(500);
/// Columns of the line at most: a line that wrapped could not be erased.
const COLUMNS: usize = 79;
/// Carriage return, erase the line.
const ERASE: &str = "\r\x1b[K";

/// The totals that rates are made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// The ledger over all workers.
    pub ledger: Ledger,
    /// Bytes sent, without frame overhead.
    pub bytes_sent: u64,
}

impl Totals {
    /// Reads them.
    pub fn read<'a>(workers: impl Iterator<Item = &'a Counters> + Clone) -> Self {
        let ports = workers.clone().flat_map(|counters| &counters.ports);
        Self {
            ledger: super::report::total(workers.map(|counters| counters.ledger.read())),
            bytes_sent: ports.map(|port| port.bytes_sent.get()).sum(),
        }
    }
}

/// What happened in a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// Packets received.
    pub received: u64,
    /// Copies sent.
    pub sent: u64,
    /// Bits sent, frame overhead included.
    pub bits_sent: u64,
    /// Packets and copies dropped.
    pub dropped: u64,
    /// The reason that most were dropped for.
    pub top: Option<DropReason>,
}

impl Rates {
    /// The rates between two readings, `elapsed` apart.
    pub fn between(old: &Totals, new: &Totals, elapsed: Duration) -> Self {
        let micros = elapsed.as_micros().max(1);
        let rate = |old: u64, new: u64| {
            let delta = u128::from(new.saturating_sub(old));
            u64::try_from(delta * 1_000_000 / micros).unwrap_or(u64::MAX)
        };
        let wire_bits = |totals: &Totals| {
            let overhead = totals.ledger.sent * u64::from(FRAME_OVERHEAD);
            (totals.bytes_sent + overhead).saturating_mul(8)
        };
        let (a, b) = (&old.ledger, &new.ledger);
        let drops = |ledger: &Ledger, i: usize| ledger.dropped_before[i] + ledger.dropped_after[i];
        let by_reason = DropReason::ALL.iter().map(|&reason| {
            let i = reason.index();
            (drops(b, i).saturating_sub(drops(a, i)), reason)
        });
        let top = by_reason.max_by_key(|&(count, _)| count);
        Self {
            received: rate(a.received, b.received),
            sent: rate(a.sent, b.sent),
            bits_sent: rate(wire_bits(old), wire_bits(new)),
            dropped: rate(a.dropped(), b.dropped()),
            top: top.filter(|&(count, _)| count > 0).map(|(_, reason)| reason),
        }
    }

    /// One line without its end.
    pub fn line(&self) -> String {
        let hundredths = self.bits_sent / 10_000_000;
        let mut line = format!(
            "in {} pps  out {} pps  {}.{:02} Gbit/s  drops {}/s",
            grouped(self.received),
            grouped(self.sent),
            hundredths / 100,
            hundredths % 100,
            grouped(self.dropped),
        );
        if let Some(reason) = self.top {
            line.push_str(", most ");
            line.push_str(reason.name());
        }
        line.truncate(COLUMNS);
        line
    }
}

/// The line on a terminal; nothing at all elsewhere. Erased when dropped.
#[derive(Debug)]
pub struct Live<W: Write> {
    terminal: Option<W>,
    last: Option<(Duration, Totals)>,
    written: bool,
}

impl<W: Write> Live<W> {
    /// On a terminal, where there is one.
    pub fn new(terminal: Option<W>) -> Self {
        Self { terminal, last: None, written: false }
    }

    /// Writes the line anew where it is time to; `now` is since the start, and `totals` is asked
    /// only then.
    pub fn tick(&mut self, now: Duration, totals: impl FnOnce() -> Totals) {
        let Some(terminal) = &mut self.terminal else {
            return;
        };
        let since = |at| now.saturating_sub(at);
        if self.last.is_some_and(|(at, _)| since(at) < PERIOD) {
            return;
        }
        let totals = totals();
        if let Some((at, last)) = &self.last {
            let line = Rates::between(last, &totals, since(*at)).line();
            // A terminal that went away is no reason to stop relaying.
            let _ = write!(terminal, "{ERASE}{line}").and_then(|()| terminal.flush());
            self.written = true;
        }
        self.last = Some((now, totals));
    }

    /// Takes the line away, so that other text can be written.
    pub fn erase(&mut self) {
        if let (Some(terminal), true) = (&mut self.terminal, self.written) {
            let _ = write!(terminal, "{ERASE}").and_then(|()| terminal.flush());
            self.written = false;
        }
    }
}

impl<W: Write> Drop for Live<W> {
    fn drop(&mut self) {
        self.erase();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF: Duration = Duration::from_millis(500);

    fn totals(received: u64, sent: u64, drops: &[(DropReason, u64)]) -> Totals {
        let mut ledger = Ledger { received, sent, ..Ledger::default() };
        for &(reason, count) in drops {
            ledger.dropped_before[reason.index()] = count;
        }
        Totals { ledger, bytes_sent: sent * 1_226 }
    }

    #[test]
    fn rates_are_deltas_over_time() {
        let old = totals(1_000, 1_000, &[(DropReason::NoRule, 900)]);
        let drops = [(DropReason::NoRule, 901), (DropReason::Policed, 6)];
        let new = totals(501_000, 1_001_000, &drops);
        let rates = Rates::between(&old, &new, HALF);
        assert_eq!(rates.received, 1_000_000);
        assert_eq!(rates.sent, 2_000_000);
        assert_eq!(rates.bits_sent, 2_000_000 * 1_250 * 8);
        assert_eq!((rates.dropped, rates.top), (14, Some(DropReason::Policed)));
        assert_eq!(
            rates.line(),
            "in 1,000,000 pps  out 2,000,000 pps  20.00 Gbit/s  drops 14/s, most policed"
        );
    }

    #[test]
    fn without_losses_no_reason_is_named() {
        let rates = Rates::between(&Totals::default(), &Totals::default(), HALF);
        assert_eq!(rates.top, None);
        assert_eq!(rates.line(), "in 0 pps  out 0 pps  0.00 Gbit/s  drops 0/s");
    }

    #[test]
    fn the_line_is_written_twice_a_second_and_erased() {
        let mut screen = Vec::new();
        let mut live = Live::new(Some(&mut screen));
        for ms in (0..=1_200).step_by(100) {
            live.tick(Duration::from_millis(ms), || totals(ms, 0, &[]));
        }
        drop(live);
        let text = String::from_utf8(screen).unwrap();
        assert_eq!(text.matches("in 1,000 pps").count(), 2);
        assert!(text.ends_with(ERASE));
    }

    #[test]
    fn off_a_terminal_nothing_is_even_read() {
        let mut live: Live<Vec<u8>> = Live::new(None);
        live.tick(HALF, || unreachable!());
        live.erase();
    }
}
