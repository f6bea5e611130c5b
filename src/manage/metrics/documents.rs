//! The list of metrics -> the tables of `docs/metrics.md` and the Grafana dashboard.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::list;
use super::metric::{Described, Kind, unit};
use super::telemetry::{COMMANDS, Command};

/// The tables of `docs/metrics.md`.
pub fn reference() -> String {
    let mut out = format!("## Commands of DPDK's telemetry socket\n\n{}\n", commands());
    let mut place = None;
    for metric in list::all() {
        if place != Some(metric.place) {
            let title = title(metric.place);
            let newline = if place.is_some() { "\n" } else { "" };
            let detail = metric.detail.name();
            // Writing to a string cannot fail.
            let _ = write!(
                out,
                "{newline}## {title}\n\nFrom `detail = \"{detail}\"` on.\n\n\
                 | sample | type | unit | labels | from | what it says |\n|---|---|---|---|---|---|\n",
            );
            place = Some(metric.place);
        }
        let labels = metric.labels.iter().copied().chain(metric.also);
        let labels: Vec<_> = labels.map(|label| format!("`{label}`")).collect();
        let _ = writeln!(
            out,
            "| `{}` | {} | {} | {} | {} | {} |",
            sample(&metric),
            metric.kind.name(),
            unit(metric.name),
            labels.join(", "),
            from(&metric),
            metric.help,
        );
    }
    out
}

/// The commands of DPDK's telemetry socket.
fn commands() -> String {
    let mut out = String::from("| command | what it answers |\n|---|---|\n");
    for Command { name, parameter, help, .. } in &COMMANDS {
        let comma = if parameter.is_empty() { "" } else { "," };
        let shown = match parameter.strip_prefix('[') {
            Some(rest) => format!("{name}[,{rest}"),
            None => format!("{name}{comma}{parameter}"),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(out, "| `{shown}` | {help} |");
    }
    out
}

/// What a scraper stores of a family.
fn sample(metric: &Described) -> String {
    let name = metric.name;
    match metric.kind {
        Kind::Counter => format!("{name}_total"),
        Kind::Info => format!("{name}_info"),
        Kind::Histogram => format!("{name}_bucket"),
        Kind::Gauge | Kind::StateSet => name.into(),
    }
}

/// Where a metric's numbers are in the report.
fn from(metric: &Described) -> String {
    let dot = if metric.place.is_empty() { "" } else { "." };
    let each: Vec<_> =
        metric.from.iter().map(|from| format!("`{}{dot}{from}`", metric.place)).collect();
    each.join(", ")
}

/// What things of a place are called.
fn title(place: &str) -> &'static str {
    match place {
        "" => "The instance",
        "ledger" => "The ledger",
        "classes" => "Classes",
        "rules" => "Rules",
        "rules.outputs" => "Outputs",
        "receivers" => "Receivers",
        "ports" => "Ports",
        "workers" => "Workers",
        _ => "Pools",
    }
}

/// What one looks at first: title, expression, legend, unit of Grafana.
const FIRST: [(&str, &str, &str, &str); 6] = [
    ("Residual: 0, always", "punctual_ledger_residual", "{{instance}}", "none"),
    (
        "Copies sent",
        "sum by (instance) (rate(punctual_ledger_sent_copies_total[$__rate_interval]))",
        "{{instance}}",
        "pps",
    ),
    (
        "Packets dropped, by reason",
        "sum by (reason) (rate(punctual_ledger_dropped_packets_total[$__rate_interval])) > 0",
        "{{reason}}",
        "pps",
    ),
    (
        "Copies dropped, by reason",
        "sum by (reason) (rate(punctual_ledger_dropped_copies_total[$__rate_interval])) > 0",
        "{{reason}}",
        "pps",
    ),
    (
        "Residence time, 99 of 100",
        "histogram_quantile(0.99, sum by (class, le) \
         (rate(punctual_class_latency_seconds_bucket[$__rate_interval])))",
        "{{class}}",
        "s",
    ),
    (
        "Breakers that are not closed",
        "punctual_port_breaker{punctual_port_breaker!=\"closed\"} == 1 or \
         punctual_receiver_breaker{punctual_receiver_breaker!=\"closed\"} == 1",
        "{{port}}{{receiver}}",
        "none",
    ),
];

/// Panels in a row of the dashboard, and their size in its grid.
const PANELS: u64 = 3;
const WIDTH: u64 = 8;
const HEIGHT: u64 = 7;

/// The dashboard, as Grafana imports it.
pub fn dashboard() -> String {
    let mut panels = Panels { all: Vec::new(), y: 0, x: 0 };
    panels.row("At a glance");
    for (title, expression, legend, unit) in FIRST {
        panels.add(title, "", &only(expression), legend, unit);
    }
    let mut place = None;
    for metric in list::all().iter().filter(|metric| metric.kind != Kind::Info) {
        if place != Some(metric.place) {
            panels.row(title(metric.place));
            place = Some(metric.place);
        }
        panels.metric(metric);
    }
    let query = "label_values(punctual_info, instance)";
    let dashboard = json!({
        "uid": "punctual",
        "title": "Punctual",
        "tags": ["punctual"],
        "schemaVersion": 39,
        "editable": true,
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "templating": {"list": [
            {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Source"},
            {
                "name": "instance", "type": "query", "label": "Instance", "query": query,
                "definition": query, "includeAll": true, "multi": true, "refresh": 2,
                "datasource": {"type": "prometheus", "uid": "${datasource}"},
            },
        ]},
        "panels": panels.all,
    });
    format!("{dashboard:#}\n")
}

/// An expression of the chosen instances only: every series of ours gets that selector.
fn only(expression: &str) -> String {
    const SELECTOR: &str = "instance=~\"$instance\"";
    let mut out = String::new();
    let mut rest = expression;
    while let Some(at) = rest.find("punctual_") {
        let (before, from) = rest.split_at(at);
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let (name, after) = from.split_at(from.find(|c| !is_name(c)).unwrap_or(from.len()));
        out.extend([before, name]);
        rest = after;
        if let Some(after) = after.strip_prefix('{') {
            // It has labels: up to their end they name no series.
            let (labels, after) = after.split_once('}').unwrap_or((after, ""));
            let _ = write!(out, "{{{SELECTOR},{labels}}}");
            rest = after;
        } else {
            let _ = write!(out, "{{{SELECTOR}}}");
        }
    }
    out + rest
}

/// Panels, from left to right and from top to bottom.
struct Panels {
    all: Vec<Value>,
    y: u64,
    x: u64,
}

impl Panels {
    fn place(&mut self, width: u64, height: u64) -> (u64, Value) {
        if self.x + width > PANELS * WIDTH {
            (self.x, self.y) = (0, self.y + HEIGHT);
        }
        let place = json!({"x": self.x, "y": self.y, "w": width, "h": height});
        self.x += width;
        (self.all.len() as u64 + 1, place)
    }

    fn row(&mut self, title: &str) {
        if self.x > 0 {
            (self.x, self.y) = (0, self.y + HEIGHT);
        }
        let (id, place) = self.place(PANELS * WIDTH, 1);
        (self.x, self.y) = (0, self.y + 1);
        self.all.push(json!({
            "id": id, "type": "row", "title": title, "gridPos": place, "collapsed": false,
            "panels": [],
        }));
    }

    fn add(&mut self, title: &str, help: &str, expression: &str, legend: &str, unit: &str) {
        let (id, place) = self.place(WIDTH, HEIGHT);
        let source = json!({"type": "prometheus", "uid": "${datasource}"});
        self.all.push(json!({
            "id": id,
            "type": "timeseries",
            "title": title,
            "description": help,
            "gridPos": place,
            "datasource": source,
            "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
            "targets": [
                {"refId": "A", "datasource": source, "expr": expression, "legendFormat": legend},
            ],
        }));
    }

    fn metric(&mut self, metric: &Described) {
        let labels = metric.labels.iter().copied().chain(metric.also.filter(|also| *also != "le"));
        let labels: Vec<_> = labels.collect();
        let legend: Vec<_> = labels.iter().map(|label| format!("{{{{{label}}}}}")).collect();
        let legend = if legend.is_empty() { "{{instance}}".into() } else { legend.join(" ") };
        let by = [&["instance"][..], &labels].concat().join(", ");
        let name = sample(metric);
        let (expression, unit) = match (metric.kind, unit(metric.name)) {
            (Kind::Counter, unit) => {
                let unit = if unit == "bytes" { "Bps" } else { "cps" };
                (format!("sum by ({by}) (rate({name}[$__rate_interval]))"), unit)
            }
            (Kind::Histogram, _) => {
                let rates = format!("sum by ({by}, le) (rate({name}[$__rate_interval]))");
                (format!("histogram_quantile(0.99, {rates})"), "s")
            }
            (_, "seconds") => (name, "s"),
            (_, "ratio") => (name, "percentunit"),
            (_, "bytes") => (name, "bytes"),
            _ => (name, "none"),
        };
        let title = metric.name.trim_start_matches("punctual_").replace('_', " ");
        self.add(&title, metric.help, &only(&expression), &legend, unit);
    }
}
