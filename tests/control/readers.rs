//! Everyone reads at once, well or badly, and the instance relays on: no packet is lost, and its
//! memory does not grow. `PUNCTUAL_LONG=1` reads 10,000 rows with 8 outputs each for half a minute at
//! every detail, and prints what it takes.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use punctual::manage::control::{Client, Command, Planned, Shown, Timed, Which};
use punctual::manage::wall;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::binary::{is_whole, number};
use crate::metrics::{address, insist};
use crate::site::Site;

const PATIENCE: Duration = Duration::from_secs(60);

/// How much there is to read, and how often it is read.
struct Size {
    /// Rules of 20 rows and 8 outputs.
    rules: u32,
    /// Seconds, one look at everything in each.
    rounds: u32,
    /// Connections in all that say nothing, half a request, or garbage, or read no answer.
    strangers: usize,
    /// How far memory may be above that of the first round, in KiB.
    growth: u64,
}

const SHORT: Size = Size { rules: 20, rounds: 4, strangers: 200, growth: 16 << 10 };
const FULL: Size = Size { rules: 500, rounds: 30, strangers: 1_000, growth: 64 << 10 };

/// Rules that match nothing which comes, so that all rows are read and none is in the way.
fn keys(size: &Size, detail: &str) -> String {
    let mut keys = format!("[management]\nmetrics = \"127.0.0.1:0\"\ndetail = \"{detail}\"\n");
    for rule in 0..size.rules {
        let (x, y) = (rule / 200, rule % 200);
        let outputs = (0..8).map(|n| {
            format!("{{ port = \"desks\", destination = \"239.7.{n}.{y}\", udp_port = {} }}", 7 + x)
        });
        keys += &format!(
            "[[rule]]\nname = \"rule-{rule}\"\ninput = {{ port = \"feed\", destination = \
             \"239.8.{x}.{y}\", udp_port = \"6001-6020\" }}\noutput = [{}]\n",
            outputs.collect::<Vec<_>>().join(", ")
        );
    }
    keys
}

/// An answer of the control socket, and how long it took.
fn ask<T: DeserializeOwned>(site: &Site, command: Command) -> (T, Duration) {
    let start = wall::now();
    let mut client = Client::connect(&Which::At(site.socket())).expect("it listens");
    (client.ask(command, PATIENCE).expect("it answers"), start.elapsed())
}

/// So many clients that ask badly; each is kept until the next come.
fn strangers(site: &Site, address: SocketAddr, count: usize) -> (Vec<TcpStream>, Vec<UnixStream>) {
    // Whoever is turned away at once cannot be written to.
    let web = (0..count).map(|i| {
        let mut stream = TcpStream::connect(address).expect("it listens");
        let _ = match i % 4 {
            0 => Ok(()),
            1 => stream.write_all(b"GET /metr"),
            2 => stream.write_all(&[0xff; 64]),
            _ => stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n"),
        };
        stream
    });
    let own = (0..3).map(|i| {
        let mut stream = site.stream();
        let _ = match i {
            0 => stream.write_all(&[0, 0, 0, 50, b'{']),
            1 => stream.write_all(b"\x16\x03\x01 garbage"),
            _ => Ok(()),
        };
        stream
    });
    (web.collect(), own.collect())
}

/// A line of a process's status, in KiB.
pub fn status_kib(process: i32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("it says so");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// The most of what was seen.
#[derive(Debug, Default)]
struct Seen {
    json: (usize, Duration),
    metrics: (usize, Duration),
    first_kib: u64,
    last_kib: u64,
}

/// Looks at all there is, once.
fn look(site: &Site, address: SocketAddr, seen: &mut Seen) -> Shown {
    let (shown, took): (Shown, _) = ask(site, Command::Show);
    let _: (Planned, _) = ask(site, Command::Plan);
    let _: (Timed, _) = ask(site, Command::Latency);
    let bytes = shown.report.to_json().len();
    seen.json = (seen.json.0.max(bytes), seen.json.1.max(took));
    let start = wall::now();
    let text = insist(address);
    seen.metrics = (seen.metrics.0.max(text.len()), seen.metrics.1.max(start.elapsed()));
    assert!(text.ends_with("# EOF\n"));
    shown
}

fn read(size: &Size, detail: &str) {
    let site = Site::endless_with(&keys(size, detail));
    let mut running = site.start();
    let address = address(&mut running);
    let mut seen = Seen::default();
    let mut before = 0;
    let rounds = size.rounds as usize;
    for round in 0..rounds {
        let kept = strangers(&site, address, size.strangers / rounds);
        let Shown { report, .. } = look(&site, address, &mut seen);
        assert_eq!(report.ledger.residual, 0);
        assert!(report.ledger.received > before, "it relays no more");
        before = report.ledger.received;
        let kib = status_kib(running.id(), "VmRSS:");
        match round {
            0 => seen.first_kib = kib,
            _ => seen.last_kib = seen.last_kib.max(kib),
        }
        drop(kept);
        std::thread::sleep(Duration::from_secs(1));
    }
    let outputs = site.json("outputs");
    assert_eq!(outputs.as_array().map(Vec::len), Some(8 * size.rules as usize + 3));
    site.told(&["stop"]);
    let report = site.has_ended(running);
    lost_nothing(&report);
    let (json, metrics) = (seen.json, seen.metrics);
    println!(
        "{detail}: {} rows, JSON {} bytes in {:?}, metrics {} bytes in {:?}, {} KiB resident at \
         first, {} at most then; longest turn {} ns",
        size.rules * 20,
        json.0,
        json.1,
        metrics.0,
        metrics.1,
        seen.first_kib,
        seen.last_kib,
        number(&report["workers"][0]["longest_turn_ns"]),
    );
    assert!(seen.last_kib <= seen.first_kib + size.growth, "{seen:?}");
}

/// All that was offered was received, admitted and sent.
fn lost_nothing(report: &Value) {
    is_whole(report);
    let ledger = &report["ledger"];
    assert_eq!(number(&ledger["offered"]), number(&ledger["admitted"]), "{ledger}");
    assert_eq!(number(&ledger["copies"]), number(&ledger["sent"]), "{ledger}");
    for dropped in ["dropped_before", "dropped_after"] {
        let all = ledger[dropped].as_object().expect("an object").values();
        assert_eq!(all.map(number).sum::<u64>(), 0, "{ledger}");
    }
}

#[test]
fn everyone_reads_at_once_and_no_packet_is_lost() {
    if std::env::var_os("PUNCTUAL_LONG").is_none() {
        return read(&SHORT, "outputs");
    }
    ["ports", "rules", "outputs"].iter().for_each(|detail| read(&FULL, detail));
}
