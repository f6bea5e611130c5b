//! Metrics for people who run it: the report's numbers as OpenMetrics over HTTP, and health.
//!
//! A service thread answers, off the workers' CPUs. Management hands it a view in its tick; the
//! text is made here. `docs/metrics.md` lists all of it.
//!
//! ```text
//! metric      what a metric is
//! list        the one list of them
//! text        a report -> OpenMetrics
//! series      how many there will be, and how many there may be
//! documents   the list -> docs/metrics.md and config/grafana.json
//! connection  one HTTP client: its request, its answer, its deadline
//! service     the thread
//! ```

mod metric;
mod list;
mod text;
mod series;
mod documents;
mod connection;
mod service;

pub use documents::{dashboard, reference};
pub use series::{TooManySeries, check};
pub use service::{CONNECTIONS_MAX, Http};

#[cfg(test)]
mod tests;
#[cfg(test)]
mod http_tests;
