//! Pure algorithms: no DPDK, no clock, no allocation after `new`. Time and lengths are arguments.

mod links;
mod token_bucket;
mod pressure;
mod drr;
mod edf;
mod rendezvous;

pub use drr::{Drr, MemberSettings};
pub use edf::{EarliestDeadline, HORIZON_BUDGETS};
pub use links::{Front, Link, Linked, Node, Queue};
pub use pressure::Pressure;
pub use rendezvous::{Contender, key_of, rendezvous};
pub use token_bucket::{BucketRate, TokenBucket};
