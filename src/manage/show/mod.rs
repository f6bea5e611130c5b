//! What `punctual show` shows: one part of a report, its rows in the order asked for.
//!
//! ```text
//! rows      a part of a report as rows, each with what was added since it was last looked at
//! tables    rows for people
//! network   those of groups and neighbours
//! latency   residence times: quantiles, and the text of HdrHistogram
//! baseline  the report that the caller began to count at
//! ```

mod rows;
mod tables;
mod network;
mod latency;
pub mod baseline;

pub use latency::{hgrm, latency};
pub use rows::{DropRow, OutputRow, Part, Row, SortError};
pub use tables::plan;

use std::time::Duration;

/// What is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum What {
    /// Where every packet and copy is, as equations
    Ledger,
    /// Each rule: packets, losses, residence times
    Rules,
    /// Each output of each rule
    Outputs,
    /// Each receiver: the sum of its outputs
    Receivers,
    /// Each port, with what its driver says
    Ports,
    /// Each worker
    Workers,
    /// Each class: the sum of its rules, residence times
    Classes,
    /// Every reason that something was dropped for
    Drops,
    /// Every pool of packet buffers
    Pools,
    /// The packets that no rule takes, and which rule they just miss
    Unmatched,
    /// The groups that are joined, who asks for them, and when they were reported
    Groups,
    /// The neighbours that unicast copies go to, their MACs and when they answered
    Neighbours,
    /// Residence times of each rule since the start
    Latency,
    /// What the operator should know, the newest last
    Alerts,
    /// The plan and every setting in force
    Plan,
}

/// The order of the rows, and how many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arrange {
    /// By this field, with dots into what is nested: numbers from the greatest, texts from a to z.
    pub sort: Option<String>,
    /// At most so many.
    pub top: Option<usize>,
}

/// So many a second, of a count that grew by `delta` in `elapsed`.
pub fn per_second(delta: u64, elapsed: Duration) -> u64 {
    let micros = elapsed.as_micros().max(1);
    u64::try_from(u128::from(delta) * 1_000_000 / micros).unwrap_or(u64::MAX)
}
