//! How long management sleeps between two looks: a wake-up costs it three times what a look does.
//!
//! While there is something to follow it looks each millisecond; when there was nothing for a while,
//! less often. Who puts an order into a mailbox wakes it ([`Bell`]); workers wake nobody.

use std::thread::Thread;
use std::time::Duration;

/// Between two looks while there is something to follow.
pub const TICK: Duration = Duration::from_millis(1);
/// Between two looks else: as long as the first ARP request or ping of many may have to wait.
const REST: Duration = Duration::from_millis(5);
/// For how long what has ended is still something to follow: more may come of it.
const STIRRED: Duration = Duration::from_millis(100);

/// When there was something to follow last; times are since the start.
#[derive(Debug, Default)]
pub struct Pace {
    stirred: Duration,
}

impl Pace {
    /// How long to sleep at `now`; `is_calm` says that there is nothing to follow.
    pub fn sleep(&mut self, now: Duration, is_calm: bool) -> Duration {
        if !is_calm {
            self.stirred = now;
        }
        if now.saturating_sub(self.stirred) < STIRRED { TICK } else { REST }
    }
}

/// Wakes management: it sleeps by [`std::thread::park_timeout`].
#[derive(Clone, Debug)]
pub struct Bell(Thread);

impl Bell {
    /// Wakes the thread that asks for it.
    pub fn of_this_thread() -> Self {
        Self(std::thread::current())
    }

    /// Wakes it, or keeps it from its next sleep.
    pub fn ring(&self) {
        self.0.unpark();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rests_when_nothing_was_to_follow_for_a_while() {
        let mut pace = Pace::default();
        let mut sleep = |ms, is_calm| pace.sleep(Duration::from_millis(ms), is_calm);
        assert_eq!([sleep(0, true), sleep(99, true), sleep(100, true)], [TICK, TICK, REST]);
        assert_eq!([sleep(205, false), sleep(304, true), sleep(305, true)], [TICK, TICK, REST]);
    }
}
