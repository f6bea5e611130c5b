//! Reads `[[rule]]` and `[default.rule]`.

use std::collections::hash_map::Entry;
use std::sync::LazyLock;
use std::time::Duration;

use foldhash::{HashMap, HashMapExt};

use super::check_output::{check_same_outputs, finish_output, name_outputs};
use super::keys;
use super::known::Rest;
use super::names::report_twice;
use super::read_alerts::read_expect;
use super::read_input::read_input;
use super::read_output::{Layers, or_one, read_output};
use super::read_port::{FRAME_EXTRA, check_burst};
use super::reader::{At, Context, Table, clamp32, preset_number};
use super::report::Diagnostic;
use super::source::Place;
use super::tree::Value;
use super::types::*;
use super::units::{show_bytes, show_duration};
use crate::sched::HORIZON_BUDGETS;

/// What one layer says of a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct RuleSettings {
    class: Option<At<Class>>,
    budget: Option<At<u64>>,
    weight: Option<At<u64>>,
    late: Option<At<Late>>,
    flow: Option<At<FlowKind>>,
    police: Option<At<RateLimit>>,
    queue: Option<At<QueueBound>>,
    expect: Option<Expect>,
    unsound: bool,
}

impl RuleSettings {
    /// Where the class is said.
    pub(super) fn class_at(&self) -> Option<Place> {
        self.class.map(|class| class.at)
    }
}

/// A rule with the places that cross-checks point at.
#[derive(Clone, Debug)]
pub(super) struct ReadRule {
    pub rule: Rule,
    pub places: Places,
}

/// Where a rule and its parts stand, and what is sound of them.
#[derive(Clone, Debug)]
pub(super) struct Places {
    /// Its header.
    pub header: Place,
    /// How it came here.
    pub origin: Origin,
    /// Whether `class_at` is its own, not the default's.
    pub has_class: bool,
    /// Its name, or its header where it has none.
    pub at: Place,
    /// `class` where it is written.
    pub class_at: Option<Place>,
    /// `destination` of the input.
    pub input_at: Place,
    /// Each output.
    pub outputs: Vec<OutputPlace>,
    /// Whether the input was read without a mistake.
    pub input_sound: bool,
}

/// Where an output stands, and whether it was read without a mistake.
#[derive(Clone, Copy, Debug)]
pub(super) struct OutputPlace {
    pub at: Place,
    pub sound: bool,
}

/// How a rule came to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// It was known.
    Known,
    /// It was read, and nothing was said of it by itself, not even a warning.
    Quiet,
    /// It was read, and something was said, or may have been.
    Told,
}

impl Places {
    /// The same where its header is at `header`, and its class at `default` where that is not its
    /// own.
    pub(super) fn moved(&self, header: Place, default: Option<Place>) -> Self {
        let moved = |at: Place| {
            let start = header.start + (at.start - self.header.start);
            Place { file: header.file, start, end: start + (at.end - at.start) }
        };
        Self {
            header: moved(self.header),
            origin: Origin::Known,
            has_class: self.has_class,
            at: moved(self.at),
            class_at: if self.has_class { self.class_at.map(moved) } else { default },
            input_at: moved(self.input_at),
            outputs: self.outputs.iter().map(|o| OutputPlace { at: moved(o.at), ..*o }).collect(),
            input_sound: self.input_sound,
        }
    }
}

/// What rules are read against.
pub(super) struct Site<'s> {
    pub ports: &'s [Port],
    pub classes: &'s [ClassConfig; Class::COUNT],
    pub layers: &'s Layers,
    pub default_rule: RuleSettings,
    pub clock: ClockSource,
}

impl Site<'_> {
    /// The longest frame, with overhead, that one of these ports carries.
    pub(super) fn largest_frame(&self, ports: &[usize]) -> u64 {
        let mtus = ports.iter().filter_map(|slot| self.ports.get(*slot)).map(|p| p.mtu);
        mtus.max().map_or(0, |mtu| u64::from(mtu) + FRAME_EXTRA)
    }
}

/// Reads the keys that `[default.rule]` and `[[rule]]` share.
pub(super) fn read_rule_settings(table: &Table<'_>) -> RuleSettings {
    let before = table.cx.errors();
    let settings = RuleSettings {
        class: table.choice("class", &Class::ALL),
        budget: table.number("budget"),
        weight: table.number("weight"),
        late: table.choice("late", &[Late::Send, Late::Drop]),
        flow: table.choice("flow", &[FlowKind::Rule, FlowKind::Row, FlowKind::Source]),
        police: read_police(table),
        queue: read_queue(table),
        expect: read_expect(table),
        unsound: false,
    };
    RuleSettings { unsound: table.cx.errors() > before, ..settings }
}

fn read_police(table: &Table<'_>) -> Option<At<RateLimit>> {
    let police = table.table("police", &keys::POLICE)?;
    let (rate, burst) = (police.number("rate"), police.number("burst"));
    Some(At { value: RateLimit { rate: rate?.value, burst: burst?.value }, at: burst?.at })
}

/// `queue`, its absent half filled with the listed default.
pub(super) fn read_queue(table: &Table<'_>) -> Option<At<QueueBound>> {
    let queue = table.table("queue", &keys::QUEUE)?;
    let at = queue.peek("bytes").map_or(queue.at, |n| n.at);
    let packets = queue.number32("packets");
    Some(At { value: QueueBound { packets, bytes: queue.number_or_preset("bytes") }, at })
}

/// The bound of a queue that nothing was said of.
pub(super) fn preset_queue() -> QueueBound {
    // Read once: every rule and output that says nothing of its queue has this one.
    static PRESET: LazyLock<QueueBound> = LazyLock::new(|| {
        let preset = |name| keys::QUEUE.keys.iter().find(|k| k.name == name).map(preset_number);
        QueueBound {
            packets: clamp32(preset("packets").unwrap_or(1)),
            bytes: preset("bytes").unwrap_or(1),
        }
    });
    *PRESET
}

/// Reports a queue that cannot hold one largest frame.
pub(super) fn check_queue(cx: &Context<'_>, queue: Option<At<QueueBound>>, frame: u64) {
    if let Some(queue) = queue.filter(|q| q.value.bytes < frame) {
        let found = show_bytes(queue.value.bytes);
        cx.report(
            Diagnostic::error(queue.at, format!("a queue of {found} cannot hold one frame"))
                .label(format!("allowed: at least {frame}B (mtu + 46)")),
        );
    }
}

/// All rules of all files; what is known of a file is not in its table.
pub(super) fn read_rules(tops: &[Table<'_>], rests: &[Rest<'_>], site: &Site<'_>) -> Vec<ReadRule> {
    let mut rules = Vec::new();
    for (file, (top, rest)) in tops.iter().zip(rests).enumerate() {
        let tables = top.tables("rule", &keys::RULE);
        rules.reserve(rest.known_count() + tables.len());
        let mut known = rest.rules(file, site).peekable();
        // What is known behind the last of the others comes then.
        for table in tables.into_iter().map(Some).chain([None]) {
            let next = table.map_or(usize::MAX, |table| table.at.start);
            while let Some(rule) = known.next_if(|rule| rule.places.header.start < next) {
                rules.push(rule);
            }
            let Some(table) = table else { break };
            let said = table.cx.said();
            let name = table.name("name");
            let at = name.map_or(table.at, |n| n.at);
            let value = name.map_or_else(String::new, |n| n.value.to_owned());
            let mut rule = read_rule(&table, value, at, site);
            if said.is_some() && said == table.cx.said() {
                rule.places.origin = Origin::Quiet;
            }
            rules.push(rule);
        }
    }
    if let Some(top) = tops.first() {
        check_names(top.cx, &rules);
    }
    rules
}

/// Reports the second of two rules of one name.
fn check_names(cx: &Context<'_>, rules: &[ReadRule]) {
    let mut names = HashMap::with_capacity(rules.len());
    for ReadRule { rule, places } in rules.iter().filter(|read| !read.rule.name.is_empty()) {
        match names.entry(rule.name.as_str()) {
            Entry::Occupied(first) => {
                report_twice(cx, "rule", At { value: &rule.name, at: places.at }, *first.get());
            }
            Entry::Vacant(entry) => drop(entry.insert(places.at)),
        }
    }
}

fn read_rule(table: &Table<'_>, name: String, at: Place, site: &Site<'_>) -> ReadRule {
    let cx = table.cx;
    let (own, below) = (read_rule_settings(table), site.default_rule);
    let (input, input_at, input_sound) = read_input(table, site);
    let class = own.class.or(below.class);
    let (class_at, has_class) = (class.map(|c| c.at), own.class.is_some());
    let class = class.map_or(Class::Medium, |c| c.value);
    let mut rule = Rule {
        name,
        class,
        budget: site.classes[class as usize].budget,
        weight: or_one(own.weight.or(below.weight)),
        late: own.late.or(below.late).map_or(Late::Send, |v| v.value),
        flow: own.flow.or(below.flow).map_or(FlowKind::Rule, |v| v.value),
        police: own.police.or(below.police).map(|p| p.value),
        queue: own.queue.or(below.queue).map_or_else(preset_queue, |q| q.value),
        expect: own.expect.or(below.expect),
        outputs: Vec::new(),
        balance: None,
        input,
    };
    if let Some(budget) = own.budget.or(below.budget) {
        rule.budget = Duration::from_nanos(budget.value);
        if !own.unsound && !below.unsound {
            check_budget(cx, &rule, budget.at, site);
        }
    }
    let frame = site.largest_frame(&rule.input.ports);
    if let Some(At { value, at }) = own.police.or(below.police) {
        check_burst(cx, value, at, frame);
    }
    check_queue(cx, own.queue.or(below.queue), frame);
    let (outputs, balance) = read_output_tables(table);
    let count = outputs.len().min(OUTPUTS_MAX);
    let mut places = Vec::with_capacity(count);
    rule.outputs.reserve_exact(count);
    rule.balance = balance.map(|(balance, at)| {
        if balance.by == BalanceBy::Flow && rule.input.fragments == Fragments::Forward {
            let message = "fragments cannot be balanced by flow: only the first has UDP ports";
            cx.report(Diagnostic::error(at, message).label("allowed: by = \"source\""));
        }
        balance
    });
    if outputs.len() > OUTPUTS_MAX {
        let message = format!("{} outputs in one rule", outputs.len());
        cx.report(Diagnostic::error(at, message).label(format!("allowed: {OUTPUTS_MAX}")));
    }
    for output in outputs.into_iter().take(OUTPUTS_MAX) {
        let before = cx.errors();
        let read = read_output(&output, site.layers);
        let output = finish_output(cx, &read, &rule, input_at, input_sound, site);
        rule.outputs.push(output);
        let sound = !read.settings.unsound && cx.errors() == before;
        places.push(OutputPlace { at: read.at, sound });
    }
    name_outputs(&mut rule.outputs, site);
    check_same_outputs(cx, &rule, &places);
    let (header, origin) = (table.at, Origin::Told);
    let places =
        Places { header, origin, has_class, at, class_at, input_at, outputs: places, input_sound };
    ReadRule { rule, places }
}

/// The tables of `output`, behind them those of `balance.to`, and what balances them and where.
fn read_output_tables<'a>(table: &Table<'a>) -> (Vec<Table<'a>>, Option<(Balance, Place)>) {
    let mut outputs = table.tables("output", &keys::OUTPUT);
    if table.peek("balance").is_none() {
        match table.peek("output") {
            None => table.missing("output"),
            Some(_) if outputs.is_empty() => report_no_outputs(table),
            Some(_) => {}
        }
        return (outputs, None);
    }
    let Some(balance) = table.table("balance", &keys::BALANCE) else {
        return (outputs, None);
    };
    let by = balance.choice_or_preset("by", &BalanceBy::ALL);
    let Some(node) = balance.get("to") else {
        return (outputs, None);
    };
    let to = balance.tables("to", &keys::OUTPUT);
    let count = match node.value {
        Value::Array(array) => array.len(),
        // What else it is has been reported.
        _ => 1,
    };
    if !(1..=MEMBERS_MAX).contains(&count) {
        let message = format!("{count} outputs to balance");
        let label = format!("allowed: 1 to {MEMBERS_MAX}");
        table.cx.report(Diagnostic::error(node.at, message).label(label));
    }
    let members = to.len();
    outputs.extend(to);
    (outputs, Some((Balance { by, members }, balance.at)))
}

fn report_no_outputs(table: &Table<'_>) {
    let Some(node) = table.peek("output") else {
        return;
    };
    if matches!(node.value, Value::Array(array) if array.is_empty()) {
        let diagnostic = Diagnostic::error(node.at, "the rule has no output");
        table.cx.report(diagnostic.label("allowed: at least one"));
    }
}

fn check_budget(cx: &Context<'_>, rule: &Rule, at: Place, site: &Site<'_>) {
    let most = site.classes[rule.class as usize].budget * HORIZON_BUDGETS;
    if rule.budget > most {
        let (found, class) = (show_duration(rule.budget), rule.class.name());
        let most = show_duration(most);
        cx.report(
            Diagnostic::error(at, format!("a budget of {found} is beyond class {class}'s horizon"))
                .label(format!("allowed: at most {most}, three times the class's budget")),
        );
    }
}
