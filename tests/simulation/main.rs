//! The worker in virtual time: the same stages and turn, on made-up ports, under load and faults.

mod harness;
mod worlds;
mod faults;
mod drr;
mod edf;
mod cpu;
mod tables;
mod binary;
mod link;
mod blocked;
mod shaper;
mod memory;
mod recovery;
mod any_faults;
