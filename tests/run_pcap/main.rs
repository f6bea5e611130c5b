//! The real binary between capture files: every packet, every byte, every number.

#[path = "../common/binary.rs"]
mod binary;
#[path = "../common/mod.rs"]
mod common;
#[path = "../frames/mod.rs"]
mod frames;

mod balance;
mod fragments;
mod golden;
mod relay;
mod rules;
