//! The tables of the reference, generated from the key list.

use std::fmt::Write as _;

use super::keys::{Key, Kind, Preset, SECTIONS, Section};

/// Every section and key as Markdown: type, default, what is allowed, when it applies.
pub fn reference() -> String {
    let mut text = String::new();
    for section in SECTIONS {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "### `{}`\n\n{}\n", section.heading, section.about);
        let _ = writeln!(text, "| key | type | default | allowed | applies | what it does |");
        let _ = writeln!(text, "|---|---|---|---|---|---|");
        for key in section.keys {
            let _ = writeln!(text, "{}", row(section, key));
        }
        if !section.later.is_empty() {
            let later: Vec<_> = section.later.iter().map(|k| format!("`{k}`")).collect();
            let _ = writeln!(
                text,
                "\nNot available in this version, and refused: {}.",
                later.join(", ")
            );
        }
        text.push('\n');
    }
    text
}

/// Keys of a port that do not change while it is open.
const PORT_FIXED: [&str; 7] = ["name", "device", "driver", "mtu", "rx", "rx_queues", "bundle"];

/// When a changed key applies: `reload` while packets move, or with the next start.
fn applies(section: &Section, key: &Key) -> &'static str {
    let fixed = match (section.heading, key.kind) {
        // What a table holds applies by its own keys.
        (_, Kind::Table(_)) => return "",
        ("top level", _) => ["clock", "idle"].contains(&key.name),
        ("[[port]]", _) => PORT_FIXED.contains(&key.name),
        (heading, _) => ["[instance]", "[eal]", "lcores", "[memory]", "[limits]", "[management]"]
            .contains(&heading),
    };
    if fixed { "start" } else { "reload" }
}

fn row(section: &Section, key: &Key) -> String {
    let default = match key.preset {
        Preset::Required => "**required**".to_owned(),
        Preset::Is(value) => match key.kind {
            Kind::Integer(..) | Kind::Flag => value.to_owned(),
            _ => format!("\"{value}\""),
        },
        Preset::Told(words) => words.to_owned(),
    };
    let (kind, allowed) = (key.kind.type_name(), key.kind.allowed());
    format!(
        "| `{}` | {kind} | {default} | {allowed} | {} | {} |",
        key.name,
        applies(section, key),
        key.about
    )
}
