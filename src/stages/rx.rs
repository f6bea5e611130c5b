//! Rx - bursts from the ports this worker owns, stamped with their arrival.
//!
//! Expects:  ports that never wait.
//! Leaves:   packets with `arrival` and input port set, and no key; what else their buffers' last
//!           packets left there stays. By the TSC a burst arrives when it was
//!           read; by the capture clock each packet arrives at its own timestamp, the ports'
//!           packets merged in that order, and a turn sees those of one instant only, so that
//!           a run repeats exactly, whatever the host does.
//! Drops:    `foreign`: buffers that are not ours alone.
//! Config:   `clock`, `port.rx`.
//! Bounds:   one burst a call; a lossless port is polled only when its burst has room.

use std::os::fd::BorrowedFd;

use crate::config::RxMode;
use crate::packet::{BURST, Burst, Clock, DropReason, Packet, RxPort, Ticks};

use super::Tally;

/// One receive queue and how it is polled.
#[derive(Debug)]
pub struct RxSource<R: RxPort> {
    /// The queue.
    pub port: R,
    /// Slot of its port.
    pub slot: u8,
    /// When it is polled.
    pub mode: RxMode,
}

/// The stage: the queues of one worker, polled in turn, and its clock.
#[derive(Debug)]
pub struct Rx<R: RxPort, C: Clock> {
    sources: Vec<RxSource<R>>,
    next: usize,
    time: Time<C, R::Packet>,
    /// The time when the clock was read last, or the greatest timestamp seen.
    now: Ticks,
}

/// Where time comes from.
#[derive(Debug)]
enum Time<C: Clock, P> {
    /// The processor's counter.
    Tsc(C),
    /// The capture's timestamps, in nanoseconds; a burst of each source is held back until its
    /// instant comes.
    Capture { held: Vec<Burst<P>> },
}

impl<R: RxPort, C: Clock> Rx<R, C> {
    /// Polls `sources` by `clock`, or by the capture's timestamps where there is none.
    pub fn new(sources: Vec<RxSource<R>>, clock: Option<C>) -> Self {
        let time = match clock {
            Some(clock) => Time::Tsc(clock),
            None => Time::Capture { held: sources.iter().map(|_| Burst::new()).collect() },
        };
        Self { sources, next: 0, time, now: 0 }
    }

    /// Keeps room for so many more sources.
    pub fn reserve(&mut self, sources: usize) {
        self.sources.reserve_exact(sources);
        if let Time::Capture { held } = &mut self.time {
            held.reserve_exact(sources);
        }
    }

    /// Polls one more source from now on, in room that was kept for it.
    pub fn add(&mut self, source: RxSource<R>) {
        self.sources.push(source);
        if let Time::Capture { held } = &mut self.time {
            held.push(Burst::new());
        }
    }

    /// Of each queue, the file that is readable when something has arrived there.
    pub fn files(&self) -> impl Iterator<Item = Option<BorrowedFd<'_>>> {
        self.sources.iter().map(|source| source.port.file())
    }

    /// The queue that is polled next, and how many there are.
    pub fn place(&self) -> (usize, usize) {
        (self.next, self.sources.len())
    }

    /// The time, as of the last burst.
    pub fn now(&self) -> Ticks {
        self.now
    }

    /// Reads the clock: once behind each burst, received or sent, and nowhere else.
    pub fn read_clock(&mut self) -> Ticks {
        if let Time::Tsc(clock) = &self.time {
            self.now = clock.now();
        }
        self.now
    }

    /// Whether time is the capture's: then each call brings one instant.
    pub fn is_capture(&self) -> bool {
        matches!(self.time, Time::Capture { .. })
    }

    /// Packets read from a port whose instant has not come.
    pub fn packets(&self) -> usize {
        match &self.time {
            Time::Tsc(_) => 0,
            Time::Capture { held } => held.iter().map(|burst| burst.len()).sum(),
        }
    }

    /// Frees what is held back; `each` sees it first.
    pub fn discard(&mut self, each: impl FnMut(&R::Packet)) {
        if let Time::Capture { held } = &mut self.time {
            held.iter().flatten().for_each(each);
            held.iter_mut().for_each(Burst::clear);
        }
    }

    /// Fills an empty burst with what has arrived; without `room` lossless ports are left out, and
    /// the capture clock stands still. Without `polls` no port is asked, and only what is held back
    /// comes.
    pub fn receive(
        &mut self,
        burst: &mut Burst<R::Packet>,
        room: bool,
        polls: bool,
        tally: &mut Tally,
    ) {
        match &mut self.time {
            Time::Tsc(clock) => {
                let count = self.sources.len();
                for _ in 0..count {
                    let source = &mut self.sources[self.next];
                    self.next += 1;
                    if self.next == count {
                        self.next = 0;
                    }
                    if polls && (room || source.mode == RxMode::Live) {
                        poll(source, burst, || clock.now(), tally);
                    }
                    if !burst.is_empty() {
                        break;
                    }
                }
                self.now = burst.first().map_or_else(|| clock.now(), |p| p.meta().arrival);
            }
            Time::Capture { .. } if !room => {}
            Time::Capture { held } => {
                for (source, held) in self.sources.iter_mut().zip(held.iter_mut()) {
                    if polls && held.is_empty() {
                        // The arrival is known when its instant comes.
                        poll(source, held, || 0, tally);
                    }
                }
                release(held, burst, &mut self.now);
            }
        }
    }
}

/// Reads one burst, which arrives at `now`, and counts it.
#[inline(always)]
fn poll<R: RxPort>(
    source: &mut RxSource<R>,
    burst: &mut Burst<R::Packet>,
    now: impl FnOnce() -> Ticks,
    tally: &mut Tally,
) {
    let received = source.port.receive(burst);
    if received.frames == 0 {
        return;
    }
    let arrival = now();
    let mut bytes = 0;
    for packet in burst.iter_mut() {
        let meta = packet.meta_mut();
        (meta.arrival, meta.headers.port, meta.key) = (arrival, source.slot, 0);
        bytes += packet.frame_len() as u64;
    }
    tally.ledger.received += u64::from(received.frames);
    tally.ledger.dropped_before[DropReason::Foreign.index()] += u64::from(received.foreign);
    let counters = &tally.counters.ports[usize::from(source.slot)];
    counters.received.add(u64::from(received.frames));
    counters.bytes_received.add(bytes);
}

/// Moves the packets of the earliest instant into `burst` and the clock to that instant.
fn release<P: Packet>(held: &mut [Burst<P>], burst: &mut Burst<P>, now: &mut Ticks) {
    let time = |packet: &P| packet.capture_time().unwrap_or(0);
    let Some(instant) = held.iter().filter_map(|held| held.first()).map(time).min() else {
        return;
    };
    *now = (*now).max(instant);
    for held in held {
        let due = held.iter().take_while(|packet| time(packet) <= *now).count();
        burst.extend(held.drain(..due.min(BURST - burst.len())));
    }
    burst.iter_mut().for_each(|packet| packet.meta_mut().arrival = *now);
}
