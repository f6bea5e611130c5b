//! Group membership through the real binary: tcpdump reads what is said, and the kernel's bridge,
//! which snoops and asks, is the switch and the querier.

#![allow(clippy::disallowed_methods, reason = "a wait for another process has an end")]

#[path = "../common/binary.rs"]
mod binary;
#[path = "../common/mod.rs"]
mod common;
#[path = "../common/netns.rs"]
mod netns;
#[path = "../common/raw.rs"]
mod raw;
#[path = "../common/relay.rs"]
mod relay;

mod queries;
mod said;
mod switched;
mod flooded;

fn main() -> std::process::ExitCode {
    common::run(&common::cases![
        said::tcpdump_reads_all_that_is_said,
        said::queries_of_a_capture_are_answered,
        switched::members_stay_while_a_querier_asks,
        switched::a_reload_joins_and_leaves,
        switched::two_workers_join_and_leave,
        switched::an_unjoined_group_stays_outside,
        switched::a_wrong_source_is_kept_out_and_counted,
        flooded::absurd_queries_do_not_touch_the_streams,
    ])
}
