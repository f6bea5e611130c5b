//! How long reloads take, asked of a running instance under traffic; the figures of
//! docs/journey.md.
//!
//! ```sh
//! cargo build --release && cargo run --release --example reload_figures -- target/release/punctual
//! ```

#![allow(clippy::disallowed_methods, reason = "it waits for another process")]

use std::error::Error;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use punctual::manage::control::{Client, ClientError, Command as Order, Reloaded, Shown, Which};
use punctual::testkit::pcap::Writer;

const PATIENCE: Duration = Duration::from_secs(20);
/// What a reload of 1,000 rules may take, in nanoseconds.
const PROMISED_NS: u64 = 10_000_000;
/// Reloads of each kind.
const RELOADS: usize = 40;
/// How long there is between the answer to one and the next, as long as it takes to put things in order.
const PAUSE: Duration = Duration::from_millis(10);

/// A kind of configuration: rules, outputs of each, input rows of each, and how many rules change.
struct Kind {
    what: &'static str,
    rules: u32,
    outputs: u32,
    rows: u32,
    change: u32,
}

const KINDS: [Kind; 4] = [
    Kind { what: "1,000 rules, one changes", rules: 1_000, outputs: 1, rows: 1, change: 1 },
    Kind { what: "1,000 rules, all change", rules: 1_000, outputs: 1, rows: 1, change: 1_000 },
    Kind { what: "1,600 outputs, one changes", rules: 100, outputs: 16, rows: 1, change: 1 },
    Kind { what: "100,000 rows, one rule changes", rules: 100, outputs: 1, rows: 1_000, change: 1 },
];

/// The configuration; `turn` is what changes.
fn text(kind: &Kind, name: &str, turn: usize) -> String {
    let mut text = format!(
        "schema = 1\n[instance]\nname = \"{name}\"\n[eal]\nmemory = \"no-huge\"\n\
         [memory]\npackets = 4096\n[limits]\nrows = 131072\n\
         [[port]]\nname = \"in\"\ndevice = \"net_pcap0,rx_pcap=${{CONFIG_DIR}}/in.pcap,infinite_rx=1\"\n\
         [[port]]\nname = \"out\"\ndevice = \"net_null1,no-rx=1\"\n"
    );
    for rule in 0..kind.rules {
        let (x, y) = (rule / 200, rule % 200);
        let ports = 5_001..=5_000 + kind.rows;
        let (from, to) = (ports.start(), ports.end());
        let _ = write!(
            text,
            "[[rule]]\nname = \"r{rule}\"\ninput = {{ port = \"in\", \
             destination = \"239.1.{x}.{y}\", udp_port = \"{from}-{to}\" }}\noutput = ["
        );
        for output in 0..kind.outputs {
            let weight = if rule < kind.change && output == 0 { 1 + turn % 2 } else { 1 };
            let _ = write!(
                text,
                "{{ port = \"out\", destination = \"239.9.{output}.{y}\", weight = {weight} }},"
            );
        }
        text += "]\n";
    }
    text
}

/// An instance; it is killed where all does not go well.
struct Instance(Child);

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn ask<T: serde::de::DeserializeOwned>(socket: &Path, order: Order) -> Result<T, ClientError> {
    Client::connect(&Which::At(socket.to_owned()))?.ask(order, PATIENCE)
}

/// What the kernel says of the management thread of a process: how long it has run on a CPU and waited
/// for one, in nanoseconds, and how often it has faulted a page in.
fn seen(process: u32) -> Result<[u64; 3], Box<dyn Error>> {
    let read = |file| fs::read_to_string(format!("/proc/{process}/task/{process}/{file}"));
    let (schedstat, stat) = (read("schedstat")?, read("stat")?);
    let number = |text: Option<&str>| text.unwrap_or_default().parse::<u64>();
    // The name in brackets may hold anything; minor faults are the eighth behind it.
    let behind = stat.rsplit_once(')').map_or("", |(_, behind)| behind);
    let mut times = schedstat.split(' ');
    Ok([number(times.next())?, number(times.next())?, number(behind.split(' ').nth(8))?])
}

/// Runs one kind, and prints a row.
fn measure(binary: &Path, directory: &Path, kind: &Kind) -> Result<(), Box<dyn Error>> {
    let name = format!("punctual-figures-{}", std::process::id());
    let (file, socket) = (directory.join("config.toml"), directory.join(format!("{name}.sock")));
    fs::write(&file, text(kind, &name, 0))?;
    let mut command = Command::new(binary);
    command.arg("run").arg(&file).env("RUNTIME_DIRECTORY", directory);
    let started = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let mut instance = Instance(started);
    while ask::<Shown>(&socket, Order::Show).is_err() {
        if let Some(status) = instance.0.try_wait()? {
            return Err(format!("it has ended: {status}").into());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let longest = |shown: Shown| shown.report.workers[0].longest_turn_ns;
    std::thread::sleep(Duration::from_secs(2));
    let before = longest(ask(&socket, Order::Show)?);
    let (mut took, mut answered) = (Vec::new(), Vec::new());
    let (process, mut slow) = (instance.0.id(), Vec::new());
    let first = seen(process)?;
    for turn in 1..=RELOADS {
        std::thread::sleep(PAUSE);
        fs::write(&file, text(kind, &name, turn))?;
        let mut client = Client::connect(&Which::At(socket.clone()))?;
        let (before, asked) = (seen(process)?, Instant::now());
        let reloaded: Reloaded = client.ask(Order::Reload(None), PATIENCE)?;
        answered.push(asked.elapsed().as_nanos() as u64);
        took.push(reloaded.took_ns);
        if answered[turn - 1] > PROMISED_NS {
            let now = seen(process)?;
            slow.push((
                answered[turn - 1],
                reloaded.took_ns,
                [0, 1, 2].map(|i| now[i] - before[i]),
            ));
        }
    }
    let cpu = (seen(process)?[0] - first[0]) / RELOADS as u64;
    let shown: Shown = ask(&socket, Order::Show)?;
    let (ledger, during) = (shown.report.ledger.clone(), longest(shown));
    let ms = |ns: u64| ns as f64 / 1e6;
    let [took, answered] = [took, answered].map(|mut all| {
        all.sort_unstable();
        [all[0], all[all.len() / 2], all[all.len() - 1]]
            .map(|ns| format!("{:.1}", ms(ns)))
            .join(", ")
    });
    println!(
        "| {} | {:.1} | {took} | {} | {answered} | {:.1} | {:.1} | {} |",
        kind.what,
        ms(cpu),
        slow.len(),
        ms(before),
        ms(during),
        ledger.residual,
    );
    for (answered, took, [ran, waited, faults]) in slow {
        eprintln!(
            "answered after {:.1} ms: it took {:.1}; management ran {:.1} ms, waited {:.1} for a CPU, \
             {faults} pages",
            ms(answered),
            ms(took),
            ms(ran),
            ms(waited),
        );
    }
    ask::<serde_json::Value>(&socket, Order::Stop)?;
    instance.0.wait()?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let binary = std::env::args().nth(1).ok_or("usage: reload_figures BINARY")?;
    let binary = fs::canonicalize(binary)?;
    let directory = std::env::temp_dir().join(format!("punctual-figures-{}", std::process::id()));
    fs::create_dir_all(&directory)?;
    let directory: PathBuf = fs::canonicalize(directory)?;
    let mut frame = vec![0x01, 0, 0x5e, 1, 0, 0, 2, 0, 0, 0, 0, 1, 8, 0];
    frame.extend([0x45, 0, 0, 46, 0, 0, 0, 0, 16, 17, 0, 0, 10, 0, 0, 1, 239, 1, 0, 0]);
    let words = frame[14..].chunks(2).map(|w| u32::from(u16::from_be_bytes([w[0], w[1]])));
    let sum = words.sum::<u32>();
    let checksum = !((sum & 0xffff) + (sum >> 16)) as u16;
    frame[24..26].copy_from_slice(&checksum.to_be_bytes());
    frame.extend([0x13, 0x89, 0x13, 0x89, 0, 26, 0, 0]);
    frame.resize(60, 0);
    let mut writer = Writer::new(BufWriter::new(File::create(directory.join("in.pcap"))?))?;
    (0..32).try_for_each(|n| writer.write(n, &frame))?;
    writer.finish()?;
    println!(
        "| | on the CPU, ms | least, median, most, ms | answered after 10 ms | asked to answered, ms | longest turn before, ms | with reloads, ms | residual |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let measured = KINDS.iter().try_for_each(|kind| measure(&binary, &directory, kind));
    let _ = fs::remove_dir_all(&directory);
    measured
}
