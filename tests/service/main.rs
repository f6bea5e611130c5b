//! The real binary as a service: what the service manager, the log and those who look at alerts
//! are told. Each test has an instance, a notification socket and directories of its own.

#[path = "../common/binary.rs"]
mod binary;
#[path = "../common/mod.rs"]
mod common;
#[path = "../frames/mod.rs"]
mod frames;
#[allow(dead_code, reason = "the tests of the control socket need the rest")]
#[path = "../control/site.rs"]
mod site;

mod alerts;
mod log;
mod notify;
mod stalled;
mod unit;
