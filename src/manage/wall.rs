//! The wall clock: the one place of management that reads it.

use std::time::Instant;

/// The time now.
#[allow(
    clippy::disallowed_methods,
    reason = "management runs in wall time; the workers' way takes `now` as an argument"
)]
pub fn now() -> Instant {
    Instant::now()
}
