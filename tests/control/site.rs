//! Instances to ask, and how they are asked.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::binary::{Ended, Instance, Running, is_whole, number};
use crate::frames::v4;

/// Frames of the finite capture: for the first rule, the second, and no rule.
pub const FRAMES: [usize; 3] = [60, 30, 10];

/// An instance with its own directories.
pub struct Site {
    /// Its name and files.
    pub instance: Instance,
}

impl Site {
    /// It relays a hundred frames, and then has nothing to do.
    pub fn finite() -> Self {
        Self::finite_of("", "")
    }

    /// The same with more keys of `[eal]` and others.
    pub fn finite_of(eal: &str, keys: &str) -> Self {
        let site = Self::of("net_pcap0,rx_pcap=${CONFIG_DIR}/in.pcap", eal, keys);
        let frame = |group: u8| v4().with(|f| f.destination = [239, 1, 1, group].into()).bytes();
        let frames = (1..).zip(FRAMES).flat_map(|(group, count)| vec![frame(group); count]);
        let frames: Vec<_> = frames.collect();
        let times = (0..).map(|n: u64| 1_700_000_000_000_000_000 + n * 1_000);
        site.instance.capture("in.pcap", times.zip(frames.iter().map(Vec::as_slice)));
        site
    }

    /// It relays the same frames for ever.
    pub fn endless() -> Self {
        Self::endless_with("")
    }

    /// The same with more keys.
    pub fn endless_with(keys: &str) -> Self {
        let site = Self::of("net_pcap0,rx_pcap=${CONFIG_DIR}/in.pcap,infinite_rx=1", "", keys);
        let frame = v4().bytes();
        site.instance.capture("in.pcap", (0..32).map(|n| (n, &frame[..])));
        site
    }

    fn of(source: &str, eal: &str, keys: &str) -> Self {
        let instance = Instance::new();
        let clock = if source.contains("infinite") { "tsc" } else { "capture" };
        instance.configure(
            &format!("clock = \"{clock}\""),
            &format!(
                r#"
                [eal]
                memory = "no-huge"
                {eal}
                [memory]
                packets = 2048
                [[port]]
                name = "feed"
                device = "{source}"
                [[port]]
                name = "desks"
                device = "net_null1,no-rx=1"
                [[receiver]]
                name = "desk"
                port = "desks"
                [[rule]]
                name = "itch"
                class = "high"
                input = {{ port = "feed", destination = "239.1.1.1", udp_port = 5001 }}
                output = [
                  {{ receiver = "desk", destination = "239.2.2.1" }},
                  {{ port = "desks", destination = "239.2.2.2" }},
                ]
                [[rule]]
                name = "news"
                class = "low"
                input = {{ port = "feed", destination = "239.1.1.2", udp_port = 5001 }}
                output = [{{ receiver = "desk", destination = "239.2.2.3", sample = 3 }}]
                {keys}
                "#
            ),
        );
        Self { instance }
    }

    /// Where `"auto"` makes the socket.
    pub fn socket(&self) -> PathBuf {
        self.instance.path(&format!("run/{}.sock", self.instance.name))
    }

    /// The binary with this site's directories.
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_punctual"));
        command
            .env("RUNTIME_DIRECTORY", self.instance.path("run"))
            .env("XDG_STATE_HOME", self.instance.path("state"))
            .env("NO_COLOR", "1");
        command
    }

    /// Starts the instance; it answers when this returns.
    pub fn start(&self) -> Running {
        let mut running = self.begin();
        while UnixStream::connect(self.socket()).is_err() {
            assert!(running.is_running(), "{}", running.stderr());
            std::thread::sleep(Duration::from_millis(5));
        }
        running
    }

    /// Starts the instance.
    pub fn begin(&self) -> Running {
        let args = ["run", "config.toml", "--report", "report.json"];
        self.instance.spawn(&args, &mut self.command())
    }

    /// Asks with the binary.
    pub fn ask(&self, args: &[&str]) -> Ended {
        self.instance.spawn(args, &mut self.command()).end()
    }

    /// What the binary says where all is well.
    pub fn told(&self, args: &[&str]) -> String {
        let ended = self.ask(args);
        assert_eq!(ended.code, Some(0), "{args:?}: {ended:?}");
        assert_eq!(ended.stderr, "", "{args:?}");
        ended.stdout
    }

    /// A part of the report.
    pub fn json(&self, what: &str) -> Value {
        let text = self.told(&["show", what, "--json"]);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// Waits until all of a finite capture has gone its way.
    pub fn drained(&self) {
        let all = FRAMES.iter().sum::<usize>() as u64;
        loop {
            let ledger = self.json("ledger");
            let waiting = ["waiting_before", "waiting_after"].map(|key| number(&ledger[key]));
            if number(&ledger["received"]) == all && waiting == [0, 0] {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Stops it by its socket; it must have ended well, with all accounted for. Returns what the
    /// command said.
    pub fn stop(&self, running: Running) -> String {
        let said = self.told(&["stop"]);
        self.has_ended(running);
        said
    }

    /// It ends well: nothing unaccounted for, nothing left.
    pub fn has_ended(&self, running: Running) -> Value {
        let ended = running.end();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(!self.socket().exists());
        let report = self.instance.report();
        is_whole(&report);
        assert!(number(&report["ledger"]["received"]) > 0);
        report
    }

    /// A connection that a test writes by hand.
    pub fn stream(&self) -> UnixStream {
        let stream = UnixStream::connect(self.socket()).expect("it answers");
        // Against hanging only.
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("it has timeouts");
        stream
    }
}

/// Sends a frame.
pub fn send(stream: &mut UnixStream, json: &[u8]) {
    let mut frame = (json.len() as u32).to_be_bytes().to_vec();
    frame.extend_from_slice(json);
    stream.write_all(&frame).expect("it takes a frame");
}

/// The code of the error that is answered; then the connection ends.
pub fn refused(mut stream: UnixStream) -> String {
    let mut header = [0; 4];
    stream.read_exact(&mut header).expect("there is an answer");
    let mut json = vec![0; u32::from_be_bytes(header) as usize];
    stream.read_exact(&mut json).expect("the answer is whole");
    let answer: Value = serde_json::from_slice(&json).expect("the answer is JSON");
    assert!(answer.get("ok").is_none() && answer["version"] == 1, "{answer}");
    assert!(!matches!(stream.read(&mut [0]), Ok(1..)), "the connection goes on");
    answer["error"]["code"].as_str().expect("an error has a code").to_owned()
}
