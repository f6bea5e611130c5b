//! The outcome of a simulation for programs: what was asked for, what came of it, and the report
//! that a run leaves.
//!
//! Names and nesting are a contract, as in the report: a field may be added, none is renamed.

use serde::Serialize;

use super::loads::Resource;
use super::request::Simulation;
use super::table::{before, owner, place, reasons};
use super::{OutputOutcome, fairness};
use crate::manage::report::{Breaker, LatencyReport, Report};

/// The version of the schema.
pub const SCHEMA: u32 = 1;

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    simulation: Asked<'a>,
    report: &'a Report,
}

#[derive(Serialize)]
struct Asked<'a> {
    traffic: &'a str,
    model: Option<&'static str>,
    seed: u64,
    load: f64,
    span_ns: u64,
    elapsed_ns: u64,
    cpu_ns_per_packet: u64,
    cpu_ns_per_copy: u64,
    reordered: u64,
    leaked: u64,
    unaccounted: u64,
    resources: Vec<ResourceNumbers>,
    faults: Vec<FaultNumbers>,
    breakers: Vec<BreakerNumbers>,
    rules: Vec<RuleNumbers<'a>>,
    ports: Vec<PortNumbers<'a>>,
    notes: &'a [String],
}

#[derive(Serialize)]
struct ResourceNumbers {
    name: String,
    offered: f64,
}

#[derive(Serialize)]
struct FaultNumbers {
    kind: &'static str,
    place: String,
    start_ns: u64,
    length_ns: u64,
}

#[derive(Serialize)]
struct BreakerNumbers {
    at_ns: u64,
    of: String,
    state: Breaker,
}

#[derive(Serialize)]
struct RuleNumbers<'a> {
    name: &'a str,
    class: &'static str,
    offered: u64,
    offered_bytes: u64,
    lost_before: Vec<Loss>,
    outputs: Vec<OutputNumbers<'a>>,
}

#[derive(Serialize)]
struct OutputNumbers<'a> {
    name: &'a str,
    port: &'a str,
    offered: u64,
    sent: u64,
    bytes: u64,
    on_time: u64,
    late_sent: u64,
    lost_before: u64,
    dropped: Vec<Loss>,
    residence_ns: LatencyReport,
    fair_bytes: f64,
}

#[derive(Serialize)]
struct Loss {
    reason: &'static str,
    count: u64,
}

#[derive(Serialize)]
struct PortNumbers<'a> {
    name: &'a str,
    link_bps: u64,
    offered: u64,
    missed: u64,
    no_mbuf: u64,
    rx_errors: u64,
    withheld: u64,
    sent: u64,
    bytes: u64,
    capacity_bytes: Option<u64>,
    jain: Option<f64>,
    classes: Vec<ClassNumbers>,
}

#[derive(Serialize)]
struct ClassNumbers {
    name: &'static str,
    weight: u32,
    asked_bytes: u64,
    fair_bytes: f64,
    bytes: u64,
    jain: f64,
}

fn losses(reasons: Vec<(&'static str, u64)>) -> Vec<Loss> {
    reasons.into_iter().map(|(reason, count)| Loss { reason, count }).collect()
}

/// The JSON text, indented, with a newline at the end.
pub fn render(simulation: &Simulation) -> String {
    let document = Document {
        schema: SCHEMA,
        simulation: asked(simulation),
        report: &simulation.outcome.report,
    };
    let mut text = serde_json::to_string_pretty(&document)
        .unwrap_or_else(|error| unreachable!("an outcome is plain data: {error}"));
    text.push('\n');
    text
}

fn asked(simulation: &Simulation) -> Asked<'_> {
    let Simulation { outcome, scenario, .. } = simulation;
    let resources = simulation.loads.iter().map(|&(resource, offered)| {
        let port = |port: usize| &outcome.ports[port].name;
        let name = match resource {
            Resource::Cpu => "cpu".into(),
            Resource::Link(slot) => format!("link/{}", port(slot)),
            Resource::Input(slot) => format!("input/{}", port(slot)),
        };
        ResourceNumbers { name, offered }
    });
    let faults = outcome.faults.iter().map(|fault| FaultNumbers {
        kind: fault.kind.name(),
        place: place(simulation, fault),
        start_ns: fault.start,
        length_ns: fault.length,
    });
    let breakers = outcome.breakers.iter().map(|change| BreakerNumbers {
        at_ns: change.at,
        of: owner(simulation, change.of),
        state: change.state.into(),
    });
    Asked {
        traffic: &simulation.traffic,
        model: simulation.model.map(super::Model::name),
        seed: simulation.seed,
        load: simulation.load,
        span_ns: outcome.span,
        elapsed_ns: outcome.elapsed,
        cpu_ns_per_packet: scenario.costs.packet,
        cpu_ns_per_copy: scenario.costs.copy,
        reordered: outcome.reordered,
        leaked: outcome.leaked,
        unaccounted: outcome.unaccounted,
        resources: resources.collect(),
        faults: faults.collect(),
        breakers: breakers.collect(),
        rules: rules(simulation),
        ports: ports(simulation),
        notes: &simulation.notes,
    }
}

fn rules(simulation: &Simulation) -> Vec<RuleNumbers<'_>> {
    let outcome = &simulation.outcome;
    let mut fair = vec![0.0; outcome.outputs.len()];
    for port in fairness::shares(simulation) {
        port.fair.into_iter().for_each(|(output, bytes)| fair[output] = bytes);
    }
    let outputs = |rule: usize| {
        let its = outcome.outputs.iter().enumerate().filter(move |(_, output)| output.rule == rule);
        let numbers = |(slot, output): (usize, _)| output_numbers(simulation, output, fair[slot]);
        its.map(numbers).collect()
    };
    let rules = outcome.rules.iter().enumerate();
    rules
        .map(|(slot, rule)| RuleNumbers {
            name: &rule.name,
            class: rule.class.name(),
            offered: rule.offered.packets,
            offered_bytes: rule.offered.bytes,
            lost_before: losses(before(rule)),
            outputs: outputs(slot),
        })
        .collect()
}

fn output_numbers<'a>(
    simulation: &'a Simulation,
    output: &'a OutputOutcome,
    fair_bytes: f64,
) -> OutputNumbers<'a> {
    let residence = LatencyReport {
        count: output.residence.len(),
        p50: output.residence_at(0.5),
        p99: output.residence_at(0.99),
        p999: output.residence_at(0.999),
        max: output.residence.max(),
    };
    OutputNumbers {
        name: &output.name,
        port: &simulation.outcome.ports[output.port].name,
        offered: output.offered,
        sent: output.sent,
        bytes: output.bytes,
        on_time: output.on_time,
        late_sent: output.late_sent,
        lost_before: output.lost_before(),
        dropped: losses(reasons(&output.dropped)),
        residence_ns: residence,
        fair_bytes,
    }
}

fn ports(simulation: &Simulation) -> Vec<PortNumbers<'_>> {
    let shares = fairness::shares(simulation);
    let ports = simulation.outcome.ports.iter().enumerate();
    ports
        .map(|(slot, port)| {
            let share = shares.iter().find(|share| share.port == slot);
            let classes = share.map(|share| {
                let class = |class: &fairness::ClassShares| ClassNumbers {
                    name: class.class.name(),
                    weight: class.weight,
                    asked_bytes: class.asked,
                    fair_bytes: class.fair,
                    bytes: class.bytes,
                    jain: class.index,
                };
                share.classes.iter().map(class).collect()
            });
            PortNumbers {
                name: &port.name,
                link_bps: port.link,
                offered: port.rx.offered,
                missed: port.rx.missed,
                no_mbuf: port.rx.no_mbuf,
                rx_errors: port.rx.rx_errors,
                withheld: port.rx.withheld,
                sent: port.sent,
                bytes: port.bytes,
                capacity_bytes: share.map(|share| share.capacity),
                jain: share.map(|share| share.index),
                classes: classes.unwrap_or_default(),
            }
        })
        .collect()
}
