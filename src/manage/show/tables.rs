//! Rows for people, in 80 columns where the names allow it; with what was added since they were
//! last looked at, rates stand beside the totals.

use std::net::SocketAddr;
use std::time::Duration;

use super::network::{groups, neighbours};
use super::per_second;
use super::rows::{DropRow, OutputRow, Part, Row};
use crate::manage::alerts::{Alert, Level};
use crate::manage::nearest::vlan;
use crate::manage::report::{
    ClassReport, LatencyReport, Link, PortReport, ReceiverReport, Report, RuleReport, TxChain,
    WorkerReport,
};
use crate::manage::table;
use crate::manage::text::{Cell, Grid, Paint, Style, grouped, span};
use crate::manage::unmatched::UnmatchedReport;
use crate::manage::view::PlanReport;
use crate::packet::DropReason;

impl Part {
    /// The table; what was added came in `elapsed`.
    pub fn render(&self, elapsed: Duration, style: Style) -> String {
        match self {
            Self::Ledger(row) => ledger(row, elapsed, style),
            Self::Rules(rows) => rules(rows, elapsed, style),
            Self::Outputs(rows) => outputs(rows, elapsed, style),
            Self::Receivers(rows) => receivers(rows, elapsed, style),
            Self::Ports(rows) => ports(rows, elapsed, style),
            Self::Workers(rows) => workers(rows, elapsed, style),
            Self::Classes(rows) => classes(rows, elapsed, style),
            Self::Drops(rows) => drops(rows, elapsed, style),
            Self::Pools(rows) => {
                let pools: Vec<_> = rows.iter().map(|row| row.now.clone()).collect();
                table::pools(&pools, style)
            }
            Self::Unmatched(rows, unseen) => unmatched(rows, *unseen, elapsed, style),
            Self::Groups(rows, ports) => groups(rows, ports, style),
            Self::Neighbours(rows) => neighbours(rows, style),
            Self::Alerts(rows) => alerts(rows, style),
        }
    }
}

/// Columns of rates: a title each and what it is made of.
type Rates<T> = [(&'static str, fn(&T) -> u64)];

/// The columns that every table of its kind has, and those that give way to rates.
#[derive(Clone, Copy)]
struct Heading<'a>(&'a [Cell], &'a [&'static str]);

/// Residence times: they change slowly, and the table without rates has them.
const TIMES: &[&str] = &["p50", "p99", "longest"];

/// A table of rows, where any was looked at before with `rates` behind its other columns.
fn grid<T>(
    rows: &[Row<T>],
    elapsed: Duration,
    Heading(heading, others): Heading<'_>,
    rates: &Rates<T>,
    mut add: impl FnMut(&mut Grid, &T, Vec<Cell>),
) -> Grid {
    let rated = rows.iter().any(|row| row.added.is_some());
    let titles = rates.iter().filter(|_| rated).map(|(title, _)| *title);
    let titles = titles.chain(others.iter().copied().filter(|_| !rated)).map(Cell::right);
    let mut grid = Grid::new(heading.iter().cloned().chain(titles));
    for row in rows {
        let cells = rates.iter().filter(|_| rated).map(|(title, count)| {
            let Some(added) = &row.added else { return Cell::right("-") };
            let rate = per_second(count(added), elapsed);
            if title.starts_with("drop") || title.starts_with("lost") {
                Cell::loss(rate)
            } else {
                Cell::number(rate)
            }
        });
        add(&mut grid, &row.now, cells.collect());
    }
    grid
}

fn ledger(row: &Row<Report>, elapsed: Duration, style: Style) -> String {
    let mut text = table::ledger(&row.now, style);
    if let Some(Report { ledger: added, .. }) = &row.added {
        let dropped = added.dropped_before.total() + added.dropped_after.total();
        let counts = [
            ("received", added.received),
            ("copies", added.copies),
            ("sent", added.sent),
            ("dropped", dropped),
        ];
        let each =
            counts.map(|(name, count)| format!("{name} {}", grouped(per_second(count, elapsed))));
        text.push_str(&format!("  a second  {}\n", each.join(", ")));
    }
    text
}

/// The rates or, where there are none, residence times.
fn rates_or_times(rates: Vec<Cell>, times: &LatencyReport) -> Vec<Cell> {
    if !rates.is_empty() {
        return rates;
    }
    let times = [times.p50, times.p99, times.max].map(|nanos| match times.count {
        0 => Cell::right("-"),
        _ => Cell::right(span(nanos)),
    });
    times.into()
}

fn rules(rows: &[Row<RuleReport>], elapsed: Duration, style: Style) -> String {
    let heading = [
        Cell::left("rule"),
        Cell::left("class"),
        Cell::right("packets"),
        Cell::right("dropped"),
        Cell::right("last"),
    ];
    let rates: &Rates<RuleReport> =
        &[("packets/s", |rule| rule.packets), ("dropped/s", |rule| rule.dropped.total())];
    let grid = grid(rows, elapsed, Heading(&heading, TIMES), rates, |grid, rule, rates| {
        let last = match rule.packets {
            0 => "-".into(),
            _ => span(rule.last_packet_ns_ago),
        };
        let cells = [
            Cell::left(&rule.name),
            Cell::left(&rule.class),
            Cell::number(rule.packets),
            Cell::loss(rule.dropped.total()),
            Cell::right(last),
        ];
        grid.row(cells.into_iter().chain(rates_or_times(rates, &rule.latency_ns)));
        table::by_reason(grid, &rule.dropped);
    });
    grid.render(style)
}

fn outputs(rows: &[Row<OutputRow>], elapsed: Duration, style: Style) -> String {
    let heading = [
        Cell::left("rule"),
        Cell::left("output"),
        Cell::right("sent"),
        Cell::right("on time"),
        Cell::right("late"),
        Cell::right("dropped"),
    ];
    let rates: &Rates<OutputRow> =
        &[("sent/s", |row| row.output.sent), ("dropped/s", |row| row.output.dropped.total())];
    let grid = grid(
        rows,
        elapsed,
        Heading(&heading, &[]),
        rates,
        |grid, OutputRow { rule, output }, rates| {
            let cells = [
                Cell::left(rule),
                Cell::left(&output.name),
                Cell::number(output.sent),
                Cell::number(output.on_time),
                Cell::loss(output.late_sent),
                Cell::loss(output.dropped.total()),
            ];
            grid.row(cells.into_iter().chain(rates));
            table::by_reason(grid, &output.dropped);
            table::balance(grid, output);
            if output.unreachable > 0 {
                let count = grouped(output.unreachable);
                grid.line(format!("    told not to arrive (ICMP): {count}"), Paint::Loss);
            }
        },
    );
    grid.render(style)
}

fn receivers(rows: &[Row<ReceiverReport>], elapsed: Duration, style: Style) -> String {
    let heading = [
        Cell::left("receiver"),
        Cell::left("port"),
        Cell::right("outputs"),
        Cell::right("sent"),
        Cell::right("on time"),
        Cell::right("late"),
        Cell::right("dropped"),
    ];
    let rates: &Rates<ReceiverReport> =
        &[("sent/s", |row| row.sent), ("dropped/s", |row| row.dropped.total())];
    let mut grid = grid(rows, elapsed, Heading(&heading, &[]), rates, |grid, row, rates| {
        let cells = [
            Cell::left(&row.name),
            Cell::left(&row.port),
            Cell::number(row.outputs),
            Cell::number(row.sent),
            Cell::number(row.on_time),
            Cell::loss(row.late_sent),
            Cell::loss(row.dropped.total()),
        ];
        grid.row(cells.into_iter().chain(rates));
        table::by_reason(grid, &row.dropped);
        table::breaker(grid, "its", row.breaker, row.breaker_opened);
    });
    if rows.is_empty() {
        grid.line("there are no receivers", Paint::Plain);
    }
    grid.render(style)
}

fn ports(rows: &[Row<PortReport>], elapsed: Duration, style: Style) -> String {
    let lost = |port: &PortReport| port.missed + port.no_mbuf + port.rx_errors;
    let heading = [
        Cell::left("port"),
        Cell::left("link"),
        Cell::right("received"),
        Cell::right("lost"),
        Cell::right("sent"),
        Cell::right("tx errors"),
        Cell::left("copies go"),
    ];
    let rates: &Rates<PortReport> = &[
        ("in/s", |port| port.received),
        ("lost/s", |port| port.missed + port.no_mbuf + port.rx_errors),
        ("out/s", |port| port.sent),
    ];
    let grid = grid(rows, elapsed, Heading(&heading, &[]), rates, |grid, port, rates| {
        let link = Cell::left(port.link.name());
        let cells = [
            Cell::left(&port.name),
            match port.link {
                Link::Up => link,
                Link::Down => link.paint(Paint::Bad),
            },
            Cell::number(port.received),
            Cell::loss(lost(port)),
            Cell::number(port.sent),
            Cell::loss(port.tx_errors),
            Cell::left(match port.tx_chain {
                TxChain::Native => "chained",
                TxChain::Linear => "linear",
            }),
        ];
        grid.row(cells.into_iter().chain(rates));
        let hears = if port.promiscuous { "all frames" } else { "groups and its own address" };
        let text = format!("    {}, MTU {}, hears {hears}", port.driver, grouped(port.mtu));
        grid.line(text, Paint::Plain);
        if lost(port) > 0 {
            let [missed, no_mbuf, errors] =
                [port.missed, port.no_mbuf, port.rx_errors].map(grouped);
            let text = format!("    lost: missed {missed}, no_mbuf {no_mbuf}, rx_errors {errors}");
            grid.line(text, Paint::Loss);
        }
        if !port.malformed.is_empty() {
            let each = port.malformed.iter();
            let each: Vec<_> = each.map(|(what, n)| format!("{what} {}", grouped(n))).collect();
            grid.line(format!("    malformed: {}", each.join(", ")), Paint::Loss);
        }
        table::breaker(grid, "its", port.breaker, port.breaker_opened);
    });
    grid.render(style)
}

fn workers(rows: &[Row<WorkerReport>], elapsed: Duration, style: Style) -> String {
    let heading = [
        Cell::left("worker"),
        Cell::right("turns"),
        Cell::right("busy"),
        Cell::right("last turn"),
        Cell::right("longest"),
        Cell::right("plan's"),
        Cell::right("generation"),
        Cell::right("handed"),
    ];
    let rates: &Rates<WorkerReport> = &[("turns/s", |worker| worker.turns)];
    let grid = grid(rows, elapsed, Heading(&heading, &[]), rates, |grid, worker, rates| {
        let permille = worker.busy_permille;
        let cells = [
            Cell::left(format!("lcore {}", worker.lcore)),
            Cell::number(worker.turns),
            Cell::right(format!("{}.{} %", permille / 10, permille % 10)),
            Cell::right(format!("{} ago", span(worker.heartbeat_age_ns))),
            Cell::right(span(worker.longest_turn_ns)),
            Cell::right(match worker.plan_turn_ns {
                0 => "-".into(),
                turn => span(turn),
            }),
            Cell::number(worker.generation),
            Cell::number(worker.packets_handed + worker.copies_handed),
        ];
        grid.row(cells.into_iter().chain(rates));
        if !worker.place.is_empty() {
            grid.line(format!("    {}", worker.place), Paint::Plain);
        }
        worker.misplaced.iter().for_each(|line| grid.line(format!("    {line}"), Paint::Loss));
    });
    grid.render(style)
}

fn classes(rows: &[Row<ClassReport>], elapsed: Duration, style: Style) -> String {
    let heading = [
        Cell::left("class"),
        Cell::right("packets"),
        Cell::right("sent"),
        Cell::right("late"),
        Cell::right("dropped"),
    ];
    let dropped = |class: &ClassReport| class.dropped_before.total() + class.dropped_after.total();
    let rates: &Rates<ClassReport> = &[
        ("packets/s", |class| class.packets),
        ("sent/s", |class| class.sent),
        ("dropped/s", |class| class.dropped_before.total() + class.dropped_after.total()),
    ];
    let grid = grid(rows, elapsed, Heading(&heading, TIMES), rates, |grid, class, rates| {
        let cells = [
            Cell::left(&class.name),
            Cell::number(class.packets),
            Cell::number(class.sent),
            Cell::loss(class.late_sent),
            Cell::loss(dropped(class)),
        ];
        grid.row(cells.into_iter().chain(rates_or_times(rates, &class.latency_ns)));
    });
    grid.render(style)
}

fn drops(rows: &[Row<DropRow>], elapsed: Duration, style: Style) -> String {
    if rows.is_empty() {
        return "nothing was dropped\n".into();
    }
    let rated = rows.iter().any(|row| row.added.is_some());
    let mut grid = Grid::new(
        [Cell::left("fan-out"), Cell::right("dropped")]
            .into_iter()
            .chain(rated.then(|| Cell::right("a second")))
            .chain([Cell::left("reason")]),
    );
    for Row { now, added } in rows {
        let rate = added.as_ref().map(|added| Cell::loss(per_second(added.count, elapsed)));
        let cells = [Cell::left(&now.fan_out), Cell::loss(now.count)];
        grid.row(cells.into_iter().chain(rate).chain([Cell::left(&now.reason)]));
        let known = DropReason::ALL.iter().find(|reason| reason.name() == now.reason);
        if let Some(known) = known {
            grid.line(format!("    {}", known.meaning()), Paint::Plain);
        }
    }
    grid.render(style)
}

fn unmatched(
    rows: &[Row<UnmatchedReport>],
    unseen: u64,
    elapsed: Duration,
    style: Style,
) -> String {
    let heading = [
        Cell::left("port"),
        Cell::left("VLAN"),
        Cell::left("source > destination:UDP port"),
        Cell::right("packets"),
    ];
    let rates: &Rates<UnmatchedReport> = &[("packets/s", |row| row.count)];
    let mut grid = grid(rows, elapsed, Heading(&heading, &[]), rates, |grid, row, rates| {
        let to = SocketAddr::new(row.destination, row.udp_port);
        let cells = [
            Cell::left(&row.port),
            Cell::left(vlan(row.vlan)),
            Cell::left(format!("{} > {to}", row.source)),
            Cell::number(row.count),
        ];
        grid.row(cells.into_iter().chain(rates));
        if let Some(nearest) = &row.nearest {
            grid.line(format!("    nearest {}: {}", nearest.rule, nearest.why()), Paint::Plain);
        }
        if row.count_error > 0 {
            let error = grouped(row.count_error);
            grid.line(format!("    up to {error} of them may have been others"), Paint::Plain);
        }
    });
    if rows.is_empty() {
        grid.line("a rule takes every packet", Paint::Plain);
    }
    if unseen > 0 {
        let more = format!("{} more came too fast to be looked at", grouped(unseen));
        grid.line(more, Paint::Plain);
    }
    grid.render(style)
}

fn alerts(rows: &[Row<Alert>], style: Style) -> String {
    if rows.is_empty() {
        return "there are no alerts\n".into();
    }
    let mut grid = Grid::new([
        Cell::left("level"),
        Cell::left("alert"),
        Cell::left("of"),
        Cell::right("count"),
        Cell::right("since start"),
        Cell::left("state"),
    ]);
    for Row { now: alert, .. } in rows {
        let level = Cell::left(alert.level.name());
        let is_bad = alert.active && alert.level == Level::Warning;
        grid.row([
            if is_bad { level.paint(Paint::Bad) } else { level },
            Cell::left(&alert.kind),
            Cell::left(&alert.subject),
            Cell::number(alert.count),
            Cell::right(span(alert.since_ns)),
            Cell::left(if alert.active { "active" } else { "over" }),
        ]);
        for text in [&alert.text, &alert.remedy] {
            folded(text).into_iter().for_each(|line| grid.line(line, Paint::Plain));
        }
    }
    grid.render(style)
}

/// A sentence in lines of 76 columns, each indented by four more.
fn folded(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= 80 => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(format!("    {word}")),
        }
    }
    lines
}

/// The plan in force: its rules, and every setting as a configuration.
pub fn plan(plan: &PlanReport, style: Style) -> String {
    let mut grid = Grid::new([
        Cell::left("rule"),
        Cell::left("class"),
        Cell::right("budget"),
        Cell::left("late"),
        Cell::left("flow"),
        Cell::right("rows"),
        Cell::right("outputs"),
    ]);
    for rule in &plan.rules {
        grid.row([
            Cell::left(&rule.name),
            Cell::left(&rule.class),
            Cell::right(span(rule.budget_ns)),
            Cell::left(&rule.late),
            Cell::left(&rule.flow),
            Cell::number(rule.rows),
            Cell::number(rule.outputs),
        ]);
    }
    let [rules, rows, outputs, flows] =
        [plan.rules.len() as u64, plan.rows, plan.outputs, plan.flows].map(grouped);
    format!(
        "{}{rules} rules, {rows} rows, {outputs} outputs, {flows} flows\ndumpcap  {}\n\n{}\n{}",
        grid.render(style),
        plan.dumpcap,
        style.paint(Paint::Head, "settings in force"),
        plan.settings,
    )
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;
    use crate::manage::fixture::{Fixture, assert_golden};
    use crate::manage::show::What;

    /// Columns of a terminal that nobody made wider.
    const COLUMNS: usize = 80;

    /// Every part but the plan, each under its name.
    fn all(report: &Report, added: Option<&Report>) -> String {
        let mut text = String::new();
        for what in What::value_variants() {
            if let Some(part) = Part::new(*what, report, added) {
                text += &format!("--- {what:?}\n");
                text += &part.render(Duration::from_millis(500), Style::PLAIN);
            }
        }
        text
    }

    /// All but the ledger, whose reasons come with their meanings on the line.
    fn fits(text: &str) {
        let (_, rows) = text.split_once("--- Rules").unwrap();
        let widest = rows.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(COLUMNS), "{widest:?}\n{rows}");
    }

    #[test]
    fn every_table_is_as_reviewed_and_fits() {
        let report = Fixture::new().report();
        let text = all(&report, None);
        fits(&text);
        assert_golden("show.txt", &text);
    }

    #[test]
    fn rates_are_what_was_added_in_the_time() {
        let report = Fixture::new().report();
        let mut before = report.clone();
        before.rules[0].packets -= 50;
        before.rules[0].outputs[0].sent -= 40;
        before.classes[0].sent -= 40;
        before.receivers[0].sent -= 40;
        before.ports[0].received -= 50;
        before.ledger.received -= 50;
        let added = report.minus(&before);
        let text = all(&report, Some(&added));
        fits(&text);
        assert_golden("watch.txt", &text);
        assert!(text.contains("a second  received 100, copies 0, sent 0, dropped 0"), "{text}");
    }

    #[test]
    fn the_plan_is_its_rules_and_its_settings() {
        let report = PlanReport {
            generation: 1,
            rows: 9,
            outputs: 3,
            flows: 2,
            rules: Vec::new(),
            dumpcap: "no: it is a test".into(),
            settings: "schema = 1\n".into(),
        };
        let text = plan(&report, Style::PLAIN);
        assert!(text.contains("0 rules, 9 rows, 3 outputs, 2 flows\n"), "{text}");
        assert!(text.contains("dumpcap  no: it is a test\n"), "{text}");
        assert!(text.ends_with("settings in force\nschema = 1\n"), "{text}");
    }
}
