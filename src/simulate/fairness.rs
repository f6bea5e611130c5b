//! Who got how much of each port, beside what would have been fair.

use super::outcome::{Outcome, OutputOutcome};
use super::request::Simulation;
use super::shares::{Demand, fair_shares, jain};
use crate::config::Class;
use crate::packet::DropReason;

/// One port that copies leave by.
#[derive(Clone, Debug, PartialEq)]
pub struct PortShares {
    /// Slot of the port.
    pub port: usize,
    /// Bytes that it could have sent until all was at rest.
    pub capacity: u64,
    /// Bytes that it did send.
    pub bytes: u64,
    /// Jain's index of what its outputs got, each against its fair share; 1 is fair.
    pub index: f64,
    /// Its classes that have outputs.
    pub classes: Vec<ClassShares>,
    /// By output of the port: its slot, and its fair share in bytes.
    pub fair: Vec<(usize, f64)>,
}

/// A class at a port.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassShares {
    /// The class.
    pub class: Class,
    /// Its weight.
    pub weight: u32,
    /// Bytes that its outputs asked for: what was offered, but for what must not be sent.
    pub asked: u64,
    /// Bytes that would have been fair.
    pub fair: f64,
    /// Bytes that it got.
    pub bytes: u64,
    /// Jain's index of its outputs.
    pub index: f64,
}

/// Bits a second that a port can send at most: its link's, or its shaper's where that is less.
pub fn carries(simulation: &Simulation, port: usize) -> u64 {
    let link = simulation.scenario.link_of(port);
    let shaper = simulation.scenario.config.ports[port].shaper;
    shaper.map_or(link, |shaper| shaper.rate.min(link))
}

/// The shares of every port that copies leave by, in slot order.
pub fn shares(simulation: &Simulation) -> Vec<PortShares> {
    let ports = 0..simulation.outcome.ports.len();
    ports.filter_map(|port| port_shares(simulation, port)).collect()
}

/// Bytes that an output asks its port for: what was offered, without what ends by a rule and not
/// for want of room.
fn asked(outcome: &Outcome, output: &OutputOutcome) -> u64 {
    let rule = &outcome.rules[output.rule];
    let copies = output.offered as f64 / rule.offered.packets.max(1) as f64;
    let policed = rule.dropped_for(DropReason::Policed) as f64 * copies;
    let barred = [DropReason::Ttl, DropReason::Mtu, DropReason::BreakerOpen];
    let barred: u64 = barred.iter().map(|reason| output.dropped_for(*reason)).sum();
    let part = (policed + barred as f64) / output.offered.max(1) as f64;
    (output.offered_bytes as f64 * (1.0 - part.min(1.0))).round() as u64
}

fn port_shares(simulation: &Simulation, port: usize) -> Option<PortShares> {
    let outcome = &simulation.outcome;
    let outputs = outcome.outputs.iter().enumerate().filter(|(_, output)| output.port == port);
    let outputs: Vec<_> = outputs.collect();
    if outputs.is_empty() {
        return None;
    }
    let bits = u128::from(carries(simulation, port)) * u128::from(outcome.elapsed) / 1_000_000_000;
    let capacity = u64::try_from(bits / 8).unwrap_or(u64::MAX);
    let demands: Vec<_> = outputs
        .iter()
        .map(|(_, output)| Demand {
            class: output.class,
            weight: output.weight,
            bytes: asked(outcome, output),
        })
        .collect();
    let weights = simulation.scenario.config.classes.map(|class| class.weight);
    let fair = fair_shares(capacity, &demands, &weights);
    // What each got of its fair share; who asked for nothing is not asked.
    let got = |class: Option<Class>| {
        let all = outputs.iter().zip(&fair);
        let asked = all.filter(|((_, output), fair)| {
            class.is_none_or(|class| output.class == class) && **fair > 0.0
        });
        asked.map(|((_, output), fair)| output.bytes as f64 / fair).collect::<Vec<_>>()
    };
    let classes = Class::ALL.into_iter().filter_map(|class| {
        let its: Vec<_> =
            outputs.iter().zip(&fair).filter(|((_, output), _)| output.class == class).collect();
        (!its.is_empty()).then(|| ClassShares {
            class,
            weight: weights[class as usize],
            asked: its.iter().map(|((_, output), _)| asked(outcome, output)).sum(),
            fair: its.iter().map(|(_, fair)| **fair).sum(),
            bytes: its.iter().map(|((_, output), _)| output.bytes).sum(),
            index: jain(&got(Some(class))),
        })
    });
    Some(PortShares {
        port,
        capacity,
        bytes: outputs.iter().map(|(_, output)| output.bytes).sum(),
        index: jain(&got(None)),
        classes: classes.collect(),
        fair: outputs.iter().map(|(slot, _)| *slot).zip(fair.iter().copied()).collect(),
    })
}
