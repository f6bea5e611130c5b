//! DPDK: the other room with `unsafe`. Here EAL starts and stops, pools and ports are made, and an
//! mbuf becomes a [`Packet`](crate::packet::Packet); nothing outside knows what an mbuf is.
//!
//! Who keeps what alive: [`Pool`], [`Port`] and [`Worker`] hold the [`Eal`] they were made with,
//! queues hold their port. So EAL ends after the last of them. A packet handle holds nothing, to
//! stay one pointer; a pool that ends with packets outstanding therefore stays in memory, and EAL's
//! memory with it, until the process exits.

#![allow(unsafe_code)]

mod error;
mod log;
mod name_lock;
mod drivers;
mod eal;
mod device;
mod lcore;
mod clock;
mod mempool;
mod mbuf;
mod memif;
mod kernel;
mod bundler;
mod port_config;
mod port;
mod queue;
mod telemetry;
pub mod ring;

pub use clock::TscClock;
pub use device::missing_driver;
pub use drivers::check_modules;
pub use eal::{Eal, EalConfig, allowed_cpus};
pub use error::{DpdkError, Errno};
pub use lcore::{Worker, WorkerPanicked, launch, lcore_id};
pub use log::after as log_after;
pub use mbuf::Mbuf;
pub use mempool::{DEFAULT_CACHE, HEADROOM, Pool, PoolConfig};
pub use port::{LinkState, Port, PortStats};
pub use port_config::{PortConfig, RxQueues};
pub use queue::{DpdkRx, DpdkTx};
pub use telemetry::{Reply, Telemetry, Unanswered};

use crate::packet::Driver;

/// The driver that stands on DPDK.
#[derive(Clone, Copy, Debug)]
pub struct Dpdk;

impl Driver for Dpdk {
    type Packet = Mbuf;
    type Rx = DpdkRx;
    type Tx = DpdkTx;
    type Pool = Pool;
    type Clock = TscClock;
}

/// The version of the DPDK that was loaded, such as `DPDK 22.11.11`.
pub fn version() -> String {
    // SAFETY: `rte_version` returns a static, terminated text and needs no EAL.
    let text = unsafe { std::ffi::CStr::from_ptr(dpdk_sys::rte_version()) };
    text.to_string_lossy().into_owned()
}
