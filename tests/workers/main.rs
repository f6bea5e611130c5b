//! The real binary with several workers: receive queues of their own and flows that are handed
//! over, between capture files. They may share a CPU: what must hold does not hang on time.

#[path = "../common/binary.rs"]
mod binary;
#[path = "../common/mod.rs"]
mod common;
#[path = "../frames/mod.rs"]
mod frames;

use std::collections::BTreeMap;

use punctual::dpdk::allowed_cpus;
use serde_json::Value;

use binary::{Instance, is_whole, named, number, sum};
use frames::copy::read;
use frames::{Frame, v4};

/// Rules whose flow is theirs, and senders of the rule whose flows are theirs.
const RULES: u8 = 6;
const SENDERS: u8 = 8;
/// Frames of each flow.
const FRAMES: u32 = 500;
/// Flows: those of the rules, then those of the senders.
const FLOWS: u8 = RULES + SENDERS;

/// A frame of a flow; its payload says which, and its number.
fn frame(flow: u8, number: u32) -> Vec<u8> {
    let frame = v4().with(|f: &mut Frame| {
        if flow < RULES {
            f.destination = [239, 1, 1, flow].into();
        } else {
            f.destination = [239, 1, 2, 1].into();
            f.source = [10, 9, 2, flow].into();
        }
        f.payload = [&[flow][..], &number.to_be_bytes()].concat();
    });
    frame.bytes()
}

/// CPUs for management and so many workers, whatever there is.
fn lcores(workers: usize) -> String {
    let cpus = allowed_cpus();
    let cpu = |i: usize| cpus[i % cpus.len()].to_string();
    let workers: Vec<_> = (1..=workers).map(cpu).collect();
    format!("lcores = {{ management = {}, workers = [{}] }}", cpu(0), workers.join(", "))
}

/// A site with `queues` captures to read, and two to write; every rule sends to both.
fn configure(instance: &Instance, queues: usize, workers: usize) {
    let files: Vec<_> =
        (0..queues).map(|q| format!(",rx_pcap=${{CONFIG_DIR}}/in{q}.pcap")).collect();
    let mut text = format!("[eal]\nmemory = \"no-huge\"\n{}\n", lcores(workers));
    text += "[memory]\npackets = 4096\n[limits]\nrules = 64\noutputs = 256\n";
    text += &format!("[[port]]\nname = \"in\"\ndevice = \"net_pcap0{}\"\n", files.concat());
    for (i, name) in ["a", "b"].iter().enumerate() {
        let i = i + 1;
        text += &format!(
            "[[port]]\nname = \"{name}\"\n\
             device = \"net_pcap{i},tx_pcap=${{CONFIG_DIR}}/{name}.pcap\"\n"
        );
    }
    let outputs = "output = [{ port = \"a\", destination = \"239.9.1.1\" }, \
                   { port = \"b\", destination = \"239.9.2.1\" }, \
                   { port = \"b\", destination = \"239.9.3.1\" }]\n";
    for rule in 0..RULES {
        text += &format!(
            "[[rule]]\nname = \"r{rule}\"\n\
             input = {{ port = \"in\", destination = \"239.1.1.{rule}\" }}\n{outputs}"
        );
    }
    text += &format!(
        "[[rule]]\nname = \"sources\"\nflow = \"source\"\n\
         input = {{ port = \"in\", destination = \"239.1.2.1\" }}\n{outputs}"
    );
    instance.configure("", &text);
    for queue in 0..queues {
        // Each flow is in one file, as RSS would have it.
        let flows = || (0..FLOWS).filter(move |flow| usize::from(*flow) % queues == queue);
        let frames: Vec<_> = (0..FRAMES)
            .flat_map(|n| flows().map(move |flow| (u64::from(n) * 1_000, frame(flow, n))))
            .collect();
        let frames = frames.iter().map(|(time, bytes)| (*time, &bytes[..]));
        instance.capture(&format!("in{queue}.pcap"), frames);
    }
}

/// Numbers of the copies by destination and flow, in the order of the capture.
fn by_flow(instance: &Instance, file: &str) -> BTreeMap<(std::net::IpAddr, u8), Vec<u32>> {
    let mut flows = BTreeMap::<_, Vec<u32>>::new();
    for bytes in instance.captured(file) {
        let (fields, checksum, right) = read(&bytes).expect("a sound frame");
        assert_eq!(checksum, right, "{fields:?}");
        let [flow, number @ ..] = *bytes.last_chunk::<5>().expect("a payload");
        let numbers = flows.entry((fields.destination, flow)).or_default();
        numbers.push(u32::from_be_bytes(number));
    }
    flows
}

fn workers(report: &Value) -> Vec<&Value> {
    report["workers"].as_array().expect("a list of workers").iter().collect()
}

/// Relays all of it; every copy is there once, in order. Returns the report.
fn relay(queues: usize, count: usize) -> Value {
    let instance = Instance::new();
    configure(&instance, queues, count);
    let report = instance.relay();
    let packets = u64::from(FLOWS) * u64::from(FRAMES);
    let ledger = &report["ledger"];
    assert_eq!(number(&ledger["received"]), packets);
    assert_eq!(sum(&ledger["dropped_before"]) + sum(&ledger["dropped_after"]), 0, "{ledger}");
    assert_eq!(number(&ledger["sent"]), 3 * packets);
    for (file, outputs) in [("a.pcap", 1), ("b.pcap", 2)] {
        let flows = by_flow(&instance, file);
        assert_eq!(flows.len(), usize::from(FLOWS) * outputs, "{file}");
        for (flow, numbers) in flows {
            assert!(numbers.into_iter().eq(0..FRAMES), "{file}: {flow:?}");
        }
    }
    for rule in report["rules"].as_array().expect("rules") {
        let packets = number(&rule["packets"]);
        for output in rule["outputs"].as_array().expect("outputs") {
            assert_eq!(number(&output["sent"]), packets, "{output}");
        }
        assert_eq!(number(&rule["latency_ns"]["count"]), 3 * packets, "{rule}");
    }
    assert_eq!(workers(&report).len(), count);
    report
}

fn handed(report: &Value, key: &str) -> u64 {
    workers(report).iter().map(|worker| number(&worker[key])).sum()
}

#[test]
fn queues_of_a_port_go_round_the_workers() {
    for (queues, count) in [(2, 2), (3, 2), (2, 1)] {
        let report = relay(queues, count);
        let one = count == 1;
        assert_eq!(handed(&report, "packets_handed") == 0, one, "{queues} queues, {count} workers");
        assert_eq!(handed(&report, "copies_handed") == 0, one);
        assert_eq!(handed(&report, "packets_handed"), handed(&report, "packets_taken"));
        assert_eq!(handed(&report, "copies_handed"), handed(&report, "copies_taken"));
    }
}

#[test]
fn flows_of_one_queue_are_handed_to_the_workers() {
    for count in [2, 3] {
        let report = relay(1, count);
        // Rules 0 to 6 go round, senders by their hash.
        let packets = u64::from(FRAMES);
        let to_others = (0..RULES).filter(|rule| usize::from(*rule) % count != 0).count() as u64;
        let handed = handed(&report, "packets_handed");
        assert!(handed >= to_others * packets, "{handed}");
        assert!(handed <= (to_others + u64::from(SENDERS)) * packets, "{handed}");
        assert_eq!(number(&workers(&report)[0]["packets_handed"]), handed, "it receives all");
    }
}

#[test]
fn workers_and_queues_that_cannot_be_are_refused() {
    let instance = Instance::new();
    configure(&instance, 1, 2);
    let refused = |from: &str, to: &str, code: i32, what: &str| {
        let good = std::fs::read_to_string(instance.path("config.toml")).expect("it is there");
        let bad = good.replacen(from, to, 1);
        assert_ne!(good, bad, "{from}");
        std::fs::write(instance.path("bad.toml"), bad).expect("it can be written");
        let ended = instance.run(&["run", "bad.toml", "--stop-after", "1s"]);
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert!(ended.stderr.contains(what), "{what}: {}", ended.stderr);
    };
    refused("schema = 1\n", "schema = 1\nclock = \"capture\"\n", 78, "2 workers by the capture's");
    refused("name = \"in\"\n", "name = \"in\"\nrx_queues = 33\n", 78, "1 to 32");
    let few = "has 1 receive queues, not 3; lower rx_queues";
    refused("name = \"in\"\n", "name = \"in\"\nrx_queues = 3\n", 69, few);
    refused("workers = [", "workers = [], x = [", 78, "`workers` has 0 CPUs");
}

/// A run that is killed leaves nothing that the next one, with other workers, stumbles over.
#[test]
fn a_run_that_is_killed_does_not_hinder_the_next() {
    let instance = Instance::new();
    for count in [2, 3, 2] {
        configure(&instance, 2, count);
        let mut running = instance.start(&["run", "config.toml"]);
        running.has_started();
        running.signal(libc::SIGKILL);
        running.end();
    }
    configure(&instance, 2, 2);
    let report = instance.relay();
    is_whole(&report);
    assert_eq!(number(&named(&report["ports"], "in")["received"]), 7_000);
}

/// What management says of two workers while they run: a row for each.
#[test]
fn each_worker_is_shown() {
    let instance = Instance::new();
    configure(&instance, 2, 2);
    let mut running = instance.start(&["run", "config.toml"]);
    instance.has_received(&mut running, 7_000);
    let args = ["show", "workers", "--json", "--total", "--instance", &instance.name];
    let rows: Value = serde_json::from_str(&instance.run(&args).stdout).expect("JSON");
    let rows = rows.as_array().expect("rows");
    assert_eq!(rows.iter().map(|row| number(&row["lcore"])).collect::<Vec<_>>(), [1, 2]);
    assert!(rows.iter().all(|row| number(&row["turns"]) > 0), "{rows:?}");
    // With a CPU for each but management, one shares; with fewer, all do. It is said, and to whom.
    let cpus = allowed_cpus();
    let cpu = |worker: usize| cpus[worker % cpus.len()];
    for (i, row) in rows.iter().enumerate() {
        let place = row["place"].as_str().expect("a text");
        assert!(place.starts_with(&format!("CPU {}", cpu(i + 1))), "{row}");
        let shares = cpu(i + 1) == cpus[0] || cpu(i + 1) == cpu(1) && i > 0;
        let told = row["misplaced"].to_string().contains(" share CPU ");
        assert_eq!(told, shares, "{row}");
    }
    let text = instance.run(&["show", "workers", "--instance", &instance.name]).stdout;
    assert!(text.contains("lcore 1") && text.contains("lcore 2"), "{text}");
    assert!(text.contains(&format!("    CPU {}", cpu(1))), "{text}");
    running.signal(libc::SIGTERM);
    let ended = running.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
}
