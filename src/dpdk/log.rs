//! What EAL and the drivers log: kept, not printed, so that the terminal shows our errors and each
//! error can quote its cause.

use std::collections::VecDeque;
use std::ffi::c_char;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

/// Lines that are kept; the oldest go first.
const LINES_MAX: usize = 256;
/// Lines that an error quotes; the last ones say why.
const QUOTED_MAX: usize = 4;

#[derive(Debug)]
struct Lines {
    kept: VecDeque<String>,
    /// Lines ever written.
    written: usize,
    partial: String,
}

static LINES: Mutex<Lines> = Mutex::new(Lines {
    kept: VecDeque::new(),
    written: 0,
    partial: String::new(),
});

fn lines() -> MutexGuard<'static, Lines> {
    LINES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Receives what DPDK writes. Allocates and locks, so a driver that logs on the packet's way pays
/// for it; drivers log there only when something breaks.
unsafe extern "C" fn sink(text: *const c_char, length: usize) {
    // SAFETY: the C library hands over `length` readable bytes for the time of the call.
    let bytes = unsafe { std::slice::from_raw_parts(text.cast::<u8>(), length) };
    let mut lines = lines();
    lines.partial.push_str(&String::from_utf8_lossy(bytes));
    while let Some(end) = lines.partial.find('\n') {
        let rest = lines.partial.split_off(end + 1);
        let line = std::mem::replace(&mut lines.partial, rest);
        if lines.kept.len() == LINES_MAX {
            lines.kept.pop_front();
        }
        lines.kept.push_back(line.trim_end().to_owned());
        lines.written += 1;
    }
}

/// Takes over DPDK's log, once.
pub(super) fn capture() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: `sink` lives as long as the program. On failure the log goes where it went.
        unsafe { dpdk_sys::shim_log_to(Some(sink)) };
    });
}

/// Where the log ends now, for [`since`].
pub(super) fn mark() -> usize {
    lines().written
}

/// What was logged since `mark`, its last lines on one line.
pub(super) fn since(mark: usize) -> String {
    let lines = lines();
    let count = lines.written.saturating_sub(mark).min(QUOTED_MAX);
    let quoted: Vec<&str> = (lines.kept.iter().rev().take(count).rev())
        .map(String::as_str)
        .collect();
    if quoted.is_empty() {
        "it did not say why".into()
    } else {
        format!("\"{}\"", quoted.join("; "))
    }
}

/// The last lines that EAL and the drivers have logged, the oldest first.
pub fn recent() -> Vec<String> {
    lines().kept.iter().cloned().collect()
}
