//! The report's numbers as answers of DPDK's telemetry socket: which commands there are, and what
//! they say. The names in an answer are those of the report, its dots written as `_`.

use super::list;
use super::metric::{Group, Metric, Read};
use super::text::STATES;
use crate::config::AlertKind;
use crate::manage::groups::GroupReport;
use crate::manage::neighbours::NeighbourReport;
use crate::manage::report::{Breaker, Report};
use crate::packet::DropReason;

/// Names in a page of a list: a reply has 16 KiB, and a name may take 130 bytes of it.
pub const PAGE: usize = 100;

/// One value of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// As in the report: there are no fractions here, times are nanoseconds.
    Number(u64),
    /// What a thing is.
    Text(String),
}

/// What a command is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Names, which are unique, and values.
    Values(Vec<(String, Value)>),
    /// One page of the names of all things of a kind.
    Names(Vec<String>),
}

/// A command.
#[derive(Debug)]
pub struct Command {
    /// As clients write it, without parameters.
    pub name: &'static str,
    /// What stands behind its first comma; empty where nothing may.
    pub parameter: &'static str,
    /// What it answers, for people.
    pub help: &'static str,
    answer: fn(&Report, &str) -> Option<Answer>,
}

const fn command(
    name: &'static str,
    parameter: &'static str,
    help: &'static str,
    answer: fn(&Report, &str) -> Option<Answer>,
) -> Command {
    Command { name, parameter, help, answer }
}

/// All commands.
pub static COMMANDS: [Command; 25] = [
    command("/punctual/info", "", "The instance: versions, generation, uptime.", |r, _| {
        Some(values(&list::INSTANCE, r))
    }),
    command("/punctual/ledger", "", "Where every packet and every copy is.", |r, _| {
        Some(values(&list::LEDGER, &r.ledger))
    }),
    command("/punctual/drops", "", "Packets and copies dropped, by reason.", |r, _| Some(drops(r))),
    command("/punctual/classes", "[PAGE]", "The classes' names.", |r, page| {
        names(r.classes.iter().map(|class| &*class.name), page)
    }),
    command("/punctual/class", "CLASS", "What its rules sum up to.", |r, name| {
        Some(values(&list::CLASSES, r.classes.iter().find(|class| class.name == name)?))
    }),
    command("/punctual/latency", "CLASS", "Its residence times in nanoseconds.", |r, name| {
        let class = r.classes.iter().find(|class| class.name == name)?;
        let mut all = fields(&list::CLASSES, class);
        all.retain(|(name, _)| name.starts_with("latency_ns_"));
        Some(Answer::Values(all))
    }),
    command("/punctual/rules", "[PAGE]", "The rules' names.", |r, page| {
        names(r.rules.iter().map(|rule| &*rule.name), page)
    }),
    command("/punctual/rule", "RULE", "One rule.", |r, name| {
        Some(values(&list::RULES, r.rules.iter().find(|rule| rule.name == name)?))
    }),
    command("/punctual/outputs", "RULE[,PAGE]", "The names of a rule's outputs.", |r, text| {
        let (rule, page) = text.split_once(',').unwrap_or((text, ""));
        let rule = r.rules.iter().find(|other| other.name == rule)?;
        names(rule.outputs.iter().map(|output| &*output.name), page)
    }),
    command("/punctual/output", "RULE,OUTPUT", "One output of a rule.", |r, text| {
        let (rule, name) = text.split_once(',')?;
        let rule = r.rules.iter().find(|other| other.name == rule)?;
        Some(values(&list::OUTPUTS, rule.outputs.iter().find(|output| output.name == name)?))
    }),
    command("/punctual/receivers", "[PAGE]", "The receivers' names.", |r, page| {
        names(r.receivers.iter().map(|receiver| &*receiver.name), page)
    }),
    command("/punctual/receiver", "RECEIVER", "One receiver.", |r, name| {
        Some(values(&list::RECEIVERS, r.receivers.iter().find(|other| other.name == name)?))
    }),
    command("/punctual/ports", "[PAGE]", "The ports' names.", |r, page| {
        names(r.ports.iter().map(|port| &*port.name), page)
    }),
    command("/punctual/port", "PORT", "One port.", |r, name| {
        Some(values(&list::PORTS, r.ports.iter().find(|port| port.name == name)?))
    }),
    command("/punctual/groups", "[PAGE]", "The groups that are joined.", |r, page| {
        let all: Vec<_> = r.groups.iter().map(GroupReport::label).collect();
        names(all.iter().map(String::as_str), page)
    }),
    command("/punctual/group", "PORT,VLAN,GROUP", "One group.", |r, text| {
        Some(values(&list::GROUPS, r.groups.iter().find(|group| group.label() == text)?))
    }),
    command("/punctual/neighbours", "[PAGE]", "Those that unicast copies go to.", |r, page| {
        let all: Vec<_> = r.neighbours.iter().map(NeighbourReport::label).collect();
        names(all.iter().map(String::as_str), page)
    }),
    command("/punctual/neighbour", "PORT,VLAN,ADDRESS", "One neighbour.", |r, text| {
        Some(values(&list::NEIGHBOURS, r.neighbours.iter().find(|asked| asked.label() == text)?))
    }),
    command("/punctual/workers", "[PAGE]", "The workers' lcores.", |r, page| {
        let lcores: Vec<_> = r.workers.iter().map(|worker| worker.lcore.to_string()).collect();
        names(lcores.iter().map(String::as_str), page)
    }),
    command("/punctual/worker", "LCORE", "One worker.", |r, name| {
        let lcore: u32 = name.parse().ok()?;
        Some(values(&list::WORKERS, r.workers.iter().find(|worker| worker.lcore == lcore)?))
    }),
    command("/punctual/pools", "[PAGE]", "The pools' names.", |r, page| {
        names(r.pools.iter().map(|pool| &*pool.name), page)
    }),
    command("/punctual/pool", "POOL", "One pool.", |r, name| {
        Some(values(&list::POOLS, r.pools.iter().find(|pool| pool.name == name)?))
    }),
    command("/punctual/alerts", "", "Alerts that are not over, by kind.", |r, _| Some(alerts(r))),
    command("/punctual/breakers", "", "Circuit breakers, by state.", |r, _| Some(breakers(r))),
    command("/punctual/unmatched", "", "Samples of what no rule takes.", |r, _| {
        let sampled = r.unmatched.iter().map(|row| row.count).sum();
        let all = [
            ("kinds", r.unmatched.len() as u64),
            ("sampled", sampled),
            ("unseen", r.unmatched_unseen),
        ];
        Some(numbers(all.into_iter()))
    }),
];

/// The answer to a command; none to one that there is not, or to a wrong parameter.
pub fn answer(report: &Report, name: &str, parameter: Option<&str>) -> Option<Answer> {
    let command = COMMANDS.iter().find(|command| command.name == name)?;
    let parameter = parameter.unwrap_or_default();
    if command.parameter.is_empty() && !parameter.is_empty() {
        return None;
    }
    (command.answer)(report, parameter)
}

/// All metrics of a thing.
fn values<T>(group: &Group<T>, thing: &T) -> Answer {
    Answer::Values(fields(group, thing))
}

fn fields<T>(group: &Group<T>, thing: &T) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    group.metrics.iter().for_each(|metric| add(&mut all, metric, thing));
    all
}

fn add<T>(all: &mut Vec<(String, Value)>, metric: &Metric<T>, thing: &T) {
    let name = metric.from.first().map_or(String::new(), |from| from.replace('.', "_"));
    let mut tell = |name: String, number: u64| all.push((name, Value::Number(number)));
    match metric.read {
        Read::Number(read) => tell(name, read(thing)),
        Read::Known(read) => read(thing).into_iter().for_each(|number| tell(name.clone(), number)),
        Read::Drops(read, always) => {
            let drops = read(thing);
            let told = |reason: &str| always.iter().any(|always| always.name() == reason);
            for reason in always {
                tell(format!("{name}_{}", reason.name()), drops.get(*reason));
            }
            for (reason, count) in drops.iter().filter(|(reason, _)| !told(reason)) {
                tell(format!("{name}_{reason}"), count);
            }
        }
        Read::Protocols(read) => {
            read(thing)
                .iter()
                .for_each(|(protocol, count)| tell(format!("{name}_{protocol}"), count));
        }
        Read::State(read) => {
            let now = read(thing);
            STATES.iter().for_each(|state| {
                tell(format!("{name}_{}", state.name()), (*state == now).into());
            });
        }
        Read::Times(read) => {
            let times = read(thing);
            let each = [times.count, times.p50, times.p99, times.p999];
            let names = metric.from.iter().map(|from| from.replace('.', "_"));
            names.zip(each).for_each(|(name, number)| tell(name, number));
        }
        Read::Labels(read) => {
            let texts = read(thing).into_iter();
            all.extend(texts.map(|(name, text)| (name.to_owned(), Value::Text(text))));
        }
    }
}

/// One page of names, counted from 1; where it has fewer than [`PAGE`], there are no more.
fn names<'a>(all: impl Iterator<Item = &'a str>, page: &str) -> Option<Answer> {
    let page: usize = if page.is_empty() { 1 } else { page.parse().ok()? };
    let before = page.checked_sub(1)?.checked_mul(PAGE)?;
    Some(Answer::Names(all.skip(before).take(PAGE).map(str::to_owned).collect()))
}

fn numbers<'a>(all: impl Iterator<Item = (&'a str, u64)>) -> Answer {
    Answer::Values(all.map(|(name, number)| (name.to_owned(), Value::Number(number))).collect())
}

fn drops(report: &Report) -> Answer {
    let ledger = &report.ledger;
    let of =
        |reason| ledger.dropped_before.get(reason).saturating_add(ledger.dropped_after.get(reason));
    numbers(DropReason::ALL.iter().map(|reason| (reason.name(), of(*reason))))
}

fn alerts(report: &Report) -> Answer {
    let active = || report.alerts.iter().filter(|alert| alert.active);
    let of = |kind: AlertKind| active().filter(|alert| alert.kind == kind.name()).count() as u64;
    let kinds = AlertKind::ALL.into_iter().map(|kind| (kind.name(), of(kind)));
    numbers(std::iter::once(("active", active().count() as u64)).chain(kinds))
}

fn breakers(report: &Report) -> Answer {
    let ports: Vec<Breaker> = report.ports.iter().map(|port| port.breaker).collect();
    let receivers: Vec<Breaker> = report.receivers.iter().map(|r| r.breaker).collect();
    let opened = report.ports.iter().map(|port| port.breaker_opened);
    let opened = opened.chain(report.receivers.iter().map(|receiver| receiver.breaker_opened));
    let mut all = Vec::new();
    for (things, breakers) in [("ports", ports), ("receivers", receivers)] {
        for state in STATES {
            let count = breakers.iter().filter(|breaker| **breaker == state).count() as u64;
            all.push((format!("{things}_{}", state.name()), Value::Number(count)));
        }
    }
    all.push(("openings".into(), Value::Number(opened.sum())));
    Answer::Values(all)
}
