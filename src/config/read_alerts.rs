//! Reads `[alerts]` and `expect`.

use std::time::Duration;

use super::alert_kind::{AlertKind, AlertLimits, Threshold};
use super::keys;
use super::reader::{Node, Table};
use super::report::Diagnostic;
use super::tree::Value;
use super::types::Expect;
use super::units::show_duration;

/// Packets that a window must hold, so that one of them may come a little later.
const WINDOW_PACKETS_MIN: u128 = 2;
/// Nanoseconds of a minute.
const MINUTE: u128 = 60_000_000_000;

/// `[alerts]`.
pub(super) fn read_alerts(top: &Table<'_>) -> AlertLimits {
    let mut limits = AlertLimits::default();
    let Some(table) = top.table("alerts", &keys::ALERTS) else {
        return limits;
    };
    for kind in AlertKind::ALL {
        let Some(node) = table.peek(kind.name()) else {
            continue;
        };
        if kind.is_switch() {
            let on = table.choice(kind.name(), &[true, false]).is_none_or(|on| on.value);
            limits.set(kind, on.then_some(kind.preset()));
        } else {
            limits.set(kind, read_threshold(&table, kind, node));
        }
    }
    limits
}

/// `"off"`, or a table whose absent half keeps its default.
fn read_threshold(alerts: &Table<'_>, kind: AlertKind, node: Node<'_>) -> Option<Threshold> {
    match node.value {
        Value::String(text) if text == "off" => return None,
        Value::Table(_) => {}
        _ => {
            alerts.cx.wrong(alerts.key(kind.name()), node);
            return None;
        }
    }
    let table = Table::new(alerts.cx, &keys::THRESHOLD, node)?;
    let preset = kind.preset();
    let (info, warning) = (table.number("info"), table.number("warning"));
    let threshold = Threshold {
        // Where a warning comes early, information does not come later.
        info: info.map_or(preset.info.min(warning.map_or(u64::MAX, |w| w.value + 1)), |i| i.value),
        warning: warning.map_or(preset.warning.max(info.map_or(0, |i| i.value)), |w| w.value),
    };
    if threshold.info > threshold.warning + 1 {
        let Threshold { info, warning } = threshold;
        let message = format!("`info` is {info}, and from {} on it is a warning", warning + 1);
        let label = format!("allowed: at most {}", warning + 1);
        table.cx.report(Diagnostic::error(table.at, message).label(label));
    }
    Some(threshold)
}

/// `expect` of a rule.
pub(super) fn read_expect(table: &Table<'_>) -> Option<Expect> {
    let expect = table.table("expect", &keys::EXPECT)?;
    let (min, within) = (expect.number("min"), expect.number("within"));
    let (min, within) = (min?, within?);
    if u128::from(min.value) * u128::from(within.value) < WINDOW_PACKETS_MIN * MINUTE {
        let least = (WINDOW_PACKETS_MIN * MINUTE).div_ceil(u128::from(min.value));
        let least = Duration::from_nanos(u64::try_from(least).unwrap_or(u64::MAX));
        let message = "the window of `expect` holds less than two packets";
        let label = format!("allowed: at least {}, or a higher `min`", show_duration(least));
        expect.cx.report(Diagnostic::error(within.at, message).label(label));
    }
    Some(Expect { min: min.value, within: Duration::from_nanos(within.value) })
}
