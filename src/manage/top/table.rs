//! A view as rows: what each column holds, the order of the rows, and which are left out.

use std::collections::HashMap;

use super::figure::{count, mbit, percent, permille, span};
use super::look::{Look, bits_received, bits_sent};
use crate::manage::report::{
    Breaker, DropCounts, LatencyReport, Link, OutputReport, PortReport, ReceiverReport, RuleReport,
};
use crate::manage::show::{DropRow, OutputRow, Part, Row, What};
use crate::manage::text::{Paint, grouped};
use crate::packet::DropReason;

/// What the table shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// Each rule.
    Rules,
    /// Each output of each rule.
    Outputs,
    /// Each receiver.
    Receivers,
    /// Each port.
    Ports,
    /// Each reason that something was dropped for.
    Drops,
}

impl View {
    /// Every view, in the order of their keys.
    pub const ALL: [Self; 5] =
        [Self::Rules, Self::Outputs, Self::Receivers, Self::Ports, Self::Drops];

    /// What it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rules => "rules",
            Self::Outputs => "outputs",
            Self::Receivers => "receivers",
            Self::Ports => "ports",
            Self::Drops => "drops",
        }
    }

    /// Its columns.
    pub const fn columns(self) -> &'static [Column] {
        match self {
            Self::Rules => RULES,
            Self::Outputs => OUTPUTS,
            Self::Receivers => RECEIVERS,
            Self::Ports => PORTS,
            Self::Drops => DROPS,
        }
    }
}

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// What stands above it.
    pub title: &'static str,
    /// Its least width.
    pub width: u16,
    /// Texts stand to the left; a name grows where there is room.
    pub kind: Kind,
    /// Where there is no room for all, the columns of the highest rank go first.
    pub rank: u8,
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A text that grows where there is room.
    Name,
    /// A text.
    Text,
    /// A number, to the right.
    Number,
}

const fn name(title: &'static str, width: u16) -> Column {
    Column { title, width, kind: Kind::Name, rank: 0 }
}

const fn text(title: &'static str, width: u16, rank: u8) -> Column {
    Column { title, width, kind: Kind::Text, rank }
}

const fn number(title: &'static str, width: u16, rank: u8) -> Column {
    Column { title, width, kind: Kind::Number, rank }
}

const RULES: &[Column] = &[
    name("rule", 12),
    number("pps", 5, 0),
    number("Mbit/s", 6, 0),
    number("share", 5, 2),
    number("on time", 7, 0),
    number("late/s", 6, 0),
    number("lost/s", 6, 0),
    text("mostly", 12, 0),
    number("p50", 5, 0),
    number("p99", 5, 0),
    number("max", 5, 0),
];

const OUTPUTS: &[Column] = &[
    name("rule", 10),
    name("output", 13),
    number("pps", 5, 0),
    number("Mbit/s", 6, 0),
    number("share", 5, 0),
    number("on time", 7, 0),
    number("late/s", 6, 0),
    number("lost/s", 6, 0),
    text("mostly", 12, 0),
    text("port", 12, 3),
];

const RECEIVERS: &[Column] = &[
    name("receiver", 12),
    text("port", 8, 3),
    text("breaker", 9, 0),
    number("pps", 5, 0),
    number("Mbit/s", 6, 0),
    number("share", 5, 0),
    number("on time", 7, 0),
    number("late/s", 6, 0),
    number("lost/s", 6, 0),
    text("mostly", 12, 0),
];

const PORTS: &[Column] = &[
    name("port", 12),
    text("link", 4, 0),
    text("breaker", 9, 0),
    number("in pps", 6, 0),
    number("Mbit/s", 6, 0),
    number("out pps", 7, 0),
    number("Mbit/s", 6, 0),
    number("lost/s", 6, 0),
    text("mostly", 9, 0),
    number("opened", 6, 3),
];

const DROPS: &[Column] = &[
    text("reason", 13, 0),
    text("fan-out", 7, 0),
    number("lost/s", 6, 0),
    number("share", 5, 0),
    number("since start", 13, 0),
    name("which is", 20),
];

/// What a row has in a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// As it is shown.
    pub text: String,
    /// As it is sorted, where it is a number; what is not known is less than 0.
    pub number: Option<u64>,
    /// Its colour.
    pub paint: Paint,
}

impl Field {
    fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), number: None, paint: Paint::Plain }
    }

    fn number(number: Option<u64>, show: fn(u64) -> String) -> Self {
        Self { text: number.map_or("-".into(), show), number, paint: Paint::Plain }
    }

    fn percent(permille: Option<u64>) -> Self {
        Self { text: percent(permille), number: permille, paint: Paint::Plain }
    }

    /// A rate that is better 0.
    fn loss(number: Option<u64>) -> Self {
        let paint = if number > Some(0) { Paint::Loss } else { Paint::Plain };
        Self { paint, ..Self::number(number, count) }
    }
}

/// One row: a field for each column.
pub type Fields = Vec<Field>;

/// The order of rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// By this column: numbers from the greatest, texts from a to z. None is the file's order.
    pub column: Option<usize>,
    /// The other way round.
    pub reverse: bool,
}

/// The rows of a view whose names contain `filter`, whatever its case, in `order`.
pub fn rows(view: View, look: &Look, filter: &str, order: Order) -> Vec<Fields> {
    let filter = filter.to_lowercase();
    let mut rows = all(view, look);
    rows.retain(|fields| matches(view, fields, &filter));
    if let Some(column) = order.column {
        rows.sort_by(|a, b| match (a.get(column), b.get(column)) {
            (Some(a), Some(b)) if view.columns()[column].kind == Kind::Number => {
                b.number.cmp(&a.number)
            }
            (a, b) => a.map(|field| &field.text).cmp(&b.map(|field| &field.text)),
        });
    }
    if order.reverse {
        rows.reverse();
    }
    rows
}

fn matches(view: View, fields: &[Field], filter: &str) -> bool {
    let columns = view.columns().iter().zip(fields).enumerate();
    let mut names = columns.filter(|(i, (column, _))| *i == 0 || column.kind == Kind::Name);
    names.any(|(_, (_, field))| field.text.to_lowercase().contains(filter))
}

fn all(view: View, look: &Look) -> Vec<Fields> {
    let what = match view {
        View::Rules => What::Rules,
        View::Outputs => What::Outputs,
        View::Receivers => What::Receivers,
        View::Ports => What::Ports,
        View::Drops => What::Drops,
    };
    match Part::new(what, &look.now, look.delta()) {
        Some(Part::Rules(rows)) => {
            let bytes = whole(&rows, |rule| rule.bytes);
            rows.iter().map(|row| rule(look, row, bytes)).collect()
        }
        Some(Part::Outputs(rows)) => {
            let links = link_bytes(look);
            rows.iter().map(|row| output(look, row, &links)).collect()
        }
        Some(Part::Receivers(rows)) => {
            let links = link_bytes(look);
            rows.iter().map(|row| receiver(look, row, &links)).collect()
        }
        Some(Part::Ports(rows)) => rows.iter().map(|row| port(look, row)).collect(),
        Some(Part::Drops(rows)) => {
            let all = whole(&rows, |drop| drop.count);
            rows.iter().map(|row| dropped(look, row, all)).collect()
        }
        _ => Vec::new(),
    }
}

/// What was added to all rows.
fn whole<T>(rows: &[Row<T>], of: impl Fn(&T) -> u64) -> u64 {
    rows.iter().filter_map(|row| row.added.as_ref()).map(of).sum()
}

/// By port: the bytes that were added to all its outputs. An output's or receiver's share is that
/// of its link.
fn link_bytes(look: &Look) -> HashMap<&str, u64> {
    let rules = look.delta().into_iter().flat_map(|report| &report.rules);
    let mut links = HashMap::new();
    for output in rules.flat_map(|rule| &rule.outputs) {
        *links.entry(output.port.as_str()).or_default() += output.bytes;
    }
    links
}

/// The share of what was added to a port's outputs.
fn share(bytes: u64, port: &str, links: &HashMap<&str, u64>) -> Option<u64> {
    permille(bytes, links.get(port).copied().unwrap_or_default())
}

/// What became of copies: those in time, those sent or dropped, those sent late.
#[derive(Clone, Copy, Debug, Default)]
struct Copies {
    on_time: u64,
    ended: u64,
    late: u64,
}

impl Copies {
    fn of_output(output: &OutputReport) -> Self {
        let ended = output.sent + output.dropped.total();
        Self { on_time: output.on_time, ended, late: output.late_sent }
    }

    /// Of the copies that were sent or dropped, those in time; and those late in a second.
    fn fields(copies: Option<Self>, look: &Look) -> [Field; 2] {
        let on_time = copies.and_then(|copies| permille(copies.on_time, copies.ended));
        let late = copies.and_then(|copies| look.rate(copies.late));
        [Field::percent(on_time), Field::loss(late)]
    }
}

/// What is lost in a second, and mostly for which reason.
fn lost(look: &Look, reasons: Option<Vec<(&str, u64)>>) -> [Field; 2] {
    let Some(reasons) = reasons else { return [Field::loss(None), Field::text("")] };
    let total = reasons.iter().map(|(_, count)| count).sum();
    // The first of equals is the one that is earlier on the packet's way.
    let most = reasons.iter().rev().max_by_key(|(_, count)| count).filter(|(_, c)| *c > 0);
    [Field::loss(look.rate(total)), Field::text(most.map_or("", |(name, _)| name))]
}

/// Drops of several kinds, each reason once.
fn merged<'a>(all: impl Iterator<Item = &'a DropCounts>) -> Vec<(&'a str, u64)> {
    let mut sums: Vec<(&str, u64)> = Vec::new();
    for (name, count) in all.flat_map(DropCounts::iter) {
        match sums.iter_mut().find(|(other, _)| *other == name) {
            Some((_, sum)) => *sum += count,
            None => sums.push((name, count)),
        }
    }
    sums
}

fn times(latency: &LatencyReport) -> [Field; 3] {
    let known = |nanos| (latency.count > 0).then_some(nanos);
    [latency.p50, latency.p99, latency.max].map(|nanos| Field::number(known(nanos), span))
}

fn rule(look: &Look, row: &Row<RuleReport>, all: u64) -> Fields {
    let (now, added) = (&row.now, row.added.as_ref());
    let copies = added.map(|rule| {
        rule.outputs.iter().map(Copies::of_output).fold(Copies::default(), |a, b| Copies {
            on_time: a.on_time + b.on_time,
            ended: a.ended + b.ended,
            late: a.late + b.late,
        })
    });
    let reasons = added.map(|rule| {
        merged(std::iter::once(&rule.dropped).chain(rule.outputs.iter().map(|o| &o.dropped)))
    });
    let mut fields = vec![
        Field::text(&now.name),
        Field::number(added.and_then(|rule| look.rate(rule.packets)), count),
        Field::number(added.and_then(|rule| look.rate(rule.bytes.saturating_mul(8))), mbit),
        Field::percent(added.and_then(|rule| permille(rule.bytes, all))),
    ];
    fields.extend(Copies::fields(copies, look));
    fields.extend(lost(look, reasons));
    fields.extend(times(&now.latency_ns));
    fields
}

fn output(look: &Look, row: &Row<OutputRow>, links: &HashMap<&str, u64>) -> Fields {
    let OutputRow { rule, output: now } = &row.now;
    let added = row.added.as_ref().map(|added| &added.output);
    let mut fields = vec![
        Field::text(rule),
        Field::text(&now.name),
        Field::number(added.and_then(|output| look.rate(output.sent)), count),
        Field::number(added.and_then(|output| look.rate(output.bytes.saturating_mul(8))), mbit),
        Field::percent(added.and_then(|output| share(output.bytes, &now.port, links))),
    ];
    fields.extend(Copies::fields(added.map(Copies::of_output), look));
    fields.extend(lost(look, added.map(|output| merged(std::iter::once(&output.dropped)))));
    fields.push(Field::text(&now.port));
    fields
}

fn receiver(look: &Look, row: &Row<ReceiverReport>, links: &HashMap<&str, u64>) -> Fields {
    let (now, added) = (&row.now, row.added.as_ref());
    let copies = added.map(|receiver| Copies {
        on_time: receiver.on_time,
        ended: receiver.sent + receiver.dropped.total(),
        late: receiver.late_sent,
    });
    let mut fields = vec![
        Field::text(&now.name),
        Field::text(&now.port),
        breaker(now.breaker),
        Field::number(added.and_then(|added| look.rate(added.sent)), count),
        Field::number(added.and_then(|added| look.rate(added.bytes.saturating_mul(8))), mbit),
        Field::percent(added.and_then(|added| share(added.bytes, &now.port, links))),
    ];
    fields.extend(Copies::fields(copies, look));
    fields.extend(lost(look, added.map(|added| merged(std::iter::once(&added.dropped)))));
    fields
}

fn breaker(state: Breaker) -> Field {
    let paint = if state == Breaker::Closed { Paint::Plain } else { Paint::Bad };
    Field { paint, ..Field::text(state.name()) }
}

fn port(look: &Look, row: &Row<PortReport>) -> Fields {
    let (now, added) = (&row.now, row.added.as_ref());
    let rate = |of: fn(&PortReport) -> u64| added.and_then(|port| look.rate(of(port)));
    let reasons = added.map(|port| {
        vec![
            ("missed", port.missed),
            ("no_mbuf", port.no_mbuf),
            ("rx_errors", port.rx_errors),
            ("tx_errors", port.tx_errors),
        ]
    });
    let link = Field::text(now.link.name());
    let paint = if now.link == Link::Up { Paint::Plain } else { Paint::Bad };
    let mut fields = vec![
        Field::text(&now.name),
        Field { paint, ..link },
        breaker(now.breaker),
        Field::number(rate(|port| port.received), count),
        Field::number(rate(bits_received), mbit),
        Field::number(rate(|port| port.sent), count),
        Field::number(rate(bits_sent), mbit),
    ];
    fields.extend(lost(look, reasons));
    fields.push(Field::number(Some(now.breaker_opened), count));
    fields
}

fn dropped(look: &Look, row: &Row<DropRow>, all: u64) -> Fields {
    let (now, added) = (&row.now, row.added.as_ref());
    let known = DropReason::ALL.iter().find(|reason| reason.name() == now.reason);
    vec![
        Field::text(&now.reason),
        Field::text(&now.fan_out),
        Field::loss(added.and_then(|drop| look.rate(drop.count))),
        Field::percent(added.and_then(|drop| permille(drop.count, all))),
        Field::number(Some(now.count), grouped),
        Field::text(known.map_or("", |reason| reason.meaning())),
    ]
}
