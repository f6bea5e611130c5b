//! The answers on DPDK's telemetry socket against the report, and against what DPDK takes.

use std::collections::{BTreeMap, HashSet};

use super::list;
use super::metric::Kind;
use super::telemetry::{Answer, COMMANDS, PAGE, Value, answer};
use crate::manage::fixture::Fixture;
use crate::manage::report::{DropCounts, Report};
use crate::packet::DropReason;

/// Parameters that the fixture's things have.
fn parameters(parameter: &str) -> &'static [&'static str] {
    match parameter {
        "" | "[PAGE]" => &[""],
        "CLASS" => &["high", "low"],
        "RULE" | "RULE[,PAGE]" => &["itch", "syslog"],
        "RULE,OUTPUT" => &["itch,desk-eq/239.101.0.0/24", "itch,out/10.0.0.77", "syslog,out/keep"],
        "RECEIVER" => &["desk-eq"],
        "PORT" => &["in", "out"],
        "PORT,VLAN,GROUP" => &["in,0,239.1.0.7", "in,12,ff35::7"],
        "PORT,VLAN,ADDRESS" => &["out,0,10.0.0.77", "out,200,fd00::77"],
        "LCORE" => &["1"],
        "POOL" => &["payload", "headers"],
        other => panic!("no example of {other}"),
    }
}

/// Every answer of a report, by command and parameter.
fn all(report: &Report) -> Vec<(String, Answer)> {
    let commands = COMMANDS.iter().flat_map(|command| {
        parameters(command.parameter).iter().map(move |parameter| (command.name, *parameter))
    });
    let answers = commands.map(|(name, parameter)| {
        let given = (!parameter.is_empty()).then_some(parameter);
        let answer = answer(report, name, given);
        (format!("{name},{parameter}"), answer.unwrap_or_else(|| panic!("{name},{parameter}")))
    });
    answers.collect()
}

/// The numbers of an answer.
fn numbers(report: &Report, name: &str, parameter: Option<&str>) -> BTreeMap<String, u64> {
    let Some(Answer::Values(values)) = answer(report, name, parameter) else { panic!("{name}") };
    let numbers = values.into_iter().filter_map(|(name, value)| match value {
        Value::Number(number) => Some((name, number)),
        Value::Text(_) => None,
    });
    numbers.collect()
}

#[test]
fn dpdk_takes_every_command_and_every_answer() {
    let mut report = Fixture::new().report();
    // The most that can be told: every reason, and the greatest numbers.
    let drops = DropReason::ALL.iter().map(|reason| (reason.name(), u64::MAX));
    let drops = serde_json::to_value(drops.collect::<BTreeMap<_, _>>()).unwrap();
    let drops: DropCounts = serde_json::from_value(drops).unwrap();
    report.ledger.dropped_before = drops.clone();
    report.rules[0].dropped = drops.clone();
    report.rules[0].outputs[0].dropped = drops.clone();
    (report.classes[0].dropped_before, report.classes[0].dropped_after) = (drops.clone(), drops);
    for command in &COMMANDS {
        assert!(command.name.len() <= 55 && command.help.len() <= 127, "{command:?}");
    }
    for (name, answer) in all(&report) {
        let told = match answer {
            Answer::Names(names) => {
                assert!(names.len() <= PAGE && names.iter().all(|name| name.len() <= 127));
                names.iter().map(|name| name.len() + 3).sum::<usize>()
            }
            Answer::Values(values) => {
                assert!(values.len() <= 256, "{name}: {} entries", values.len());
                let keys: HashSet<_> = values.iter().map(|(key, _)| key).collect();
                assert_eq!(keys.len(), values.len(), "{name}: a name twice in {values:?}");
                let fits = |key: &&String| {
                    !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
                };
                assert!(keys.iter().all(fits), "{name}: {keys:?}");
                values.iter().map(|(key, _)| key.len() + 20 + 5).sum()
            }
        };
        assert!(told < 16_000, "{name}: {told} bytes");
    }
}

#[test]
fn every_metric_is_told_by_a_command() {
    let mut report = Fixture::new().report();
    let some = report.rules[0].outputs[0].dropped.clone();
    report.receivers[0].dropped = some.clone();
    report.classes[0].dropped_after = some;
    let places = [
        ("", "/punctual/info"),
        ("ledger", "/punctual/ledger"),
        ("classes", "/punctual/class"),
        ("rules", "/punctual/rule"),
        ("rules.outputs", "/punctual/output"),
        ("receivers", "/punctual/receiver"),
        ("ports", "/punctual/port"),
        ("groups", "/punctual/group"),
        ("neighbours", "/punctual/neighbour"),
        ("workers", "/punctual/worker"),
        ("pools", "/punctual/pool"),
    ];
    let all = all(&report);
    for metric in list::all().iter().filter(|metric| metric.kind != Kind::Info) {
        let place = places.iter().find(|(place, _)| *place == metric.place);
        let (_, command) = place.unwrap_or_else(|| panic!("no command tells of {}", metric.place));
        let key = metric.from[0].replace('.', "_");
        let tells = |(name, answer): &(String, Answer)| match answer {
            Answer::Values(values) if name.split(',').next() == Some(*command) => {
                values.iter().any(|(told, _)| told.starts_with(&key))
            }
            _ => false,
        };
        assert!(all.iter().any(tells), "{command} does not tell {key} of {}", metric.name);
    }
}

#[test]
fn answers_are_the_report_s_numbers() {
    let report = Fixture::new().report();
    let ledger = numbers(&report, "/punctual/ledger", None);
    assert_eq!((ledger["received"], ledger["residual"]), (1_000, 0));
    assert_eq!((ledger["dropped_before_no_rule"], ledger["dropped_after_mtu"]), (20, 0));
    let rule = numbers(&report, "/punctual/rule", Some("itch"));
    assert_eq!((rule["packets"], rule["last_packet_ns_ago"]), (900, 1_500_000));
    assert_eq!(rule["latency_ns_p99"], report.rules[0].latency_ns.p99);
    let latency = numbers(&report, "/punctual/latency", Some("high"));
    let high = report.classes[0].latency_ns;
    let each = [("count", high.count), ("p50", high.p50), ("p99", high.p99), ("max", high.max)];
    each.iter().for_each(|(name, number)| {
        assert_eq!(latency[&format!("latency_ns_{name}")], *number, "{name}");
    });
    let output = numbers(&report, "/punctual/output", Some("itch,out/10.0.0.77"));
    assert_eq!((output["sent"], output["not_selected"]), (89, 799));
    let port = numbers(&report, "/punctual/port", Some("in"));
    assert_eq!((port["missed"], port["link"], port["breaker_closed"]), (7, 1, 1));
    let worker = numbers(&report, "/punctual/worker", Some("1"));
    assert_eq!((worker["busy_turns"], worker["turns"]), (1_000, 8_000));
    assert_eq!(numbers(&report, "/punctual/pool", Some("payload"))["in_use_max"], 1_999);
    let drops = numbers(&report, "/punctual/drops", None);
    assert_eq!(drops.len(), DropReason::COUNT);
    assert_eq!((drops["policed"], drops["egress_late"], drops["ttl"]), (10, 3, 0));
    let alerts = numbers(&report, "/punctual/alerts", None);
    assert_eq!((alerts["active"], alerts["silent"], alerts["missed"]), (1, 1, 0), "one is over");
    let breakers = numbers(&report, "/punctual/breakers", None);
    assert_eq!((breakers["ports_closed"], breakers["receivers_open"]), (2, 1));
    assert!(breakers["openings"] > 0);
    let unmatched = numbers(&report, "/punctual/unmatched", None);
    assert_eq!((unmatched["kinds"], unmatched["sampled"]), (2, 20));
}

#[test]
fn what_there_is_not_has_no_answer() {
    let report = Fixture::new().report();
    for (name, parameter) in [
        ("/punctual/nothing", None),
        ("/punctual/ledger", Some("itch")),
        ("/punctual/rule", None),
        ("/punctual/rule", Some("none")),
        ("/punctual/rule", Some("itch,out")),
        ("/punctual/output", Some("itch")),
        ("/punctual/output", Some("syslog,desk-eq/239.101.0.0/24")),
        ("/punctual/outputs", Some("none,1")),
        ("/punctual/worker", Some("one")),
        ("/punctual/rules", Some("0")),
        ("/punctual/rules", Some("-1")),
        ("/punctual/rules", Some("18446744073709551615")),
    ] {
        assert_eq!(answer(&report, name, parameter), None, "{name} {parameter:?}");
    }
}

#[test]
fn many_rules_come_in_pages() {
    let mut report = Fixture::new().report();
    let rule = report.rules[0].clone();
    let named =
        |n: usize| crate::manage::report::RuleReport { name: format!("{n}"), ..rule.clone() };
    report.rules = (0..2 * PAGE + 1).map(named).collect();
    let page = |page: Option<&str>| match answer(&report, "/punctual/rules", page) {
        Some(Answer::Names(names)) => (names.len(), names.first().cloned().unwrap_or_default()),
        other => panic!("{other:?}"),
    };
    assert_eq!(page(None), (PAGE, "0".into()));
    assert_eq!(page(Some("1")), (PAGE, "0".into()));
    assert_eq!(page(Some("2")), (PAGE, PAGE.to_string()));
    assert_eq!(page(Some("3")), (1, (2 * PAGE).to_string()));
    assert_eq!(page(Some("4")), (0, String::new()));
}
