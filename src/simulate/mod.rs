//! Simulation in virtual time: what a configuration does with traffic, before anyone deploys it.

pub mod shares;
pub mod plot;
