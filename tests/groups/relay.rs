//! An instance in a namespace, and how it is asked.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::binary::{Ended, Instance, Running, is_whole};
use crate::netns::Space;

/// Longest wait for what must come; only a hang takes so long.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What every configuration here begins with.
pub const SMALL: &str = "[eal]\nmemory = \"no-huge\"\n[memory]\npackets = 4096\n";

/// A relay and its files.
pub struct Relay {
    pub instance: Instance,
    running: Option<Running>,
}

impl Relay {
    /// Not started yet, with this configuration.
    pub fn new(text: &str) -> Self {
        let relay = Self { instance: Instance::new(), running: None };
        relay.configure(text);
        relay
    }

    /// Another configuration, for the next reload.
    pub fn configure(&self, text: &str) {
        self.instance.configure("", &format!("{SMALL}{text}"));
    }

    /// Starts it in a namespace, and waits until it answers.
    pub fn start(&mut self, space: &Space) {
        let args = ["run", "config.toml", "--report", "report.json"];
        let mut command = space.command(env!("CARGO_BIN_EXE_punctual"));
        let mut running = self.instance.spawn(&args, self.at_home(&mut command));
        until("the relay to answer", || {
            assert!(running.is_running(), "{}", running.stderr());
            self.ask(&["show", "ledger", "--json"]).code == Some(0)
        });
        self.running = Some(running);
    }

    fn at_home<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("RUNTIME_DIRECTORY", self.instance.path("run")).env("NO_COLOR", "1")
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
        let said = self.ask(&["reload"]);
        assert_eq!(said.code, Some(0), "{said:?}");
    }

    /// Ends it; returns its report, which must be whole.
    pub fn stop(&mut self) -> Value {
        let running = self.running.take().expect("it was started");
        running.signal(libc::SIGTERM);
        let ended = running.end();
        assert_eq!(ended.code, Some(0), "{ended:?}");
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
