//! Captures as traffic: read whole, judged by the plan, played by their own timestamps.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::frames::rule_of;
use super::scenario::{PACKETS_MAX, Replay, SPAN_MAX};
use crate::packet::Ticks;
use crate::plan::Plan;
use crate::testkit::pcap::{Capture, PcapError};
use crate::testkit::traffic::Frame;

/// Bytes of frames that are held, of all captures together.
const BYTES_MAX: u64 = 1 << 30;

/// Why captures cannot be played; each names the file and says what to do.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum CaptureError {
    #[error("cannot read the capture {}: {error}; give a file that tcpdump wrote with -w", .path.display())]
    Open { path: PathBuf, error: std::io::Error },
    #[error(
        "the capture {} is damaged: {error}; only classic pcap is read: try \
         `editcap -F pcap {} repaired.pcap`",
        .path.display(), .path.display()
    )]
    Damaged { path: PathBuf, error: PcapError },
    #[error("the capture {} has no frames; there is nothing to simulate: capture anew", .0.display())]
    Empty(PathBuf),
    #[error(
        "the capture {} is too large at frame {frame}: {PACKETS_MAX} frames and {BYTES_MAX} bytes \
         at most are played; cut it with `editcap -c`",
        .path.display()
    )]
    TooLarge { path: PathBuf, frame: u64 },
    #[error(
        "frame {frame} of the capture {} is more than a day behind the first; a day at most is \
         played: cut it with `editcap -A -B`",
        .path.display()
    )]
    TooLong { path: PathBuf, frame: u64 },
}

/// Frames of one file with their timestamps, in nanoseconds since 1970.
#[derive(Debug)]
struct Recorded {
    path: PathBuf,
    port: usize,
    frames: Vec<(u64, Box<[u8]>)>,
    cut: u64,
}

/// What the captures hold.
#[derive(Debug)]
pub struct Played {
    /// To be played, one for each file.
    pub replays: Vec<Replay>,
    /// The time from the first frame to the last, at least 1 ns.
    pub span: Ticks,
    /// What is odd about them, as sentences.
    pub notes: Vec<String>,
}

/// Reads captures, each for the port with its slot, to be played `millionths / 1,000,000` times as
/// fast; frames behind `until` are left out.
///
/// # Errors
/// Where a file cannot be read or is more than can be played.
pub fn read(
    files: &[(usize, PathBuf)],
    plan: &Plan,
    millionths: u64,
    until: Option<Ticks>,
) -> Result<Played, CaptureError> {
    let mut bytes = 0;
    let mut recorded = Vec::new();
    for (port, path) in files {
        recorded.push(record(*port, path, &mut bytes)?);
    }
    let first = recorded.iter().flat_map(|file| &file.frames).map(|(at, _)| *at).min();
    let first = first.unwrap_or_default();
    let mut played = Played { replays: Vec::new(), span: 1, notes: Vec::new() };
    for file in recorded {
        let Recorded { path, port, frames, cut } = file;
        let mut replay = Replay { port, frames: Vec::new(), times: Vec::new() };
        let (mut now, mut back) = (0, 0_u64);
        for (number, (at, bytes)) in (1..).zip(frames) {
            let after = u128::from(at - first) * 1_000_000 / u128::from(millionths.max(1));
            if after > SPAN_MAX.as_nanos() {
                return Err(CaptureError::TooLong { path, frame: number });
            }
            let after = after as Ticks;
            if until.is_some_and(|until| after >= until) {
                break;
            }
            back += u64::from(after < now);
            now = now.max(after);
            let rule = rule_of(plan, &bytes, port);
            replay.frames.push(Frame { bytes: Rc::from(bytes), rule });
            replay.times.push(now);
        }
        played.span = played.span.max(now + 1);
        let name = path.display();
        if back > 0 {
            played
                .notes
                .push(format!("{name}: {back} frames go back in time; they follow at once"));
        }
        if cut > 0 {
            let text =
                format!("{name}: {cut} frames were cut short by the capture and end as such");
            played.notes.push(text);
        }
        if replay.frames.iter().all(|frame| frame.rule.is_none()) {
            let text = format!("{name}: no rule takes any of its {} frames", replay.frames.len());
            played.notes.push(text);
        }
        played.replays.push(replay);
    }
    Ok(played)
}

fn record(port: usize, path: &Path, bytes: &mut u64) -> Result<Recorded, CaptureError> {
    let path = path.to_owned();
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) => return Err(CaptureError::Open { path, error }),
    };
    let empty = file.metadata().is_ok_and(|file| file.is_file() && file.len() == 0);
    if empty {
        return Err(CaptureError::Empty(path));
    }
    let mut recorded = Recorded { path: path.clone(), port, frames: Vec::new(), cut: 0 };
    let damaged = |error| match error {
        PcapError::Io(error) => CaptureError::Open { path: path.clone(), error },
        error => CaptureError::Damaged { path: path.clone(), error },
    };
    for record in Capture::new(BufReader::new(file)).map_err(damaged)? {
        let record = record.map_err(damaged)?;
        *bytes += record.bytes.len() as u64;
        let frame = recorded.frames.len() as u64 + 1;
        if *bytes > BYTES_MAX || frame > PACKETS_MAX {
            return Err(CaptureError::TooLarge { path, frame });
        }
        recorded.cut += u64::from(record.orig_len as usize > record.bytes.len());
        recorded.frames.push((record.timestamp_ns, record.bytes.into()));
    }
    if recorded.frames.is_empty() { Err(CaptureError::Empty(path)) } else { Ok(recorded) }
}
