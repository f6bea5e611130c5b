//! What is said, in a capture that a run has written, as tcpdump reads it.

use std::process::Command;

use serde_json::Value;

use crate::binary::{Instance, is_whole, named, number, sum};
use crate::common::skip;
use crate::queries::{igmp, igmp2, igmp3, mld2};
use crate::relay::{SMALL, head};

/// Groups of both IP versions, 256 for all sources, and some for a few.
const RULES: &str = r#"
    [[port]]
    name = "in"
    device = "net_pcap0,rx_pcap=in.pcap,tx_pcap=said.pcap"
    address = "10.0.0.1/24"
    join = true
    [[port]]
    name = "out"
    device = "net_pcap1,tx_pcap=out.pcap"
    [default.output]
    port = "out"
    [[rule]]
    name = "many"
    input = { port = "in", destination = "239.1.1.0/24" }
    output = [{}]
    [[rule]]
    name = "specific"
    input = { port = "in", destination = "232.1.1.1", source = ["10.9.0.1", "10.9.0.2"] }
    output = [{}]
    [[rule]]
    name = "fabric"
    input = { port = "in", destination = "239.2.2.2", join = false }
    output = [{}]
    [[rule]]
    name = "six"
    input = { port = "in", destination = ["ff15::1", "ff15::2"] }
    output = [{}]
    [[rule]]
    name = "specific-six"
    input = { port = "in", destination = "ff35::1", source = "fd00::9" }
    output = [{}]
"#;

/// Runs until it has had time to answer, with these frames at first; what tcpdump reads of what it
/// said, a line each, and the report.
fn run(frames: &[Vec<u8>]) -> (Vec<String>, Value) {
    let instance = Instance::new();
    instance.configure("", &format!("{}{RULES}", head(1, SMALL)));
    instance.capture("in.pcap", frames.iter().map(|frame| (0, frame.as_slice())));
    let args = ["run", "config.toml", "--stop-after", "4s", "--report", "report.json"];
    let ended = instance.run(&args);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let report = instance.report();
    is_whole(&report);
    let sent = instance.captured("said.pcap").len() as u64;
    assert_eq!(number(&named(&report["ports"], "in")["originated"]), sent);
    let mut tcpdump = Command::new("tcpdump");
    let said = tcpdump.args(["-nn", "-vvv", "-t", "-r"]).arg(instance.path("said.pcap")).output();
    let Ok(said) = said else { skip("no tcpdump; scripts/setup.sh installs it") };
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.status.success(), "{said:?}");
    for wrong in ["bad", "incorrect", "invalid", "[|", "unknown"] {
        assert!(!text.contains(wrong), "{wrong}: {text}");
    }
    // A packet's second line is indented.
    let lines = text.replace("\n    ", " ");
    // The port announces its address, too.
    let groups = lines.lines().filter(|line| !line.starts_with("ARP"));
    (groups.map(str::to_owned).collect(), report)
}

/// How many lines have all of these.
fn count(lines: &[String], all: &[&str]) -> usize {
    lines.iter().filter(|line| all.iter().all(|part| line.contains(part))).count()
}

pub fn tcpdump_reads_all_that_is_said() {
    let (said, report) = run(&[igmp2(0)[..14].to_vec()]);
    let v4 = ["ttl 1", "options (RA)", "10.0.0.1 > 224.0.0.22: igmp v3 report"];
    let v6 = ["hlim 1", "> ff02::16:", "multicast listener report v2", "icmp6 sum ok"];
    assert_eq!(count(&said, &v4) + count(&said, &v6), said.len(), "{said:#?}");
    // 257 groups, of which a report of 1,500 bytes has up to 183: two reports to join, as often as is said again.
    assert_eq!(count(&said, &["182 group record(s)", "239.1.1.0 to_ex { }"]), 2, "{said:#?}");
    for (joins, times) in [
        ("allow { 10.9.0.1 10.9.0.2 }", 2),
        ("239.1.1.255 to_ex { }", 2),
        ("ff15::2 to_ex { }", 2),
        ("ff35::1 allow { fd00::9 }", 2),
    ] {
        assert_eq!(count(&said, &[joins]), times, "{joins}: {said:#?}");
    }
    for (leaves, times) in [
        ("block { 10.9.0.1 10.9.0.2 }", 2),
        ("239.1.1.0 to_in { }", 2),
        ("ff15::1 to_in { }", 2),
        ("ff35::1 block { fd00::9 }", 2),
    ] {
        assert_eq!(count(&said, &[leaves]), times, "{leaves}: {said:#?}");
    }
    assert_eq!(count(&said, &["239.2.2.2"]), 0, "a fabric does that");
    assert_eq!(report["groups"].as_array().map(Vec::len), Some(0), "all were left");
}

pub fn queries_of_a_capture_are_answered() {
    let afar = igmp(vec![0x11, 5, 0, 0, 0, 0, 0, 0], [224, 0, 0, 1].into(), 2);
    let leave = igmp(vec![0x17, 0, 0, 0, 239, 1, 1, 1], [224, 0, 0, 2].into(), 1);
    let (said, report) = run(&[igmp3(5), mld2(500), afar, leave]);
    for answer in ["239.1.1.255 is_ex { }", "232.1.1.1 is_in { 10.9.0.1 10.9.0.2 }"] {
        assert_eq!(count(&said, &["igmp v3 report", answer]), 1, "{answer}: {said:#?}");
    }
    for answer in ["ff15::1 is_ex { }", "ff35::1 is_in { fd00::9 }"] {
        assert_eq!(count(&said, &["icmp6 sum ok", answer]), 1, "{answer}: {said:#?}");
    }
    let port = named(&report["ports"], "in");
    let heard = |field: &str| number(&port[field]);
    assert_eq!((heard("group_queries"), heard("group_others")), (2, 1), "{port}");
    assert_eq!(port["group_ignored"], serde_json::json!({"ttl": 1}));
    assert_eq!(number(&report["ledger"]["punted"]), 4);
    assert_eq!(sum(&report["ledger"]["dropped_before"]), 0);

    // A querier without source lists: a report for each group, and leaves.
    let (said, _) = run(&[igmp2(5)]);
    let reports = said.iter().filter(|line| line.contains("igmp v2 report 239.1.1."));
    assert!(reports.count() >= 256, "{said:#?}");
    assert_eq!(count(&said, &["> 224.0.0.2: igmp leave 239.1.1."]), 256);
}
