//! Management's side: one capture at a time, its taps handed to the workers and taken back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::wanted::Wanted;
use super::{End, Feed};
use crate::capture::{Filter, Tap};
use crate::config::Config;
use crate::ledger::Counters;
use crate::manage::control::{Refusal, code};
use crate::manage::wall;
use crate::packet::Ticks;
use crate::plan::Plan;
use crate::worker::Control;

/// How long the workers may take to give their taps back; they do so within a turn.
const GIVEN_BACK_MAX: Duration = Duration::from_secs(1);

/// What management and the reader of a capture know of each other.
#[derive(Debug)]
pub struct Watch {
    /// The reader wants no more.
    over: AtomicBool,
    /// The plan in force, for the names of slots.
    plan: Mutex<Arc<Plan>>,
    /// Why there will be no more, once the workers have given their taps back.
    ended: Mutex<Option<End>>,
}

impl Watch {
    fn new(plan: &Arc<Plan>) -> Self {
        let (plan, ended) = (Mutex::new(Arc::clone(plan)), Mutex::new(None));
        Self { over: AtomicBool::new(false), plan, ended }
    }

    /// The reader wants no more.
    pub fn give_up(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// The plan in force.
    pub fn plan(&self) -> Arc<Plan> {
        Arc::clone(&self.plan.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Why there will be no more than has been handed over.
    pub fn ended(&self) -> Option<End> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What a capture is of: the instance as management has it.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// The configuration in force.
    pub config: &'a Config,
    /// The plan in force.
    pub plan: &'a Arc<Plan>,
    /// The counters of each worker, and the place for its tap.
    pub workers: &'a [Arc<Counters>],
    /// How the workers are told.
    pub control: &'a Control,
    /// The time by the workers' clock; none where it is the capture's.
    pub now: Option<Ticks>,
}

/// The capture that is under way, if any.
#[derive(Debug, Default)]
pub struct Captures {
    current: Option<Current>,
    /// The next one, where the workers still have the taps of one that has ended.
    next: Option<(Wanted, Reply)>,
}

/// Where it is said how it began.
type Reply = SyncSender<Result<Feed, Refusal>>;

#[derive(Debug)]
struct Current {
    watch: Arc<Watch>,
    wanted: Wanted,
    filter: Filter,
    /// By the plan of this generation its names are known.
    generation: u64,
    /// Why it ends, and since when (since the start), once it does.
    ending: Option<(End, Duration)>,
    /// Taps that the workers have.
    taps: usize,
}

impl Captures {
    /// Begins what is wanted, or says why not: another is under way, or what is wanted is not
    /// there. Where another has just ended it begins in a tick or two.
    pub fn ask(&mut self, wanted: Wanted, reply: Reply, scene: &Scene<'_>) {
        let answer = match &self.current {
            None => self.begin(&wanted, scene),
            Some(current) if current.is_over() && self.next.is_none() => {
                self.next = Some((wanted, reply));
                return;
            }
            Some(current) => {
                let message = format!(
                    "another capture is under way ({}); one at a time is all: try again when it \
                     has ended",
                    current.wanted.words()
                );
                Err(Refusal::new(code::BUSY, message))
            }
        };
        // Who asked may have gone meanwhile; that ends it.
        drop(reply.try_send(answer));
    }

    fn begin(&mut self, wanted: &Wanted, scene: &Scene<'_>) -> Result<Feed, Refusal> {
        let filter = wanted.filter(scene.config, scene.plan)?;
        let largest = scene.plan.largest_frame;
        let snap = if wanted.snap == 0 { largest } else { wanted.snap.min(largest) };
        let mut wells = Vec::new();
        for worker in scene.workers {
            let (tap, well) = Tap::new(filter, wanted.sample, snap as usize);
            worker.capture.put(Some(tap));
            wells.push(well);
        }
        scene.control.swap_tap();
        let watch = Arc::new(Watch::new(scene.plan));
        self.current = Some(Current {
            watch: Arc::clone(&watch),
            wanted: wanted.clone(),
            filter,
            generation: scene.plan.generation,
            ending: None,
            taps: wells.len(),
        });
        tracing::info!(of = wanted.words(), "capture begins");
        let clock = scene.now.map(|now| (now, wall::unix_ns()));
        Ok(Feed::new(wells, watch, wanted, snap, clock))
    }

    /// Whether there is none to look after.
    pub fn is_calm(&self) -> bool {
        self.current.is_none() && self.next.is_none()
    }

    /// Looks after it, once a tick; `now` is since the start.
    pub fn tick(&mut self, scene: &Scene<'_>, now: Duration) {
        let Some(current) = &mut self.current else {
            if let Some((wanted, reply)) = self.next.take() {
                self.ask(wanted, reply, scene);
            }
            return;
        };
        if current.generation != scene.plan.generation {
            current.generation = scene.plan.generation;
            *current.watch.plan.lock().unwrap_or_else(PoisonError::into_inner) =
                Arc::clone(scene.plan);
            if let Some(gone) = gone(current, scene) {
                current.end(End::Gone(gone), scene, now);
            }
        }
        if current.is_over() {
            current.end(End::Client, scene, now);
        }
        let Some((end, since)) = &current.ending else {
            return;
        };
        let back = scene.workers.iter().filter(|worker| worker.capture.put(None).is_some()).count();
        current.taps -= back;
        if current.taps == 0 || now.saturating_sub(*since) >= GIVEN_BACK_MAX {
            *current.watch.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(end.clone());
        }
        if current.taps == 0 {
            self.current = None;
        }
    }

    /// Ends it because the workers have ended: all that they saw has been handed over.
    pub fn finish(&mut self) {
        self.next = None;
        if let Some(current) = self.current.take() {
            let mut ended = current.watch.ended.lock().unwrap_or_else(PoisonError::into_inner);
            ended.get_or_insert(End::Instance);
        }
    }
}

impl Current {
    /// Whether its reader wants no more.
    fn is_over(&self) -> bool {
        self.watch.over.load(Ordering::Relaxed)
    }

    /// Asks the workers for their taps; what they never took is back at once.
    fn end(&mut self, end: End, scene: &Scene<'_>, now: Duration) {
        if self.ending.is_some() {
            return;
        }
        tracing::info!(why = &*end.words(), "capture ends");
        self.ending = Some((end, now));
        let untaken = scene.workers.iter().filter(|worker| worker.capture.put(None).is_some());
        self.taps -= untaken.count();
        scene.control.swap_tap();
    }
}

/// What a capture is of and a reload has removed.
fn gone(current: &Current, scene: &Scene<'_>) -> Option<String> {
    let removed = |what: &str, name: &Option<String>, slot: Option<u32>, now: Option<u32>| {
        let name = name.as_ref()?;
        (slot != now).then(|| format!("{what} `{name}` was removed by a reload"))
    };
    let Scene { config, plan, .. } = scene;
    let Current { wanted, filter, .. } = current;
    let rule = config.rules.iter().position(|rule| Some(&rule.name) == wanted.rule.as_ref());
    let rule = rule.map(|rule| plan.rule_slots[rule]);
    let receiver =
        config.receivers.iter().position(|one| Some(&one.name) == wanted.receiver.as_ref());
    let receiver = receiver.map(|receiver| plan.receiver_slots[receiver]);
    removed("rule", &wanted.rule, filter.rule, rule)
        .or_else(|| removed("receiver", &wanted.receiver, filter.receiver, receiver))
}
