//! No counter is structurally zero: whatever the metrics, the report and telemetry tell has a test
//! that makes it move. The list of metrics says what there is; [`table`] says where each moves.
//! A new counter without a line there fails, and so does a line that is not true.

#[path = "../common/binary.rs"]
mod binary;
#[path = "../common/mod.rs"]
mod common;
#[path = "../frames/mod.rs"]
mod frames;
#[path = "../simulation/harness.rs"]
mod harness;
#[path = "../common/netns.rs"]
mod netns;
#[allow(dead_code)]
#[path = "../groups/queries.rs"]
mod queries;
#[path = "../common/relay.rs"]
mod relay;
#[allow(dead_code, reason = "the tests of the way need the rest")]
#[path = "../way/site.rs"]
mod site;

#[allow(dead_code, reason = "the tests of the way need the rest")]
#[path = "../way/crew.rs"]
mod crew;
mod devices;
mod files;
mod groups;
mod moved;
mod simulated;
mod table;
mod worker;
mod workers;

fn main() -> std::process::ExitCode {
    common::run(&common::cases![
        table::every_counter_has_a_mover,
        worker::what_a_worker_on_memory_ports_moves,
        workers::what_passes_between_workers_moves,
        simulated::what_a_simulation_with_faults_moves,
        files::what_a_running_instance_moves,
        groups::what_is_heard_of_groups_moves,
        devices::buffers_that_a_driver_lacks,
        devices::frames_that_the_kernel_drops_or_refuses,
    ])
}
