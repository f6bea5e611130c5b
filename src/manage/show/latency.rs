//! The residence times of rules: quantiles for people, and the percentile text of HdrHistogram.

use std::fmt::Write as _;

use crate::manage::report::Distribution;
use crate::manage::text::{Cell, Grid, Style, grouped, span};
use crate::manage::view::RuleLatency;

/// Steps of the percentile text for each halving of what is left to 100 %: as HdrHistogram's own.
const STEPS: u32 = 5;
/// Buckets of a histogram of three digits in each of its powers of two, as HdrHistogram tells it.
const SUB_BUCKETS: u32 = 2_048;

/// Quantiles of each rule, a row each.
pub fn latency(rules: &[RuleLatency], style: Style) -> String {
    let quantiles =
        [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999)];
    let head = [Cell::left("rule"), Cell::left("class"), Cell::right("copies")];
    let names = quantiles.iter().map(|(name, _)| Cell::right(*name));
    let mut grid = Grid::new(head.into_iter().chain(names).chain([Cell::right("max")]));
    for RuleLatency { rule, class, times } in rules {
        let histogram = times.histogram();
        let row = [Cell::left(rule), Cell::left(class), Cell::right(grouped(histogram.len()))];
        let values = quantiles.map(|(_, q)| histogram.value_at_quantile(q).min(times.max));
        let values = values.into_iter().chain([times.max]).map(|nanos| Cell::right(span(nanos)));
        grid.row(row.into_iter().chain(values));
    }
    grid.render(style)
}

/// The percentile text of HdrHistogram (`.hgrm`), in microseconds, as its plotters read it.
pub fn hgrm(times: &Distribution) -> String {
    let histogram = times.histogram();
    let micros = |nanos: f64| nanos / 1_000.0;
    let mut out = String::new();
    let mut line = |text: std::fmt::Arguments<'_>| {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{text}");
    };
    let head = ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"];
    line(format_args!("{:>12} {:>14} {:>10} {:>14}\n", head[0], head[1], head[2], head[3]));
    let mut total = 0;
    for step in histogram.iter_quantiles(STEPS) {
        total += step.count_since_last_iteration();
        let value = micros(step.value_iterated_to().min(times.max) as f64);
        let quantile = step.quantile_iterated_to();
        match 1.0 / (1.0 - quantile) {
            rest if rest.is_finite() => {
                line(format_args!("{value:12.3} {quantile:.12} {total:10} {rest:14.2}"));
            }
            _ => line(format_args!("{value:12.3} {quantile:.12} {total:10}")),
        }
    }
    let (mean, deviation) = (micros(histogram.mean()), micros(histogram.stdev()));
    line(format_args!("#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]"));
    let (max, count) = (micros(times.max as f64), histogram.len());
    line(format_args!("#[Max     = {max:12.3}, Total count    = {count:12}]"));
    let buckets = histogram.buckets();
    line(format_args!("#[Buckets = {buckets:12}, SubBuckets     = {SUB_BUCKETS:12}]"));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manage::fixture::assert_golden;

    fn some() -> Distribution {
        let buckets = vec![(1_000, 500), (2_000, 400), (10_000, 90), (100_000, 9), (260_000, 1)];
        Distribution { buckets, max: 250_000 }
    }

    #[test]
    fn the_percentile_text_is_as_reviewed() {
        assert_golden("latency.hgrm", &hgrm(&some()));
    }

    #[test]
    fn the_percentile_text_ends_at_all_of_them_and_the_longest() {
        let text = hgrm(&some());
        let rows: Vec<Vec<f64>> = text
            .lines()
            .skip(2)
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.split_whitespace().map(|word| word.parse().unwrap()).collect())
            .collect();
        assert!(rows.windows(2).all(|pair| pair[0][0] <= pair[1][0] && pair[0][1] <= pair[1][1]));
        assert_eq!(rows.last().unwrap(), &[250.0, 1.0, 1_000.0]);
        let median = rows.iter().find(|row| row[1] >= 0.5).unwrap();
        assert_eq!((median[0], median[2]), (1.0, 500.0));
        assert!(text.contains("Total count    =         1000]"), "{text}");
    }

    #[test]
    fn nothing_measured_is_a_text_without_rows() {
        let text = hgrm(&Distribution::default());
        assert_eq!(text.lines().filter(|line| line.starts_with('#')).count(), 3);
        assert!(!text.contains("NaN"), "{text}");
    }

    #[test]
    fn the_table_has_a_row_a_rule() {
        let rule =
            |name: &str, times| RuleLatency { rule: name.into(), class: "high".into(), times };
        let text = latency(&[rule("a", some()), rule("b", Distribution::default())], Style::PLAIN);
        let rows: Vec<&str> = text.lines().collect();
        assert_eq!(rows.len(), 3, "{text}");
        for part in ["1,000", "1.0 us", "10.0 us", "250.0 us"] {
            assert!(rows[1].contains(part), "{part}: {text}");
        }
    }
}
