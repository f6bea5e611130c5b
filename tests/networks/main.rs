//! Real networks: the real binary in a network namespace, veth pairs, and the kernel's own senders
//! and receivers around it.

#![allow(clippy::disallowed_methods, reason = "a wait for another process has an end")]

#[path = "../common/binary.rs"]
mod binary;
#[path = "../common/mod.rs"]
mod common;
#[path = "../common/netns.rs"]
mod netns;
#[path = "../frames/mod.rs"]
mod frames;
#[path = "../common/raw.rs"]
mod raw;

mod harness;

fn main() -> std::process::ExitCode {
    common::run(&common::cases![
        harness::the_kernel_judges_checksums_and_shows_tags,
        harness::an_offloaded_checksum_is_not_finished,
        harness::a_program_in_a_namespace_relays_between_two_others,
        harness::a_network_is_gone_after_a_panic,
    ])
}
