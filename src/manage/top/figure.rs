//! Numbers in at most five columns, cut off, never rounded up.

/// A count: `9999`, `12.3k`, `123k`, `1.23M`.
pub fn count(number: u64) -> String {
    if number < 10_000 {
        return number.to_string();
    }
    let (mut unit, mut names) = (1_000, "kMGTPE".chars());
    let mut name = names.next();
    while number / unit >= 1_000 {
        unit *= 1_000;
        name = names.next();
    }
    format!("{}{}", three_digits(number, unit), name.unwrap_or('?'))
}

/// Bits as Mbit: `0.12`, `12.3`, `9999`, `12.3k`.
pub fn mbit(bits: u64) -> String {
    const MBIT: u64 = 1_000_000;
    if bits < 1_000 * MBIT { three_digits(bits, MBIT) } else { count(bits / MBIT) }
}

/// Bits as Gbit: `12.34`.
pub fn gbit(bits: u64) -> String {
    let hundredths = bits / 10_000_000;
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

/// A part of a whole: `100%` only where it is all of it; `-` of nothing.
pub fn percent(permille: Option<u64>) -> String {
    match permille {
        None => "-".into(),
        Some(1_000..) => "100%".into(),
        Some(permille) => format!("{}.{}%", permille / 10, permille % 10),
    }
}

/// How many of a thousand `part` is of `whole`; none of nothing.
pub fn permille(part: u64, whole: u64) -> Option<u64> {
    let exact = (u128::from(part) * 1_000).checked_div(u128::from(whole))?;
    Some(u64::try_from(exact).unwrap_or(u64::MAX))
}

/// A span of time: `850ns`, `1.2ms`, `59s`, `3m`.
pub fn span(nanos: u64) -> String {
    const SECOND: u64 = 1_000_000_000;
    let (unit, name) = match nanos {
        0..1_000 => return format!("{nanos}ns"),
        1_000..1_000_000 => (1_000, "us"),
        1_000_000..SECOND => (1_000_000, "ms"),
        _ if nanos < 60 * SECOND => (SECOND, "s"),
        _ if nanos < 3_600 * SECOND => return format!("{}m", nanos / SECOND / 60),
        _ if nanos < 86_400 * SECOND => return format!("{}h", nanos / SECOND / 3_600),
        _ => return format!("{}d", nanos / SECOND / 86_400),
    };
    match nanos / unit {
        whole @ 10.. => format!("{whole}{name}"),
        whole => format!("{whole}.{}{name}", nanos % unit * 10 / unit),
    }
}

/// `value / unit` with three digits where they are needed, for less than a thousand units.
fn three_digits(value: u64, unit: u64) -> String {
    let (whole, rest) = (value / unit, value % unit);
    match whole {
        0..10 => format!("{whole}.{:02}", rest / (unit / 100)),
        10..100 => format!("{whole}.{}", rest / (unit / 10)),
        _ => whole.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_take_five_columns_at_most() {
        let shown = [0, 9_999, 10_000, 12_345, 999_999, 1_234_567, 99_999_999].map(count);
        assert_eq!(shown, ["0", "9999", "10.0k", "12.3k", "999k", "1.23M", "99.9M"]);
        assert_eq!(count(u64::MAX), "18.4E");
        for power in 0..=19 {
            assert!(count(10_u64.pow(power)).len() <= 5, "10^{power}");
        }
    }

    #[test]
    fn bits_are_mbit_and_gbit() {
        let shown = [0, 123_456, 12_345_678, 999_999_999, 1 << 30, 12_345_678_901].map(mbit);
        assert_eq!(shown, ["0.00", "0.12", "12.3", "999", "1073", "12.3k"]);
        assert_eq!(gbit(12_345_678_901), "12.34");
    }

    #[test]
    fn all_of_it_is_a_hundred_percent_and_nothing_less() {
        assert_eq!(percent(permille(999_999, 1_000_000)), "99.9%");
        assert_eq!(percent(permille(7, 7)), "100%");
        assert_eq!(percent(permille(0, 7)), "0.0%");
        assert_eq!(percent(permille(0, 0)), "-");
        assert_eq!(permille(u64::MAX, 1), Some(u64::MAX));
    }

    #[test]
    fn spans_take_five_columns_at_most() {
        const S: u64 = 1_000_000_000;
        let shown = [0, 999, 9_999, 10_999, 999_999, 1_250_000, 12 * S, 60 * S].map(span);
        assert_eq!(shown, ["0ns", "999ns", "9.9us", "10us", "999us", "1.2ms", "12s", "1m"]);
        assert_eq!([3_600 * S, u64::MAX].map(span), ["1h", "213503d"]);
    }
}
