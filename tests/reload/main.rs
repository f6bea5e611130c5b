//! Reload with the real binary: under traffic that never pauses, with files that are wrong, with a
//! worker that stands still, and where the process is killed in the middle of it.
//!
//! `PUNCTUAL_LONG=1` asks for the long forms: 1,000 reloads and 100 kills.

#![allow(clippy::disallowed_methods, reason = "a wait for another process has an end")]

#[path = "../common/binary.rs"]
mod binary;
#[path = "../common/mod.rs"]
mod common;
#[path = "../frames/mod.rs"]
mod frames;
#[path = "../blocked_port/peer.rs"]
#[allow(dead_code)]
mod peer;
#[path = "../blocked_port/relay.rs"]
#[allow(dead_code)]
mod relay;

mod site;
mod rules;
mod traffic;
mod thousand;
mod answers;
mod killed;
mod ports;

fn main() -> std::process::ExitCode {
    common::run(&common::cases![
        thousand::reloads_under_traffic_cost_no_packet,
        thousand::nor_do_they_with_two_workers,
        answers::what_is_wrong_is_told_with_its_place_and_all_goes_on,
        answers::who_asks_while_another_reload_is_under_way_is_served_behind_it,
        answers::a_worker_that_stands_still_is_told_and_takes_the_plan_up_later,
        ports::ports_come_under_traffic,
        ports::and_with_two_workers,
        ports::what_cannot_come_changes_nothing_and_can_come_later,
        ports::a_port_is_not_added_while_a_worker_stands_still,
        ports::the_next_start_has_the_ports_that_were_added,
        killed::the_next_start_works_whenever_the_last_was_killed,
    ])
}
