//! Durations on the command line: `500us`, `10s`.

use std::time::Duration;

/// A whole number and its unit.
pub fn parse(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, u64); 4] = [
        ("ns", 1),
        ("us", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
    ];
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let worth = UNITS.iter().find(|(name, _)| *name == unit);
    let Some((_, worth)) = worth.filter(|_| !number.is_empty()) else {
        return Err("write a number and one of ns, us, ms, s".into());
    };
    let number: Option<u64> = number.parse().ok();
    let nanos = number.and_then(|number| number.checked_mul(*worth));
    nanos.map(Duration::from_nanos).ok_or("too large".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_a_unit() {
        assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(parse("0ns"), Ok(Duration::ZERO));
        for wrong in ["", "10", "ms", "-1s", "1m", "1 h", "99999999999s", "1e3s"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
