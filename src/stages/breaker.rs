//! Breaker - which ports and receivers copies are made for.
//!
//! The circuit breakers' state machines run on management; a worker reads one word for each port
//! and receiver and keeps the credit for its own probes. Most of the time no breaker is open, and
//! then all of it is one comparison a turn and one a packet.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Copies that a half-open breaker lets through on one worker.
pub const PROBES: u8 = 5;

/// The state of a circuit breaker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum BreakerState {
    /// Copies pass.
    #[default]
    Closed,
    /// None is made.
    Open,
    /// [`PROBES`] copies try whether it works again.
    HalfOpen,
}

/// One word for each breaker. management: wo, workers: ro.
#[derive(Debug, Default)]
pub struct BreakerWords {
    /// Counts the changes, so that workers look at the rest only when there is something new.
    changes: AtomicU64,
    ports: Box<[AtomicU32]>,
    receivers: Box<[AtomicU32]>,
}

impl BreakerWords {
    /// Closed breakers for so many ports and receivers.
    pub fn new(ports: usize, receivers: usize) -> Self {
        let closed = |count| std::iter::repeat_with(AtomicU32::default).take(count).collect();
        Self { changes: AtomicU64::default(), ports: closed(ports), receivers: closed(receivers) }
    }

    /// Sets the breaker of a port. Setting half-open again gives new credit for probes.
    pub fn set_port(&self, slot: usize, state: BreakerState) {
        self.set(&self.ports[slot], state);
    }

    /// Sets the breaker of a receiver.
    pub fn set_receiver(&self, slot: usize, state: BreakerState) {
        self.set(&self.receivers[slot], state);
    }

    /// The state in the low two bits; what is above tells two half-open times apart.
    fn set(&self, word: &AtomicU32, state: BreakerState) {
        let time = (word.load(Ordering::Relaxed) >> 2).wrapping_add(1);
        word.store(time << 2 | state as u32, Ordering::Relaxed);
        self.changes.fetch_add(1, Ordering::Release);
    }
}

/// What one worker goes by.
#[derive(Debug)]
pub struct Breakers {
    seen: u64,
    all_closed: bool,
    ports: Box<[Passage]>,
    receivers: Box<[Passage]>,
}

/// One breaker as this worker saw it last.
#[derive(Clone, Copy, Debug, Default)]
struct Passage {
    word: u32,
    /// Copies that may still pass while it is half open.
    probes: u8,
}

impl Passage {
    fn state(self) -> BreakerState {
        match self.word & 3 {
            0 => BreakerState::Closed,
            1 => BreakerState::Open,
            _ => BreakerState::HalfOpen,
        }
    }

    fn refresh(&mut self, word: &AtomicU32) {
        let word = word.load(Ordering::Relaxed);
        if word != self.word {
            *self = Self { word, probes: PROBES };
        }
    }

    fn passes(self) -> bool {
        match self.state() {
            BreakerState::Closed => true,
            BreakerState::Open => false,
            BreakerState::HalfOpen => self.probes > 0,
        }
    }

    fn spend(&mut self) {
        if self.state() == BreakerState::HalfOpen {
            self.probes -= 1;
        }
    }
}

impl Breakers {
    /// All closed, as `words` are at the start.
    pub fn new(words: &BreakerWords) -> Self {
        let closed = |words: &[AtomicU32]| vec![Passage::default(); words.len()].into();
        Self {
            seen: 0,
            all_closed: true,
            ports: closed(&words.ports),
            receivers: closed(&words.receivers),
        }
    }

    /// Looks for changes; once a turn.
    pub fn refresh(&mut self, words: &BreakerWords) {
        let changes = words.changes.load(Ordering::Acquire);
        if changes == self.seen {
            return;
        }
        self.seen = changes;
        let pairs = self.ports.iter_mut().zip(&words.ports);
        pairs
            .chain(self.receivers.iter_mut().zip(&words.receivers))
            .for_each(|(p, w)| p.refresh(w));
        let mut all = self.ports.iter().chain(&self.receivers);
        self.all_closed = all.all(|p| p.state() == BreakerState::Closed);
    }

    /// Whether no breaker is open or half open.
    pub fn all_closed(&self) -> bool {
        self.all_closed
    }

    /// Whether the breaker of this port is open: what waits for it is given up.
    pub fn is_open(&self, port: usize) -> bool {
        !self.all_closed && self.ports[port].state() == BreakerState::Open
    }

    /// Whether a copy for this port and receiver might be made; takes no credit.
    pub fn would_admit(&self, port: u32, receiver: Option<u32>) -> bool {
        self.all_closed
            || (self.ports[port as usize].passes()
                && receiver.is_none_or(|slot| self.receivers[slot as usize].passes()))
    }

    /// Whether a copy for this port and receiver may be made; takes the credit for a probe.
    pub fn admits(&mut self, port: u32, receiver: Option<u32>) -> bool {
        if self.all_closed {
            return true;
        }
        let port = &mut self.ports[port as usize];
        let receiver = receiver.map(|slot| &mut self.receivers[slot as usize]);
        let passes = port.passes() && receiver.as_ref().is_none_or(|receiver| receiver.passes());
        if passes {
            port.spend();
            receiver.into_iter().for_each(Passage::spend);
        }
        passes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(breakers: &mut Breakers, port: u32, receiver: Option<u32>) -> usize {
        (0..20).filter(|_| breakers.admits(port, receiver)).count()
    }

    #[test]
    fn an_open_breaker_stops_its_own_copies_only() {
        let words = BreakerWords::new(2, 2);
        let mut breakers = Breakers::new(&words);
        words.set_port(1, BreakerState::Open);
        words.set_receiver(0, BreakerState::Open);
        assert_eq!(admitted(&mut breakers, 1, None), 20, "not seen yet");
        breakers.refresh(&words);
        let ports = [(0, None), (0, Some(1)), (0, Some(0)), (1, None), (1, Some(1))];
        let counts = ports.map(|(port, receiver)| admitted(&mut breakers, port, receiver));
        assert_eq!(counts, [20, 20, 0, 0, 0]);
        assert!(breakers.is_open(1) && !breakers.is_open(0));
    }

    #[test]
    fn half_open_is_worth_a_few_probes_each_time_it_is_set() {
        let words = BreakerWords::new(1, 1);
        let mut breakers = Breakers::new(&words);
        for _ in 0..2 {
            words.set_port(0, BreakerState::HalfOpen);
            breakers.refresh(&words);
            assert_eq!(admitted(&mut breakers, 0, Some(0)), usize::from(PROBES));
            breakers.refresh(&words);
            assert_eq!(admitted(&mut breakers, 0, None), 0);
        }
        words.set_port(0, BreakerState::Closed);
        breakers.refresh(&words);
        assert!(breakers.all_closed());
        assert_eq!(admitted(&mut breakers, 0, None), 20);
    }

    #[test]
    fn a_probe_is_spent_only_where_both_let_it_pass() {
        let words = BreakerWords::new(1, 1);
        let mut breakers = Breakers::new(&words);
        words.set_port(0, BreakerState::HalfOpen);
        words.set_receiver(0, BreakerState::Open);
        breakers.refresh(&words);
        assert_eq!(admitted(&mut breakers, 0, Some(0)), 0);
        assert_eq!(admitted(&mut breakers, 0, None), usize::from(PROBES));
    }
}
