//! Rows of what is said on the links: the groups that are joined, and the neighbours.

use super::rows::Row;
use crate::manage::groups::GroupReport;
use crate::manage::nearest::vlan;
use crate::manage::neighbours::NeighbourReport;
use crate::manage::report::PortReport;
use crate::manage::text::{Cell, Grid, Paint, Style, grouped, span};

/// The groups that are joined, and what was ignored at each port.
pub fn groups(rows: &[Row<GroupReport>], ports: &[PortReport], style: Style) -> String {
    let mut grid = Grid::new([
        Cell::left("port"),
        Cell::left("VLAN"),
        Cell::left("group"),
        Cell::left("protocol"),
        Cell::left("querier"),
        Cell::right("asked"),
        Cell::right("reported"),
    ]);
    let ago = |nanos| Cell::right(if nanos > 0 { span(nanos) } else { "-".into() });
    for Row { now, .. } in rows {
        let querier = now.querier.map_or_else(|| "-".into(), |querier| querier.to_string());
        grid.row([
            Cell::left(&now.port),
            Cell::left(vlan(now.vlan)),
            Cell::left(now.group.to_string()),
            Cell::left(&now.version),
            Cell::left(querier),
            ago(now.last_query_ns_ago),
            ago(now.last_report_ns_ago),
        ]);
        if now.mode == "include" {
            let sources: Vec<_> = now.sources.iter().map(ToString::to_string).collect();
            grid.line(format!("    from {}", sources.join(", ")), Paint::Plain);
        }
    }
    if rows.is_empty() {
        grid.line("no group is joined", Paint::Plain);
    }
    for port in ports.iter().filter(|port| !port.group_ignored.is_empty()) {
        let reasons = port.group_ignored.iter().map(|(why, count)| format!("{why} {count}"));
        let reasons: Vec<_> = reasons.collect();
        grid.line(format!("ignored at {}: {}", port.name, reasons.join(", ")), Paint::Plain);
    }
    grid.render(style)
}

/// The neighbours, and what was not believed of them.
pub fn neighbours(rows: &[Row<NeighbourReport>], style: Style) -> String {
    let mut grid = Grid::new([
        Cell::left("port"),
        Cell::left("VLAN"),
        Cell::left("address"),
        Cell::left("MAC"),
        Cell::left("state"),
        Cell::right("answered"),
        Cell::right("asked"),
        Cell::right("moved"),
    ]);
    for Row { now, .. } in rows {
        let paint = if now.state == "silent" { Paint::Loss } else { Paint::Plain };
        grid.row([
            Cell::left(&now.port),
            Cell::left(vlan(now.vlan)),
            Cell::left(&now.address),
            Cell::left(now.mac.as_deref().unwrap_or("-")),
            Cell::left(&now.state).paint(paint),
            Cell::right(now.answered_ns_ago.map_or_else(|| "-".into(), span)),
            Cell::right(grouped(now.requests)),
            Cell::right(grouped(now.changes)),
        ]);
        if now.refused > 0 {
            let text = format!("    not believed: {} claims of another MAC", grouped(now.refused));
            grid.line(text, Paint::Loss);
        }
    }
    if rows.is_empty() {
        grid.line("no output needs a neighbour's MAC", Paint::Plain);
    }
    grid.render(style)
}
