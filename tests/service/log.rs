//! The log: lines of either kind, and a stream that takes none.

use std::fs::{self, File};
use std::io::{PipeReader, PipeWriter, Write};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use punctual::manage::control::{Client, Command, Reloaded, Which};
use serde_json::Value;

use crate::binary::is_whole;
use crate::notify::{relays, run};
use crate::site::Site;

/// What is said of the configuration before the run begins is no part of its log, unless that is
/// JSON.
const NO_WARNING: &str = "[default.rule]\nlate = \"drop\"\n";

#[test]
fn each_line_is_json_where_that_is_asked_for_and_dpdk_s_are_among_them() {
    let site = Site::endless();
    let args = ["--log-format", "json", "--log-level", "debug"];
    let mut running = run(&site, &mut site.command(), &args);
    relays(&site, &mut running);
    running.signal(libc::SIGTERM);
    let told = running.stderr.clone();
    site.has_ended(running);
    let log = fs::read_to_string(told).expect("there is a log");
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let has = |key: &str, part: &str| {
        lines.iter().any(|line| line[key].as_str().is_some_and(|text| text.contains(part)))
    };
    assert!(has("message", "ready") && has("message", "draining"), "{log}");
    assert!(has("message", "sends late") && has("level", "WARN"), "{log}");
    assert!(has("dpdk", "EAL: ") && has("level", "DEBUG"), "{log}");
    assert!(lines.iter().all(|line| line["timestamp"].is_string()), "{log}");
}

#[test]
fn what_is_below_the_level_is_not_told() {
    let site = Site::endless_with(NO_WARNING);
    let mut running = run(&site, &mut site.command(), &["--log-level", "off"]);
    relays(&site, &mut running);
    running.signal(libc::SIGTERM);
    let told = running.stderr.clone();
    site.has_ended(running);
    assert_eq!(fs::read_to_string(told).expect("there is a log"), "");
}

/// Fills a pipe that nobody reads.
fn fill(writer: &mut PipeWriter) {
    let set = |writer: &PipeWriter, flags: i32| {
        // SAFETY: the descriptor is open, and the call takes no address.
        let code = unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_SETFL, flags) };
        assert_eq!(code, 0);
    };
    set(writer, libc::O_NONBLOCK);
    while writer.write(&[b'x'; 4_096]).is_ok() {}
    while writer.write(b"x").is_ok() {}
    set(writer, 0);
}

/// An instance that relays, and that has a pipe for its standard error stream.
fn on_a_pipe(site: &Site) -> (Child, PipeReader, PipeWriter) {
    let (reader, writer) = std::io::pipe().expect("there are pipes");
    let theirs = writer.try_clone().expect("it can be shared");
    let file = |name: &str| File::create(site.instance.path(name)).expect("it can be made");
    let mut child = site
        .command()
        .args(["run", "config.toml", "--report", "report.json", "--log-level", "debug"])
        .current_dir(site.instance.path(""))
        .stdin(Stdio::null())
        .stdout(file("stuck.out"))
        .stderr(theirs)
        .spawn()
        .expect("the binary starts");
    let show = ["show", "ledger", "--json"];
    loop {
        let ledger: Option<Value> = serde_json::from_str(&site.ask(&show).stdout).ok();
        if ledger.is_some_and(|ledger| ledger["sent"].as_u64() > Some(1_000)) {
            break;
        }
        assert!(matches!(child.try_wait(), Ok(None)));
    }
    (child, reader, writer)
}

#[test]
fn a_stuck_standard_error_stream_stops_nothing() {
    let site = Site::endless_with(NO_WARNING);
    let (mut child, _reader, mut writer) = on_a_pipe(&site);
    fill(&mut writer);
    // Both are told to a stream that takes nothing.
    site.told(&["reload"]);
    site.told(&["stop"]);
    let status = child.wait().expect("it ends");
    assert_eq!(status.code(), Some(0));
    is_whole(&site.instance.report());
}

#[test]
fn lines_that_find_no_room_are_an_alert() {
    let site = Site::endless_with(NO_WARNING);
    let (mut child, _reader, mut writer) = on_a_pipe(&site);
    fill(&mut writer);
    // Each is refused, and told in a line; a thousand find room in the queue.
    let which = Which::At(site.socket());
    let missing = PathBuf::from("/nowhere/missing.toml");
    let alert = loop {
        for _ in 0..100 {
            let mut client = Client::connect(&which).expect("it answers");
            let command = Command::Reload(Some(missing.clone()));
            let refused = client.ask::<Reloaded>(command, Duration::from_secs(60));
            assert!(refused.is_err(), "there is such a file");
        }
        let alerts = site.json("alerts");
        let mut alerts = alerts.as_array().expect("a list").iter().rev();
        if let Some(alert) = alerts.find(|alert| alert["kind"] == "log_dropped") {
            break alert.clone();
        }
        assert!(matches!(child.try_wait(), Ok(None)));
    };
    assert!(alert["count"].as_u64() > Some(0), "{alert}");
    assert_eq!(alert["subject"], "instance", "{alert}");
    site.told(&["stop"]);
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
    is_whole(&site.instance.report());
}
