//! Metrics for people who run it: the report's numbers as OpenMetrics over HTTP, and health; the
//! same numbers on DPDK's telemetry socket.
//!
//! A service thread answers HTTP, off the workers' CPUs, and DPDK's threads its own socket.
//! Management hands them a view in its tick; the text is made here. `docs/metrics.md` lists all
//! of it.
//!
//! ```text
//! metric      what a metric is
//! list        the one list of them
//! text        a report -> OpenMetrics
//! series      how many there will be, and how many there may be
//! documents   the list -> docs/metrics.md and config/grafana.json
//! connection  one HTTP client: its request, its answer, its deadline
//! service     the thread
//! telemetry   a report -> the answers on DPDK's socket
//! socket      those who ask there
//! ```

mod metric;
mod list;
mod text;
mod series;
mod documents;
mod connection;
mod service;
mod telemetry;
#[cfg(feature = "dpdk")]
mod socket;

pub use documents::{dashboard, reference};
pub use list::counters;
pub use series::{TooManySeries, check, check_loaded};
pub use service::{CONNECTIONS_MAX, Http};
#[cfg(feature = "dpdk")]
pub use socket::Telemetry;
pub use telemetry::{Answer, Value, answer};
pub use text::exposition;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod http_tests;
#[cfg(test)]
mod telemetry_tests;
