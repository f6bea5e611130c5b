//! A report -> the text of OpenMetrics 1.0.

use std::fmt::Write as _;

use super::list;
use super::metric::{Group, Kind, Metric, Read, unit};
use crate::config::Detail;
use crate::manage::report::{Breaker, Distribution, Report};
use crate::manage::view::{RuleLatency, View};

/// What the text is, for HTTP.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Bounds of a histogram: four an octave, linear within it, from 1 us to 10.5 s.
pub const BOUNDS: usize = 4 * 23 + 2;
/// The shortest bound, in nanoseconds.
const SHORTEST: u64 = 1_000;

/// States of a circuit breaker.
pub const STATES: [Breaker; 3] = [Breaker::Closed, Breaker::Open, Breaker::HalfOpen];

/// One thing: its labels as written, what the report says of it, and its residence times.
struct Thing<'a, T> {
    labels: String,
    value: &'a T,
    times: Option<&'a Distribution>,
}

/// The text of an instance as it is shown.
pub fn render(view: &View, detail: Detail) -> String {
    exposition(&view.report(false), &view.latency(), detail)
}

/// The text of a report and the residence times of its rules.
pub fn exposition(report: &Report, latency: &[RuleLatency], detail: Detail) -> String {
    let mut out = String::new();
    group(
        &mut out,
        &list::INSTANCE,
        &[Thing { labels: String::new(), value: report, times: None }],
    );
    let ledger = Thing { labels: String::new(), value: &report.ledger, times: None };
    group(&mut out, &list::LEDGER, &[ledger]);
    let by_class: Vec<_> =
        report.classes.iter().map(|class| merged(latency, &class.name)).collect();
    let classes = report.classes.iter().zip(&by_class).map(|(class, times)| {
        let labels = label("class", &class.name);
        Thing { labels, value: class, times: Some(times) }
    });
    group(&mut out, &list::CLASSES, &classes.collect::<Vec<_>>());
    if detail >= list::RULES.detail {
        let rules = report.rules.iter().zip(latency).map(|(rule, latency)| {
            let labels = label("rule", &rule.name);
            Thing { labels, value: rule, times: Some(&latency.times) }
        });
        group(&mut out, &list::RULES, &rules.collect::<Vec<_>>());
    }
    if detail >= list::OUTPUTS.detail {
        let outputs = report.rules.iter().flat_map(|rule| {
            rule.outputs.iter().map(|output| {
                let labels = [label("rule", &rule.name), label("output", &output.name)].join(",");
                Thing { labels, value: output, times: None }
            })
        });
        group(&mut out, &list::OUTPUTS, &outputs.collect::<Vec<_>>());
    }
    group(&mut out, &list::RECEIVERS, &named("receiver", &report.receivers, |r| &r.name));
    group(&mut out, &list::PORTS, &named("port", &report.ports, |p| &p.name));
    if detail >= list::GROUPS.detail {
        let groups = report.groups.iter().map(|joined| {
            let (vlan, group) = (joined.vlan.to_string(), joined.group.to_string());
            let labels =
                [label("port", &joined.port), label("vlan", &vlan), label("group", &group)];
            Thing { labels: labels.join(","), value: joined, times: None }
        });
        group(&mut out, &list::GROUPS, &groups.collect::<Vec<_>>());
    }
    if detail >= list::NEIGHBOURS.detail {
        let neighbours = report.neighbours.iter().map(|asked| {
            let vlan = asked.vlan.to_string();
            let labels = [
                label("port", &asked.port),
                label("vlan", &vlan),
                label("address", &asked.address),
            ];
            Thing { labels: labels.join(","), value: asked, times: None }
        });
        group(&mut out, &list::NEIGHBOURS, &neighbours.collect::<Vec<_>>());
    }
    let workers = report.workers.iter().map(|worker| {
        let labels = label("lcore", &worker.lcore.to_string());
        Thing { labels, value: worker, times: None }
    });
    group(&mut out, &list::WORKERS, &workers.collect::<Vec<_>>());
    group(&mut out, &list::POOLS, &named("pool", &report.pools, |p| &p.name));
    out.push_str("# EOF\n");
    out
}

fn named<'a, T>(key: &str, all: &'a [T], name: fn(&T) -> &str) -> Vec<Thing<'a, T>> {
    let thing = |value| Thing { labels: label(key, name(value)), value, times: None };
    all.iter().map(thing).collect()
}

/// The residence times of a class: those of its rules.
fn merged(latency: &[RuleLatency], class: &str) -> Distribution {
    let mut all = Distribution::default();
    for rule in latency.iter().filter(|rule| rule.class == class) {
        all.buckets.extend_from_slice(&rule.times.buckets);
        all.max = all.max.max(rule.times.max);
    }
    all
}

/// A label as it is written.
fn label(key: &str, value: &str) -> String {
    let mut text = format!("{key}=\"");
    for char in value.chars() {
        match char {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            char => text.push(char),
        }
    }
    text.push('"');
    text
}

fn group<T>(out: &mut String, group: &Group<T>, things: &[Thing<'_, T>]) {
    for metric in group.metrics {
        let Metric { name, kind, help, .. } = metric;
        line(out, format_args!("# TYPE {name} {}", kind.name()));
        if !unit(name).is_empty() {
            line(out, format_args!("# UNIT {name} {}", unit(name)));
        }
        line(out, format_args!("# HELP {name} {help}"));
        things.iter().for_each(|thing| samples(out, metric, thing));
    }
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{text}");
}

/// One sample; `more` is a label besides the thing's own.
fn sample(out: &mut String, name: &str, labels: &str, more: &str, value: &str) {
    let comma = if labels.is_empty() || more.is_empty() { "" } else { "," };
    match labels.is_empty() && more.is_empty() {
        true => line(out, format_args!("{name} {value}")),
        false => line(out, format_args!("{name}{{{labels}{comma}{more}}} {value}")),
    }
}

fn samples<T>(out: &mut String, metric: &Metric<T>, thing: &Thing<'_, T>) {
    let Thing { labels, value, times } = thing;
    let total = if metric.kind == Kind::Counter { "_total" } else { "" };
    let name = format!("{}{total}", metric.name);
    match metric.read {
        Read::Number(read) => sample(out, &name, labels, "", &show(metric.name, read(value))),
        Read::Known(read) => {
            if let Some(number) = read(value) {
                sample(out, &name, labels, "", &show(metric.name, number));
            }
        }
        Read::Drops(read, always) => {
            let drops = read(value);
            for reason in always {
                let count = drops.get(*reason).to_string();
                sample(out, &name, labels, &label("reason", reason.name()), &count);
            }
            let is_told = |name: &str| always.iter().any(|reason| reason.name() == name);
            for (reason, count) in drops.iter().filter(|(reason, _)| !is_told(reason)) {
                sample(out, &name, labels, &label("reason", reason), &count.to_string());
            }
        }
        Read::Protocols(read) => {
            for (protocol, count) in read(value).iter() {
                sample(out, &name, labels, &label("protocol", protocol), &count.to_string());
            }
        }
        Read::State(read) => {
            let now = read(value);
            for state in STATES {
                let is = if state == now { "1" } else { "0" };
                sample(out, &name, labels, &label(metric.name, state.name()), is);
            }
        }
        Read::Times(_) => {
            histogram(out, metric.name, labels, times.unwrap_or(&Distribution::default()))
        }
        Read::Labels(read) => {
            let more = read(value).into_iter().filter(|(_, value)| !value.is_empty());
            let more: Vec<_> = more.map(|(key, value)| label(key, &value)).collect();
            sample(out, &format!("{name}_info"), labels, &more.join(","), "1");
        }
    }
}

/// A number of the report in the metric's unit, exactly.
fn show(name: &str, number: u64) -> String {
    match unit(name) {
        "seconds" => seconds(number.into()),
        "ratio" => format!("{}.{:03}", number / 1_000, number % 1_000),
        _ => number.to_string(),
    }
}

/// Nanoseconds in seconds.
fn seconds(nanos: u128) -> String {
    format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000)
}

/// A bound in nanoseconds.
pub fn bound(index: usize) -> u64 {
    (SHORTEST / 4 * (4 + index as u64 % 4)) << (index / 4)
}

/// A bound in seconds, as OpenMetrics wants numbers in `le` to be written.
fn le(nanos: u64) -> String {
    let seconds = nanos as f64 / 1e9;
    if nanos >= 100_000 {
        return format!("{seconds:?}");
    }
    let text = format!("{seconds:e}");
    let (digits, exponent) = text.split_once("e-").unwrap_or((&text, "0"));
    format!("{digits}e-{exponent:0>2}")
}

fn histogram(out: &mut String, name: &str, labels: &str, times: &Distribution) {
    let mut counts = [0_u64; BOUNDS];
    let (mut all, mut sum) = (0, 0);
    for &(top, count) in &times.buckets {
        all += count;
        sum += u128::from(top.min(times.max)) * u128::from(count);
        // The first bound that is surely not below; what is above all of them is in `all` alone.
        if let Some(i) = (0..BOUNDS).find(|&i| top <= bound(i)) {
            counts[i] += count;
        }
    }
    let bucket = format!("{name}_bucket");
    let mut below = 0;
    for (i, count) in counts.iter().enumerate() {
        below += count;
        sample(out, &bucket, labels, &label("le", &le(bound(i))), &below.to_string());
    }
    sample(out, &bucket, labels, &label("le", "+Inf"), &all.to_string());
    sample(out, &format!("{name}_sum"), labels, "", &seconds(sum));
    sample(out, &format!("{name}_count"), labels, "", &all.to_string());
}
