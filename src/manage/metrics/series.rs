//! How many series a configuration's metrics make, and how many it may.

use super::list;
use crate::config::{Class, Config, ConfigErrors, Detail, Loaded, Rule, joins, neighbours};

/// Most series where no detail is written: what any monitoring takes.
pub const DEFAULT_MAX: u64 = 10_000;
/// Most where it is.
pub const WRITTEN_MAX: u64 = 200_000;

/// A configuration has more series than it may.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "metrics would have up to {found} series; allowed: {allowed}{}; write {} under [management]",
    if *.is_written { "" } else { " where `detail` is not written" },
    choices(.by_detail)
)]
pub struct TooManySeries {
    found: u64,
    allowed: u64,
    is_written: bool,
    /// Those that are allowed, with their series.
    by_detail: Vec<(Detail, u64)>,
}

fn choices(by_detail: &[(Detail, u64)]) -> String {
    let choice = |(detail, series): &(Detail, u64)| {
        format!("`detail = \"{}\"` ({series} series)", detail.name())
    };
    match by_detail {
        [] => "`metrics = \"off\"`".into(),
        some => some.iter().map(choice).collect::<Vec<_>>().join(" or "),
    }
}

/// Most series that a configuration's metrics make, every reason for a drop included.
pub fn count(config: &Config, detail: Detail) -> u64 {
    let things = |place: &str| match place {
        "classes" => Class::ALL.len(),
        "rules" => config.rules.len(),
        "rules.outputs" => config.rules.iter().map(|rule| rule.outputs.len()).sum(),
        "receivers" => config.receivers.len(),
        "ports" => config.ports.len(),
        "groups" => config.rules.iter().map(|rule| joins(&rule.input, &config.ports).count()).sum(),
        "neighbours" => {
            let of = |rule: &Rule| -> usize {
                rule.outputs.iter().map(|output| neighbours(&rule.input, output).count()).sum()
            };
            config.rules.iter().map(of).sum()
        }
        // For each port one of linear copies and one of frames of our own, besides the two.
        "pools" => 2 * config.ports.len() + 2,
        _ => 1,
    };
    let told = list::all().into_iter().filter(|metric| metric.detail <= detail);
    told.map(|metric| metric.samples * things(metric.place) as u64).sum()
}

/// The detail of the metrics of a configuration that was just read.
///
/// # Errors
/// As [`check`], with the place.
pub fn check_loaded(loaded: &Loaded) -> Result<Detail, ConfigErrors> {
    let refuse =
        |error: TooManySeries| loaded.refuse_metrics("too many metrics", error.to_string());
    check(&loaded.config).map_err(refuse)
}

/// The detail of a configuration's metrics.
///
/// # Errors
/// Where that are more series than are allowed.
pub fn check(config: &Config) -> Result<Detail, TooManySeries> {
    let detail = config.detail.unwrap_or(Detail::Outputs);
    let allowed = if config.detail.is_some() { WRITTEN_MAX } else { DEFAULT_MAX };
    let found = count(config, detail);
    if config.metrics.is_none() || found <= allowed {
        return Ok(detail);
    }
    let all = Detail::ALL.into_iter().rev().map(|detail| (detail, count(config, detail)));
    let by_detail = all.filter(|(_, series)| *series <= WRITTEN_MAX).collect();
    Err(TooManySeries { found, allowed, is_written: config.detail.is_some(), by_detail })
}
