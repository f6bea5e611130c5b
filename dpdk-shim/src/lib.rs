//! DPDK as C says it: generated bindings, the shim over its inline functions, and the view of
//! `struct rte_mbuf`. Thin and without policy; what it means is in punctual's `dpdk` room.

#![allow(missing_docs)]

mod bindings;
mod mbuf;

pub use bindings::*;
pub use mbuf::rte_mbuf;

include!(concat!(env!("OUT_DIR"), "/linking.rs"));
