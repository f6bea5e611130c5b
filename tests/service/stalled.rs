//! A worker that takes no turn: its thread alone is stopped, by a debugger's means, and goes on.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use crate::binary::{Running, named, number};
use crate::notify::{Manager, relays, run};
use crate::site::Site;

/// A thread that stands still until this is dropped.
struct Stopped(i32);

impl Stopped {
    /// Stops a thread of a child; `None` where this host lets nobody do that.
    fn stop(thread: i32) -> Option<Self> {
        let none = std::ptr::null_mut::<libc::c_void>();
        // SAFETY: neither request takes an address.
        let seized = unsafe { libc::ptrace(libc::PTRACE_SEIZE, thread, none, none) };
        if seized != 0 {
            return None;
        }
        // SAFETY: as above; the thread is ours to stop since it was seized.
        let code = unsafe { libc::ptrace(libc::PTRACE_INTERRUPT, thread, none, none) };
        assert_eq!(code, 0);
        let mut status = 0;
        // SAFETY: `status` lives as long as the call.
        let waited = unsafe { libc::waitpid(thread, &raw mut status, libc::__WALL) };
        assert_eq!(waited, thread);
        Some(Self(thread))
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let none = std::ptr::null_mut::<libc::c_void>();
        // SAFETY: the thread is stopped by us, and the request takes no address.
        unsafe { libc::ptrace(libc::PTRACE_DETACH, self.0, none, none) };
    }
}

/// The worker's thread.
fn worker(running: &Running) -> i32 {
    let tasks = fs::read_dir(format!("/proc/{}/task", running.id())).expect("it has threads");
    let is_worker = |task: &fs::DirEntry| {
        let name = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        name.contains("worker")
    };
    let task = tasks.flatten().find(is_worker).expect("it has a worker");
    task.file_name().to_string_lossy().parse().expect("a thread has a number")
}

fn stall(site: &Site) -> Option<Value> {
    let alerts = site.json("alerts");
    let found = alerts.as_array()?.iter().find(|alert| alert["kind"] == "stalled");
    found.cloned()
}

#[test]
fn a_stalled_worker_is_an_alert_and_keeps_the_service_manager_s_word_back() {
    let site = Site::endless();
    let (manager, mut command) = Manager::of(&site, 200_000);
    let mut running = run(&site, &mut command, &[]);
    relays(&site, &mut running);
    assert_eq!(named(&site.json("ports"), "feed")["link"], "up");
    manager.until("WATCHDOG=1");

    let stopped = loop {
        let Some(stopped) = Stopped::stop(worker(&running)) else {
            println!("skipped: this host lets nobody stop a thread");
            return;
        };
        // Stopped in the middle of publishing its totals, a worker keeps those waiting who read
        // them; that is not what this test is about.
        if site.ask(&["show", "alerts"]).code == Some(0) {
            break stopped;
        }
    };
    let alert = loop {
        if let Some(alert) = stall(&site).filter(|alert| alert["active"] == true) {
            break alert;
        }
    };
    assert_eq!(
        (alert["level"].as_str(), alert["subject"].as_str()),
        (Some("warning"), Some("lcore 1"))
    );
    manager.waiting();
    // As long as it stands, nobody says that all is well, and management does its work.
    std::thread::sleep(Duration::from_millis(1_500));
    let heard = manager.waiting();
    assert!(!heard.iter().any(|text| text.contains("WATCHDOG")), "{heard:?}");
    assert!(heard.iter().any(|text| text.starts_with("STATUS=")), "{heard:?}");

    drop(stopped);
    manager.until("WATCHDOG=1");
    while stall(&site).is_some_and(|alert| alert["active"] == true) {
        std::thread::sleep(Duration::from_millis(20));
    }
    running.signal(libc::SIGTERM);
    let report = site.has_ended(running);
    let alerts = report["alerts"].as_array().expect("a list");
    let stall = alerts.iter().find(|alert| alert["kind"] == "stalled").expect("it is kept");
    assert!(number(&stall["since_ns"]) > 0 && stall["active"] == false, "{stall}");
}
