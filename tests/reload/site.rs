//! A relay with directories of its own, how it is asked, and what it says.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use punctual::manage::control::{self, Client, ClientError, Reloaded, Shown, Which};
use punctual::manage::report::Report;

use crate::binary::{Ended, Instance, Running};
use crate::peer::wait;

/// Longest wait for an answer; only a hang takes so long.
const PATIENCE: Duration = Duration::from_secs(20);

/// An instance that finds nobody else's.
pub struct Site {
    /// Its name and files.
    pub instance: Instance,
}

impl Site {
    /// Without a configuration yet.
    pub fn new() -> Self {
        Self { instance: Instance::new() }
    }

    /// Where `"auto"` makes the socket.
    pub fn socket(&self) -> PathBuf {
        self.instance.path(&format!("run/{}.sock", self.instance.name))
    }

    /// The binary with this site's directories.
    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_punctual"));
        command.env("RUNTIME_DIRECTORY", self.instance.path("run")).env("NO_COLOR", "1");
        command
    }

    /// Writes a configuration under this name; all at once, for it may be read at any time.
    pub fn write(&self, file: &str, text: &str) {
        let name = &self.instance.name;
        let text =
            format!("schema = 1\nidle = \"adaptive\"\n[instance]\nname = \"{name}\"\n{text}");
        let new = self.instance.path(&format!("{file}.new"));
        fs::write(&new, text).expect("it can be written");
        fs::rename(new, self.instance.path(file)).expect("it can be renamed");
    }

    /// Starts the instance.
    pub fn begin(&self) -> Running {
        let args = ["run", "config.toml", "--report", "report.json"];
        self.instance.spawn(&args, &mut self.command())
    }

    /// Waits until the instance answers.
    pub fn answers(&self, running: &mut Running) {
        wait("the instance to answer", || {
            assert!(running.is_running(), "{}", running.stderr());
            self.try_show().ok()
        });
    }

    /// Asks with the binary.
    pub fn ask(&self, args: &[&str]) -> Ended {
        self.instance.spawn(args, &mut self.command()).end()
    }

    fn client(&self) -> Result<Client, ClientError> {
        Client::connect(&Which::At(self.socket()))
    }

    fn try_show(&self) -> Result<Shown, ClientError> {
        self.client()?.ask(control::Command::Show, PATIENCE)
    }

    /// The report as of now; a management that gets no time is asked again, as it asks for.
    pub fn show(&self) -> Report {
        let shown = wait("an answer", || match self.try_show() {
            Err(ClientError::Refused(refusal)) if refusal.code == "busy" => None,
            answer => Some(answer),
        });
        shown.expect("it answers").report
    }

    /// Has it go by a file.
    pub fn reload(&self, file: &str) -> Result<Reloaded, ClientError> {
        let command = control::Command::Reload(Some(self.instance.path(file)));
        self.client()?.ask(command, PATIENCE)
    }
}

/// Memory of a process that is in RAM, in KiB.
pub fn resident_kib(process: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it says so");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// Whether the long forms are asked for.
pub fn is_long() -> bool {
    std::env::var_os("PUNCTUAL_LONG").is_some()
}
