//! Every counter, and who moves it.

use std::collections::BTreeSet;

use punctual::manage::metrics::counters;

use Mover::{Buffers, Groups, Kernel, Relay, Simulation, Worker, Workers};

/// A case of this test, in which a counter moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mover {
    /// `worker`: a worker on memory ports, and management on its counters.
    Worker,
    /// `workers`: two of them.
    Workers,
    /// `simulated`: the same with faults, in virtual time.
    Simulation,
    /// `relay`: the binary on capture files.
    Relay,
    /// `devices::buffers_that_a_driver_lacks`: the binary on a driver that finds no buffers.
    Buffers,
    /// `devices::frames_that_the_kernel_drops_or_refuses`: the binary on interfaces of the kernel.
    Kernel,
    /// `groups`: the binary on a capture with queries.
    Groups,
    /// None of them, and why.
    #[allow(dead_code, reason = "each has one at present")]
    Nobody(&'static str),
}

/// Names as `punctual::manage::metrics::counters` has them.
pub const MOVERS: &[(&str, Mover)] = &[
    ("punctual_report_schema", Relay),
    ("punctual_generation", Relay),
    ("punctual_uptime_seconds", Relay),
    ("punctual_unmatched_unseen_packets", Worker),
    ("punctual_alerts_active", Relay),
    ("punctual_ledger_offered_packets", Relay),
    ("punctual_ledger_received_packets", Relay),
    ("punctual_ledger_punted_packets", Worker),
    ("punctual_ledger_admitted_packets", Relay),
    ("punctual_ledger_dropped_packets{foreign}", Worker),
    ("punctual_ledger_dropped_packets{segmented}", Worker),
    ("punctual_ledger_dropped_packets{truncated}", Relay),
    ("punctual_ledger_dropped_packets{own_source}", Worker),
    ("punctual_ledger_dropped_packets{not_ip}", Relay),
    ("punctual_ledger_dropped_packets{ip_header}", Relay),
    ("punctual_ledger_dropped_packets{ip_length}", Relay),
    ("punctual_ledger_dropped_packets{ip_checksum}", Relay),
    ("punctual_ledger_dropped_packets{martian}", Relay),
    ("punctual_ledger_dropped_packets{ttl}", Relay),
    ("punctual_ledger_dropped_packets{not_udp}", Relay),
    ("punctual_ledger_dropped_packets{fragment}", Relay),
    ("punctual_ledger_dropped_packets{udp_length}", Relay),
    ("punctual_ledger_dropped_packets{udp_checksum}", Relay),
    ("punctual_ledger_dropped_packets{punt_full}", Worker),
    ("punctual_ledger_dropped_packets{no_rule}", Relay),
    ("punctual_ledger_dropped_packets{source}", Worker),
    ("punctual_ledger_dropped_packets{handoff_full}", Workers),
    ("punctual_ledger_dropped_packets{policed}", Worker),
    ("punctual_ledger_dropped_packets{pool_pressure}", Worker),
    ("punctual_ledger_dropped_packets{ingress_full}", Simulation),
    ("punctual_ledger_dropped_packets{late}", Simulation),
    ("punctual_ledger_dropped_packets{removed}", Worker),
    ("punctual_ledger_dropped_packets{stopped}", Worker),
    ("punctual_ledger_waiting_packets", Worker),
    ("punctual_ledger_copies", Relay),
    ("punctual_ledger_sent_copies", Relay),
    ("punctual_ledger_dropped_copies{ttl}", Worker),
    ("punctual_ledger_dropped_copies{handoff_full}", Workers),
    ("punctual_ledger_dropped_copies{breaker_open}", Simulation),
    ("punctual_ledger_dropped_copies{unresolved}", Worker),
    ("punctual_ledger_dropped_copies{header_alloc}", Simulation),
    ("punctual_ledger_dropped_copies{mtu}", Worker),
    ("punctual_ledger_dropped_copies{egress_full}", Simulation),
    ("punctual_ledger_dropped_copies{egress_late}", Simulation),
    ("punctual_ledger_dropped_copies{removed}", Worker),
    ("punctual_ledger_dropped_copies{stopped}", Simulation),
    ("punctual_ledger_waiting_copies", Worker),
    ("punctual_ledger_residual", Worker),
    ("punctual_class_packets", Relay),
    ("punctual_class_bytes", Relay),
    ("punctual_class_dropped_packets", Worker),
    ("punctual_class_copies", Relay),
    ("punctual_class_sent_copies", Relay),
    ("punctual_class_on_time_copies", Relay),
    ("punctual_class_late_sent_copies", Simulation),
    ("punctual_class_dropped_copies", Simulation),
    ("punctual_class_latency_seconds", Relay),
    ("punctual_class_latency_max_seconds", Relay),
    ("punctual_rule_packets", Relay),
    ("punctual_rule_bytes", Relay),
    ("punctual_rule_dropped_packets", Worker),
    ("punctual_rule_flow_overflow_packets", Worker),
    ("punctual_rule_last_packet_age_seconds", Relay),
    ("punctual_rule_latency_seconds", Relay),
    ("punctual_rule_latency_max_seconds", Relay),
    ("punctual_output_copies", Relay),
    ("punctual_output_sent_copies", Relay),
    ("punctual_output_sent_bytes", Relay),
    ("punctual_output_on_time_copies", Relay),
    ("punctual_output_late_sent_copies", Simulation),
    ("punctual_output_late_dropped_copies", Simulation),
    ("punctual_output_not_selected_packets", Relay),
    ("punctual_output_fair_share_ratio", Relay),
    ("punctual_output_taken_over_copies", Worker),
    ("punctual_output_unreachable_messages", Worker),
    ("punctual_output_dropped_copies", Simulation),
    ("punctual_receiver_outputs", Relay),
    ("punctual_receiver_copies", Relay),
    ("punctual_receiver_sent_copies", Relay),
    ("punctual_receiver_sent_bytes", Relay),
    ("punctual_receiver_on_time_copies", Relay),
    ("punctual_receiver_late_sent_copies", Simulation),
    ("punctual_receiver_dropped_copies", Simulation),
    ("punctual_receiver_breaker{closed}", Relay),
    ("punctual_receiver_breaker{open}", Worker),
    ("punctual_receiver_breaker{half_open}", Worker),
    ("punctual_receiver_breaker_openings", Simulation),
    ("punctual_port_up", Relay),
    ("punctual_port_mtu_bytes", Relay),
    ("punctual_port_promiscuous", Relay),
    ("punctual_port_received_packets", Relay),
    ("punctual_port_sent_copies", Relay),
    ("punctual_port_received_bytes", Relay),
    ("punctual_port_sent_bytes", Relay),
    ("punctual_port_missed_packets", Kernel),
    ("punctual_port_no_mbuf_packets", Buffers),
    ("punctual_port_rx_errors", Buffers),
    ("punctual_port_tx_errors", Kernel),
    ("punctual_port_originated_packets", Worker),
    ("punctual_port_unsent_packets", Worker),
    ("punctual_port_punted_packets", Worker),
    ("punctual_port_punt_full_packets", Worker),
    ("punctual_port_malformed_packets", Groups),
    ("punctual_port_group_queries", Groups),
    ("punctual_port_group_others", Groups),
    ("punctual_port_group_ignored_packets", Groups),
    ("punctual_port_breaker{closed}", Relay),
    ("punctual_port_breaker{open}", Worker),
    ("punctual_port_breaker{half_open}", Worker),
    ("punctual_port_breaker_openings", Simulation),
    ("punctual_group_query_age_seconds", Groups),
    ("punctual_group_report_age_seconds", Groups),
    ("punctual_neighbour_known", Worker),
    ("punctual_neighbour_answer_age_seconds", Worker),
    ("punctual_neighbour_requests", Worker),
    ("punctual_neighbour_answers", Worker),
    ("punctual_neighbour_changes", Worker),
    ("punctual_neighbour_refused_claims", Worker),
    ("punctual_worker_turns", Relay),
    ("punctual_worker_busy_turns", Relay),
    ("punctual_worker_busy_ratio", Relay),
    ("punctual_worker_heartbeat_age_seconds", Relay),
    ("punctual_worker_longest_turn_seconds", Relay),
    ("punctual_worker_plan_turn_seconds", Relay),
    ("punctual_worker_packets_handed", Workers),
    ("punctual_worker_packets_taken", Workers),
    ("punctual_worker_copies_handed", Workers),
    ("punctual_worker_copies_taken", Workers),
    ("punctual_worker_generation", Relay),
    ("punctual_pool_size", Relay),
    ("punctual_pool_in_use", Relay),
    ("punctual_pool_in_use_max", Relay),
    ("punctual_pool_held", Relay),
];

/// The table has each counter once, and no other.
pub fn every_counter_has_a_mover() {
    let told: BTreeSet<_> = counters().into_iter().collect();
    let listed: BTreeSet<_> = MOVERS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(listed.len(), MOVERS.len(), "a counter is listed twice");
    let without: Vec<_> = told.difference(&listed).collect();
    assert!(
        without.is_empty(),
        "nobody moves {without:#?}: make one of the cases here move it, and say which in the table"
    );
    let surplus: Vec<_> = listed.difference(&told).collect();
    assert!(surplus.is_empty(), "no longer counted: {surplus:#?}");
}
