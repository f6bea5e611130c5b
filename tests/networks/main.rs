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
#[path = "../common/relay.rs"]
mod relay;

mod added;
mod balanced;
mod bundles;
mod flooded;
mod forged;
mod fragments;
mod harness;
mod idle;
mod links;
mod loops;
mod neighbours;
mod probe;
mod relayed;
mod site;
mod slow_path;
mod taps;

fn main() -> std::process::ExitCode {
    common::run(&common::cases![
        harness::the_kernel_judges_checksums_and_shows_tags,
        harness::an_offloaded_checksum_is_not_finished,
        harness::a_program_in_a_namespace_relays_between_two_others,
        harness::a_case_that_is_killed_leaves_nothing_behind,
        _ harness::hangs,
        harness::a_network_is_gone_after_a_panic,
        relayed::to_one_over_af_packet,
        relayed::to_four_over_af_packet,
        relayed::to_sixteen_over_af_packet,
        relayed::to_one_over_af_xdp,
        relayed::to_four_over_af_xdp,
        relayed::to_sixteen_over_af_xdp,
        relayed::tags_over_af_packet,
        relayed::tags_over_af_xdp,
        relayed::the_smaller_mtu_holds_over_af_packet,
        relayed::the_smaller_mtu_holds_over_af_xdp,
        relayed::an_interface_is_promiscuous_as_long_as_a_rule_takes_unicast,
        bundles::every_datagram_arrives_over_af_packet,
        bundles::every_datagram_arrives_over_af_xdp,
        bundles::a_checksum_stays_what_it_is,
        bundles::a_kernel_that_refuses_bundles_gets_each_by_itself,
        fragments::over_af_xdp,
        probe::a_probe_says_what_is_wrong_and_disturbs_nobody,
        idle::a_worker_sleeps_over_af_packet,
        idle::a_worker_sleeps_over_af_xdp,
        links::a_hundred_flaps_over_af_packet,
        links::a_hundred_flaps_over_af_xdp,
        links::a_hundred_flaps_in_bundles,
        slow_path::a_kernel_finds_and_pings_the_port,
        neighbours::a_receiver_that_comes_late_gets_its_stream,
        neighbours::a_receiver_that_vanishes_costs_the_others_nothing,
        balanced::a_host_that_vanishes_hands_over_its_share,
        neighbours::what_is_not_on_the_link_goes_by_way_of_a_router,
        neighbours::liars_and_floods_change_nothing,
        neighbours::a_receiver_that_refuses_is_told_of,
        slow_path::a_kernel_finds_and_pings_the_port_of_two_workers,
        taps::the_kernel_sends_and_receives_by_taps,
        flooded::one_worker_over_af_packet,
        flooded::two_workers_over_af_xdp,
        loops::an_address_of_ours_ends_a_loop,
        loops::a_ttl_that_is_decremented_ends_a_loop,
        added::over_af_packet,
        added::over_af_xdp,
    ])
}
