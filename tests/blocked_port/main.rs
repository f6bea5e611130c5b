//! One blocked port costs the others nothing: the real binary, its ports on shared memory
//! (net_memif), and readers that stop, go on, read slowly, die and come back.

#![allow(clippy::disallowed_methods, reason = "a wait for another process has an end")]

#[path = "../common/binary.rs"]
mod binary;
#[path = "../common/mod.rs"]
mod common;
#[path = "../frames/mod.rs"]
mod frames;

mod blocked;
mod peer;
mod relay;
mod shared;
mod testpmd;

fn main() -> std::process::ExitCode {
    common::run(&common::cases![
        blocked::a_blocked_port_costs_the_other_nothing,
        blocked::a_blocked_port_costs_the_other_nothing_at_full_speed,
        blocked::its_breaker_opens_and_closes_when_it_reads_again,
        shared::outputs_of_one_port_get_their_weights_where_the_reader_is_slow,
        testpmd::a_killed_reader_opens_the_breaker_and_a_new_one_gets_the_stream,
    ])
}
