//! A running instance is asked: the real binary on both sides of its control socket. Each test has
//! a runtime directory and a state directory of its own, so that it finds its own instances only.

#[path = "../common/binary.rs"]
mod binary;
#[path = "../common/mod.rs"]
mod common;
#[path = "../frames/mod.rs"]
mod frames;

mod site;
mod show;
mod top;
mod stop;
mod strangers;
mod place;
mod metrics;
mod capture;
mod added;
mod telemetry;
mod truth;
mod readers;
mod large;
