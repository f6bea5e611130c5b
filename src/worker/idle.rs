//! What an adaptive worker does between turns that bring little: it gives its CPU to others.
//!
//! Where each of its receive queues has a file, frames come through the kernel. A send costs a system
//! call for each port and burst there, so the worker lets frames gather for a nap before it looks
//! again, and while none come it sleeps until a file is readable. A nap is a tenth of the shortest
//! budget at most, and far shorter than what the kernel's ring takes to fill. Elsewhere a look costs
//! little, and a card's ring may fill within a nap: the worker looks on for a while first.

use std::num::NonZeroU64;
use std::time::Duration;

use arrayvec::ArrayVec;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::thread::set_current_timer_slack;

use crate::packet::{BURST, Clock, RxPort};
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
    /// Whether a packet has moved since it slept.
    moved: bool,
    /// Whether a file was readable when it slept last.
    woken: bool,
    /// How long a nap is, and by which plan.
    nap: Duration,
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
            moved: false,
            woken: false,
            nap: NAP_MAX,
            generation: None,
        }
    }

    /// Sleeps behind a turn that moved so many packets, where that is right. `alone` says that
    /// nothing waits and that nobody but the queues brings anything.
    #[inline]
    pub(super) fn rest<R: RxPort, C: Clock>(
        &mut self,
        moved: usize,
        alone: bool,
        plan: &Plan,
        rx: &Rx<R, C>,
    ) {
        if !self.adaptive {
            return;
        }
        // Received and served: a full burst, and there may be more.
        if moved >= 2 * BURST {
            return self.go_on(rx.place().0);
        }
        self.sleep(moved, alone, plan, rx);
    }

    /// There may be more at once.
    fn go_on(&mut self, next: usize) {
        (self.empty_turns, self.polled, self.moved, self.next) = (0, 0, true, next);
    }

    fn sleep<R: RxPort, C: Clock>(
        &mut self,
        moved: usize,
        alone: bool,
        plan: &Plan,
        rx: &Rx<R, C>,
    ) {
        let mut files = ArrayVec::<PollFd<'_>, FILES_MAX>::new();
        let mut put = |file| files.try_push(PollFd::from_borrowed_fd(file, PollFlags::IN)).is_ok();
        let brought = alone && rx.files().all(|file| file.is_some_and(&mut put));
        match self.decide(moved, brought && !files.is_empty(), rx.place()) {
            Sleep::Not => {}
            Sleep::Nap => {
                if self.generation != Some(plan.generation) {
                    (self.nap, self.generation) = (nap(plan), Some(plan.generation));
                }
                std::thread::sleep(self.nap);
            }
            // An error is like a file that is readable in vain.
            Sleep::Wait => self.woken = poll(&mut files, Some(&WAIT)) != Ok(0),
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
        self.moved |= moved > 0;
        if self.polled < queues {
            return Sleep::Not;
        }
        self.polled = 0;
        if std::mem::take(&mut self.moved) | std::mem::take(&mut self.woken) {
            Sleep::Nap
        } else {
            Sleep::Wait
        }
    }
}

/// How long a nap is by this plan.
fn nap(plan: &Plan) -> Duration {
    let shortest = plan.rules.iter().map(|rule| rule.budget).min().unwrap_or(u64::MAX);
    let nanos =
        u128::from(shortest / NAP_SHARE) * 1_000_000_000 / u128::from(plan.ticks_per_second.max(1));
    NAP_MAX.min(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUEUES: usize = 3;
    /// A full burst, received and served.
    const FULL: usize = 2 * BURST;

    /// How it sleeps behind turns that move so many and poll so many queues.
    fn sleeps(idle: &mut Idle, brought: bool, turns: &[(usize, usize)]) -> Vec<Sleep> {
        let turn = |&(moved, polls): &(usize, usize)| {
            let next = (idle.next + polls) % QUEUES;
            if moved >= FULL {
                idle.go_on(next);
                return Sleep::Not;
            }
            idle.decide(moved, brought, (next, QUEUES))
        };
        turns.iter().map(turn).collect()
    }

    #[test]
    fn frames_gather_when_all_queues_have_been_looked_at() {
        let mut idle = Idle::new(false);
        // Two of three queues brought something: the third is looked at first.
        let turns = [(2, 1), (2, 1), (2, 1), (2, 3)];
        let slept = sleeps(&mut idle, true, &turns);
        assert_eq!(slept, [Sleep::Not, Sleep::Not, Sleep::Nap, Sleep::Nap]);
    }

    #[test]
    fn behind_a_full_burst_it_looks_at_once() {
        let mut idle = Idle::new(false);
        let turns = [(2, 2), (FULL, 1), (2, 1), (2, 1), (2, 1)];
        let slept = sleeps(&mut idle, true, &turns);
        assert_eq!(slept, [Sleep::Not, Sleep::Not, Sleep::Not, Sleep::Not, Sleep::Nap]);
    }

    #[test]
    fn it_waits_for_a_frame_when_nothing_came_for_a_nap() {
        let mut idle = Idle::new(false);
        let slept = sleeps(&mut idle, true, &[(2, 3), (0, 3), (0, 3)]);
        assert_eq!(slept, [Sleep::Nap, Sleep::Wait, Sleep::Wait]);
    }

    #[test]
    fn woken_in_vain_it_naps_before_it_waits_again() {
        let mut idle = Idle::new(false);
        assert_eq!(sleeps(&mut idle, true, &[(0, 3)]), [Sleep::Wait]);
        idle.woken = true;
        assert_eq!(sleeps(&mut idle, true, &[(0, 3), (0, 3)]), [Sleep::Nap, Sleep::Wait]);
    }

    #[test]
    fn without_files_it_looks_on_for_a_thousand_turns() {
        let mut idle = Idle::new(false);
        let empty = vec![(0, 3); IDLE_TURNS as usize];
        assert!(sleeps(&mut idle, false, &empty).iter().all(|sleep| *sleep == Sleep::Not));
        let turns = [(0, 3), (1, 1), (0, 3)];
        assert_eq!(sleeps(&mut idle, false, &turns), [Sleep::Nap, Sleep::Not, Sleep::Not]);
    }
}
