//! The control socket: a running instance answers those who may ask.
//!
//! A service thread owns the socket, off the workers' CPUs. What it needs of the instance it asks
//! of management through a bounded mailbox, and management answers within its tick; what it does
//! with the answer costs nobody else. `docs/control.md` tells the protocol.
//!
//! ```text
//! protocol    frames, requests, answers
//! place       where the socket is, and whose
//! connection  one client: its frame, its answer, its deadline
//! stream      a capture on its way to a client
//! service     the thread; the mailbox
//! client      finds an instance and asks it
//! ```

mod protocol;
mod place;
mod connection;
mod stream;
mod service;
mod client;

pub use client::{Client, ClientError, Which};
pub use place::{Place, PlaceError};
pub use protocol::{
    Captured, Capturing, Command, Ended, Planned, REQUEST_BYTES_MAX, Refusal, Reloaded, Shown,
    Stopped, Timed, VERSION, Who, code,
};
pub use service::{CONNECTIONS_MAX, Order, PATIENCE, Service, on_cpus};

#[cfg(test)]
pub(in crate::manage) mod tests;
