//! How much of the CPU and of each link a traffic asks for.
//!
//! The CPU pays for each packet and each copy, a link for each copy's bits. Links are counted in
//! the direction of sending; what comes in is taken as it comes, as if each input port had as
//! many links as that takes.

use super::Scenario;
use super::frames::input_of;
use crate::config::{Output, Rule, VlanMatch, VlanRewrite};

/// What is offered to one rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RuleLoad {
    /// Slot of the rule.
    pub rule: usize,
    /// Packets a second.
    pub packets: f64,
    /// Bits of one on the wire, on average.
    pub bits: f64,
}

/// What can be busy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    /// The worker's CPU.
    Cpu,
    /// What the port with this slot sends.
    Link(usize),
    /// What comes to the port with this slot.
    Input(usize),
}

/// The share of each resource that is asked for: 1 is all it can carry. The CPU first, then the
/// links of ports that rules send to, then the ports that they take from.
pub fn loads(scenario: &Scenario, traffic: &[RuleLoad]) -> Vec<(Resource, f64)> {
    let config = &scenario.config;
    let mut cpu = 0.0;
    let mut sends = vec![None; config.ports.len()];
    let mut receives = vec![None; config.ports.len()];
    for load in traffic {
        let rule = &config.rules[load.rule];
        *receives[input_of(config, rule)].get_or_insert(0.0) += load.packets * load.bits;
        let mut copies = 0.0;
        for (place, output) in rule.outputs.iter().enumerate() {
            let chosen = rule.share_of(place) / f64::from(output.sample.max(1));
            copies += chosen;
            let bits = load.bits + 8.0 * added_bytes(rule, output);
            *sends[output.port].get_or_insert(0.0) += load.packets * chosen * bits;
        }
        let Costs { packet, copy } = costs(scenario);
        cpu += load.packets * (packet + copies * copy) / 1e9;
    }
    let of_links = |bits: Vec<Option<f64>>, name: fn(usize) -> Resource| {
        let links = bits.into_iter().enumerate();
        let links = links.filter_map(move |(port, bits)| Some((port, bits?)));
        let load = move |(port, bits)| (name(port), bits / scenario.link_of(port) as f64);
        links.map(load).collect::<Vec<_>>()
    };
    let links = of_links(sends, Resource::Link);
    let inputs = of_links(receives, Resource::Input);
    [vec![(Resource::Cpu, cpu)], links, inputs].concat()
}

/// The busiest of `loads` that can be overloaded; an input cannot.
pub fn busiest(loads: &[(Resource, f64)]) -> Option<(Resource, f64)> {
    let counted = loads.iter().filter(|(resource, _)| !matches!(resource, Resource::Input(_)));
    // The first of equals, so that the order of ports decides and not that of sorting.
    counted.copied().reduce(|most, next| if next.1 > most.1 { next } else { most })
}

struct Costs {
    packet: f64,
    copy: f64,
}

fn costs(scenario: &Scenario) -> Costs {
    Costs { packet: scenario.costs.packet as f64, copy: scenario.costs.copy as f64 }
}

/// Bytes by which a copy is longer than its packet: a VLAN tag more or less.
fn added_bytes(rule: &Rule, output: &Output) -> f64 {
    let received = if matches!(rule.input.vlan, VlanMatch::Id(_)) { 4.0 } else { 0.0 };
    match output.vlan {
        VlanRewrite::Keep => 0.0,
        VlanRewrite::None => -received,
        VlanRewrite::Id(_) => 4.0 - received,
    }
}
