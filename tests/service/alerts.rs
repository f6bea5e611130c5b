//! Alerts of a running instance.

use std::fs;

use serde_json::Value;

use crate::binary::is_whole;
use crate::notify::relays;
use crate::site::Site;

/// Both rules expect packets, and the second gets none.
const EXPECT: &str = r#"
    [default.rule]
    expect = { min = "100pps", within = "1s" }
"#;

fn of<'a>(alerts: &'a Value, kind: &str) -> Vec<&'a Value> {
    let alerts = alerts.as_array().expect("a list");
    alerts.iter().filter(|alert| alert["kind"] == kind).collect()
}

#[test]
fn a_feed_that_is_silent_is_told_in_the_table_the_report_and_the_log() {
    let site = Site::endless_with(EXPECT);
    let mut running = site.start();
    relays(&site, &mut running);
    let silent = loop {
        let alerts = site.json("alerts");
        if let [silent] = of(&alerts, "silent")[..] {
            break silent.clone();
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    assert_eq!(
        (silent["subject"].as_str(), silent["active"].as_bool()),
        (Some("news"), Some(true))
    );
    assert!(silent["since_ns"].as_u64() >= Some(900_000_000), "{silent}");
    let table = site.told(&["show", "alerts"]);
    for part in ["warning", "silent", "news", "active", "expects at least 100pps", "the sender"] {
        assert!(table.contains(part), "`{part}` is not in\n{table}");
    }

    // Where the rule expects nothing any more, nothing is missing.
    let path = site.instance.path("config.toml");
    let text = fs::read_to_string(&path).expect("it is there").replace(EXPECT, "");
    fs::write(&path, text).expect("it can be written");
    running.signal(libc::SIGHUP);
    while of(&site.json("alerts"), "silent")[0]["active"] == true {
        assert!(running.is_running(), "{}", running.stderr());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    running.signal(libc::SIGTERM);
    let told = running.stderr.clone();
    let report = site.has_ended(running);
    let log = fs::read_to_string(told).expect("there is a log");
    assert_eq!(log.matches("alert: news: ").count(), 1, "{log}");
    assert_eq!(log.matches("news: over after").count(), 1, "{log}");
    assert!(log.contains("reloaded") && log.contains("draining"), "{log}");
    assert_eq!(of(&report["alerts"], "silent")[0]["active"], false);
}

#[test]
fn what_matches_no_rule_raises_nothing_and_what_is_broken_does() {
    let site = Site::finite();
    let running = site.start();
    site.drained();
    // Ten of its frames match nothing; a second later they would have been told.
    std::thread::sleep(std::time::Duration::from_millis(1_200));
    let alerts = site.json("alerts");
    assert_eq!(alerts.as_array().map(Vec::len), Some(0), "{alerts}");
    assert!(site.told(&["show", "alerts"]).ends_with("there are no alerts\n"));
    site.stop(running);

    let site = Site::finite();
    let mut frames = vec![crate::frames::v4().bytes(); 50];
    // The last byte of the addresses: the header's checksum is wrong.
    frames.iter_mut().take(20).for_each(|frame| frame[29] ^= 1);
    site.instance.capture("in.pcap", (0..).zip(frames.iter().map(Vec::as_slice)));
    let running = site.start();
    let alert = loop {
        let alerts = site.json("alerts");
        if let [alert] = of(&alerts, "ip_checksum")[..] {
            break alert.clone();
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    assert_eq!((alert["level"].as_str(), alert["count"].as_u64()), (Some("warning"), Some(20)));
    running.signal(libc::SIGTERM);
    is_whole(&site.has_ended(running));
}

#[test]
fn thresholds_are_those_of_the_last_reload() {
    // What is said of the configuration is no part of it.
    let site = Site::endless_with(
        "[default.rule]\nlate = \"drop\"\n[alerts]\nip_checksum = { info = 1, warning = 2 }\n",
    );
    let mut frames = vec![crate::frames::v4().bytes(); 32];
    frames[7][29] ^= 1;
    site.instance.capture("in.pcap", (0..).zip(frames.iter().map(Vec::as_slice)));
    let mut running = site.start();
    let mut is = |level: &str, active: bool| loop {
        let alerts = site.json("alerts");
        let last = of(&alerts, "ip_checksum").last().map(|alert| (*alert).clone());
        let last = last.unwrap_or_default();
        if (last["level"].as_str(), last["active"].as_bool()) == (Some(level), Some(active)) {
            return;
        }
        assert!(running.is_running(), "{}", running.stderr());
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    is("warning", true);
    let path = site.instance.path("config.toml");
    let text = fs::read_to_string(&path).expect("it is there");
    let reload = |threshold: &str| {
        let text = text.replace("{ info = 1, warning = 2 }", threshold);
        fs::write(&path, text).expect("it can be written");
        site.told(&["reload"]);
    };
    // More than there is: it falls. Less: it rises. And off.
    reload("{ info = 1, warning = 1000000000000 }");
    is("info", true);
    reload("{ info = 1, warning = 2 }");
    is("warning", true);
    reload("\"off\"");
    is("warning", false);
    running.signal(libc::SIGTERM);
    is_whole(&site.has_ended(running));
}
