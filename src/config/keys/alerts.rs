//! Keys of `[alerts]`, one for each kind of alert, and of a threshold.

use super::{Key, Kind, Preset, Section, key};
use crate::config::alert_kind::AlertKind;

/// `[alerts]`.
pub static ALERTS: Section = Section {
    heading: "[alerts]",
    about: "From where on there is an alert. A drop reason counts packets or copies a second.",
    keys: &KEYS,
    later: &[],
};

static KEYS: [Key; AlertKind::COUNT] = {
    let mut keys = [of(AlertKind::Missed); AlertKind::COUNT];
    let mut i = 0;
    while i < keys.len() {
        keys[i] = of(AlertKind::ALL[i]);
        i += 1;
    }
    keys
};

const fn of(kind: AlertKind) -> Key {
    let preset = match kind {
        AlertKind::Pool => Preset::Told("{ info = 80, warning = 90 }"),
        _ if kind.is_switch() => Preset::Is("on"),
        _ => Preset::Told("{ info = 1, warning = 10 }"),
    };
    key(kind.name(), kind.accepts(), preset, kind.meaning())
}

/// A threshold of `[alerts]`.
pub static THRESHOLD: Section = Section {
    heading: "threshold",
    about: "The table form of a key of `[alerts]`; what is absent keeps its default. An alert ends \
            when it has been below for 3 s.",
    keys: &[
        key(
            "info",
            Kind::Integer(1, 1 << 40),
            Preset::Told("the key's"),
            "from this on it is information; at most one above `warning`",
        ),
        key(
            "warning",
            Kind::Integer(0, 1 << 40),
            Preset::Told("the key's"),
            "above this it is a warning",
        ),
    ],
    later: &[],
};
