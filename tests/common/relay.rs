//! A relay that runs beside a test, in a namespace or not: how it is started, asked and ended. All
//! it makes is in a directory of its own, so that nobody asks or disturbs another's.

#![allow(dead_code, clippy::disallowed_methods, reason = "a wait for another process has an end")]

use std::process::Command;
use std::time::{Duration, Instant};

use punctual::dpdk::allowed_cpus;
use serde_json::Value;

use crate::binary::{Ended, Instance, Running, is_whole, number};
use crate::netns::Space;

/// Longest wait for what must come; only a hang takes so long.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What a configuration begins with: so many workers, on whatever CPUs there are, and packets.
pub fn head(workers: usize, packets: u32) -> String {
    let cpus = allowed_cpus();
    let cpu = |i: usize| cpus[i % cpus.len()].to_string();
    let list: Vec<_> = (1..=workers).map(cpu).collect();
    format!(
        "[eal]\nmemory = \"no-huge\"\n\
         lcores = {{ management = {}, workers = [{}] }}\n[memory]\npackets = {packets}\n",
        cpu(0),
        list.join(", ")
    )
}

/// Packets of a relay of a few ports.
pub const SMALL: u32 = 4_096;

/// A relay and its files. It is killed where it is dropped.
pub struct Relay {
    /// Its name and files. Dropped behind the process.
    pub instance: Instance,
    workers: usize,
    running: Option<Running>,
}

impl Relay {
    /// Not started yet, with this configuration and one worker.
    pub fn new(text: &str) -> Self {
        Self::by(1, text)
    }

    /// Not started yet, with this configuration and so many workers.
    pub fn by(workers: usize, text: &str) -> Self {
        let relay = Self { workers, ..Self::unset() };
        relay.configure(text);
        relay
    }

    /// Without a configuration yet.
    pub fn unset() -> Self {
        Self { instance: Instance::new(), workers: 1, running: None }
    }

    /// Another configuration, for the start or the next reload.
    pub fn configure(&self, text: &str) {
        self.instance.configure("", &format!("{}{text}", head(self.workers, SMALL)));
    }

    /// Starts it in a namespace; it answers when this returns.
    pub fn start(&mut self, space: &Space) {
        self.start_with(&mut space.command(env!("CARGO_BIN_EXE_punctual")));
    }

    /// Starts it where the test runs; it answers when this returns.
    pub fn start_here(&mut self) {
        self.start_with(&mut Command::new(env!("CARGO_BIN_EXE_punctual")));
    }

    fn start_with(&mut self, command: &mut Command) {
        let args = ["run", "config.toml", "--report", "report.json"];
        self.running = Some(self.instance.spawn(&args, self.at_home(command)));
        until("the relay to answer", || {
            self.still_runs();
            self.ask(&["show", "ledger", "--json"]).code == Some(0)
        });
    }

    /// It must not have ended; skips the case where it did for want of a driver in the kernel.
    pub fn still_runs(&mut self) {
        let running = self.running();
        if !running.is_running() {
            let stderr = running.stderr();
            if stderr.contains("(net_af_xdp)") {
                self.running = None;
                crate::common::skip(&format!("af_xdp: {}", stderr.trim()));
            }
            panic!("{stderr}");
        }
    }

    /// Waits until it has received so many packets.
    pub fn has_received(&mut self, packets: u64) {
        until("it to receive", || {
            self.still_runs();
            number(&self.show("ledger")["received"]) >= packets
        });
    }

    /// The process.
    pub fn running(&mut self) -> &mut Running {
        self.running.as_mut().expect("it was started")
    }

    fn at_home<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("RUNTIME_DIRECTORY", self.instance.path("run")).env("NO_COLOR", "1")
    }

    /// Runs the binary in a namespace, beside the relay.
    pub fn run_in(&self, space: &Space, args: &[&str]) -> Ended {
        let mut command = space.command(env!("CARGO_BIN_EXE_punctual"));
        self.instance.spawn(args, self.at_home(&mut command)).end()
    }

    /// Asks it with the binary.
    pub fn ask(&self, args: &[&str]) -> Ended {
        let mut command = Command::new(env!("CARGO_BIN_EXE_punctual"));
        let args = [args, &["--instance", &self.instance.name]].concat();
        self.instance.spawn(&args, self.at_home(&mut command)).end()
    }

    /// A part of what it shows.
    pub fn show(&self, what: &str) -> Value {
        let said = self.ask(&["show", what, "--json"]);
        serde_json::from_str(&said.stdout).unwrap_or_else(|why| panic!("{why}: {said:?}"))
    }

    /// Has it go by `text`.
    pub fn reload(&self, text: &str) {
        self.configure(text);
        self.take_up();
    }

    /// Has it go by its file.
    pub fn take_up(&self) {
        let said = self.ask(&["reload"]);
        assert_eq!(said.code, Some(0), "{said:?}");
    }

    /// Ends it; returns its report, which must be whole. Nothing of EAL's may be left.
    pub fn stop(&mut self) -> Value {
        let running = self.running.take().expect("it was started");
        running.signal(libc::SIGTERM);
        let ended = running.end();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let left = self.instance.path(&format!("run/dpdk/{}", self.instance.name));
        assert!(!left.exists(), "{} is left", left.display());
        let report = self.instance.report();
        is_whole(&report);
        report
    }
}

/// Waits until `it_is`, a long time at most; returns how long that took.
pub fn until(what: &str, mut it_is: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !it_is() {
        assert!(start.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
    start.elapsed()
}
