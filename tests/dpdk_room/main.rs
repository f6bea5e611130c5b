//! The DPDK room against DPDK itself: no NIC, no hugepages needed, a process per case.

#[path = "../common/mod.rs"]
mod common;
mod support;

mod eal;
mod packets;
mod ports;

fn main() -> std::process::ExitCode {
    common::run(&common::cases![
        eal::eal_leaves_nothing_behind,
        eal::eal_starts_once_in_a_process,
        eal::a_busy_name_is_refused_and_harms_nobody,
        eal::a_killed_process_frees_its_name,
        eal::another_program_keeps_its_directory,
        eal::a_failed_start_says_why_and_tidies_up,
        eal::in_memory_starts_or_is_explained,
        eal::hugepages_start_or_are_explained,
        eal::workers_return_and_panic_apart,
        eal::outstanding_packets_survive_their_pool,
        packets::too_little_memory_names_the_pool,
        packets::memory_needed_is_enough_and_not_much_more,
        packets::a_dry_pool_gives_what_it_has,
        packets::copies_share_one_payload,
        packets::share_of_nothing_but_header,
        packets::share_of_a_chain_skips_the_empty_segment,
        packets::a_payload_goes_behind_fresh_headers,
        packets::truncate_frees_what_it_cuts,
        packets::the_front_grows_and_shrinks,
        packets::copy_tail_needs_room,
        packets::queues_link_through_the_metadata,
        ports::errors_name_the_thing,
        ports::pcap_in_pcap_out,
        ports::a_jumbo_frame_spans_segments,
        ports::a_port_has_one_handle_per_queue,
        ports::strangers_are_refused,
        ports::refused_packets_stay_in_order,
        ports::memif_ports_end_in_any_order,
        // Second processes of the cases above.
        _ eal::hold_a_name,
        _ eal::hold_eal_config,
    ])
}
