//! Every order in which management and a worker can meet at the mailbox: its own source, on
//! loom's locks and atomics instead of the standard library's.
//!
//! A plan is something that is written before it is put in and overwritten when it is freed. So
//! loom finds a worker that reads half a plan or one that is gone, and counts what is never freed.

/// What `src/worker/mailbox.rs` finds beside it.
mod sync {
    pub use std::sync::{PoisonError, TryLockError};

    pub use loom::sync::atomic::{AtomicU64, Ordering};
    pub use loom::sync::{Arc, Mutex};
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

/// What management and the worker share.
struct Shared {
    mailbox: Mailbox,
    /// `WorkerCounters::generation`.
    published: AtomicU64,
}

/// Turns as `Worker::turn` takes them; returns the plan that it ends with.
fn work(shared: &Shared, mut plan: Arc<Plan>) -> Arc<Plan> {
    for _ in 0..TURNS {
        let before = plan.generation;
        let is_new = shared.mailbox.swap(&mut plan);
        assert_eq!(is_new, plan.generation > before, "never back");
        plan.read();
        // A counter is a plain store.
        shared.published.store(plan.generation, Ordering::Relaxed);
    }
    plan
}

/// Publishes as `Engine::publish` does: `plan` is the one in force.
fn publish(shared: &Shared, in_force: &mut Arc<Plan>, plan: Plan) -> Option<Arc<Plan>> {
    *in_force = Arc::new(plan);
    shared.mailbox.put(Arc::clone(in_force))
}

fn is_taken_up(shared: &Shared, in_force: &Plan) -> bool {
    shared.published.load(Ordering::Relaxed) == in_force.generation
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
        let published = AtomicU64::new(0);
        let shared = Arc::new(Shared { mailbox: Mailbox::new(1), published });
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
    let mut old = shared.mailbox.take().expect("the worker left it");
    assert_eq!(old.generation + 1, in_force.generation);
    assert!(Arc::get_mut(&mut old).is_some(), "nobody else has it: it is freed here");
    true
}

#[test]
fn the_plan_before_is_freed_by_management_when_the_worker_has_left_it() {
    every_order(3, |shared, in_force, freed| {
        assert!(publish(shared, in_force, Plan::new(2, freed)).is_none());
        thread::yield_now();
        if take_old(shared, in_force) {
            assert!(publish(shared, in_force, Plan::new(3, freed)).is_none());
            thread::yield_now();
            take_old(shared, in_force);
        }
    });
}

#[test]
fn a_plan_that_follows_at_once_finds_the_one_before_in_its_place() {
    every_order(3, |shared, in_force, freed| {
        assert!(publish(shared, in_force, Plan::new(2, freed)).is_none());
        thread::yield_now();
        if is_taken_up(shared, in_force) {
            let old = publish(shared, in_force, Plan::new(3, freed)).expect("the worker left it");
            assert_eq!(old.generation, 1);
        }
    });
}

/// It would not be done, but it would do no harm: a plan that was never taken comes out again.
#[test]
fn a_plan_that_was_not_taken_up_comes_out_again() {
    every_order(3, |shared, in_force, freed| {
        publish(shared, in_force, Plan::new(2, freed));
        let out = publish(shared, in_force, Plan::new(3, freed)).expect("one of the two");
        assert!(out.generation < 3);
    });
}
