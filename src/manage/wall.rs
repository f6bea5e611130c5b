//! The wall clock and the calendar: the one place of management that reads them.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The time now.
#[allow(
    clippy::disallowed_methods,
    reason = "management runs in wall time; the workers' way takes `now` as an argument"
)]
pub fn now() -> Instant {
    Instant::now()
}

/// Nanoseconds since 1970, as the host's calendar says.
pub fn unix_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Milliseconds since 1970, as the host's calendar says.
pub fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
