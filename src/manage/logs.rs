//! Logs: what management says while it runs, as lines on the standard error stream.
//!
//! A thread of its own writes them from a bounded queue: where the stream is stuck, lines are
//! dropped and counted, and management goes on. Workers do not log.

use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};

use super::alerts::{Alert, Level};
use super::text::{Style, is_dumb, span};

/// Lines that wait for the stream at most.
const LINES_MAX: usize = 1_024;

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Time, level, text, and fields as `name=value`
    #[default]
    Text,
    /// One JSON object a line
    Json,
}

/// The least that is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Least {
    /// Nothing
    Off,
    /// What ends the run
    Error,
    /// What something is to be done about
    Warn,
    /// What is good to know
    #[default]
    Info,
    /// What DPDK says at start, too
    Debug,
}

impl From<Least> for LevelFilter {
    fn from(least: Least) -> Self {
        match least {
            Least::Off => Self::OFF,
            Least::Error => Self::ERROR,
            Least::Warn => Self::WARN,
            Least::Info => Self::INFO,
            Least::Debug => Self::DEBUG,
        }
    }
}

/// The log of this process. What waits is written when it is dropped, where that takes no second.
#[derive(Debug)]
pub struct Logs {
    writer: NonBlocking,
    dropped: ErrorCounter,
    _thread: WorkerGuard,
}

impl Logs {
    /// Begins to log. The thread runs where the calling thread may run. Where the process logs
    /// already, it goes on as it did.
    pub fn start(format: Format, least: Least) -> Self {
        let stderr = std::io::stderr();
        let colours = Style::of(&stderr).is_coloured();
        let builder = NonBlockingBuilder::default().thread_name("log");
        let (writer, thread) = builder.buffered_lines_limit(LINES_MAX).lossy(true).finish(stderr);
        let dropped = writer.error_counter();
        let lines = tracing_subscriber::fmt()
            .with_max_level(LevelFilter::from(least))
            .with_target(false)
            .with_ansi(colours)
            .with_writer(clone_of(&writer));
        // In tests of this crate another one may have been first.
        let _ = match format {
            Format::Text => tracing::subscriber::set_global_default(lines.finish()),
            Format::Json => {
                let lines = lines.json().flatten_event(true).with_current_span(false);
                tracing::subscriber::set_global_default(lines.with_span_list(false).finish())
            }
        };
        Self { writer, dropped, _thread: thread }
    }

    /// Lines that found no room in the queue.
    pub fn dropped(&self) -> u64 {
        self.dropped.dropped_lines() as u64
    }

    /// The way to the standard error stream where that is a terminal that can erase a line.
    pub fn terminal(&self) -> Option<NonBlocking> {
        let shows = std::io::stderr().is_terminal() && !is_dumb();
        shows.then(|| self.writer.clone())
    }
}

/// Makes a writer for each line.
fn clone_of(writer: &NonBlocking) -> impl Fn() -> NonBlocking + Send + Sync + 'static {
    let writer = writer.clone();
    move || writer.clone()
}

/// Logs an alert that has begun, changed its level, or ended `now` nanoseconds since the start.
pub fn alert(alert: &Alert, now: u64) {
    let Alert { since_ns, kind, subject, count, text, remedy, .. } = alert;
    match (alert.active, alert.level) {
        (false, _) => {
            let after = span(now.saturating_sub(*since_ns));
            tracing::info!(kind, subject, count, "{subject}: over after {after}: {kind}");
        }
        (true, Level::Info) => tracing::info!(kind, subject, count, remedy, "{subject}: {text}"),
        (true, Level::Warning) => {
            tracing::warn!(kind, subject, count, remedy, "alert: {subject}: {text}");
        }
    }
}
