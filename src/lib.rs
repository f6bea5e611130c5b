//! Punctual: delivers UDP streams on time, to everyone, and accounts for every packet.
//!
//! ```text
//!             worker lcore (shares nothing)
//! rx -> parse -> classify -> police -> ingress DRR -> EDF -> fan-out -> egress DRR -> tx
//!             every early end is a drop reason with its own counter (the ledger)
//! ```

#![deny(unsafe_code)]

pub mod packet;
pub mod wire;
pub mod sched;
pub mod ledger;
pub mod capture;
pub mod stages;
pub mod worker;
pub mod plan;
pub mod config;
pub mod manage;
pub mod simulate;
pub mod explain;
pub mod cli;
pub mod testkit;
#[cfg(feature = "dpdk")]
pub mod dpdk;
