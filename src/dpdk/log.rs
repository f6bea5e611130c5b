//! What EAL and the drivers log: kept, not printed, so that the terminal shows our errors and each
//! error can quote its cause.

use std::collections::VecDeque;
use std::ffi::c_char;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use rustix::fs::MemfdFlags;

/// Lines that are kept; the oldest go first.
const LINES_MAX: usize = 256;
/// Lines that an error quotes; the last ones say why.
const QUOTED_MAX: usize = 4;

/// Lines that come with every start or refusal and explain nothing.
const NOISE: &[&str] = &[
    "Detected CPU lcores",
    "Detected NUMA nodes",
    "Detected shared linkage",
    "Multi-process socket",
    "Selected IOVA mode",
    "Driver cannot attach the device",
    "Failed to attach device on primary process",
];

#[derive(Debug)]
struct Lines {
    kept: VecDeque<String>,
    /// Lines ever written.
    written: usize,
    partial: String,
}

static LINES: Mutex<Lines> =
    Mutex::new(Lines { kept: VecDeque::new(), written: 0, partial: String::new() });

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
        lines.push(line.trim_end().to_owned());
    }
}

impl Lines {
    fn push(&mut self, line: String) {
        if self.kept.len() == LINES_MAX {
            self.kept.pop_front();
        }
        self.kept.push_back(line);
        self.written += 1;
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

/// What was logged since `mark`, the last lines that explain something, on one line.
pub(super) fn since(mark: usize) -> String {
    let lines = lines();
    let count = lines.written.saturating_sub(mark).min(lines.kept.len());
    let all = lines.kept.iter().skip(lines.kept.len() - count).map(String::as_str);
    let told = all.clone().filter(|line| !NOISE.iter().any(|noise| line.contains(noise)));
    let mut quoted: Vec<&str> = told.collect();
    if quoted.is_empty() {
        quoted = all.collect();
    }
    if quoted.is_empty() {
        return "it did not say why".into();
    }
    format!("\"{}\"", quoted[quoted.len().saturating_sub(QUOTED_MAX)..].join("; "))
}

/// The lines that were logged behind `mark`, as far as they are kept, and the mark behind them.
pub fn after(mark: usize) -> (Vec<String>, usize) {
    let lines = lines();
    let count = lines.written.saturating_sub(mark).min(lines.kept.len());
    (lines.kept.iter().skip(lines.kept.len() - count).cloned().collect(), lines.written)
}

/// The last lines that EAL and the drivers have logged, the oldest first.
pub fn recent() -> Vec<String> {
    lines().kept.iter().cloned().collect()
}

/// Runs `work` and keeps what the libraries under AF_XDP, which know no log but the standard error
/// stream, say meanwhile. What others say there comes out behind it.
pub(super) fn overhear<T>(work: impl FnOnce() -> T) -> T {
    let Some(heard) = Overheard::begin() else {
        return work();
    };
    let done = work();
    let (theirs, others): (Vec<_>, Vec<_>) = heard
        .end()
        .into_iter()
        .partition(|line| ["libbpf:", "libxdp:"].iter().any(|name| line.starts_with(name)));
    others.iter().for_each(|line| eprintln!("{line}"));
    let mut lines = lines();
    for line in theirs.into_iter().filter(|line| !line.contains("skipping unrecognized")) {
        lines.push(line);
    }
    done
}

/// The standard error stream, led into memory.
#[derive(Debug)]
struct Overheard {
    stream: OwnedFd,
    memory: File,
}

impl Overheard {
    fn begin() -> Option<Self> {
        let memory = File::from(rustix::fs::memfd_create("stderr", MemfdFlags::CLOEXEC).ok()?);
        let stream = std::io::stderr().as_fd().try_clone_to_owned().ok()?;
        rustix::stdio::dup2_stderr(&memory).ok()?;
        Some(Self { stream, memory })
    }

    fn end(mut self) -> Vec<String> {
        // Where it cannot be led back there is no stream to say so.
        let _ = rustix::stdio::dup2_stderr(&self.stream);
        let mut text = Vec::new();
        let _ = self.memory.rewind().and_then(|()| self.memory.read_to_end(&mut text));
        String::from_utf8_lossy(&text).lines().map(str::to_owned).collect()
    }
}

/// As long as it lives, standard output leads nowhere.
#[derive(Debug)]
pub(super) struct Silence {
    output: OwnedFd,
}

impl Silence {
    /// Turns standard output away; `None`, and no change, where that fails.
    pub(super) fn begin() -> Option<Self> {
        let nowhere = OpenOptions::new().write(true).open("/dev/null").ok()?;
        flush();
        let output = std::io::stdout().as_fd().try_clone_to_owned().ok()?;
        redirect(nowhere.as_raw_fd()).then_some(Self { output })
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        // What C has buffered must go where it was meant for, which is nowhere.
        flush();
        redirect(self.output.as_raw_fd());
    }
}

/// Writes out what C's streams have buffered.
fn flush() {
    // SAFETY: null stands for all streams.
    unsafe { libc::fflush(std::ptr::null_mut()) };
}

fn redirect(to: i32) -> bool {
    // SAFETY: both descriptors are open.
    unsafe { libc::dup2(to, libc::STDOUT_FILENO) >= 0 }
}
