//! The outcome of a simulation as what its picture shows.

use hdrhistogram::Histogram;

use super::fairness::{self, PortShares};
use super::loads::Resource;
use super::outcome::{Outcome, OutputOutcome};
use super::plot::{ClassPicture, Picture};
use super::request::Simulation;
use super::table::{before, reasons};
use crate::config::Class;

/// Slices of time that the picture shows at most.
const SLICES: usize = 200;
/// Quantiles of residence that are given to the picture, as nines behind the point times ten.
const QUANTILES: std::ops::RangeInclusive<u32> = 3..=40;

/// What is shown of `simulation`.
pub fn of(simulation: &Simulation) -> Picture {
    let outcome = &simulation.outcome;
    let shares = fairness::shares(simulation);
    let load = |port: usize| {
        let found = simulation.loads.iter().find(|(name, _)| *name == Resource::Link(port));
        found.map_or(0.0, |(_, load)| *load)
    };
    let busiest = shares
        .iter()
        .reduce(|most, next| if load(next.port) > load(most.port) { next } else { most });
    let slices = (outcome.span.div_ceil(outcome.slice) as usize).max(1);
    let together = slices.div_ceil(SLICES);
    let model = simulation.model.map_or(String::new(), |model| format!(", {model}"));
    Picture {
        title: format!("{}{model}, load {}", simulation.traffic, simulation.load),
        subtitle: format!(
            "instance {}, {} ns a packet, {} ns a copy, seed {}, residual {}",
            simulation.scenario.config.instance,
            simulation.scenario.costs.packet,
            simulation.scenario.costs.copy,
            simulation.seed,
            outcome.report.ledger.residual,
        ),
        port: busiest.map_or(String::new(), |port| outcome.ports[port.port].name.clone()),
        slice_ns: outcome.slice * together as u64,
        classes: Class::ALL
            .into_iter()
            .filter(|class| outcome.rules.iter().any(|rule| rule.class == *class))
            .map(|class| class_picture(simulation, class, busiest, slices, together))
            .collect(),
    }
}

fn class_picture(
    simulation: &Simulation,
    class: Class,
    port: Option<&PortShares>,
    slices: usize,
    together: usize,
) -> ClassPicture {
    let outcome = &simulation.outcome;
    let outputs: Vec<_> = outcome.outputs.iter().filter(|output| output.class == class).collect();
    let mut residence = Histogram::<u32>::new(3)
        .unwrap_or_else(|error| unreachable!("a histogram of three digits: {error}"));
    for output in &outputs {
        // Both grow as they must.
        let _ = residence.add(&output.residence);
    }
    let quantile = |tenths: u32| {
        let quantile = 1.0 - 10_f64.powf(-f64::from(tenths) / 10.0);
        (quantile, residence.value_at_quantile(quantile).min(residence.max()))
    };
    let latency = if residence.is_empty() { vec![] } else { QUANTILES.map(quantile).collect() };
    let fair = port.map_or(0.0, |port| {
        let found = port.classes.iter().find(|found| found.class == class);
        found.map_or(0.0, |found| found.fair / port.capacity.max(1) as f64)
    });
    let points = slices.div_ceil(together);
    ClassPicture {
        name: class.name().into(),
        budget_ns: u64::try_from(
            simulation.scenario.config.classes[class as usize].budget.as_nanos(),
        )
        .unwrap_or(u64::MAX),
        latency_ns: latency,
        longest_ns: residence.max(),
        share: port.map_or(vec![], |port| share(outcome, class, port, slices, together)),
        fair_share: vec![fair; points],
        offered: outputs.iter().map(|output| output.offered).sum(),
        lost: lost(outcome, &outputs),
    }
}

/// The part of the port's capacity that the class got, by slices taken together.
fn share(
    outcome: &Outcome,
    class: Class,
    port: &PortShares,
    slices: usize,
    together: usize,
) -> Vec<f64> {
    let mut bytes = vec![0_u64; slices];
    let its = |output: &&OutputOutcome| output.class == class && output.port == port.port;
    for output in outcome.outputs.iter().filter(its) {
        bytes.iter_mut().zip(&output.bytes_by_slice).for_each(|(sum, bytes)| *sum += bytes);
    }
    let capacity = port.capacity as f64 * outcome.slice as f64 / outcome.span.max(1) as f64;
    let part = |slices: &[u64]| {
        let bytes = slices.iter().sum::<u64>() as f64;
        (bytes / (capacity * slices.len() as f64).max(1.0)).min(1.0)
    };
    bytes.chunks(together).map(part).collect()
}

/// Copies lost by reason; a packet lost before fan-out counts as the copies it should have become.
fn lost(outcome: &Outcome, outputs: &[&OutputOutcome]) -> Vec<(String, u64)> {
    let mut lost: Vec<(String, u64)> = Vec::new();
    let mut add = |reason: &str, count: u64| match lost.iter_mut().find(|(name, _)| name == reason)
    {
        Some((_, sum)) => *sum += count,
        None => lost.push((reason.to_owned(), count)),
    };
    for output in outputs {
        let rule = &outcome.rules[output.rule];
        let copies = output.offered as f64 / rule.offered.packets.max(1) as f64;
        for (reason, count) in before(rule) {
            add(reason, (count as f64 * copies).round() as u64);
        }
        for (reason, count) in reasons(&output.dropped) {
            add(reason, count);
        }
    }
    lost
}
