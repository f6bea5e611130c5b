//! Management: what happens beside the packet's way, off the workers' cores.
//!
//! It reads the workers' published counters and never touches a queue of theirs; it may read the
//! wall clock, allocate and write to the terminal.

pub mod wall;
pub mod text;
pub mod run;
pub mod breaker;
pub mod slow_path;
pub mod alerts;
pub mod reload;
pub mod groups;
pub mod neighbours;
pub mod nearest;
pub mod unmatched;
pub mod report;
pub mod view;
pub mod capture;
pub mod control;
pub mod metrics;
pub mod placement;
#[cfg(feature = "dpdk")]
mod crew;
#[cfg(feature = "dpdk")]
pub mod interfaces;
#[cfg(feature = "dpdk")]
pub mod engine;
#[cfg(feature = "dpdk")]
pub mod in_force;
#[cfg(feature = "dpdk")]
mod reloads;
#[cfg(feature = "dpdk")]
mod told;
pub mod pace;
#[cfg(feature = "dpdk")]
pub mod serve;
pub mod table;
pub mod show;
pub mod top;
pub mod live;
pub mod logs;
#[cfg(feature = "dpdk")]
pub mod notify;
pub mod check;
#[cfg(feature = "dpdk")]
pub mod probe;

#[cfg(test)]
mod fixture;
