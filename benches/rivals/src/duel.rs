//! Two ways of the same work in turn, A B B A, on one thread: what each block took, and whether both
//! came to the same answer.

#![allow(clippy::disallowed_methods, reason = "a bench reads the clock")]

use std::fs;
use std::time::{Duration, Instant};

use serde::Serialize;

/// Share of a block that its thread may have waited for the CPU, as scripts/measure/host.py has it.
const WAIT_MAX: f64 = 0.02;
/// Tries of a half that somebody disturbed.
const TRIES: usize = 3;
/// What is run before the first block, so that memory is as used as it will be.
const WARM_UP_BLOCKS: usize = 1;

/// What came of a block; both ways must say the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Answer {
    /// Packets found, passed or taken out.
    pub count: u64,
    /// What tells which: data, bytes.
    pub sum: u64,
}

/// The same work in two ways. Each way goes on where it was, so that the nth call of one does what the
/// nth of the other does.
pub trait Contest {
    /// The stage, and what it is done by.
    fn names(&self) -> Names;
    /// So many packets in our way.
    fn ours(&mut self, packets: u64) -> Answer;
    /// So many in the rival's.
    fn theirs(&mut self, packets: u64) -> Answer;
    /// What can be checked when all is over; panics where packets were lost or made.
    fn end(&mut self) {}
}

/// What is compared.
#[derive(Clone, Debug, Serialize)]
pub struct Names {
    /// The stage.
    pub stage: &'static str,
    /// What of ours does it.
    pub ours: &'static str,
    /// Who does the same.
    pub rival: &'static str,
    /// Rows, flows, outputs or waiting packets.
    pub size: usize,
    /// How they are drawn.
    pub drawn: &'static str,
}

/// How long, and how often.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Rounds of four blocks.
    pub rounds: usize,
    /// A block's length, about.
    pub block: Duration,
    /// Whether disturbed halves are repeated.
    pub patient: bool,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// What was compared.
    #[serde(flatten)]
    pub names: Names,
    /// Packets of a block.
    pub packets: u64,
    /// Nanoseconds a packet of each half of a round: ours, theirs.
    pub halves: Vec<[f64; 2]>,
    /// Halves that were thrown out, and disturbed ones that were kept.
    pub thrown_out: usize,
    /// See `thrown_out`.
    pub kept_disturbed: usize,
}

/// A block's time by the clock, and whether somebody else had the CPU meanwhile.
#[derive(Clone, Copy)]
struct Block {
    took: Duration,
    disturbed: bool,
    answer: Answer,
}

/// Measures both ways.
///
/// # Errors
/// Where they do not come to the same answer.
pub fn fight(contest: &mut dyn Contest, effort: &Effort) -> Result<Outcome, String> {
    let names = contest.names();
    let packets = packets_of_a_block(contest, effort.block);
    let mut outcome = Outcome { names, packets, halves: vec![], thrown_out: 0, kept_disturbed: 0 };
    for _ in 0..WARM_UP_BLOCKS {
        half(contest, packets, false)?;
    }
    for round in 0..effort.rounds * 2 {
        // There and back, so that a drift touches both alike.
        let back = round % 2 == 1;
        for attempt in 1..=TRIES {
            let blocks = half(contest, packets, back)?;
            if blocks.iter().any(|block| block.disturbed) {
                if effort.patient && attempt < TRIES {
                    outcome.thrown_out += 1;
                    continue;
                }
                outcome.kept_disturbed += 1;
            }
            let each = |block: &Block| block.took.as_nanos() as f64 / packets as f64;
            outcome.halves.push([each(&blocks[0]), each(&blocks[1])]);
            break;
        }
    }
    contest.end();
    Ok(outcome)
}

/// As many as the slower way does in a block's time, in whole batches.
fn packets_of_a_block(contest: &mut dyn Contest, block: Duration) -> u64 {
    let mut packets = BATCH;
    loop {
        let start = Instant::now();
        let answers = [contest.ours(packets), contest.theirs(packets)];
        let took = start.elapsed();
        std::hint::black_box(answers);
        if took >= block / 2 {
            let scaled = packets as f64 * 2.0 * block.as_secs_f64() / took.as_secs_f64();
            return ((scaled as u64 / BATCH) * BATCH).max(BATCH);
        }
        packets *= 2;
    }
}

/// Packets of a batch: blocks are whole ones.
pub const BATCH: u64 = 1024;

/// A block of each, ours first unless it goes `back`; as ours and theirs.
fn half(contest: &mut dyn Contest, packets: u64, back: bool) -> Result<[Block; 2], String> {
    let ours = |contest: &mut dyn Contest| timed(|| contest.ours(packets));
    let theirs = |contest: &mut dyn Contest| timed(|| contest.theirs(packets));
    let blocks = if back {
        let theirs = theirs(contest);
        [ours(contest), theirs]
    } else {
        [ours(contest), theirs(contest)]
    };
    let [ours, theirs] = blocks.map(|block| block.answer);
    if ours == theirs {
        return Ok(blocks);
    }
    let Names { stage, rival, size, drawn, .. } = contest.names();
    Err(format!(
        "{stage}, {size} {drawn}: of {packets} packets ours says {ours:?} and {rival} says {theirs:?}"
    ))
}

fn timed(work: impl FnOnce() -> Answer) -> Block {
    let (stolen_before, waited_before, start) = (stolen(), waited(), Instant::now());
    let answer = work();
    let took = start.elapsed();
    let waited = (waited() - waited_before).as_secs_f64();
    let disturbed = waited > took.as_secs_f64() * WAIT_MAX || stolen() > stolen_before;
    Block { took, disturbed, answer }
}

/// How long this thread was ready but another had its CPU; 0 where the kernel does not say.
fn waited() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let waited = text.split_whitespace().nth(1).and_then(|waited| waited.parse().ok());
    Duration::from_nanos(waited.unwrap_or(0))
}

/// Ticks of all CPUs that other guests had since boot; 0 where the kernel does not say.
fn stolen() -> u64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    text.lines().next().and_then(|all| all.split_whitespace().nth(8)?.parse().ok()).unwrap_or(0)
}
