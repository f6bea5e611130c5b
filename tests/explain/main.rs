//! `punctual explain`: kept texts from the real binary, and its word against a worker's deed.

#[path = "../frames/mod.rs"]
mod frames;
#[path = "../way/site.rs"]
#[allow(dead_code, reason = "other tests use what these do not")]
mod site;

mod binary;
mod worker;
