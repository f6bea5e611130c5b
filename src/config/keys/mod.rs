//! The one list of every key: its type, bounds, default and meaning.
//!
//! The reader takes bounds and defaults from here, unknown keys are compared with it, and the
//! tables of `docs/config.md` are generated from it; so they cannot disagree.

use std::fmt::Write as _;

mod rule;
mod site;
mod alerts;

pub use alerts::*;
pub use rule::*;
pub use site::*;

use super::units::{show_bytes, show_nanos, show_packet_rate, show_rate};

/// One table of the configuration.
#[derive(Debug)]
pub struct Section {
    /// How it is written, such as `[[port]]`.
    pub heading: &'static str,
    /// What it is for.
    pub about: &'static str,
    /// The keys it accepts.
    pub keys: &'static [Key],
    /// Keys of later versions: known, and refused.
    pub later: &'static [&'static str],
}

/// One key of a [`Section`].
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// As written.
    pub name: &'static str,
    /// What it accepts.
    pub kind: Kind,
    /// What holds where it is absent.
    pub preset: Preset,
    /// What it does.
    pub about: &'static str,
}

/// What a key accepts.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A whole number, both ends included.
    Integer(u64, u64),
    /// Nanoseconds with a unit, both ends included.
    Duration(u64, u64),
    /// Bytes: a number, or a string with a unit; both ends included.
    Bytes(u64, u64),
    /// Bits a second with a unit, both ends included.
    Rate(u64, u64),
    /// Packets a minute with a unit, both ends included.
    PacketRate(u64, u64),
    /// `true` or `false`.
    Flag,
    /// One of these strings.
    Choice(&'static [&'static str]),
    /// A name of up to so many letters, digits, `_`, `-`, and `.` where true.
    Name(usize, bool),
    /// Anything else: its type, and what is allowed.
    Other(&'static str, &'static str),
    /// A table, or an array of tables, described under this heading.
    Table(&'static str),
}

/// What holds where a key is absent.
#[derive(Clone, Copy, Debug)]
pub enum Preset {
    /// The key must be there.
    Required,
    /// This value, read as if it were written.
    Is(&'static str),
    /// Told in words.
    Told(&'static str),
}

impl Key {
    /// Whether it must be there.
    pub fn is_required(&self) -> bool {
        matches!(self.preset, Preset::Required)
    }
}

impl Kind {
    /// The type, in a word or two.
    pub fn type_name(self) -> &'static str {
        match self {
            Self::Integer(..) => "integer",
            Self::Duration(..) => "duration",
            Self::Bytes(..) => "bytes",
            Self::Rate(..) | Self::PacketRate(..) => "rate",
            Self::Flag => "boolean",
            Self::Choice(_) | Self::Name(..) => "string",
            Self::Other(name, _) => name,
            Self::Table(_) => "table",
        }
    }

    /// The bounds of a number, both ends included.
    pub fn bounds(self) -> (u64, u64) {
        match self {
            Self::Integer(min, max)
            | Self::Duration(min, max)
            | Self::Bytes(min, max)
            | Self::Rate(min, max)
            | Self::PacketRate(min, max) => (min, max),
            _ => (0, u64::MAX),
        }
    }

    /// Whether a number is within the bounds.
    pub fn allows(self, value: u64) -> bool {
        let (min, max) = self.bounds();
        (min..=max).contains(&value)
    }

    /// What is allowed, in words.
    pub fn allowed(self) -> String {
        match self {
            Self::Integer(min, max) if min == max => min.to_string(),
            Self::Integer(min, max) => format!("{min} to {max}"),
            Self::Duration(min, max) => format!("{} to {}", show_nanos(min), show_nanos(max)),
            Self::Bytes(min, max) => format!("{} to {}", show_bytes(min), show_bytes(max)),
            Self::Rate(min, max) => format!("{} to {}", show_rate(min), show_rate(max)),
            Self::PacketRate(min, max) => {
                format!("{} to {}", show_packet_rate(min), show_packet_rate(max))
            }
            Self::Flag => "true, false".to_owned(),
            Self::Choice(choices) => {
                let mut text = String::new();
                for (i, choice) in choices.iter().enumerate() {
                    let _ = write!(text, "{}\"{choice}\"", if i == 0 { "" } else { ", " });
                }
                text
            }
            Self::Name(max, dot) => {
                let dot = if dot { ", `.`" } else { "" };
                format!("1 to {max} letters, digits, `_`, `-`{dot}")
            }
            Self::Other(_, allowed) => allowed.to_owned(),
            Self::Table(heading) => format!("a table: {heading}"),
        }
    }
}

const fn key(name: &'static str, kind: Kind, preset: Preset, about: &'static str) -> Key {
    Key { name, kind, preset, about }
}

const SECOND: u64 = 1_000_000_000;

const NAME: Kind = Kind::Name(64, true);

/// Every section, in the order of the reference.
pub static SECTIONS: [&Section; 29] = [
    &TOP,
    &INCLUDED,
    &INSTANCE,
    &EAL,
    &LCORES,
    &MEMORY,
    &PORT,
    &ROUTE,
    &NEIGHBOUR,
    &CLASSES,
    &CLASS,
    &RECEIVER,
    &RULE,
    &INPUT,
    &OUTPUT,
    &BALANCE,
    &POLICE,
    &QUEUE,
    &EXPECT,
    &DEFAULTS,
    &DEFAULT_RULE,
    &DEFAULT_RECEIVER,
    &DEFAULT_OUTPUT,
    &EDF,
    &FANOUT,
    &LIMITS,
    &ALERTS,
    &THRESHOLD,
    &MANAGEMENT,
];

#[cfg(test)]
mod tests {
    use super::super::reader::{preset_choice, preset_number};
    use super::*;

    #[test]
    fn every_key_is_told_apart_and_every_default_reads_back() {
        for section in SECTIONS {
            for (i, key) in section.keys.iter().enumerate() {
                assert!(section.keys[..i].iter().all(|k| k.name != key.name), "{}", key.name);
                assert!(!section.later.contains(&key.name), "{}", key.name);
                if let Preset::Is(text) = key.preset {
                    match key.kind {
                        Kind::Choice(choices) => {
                            assert_eq!(preset_choice(key, choices), text);
                        }
                        Kind::Flag => assert!(["true", "false"].contains(&text)),
                        Kind::Name(..) | Kind::Other(..) => {}
                        _ => assert!(key.kind.allows(preset_number(key)), "{}", key.name),
                    }
                }
            }
        }
    }

    #[test]
    fn the_whole_configuration_names_every_key() {
        let whole = include_str!("../../../tests/whole.toml");
        let words: Vec<_> = whole.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
        for key in SECTIONS.iter().flat_map(|s| s.keys) {
            assert!(words.contains(&key.name), "tests/whole.toml has no `{}`", key.name);
        }
    }
}
