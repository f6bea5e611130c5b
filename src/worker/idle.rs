//! What an adaptive worker does between turns that bring little: it gives its CPU to others.
//!
//! Where each of its receive queues has a file, frames come through the kernel, and the worker sleeps
//! until a file is readable. A send costs a system call for each port and burst there, so where frames
//! have come several at a time it lets them gather for a nap more before it looks; one that comes alone
//! is relayed at once. A nap is a tenth of the shortest budget at most, and far shorter than what the
//! kernel's ring takes to fill. Elsewhere a look costs little, and a card's ring may fill within a nap:
//! the worker looks on for a while first.

use std::num::NonZeroU64;
use std::time::Duration;

use arrayvec::ArrayVec;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::thread::set_current_timer_slack;

use crate::packet::{BURST, Clock, RxPort, Ticks};
use crate::plan::Plan;
use crate::stages::Rx;

/// Turns without a packet before a worker whose queues have no files naps.
const IDLE_TURNS: u32 = 1_000;
/// How long a nap is at most.
const NAP_MAX: Duration = Duration::from_micros(100);
/// A nap is one in so many parts of the shortest budget at most.
const NAP_SHARE: u64 = 10;
/// By how much the kernel may lengthen a nap, in nanoseconds; by itself it takes 50 us.
const SLACK: NonZeroU64 = NonZeroU64::new(1_000).expect("it is not 0");
/// How long a worker sleeps at most while no file is readable: management wakes nobody, and its
/// words, its plans and its own packets must not wait for long.
const WAIT: Timespec = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
/// Queues with files that are slept on; a worker with more naps.
const FILES_MAX: usize = 64;

/// Between turns: whether, how and how long a worker sleeps.
#[derive(Debug)]
pub(super) struct Idle {
    adaptive: bool,
    /// Turns in a row that moved nothing.
    empty_turns: u32,
    /// The queue that was next when it looked last.
    next: usize,
    /// Queues that have been polled since it slept, or since a burst was full.
    polled: usize,
    /// Packets received since it slept.
    received: usize,
    /// Whether a file was readable when it slept last.
    woken: bool,
    /// Whether that was within a nap of its last look.
    soon: bool,
    /// Whether frames come several at a time, as far as it has seen.
    several: bool,
    /// How long a nap is, in ticks too, and by which plan.
    nap: (Duration, Ticks),
    generation: Option<u64>,
}

/// How a worker sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sleep {
    Not,
    /// For a fixed time.
    Nap,
    /// Until a file is readable.
    Wait,
    /// The same, and a nap more.
    Gather,
}

/// What a turn brought.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    /// Packets that moved.
    pub moved: usize,
    /// Packets that were received.
    pub received: usize,
    /// Whether nothing waits and nobody but the queues brings anything.
    pub alone: bool,
}

impl Idle {
    /// Of a worker that never sleeps, or of an adaptive one, on whose thread it is made.
    pub(super) fn new(adaptive: bool) -> Self {
        if adaptive {
            // A kernel that refuses makes naps longer, no more.
            let _ = set_current_timer_slack(Some(SLACK));
        }
        Self {
            adaptive,
            empty_turns: 0,
            next: 0,
            polled: 0,
            received: 0,
            woken: false,
            soon: false,
            several: false,
            nap: (NAP_MAX, 0),
            generation: None,
        }
    }

    /// Sleeps behind a turn, where that is right.
    #[inline]
    pub(super) fn rest<R: RxPort, C: Clock>(&mut self, turn: Turn, plan: &Plan, rx: &mut Rx<R, C>) {
        if !self.adaptive {
            return;
        }
        self.received += turn.received;
        if turn.received >= BURST {
            return self.go_on(rx.place().0);
        }
        self.sleep(turn, plan, rx);
    }

    /// A full burst: there may be more at once.
    fn go_on(&mut self, next: usize) {
        (self.empty_turns, self.polled, self.next) = (0, 0, next);
    }

    fn sleep<R: RxPort, C: Clock>(&mut self, turn: Turn, plan: &Plan, rx: &mut Rx<R, C>) {
        let mut files = ArrayVec::<PollFd<'_>, FILES_MAX>::new();
        let mut put = |file| files.try_push(PollFd::from_borrowed_fd(file, PollFlags::IN)).is_ok();
        let brought = turn.alone && rx.files().all(|file| file.is_some_and(&mut put));
        let sleep = self.decide(turn.moved, brought && !files.is_empty(), rx.place());
        if sleep == Sleep::Not {
            return;
        }
        if self.generation != Some(plan.generation) {
            (self.nap, self.generation) = (nap(plan), Some(plan.generation));
        }
        if matches!(sleep, Sleep::Wait | Sleep::Gather) {
            // An error is like a file that is readable in vain.
            self.woken = poll(&mut files, Some(&WAIT)) != Ok(0);
            drop(files);
            let looked = rx.now();
            self.soon = self.woken && rx.read_clock() - looked < self.nap.1;
        }
        if sleep == Sleep::Nap || (sleep == Sleep::Gather && self.woken) {
            std::thread::sleep(self.nap.0);
        }
    }

    /// How to sleep behind a turn that moved so many packets. `brought` says that all that can come
    /// is brought by the kernel; `next` of the queues is polled next.
    fn decide(&mut self, moved: usize, brought: bool, (next, queues): (usize, usize)) -> Sleep {
        self.empty_turns = if moved > 0 { 0 } else { self.empty_turns.saturating_add(1) };
        if !brought {
            return if self.empty_turns > IDLE_TURNS { Sleep::Nap } else { Sleep::Not };
        }
        // A turn that ends where it began has been round.
        self.polled += (next + queues - self.next - 1) % queues + 1;
        self.next = next;
        if self.polled < queues {
            return Sleep::Not;
        }
        self.polled = 0;
        let received = std::mem::take(&mut self.received);
        if std::mem::take(&mut self.woken) {
            self.several = received != 1 || self.soon;
        }
        if self.several { Sleep::Gather } else { Sleep::Wait }
    }
}

/// How long a nap is by this plan, and in ticks.
fn nap(plan: &Plan) -> (Duration, Ticks) {
    let shortest = plan.rules.iter().map(|rule| rule.budget).min().unwrap_or(u64::MAX);
    let longest = plan.ticks_per_second / (1_000_000 / NAP_MAX.as_micros() as u64);
    let ticks = longest.min(shortest / NAP_SHARE);
    let nanos = u128::from(ticks) * 1_000_000_000 / u128::from(plan.ticks_per_second.max(1));
    (Duration::from_nanos(nanos as u64), ticks)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUEUES: usize = 3;

    /// How it sleeps behind turns that receive so many and poll so many queues; each sleep ends with
    /// a frame after a `pause` longer than a nap, or before.
    fn sleeps(idle: &mut Idle, brought: bool, pause: bool, turns: &[(usize, usize)]) -> Vec<Sleep> {
        let turn = |&(received, polls): &(usize, usize)| {
            let next = (idle.next + polls) % QUEUES;
            idle.received += received;
            if received >= BURST {
                idle.go_on(next);
                return Sleep::Not;
            }
            let sleep = idle.decide(received, brought, (next, QUEUES));
            if matches!(sleep, Sleep::Wait | Sleep::Gather) {
                (idle.woken, idle.soon) = (true, !pause);
            }
            sleep
        };
        turns.iter().map(turn).collect()
    }

    #[test]
    fn it_sleeps_when_all_queues_have_been_looked_at() {
        let mut idle = Idle::new(false);
        // Two of three queues brought something: the third is looked at first.
        let slept = sleeps(&mut idle, true, true, &[(1, 1), (0, 1), (0, 1), (1, 3)]);
        assert_eq!(slept, [Sleep::Not, Sleep::Not, Sleep::Wait, Sleep::Wait]);
    }

    #[test]
    fn behind_a_full_burst_it_looks_at_once() {
        let mut idle = Idle::new(false);
        let turns = [(1, 2), (BURST, 1), (1, 1), (1, 1), (1, 1)];
        let slept = sleeps(&mut idle, true, true, &turns);
        assert_eq!(slept, [Sleep::Not, Sleep::Not, Sleep::Not, Sleep::Not, Sleep::Wait]);
    }

    #[test]
    fn frames_gather_where_several_have_come() {
        let mut idle = Idle::new(false);
        // A burst whose first was relayed at once and whose rest was there behind it; then bursts.
        let slept = sleeps(&mut idle, true, true, &[(0, 3), (9, 3), (40, 3), (9, 3), (9, 3)]);
        assert_eq!(slept[..2], [Sleep::Wait, Sleep::Gather]);
        assert_eq!(slept[2..], [Sleep::Not, Sleep::Gather, Sleep::Gather]);
    }

    #[test]
    fn frames_gather_where_one_follows_soon_upon_the_other() {
        let mut idle = Idle::new(false);
        let slept = sleeps(&mut idle, true, false, &[(0, 3), (1, 3), (1, 3)]);
        assert_eq!(slept, [Sleep::Wait, Sleep::Gather, Sleep::Gather]);
    }

    #[test]
    fn a_frame_that_comes_alone_does_not_wait_for_others() {
        let mut idle = Idle::new(false);
        let slept = sleeps(&mut idle, true, true, &[(0, 3), (9, 3), (1, 3), (1, 3)]);
        assert_eq!(slept, [Sleep::Wait, Sleep::Gather, Sleep::Wait, Sleep::Wait]);
    }

    #[test]
    fn what_it_knows_outlasts_a_pause() {
        let mut idle = Idle::new(false);
        assert_eq!(sleeps(&mut idle, true, true, &[(0, 3), (9, 3)])[1], Sleep::Gather);
        // It slept its time and no file was readable.
        idle.woken = false;
        assert_eq!(sleeps(&mut idle, true, true, &[(0, 3)]), [Sleep::Gather]);
    }

    #[test]
    fn woken_in_vain_it_naps_behind_its_next_sleep() {
        let mut idle = Idle::new(false);
        let slept = sleeps(&mut idle, true, true, &[(0, 3), (0, 3)]);
        assert_eq!(slept, [Sleep::Wait, Sleep::Gather]);
    }

    #[test]
    fn without_files_it_looks_on_for_a_thousand_turns() {
        let mut idle = Idle::new(false);
        let empty = vec![(0, 3); IDLE_TURNS as usize];
        assert!(sleeps(&mut idle, false, true, &empty).iter().all(|sleep| *sleep == Sleep::Not));
        let turns = [(0, 3), (1, 1), (0, 3)];
        assert_eq!(sleeps(&mut idle, false, true, &turns), [Sleep::Nap, Sleep::Not, Sleep::Not]);
    }
}
