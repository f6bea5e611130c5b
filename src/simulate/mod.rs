//! Simulation in virtual time: what a configuration does with traffic, before anyone deploys it.
//!
//! The stages and the worker's turn are those of a real run; ports, wires, the CPU and the clock
//! are made up. Nothing reads the host's clock, and everything random follows from a seed, so that
//! a scenario has one outcome.
//!
//! ```text
//! Request (the command line's) -> Scenario (configuration, traffic, costs, faults)
//!     -> world (one worker, turn by turn) -> Outcome -> table, json, picture
//! ```

mod scenario;
mod frames;
mod loads;
mod model;
mod capture;
mod inputs;
mod watch;
mod world;
mod outcome;
mod request;
pub mod shares;
mod fairness;
pub mod plot;
mod picture;
pub mod table;
pub mod json;

pub use capture::CaptureError;
pub use fairness::{ClassShares, PortShares, shares};
pub use inputs::SimulateError;
pub use loads::Resource;
pub use model::Model;
pub use outcome::{
    BreakerAlert, BreakerChange, Outcome, OutputOutcome, PortOutcome, PressureChange, RuleOutcome,
};
pub use picture::of as picture;
pub use request::{Load, Request, RequestError, Simulation, TrafficSource, simulate};
pub use scenario::{
    COPIES_MAX, LINK, NANOS_PER_COPY, NANOS_PER_PACKET, Offer, PACKETS_MAX, RX_DESCRIPTORS, Replay,
    SIZES, SPAN_MAX, Scenario, TX_DESCRIPTORS,
};
