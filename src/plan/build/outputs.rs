//! The outputs of a rule: slots, templates, next hops, and what holds for all of them.

use std::sync::Arc;

use ipnet::IpNet;

use super::{Building, PlanError, put, same_name, settings};
use crate::config::{self, Fragments, NextHop, Output, Rule, TtlRewrite};
use crate::plan::{BalancePlan, Hop, OnlyOutput, OutputIdentity, OutputPlan, PlainOutputs};
use crate::sched::Contender;
use crate::wire::{IpVersion, MacAddr, Rewrite, Template};

impl Building<'_> {
    /// Plans the outputs of the rule with slot `slot`.
    pub(super) fn add_outputs(&mut self, slot: u32, rule: &Rule) -> Result<(), PlanError> {
        let identities = OutputIdentity::of_all(slot, &rule.outputs);
        for (output, identity) in rule.outputs.iter().zip(identities) {
            let taken = self.slots.outputs.take(&identity)?;
            let port = output.port;
            let lane = self.slots.lanes[port].take(&taken.slot)?.slot;
            if taken.used {
                self.cleared.outputs.push(taken.slot);
            }
            self.fan_out.push(taken.slot);
            let hop = self.hop(rule, output)?;
            let before = self.outputs.get(taken.slot as usize).map(|output| &output.name);
            let name = same_name(before, &output.name);
            let plan = self.output((slot, rule), (output, name), lane, hop);
            put(&mut self.outputs, taken.slot, plan);
        }
        Ok(())
    }

    /// The MAC that the configuration has for the only next hop of an output.
    fn static_mac(&self, output: &Output) -> Option<MacAddr> {
        match output.next_hop? {
            NextHop::One(address) => self.config.ports[output.port].static_mac(address),
            NextHop::Each(_) => None,
        }
    }

    /// The neighbours of an output, which get their slots.
    fn hop(&mut self, rule: &Rule, output: &Output) -> Result<Option<Hop>, PlanError> {
        if output.next_hop.is_none() || self.static_mac(output).is_some() {
            return Ok(None);
        }
        let mut slots = Vec::new();
        for neighbour in config::neighbours(&rule.input, output) {
            let taken = self.slots.neighbours.take(&neighbour)?;
            if taken.used {
                self.cleared.neighbours.push(taken.slot);
            }
            put(&mut self.neighbours, taken.slot, neighbour);
            slots.push(taken.slot);
        }
        Ok(Some(match slots[..] {
            [slot] => Hop::One(slot),
            _ => Hop::Each(slots.into()),
        }))
    }

    fn output(
        &self,
        (slot, rule): (u32, &Rule),
        (output, name): (&Output, Arc<str>),
        lane: u32,
        hop: Option<Hop>,
    ) -> OutputPlan {
        let rewrite = Rewrite {
            version: match rule.input.destination.first() {
                Some(IpNet::V6(_)) => IpVersion::V6,
                _ => IpVersion::V4,
            },
            source_mac: self.facts[output.port].mac,
            mac: match &hop {
                // The worker writes it.
                Some(_) => Some(MacAddr::default()),
                None => output.mac.or_else(|| self.static_mac(output)),
            },
            destination: output.destination,
            udp_port: output.udp_port,
            source: output.source,
            source_port: output.source_port,
            vlan: output.vlan,
            ttl: output.ttl,
            dscp: output.dscp,
        };
        OutputPlan {
            rule: slot,
            port: output.port as u32,
            receiver: output.receiver.map(|receiver| self.receiver_slots[receiver]),
            lane,
            sample: output.sample,
            removed: false,
            late: rule.late,
            egress: settings(rule.class, output.weight, output.queue, self.largest_frame),
            hop,
            template: Template::new(&rewrite),
            name,
        }
    }

    /// Who shares the rule's packets: its members, by what tells their outputs apart and lasts from
    /// one start to the next.
    pub(super) fn balance(&self, rule: &Rule) -> Option<BalancePlan> {
        let contender = |member: &Output| {
            let Output { port, destination, udp_port, vlan, weight, .. } = member;
            let port = &self.ports[*port].name;
            let identity = format!("{port} {destination:?} {udp_port:?} {vlan:?}");
            Contender::new(identity.as_bytes(), *weight)
        };
        let config::Balance { by, .. } = rule.balance?;
        Some(BalancePlan { by, members: rule.members().iter().map(contender).collect() })
    }

    /// What holds for all outputs of a rule, which are those from `first` on in the plan's fan-out.
    /// One alone needs no chain.
    pub(super) fn plain(&self, rule: &Rule, first: u32) -> Option<PlainOutputs> {
        let outputs = &rule.outputs;
        let chains = |output: &Output| outputs.len() == 1 || self.ports[output.port].sends_chains;
        // Whoever waits for a neighbour's MAC is a choice by packet.
        let knows =
            |output: &Output| output.next_hop.is_none() || self.static_mac(output).is_some();
        let plain = rule.balance.is_none()
            && rule.input.fragments == Fragments::Drop
            && outputs.iter().all(|o| o.sample <= 1 && chains(o) && knows(o));
        let decrements = |output: &Output| output.ttl == TtlRewrite::Decrement;
        let only = |output: &Output| OnlyOutput {
            slot: self.fan_out[first as usize],
            port: output.port as u8,
            chained: self.ports[output.port].sends_chains,
        };
        plain.then(|| PlainOutputs {
            mtu: outputs.iter().map(|output| self.ports[output.port].mtu).min().unwrap_or(0),
            least_ttl: if outputs.iter().any(decrements) { 2 } else { 0 },
            only: if let [output] = &outputs[..] { Some(only(output)) } else { None },
        })
    }
}
