//! Simulation in virtual time: what a configuration does with traffic, before anyone deploys it.
//!
//! The stages and the worker's turn are those of a real run; ports, wires, the CPU and the clock
//! are made up. Nothing reads the host's clock, and everything random follows from a seed, so that
//! a scenario has one outcome.
//!
//! ```text
//! Scenario (configuration, traffic, costs, faults) -> world (one worker, turn by turn) -> Outcome
//! ```

mod scenario;
mod frames;
mod loads;
mod inputs;
mod world;
mod outcome;
pub mod shares;
pub mod plot;

pub use inputs::SimulateError;
pub use loads::Resource;
pub use outcome::{BreakerChange, Outcome, OutputOutcome, PortOutcome, RuleOutcome};
pub use scenario::{
    LINK, NANOS_PER_COPY, NANOS_PER_PACKET, Offer, PACKETS_MAX, RX_DESCRIPTORS, Replay, SIZES,
    SPAN_MAX, Scenario, TX_DESCRIPTORS,
};
