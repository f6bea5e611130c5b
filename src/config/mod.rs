//! Configuration: one TOML file (and its includes) -> validated [`Config`] -> plan.
//!
//! [`load`] reads and validates; what it returns can be built into a plan without further
//! questions about single values. Every mistake of all files is reported in one run.

mod types;

pub use types::*;
