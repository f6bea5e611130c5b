//! Punctual's stages beside what DPDK and the standard library have for the same work: in one process,
//! on one CPU, with the same keys and packets, in turn.
//!
//! Run by `scripts/bench.sh --stages`, which makes medians of it and the table; by itself it prints what
//! it measured as JSON. In every block both ways must come to the same answer, so what is compared is the
//! same work; `--smoke` asks for nothing else, in short blocks of small tables (tests/same_answers.rs).

#![deny(unsafe_code)]

#[path = "../../cases/mod.rs"]
mod cases;
mod buffers;
mod draw;
mod duel;
mod edf;
mod egress;
mod parse;
mod plan;
mod police;
mod rows;
mod sources;
mod theirs;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use punctual::config::EalMemory;
use punctual::dpdk::{Eal, EalConfig, allowed_cpus};
use serde::Serialize;

use draw::Draw;
use duel::{Contest, Effort, Outcome, fight};

/// MiB of EAL's memory for tables of a million, and for the smoke's.
const MEGABYTES: [u32; 2] = [1024, 256];

/// In turn, in one process.
#[derive(Parser)]
struct Arguments {
    /// Small tables and short blocks: only to see that both ways do the same
    #[arg(long)]
    smoke: bool,
    /// Rounds of four blocks
    #[arg(long, default_value_t = 8)]
    rounds: usize,
    /// Milliseconds of a block
    #[arg(long, default_value_t = 30)]
    milliseconds: u64,
    /// The CPU; the last one that is allowed, where none is named
    #[arg(long)]
    cpu: Option<u32>,
    /// Keep what others disturbed
    #[arg(long)]
    noisy: bool,
    /// Only stages whose name contains this
    #[arg(long)]
    only: Option<String>,
}

/// All that was measured.
#[derive(Serialize)]
struct Report {
    schema: u32,
    dpdk: String,
    outcomes: Vec<Outcome>,
}

/// A contest in the making: tables are large, so there is one at a time.
type Build<'a> = Box<dyn Fn() -> Box<dyn Contest + 'a> + 'a>;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(report) => {
            println!("{}", serde_json::to_string(&report).expect("it can be written"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("rivals: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<Report, String> {
    let allowed = allowed_cpus();
    let cpu = arguments.cpu.or(allowed.last().copied()).ok_or("no CPU is allowed")?;
    let eal = Eal::start(&EalConfig {
        name: format!("rivals-{}", std::process::id()),
        // As our tables have it, so that pages are the same on both sides.
        memory: EalMemory::NoHuge,
        megabytes: MEGABYTES[usize::from(arguments.smoke)],
        management_cpu: cpu,
        worker_cpus: vec![],
        devices: vec![],
        extra: vec!["--no-telemetry".into()],
    })
    .map_err(|error| error.to_string())?;
    let effort = if arguments.smoke {
        Effort { rounds: 1, block: Duration::from_micros(500), patient: false }
    } else {
        let block = Duration::from_millis(arguments.milliseconds.max(1));
        Effort { rounds: arguments.rounds.max(1), block, patient: !arguments.noisy }
    };
    let mut outcomes = vec![];
    for build in contests(&eal, arguments) {
        outcomes.push(fight(build().as_mut(), &effort)?);
    }
    Ok(Report { schema: 1, dpdk: punctual::dpdk::version(), outcomes })
}

/// In the packet's order.
fn contests<'a>(eal: &'a Eal, arguments: &Arguments) -> Vec<Build<'a>> {
    let wanted = |stage: &str| arguments.only.as_ref().is_none_or(|only| stage.contains(only));
    let most = if arguments.smoke { 10_240 } else { 1 << 20 };
    let upto = |sizes: &[usize]| -> Vec<usize> {
        sizes.iter().copied().filter(|&size| size <= most).collect()
    };
    let mut all: Vec<Build<'a>> = vec![];
    let drawn = |sizes: &[usize]| -> Vec<(usize, Draw)> {
        let uniform = upto(sizes).into_iter().map(|size| (size, Draw::Uniform));
        let zipf = upto(sizes).into_iter().skip(1).step_by(2).map(|size| (size, Draw::Zipf));
        uniform.chain(zipf).collect()
    };
    if wanted("buffers") {
        all.push(Box::new(|| Box::new(buffers::Buffers::new(eal))));
    }
    if wanted("parse") {
        for tagged in [false, true] {
            all.push(Box::new(move || Box::new(parse::Parse::new(eal, tagged))));
        }
    }
    if wanted("classify: rows") {
        for (rows, draw) in drawn(&[1_024, 10_240, 102_400, 1_048_576]) {
            all.push(Box::new(move || Box::new(rows::Rows::new(eal, rows, draw))));
        }
    }
    if wanted("classify: sources") {
        for (sources, draw) in drawn(&[1_000, 10_000, 100_000, 1_000_000]) {
            all.push(Box::new(move || Box::new(sources::Sources::new(eal, sources, draw))));
        }
    }
    if wanted("police") {
        for flows in upto(&[1, 1_000, 100_000, 1_000_000]) {
            all.push(Box::new(move || Box::new(police::Police::new(eal, flows))));
        }
    }
    if wanted("EDF") {
        for waiting in upto(&[100, 1_000, 10_000, 100_000]) {
            all.push(Box::new(move || Box::new(edf::Edf::new(waiting))));
        }
    }
    if wanted("egress DRR") {
        for outputs in upto(&[64, 1_024, 4_096, 65_536]) {
            all.push(Box::new(move || Box::new(egress::Egress::new(eal, outputs))));
        }
    }
    all
}
