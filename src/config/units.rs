//! Units in strings: durations (`500us`), bytes (`64KiB`) and rates (`10Gbps`).
//!
//! Exact integer arithmetic: a text is a whole number of nanoseconds, bytes or bits a second, or
//! it is refused. What is shown reads back as the same value.

use std::fmt::Write as _;
use std::time::Duration;

/// Names of one unit family with their worth, smallest first.
type Units = &'static [(&'static str, u64)];

const DURATION: Units = &[("ns", 1), ("us", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000)];
const BYTES: Units = &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
const RATE: Units = &[
    ("bps", 1),
    ("kbps", 1_000),
    ("Mbps", 1_000_000),
    ("Gbps", 1_000_000_000),
    ("Tbps", 1_000_000_000_000),
];

const PACKET_RATE: Units =
    &[("ppm", 1), ("pps", 60), ("kpps", 60_000), ("Mpps", 60_000_000), ("Gpps", 60_000_000_000)];

/// Why a text is not a quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// It does not begin with a number.
    #[error("no number at the start")]
    NoNumber,
    /// A number without a unit.
    #[error("no unit; write one of {0}")]
    NoUnit(String),
    /// An unknown unit.
    #[error("unknown unit `{unit}`; write one of {known}")]
    UnknownUnit {
        /// What was found.
        unit: String,
        /// What is allowed.
        known: String,
    },
    /// A fraction of the smallest unit.
    #[error("not a whole number of {0}")]
    NotWhole(&'static str),
    /// Beyond 64 bits.
    #[error("too large")]
    TooLarge,
}

/// Nanoseconds of a text such as `500us` or `1.5ms`.
pub fn parse_duration(text: &str) -> Result<u64, UnitError> {
    parse(text, DURATION)
}

/// Bytes of a text such as `64KiB`.
pub fn parse_bytes(text: &str) -> Result<u64, UnitError> {
    parse(text, BYTES)
}

/// Bits a second of a text such as `2.5Mbps`.
pub fn parse_rate(text: &str) -> Result<u64, UnitError> {
    parse(text, RATE)
}

/// Packets a minute of a text such as `1pps` or `10ppm`.
pub fn parse_packet_rate(text: &str) -> Result<u64, UnitError> {
    parse(text, PACKET_RATE)
}

/// A duration as the configuration writes it.
pub fn show_duration(duration: Duration) -> String {
    show_nanos(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
}

/// Nanoseconds as the configuration writes them.
pub(super) fn show_nanos(nanos: u64) -> String {
    show(nanos, DURATION)
}

/// Bytes as the configuration writes them.
pub fn show_bytes(bytes: u64) -> String {
    show(bytes, BYTES)
}

/// Bits a second as the configuration writes them.
pub fn show_rate(bits: u64) -> String {
    show(bits, RATE)
}

/// Packets a minute as the configuration writes them.
pub fn show_packet_rate(packets: u64) -> String {
    show(packets, PACKET_RATE)
}

fn parse(text: &str, units: Units) -> Result<u64, UnitError> {
    let digits_end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (whole, rest) = text.split_at(digits_end);
    if whole.is_empty() {
        return Err(UnitError::NoNumber);
    }
    let (fraction, unit) = match rest.strip_prefix('.') {
        Some(rest) => {
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            if end == 0 {
                return Err(UnitError::NoNumber);
            }
            rest.split_at(end)
        }
        None => ("", rest),
    };
    let unit = unit.strip_prefix(' ').unwrap_or(unit);
    if unit.is_empty() {
        return Err(UnitError::NoUnit(names(units)));
    }
    let Some(&(_, worth)) = units.iter().find(|(name, _)| *name == unit) else {
        return Err(UnitError::UnknownUnit { unit: unit.to_owned(), known: names(units) });
    };
    scale(whole, fraction.trim_end_matches('0'), worth, units[0].0)
}

/// `whole.fraction x worth`, where that is a whole number.
fn scale(
    whole: &str,
    fraction: &str,
    worth: u64,
    smallest: &'static str,
) -> Result<u64, UnitError> {
    let not_whole = || UnitError::NotWhole(smallest);
    let whole: u64 = whole.parse().map_err(|_| UnitError::TooLarge)?;
    let whole = whole.checked_mul(worth).ok_or(UnitError::TooLarge)?;
    if fraction.is_empty() {
        return Ok(whole);
    }
    // Beyond 38 digits (the power overflows) nothing is a whole number of the smallest unit: no
    // worth has that many factors of ten, and trailing zeros are gone.
    let digits = u32::try_from(fraction.len()).map_err(|_| not_whole())?;
    let denominator = 10u128.checked_pow(digits).ok_or_else(not_whole)?;
    let numerator: u128 = fraction.parse().map_err(|_| not_whole())?;
    let product = numerator.checked_mul(u128::from(worth)).ok_or_else(not_whole)?;
    if !product.is_multiple_of(denominator) {
        return Err(not_whole());
    }
    let part = u64::try_from(product / denominator).map_err(|_| UnitError::TooLarge)?;
    whole.checked_add(part).ok_or(UnitError::TooLarge)
}

fn names(units: Units) -> String {
    let mut text = String::new();
    for (i, (name, _)) in units.iter().enumerate() {
        let _ = write!(text, "{}{name}", if i == 0 { "" } else { ", " });
    }
    text
}

/// The largest unit that leaves a whole number.
fn show(value: u64, units: Units) -> String {
    let (name, worth) = units
        .iter()
        .rev()
        .find(|(_, worth)| value.is_multiple_of(*worth) && value >= *worth)
        .unwrap_or(&units[0]);
    format!("{}{name}", value / worth)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn units_are_exact() {
        assert_eq!(parse_duration("500us"), Ok(500_000));
        assert_eq!(parse_duration("1.5ms"), Ok(1_500_000));
        assert_eq!(parse_duration("10 s"), Ok(10_000_000_000));
        assert_eq!(parse_duration("1.50ns"), Err(UnitError::NotWhole("ns")));
        assert_eq!(parse_bytes("64KiB"), Ok(65_536));
        assert_eq!(parse_bytes("0.5MiB"), Ok(524_288));
        assert_eq!(parse_bytes("0.0009765625KiB"), Ok(1));
        assert_eq!(parse_bytes("9000B"), Ok(9_000));
        assert_eq!(parse_rate("2.5Mbps"), Ok(2_500_000));
        assert_eq!(parse_rate("1kbps"), Ok(1_000));
        assert_eq!(parse_rate("0.0000001Tbps"), Ok(100_000));
        assert_eq!(parse_packet_rate("0.5pps"), Ok(30));
        assert_eq!(show_packet_rate(90), "90ppm");
    }

    #[test]
    fn what_is_no_quantity_says_why() {
        assert_eq!(parse_duration(""), Err(UnitError::NoNumber));
        assert_eq!(parse_duration("-1s"), Err(UnitError::NoNumber));
        assert_eq!(parse_duration("1.s"), Err(UnitError::NoNumber));
        assert!(matches!(parse_duration("10"), Err(UnitError::NoUnit(_))));
        assert!(matches!(parse_bytes("1KB"), Err(UnitError::UnknownUnit { .. })));
        assert_eq!(parse_rate("99999999999999999999bps"), Err(UnitError::TooLarge));
        assert_eq!(parse_duration("18446744074s"), Err(UnitError::TooLarge));
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(value: u64) {
            prop_assert_eq!(parse(&show(value, DURATION), DURATION), Ok(value));
            prop_assert_eq!(parse(&show(value, BYTES), BYTES), Ok(value));
            prop_assert_eq!(parse(&show(value, RATE), RATE), Ok(value));
            prop_assert_eq!(parse(&show(value, PACKET_RATE), PACKET_RATE), Ok(value));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,50}|[0-9.]{0,60}[a-zA-Z]{0,4}") {
            let _ = parse_duration(&text);
            let _ = parse_bytes(&text);
            let _ = parse_rate(&text);
        }
    }
}
