//! The real binary, a process per run: an instance name that nobody else has, files in a
//! directory of its own. Dropping an [`Instance`] removes the directory, and fails if the run has
//! left anything of EAL's behind.

#![allow(dead_code)]

use std::fs::{self, File};
use std::io::{BufReader, BufWriter};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use punctual::testkit::pcap::{Capture, Writer};
use serde_json::Value;

use crate::common::{dies_with_us, remove_lock, runtime_directory};

/// A name and a directory for one run or several.
pub struct Instance {
    /// The instance's name.
    pub name: String,
    directory: PathBuf,
}

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; none where a signal killed it.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

/// A run under way.
pub struct Running {
    child: Child,
    stdout: PathBuf,
    /// Where it complains.
    pub stderr: PathBuf,
}

impl Instance {
    /// A fresh one.
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("punctual-e2e-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(&name);
        fs::create_dir_all(&directory).expect("the directory can be made");
        Self { name, directory }
    }

    /// A file of this instance.
    pub fn path(&self, file: &str) -> PathBuf {
        self.directory.join(file)
    }

    /// Writes `config.toml`: ordinary memory, this name, and `text`, whose first lines may be
    /// keys of the root.
    pub fn configure(&self, root: &str, text: &str) {
        let name = &self.name;
        let text = format!(
            "schema = 1\nidle = \"adaptive\"\n{root}\n[instance]\nname = \"{name}\"\n{text}"
        );
        fs::write(self.path("config.toml"), text).expect("the configuration can be written");
    }

    /// Writes a capture of these frames, each with its time in nanoseconds.
    pub fn capture<'a>(&self, file: &str, frames: impl IntoIterator<Item = (u64, &'a [u8])>) {
        let out = File::create(self.path(file)).expect("the capture can be made");
        let mut writer = Writer::new(BufWriter::new(out)).expect("its header can be written");
        for (time, bytes) in frames {
            writer.write(time, bytes).expect("a frame can be written");
        }
        writer.finish().expect("the capture can be finished");
    }

    /// The frames of a capture that a run has written.
    pub fn captured(&self, file: &str) -> Vec<Vec<u8>> {
        let file = File::open(self.path(file)).expect("the run has written it");
        let capture = Capture::new(BufReader::new(file)).expect("it is a capture");
        let frames = capture.map(|record| {
            let record = record.expect("a whole record");
            assert_eq!(record.orig_len as usize, record.bytes.len(), "nothing is cut");
            record.bytes
        });
        frames.collect()
    }

    /// Starts the binary in the instance's directory.
    pub fn start(&self, args: &[&str]) -> Running {
        self.spawn(args, &mut Command::new(env!("CARGO_BIN_EXE_punctual")))
    }

    /// Runs the binary to its end in an address space of so many bytes.
    pub fn run_within(&self, bytes: u64, args: &[&str]) -> Ended {
        let mut command = Command::new(env!("CARGO_BIN_EXE_punctual"));
        let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
        // SAFETY: between fork and exec it makes one system call, which is allowed there.
        unsafe {
            command.pre_exec(move || match libc::setrlimit(libc::RLIMIT_AS, &limit) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            });
        }
        self.spawn(args, &mut command).end()
    }

    /// Starts a command with these arguments in the instance's directory.
    pub fn spawn(&self, args: &[&str], command: &mut Command) -> Running {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let [stdout, stderr] = ["out", "err"].map(|kind| self.path(&format!("{number}.{kind}")));
        let file = |path| File::create(path).expect("the output can be made");
        let child = dies_with_us(command)
            .args(args)
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .stdout(file(&stdout))
            .stderr(file(&stderr))
            .spawn()
            .expect("the binary starts");
        Running { child, stdout, stderr }
    }

    /// Runs the binary to its end.
    pub fn run(&self, args: &[&str]) -> Ended {
        self.start(args).end()
    }

    /// Waits until a run has received so many packets, as its control socket says.
    pub fn has_received(&self, running: &mut Running, packets: u64) {
        let args = ["show", "ledger", "--json", "--total", "--instance", &self.name];
        loop {
            let said = self.run(&args).stdout;
            let ledger: Option<Value> = serde_json::from_str(&said).ok();
            if ledger.is_some_and(|ledger| number(&ledger["received"]) >= packets) {
                return;
            }
            assert!(running.is_running(), "{}", running.stderr());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Runs `config.toml` until all is quiet; returns the report. The run must end well: nothing
    /// unaccounted for, nothing left in a pool.
    pub fn relay(&self) -> Value {
        let args = ["run", "config.toml", "--stop-after-idle", "200ms", "--report", "report.json"];
        let ended = self.run(&args);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let report = self.report();
        is_whole(&report);
        for pool in report["pools"].as_array().into_iter().flatten() {
            assert_eq!(number(&pool["in_use"]), 0, "{pool}");
        }
        report
    }

    /// The report that the last run has written to `report.json`.
    pub fn report(&self) -> Value {
        let text = fs::read_to_string(self.path("report.json")).expect("there is a report");
        serde_json::from_str(&text).expect("the report is JSON")
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
        let left = runtime_directory(&self.name);
        let is_left = left.exists();
        let _ = fs::remove_dir_all(&left);
        remove_lock(&self.name);
        assert!(!is_left || std::thread::panicking(), "{} is left", left.display());
    }
}

impl Running {
    /// Its process.
    pub fn id(&self) -> i32 {
        self.child.id() as i32
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: i32) {
        // SAFETY: our own child, not yet waited for, so that the number is still its.
        let code = unsafe { libc::kill(self.id(), signal) };
        assert_eq!(code, 0);
    }

    /// Waits until it relays: until EAL's worker thread is there, and a while.
    pub fn has_started(&mut self) {
        while !self.has_worker() {
            assert!(self.is_running(), "{}", self.stderr());
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(400));
        assert!(self.is_running(), "{}", self.stderr());
    }

    fn has_worker(&self) -> bool {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.id()));
        let names = tasks.into_iter().flatten().flatten();
        names
            .filter_map(|task| fs::read_to_string(task.path().join("comm")).ok())
            .any(|name| name.contains("worker"))
    }

    /// What it has complained about so far.
    pub fn stderr(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    /// What it has printed so far.
    pub fn stdout(&self) -> String {
        fs::read_to_string(&self.stdout).unwrap_or_default()
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for its end, a minute at most.
    pub fn end(mut self) -> Ended {
        let polls = 12_000;
        let status = (0..polls).find_map(|_| match self.child.try_wait() {
            Ok(Some(status)) => Some(status),
            _ => {
                std::thread::sleep(Duration::from_millis(5));
                None
            }
        });
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let (stdout, stderr) = (read(&self.stdout), read(&self.stderr));
        let Some(status) = status else {
            panic!("it does not end\n{stdout}\n{stderr}");
        };
        Ended { code: status.code(), stdout, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A number of a report.
pub fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("no number: {value}"))
}

/// The sum of an object's or an array's numbers.
pub fn sum(value: &Value) -> u64 {
    let values: Vec<&Value> = match value {
        Value::Object(map) => map.values().collect(),
        Value::Array(list) => list.iter().collect(),
        _ => panic!("nothing to sum: {value}"),
    };
    values.into_iter().map(number).sum()
}

/// The entry of a list that has this name.
pub fn named<'a>(list: &'a Value, name: &str) -> &'a Value {
    let found = list.as_array().into_iter().flatten().find(|entry| entry["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {list}"))
}

/// The ledger's two equations hold, nothing waits, and every buffer is back or the drivers'.
pub fn is_whole(report: &Value) {
    let ledger = &report["ledger"];
    let field = |name: &str| number(&ledger[name]);
    let ends = sum(&ledger["dropped_before"]) + field("punted") + field("admitted");
    assert_eq!(field("received"), ends + field("waiting_before"), "{ledger}");
    let ends = field("sent") + sum(&ledger["dropped_after"]);
    assert_eq!(field("copies"), ends + field("waiting_after"), "{ledger}");
    assert_eq!((field("waiting_before"), field("waiting_after")), (0, 0), "{ledger}");
    assert_eq!(field("residual"), 0, "{ledger}");
    let lost = report["ports"].as_array().into_iter().flatten().map(|port| {
        number(&port["missed"]) + number(&port["no_mbuf"]) + number(&port["rx_errors"])
    });
    assert_eq!(field("offered"), field("received") + lost.sum::<u64>(), "{report}");
    for pool in report["pools"].as_array().expect("a list of pools") {
        assert_eq!(number(&pool["in_use"]), number(&pool["held"]), "{pool}");
    }
}
