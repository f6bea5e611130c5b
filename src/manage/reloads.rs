//! Reloads, one at a time: who asks while a plan is still being taken up waits behind it.
//!
//! A worker takes a plan up at its next turn, so that the answer is nearly always there at once.
//! Where it stands still or gets no CPU, management goes on meanwhile. Who asked hears after
//! [`TAKEN_UP_MAX`] that the plan is in force and not taken up yet. Who asks next waits for that, up to
//! [`TURN_MAX`], and is refused then: a worker has room for one plan.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use super::control::{Refusal, Reloaded, code};
use super::engine::Engine;
use super::in_force::InForce;
use super::told::Told;
use super::wall;

/// How long the worker is waited for without doing anything else: some hundred turns.
const SOON: Duration = Duration::from_millis(10);
/// How often it is looked at meanwhile.
const LOOK: Duration = Duration::from_micros(20);
/// How long a worker may take to take up a plan before that is told.
const TAKEN_UP_MAX: Duration = Duration::from_secs(1);
/// How long a reload waits for its turn.
const TURN_MAX: Duration = Duration::from_secs(5);
/// Reloads that wait, at most.
const WAITING_MAX: usize = 8;

/// Who is told how a reload ended; nobody where a signal asked.
pub type Reply = SyncSender<Result<Reloaded, Refusal>>;

/// A reload that was asked for.
#[derive(Debug)]
struct Wanted {
    file: Option<PathBuf>,
    reply: Option<Reply>,
    /// When, since the start.
    asked: Duration,
}

/// A reload whose plan is in the worker's mailbox.
#[derive(Debug)]
struct UnderWay {
    reloaded: Reloaded,
    reply: Option<Reply>,
    start: Instant,
}

/// The reload that is under way, and those behind it.
#[derive(Debug, Default)]
pub struct Reloads {
    under_way: Option<UnderWay>,
    waiting: VecDeque<Wanted>,
}

impl Reloads {
    /// Asks for a reload by `file`, or by the file in force as it is then; `now` is since the
    /// start.
    pub fn ask(&mut self, file: Option<PathBuf>, reply: Option<Reply>, now: Duration) {
        if self.waiting.len() < WAITING_MAX {
            self.waiting.push_back(Wanted { file, reply, asked: now });
            return;
        }
        let message = format!("{WAITING_MAX} reloads wait for their turn, which is all; try again");
        answer(reply, Err(Refusal::new(code::BUSY, message)));
    }

    /// Whether none is under way or waits.
    pub fn is_calm(&self) -> bool {
        self.under_way.is_none() && self.waiting.is_empty()
    }

    /// Ends what can be ended and begins what can be begun, once a tick; `now` is since the start.
    /// True where somebody has an answer, and should go on with it before anything else is done: who
    /// asked and management share a CPU.
    pub fn advance(
        &mut self,
        now: Duration,
        in_force: &mut InForce,
        engine: &mut Engine,
        told: &mut Told,
    ) -> bool {
        loop {
            if let Some(under_way) = self.under_way.take() {
                let waits = under_way.start.elapsed() < TAKEN_UP_MAX && !engine.has_ended();
                if waits && !engine.is_taken_up() {
                    self.under_way = Some(under_way);
                    return false;
                }
                let UnderWay { reloaded, reply, start } = under_way;
                let reloaded = Ok(finished(reloaded, start, engine));
                told.reloaded(&reloaded);
                answer(reply, reloaded);
                return true;
            }
            let Some(wanted) = self.next(now, engine.is_taken_up()) else {
                in_force.settle();
                return false;
            };
            told.reloading();
            match self.begin(wanted, now, in_force, engine) {
                Ok(under_way) => self.under_way = Some(under_way),
                Err((reply, refusal)) => {
                    let refused = Err(refusal);
                    told.reloaded(&refused);
                    answer(reply, refused);
                }
            }
        }
    }

    /// The reload whose turn has come: because the plan before is taken up, or it has waited long
    /// enough.
    fn next(&mut self, now: Duration, is_taken_up: bool) -> Option<Wanted> {
        let first = self.waiting.front()?;
        let due = is_taken_up || now.saturating_sub(first.asked) >= TURN_MAX;
        if due { self.waiting.pop_front() } else { None }
    }

    fn begin(
        &mut self,
        Wanted { file, reply, asked }: Wanted,
        now: Duration,
        in_force: &mut InForce,
        engine: &mut Engine,
    ) -> Result<UnderWay, (Option<Reply>, Refusal)> {
        if !engine.is_taken_up() {
            let (wanted, seconds) = (engine.plan.generation, now.saturating_sub(asked).as_secs());
            let message = format!(
                "a worker has not taken up generation {wanted} for {seconds} s: it stands still or \
                 gets no CPU (see `punctual show workers`); the file was not looked at, ask again \
                 when it runs"
            );
            return Err((reply, Refusal::new(code::BUSY, message)));
        }
        let start = wall::now();
        match in_force.reload(file.as_deref(), engine, now) {
            Ok(reloaded) => {
                while !engine.is_taken_up() && !engine.has_ended() && start.elapsed() < SOON {
                    std::thread::sleep(LOOK);
                }
                Ok(UnderWay { reloaded, reply, start })
            }
            Err(refusal) => Err((reply, refusal)),
        }
    }
}

/// What is told of a reload now: the worker runs by it, or has not taken it up in time.
fn finished(mut reloaded: Reloaded, start: Instant, engine: &Engine) -> Reloaded {
    reloaded.took_ns = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
    if engine.is_taken_up() {
        (reloaded.plan_turn_ns, reloaded.longest_turn_ns) = engine.turns_ns();
    } else {
        let (generation, seconds) = (reloaded.generation, TAKEN_UP_MAX.as_secs());
        let warning = format!(
            "generation {generation} is in force, but a worker has not taken it up within \
             {seconds} s: it will when it goes on (see `punctual show workers`)"
        );
        if !reloaded.warnings.is_empty() {
            reloaded.warnings.push('\n');
        }
        reloaded.warnings.push_str(&warning);
    }
    reloaded
}

fn answer(reply: Option<Reply>, reloaded: Result<Reloaded, Refusal>) {
    if let Some(reply) = reply {
        // Who asked may have gone meanwhile.
        let _ = reply.try_send(reloaded);
    }
}
