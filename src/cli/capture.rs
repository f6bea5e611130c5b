//! `punctual capture`: from a running instance's stream to a file, until somebody ends it.

use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::ask::Target;
use super::exit::{self, Exit};
use super::{duration, fail, warn};
use crate::manage::capture::{Direction, Wanted};
use crate::manage::control::{Captured, Capturing, Client, ClientError, Command};
use crate::manage::text::{Paint, Style, grouped};
use crate::manage::wall;

/// How long an instance may take for an answer, or for the rest of a frame that has begun.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a signal may go unnoticed.
const GLANCE: Duration = Duration::from_millis(100);
/// Packets after which a capture ends for which no end was said.
const COUNT: u64 = 1_000;

/// The arguments of `punctual capture`.
#[derive(Clone, Debug, Args)]
pub struct CaptureArgs {
    /// Packets of this rule; as received, unless -Q says otherwise
    #[arg(long, value_name = "RULE")]
    rule: Option<String>,
    /// Copies as they are sent to this receiver
    #[arg(long, value_name = "RECEIVER")]
    receiver: Option<String>,
    /// Packets and copies that end for these reasons, as in `no_rule,ip_checksum`; `any` is all
    #[arg(long, value_name = "REASON", value_delimiter = ',')]
    dropped: Option<Vec<String>>,
    /// What is received on this port and sent by it
    #[arg(long, short = 'i', value_name = "PORT")]
    port: Option<String>,
    /// Which way: what is received, copies as they are sent, or both
    #[arg(long, short = 'Q', value_name = "WAY", value_enum, conflicts_with = "dropped")]
    direction: Option<Direction>,
    /// End after so many; 1000 where neither this nor --for is given
    #[arg(long, short = 'c', value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End after so long, as in `10s`
    #[arg(long = "for", value_name = "DURATION", value_parser = span)]
    lasts: Option<Duration>,
    /// Take the first of N packets that fit
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..))]
    sample: u32,
    /// Keep so many bytes of each; 0 keeps all
    #[arg(long, short = 's', value_name = "BYTES", default_value_t = 0)]
    snap: u32,
    /// The file; `-` is the standard output, as in `-w - | tcpdump -nr -`
    #[arg(long, short = 'w', value_name = "FILE")]
    write: PathBuf,
    #[command(flatten)]
    target: Target,
}

/// A time that is not over at once.
fn span(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("it must be more than nothing".into()),
        lasts => Ok(lasts),
    }
}

impl CaptureArgs {
    fn wanted(&self) -> Wanted {
        let count = self.count.or_else(|| self.lasts.is_none().then_some(COUNT));
        let nanos = |lasts: Duration| u64::try_from(lasts.as_nanos()).unwrap_or(u64::MAX);
        Wanted {
            rule: self.rule.clone(),
            receiver: self.receiver.clone(),
            dropped: self.dropped.clone(),
            port: self.port.clone(),
            direction: self.direction,
            sample: self.sample,
            snap: self.snap,
            count: count.unwrap_or(0),
            for_ns: self.lasts.map_or(0, nanos),
        }
    }

    fn is_stdout(&self) -> bool {
        self.write == Path::new("-")
    }
}

/// Why a capture failed.
#[derive(Debug, thiserror::Error)]
enum CaptureError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("cannot catch signals: {0}")]
    Signals(io::Error),
    #[error("the standard output is a terminal; send it on, as in `-w - | tcpdump -nr -`")]
    Terminal,
    #[error("cannot write {}: {error}; choose a writable place for -w", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the file system says.
        error: io::Error,
    },
    /// What it is of is gone; what was captured is kept.
    #[error("the capture has ended early: {0}; what was captured until then is whole")]
    Early(String),
}

/// Captures until the end that was asked for, or a signal.
pub fn capture(args: &CaptureArgs) -> Exit {
    match capture_it(args) {
        Ok(()) => exit::OK,
        Err(error @ CaptureError::Terminal) => fail(exit::USAGE, &error.to_string()),
        Err(error) => fail(exit::UNAVAILABLE, &error.to_string()),
    }
}

fn capture_it(args: &CaptureArgs) -> Result<(), CaptureError> {
    if args.is_stdout() && io::stdout().is_terminal() {
        return Err(CaptureError::Terminal);
    }
    let ended = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&ended)).map_err(CaptureError::Signals)?;
    }
    let mut client = Client::connect(&args.target.which())?;
    let begun: Capturing = client.ask(Command::Capture(Box::new(args.wanted())), PATIENCE)?;
    // Made when it has begun: what is refused leaves an older file as it was.
    let unwritable = |error| CaptureError::Write { path: args.write.clone(), error };
    let mut file: Box<dyn Write> = match args.is_stdout() {
        true => Box::new(io::stdout().lock()),
        false => Box::new(File::create(&args.write).map_err(unwritable)?),
    };
    warn(&begins(args, &begun));
    let mut is_read = true;
    let mut hung_up = None;
    let captured: Captured = loop {
        if ended.load(Ordering::Relaxed) && hung_up.is_none() {
            client.hang_up();
            hung_up = Some(wall::now());
        }
        if !client.wait(GLANCE) {
            match hung_up {
                Some(then) if then.elapsed() >= PATIENCE => {
                    return Err(ClientError::Silent(PATIENCE).into());
                }
                _ => continue,
            }
        }
        let frame = client.frame(PATIENCE)?;
        // Blocks do not begin so.
        if frame.first() == Some(&b'{') {
            break Client::read_answer(&frame)?;
        }
        match file.write_all(&frame).and_then(|()| file.flush()) {
            Ok(()) => {}
            // A reader that left early (`| head`) has seen enough.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                is_read = false;
                ended.store(true, Ordering::Relaxed);
            }
            Err(error) => return Err(unwritable(error)),
        }
    };
    if is_read {
        warn(&ends(args, &captured));
    }
    match &*captured.ended {
        "count" | "time" | "client" => Ok(()),
        _ => Err(CaptureError::Early(captured.why)),
    }
}

fn begins(args: &CaptureArgs, begun: &Capturing) -> String {
    let bound = match (args.count, args.lasts) {
        (None, None) => format!("at most {} packets (--count, --for); ", grouped(COUNT)),
        _ => String::new(),
    };
    format!(
        "capturing on {}: {}, up to {} bytes of each; {bound}Ctrl-C ends it",
        begun.instance.name, begun.of, begun.snap
    )
}

fn ends(args: &CaptureArgs, captured: &Captured) -> String {
    let Captured { captured, matched, missed, why, .. } = captured;
    let hint = match missed {
        0 => String::new(),
        _ => format!(
            "\n{} came faster than they were read: --sample N, --snap BYTES or a narrower filter \
             help",
            Style::of(&io::stderr()).paint(Paint::Loss, &grouped(*missed))
        ),
    };
    let sampled = match args.sample {
        1 => String::new(),
        sample => format!(" (one in {sample} taken)"),
    };
    format!(
        "{} packets captured, {} matched{sampled}, {} missed by capture; {why}{hint}",
        grouped(*captured),
        grouped(*matched),
        grouped(*missed)
    )
}
