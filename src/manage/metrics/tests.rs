//! The list against the report, the text against a strict reader.

use std::collections::HashSet;

use serde_json::Value;

use super::list;
use super::metric::{AFTER, BEFORE, Kind};
use super::series::{DEFAULT_MAX, WRITTEN_MAX, count};
use super::*;
use crate::config::{Config, Detail};
use crate::manage::fixture::{Fixture, assert_golden};
use crate::manage::report::{Distribution, Report};
use crate::manage::view::RuleLatency;
use crate::packet::DropReason;
use crate::testkit::openmetrics::{Family, parse};

/// The fixture's report and its rules' residence times.
fn instance() -> (Report, Vec<RuleLatency>) {
    let fixture = Fixture::new();
    let rules = fixture.config.rules.iter().zip(&fixture.plan.rule_slots);
    let latency = rules.map(|(rule, &slot)| RuleLatency {
        rule: rule.name.clone(),
        class: rule.class.name().into(),
        times: Distribution::of(
            std::iter::once(&fixture.counters.rules[slot as usize].latency),
            fixture.plan.ticks_per_second,
        ),
    });
    (fixture.report(), latency.collect())
}

fn families(detail: Detail) -> Vec<Family> {
    let (report, latency) = instance();
    parse(&text::exposition(&report, &latency, detail)).unwrap_or_else(|why| panic!("{why}"))
}

fn family<'a>(all: &'a [Family], name: &str) -> &'a Family {
    all.iter().find(|family| family.name == name).unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn the_text_is_as_reviewed_and_strict() {
    let (report, latency) = instance();
    let text = text::exposition(&report, &latency, Detail::Outputs);
    let all = parse(&text).unwrap_or_else(|why| panic!("{why}"));
    let names: Vec<_> = all.iter().map(|family| family.name.as_str()).collect();
    let listed: Vec<_> = list::all().iter().map(|metric| metric.name).collect();
    assert_eq!(names, listed);
    assert_golden("metrics.txt", &text);
}

/// Paths of all numbers of a report, without the indices of lists and the names of reasons.
fn numbers(value: &Value, path: &str, found: &mut HashSet<String>) {
    match value {
        Value::Number(_) => drop(found.insert(path.to_owned())),
        Value::Array(list) => list.iter().for_each(|item| numbers(item, path, found)),
        Value::Object(object) => {
            for (key, value) in object {
                let dot = if path.is_empty() { "" } else { "." };
                let is_reason = path.rsplit('.').next().is_some_and(|p| {
                    p.starts_with("dropped") || ["group_ignored", "malformed"].contains(&p)
                });
                let path = if is_reason { path.into() } else { format!("{path}{dot}{key}") };
                numbers(value, &path, found);
            }
        }
        _ => {}
    }
}

#[test]
fn every_number_of_the_report_has_a_metric() {
    let (report, _) = instance();
    let mut found = HashSet::new();
    numbers(&serde_json::to_value(&report).unwrap(), "", &mut found);
    let mut told = HashSet::new();
    for metric in list::all() {
        for from in metric.from {
            let dot = if metric.place.is_empty() { "" } else { "." };
            told.insert(format!("{}{dot}{from}", metric.place));
        }
    }
    // Whoever sends makes these rows: a series each would have no bound but what strangers do.
    found.retain(|path| !path.starts_with("unmatched."));
    // Those that are active are counted; when each began is told by `show alerts`.
    found.remove("alerts.since_ns");
    // It is in a label.
    told.insert("workers.lcore".into());
    told.insert("groups.vlan".into());
    told.insert("neighbours.vlan".into());
    let missing: Vec<_> = found.difference(&told).collect();
    assert!(missing.is_empty(), "no metric for {missing:?}");
    // The other way round: states are no numbers, all else is.
    let ends = ["breaker", "link", "promiscuous", "mac"];
    let states = |path: &&String| ends.iter().any(|end| path.ends_with(end));
    let surplus: Vec<_> = told.difference(&found).filter(|path| !states(path)).collect();
    assert_eq!(
        surplus,
        ["workers.lcore", "groups.vlan", "neighbours.vlan"]
            .iter()
            .filter(|l| !found.contains(**l))
            .collect::<Vec<_>>()
    );
}

#[test]
fn names_are_as_open_metrics_wants_them() {
    for metric in list::all() {
        let name = metric.name;
        assert!(name == "punctual" || name.starts_with("punctual_"), "{name}");
        assert!(!name.ends_with("_total") && !name.ends_with("_info"), "{name}");
        assert!(metric.help.ends_with('.') && !metric.help.contains(['"', '\\', '\n']), "{name}");
        assert_eq!(metric.kind == Kind::Histogram, metric.also == Some("le"), "{name}");
    }
}

#[test]
fn values_are_the_report_s_in_the_units_of_open_metrics() {
    let (report, _) = instance();
    let all = families(Detail::Outputs);
    let value = |name: &str, labels: &[(&str, &str)]| {
        let samples = &family(&all, name).samples;
        let found = samples
            .iter()
            .find(|sample| labels.iter().all(|(key, value)| sample.label(key) == Some(value)));
        found.unwrap_or_else(|| panic!("no {name} {labels:?}")).value.clone()
    };
    let itch = &report.rules[0];
    assert_eq!(value("punctual_rule_packets", &[("rule", "itch")]), itch.packets.to_string());
    assert_eq!(value("punctual_uptime_seconds", &[]), "12.345000000");
    let age = value("punctual_rule_last_packet_age_seconds", &[("rule", "itch")]);
    assert_eq!(age, "0.001500000");
    let reason = |reason| value("punctual_ledger_dropped_packets", &[("reason", reason)]);
    assert_eq!((reason("no_rule"), reason("martian")), ("20".into(), "0".into()));
    let busy = value("punctual_worker_busy_ratio", &[("lcore", "1")]);
    assert_eq!(busy, format!("0.{:03}", report.workers[0].busy_permille));
    let state =
        |state| value("punctual_port_breaker", &[("port", "in"), ("punctual_port_breaker", state)]);
    assert_eq!((state("closed"), state("open")), ("1".into(), "0".into()));
}

#[test]
fn every_reason_ends_packets_or_copies() {
    for reason in DropReason::ALL {
        let sides = [BEFORE.contains(reason), AFTER.contains(reason)];
        assert!(sides.contains(&true), "{reason:?} is in neither list");
    }
}

#[test]
fn a_time_is_in_the_first_bucket_that_is_surely_above_it() {
    assert_eq!(text::bound(0), 1_000);
    assert_eq!((text::bound(1), text::bound(4), text::bound(5)), (1_250, 2_000, 2_500));
    let last = text::bound(text::BOUNDS - 1);
    assert!((10_000_000_000..11_000_000_000).contains(&last), "{last}");
    let times = Distribution {
        buckets: vec![(900, 1), (1_000, 2), (1_001, 4), (2_000_000, 8), (20_000_000_000, 16)],
        max: 19_000_000_000,
    };
    let (mut report, mut latency) = instance();
    report.rules.truncate(1);
    latency.truncate(1);
    latency[0].times = times;
    let all = parse(&text::exposition(&report, &latency, Detail::Rules)).unwrap();
    let rule = family(&all, "punctual_rule_latency_seconds");
    let of = |name: &str, le: Option<&str>| {
        let name = format!("punctual_rule_latency_seconds_{name}");
        let found = rule.samples.iter().find(|s| s.name == name && s.label("le") == le);
        found.unwrap_or_else(|| panic!("no {name} {le:?}")).value.clone()
    };
    let below = |le| of("bucket", Some(le));
    assert_eq!(
        (below("1e-06"), below("1.25e-06"), below("1.75e-06")),
        ("3".into(), "7".into(), "7".into())
    );
    assert_eq!(
        (below("0.001792"), below("0.002048"), below("1.048576")),
        ("7".into(), "15".into(), "15".into())
    );
    assert_eq!(
        (below("10.48576"), below("+Inf"), of("count", None)),
        ("15".into(), "31".into(), "31".into())
    );
    assert_eq!(of("sum", None), "304.016006904");
}

#[test]
fn the_dashboard_asks_for_what_there_is() {
    let names: HashSet<_> = families(Detail::Outputs)
        .iter()
        .flat_map(|family| family.samples.iter().map(|sample| sample.name.clone()))
        .collect();
    let dashboard: Value = serde_json::from_str(&dashboard()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut asked = HashSet::new();
    for panel in panels.iter().filter(|panel| panel["type"] == "timeseries") {
        let expression = panel["targets"][0]["expr"].as_str().unwrap();
        let series = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let series: Vec<_> = series.filter(|word| word.starts_with("punctual_")).collect();
        assert!(!series.is_empty() && expression.contains("{instance=~"), "{expression}");
        let opened = expression.matches(['(', '{', '[']).count();
        assert_eq!(opened, expression.matches([')', '}', ']']).count(), "{expression}");
        asked.extend(series.into_iter().map(str::to_owned));
    }
    // Of a histogram only the buckets are asked for; texts are not drawn.
    let is_drawn =
        |name: &&String| !["_sum", "_count", "_info"].iter().any(|suffix| name.ends_with(suffix));
    let of_names: HashSet<_> = names.iter().filter(is_drawn).cloned().collect();
    let missing: Vec<_> = of_names.difference(&asked).collect();
    assert!(missing.is_empty(), "not on the dashboard: {missing:?}");
    let unknown: Vec<_> = asked.difference(&names).collect();
    // The fixture dropped nothing for receivers' or classes' sake that these would count.
    assert!(
        unknown.iter().all(|name| name.ends_with("_dropped_copies_total")
            || name.ends_with("_dropped_packets_total")),
        "{unknown:?}"
    );
}

#[test]
fn the_strict_reader_is_strict() {
    let good = "# TYPE a counter\n# HELP a Some.\na_total{b=\"c\\\"\\\\\\n\"} 1\n# EOF\n";
    assert_eq!(parse(good).unwrap()[0].samples[0].label("b"), Some("c\"\\\n"));
    for (from, to) in [
        ("# EOF\n", ""),
        ("_total", ""),
        (" 1\n", "  1\n"),
        (" 1\n", " one\n"),
        (" 1\n", " -1\n"),
        ("\\n\"", "\\t\""),
        ("b=", "0b="),
        ("a_total", "b_total"),
        ("counter", "number"),
        ("# HELP a Some.\n", ""),
        ("\n# EOF", "\n# TYPE a gauge\n# EOF"),
        ("# HELP", "# UNIT a seconds\n# HELP"),
    ] {
        assert!(parse(&good.replacen(from, to, 1)).is_err(), "{from:?} -> {to:?}");
    }
    let twice = good.replace("# EOF", "a_total{b=\"c\\\"\\\\\\n\"} 1\n# EOF");
    assert!(parse(&twice).unwrap_err().contains("twice"));
    let buckets = |two: &str, all: &str| {
        format!(
            "# TYPE h histogram\n# HELP h Some.\nh_bucket{{le=\"1.0\"}} 1\n{two}\
             h_bucket{{le=\"+Inf\"}} {all}\nh_sum 3\nh_count 3\n# EOF\n"
        )
    };
    assert!(parse(&buckets("h_bucket{le=\"2.0\"} 2\n", "3")).is_ok());
    for (two, all) in [
        ("h_bucket{le=\"2.0\"} 0\n", "3"),
        ("h_bucket{le=\"0.5\"} 2\n", "3"),
        ("h_bucket{le=\"2.0\"} 2\n", "4"),
        ("h_bucket 2\n", "3"),
    ] {
        assert!(parse(&buckets(two, all)).is_err(), "{two} {all}");
    }
}

#[test]
fn detail_bounds_the_labels() {
    let sizes = Detail::ALL.map(|detail| {
        let all = families(detail);
        let has = |name: &str| all.iter().any(|family| family.name == name);
        assert_eq!(has("punctual_rule_packets"), detail >= Detail::Rules);
        assert_eq!(has("punctual_output_copies"), detail >= Detail::Outputs);
        assert!(has("punctual_port_up") && has("punctual_receiver_copies"));
        let samples = all.iter().map(|family| family.samples.len() as u64).sum::<u64>();
        let most = count(&Fixture::new().config, detail);
        assert!(samples <= most && most < 2 * samples, "{detail:?}: {samples} of {most}");
        samples
    });
    assert!(sizes.is_sorted(), "{sizes:?}");
}

#[test]
fn too_many_series_are_refused_with_what_to_write() {
    let mut config: Config = Fixture::new().config;
    config.metrics = Some("127.0.0.1:0".parse().unwrap());
    assert_eq!(check(&config), Ok(Detail::Outputs));
    let output = config.rules[0].outputs[0].clone();
    while count(&config, Detail::Outputs) <= DEFAULT_MAX {
        config.rules[0].outputs.push(output.clone());
    }
    let message = check(&config).unwrap_err().to_string();
    for part in ["10000 where `detail` is not written", "`detail = \"outputs\"` (", "\"rules\""] {
        assert!(message.contains(part), "{message}");
    }
    config.detail = Some(Detail::Outputs);
    assert_eq!(check(&config), Ok(Detail::Outputs));
    while count(&config, Detail::Outputs) <= WRITTEN_MAX {
        config.rules[0].outputs.extend(vec![output.clone(); 1_000]);
    }
    let message = check(&config).unwrap_err().to_string();
    assert!(message.contains("allowed: 200000;") && !message.contains("\"outputs\""), "{message}");
    config.metrics = None;
    assert!(check(&config).is_ok(), "nobody reads them");
}
