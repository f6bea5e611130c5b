//! The table at the end of a run: a report for people, the ledger last, as its equations.
//!
//! What was lost is named where it was lost, in the operator's words; the line to look at first is
//! the last one.

use super::report::{
    Breaker, DropCounts, Link, OutputReport, PoolStatus, PortReport, Report, RuleReport, TxChain,
};
use super::text::{Cell, Grid, Paint, Style, grouped, size, span};
use crate::packet::DropReason;

/// The whole table.
pub fn render(report: &Report, style: Style) -> String {
    let mut text = format!(
        "punctual {}, DPDK {}: {}, generation {}\n",
        report.punctual,
        report.dpdk,
        span(report.uptime_ns),
        report.generation
    );
    let parts = [
        rules(report, style),
        outputs(report, style),
        ports(report, style),
        workers(report, style),
        pools(&report.pools, style),
        ledger(report, style),
    ];
    for part in parts {
        text.push('\n');
        text.push_str(&part);
    }
    text
}

fn rules(report: &Report, style: Style) -> String {
    let mut grid = Grid::new([
        Cell::left("rule"),
        Cell::left("class"),
        Cell::right("packets"),
        Cell::right("bytes"),
        Cell::right("dropped"),
        Cell::right("last"),
        Cell::right("p50"),
        Cell::right("p99"),
        Cell::right("longest"),
    ]);
    for rule in &report.rules {
        grid.row(rule_row(rule));
        by_reason(&mut grid, &rule.dropped);
        if rule.flow_overflow > 0 {
            let count = grouped(rule.flow_overflow);
            let text = format!("    {count} shared the overflow flow: raise limits.sources");
            grid.line(text, Paint::Loss);
        }
    }
    grid.render(style)
}

fn rule_row(rule: &RuleReport) -> [Cell; 9] {
    let latency = |nanos| match rule.latency_ns.count {
        0 => Cell::right("-"),
        _ => Cell::right(span(nanos)),
    };
    let last = match rule.packets {
        0 => "never".into(),
        _ => format!("{} ago", span(rule.last_packet_ns_ago)),
    };
    [
        Cell::left(&rule.name),
        Cell::left(&rule.class),
        Cell::number(rule.packets),
        Cell::right(size(rule.bytes)),
        Cell::loss(rule.dropped.total()),
        Cell::right(last),
        latency(rule.latency_ns.p50),
        latency(rule.latency_ns.p99),
        latency(rule.latency_ns.max),
    ]
}

/// A line that says how many for each reason, where there were any.
pub(super) fn by_reason(grid: &mut Grid, dropped: &DropCounts) {
    if dropped.is_empty() {
        return;
    }
    let each = dropped.iter();
    let each: Vec<_> = each.map(|(name, count)| format!("{name} {}", grouped(count))).collect();
    grid.line(format!("    dropped: {}", each.join(", ")), Paint::Loss);
}

/// A line about an output that shares its rule's packets with others: its part, and what should be.
pub(super) fn balance(grid: &mut Grid, output: &OutputReport) {
    let Some(by) = &output.balanced_by else { return };
    let all = (output.copies + output.not_selected).max(1);
    let has = u128::from(output.copies) * 1_000 / u128::from(all);
    let percent = |permille: u128| format!("{}.{} %", permille / 10, permille % 10);
    let (has, fair) = (percent(has), percent(output.fair_permille.into()));
    let mut text = format!("    balanced by {by}: {has} of the packets, by weight {fair}");
    if output.taken_over > 0 {
        text += &format!("; {} taken over from others", grouped(output.taken_over));
    }
    grid.line(text, Paint::Plain);
}

fn outputs(report: &Report, style: Style) -> String {
    let mut grid = Grid::new([
        Cell::left("output"),
        Cell::left("port"),
        Cell::right("copies"),
        Cell::right("sent"),
        Cell::right("on time"),
        Cell::right("late sent"),
        Cell::right("dropped"),
    ]);
    for rule in &report.rules {
        grid.line(format!("{}:", rule.name), Paint::Plain);
        for output in &rule.outputs {
            grid.row(output_row(output));
            by_reason(&mut grid, &output.dropped);
            balance(&mut grid, output);
            if output.not_selected > 0 {
                let count = grouped(output.not_selected);
                grid.line(format!("    not selected: {count}"), Paint::Plain);
            }
        }
    }
    grid.render(style)
}

fn output_row(output: &OutputReport) -> [Cell; 7] {
    [
        Cell::left(format!("  {}", output.name)),
        Cell::left(&output.port),
        Cell::number(output.copies),
        Cell::number(output.sent),
        Cell::number(output.on_time),
        Cell::loss(output.late_sent),
        Cell::loss(output.dropped.total()),
    ]
}

fn ports(report: &Report, style: Style) -> String {
    let mut grid = Grid::new([
        Cell::left("port"),
        Cell::left("link"),
        Cell::right("received"),
        Cell::right("missed"),
        Cell::right("no mbuf"),
        Cell::right("rx errors"),
        Cell::right("sent"),
        Cell::right("tx errors"),
        Cell::right("own"),
        Cell::left("copies go"),
    ]);
    for port in &report.ports {
        let link = Cell::left(port.link.name());
        grid.row([
            Cell::left(&port.name),
            match port.link {
                Link::Up => link,
                Link::Down => link.paint(Paint::Bad),
            },
            Cell::number(port.received),
            Cell::loss(port.missed),
            Cell::loss(port.no_mbuf),
            Cell::loss(port.rx_errors),
            Cell::number(port.sent),
            Cell::loss(port.tx_errors),
            Cell::number(port.originated),
            Cell::left(match port.tx_chain {
                TxChain::Native => "chained",
                TxChain::Linear => "linear",
            }),
        ]);
        breaker(&mut grid, "its", port.breaker, port.breaker_opened);
    }
    for receiver in &report.receivers {
        let whose = format!("receiver {}: its", receiver.name);
        breaker(&mut grid, &whose, receiver.breaker, receiver.breaker_opened);
    }
    grid.render(style)
}

/// A line that says what a circuit breaker did, where it did something.
pub(super) fn breaker(grid: &mut Grid, whose: &str, state: Breaker, opened: u64) {
    let times = match opened {
        0 if state == Breaker::Closed => return,
        // It was open already when counting began.
        0 => String::new(),
        1 => " opened once and".into(),
        _ => format!(" opened {} times and", grouped(opened)),
    };
    let state = state.name().replace('_', " ");
    grid.line(format!("    {whose} circuit breaker{times} is {state}"), Paint::Loss);
}

fn workers(report: &Report, style: Style) -> String {
    let mut grid = Grid::new([
        Cell::left("worker"),
        Cell::right("turns"),
        Cell::right("busy"),
        Cell::right("last turn"),
        Cell::right("longest"),
        Cell::right("generation"),
        Cell::right("handed over"),
    ]);
    for worker in &report.workers {
        let permille = worker.busy_permille;
        grid.row([
            Cell::left(format!("lcore {}", worker.lcore)),
            Cell::number(worker.turns),
            Cell::right(format!("{}.{} %", permille / 10, permille % 10)),
            Cell::right(format!("{} ago", span(worker.heartbeat_age_ns))),
            Cell::right(span(worker.longest_turn_ns)),
            Cell::number(worker.generation),
            Cell::number(worker.packets_handed + worker.copies_handed),
        ]);
    }
    grid.render(style)
}

pub(super) fn pools(pools: &[PoolStatus], style: Style) -> String {
    let mut grid = Grid::new([
        Cell::left("pool"),
        Cell::right("size"),
        Cell::right("free"),
        Cell::right("ours"),
        Cell::right("with drivers"),
        Cell::right("most in use"),
    ]);
    for pool in pools {
        let PoolStatus { size, in_use, .. } = *pool;
        grid.row([
            Cell::left(&pool.name),
            Cell::number(size),
            Cell::number(size.saturating_sub(in_use)),
            Cell::number(pool.ours()),
            Cell::number(pool.held),
            Cell::number(pool.in_use_max),
        ]);
    }
    grid.render(style)
}

/// The ledger, as its equations, what was lost for which reason, and the residual.
pub(crate) fn ledger(report: &Report, style: Style) -> String {
    let ledger = &report.ledger;
    let at_ports = |lost: fn(&PortReport) -> u64| report.ports.iter().map(lost).sum::<u64>();
    let (before, after) = (&ledger.dropped_before, &ledger.dropped_after);
    let terms = |terms: &[(&str, u64)]| {
        let terms = terms.iter().map(|(name, n)| format!("{name} {}", grouped(*n)));
        terms.collect::<Vec<_>>().join(" + ")
    };
    let mut grid = Grid::new([Cell::left("ledger"), Cell::right(""), Cell::left("")]);
    let mut equation = |name: &str, number, sum: &[(&str, u64)]| {
        grid.row([Cell::left(name), Cell::number(number), Cell::left(format!("= {}", terms(sum)))]);
    };
    equation(
        "  offered",
        ledger.offered,
        &[
            ("received", ledger.received),
            ("missed", at_ports(|port| port.missed)),
            ("no_mbuf", at_ports(|port| port.no_mbuf)),
            ("rx_errors", at_ports(|port| port.rx_errors)),
        ],
    );
    equation(
        "  received",
        ledger.received,
        &[
            ("dropped", before.total()),
            ("punted", ledger.punted),
            ("admitted", ledger.admitted),
            ("waiting", ledger.waiting_before),
        ],
    );
    equation(
        "  copies",
        ledger.copies,
        &[("sent", ledger.sent), ("dropped", after.total()), ("waiting", ledger.waiting_after)],
    );
    let mut text = grid.render(style);
    text.push_str(&reasons("dropped before fan-out", before, style));
    text.push_str(&reasons("dropped behind fan-out", after, style));
    let residual = format!("  residual {}", grouped(ledger.residual));
    let (paint, remark) = match ledger.residual {
        0 => (Paint::Good, ""),
        _ => (
            Paint::Bad,
            ": packets unaccounted for. This is a defect of punctual; please report it",
        ),
    };
    text.push_str(&style.paint(paint, &format!("{residual}{remark}")));
    text.push('\n');
    text
}

/// Every reason that occurred, with its meaning.
fn reasons(title: &str, dropped: &DropCounts, style: Style) -> String {
    if dropped.is_empty() {
        return String::new();
    }
    let mut grid = Grid::default();
    grid.line(format!("  {title}"), Paint::Plain);
    for (name, count) in dropped.iter() {
        let known = DropReason::ALL.iter().find(|reason| reason.name() == name);
        grid.row([
            Cell::left("  "),
            Cell::loss(count),
            Cell::left(name),
            Cell::left(known.map_or("", |reason| reason.meaning())),
        ]);
    }
    grid.render(style)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manage::fixture::{Fixture, assert_golden};
    use crate::manage::text::WIDTH;

    #[test]
    fn the_table_is_as_reviewed_and_fits() {
        let text = render(&Fixture::new().report(), Style::PLAIN);
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH));
        assert!(text.ends_with("residual 0\n"));
        assert_golden("table.txt", &text);
    }

    /// Numbers of a busy run, to see that the columns still fit.
    #[test]
    fn a_hundred_billion_packets_fit() {
        let mut report = Fixture::new().report();
        let many = 99_999_999_999;
        for rule in &mut report.rules {
            (rule.packets, rule.bytes) = (many, many * 1_000);
            for output in &mut rule.outputs {
                (output.copies, output.sent, output.on_time) = (many, many, many);
            }
        }
        let text = render(&report, Style::PLAIN);
        let widest = text.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(WIDTH), "{widest:?}\n{text}");
    }

    #[test]
    fn a_residual_is_not_overlooked() {
        let mut report = Fixture::new().report();
        report.ledger.residual = 1_234;
        let text = render(&report, Style::PLAIN);
        assert!(text.contains("residual 1,234: packets unaccounted for"));
    }

    #[test]
    fn every_meaning_fits_its_line() {
        let all = [1_000_000; DropReason::COUNT];
        let text = reasons("dropped", &DropCounts::from(&all), Style::PLAIN);
        assert_eq!(text.lines().count(), DropReason::COUNT + 1);
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH));
    }
}
