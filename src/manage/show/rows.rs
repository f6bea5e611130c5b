//! A part of a report as rows: sorted, cut short, as JSON.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Arrange, What};
use crate::manage::alerts::Alert;
use crate::manage::groups::GroupReport;
use crate::manage::neighbours::NeighbourReport;
use crate::manage::report::{
    ClassReport, DropCounts, LedgerReport, OutputReport, PoolStatus, PortReport, ReceiverReport,
    Report, RuleReport, WorkerReport,
};
use crate::manage::unmatched::UnmatchedReport;

/// A row and, where it was looked at before, what was added since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row<T> {
    /// As it is.
    pub now: T,
    /// What was added.
    pub added: Option<T>,
}

/// An output with the name of its rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputRow {
    /// Its rule.
    pub rule: String,
    /// Itself.
    #[serde(flatten)]
    pub output: OutputReport,
}

/// A reason that something was dropped for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DropRow {
    /// The reason.
    pub reason: String,
    /// `before` fan-out, or `after` it.
    pub fan_out: String,
    /// Packets, or copies behind fan-out.
    pub count: u64,
}

/// One part of a report.
#[derive(Clone, Debug)]
pub enum Part {
    /// The whole report: the ports have a part in the equations.
    Ledger(Box<Row<Report>>),
    /// Each rule.
    Rules(Vec<Row<RuleReport>>),
    /// Each output.
    Outputs(Vec<Row<OutputRow>>),
    /// Each receiver.
    Receivers(Vec<Row<ReceiverReport>>),
    /// Each port.
    Ports(Vec<Row<PortReport>>),
    /// Each worker.
    Workers(Vec<Row<WorkerReport>>),
    /// Each class.
    Classes(Vec<Row<ClassReport>>),
    /// Each reason.
    Drops(Vec<Row<DropRow>>),
    /// Each pool.
    Pools(Vec<Row<PoolStatus>>),
    /// What no rule takes, and how many more there were that nobody looked at.
    Unmatched(Vec<Row<UnmatchedReport>>, u64),
    /// Each group, and the ports with what was heard there.
    Groups(Vec<Row<GroupReport>>, Vec<PortReport>),
    /// Each neighbour.
    Neighbours(Vec<Row<NeighbourReport>>),
    /// Each alert.
    Alerts(Vec<Row<Alert>>),
}

/// What cannot be sorted so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SortError {
    /// It has no rows.
    #[error("--sort and --top are for lists of rows")]
    NoRows,
    /// No such field.
    #[error("no field `{found}` to sort by; allowed: {allowed}")]
    Field {
        /// The field asked for.
        found: String,
        /// Those there are.
        allowed: String,
    },
}

impl Part {
    /// The part of `report` that `what` names, with what was `added` to it; none of the plan,
    /// which no report holds.
    pub fn new(what: What, report: &Report, added: Option<&Report>) -> Option<Self> {
        Some(match what {
            What::Ledger => {
                Self::Ledger(Box::new(Row { now: report.clone(), added: added.cloned() }))
            }
            What::Rules => Self::Rules(rows(report, added, |report| report.rules.clone())),
            What::Outputs => Self::Outputs(rows(report, added, outputs)),
            What::Receivers => {
                Self::Receivers(rows(report, added, |report| report.receivers.clone()))
            }
            What::Ports => Self::Ports(rows(report, added, |report| report.ports.clone())),
            What::Workers => Self::Workers(rows(report, added, |report| report.workers.clone())),
            What::Classes => Self::Classes(rows(report, added, |report| report.classes.clone())),
            What::Drops => Self::Drops(drops(report, added)),
            What::Pools => Self::Pools(rows(report, None, |report| report.pools.clone())),
            What::Unmatched => {
                let mut rows = rows(report, added, |report| report.unmatched.clone());
                // Those that have not come since the caller's reset.
                rows.retain(|row| row.now.count > 0);
                Self::Unmatched(rows, report.unmatched_unseen)
            }
            What::Groups => {
                let rows = rows(report, None, |report| report.groups.clone());
                Self::Groups(rows, report.ports.clone())
            }
            What::Neighbours => {
                Self::Neighbours(rows(report, None, |report| report.neighbours.clone()))
            }
            What::Alerts => Self::Alerts(rows(report, None, |report| report.alerts.clone())),
            What::Latency | What::Plan => return None,
        })
    }

    /// Sorts the rows and keeps the first.
    ///
    /// # Errors
    /// Where there are no rows, or no such field.
    pub fn arrange(&mut self, arrange: &Arrange) -> Result<(), SortError> {
        match self {
            Self::Ledger(_) if *arrange == Arrange::default() => Ok(()),
            Self::Ledger(_) => Err(SortError::NoRows),
            Self::Rules(rows) => sort(rows, arrange),
            Self::Outputs(rows) => sort(rows, arrange),
            Self::Receivers(rows) => sort(rows, arrange),
            Self::Ports(rows) => sort(rows, arrange),
            Self::Workers(rows) => sort(rows, arrange),
            Self::Classes(rows) => sort(rows, arrange),
            Self::Drops(rows) => sort(rows, arrange),
            Self::Pools(rows) => sort(rows, arrange),
            Self::Unmatched(rows, _) => sort(rows, arrange),
            Self::Groups(rows, _) => sort(rows, arrange),
            Self::Neighbours(rows) => sort(rows, arrange),
            Self::Alerts(rows) => sort(rows, arrange),
        }
    }

    /// The part as JSON: the rows of a list, the ledger's object.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Ledger(row) => json::<LedgerReport>(&row.now.ledger),
            Self::Rules(rows) => list(rows),
            Self::Outputs(rows) => list(rows),
            Self::Receivers(rows) => list(rows),
            Self::Ports(rows) => list(rows),
            Self::Workers(rows) => list(rows),
            Self::Classes(rows) => list(rows),
            Self::Drops(rows) => list(rows),
            Self::Pools(rows) => list(rows),
            Self::Unmatched(rows, _) => list(rows),
            Self::Groups(rows, _) => list(rows),
            Self::Neighbours(rows) => list(rows),
            Self::Alerts(rows) => list(rows),
        }
    }
}

/// The rows of a report, each with its own row of what was added: both reports have the same.
fn rows<T>(report: &Report, added: Option<&Report>, of: impl Fn(&Report) -> Vec<T>) -> Vec<Row<T>> {
    let mut added = added.map(&of).into_iter().flatten();
    of(report).into_iter().map(|now| Row { now, added: added.next() }).collect()
}

fn outputs(report: &Report) -> Vec<OutputRow> {
    let rules = report.rules.iter().flat_map(|rule| {
        let outputs = rule.outputs.iter();
        outputs.map(|output| OutputRow { rule: rule.name.clone(), output: output.clone() })
    });
    rules.collect()
}

fn drops(report: &Report, added: Option<&Report>) -> Vec<Row<DropRow>> {
    let ledger = &report.ledger;
    let added = added.map(|report| &report.ledger);
    let before = drop_rows("before", &ledger.dropped_before, added.map(|l| &l.dropped_before));
    let after = drop_rows("after", &ledger.dropped_after, added.map(|l| &l.dropped_after));
    before.into_iter().chain(after).collect()
}

fn drop_rows(fan_out: &str, now: &DropCounts, added: Option<&DropCounts>) -> Vec<Row<DropRow>> {
    let rows = now.iter().map(|(reason, count)| {
        let row = |count| DropRow { reason: reason.into(), fan_out: fan_out.into(), count };
        let of = |counts: &DropCounts| {
            counts.iter().find(|(name, _)| *name == reason).map_or(0, |(_, count)| count)
        };
        Row { now: row(count), added: added.map(|added| row(of(added))) }
    });
    rows.collect()
}

fn json<T: Serialize>(value: &T) -> Value {
    serde_json::to_value(value).unwrap_or_else(|error| unreachable!("plain data: {error}"))
}

fn list<T: Serialize>(rows: &[Row<T>]) -> Value {
    rows.iter().map(|row| json(&row.now)).collect()
}

fn sort<T: Serialize>(rows: &mut Vec<Row<T>>, arrange: &Arrange) -> Result<(), SortError> {
    if let (Some(key), Some(first)) = (&arrange.sort, rows.first()) {
        let path = format!("/{}", key.replace('.', "/"));
        // A reason that nothing was dropped for is in no row; another row may have it.
        if !rows.iter().any(|row| json(&row.now).pointer(&path).is_some_and(is_plain)) {
            let (found, allowed) = (key.clone(), fields(&json(&first.now)).join(", "));
            return Err(SortError::Field { found, allowed });
        }
        rows.sort_by_cached_key(|row| {
            // The greatest number comes first, and what has none comes last.
            match json(&row.now).pointer(&path) {
                Some(Value::Number(number)) => (u64::MAX - number.as_u64().unwrap_or(0), None),
                Some(Value::String(text)) => (0, Some(text.clone())),
                _ => (u64::MAX, None),
            }
        });
    }
    rows.truncate(arrange.top.unwrap_or(usize::MAX));
    Ok(())
}

fn is_plain(value: &Value) -> bool {
    !matches!(value, Value::Array(_) | Value::Object(_))
}

/// Every field that can be sorted by, with dots into what is nested.
fn fields(row: &Value) -> Vec<String> {
    let Value::Object(map) = row else { return Vec::new() };
    let each = map.iter().flat_map(|(key, value)| match value {
        Value::Array(_) => Vec::new(),
        Value::Object(_) => {
            fields(value).into_iter().map(|inner| format!("{key}.{inner}")).collect()
        }
        _ => vec![key.clone()],
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;
    use crate::manage::fixture::Fixture;

    fn by(sort: &str, top: Option<usize>) -> Arrange {
        Arrange { sort: Some(sort.into()), top }
    }

    fn names(part: &Part, key: &str) -> Vec<String> {
        let json = part.to_json();
        let rows = json.as_array().unwrap().iter();
        rows.map(|row| row[key].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn every_part_but_the_plan_is_a_part_of_the_report() {
        let report = Fixture::new().report();
        let whole: Value = serde_json::from_str(&report.to_json()).unwrap();
        for what in What::value_variants() {
            let name = what.to_possible_value().unwrap().get_name().to_owned();
            match Part::new(*what, &report, None) {
                None => assert!(matches!(what, What::Latency | What::Plan)),
                Some(part) if whole.get(&name).is_some() => {
                    assert_eq!(part.to_json(), whole[&name])
                }
                Some(part) => assert!(!part.to_json().as_array().unwrap().is_empty(), "{name}"),
            }
        }
    }

    #[test]
    fn rows_are_sorted_by_any_field_and_cut_short() {
        let report = Fixture::new().report();
        let part = |what| Part::new(what, &report, None).unwrap();
        let mut rules = part(What::Rules);
        rules.arrange(&by("latency_ns.p99", None)).unwrap();
        assert_eq!(names(&rules, "name"), ["syslog", "itch"]);
        let mut outputs = part(What::Outputs);
        outputs.arrange(&by("not_selected", Some(2))).unwrap();
        assert_eq!(names(&outputs, "name"), ["out/10.0.0.77", "desk-eq/239.101.0.0/24"]);
        outputs.arrange(&by("name", None)).unwrap();
        assert_eq!(names(&outputs, "rule"), ["itch", "itch"]);
        assert_eq!(names(&outputs, "name")[0], "desk-eq/239.101.0.0/24");
        let mut outputs = part(What::Outputs);
        outputs.arrange(&by("dropped.egress_late", Some(1))).unwrap();
        assert_eq!(names(&outputs, "name"), ["desk-eq/239.101.0.0/24"]);
        let mut drops = part(What::Drops);
        drops.arrange(&by("count", Some(3))).unwrap();
        assert_eq!(names(&drops, "reason"), ["no_rule", "policed", "egress_full"]);
    }

    #[test]
    fn an_unknown_field_is_told_with_those_there_are() {
        let report = Fixture::new().report();
        let mut rules = Part::new(What::Rules, &report, None).unwrap();
        let error = rules.arrange(&by("speed", None)).unwrap_err().to_string();
        for known in ["`speed`", "packets", "latency_ns.p50", "dropped.late"] {
            assert!(error.contains(known), "{error}");
        }
        assert!(!error.contains("outputs"), "{error}");
        for object in ["dropped", "latency_ns"] {
            assert!(rules.arrange(&by(object, None)).is_err());
        }
        let mut ledger = Part::new(What::Ledger, &report, None).unwrap();
        assert_eq!(ledger.arrange(&by("sent", None)), Err(SortError::NoRows));
        assert_eq!(ledger.arrange(&Arrange::default()), Ok(()));
    }
}
