//! The metrics of a running instance: what they say, and what strangers cannot do to them.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use punctual::testkit::openmetrics::{Family, parse};
use serde_json::Value;

use crate::binary::{Running, number};
use crate::site::{FRAMES, Site};

/// Against hanging only.
const LONG: Duration = Duration::from_secs(60);
/// Metrics on a free port.
pub const KEYS: &str = "[management]\nmetrics = \"127.0.0.1:0\"";

/// Where a started instance listens.
pub fn address(running: &mut Running) -> SocketAddr {
    loop {
        let said = running.stderr();
        let rest = said.split_once("metrics: http://").map(|(_, rest)| rest);
        if let Some((address, _)) = rest.and_then(|rest| rest.split_once("/metrics\n")) {
            return address.parse().expect("an address");
        }
        assert!(running.is_running(), "{said}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(LONG)).expect("it has timeouts");
    stream
}

/// Status and body of an answer that is whole.
fn answer(mut stream: TcpStream) -> (u16, String) {
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {text}"));
    let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
    let status = status.and_then(|status| status.parse().ok());
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    assert_eq!(length, Some(&*body.len().to_string()), "{head}");
    (status.unwrap_or_else(|| panic!("no status: {head}")), body.to_owned())
}

fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = connect(address);
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").expect("it takes a request");
    answer(stream)
}

/// The metrics, where nobody is in the way.
pub fn scrape(address: SocketAddr) -> String {
    let (status, body) = get(address, "/metrics");
    assert_eq!(status, 200, "{body}");
    body
}

fn read(text: &str) -> Vec<Family> {
    parse(text).unwrap_or_else(|why| panic!("{why}\n{text}"))
}

/// All numbers by sample and labels.
fn samples(families: &[Family]) -> BTreeMap<String, f64> {
    let all = families.iter().flat_map(|family| &family.samples);
    let key = |sample: &punctual::testkit::openmetrics::Sample| {
        let labels: Vec<_> = sample.labels.iter().map(|(_, value)| value.as_str()).collect();
        format!("{} {}", sample.name, labels.join(" ")).trim_end().to_owned()
    };
    all.map(|sample| (key(sample), sample.number())).collect()
}

/// Numbers of the report beside the samples that must be the same.
fn expected(report: &Value) -> Vec<(String, u64)> {
    let mut all = Vec::new();
    let mut tell = |name: String, value: &Value| all.push((name, number(value)));
    let ledger = &report["ledger"];
    for (name, field) in [
        ("offered_packets_total", "offered"),
        ("received_packets_total", "received"),
        ("admitted_packets_total", "admitted"),
        ("copies_total", "copies"),
        ("sent_copies_total", "sent"),
        ("waiting_packets", "waiting_before"),
        ("waiting_copies", "waiting_after"),
        ("residual", "residual"),
    ] {
        tell(format!("punctual_ledger_{name}"), &ledger[field]);
    }
    for (reason, count) in ledger["dropped_before"].as_object().expect("an object") {
        tell(format!("punctual_ledger_dropped_packets_total {reason}"), count);
    }
    let list = |value: &Value| value.as_array().cloned().expect("a list");
    for rule in list(&report["rules"]) {
        let name = rule["name"].as_str().expect("a name").to_owned();
        tell(format!("punctual_rule_packets_total {name}"), &rule["packets"]);
        tell(format!("punctual_rule_bytes_total {name}"), &rule["bytes"]);
        tell(format!("punctual_rule_latency_seconds_count {name}"), &rule["latency_ns"]["count"]);
        for output in list(&rule["outputs"]) {
            let name = format!("{name} {}", output["name"].as_str().expect("a name"));
            tell(format!("punctual_output_copies_total {name}"), &output["copies"]);
            tell(format!("punctual_output_sent_copies_total {name}"), &output["sent"]);
            tell(format!("punctual_output_sent_bytes_total {name}"), &output["bytes"]);
            tell(format!("punctual_output_on_time_copies_total {name}"), &output["on_time"]);
            let skipped = format!("punctual_output_not_selected_packets_total {name}");
            tell(skipped, &output["not_selected"]);
        }
    }
    for port in list(&report["ports"]) {
        let name = port["name"].as_str().expect("a name").to_owned();
        tell(format!("punctual_port_received_packets_total {name}"), &port["received"]);
        tell(format!("punctual_port_sent_bytes_total {name}"), &port["bytes_sent"]);
    }
    for receiver in list(&report["receivers"]) {
        let name = receiver["name"].as_str().expect("a name").to_owned();
        tell(format!("punctual_receiver_sent_copies_total {name}"), &receiver["sent"]);
    }
    all
}

#[test]
fn metrics_of_a_drained_instance_are_its_final_report() {
    let site = Site::finite_of("", KEYS);
    let mut running = site.start();
    let address = address(&mut running);
    site.drained();
    let text = scrape(address);
    let families = read(&text);
    let told = samples(&families);
    site.told(&["stop"]);
    let report = site.has_ended(running);
    let expected = expected(&report);
    assert!(expected.len() > 30, "{expected:?}");
    for (name, count) in expected {
        assert_eq!(told.get(&name), Some(&(count as f64)), "{name}\n{text}");
    }
    let all = FRAMES.iter().sum::<usize>() as f64;
    assert_eq!(told["punctual_ledger_received_packets_total"], all);
    assert!(TcpStream::connect(address).is_err(), "it listens on");
}

/// A Python with the reference parser, made once below `target/`; none where it cannot be had.
fn python() -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let venv = target.join("openmetrics-venv");
    let python = venv.join("bin/python3");
    let is_ready = |python: &Path| {
        let import = "import prometheus_client.openmetrics.parser";
        let ended = Command::new(python).args(["-c", import]).output();
        ended.is_ok_and(|ended| ended.status.success())
    };
    if is_ready(&python) {
        return Some(python);
    }
    // Made aside and moved, so that two runs at once do not meet in it.
    let aside = target.join(format!("openmetrics-venv-{}", std::process::id()));
    let run = |command: &mut Command| command.output().is_ok_and(|e| e.status.success());
    let is_made = run(Command::new("python3").args(["-m", "venv"]).arg(&aside))
        && run(Command::new(aside.join("bin/python3")).args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "prometheus-client",
        ]));
    if is_made {
        let _ = std::fs::rename(&aside, &venv);
    }
    let _ = std::fs::remove_dir_all(&aside);
    is_ready(&python).then_some(python)
}

#[test]
fn the_reference_parser_takes_them() {
    let Some(python) = python() else {
        eprintln!("skipped: prometheus-client cannot be installed from PyPI here");
        return;
    };
    let site = Site::finite_of("", KEYS);
    let mut running = site.start();
    let address = address(&mut running);
    site.drained();
    let text = scrape(address);
    std::fs::write(site.instance.path("metrics.txt"), &text).expect("it can be written");
    // The parser is a generator: all of it must be asked for.
    let script = "import sys\n\
         from prometheus_client.openmetrics.parser import text_string_to_metric_families as f\n\
         all = list(f(open(sys.argv[1]).read()))\n\
         print(len(all), sum(len(m.samples) for m in all))";
    let parsed = Command::new(python)
        .args(["-c", script])
        .arg(site.instance.path("metrics.txt"))
        .output()
        .expect("python runs");
    assert!(parsed.status.success(), "{}", String::from_utf8_lossy(&parsed.stderr));
    let families = read(&text);
    let count = families.iter().map(|family| family.samples.len()).sum::<usize>();
    let said = String::from_utf8_lossy(&parsed.stdout);
    assert_eq!(said.trim(), format!("{} {count}", families.len()));
    site.stop(running);
}

#[test]
fn health_and_readiness_are_told() {
    let site = Site::endless_with(KEYS);
    let mut running = site.start();
    let address = address(&mut running);
    // On a host that stands still now and then a worker does, too.
    while get(address, "/healthz") != (200, "healthy\n".into()) {}
    while get(address, "/readyz") != (200, "ready\n".into()) {}
    let (status, body) = get(address, "/metrics?x=1");
    assert_eq!(status, 200, "{body}");
    site.stop(running);
}

#[test]
fn what_is_no_request_is_answered_or_closed_and_the_instance_relays_on() {
    let site = Site::endless_with(KEYS);
    let mut running = site.start();
    let address = address(&mut running);
    let received = |text: &str| samples(&read(text))["punctual_ledger_received_packets_total"];
    let before = received(&scrape(address));
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(9_000));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(65));
    let requests: [(&str, u16); 8] = [
        ("\x16\x03\x01 garbage\r\n\r\n", 400),
        ("GET\r\n\r\n", 400),
        ("GET /metrics HTTP/9\r\n\r\n", 400),
        ("POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", 405),
        ("GET / HTTP/1.1\r\n\r\n", 404),
        ("GET /metrics/ HTTP/1.1\r\n\r\n", 404),
        (&long, 431),
        (&many, 431),
    ];
    for (request, status) in requests {
        let mut stream = connect(address);
        stream.write_all(request.as_bytes()).expect("it takes some bytes");
        assert_eq!(answer(stream).0, status, "{request:?}");
    }
    // One that says nothing more, one that is gone before its answer is.
    let stream = connect(address);
    stream.shutdown(Shutdown::Write).expect("it can be ended");
    drop(stream);
    let mut gone = connect(address);
    gone.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").expect("it takes a request");
    drop(gone);
    let mut half = connect(address);
    half.write_all(b"GET /metrics HTTP/1.1\r\nHost:").expect("it takes some bytes");
    // In two parts: it is waited for.
    let mut parts = connect(address);
    parts.write_all(b"GET /metrics HT").expect("it takes some bytes");
    std::thread::sleep(Duration::from_millis(20));
    parts.write_all(b"TP/1.1\r\n\r\n").expect("it takes the rest");
    assert_eq!(answer(parts).0, 200);
    assert_eq!(answer(half).0, 408);
    assert!(received(&scrape(address)) > before, "it relays no more");
    site.stop(running);
}

/// A scrape that others are in the way of: what it takes to be answered.
pub fn insist(address: SocketAddr) -> String {
    for _ in 0..1_000 {
        let mut stream = connect(address);
        let mut text = String::new();
        let asked = stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n");
        if asked.and_then(|()| stream.read_to_string(&mut text)).is_ok()
            && text.starts_with("HTTP/1.1 200 ")
        {
            return text.split_once("\r\n\r\n").expect("a body").1.to_owned();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("it does not answer");
}

#[test]
fn a_thousand_connections_are_sixteen_and_others_are_answered() {
    let site = Site::endless_with(KEYS);
    let mut running = site.start();
    let address = address(&mut running);
    let mut kept = Vec::new();
    for i in 0..1_000 {
        let mut stream = connect(address);
        match i % 4 {
            0 => {}
            1 => drop(stream.write_all(b"GET /metr")),
            2 => drop(stream.write_all(&[0xff; 64])),
            // They ask and do not read.
            _ => drop(stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n")),
        }
        kept.push(stream);
        if i % 100 == 99 {
            // At once: whoever says nothing gives way.
            read(&scrape(address));
            let ours = std::fs::read_dir(format!("/proc/{}/fd", running.id()));
            let links = ours.expect("it runs").flatten();
            let sockets = links.filter_map(|fd| std::fs::read_link(fd.path()).ok());
            let sockets = sockets.filter(|to| to.to_string_lossy().starts_with("socket:"));
            // Besides the sixteen: listeners, wake-ups, the control socket's client.
            let open = sockets.count();
            assert!(open <= 16 + 10, "{open} sockets");
        }
    }
    // Management is not held up either.
    assert!(site.told(&["show", "ledger"]).contains("residual 0"));
    drop(kept);
    let report = {
        site.told(&["stop"]);
        site.has_ended(running)
    };
    assert_eq!(number(&report["ledger"]["residual"]), 0);
}

#[test]
fn slow_readers_of_a_long_text_hold_nobody_up() {
    // Enough rules for a text that no socket takes at once.
    let mut keys = format!("{KEYS}\ndetail = \"rules\"\n");
    for i in 0..1_200 {
        keys += &format!(
            "[[rule]]\nname = \"more-{i}\"\ninput = {{ port = \"feed\", destination = \
             \"239.9.{}.{}\", udp_port = 7 }}\noutput = [{{ port = \"desks\", destination = \
             \"239.2.2.9\" }}]\n",
            i / 250,
            i % 250
        );
    }
    let site = Site::endless_with(&keys);
    let mut running = site.start();
    let address = address(&mut running);
    let text = insist(address);
    assert!(text.len() > 8 << 20, "{} bytes are not enough", text.len());
    let slow: Vec<_> = (0..16)
        .map(|_| {
            let mut stream = connect(address);
            stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").expect("it takes a request");
            stream
        })
        .collect();
    read(&insist(address));
    assert!(site.told(&["show", "ledger"]).contains("residual 0"));
    drop(slow);
    site.stop(running);
}

#[test]
fn a_taken_address_is_told() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = taken.local_addr().expect("it has one");
    let site = Site::endless_with(&format!("[management]\nmetrics = \"{address}\""));
    let ended = site.begin().end();
    assert_eq!(ended.code, Some(69), "{ended:?}");
    assert!(ended.stderr.contains(&format!("cannot listen at {address}")), "{}", ended.stderr);
}

#[test]
fn check_refuses_too_many_series_and_says_what_to_write() {
    let mut keys = format!("{KEYS}\n");
    for i in 0..100 {
        keys += &format!(
            "[[rule]]\nname = \"more-{i}\"\ninput = {{ port = \"feed\", destination = \
             \"239.9.0.{i}\", udp_port = 7 }}\noutput = [{{ port = \"desks\", destination = \
             \"239.2.2.9\" }}]\n"
        );
    }
    let site = Site::endless_with(&keys);
    for command in ["check", "run"] {
        let ended = site.ask(&[command, "config.toml"]);
        assert_eq!(ended.code, Some(78), "{ended:?}");
        let place = ["config.toml:", "metrics = \"127.0.0.1:0\""];
        let said = ["allowed: 10000", "detail = \"rules\"", "detail = \"ports\""];
        for part in place.into_iter().chain(said) {
            assert!(ended.stderr.contains(part), "{}", ended.stderr);
        }
    }
}
