//! The outcome of a simulation for people: what was asked for, who got it, what it lost and why.

use super::fairness::{self, PortShares};
use super::loads::Resource;
use super::outcome::{Outcome, OutputOutcome, RuleOutcome};
use super::request::Simulation;
use crate::config::show_rate;
use crate::ledger::Drops;
use crate::manage::breaker::Of;
use crate::manage::report::Breaker;
use crate::manage::table;
use crate::manage::text::{Cell, Grid, Paint, Style, grouped, span, wrapped};
use crate::packet::DropReason;
use crate::testkit::fault::{Fault, Place};
use crate::testkit::record::Offered;

/// Changes of circuit breakers that are shown.
const CHANGES_SHOWN: usize = 12;

/// The whole table.
pub fn render(simulation: &Simulation, style: Style) -> String {
    let parts = [
        head(simulation),
        resources(simulation, style),
        faults(simulation, style),
        breakers(simulation, style),
        outputs(&simulation.outcome, style),
        shares(simulation, style),
        end(&simulation.outcome, style),
    ];
    let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join("\n")
}

fn head(simulation: &Simulation) -> String {
    let Simulation { outcome, scenario, .. } = simulation;
    let model = simulation.model.map_or(String::new(), |model| format!(", {model}"));
    let of = match simulation.model {
        Some(_) => "the busiest resource",
        None => "the capture's own speed",
    };
    let phrases = [
        format!("punctual {}, simulated: {}{model}", outcome.report.punctual, simulation.traffic),
        format!("load {} x {of}", simulation.load),
    ];
    let second = format!(
        "{} of traffic, at rest after {}; the CPU takes {} ns a packet and {} ns a copy\n",
        span(outcome.span),
        span(outcome.elapsed),
        scenario.costs.packet,
        scenario.costs.copy,
    );
    let third = "time is virtual, ports are polled as cards are: `clock` and `rx` of the file do \
                 not count\n";
    wrapped("", &phrases) + &second + third
}

/// What each resource was asked for, and what it carried.
fn resources(simulation: &Simulation, style: Style) -> String {
    let outcome = &simulation.outcome;
    let mut grid = Grid::new([
        Cell::left("resource"),
        Cell::left(""),
        Cell::right("offered"),
        Cell::right("carried"),
        Cell::left(""),
    ]);
    let busiest = simulation.busiest().map(|(resource, _)| resource);
    for &(resource, load) in &simulation.loads {
        let elapsed = outcome.elapsed.max(1) as f64;
        let (name, rate, carried) = match resource {
            Resource::Cpu => ("CPU".into(), String::new(), outcome.busy as f64 / elapsed),
            Resource::Link(port) => {
                let bits = fairness::carries(simulation, port);
                let carried = outcome.ports[port].bytes as f64 * 8e9 / elapsed / bits as f64;
                (format!("link of {}", outcome.ports[port].name), show_rate(bits), carried)
            }
            Resource::Input(port) => {
                let bits = outcome.ports[port].link;
                (format!("into {}", outcome.ports[port].name), show_rate(bits), f64::NAN)
            }
        };
        let paint = if load > 1.0 { Paint::Loss } else { Paint::Plain };
        let remark = match resource {
            Resource::Input(_) if load > 1.0 => "taken as it comes, by as many links",
            _ if Some(resource) == busiest => "the busiest",
            _ => "",
        };
        grid.row([
            Cell::left(name),
            Cell::left(rate),
            Cell::right(percent(load)).paint(paint),
            Cell::right(if carried.is_nan() { String::new() } else { percent(carried) }),
            Cell::left(remark),
        ]);
    }
    grid.render(style)
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// What went wrong on purpose.
fn faults(simulation: &Simulation, style: Style) -> String {
    if simulation.outcome.faults.is_empty() {
        return String::new();
    }
    let mut grid =
        Grid::new([Cell::left("fault"), Cell::left("at"), Cell::right("from"), Cell::right("for")]);
    for fault in &simulation.outcome.faults {
        grid.row([
            Cell::left(fault.kind.name()),
            Cell::left(place(simulation, fault)),
            Cell::right(span(fault.start)),
            Cell::right(span(fault.length)),
        ]);
    }
    let withheld: u64 = simulation.outcome.ports.iter().map(|port| port.rx.withheld).sum();
    if withheld > 0 {
        let text = format!("{} frames never came to a port, by fault", grouped(withheld));
        grid.line(text, Paint::Loss);
    }
    grid.render(style)
}

/// The name of a fault's place.
pub(super) fn place(simulation: &Simulation, fault: &Fault) -> String {
    let config = &simulation.scenario.config;
    match fault.kind.place() {
        Place::Worker => "the worker".into(),
        Place::Input | Place::Output => config.ports[fault.slot].name.clone(),
        Place::Pool => ["payload", "headers"][fault.slot.min(1)].into(),
        Place::Receiver => config.receivers[fault.slot].name.clone(),
    }
}

/// The name of a breaker's owner.
pub(super) fn owner(simulation: &Simulation, of: Of) -> String {
    let config = &simulation.scenario.config;
    match of {
        Of::Port(slot) => format!("port {}", config.ports[slot].name),
        Of::Receiver(slot) => format!("receiver {}", config.receivers[slot].name),
    }
}

fn breakers(simulation: &Simulation, style: Style) -> String {
    let changes = &simulation.outcome.breakers;
    if changes.is_empty() {
        return String::new();
    }
    let mut grid =
        Grid::new([Cell::right("at"), Cell::left("circuit breaker of"), Cell::left("is now")]);
    for change in changes.iter().take(CHANGES_SHOWN) {
        grid.row([
            Cell::right(span(change.at)),
            Cell::left(owner(simulation, change.of)),
            Cell::left(Breaker::from(change.state).name()),
        ]);
    }
    if changes.len() > CHANGES_SHOWN {
        let more = grouped((changes.len() - CHANGES_SHOWN) as u64);
        grid.line(format!("and {more} changes more"), Paint::Plain);
    }
    grid.render(style)
}

fn outputs(outcome: &Outcome, style: Style) -> String {
    let mut grid = Grid::new([
        Cell::left("output"),
        Cell::right("offered"),
        Cell::right("on time"),
        Cell::right("late"),
        Cell::right("lost"),
        Cell::right("p50"),
        Cell::right("p99"),
        Cell::right("p99.9"),
        Cell::right("longest"),
    ]);
    for (slot, rule) in outcome.rules.iter().enumerate() {
        let packets = grouped(rule.offered.packets);
        grid.line(
            format!("{} ({}): {packets} packets came", rule.name, rule.class.name()),
            Paint::Plain,
        );
        let before = before(rule);
        if !before.is_empty() {
            grid.line(format!("    lost before fan-out: {}", show(&before)), Paint::Loss);
        }
        for output in outcome.outputs.iter().filter(|output| output.rule == slot) {
            grid.row(output_row(output));
            let after = reasons(&output.dropped);
            if !after.is_empty() {
                grid.line(format!("    dropped: {}", show(&after)), Paint::Loss);
            }
        }
    }
    let unmatched = outcome.unmatched;
    if unmatched.packets > 0 {
        let packets = grouped(unmatched.packets);
        grid.line(format!("for no rule: {packets} packets came"), Paint::Plain);
    }
    grid.render(style)
}

fn output_row(output: &OutputOutcome) -> [Cell; 9] {
    let time = |nanos| match output.sent {
        0 => Cell::right("-"),
        _ => Cell::right(span(nanos)),
    };
    [
        Cell::left(format!("  {}", output.name)),
        Cell::number(output.offered),
        Cell::number(output.on_time),
        Cell::loss(output.late_sent),
        Cell::loss(output.offered.saturating_sub(output.sent)),
        time(output.residence_at(0.5)),
        time(output.residence_at(0.99)),
        time(output.residence_at(0.999)),
        time(output.residence.max()),
    ]
}

/// What a rule's packets were lost to before they became copies.
pub(super) fn before(rule: &RuleOutcome) -> Vec<(&'static str, u64)> {
    let Offered { missed, no_mbuf, rx_errors, .. } = rule.offered;
    let at_ports = [("missed", missed), ("no_mbuf", no_mbuf), ("rx_errors", rx_errors)];
    let at_ports = at_ports.into_iter().filter(|(_, count)| *count > 0);
    at_ports.chain(reasons(&rule.dropped)).collect()
}

/// Each reason that occurred.
pub(super) fn reasons(dropped: &Drops) -> Vec<(&'static str, u64)> {
    let all = DropReason::ALL.iter().map(|reason| (reason.name(), dropped[reason.index()]));
    all.filter(|(_, count)| *count > 0).collect()
}

fn show(reasons: &[(&str, u64)]) -> String {
    let each = reasons.iter().map(|(name, count)| format!("{name} {}", grouped(*count)));
    each.collect::<Vec<_>>().join(", ")
}

/// Who got how much of each port.
fn shares(simulation: &Simulation, style: Style) -> String {
    let mut grid = Grid::new([
        Cell::left("port"),
        Cell::left("class"),
        Cell::right("weight"),
        Cell::right("asked for"),
        Cell::right("fair"),
        Cell::right("got"),
        Cell::right("Jain's index"),
    ]);
    for port in fairness::shares(simulation) {
        let PortShares { capacity, .. } = port;
        let part = |bytes: f64| Cell::right(percent(bytes / capacity.max(1) as f64));
        for class in &port.classes {
            grid.row([
                Cell::left(&simulation.outcome.ports[port.port].name),
                Cell::left(class.class.name()),
                Cell::number(class.weight.into()),
                part(class.asked as f64),
                part(class.fair),
                part(class.bytes as f64),
                Cell::right(format!("{:.4}", class.index)),
            ]);
        }
        if port.classes.len() > 1 {
            grid.row([
                Cell::left(""),
                Cell::left("all"),
                Cell::right(""),
                part(port.classes.iter().map(|class| class.asked as f64).sum()),
                part(port.classes.iter().map(|class| class.fair).sum()),
                part(port.bytes as f64),
                Cell::right(format!("{:.4}", port.index)),
            ]);
        }
    }
    grid.render(style)
}

/// The ledger, and what must not be.
fn end(outcome: &Outcome, style: Style) -> String {
    let mut text = table::ledger(&outcome.report, style);
    let Some(defect) = outcome.defect() else {
        let good = "  no packet overtook another of its flow; all pools are whole\n";
        return text + good;
    };
    let line = format!("  {defect}. This is a defect of punctual; please report it");
    text.push_str(&style.paint(Paint::Bad, &line));
    text.push('\n');
    text
}
