//! Pure algorithms: no DPDK, no clock, no allocation after `new`. Time and lengths are arguments.

mod links;

pub use links::{Front, Link, Linked, Node, Queue};
