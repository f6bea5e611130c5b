//! Every order in which management and one or two workers can meet at the mailbox: its own source,
//! on loom's locks and atomics instead of the standard library's.
//!
//! A plan is something that is written before it is put in and overwritten when it is freed. So
//! loom finds a worker that reads half a plan or one that is gone, and counts what is never freed.

/// What `src/worker/mailbox.rs` finds beside it.
mod sync {
    pub use std::sync::{PoisonError, TryLockError};

    pub use loom::sync::atomic::{AtomicU64, Ordering};
    pub use loom::sync::{Arc, Mutex, MutexGuard};
}

mod plan {
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;
    use loom::sync::atomic::{AtomicU64, Ordering};
    use loom::thread::{self, ThreadId};

    /// As much of a plan as the mailbox knows, and what shows how it is used.
    #[derive(Debug)]
    pub struct Plan {
        pub generation: u64,
        content: UnsafeCell<u64>,
        management: ThreadId,
        /// How many were freed.
        freed: Arc<AtomicU64>,
    }

    impl Plan {
        pub fn new(generation: u64, freed: &Arc<AtomicU64>) -> Self {
            let content = UnsafeCell::new(generation * 10);
            let management = thread::current().id();
            Self { generation, content, management, freed: Arc::clone(freed) }
        }

        /// Goes by it.
        pub fn read(&self) {
            // SAFETY: loom reports who writes meanwhile, which only `drop` does.
            let content = self.content.with(|content| unsafe { *content });
            assert_eq!(content, self.generation * 10);
        }
    }

    impl Drop for Plan {
        fn drop(&mut self) {
            assert_eq!(thread::current().id(), self.management, "freed by the worker");
            // SAFETY: nobody else has it; loom reports who does.
            self.content.with_mut(|content| unsafe { *content = 0 });
            self.freed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[path = "../../src/worker/mailbox.rs"]
#[allow(dead_code)]
mod mailbox;

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;

use mailbox::Mailbox;
use plan::Plan;

/// Turns that a worker takes: fewer than it may need, so that it also ends in the middle.
const TURNS: usize = 3;
/// Switches away from a thread that could go on, where there are three.
const PREEMPTIONS: usize = 3;

/// What management and the worker share.
struct Shared {
    mailbox: Mailbox,
    /// By worker: `WorkerCounters::generation`.
    published: Vec<AtomicU64>,
    /// A ring from the first worker to the second, of one packet: the generation of the plan that
    /// it was matched by; 0 while it is empty.
    ring: AtomicU64,
}

impl Shared {
    fn new(workers: usize) -> Self {
        let published = (0..workers).map(|_| AtomicU64::new(1)).collect();
        Self { mailbox: Mailbox::new(1, workers), published, ring: AtomicU64::new(0) }
    }
}

/// Turns as `Worker::turn` takes them; returns the plan that it ends with.
fn work(shared: &Shared, mut plan: Arc<Plan>) -> Arc<Plan> {
    for _ in 0..TURNS {
        turn(shared, 0, &mut plan);
    }
    plan
}

/// What a worker does, from its first plan to its last.
type Work = fn(&Shared, Arc<Plan>) -> Arc<Plan>;

/// One turn of a worker, as far as its plan goes.
fn turn(shared: &Shared, me: usize, plan: &mut Arc<Plan>) {
    let before = plan.generation;
    let is_new = shared.mailbox.swap(me, plan);
    assert_eq!(is_new, plan.generation > before, "never back");
    plan.read();
    // A counter is a plain store.
    shared.published[me].store(plan.generation, Ordering::Release);
}

/// The first worker hands over what it has matched.
fn hand_over(shared: &Shared, mut plan: Arc<Plan>) -> Arc<Plan> {
    turn(shared, 0, &mut plan);
    shared.ring.store(plan.generation, Ordering::Release);
    plan
}

/// The second looks at the ring, takes up its plan, and only then takes what it saw.
fn take_over(shared: &Shared, mut plan: Arc<Plan>) -> Arc<Plan> {
    for _ in 0..2 {
        let matched_by = shared.ring.load(Ordering::Acquire);
        turn(shared, 1, &mut plan);
        assert!(plan.generation >= matched_by, "it would find rules that it does not know");
    }
    plan
}

/// Publishes as `Engine::publish` does: `plan` is the one in force.
fn publish(shared: &Shared, in_force: &mut Arc<Plan>, plan: Plan) -> Vec<Arc<Plan>> {
    *in_force = Arc::new(plan);
    shared.mailbox.put(in_force)
}

fn is_taken_up(shared: &Shared, in_force: &Plan) -> bool {
    let mut all = shared.published.iter().map(|published| published.load(Ordering::Acquire));
    all.all(|generation| generation == in_force.generation)
}

/// Runs management against a worker in every order; all `plans` must be freed, once each.
fn every_order(plans: u64, manage: fn(&Shared, &mut Arc<Plan>, &Arc<AtomicU64>)) {
    let orders = std::sync::atomic::AtomicU64::new(0);
    let count = std::sync::Arc::new(orders);
    let counted = std::sync::Arc::clone(&count);
    loom::model(move || {
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let freed = Arc::new(AtomicU64::new(0));
        let mut in_force = Arc::new(Plan::new(1, &freed));
        let shared = Arc::new(Shared::new(1));
        let (theirs, first) = (Arc::clone(&shared), Arc::clone(&in_force));
        let worker = thread::spawn(move || work(&theirs, first));
        manage(&shared, &mut in_force, &freed);
        let last = worker.join().expect("it ends well");
        let made = in_force.generation;
        drop((last, in_force, shared));
        assert_eq!(freed.load(Ordering::Relaxed), made, "each once");
        assert!(made <= plans);
    });
    let count = count.load(std::sync::atomic::Ordering::Relaxed);
    println!("{count} orders");
    assert!(count > 10, "there are orders to tell apart: {count}");
}

/// A tick of management: once the new plan is published, the old one is there and nobody's else.
fn take_old(shared: &Shared, in_force: &Plan) -> bool {
    if !is_taken_up(shared, in_force) {
        return false;
    }
    let mut old = shared.mailbox.take();
    assert_eq!(old.len(), shared.published.len(), "each worker left it");
    assert!(old.iter().all(|old| old.generation + 1 == in_force.generation));
    let mut last = old.pop().expect("there is a worker");
    drop(old);
    assert!(Arc::get_mut(&mut last).is_some(), "nobody else has it: it is freed here");
    true
}

#[test]
fn the_plan_before_is_freed_by_management_when_the_worker_has_left_it() {
    every_order(3, |shared, in_force, freed| {
        assert!(publish(shared, in_force, Plan::new(2, freed)).is_empty());
        thread::yield_now();
        if take_old(shared, in_force) {
            assert!(publish(shared, in_force, Plan::new(3, freed)).is_empty());
            thread::yield_now();
            take_old(shared, in_force);
        }
    });
}

#[test]
fn a_plan_that_follows_at_once_finds_the_one_before_in_its_place() {
    every_order(3, |shared, in_force, freed| {
        assert!(publish(shared, in_force, Plan::new(2, freed)).is_empty());
        thread::yield_now();
        if is_taken_up(shared, in_force) {
            let old = publish(shared, in_force, Plan::new(3, freed));
            assert_eq!(old.len(), 1, "the worker left it");
            assert_eq!(old[0].generation, 1);
        }
    });
}

/// It would not be done, but it would do no harm: a plan that was never taken comes out again.
#[test]
fn a_plan_that_was_not_taken_up_comes_out_again() {
    every_order(3, |shared, in_force, freed| {
        publish(shared, in_force, Plan::new(2, freed));
        let out = publish(shared, in_force, Plan::new(3, freed));
        assert!(out.len() == 1 && out[0].generation < 3, "one of the two");
    });
}

/// Who is handed a packet goes by no older plan than who matched it; and a plan is freed, by
/// management, when both have left it.
#[test]
fn two_workers_that_hand_over_go_by_plans_in_order() {
    let count = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let counted = std::sync::Arc::clone(&count);
    let mut model = loom::model::Builder::new();
    // Three threads: what two switches away from a runnable thread can show takes seconds.
    model.preemption_bound = Some(PREEMPTIONS);
    model.check(move || {
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let freed = Arc::new(AtomicU64::new(0));
        let mut in_force = Arc::new(Plan::new(1, &freed));
        let shared = Arc::new(Shared::new(2));
        let works: [Work; 2] = [hand_over, take_over];
        let workers = works.map(|work| {
            let (theirs, first) = (Arc::clone(&shared), Arc::clone(&in_force));
            thread::spawn(move || work(&theirs, first))
        });
        assert!(publish(&shared, &mut in_force, Plan::new(2, &freed)).is_empty());
        thread::yield_now();
        let taken = take_old(&shared, &in_force);
        let last = workers.map(|worker| worker.join().expect("it ends well"));
        assert!(taken || !is_taken_up(&shared, &in_force) || take_old(&shared, &in_force));
        drop((last, in_force, shared));
        assert_eq!(freed.load(Ordering::Relaxed), 2, "each once");
    });
    let count = count.load(std::sync::atomic::Ordering::Relaxed);
    println!("{count} orders");
    assert!(count > 100, "there are orders to tell apart: {count}");
}
