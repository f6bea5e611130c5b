//! `punctual simulate`.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::exit::{self, Exit};
use crate::config;
use crate::manage::text::Style;
use crate::simulate::{
    self, LINK, Load, Model, NANOS_PER_COPY, NANOS_PER_PACKET, Request, RequestError, SPAN_MAX,
    SimulateError, TrafficSource, json, plot, table,
};
use crate::testkit::Costs;
use crate::testkit::fault::{FaultKind, FaultSpec};

/// The dearest packet or copy, in nanoseconds.
const COST_MAX: u64 = 1_000_000_000;
/// The slowest and the fastest link, in bits a second: those of a configuration's rates.
const LINKS: std::ops::RangeInclusive<u64> = 1_000..=1_000_000_000_000;

/// The arguments of `punctual simulate`.
#[derive(Clone, Debug, Args)]
#[command(after_long_help = faults_help())]
pub struct SimulateArgs {
    /// The configuration
    file: PathBuf,
    /// A capture, PORT=CAPTURE (repeatable), or seed:N for traffic made to fit the rules
    ///
    /// A capture is played by its own timestamps, at the first port that rules take input from
    /// where none is named.
    #[arg(long, value_name = "CAPTURE|seed:N", required = true)]
    traffic: Vec<TrafficSource>,
    /// How seeded traffic lies in time: constant, poisson (the default), bursts, incast,
    /// microburst or aggressor
    #[arg(long)]
    model: Option<Model>,
    /// How much, 0.01 to 100: times what the busiest of CPU and links can carry; for a capture,
    /// times its own speed
    #[arg(long, value_name = "N", default_value = "1")]
    load: Load,
    /// For how long traffic is offered, 1us to 1 day; a second, or all of a capture, by default
    #[arg(long, value_name = "DURATION", value_parser = span)]
    duration: Option<Duration>,
    /// How fast every link is
    #[arg(long, value_name = "RATE", default_value = "10Gbps", value_parser = link)]
    link: u64,
    /// What the CPU takes for a packet, from receipt to the ingress queues, in ns; the default is
    /// what docs/journey.md measured on warm caches, and half as much again
    #[arg(long, value_name = "N", default_value_t = NANOS_PER_PACKET,
          value_parser = clap::value_parser!(u64).range(0..=COST_MAX))]
    cpu_ns_per_packet: u64,
    /// What it takes for each copy, from fan-out to send, in ns; measured there too, and a quarter
    #[arg(long, value_name = "N", default_value_t = NANOS_PER_COPY,
          value_parser = clap::value_parser!(u64).range(0..=COST_MAX))]
    cpu_ns_per_copy: u64,
    /// What goes wrong: KIND[:PLACE][@START[+LENGTH]], as in tx-refuses:out@10ms+5ms; by seed
    /// where no place or time is given (repeatable; --help lists the kinds)
    #[arg(long, value_name = "SPEC")]
    fault: Vec<FaultSpec>,
    /// Write the outcome to this file, as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Draw the outcome into this file, as SVG
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

fn faults_help() -> String {
    let kinds =
        FaultKind::ALL.iter().map(|kind| format!("  {:<14} {}", kind.name(), kind.meaning()));
    format!("Kinds of faults:\n{}", kinds.collect::<Vec<_>>().join("\n"))
}

/// A time that is worth simulating.
fn span(text: &str) -> Result<Duration, String> {
    let duration = super::duration(text)?;
    if (Duration::from_micros(1)..=SPAN_MAX).contains(&duration) {
        Ok(duration)
    } else {
        Err("it must be from 1us to 86400s".into())
    }
}

/// Bits a second of a link.
fn link(text: &str) -> Result<u64, String> {
    let rate = config::parse_rate(text).map_err(|error| error.to_string())?;
    if LINKS.contains(&rate) {
        Ok(rate)
    } else {
        Err(format!(
            "it must be from {} to {}",
            config::show_rate(*LINKS.start()),
            config::show_rate(*LINKS.end())
        ))
    }
}

const _: () = assert!(LINK == 10_000_000_000, "the default that the help shows");

/// Simulates, and says what came of it.
pub fn run(args: &SimulateArgs) -> Exit {
    let loaded = match super::load::load(&args.file) {
        Ok(loaded) => loaded,
        Err(rendered) => return super::fail_as_rendered(exit::CONFIG, &rendered),
    };
    if !loaded.warnings.is_empty() {
        super::warn(&loaded.warnings);
    }
    let request = Request {
        traffic: args.traffic.clone(),
        model: args.model,
        load: args.load,
        duration: args.duration,
        link: args.link,
        costs: Costs { packet: args.cpu_ns_per_packet, copy: args.cpu_ns_per_copy },
        faults: args.fault.clone(),
    };
    // Opened before it runs, so that a wrong path is found at once.
    let files = (create(args.report.as_deref()), create(args.plot.as_deref()));
    let (report, plot) = match files {
        (Ok(report), Ok(plot)) => (report, plot),
        (Err(message), _) | (_, Err(message)) => return super::fail(exit::UNAVAILABLE, &message),
    };
    let simulation = match simulate::simulate(&loaded.config, &request) {
        Ok(simulation) => simulation,
        Err(error) => return super::fail(exit_of(&error), &error.to_string()),
    };
    for note in &simulation.notes {
        super::warn(&format!("warning: {note}"));
    }
    super::print(&table::render(&simulation, Style::of(&std::io::stdout())));
    let written = write(report, || json::render(&simulation))
        .and_then(|()| write(plot, || plot::svg(&simulate::picture(&simulation))));
    if let Err(message) = written {
        return super::fail(exit::UNAVAILABLE, &message);
    }
    match simulation.outcome.defect() {
        None => exit::OK,
        Some(defect) => {
            let message = format!("{defect}: this is a bug, please report it with the table above");
            super::fail(exit::INTERNAL, &message)
        }
    }
}

fn exit_of(error: &RequestError) -> Exit {
    match error {
        RequestError::Capture(_) => exit::DATA,
        RequestError::Simulate(SimulateError::Plan(_)) => exit::CONFIG,
        RequestError::Usage(_) | RequestError::Simulate(_) => exit::USAGE,
    }
}

fn create(path: Option<&Path>) -> Result<Option<(PathBuf, File)>, String> {
    let open = |path: &Path| match File::create(path) {
        Ok(file) => Ok((path.to_owned(), file)),
        Err(error) => Err(unwritable(path, &error)),
    };
    path.map(open).transpose()
}

fn write(file: Option<(PathBuf, File)>, text: impl FnOnce() -> String) -> Result<(), String> {
    let Some((path, mut file)) = file else {
        return Ok(());
    };
    file.write_all(text().as_bytes()).map_err(|error| unwritable(&path, &error))
}

fn unwritable(path: &Path, error: &std::io::Error) -> String {
    format!("cannot write {}: {error}; choose a writable place", path.display())
}
