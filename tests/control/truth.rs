//! One truth: the final report, `show`, the metrics, DPDK's telemetry and `top` say the same of an
//! instance to the last packet. Which number is where is read from `docs/metrics.md`.

use std::collections::BTreeMap;
use std::time::Duration;

use punctual::manage::control::{Client, Command, Shown, Which};
use punctual::manage::top::{Look, Top};
use punctual::testkit::openmetrics::{Family, Sample, parse};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use serde_json::{Map, Value, json};

use crate::binary::{Running, number, sum};
use crate::metrics::{KEYS, address, scrape};
use crate::site::{FRAMES, Site};
use crate::telemetry;

/// What goes on while no packet moves.
const MOVING: [&str; 9] = [
    "uptime_ns",
    "turns",
    "busy_turns",
    "busy_permille",
    "heartbeat_age_ns",
    "longest_turn_ns",
    "in_use",
    "in_use_max",
    "held",
];
/// Parts of the report that `show` has by the same name.
const PARTS: [&str; 7] =
    ["ledger", "rules", "receivers", "ports", "workers", "classes", "unmatched"];

/// What is said of a drained instance that runs on, by everyone who says it.
struct Said {
    parts: Vec<(&'static str, Value)>,
    drops: Value,
    metrics: Vec<Family>,
    /// By command and parameter.
    telemetry: BTreeMap<String, Value>,
    top: Value,
    /// The drops of the screen.
    screen: String,
}

impl Said {
    fn of(site: &Site, running: &mut Running) -> Self {
        let text = scrape(address(running));
        let client = telemetry::Client::of(site);
        let mut telemetry = BTreeMap::new();
        let mut ask = |command: String| {
            let answer = client.ask(&command);
            assert!(answer.is_object(), "{command}: {answer}");
            telemetry.insert(command, answer);
        };
        ask("/punctual/info".into());
        ask("/punctual/ledger".into());
        ask("/punctual/drops".into());
        for (list, each) in [
            ("rules", "rule"),
            ("classes", "class"),
            ("receivers", "receiver"),
            ("ports", "port"),
            ("workers", "worker"),
            ("pools", "pool"),
        ] {
            for name in client.names(&format!("/punctual/{list}")) {
                ask(format!("/punctual/{each},{name}"));
            }
        }
        for rule in client.names("/punctual/rules") {
            for output in client.names(&format!("/punctual/outputs,{rule}")) {
                ask(format!("/punctual/output,{rule},{output}"));
            }
        }
        let shown = shown(site);
        let mut top = Top::new(Duration::from_secs(1));
        top.take(shown.clone());
        top.key(KeyEvent::new(KeyCode::Char('5'), KeyModifiers::NONE));
        let mut terminal = Terminal::new(TestBackend::new(120, 40)).expect("a terminal");
        terminal.draw(|frame| top.draw(frame, false)).expect("it is drawn");
        let cells = terminal.backend().buffer().content.chunks(120);
        let lines = cells.map(|line| line.iter().map(|cell| cell.symbol()).collect::<String>());
        Self {
            parts: PARTS.map(|part| (part, site.json(part))).into(),
            drops: site.json("drops"),
            metrics: parse(&text).unwrap_or_else(|why| panic!("{why}\n{text}")),
            telemetry,
            top: serde_json::to_value(Look::new(shown, None).now).expect("plain data"),
            screen: lines.collect::<Vec<_>>().join("\n"),
        }
    }
}

/// What `top` is told.
fn shown(site: &Site) -> Shown {
    let which = Which::At(site.socket());
    let patience = Duration::from_secs(60);
    let mut client = Client::connect(&which).expect("it answers");
    client.ask(Command::Show, patience).expect("it shows itself")
}

/// A value without what moves.
fn at_rest(mut value: Value) -> Value {
    match &mut value {
        Value::Object(map) => {
            map.retain(|key, _| !MOVING.contains(&key.as_str()));
            map.values_mut().for_each(|value| *value = at_rest(value.take()));
        }
        Value::Array(list) => list.iter_mut().for_each(|value| *value = at_rest(value.take())),
        _ => {}
    }
    value
}

/// The things of a place of the report, each with the values of its labels.
fn things<'a>(report: &'a Value, place: &str) -> Vec<(Vec<String>, &'a Value)> {
    let list = |value: &'a Value| value.as_array().expect("a list").iter();
    let name = |thing: &Value| match &thing["name"] {
        Value::String(name) => name.clone(),
        _ => number(&thing["lcore"]).to_string(),
    };
    match place {
        "" => vec![(Vec::new(), report)],
        "ledger" => vec![(Vec::new(), &report["ledger"])],
        "rules.outputs" => {
            let outputs = list(&report["rules"]).flat_map(|rule| {
                let outputs = list(&rule["outputs"]);
                outputs.map(move |output| (vec![name(rule), name(output)], output))
            });
            outputs.collect()
        }
        place => list(&report[place]).map(|thing| (vec![name(thing)], thing)).collect(),
    }
}

/// One row of the documentation: a sample, its labels, and where it is in the report.
#[derive(Debug)]
struct Row {
    sample: String,
    unit: String,
    labels: Vec<String>,
    place: String,
    field: String,
}

/// Every documented metric that is a number.
fn documented() -> Vec<Row> {
    let text = std::fs::read_to_string("docs/metrics.md").expect("it is there");
    let quoted = |cell: &str| -> Vec<String> {
        let cells = cell.split(", ").map(|cell| cell.trim().trim_matches('`').to_owned());
        cells.filter(|cell| !cell.is_empty()).collect()
    };
    let rows = text.lines().filter(|line| line.starts_with("| `punctual_")).filter_map(|line| {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let from = quoted(cells[4]).first()?.clone();
        let places = ["rules.outputs", "classes", "ledger", "rules", "receivers", "ports"];
        let mut places = places.into_iter().chain(["workers", "pools", "groups", "neighbours"]);
        let place = places.find(|place| from.starts_with(&format!("{place}.")));
        let place = place.unwrap_or_default();
        Some(Row {
            sample: quoted(cells[0])[0].clone(),
            unit: cells[2].into(),
            labels: quoted(cells[3]),
            field: from.strip_prefix(place).unwrap_or(&from).trim_matches('.').into(),
            place: place.into(),
        })
    });
    rows.collect()
}

/// The field of a thing, by its path; a count of what is active where it is a list.
fn field<'a>(thing: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(thing, |value, key| &value[key])
}

fn value_of(families: &[Family], name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let all = families.iter().flat_map(|family| &family.samples);
    let is = |sample: &&Sample| {
        sample.name == name && labels.iter().all(|(key, value)| sample.label(key) == Some(value))
    };
    let mut found = all.filter(is);
    let first = found.next().map(Sample::number);
    assert!(found.next().is_none(), "{name} {labels:?} is not one sample");
    first
}

/// Every documented metric against the report; returns how many numbers were compared.
fn metrics_say(families: &[Family], report: &Value) -> usize {
    let mut compared = 0;
    for row in documented() {
        let last = row.field.rsplit('.').next().unwrap_or_default();
        if MOVING.contains(&last) {
            continue;
        }
        for (names, thing) in things(report, &row.place) {
            let labels: Vec<(&str, &str)> = row
                .labels
                .iter()
                .map(String::as_str)
                .zip(names.iter().map(String::as_str))
                .collect();
            let mut is = |name: &str, labels: &[(&str, &str)], expected: f64| {
                let told = value_of(families, name, labels);
                assert_eq!(told, Some(expected), "{name} {labels:?}: {thing}");
                compared += 1;
            };
            let also = row.labels.get(names.len()).map(String::as_str);
            let count = |value: &Value| number(value) as f64;
            match (also, field(thing, &row.field)) {
                (Some(by @ ("reason" | "protocol")), Value::Object(counts)) => {
                    for (of, counted) in counts {
                        let with = [&labels[..], &[(by, of)]].concat();
                        is(&row.sample, &with, count(counted));
                    }
                }
                (Some("le"), times) => {
                    is(&row.sample.replace("_bucket", "_count"), &labels, count(times));
                }
                (Some(state), Value::String(now)) => {
                    is(&row.sample, &[&labels[..], &[(state, now)]].concat(), 1.0);
                }
                (None, Value::String(link)) => {
                    is(&row.sample, &labels, f64::from(u8::from(link == "up")));
                }
                (None, Value::Bool(on)) => is(&row.sample, &labels, f64::from(u8::from(*on))),
                (None, Value::Null) if row.field == "alerts.count" => {
                    let alerts = report["alerts"].as_array().expect("a list").iter();
                    let active = alerts.filter(|alert| alert["active"] == true).count();
                    is(&row.sample, &labels, active as f64);
                }
                // It is absent where there was no packet.
                (None, _) if last == "last_packet_ns_ago" && thing["packets"] == 0 => {}
                (None, value) => {
                    let unit = match row.unit.as_str() {
                        "seconds" => 1e9,
                        "ratio" => 1e3,
                        _ => 1.0,
                    };
                    is(&row.sample, &labels, count(value) / unit);
                }
                (also, value) => panic!("{row:?}: {also:?} of {value}"),
            }
        }
    }
    compared
}

/// The numbers of a thing with the names that telemetry has for them; lists are things of their own.
fn flat(thing: &Map<String, Value>, before: &str, numbers: &mut BTreeMap<String, u64>) {
    for (key, value) in thing {
        match value {
            Value::Number(_) => drop(numbers.insert(format!("{before}{key}"), number(value))),
            Value::Object(inner) => flat(inner, &format!("{before}{key}_"), numbers),
            _ => {}
        }
    }
}

/// Every answer of telemetry against the report; returns how many numbers were compared.
fn telemetry_says(answers: &BTreeMap<String, Value>, report: &Value) -> usize {
    let mut compared = 0;
    for (place, command) in [
        ("", "info"),
        ("ledger", "ledger"),
        ("rules", "rule"),
        ("rules.outputs", "output"),
        ("classes", "class"),
        ("receivers", "receiver"),
        ("ports", "port"),
        ("workers", "worker"),
        ("pools", "pool"),
    ] {
        for (names, thing) in things(report, place) {
            let names = names.iter().map(|name| format!(",{name}")).collect::<String>();
            let command = format!("/punctual/{command}{names}");
            let answer = answers.get(&command).unwrap_or_else(|| panic!("no {command}"));
            let mut numbers = BTreeMap::new();
            let thing = thing.as_object().expect("an object");
            match place {
                "" => {
                    thing.iter().filter(|(_, value)| value.is_number()).for_each(|(key, value)| {
                        numbers.insert(key.clone(), number(value));
                    })
                }
                _ => flat(thing, "", &mut numbers),
            }
            // It is in the command's parameter.
            numbers.remove("lcore");
            numbers.retain(|key, _| !MOVING.contains(&key.as_str()));
            for (key, expected) in &numbers {
                if key == "last_packet_ns_ago" && thing["packets"] == 0 {
                    continue;
                }
                assert_eq!(answer[key].as_u64(), Some(*expected), "{command}: {key}: {answer}");
                compared += 1;
            }
            // The other way round: what the report leaves out is 0, but for states.
            for (key, value) in answer.as_object().expect("an object") {
                let known = numbers.contains_key(key) || MOVING.contains(&key.as_str());
                let state =
                    ["link", "alerts_count"].contains(&key.as_str()) || key.starts_with("breaker_");
                assert!(known || state || !value.is_number() || *value == 0, "{command}: {key}");
            }
        }
    }
    compared
}

#[test]
fn everyone_says_the_same_of_a_drained_instance() {
    // A worker that gets no CPU for a moment is an alert for some who look, not for all.
    let site = Site::finite_of("", &format!("{KEYS}\n[alerts]\nstalled = \"off\""));
    let mut running = site.start();
    site.drained();
    let said = Said::of(&site, &mut running);
    site.told(&["stop"]);
    let report = site.has_ended(running);

    let [first, second, none] = FRAMES.map(|count| count as u64);
    assert_eq!(number(&report["ledger"]["received"]), first + second + none);
    for (part, value) in said.parts {
        assert_eq!(at_rest(value), at_rest(report[part].clone()), "show {part}");
    }
    let dropped = &report["ledger"]["dropped_before"];
    assert_eq!(said.drops, json!([{"reason": "no_rule", "fan_out": "before", "count": none}]));
    assert_eq!(at_rest(said.top), at_rest(report.clone()), "top");
    let drop_line = said.screen.lines().find(|line| line.contains("no_rule"));
    let drop_line = drop_line.unwrap_or_else(|| panic!("no drops on\n{}", said.screen));
    assert!(drop_line.split_whitespace().any(|word| word == none.to_string()), "{drop_line}");
    let compared = metrics_say(&said.metrics, &report);
    assert!(compared > 100, "{compared} numbers of the metrics");
    let compared = telemetry_says(&said.telemetry, &report);
    assert!(compared > 100, "{compared} numbers of telemetry");
    let drops = said.telemetry["/punctual/drops"].clone();
    assert_eq!((number(&drops["no_rule"]), sum(&drops)), (none, sum(dropped)));
}
