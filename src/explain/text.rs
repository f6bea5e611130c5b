//! An explanation for people: a line a stage, a line an output.

use std::fmt::Write;

use super::{CopyHeaders, Explanation, OutputVerdict, RuleVerdict};
use crate::config::{show_bytes, show_rate};
use crate::manage::nearest::{Field, vlan};
use crate::manage::text::{Cell, Grid, Paint, Style, grouped, span, wrapped};
use crate::packet::DropReason;

/// Where what a stage says begins.
const INDENT: &str = "           ";

/// The text.
pub fn render(told: &Explanation, style: Style) -> String {
    let mut text = stage("packet", &told.packet);
    match &told.parsed {
        Some(parsed) => {
            let vlan = match parsed.vlan {
                0 => "untagged".into(),
                id => format!("VLAN {id}"),
            };
            let line = format!(
                "passes: UDP over IPv{}, {vlan}, TTL {}, {} bytes of frame",
                parsed.ip_version,
                parsed.ttl,
                grouped(parsed.frame_bytes)
            );
            text += &stage("parse", &line);
        }
        None => text += &stage("parse", &ending(told, style)),
    }
    if let Some(rule) = &told.rule {
        text += &rule_lines(rule);
        text += &outputs(told, style);
    } else if told.parsed.is_some() {
        text += &stage("classify", &ending(told, style));
        text += &match &told.nearest {
            Some(nearest) if nearest.differs.is_empty() => String::new(),
            Some(nearest) => {
                let mut differs: Vec<_> = nearest.differs.iter().map(Field::difference).collect();
                if let Some(first) = differs.first_mut() {
                    first.insert_str(0, &format!("nearest is rule {}, but ", nearest.rule));
                }
                wrapped(INDENT, &differs)
            }
            None if told.reason == Some(DropReason::NoRule.name()) => {
                format!("{INDENT}there are no rules\n")
            }
            None => String::new(),
        };
    }
    text
}

fn stage(name: &str, line: &str) -> String {
    format!("{name:<11}{line}\n")
}

/// How it ends: the reason and what that means.
fn ending(told: &Explanation, style: Style) -> String {
    let known = DropReason::ALL.iter().find(|reason| Some(reason.name()) == told.reason);
    match known {
        Some(reason) => {
            let meaning = reason.meaning();
            let meaning = meaning.split_once(": ").map_or(meaning, |(_, meaning)| meaning);
            style.paint(Paint::Loss, &format!("drops it as {}: {meaning}", reason.name()))
        }
        None => "punts it to the slow path".into(),
    }
}

fn rule_lines(rule: &RuleVerdict) -> String {
    let mut text = stage("classify", &format!("rule {}", rule.name));
    let because = rule.because.iter().map(|field| {
        let (label, Field { found, allowed, .. }) = (field.label(), field);
        match allowed.as_str() {
            "any" => format!("any {label}"),
            exact if exact == found => format!("{label} {found}"),
            _ => format!("{label} {found} is in {allowed}"),
        }
    });
    text += &wrapped(INDENT, &because.collect::<Vec<_>>());
    if !rule.also.is_empty() {
        let _ = writeln!(text, "{INDENT}less specific, so passed over: {}", rule.also.join(", "));
    }
    text += &stage(
        "flow",
        match rule.flow {
            "row" => "that of this destination and UDP port",
            "source" => "that of this source",
            _ => "that of the whole rule",
        },
    );
    text += &stage(
        "police",
        &match (rule.police_rate, rule.police_burst) {
            (Some(rate), Some(burst)) => {
                format!("passes up to {}, {} at once", show_rate(rate), show_bytes(burst))
            }
            _ => "passes: the rule has no limit".into(),
        },
    );
    let late = match rule.late {
        "drop" => "dropped",
        _ => "sent and counted",
    };
    let line = format!(
        "class {}, to be sent within {}; what is late is {late}",
        rule.class,
        span(rule.budget_ns)
    );
    text + &stage("schedule", &line)
}

fn outputs(told: &Explanation, style: Style) -> String {
    let copies = told.outputs.iter().filter(|output| output.copy.is_some()).count();
    let s = if told.outputs.len() == 1 { "" } else { "s" };
    let line = format!("{} output{s}, {copies} with a copy", told.outputs.len());
    let paint = if copies == 0 { Paint::Loss } else { Paint::Plain };
    let mut text = stage("fan-out", &style.paint(paint, &line));
    let mut grid = Grid::default();
    for output in &told.outputs {
        let name = Cell::left(format!("  {}", output.name));
        let port = Cell::left(&output.port);
        match &output.copy {
            Some(copy) => {
                grid.row([name, port, Cell::left(addresses(copy)), Cell::left(rest(copy, output))])
            }
            None => {
                let reason = output.reason.unwrap_or("none");
                let why = output.why.as_deref().unwrap_or("fan-out made none");
                // To be passed over is no loss.
                let paint = match reason {
                    "not_selected" => Paint::Plain,
                    _ => Paint::Loss,
                };
                let none = Cell::left("no copy").paint(paint);
                let why = Cell::left(format!("{reason}: {why}")).paint(paint);
                grid.row([name, port, none, why]);
            }
        }
    }
    text += &grid.render(style);
    text
}

fn addresses(copy: &CopyHeaders) -> String {
    format!("{} > {}", copy.source, copy.destination)
}

fn rest(copy: &CopyHeaders, output: &OutputVerdict) -> String {
    let tags = match &copy.vlan[..] {
        [] => vlan(0),
        ids => format!("VLAN {}", ids.iter().map(u16::to_string).collect::<Vec<_>>().join("/")),
    };
    let sample = match output.sample {
        1 => String::new(),
        every => format!(", one in {every}"),
    };
    let to = match output.next_hop {
        Some(hop) => format!("the MAC of {hop}"),
        None => copy.mac.clone(),
    };
    format!("{tags}, TTL {}, DSCP {}, to {to}{sample}", copy.ttl, copy.dscp)
}
