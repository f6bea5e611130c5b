//! Classify - one rule per packet, the most specific: destination, then UDP port, then source.
//!
//! Expects:  parsed packets.
//! Leaves:   `rule` and `flow` set; the rule's packets and bytes counted.
//! Drops:    `no_rule`; `source` where only the source prefixes did not match. Samples of both
//!           are shown to management, in a bounded ring.
//! Config:   `rule.input`, `rule.flow`.
//! Bounds:   at most four look-ups a packet, however many rows; a table that is read, never
//!           locked.

use crate::config::FlowKind;
use crate::ledger::Missed;
use crate::packet::{Burst, Packet, Ticks, keep};
use crate::plan::Plan;
use crate::wire::{self, Key};

use super::{Flows, IngressDrr, Tally};

/// The stage; its table is the plan's.
#[derive(Debug, Default)]
pub struct Classify;

impl Classify {
    /// Classifies a burst; what stays in it has a rule and a flow.
    pub fn inspect<P: Packet>(
        &self,
        burst: &mut Burst<P>,
        plan: &Plan,
        flows: &mut Flows,
        ingress: &IngressDrr<P>,
        now: Ticks,
        tally: &mut Tally,
    ) {
        let mut run = Run::default();
        keep(burst, |packet| {
            let headers = packet.meta().headers;
            let key = Key::read(packet.head(), &headers);
            let source = wire::source(packet.head(), &headers);
            let found = match plan.rows.find(&key, source, headers.port) {
                Ok(found) => found,
                Err(miss) => {
                    let missed = Missed { port: headers.port, key, source, miss };
                    tally.drop_missed(&missed, now, packet, plan);
                    return false;
                }
            };
            let rule = &plan.rules[found.rule as usize];
            let flow = match rule.flow {
                FlowKind::Rule => found.rule,
                FlowKind::Row => plan.flows.rules + found.row,
                FlowKind::Source => {
                    let idle = |flow| ingress.is_idle(flow);
                    flows.of_source(rule.id, source, now, idle).unwrap_or_else(|| {
                        tally.counters.rules[found.rule as usize].flow_overflow.add(1);
                        found.rule
                    })
                }
            };
            let meta = packet.meta_mut();
            meta.rule = found.rule;
            meta.flow = flow;
            if meta.rule != run.rule {
                std::mem::replace(&mut run, Run::of(meta.rule)).count(tally);
            }
            run.packets += 1;
            run.bytes += u64::from(meta.bytes);
            run.last = meta.arrival;
            true
        });
        run.count(tally);
    }
}

/// Packets of one rule, one behind the other: counted as one.
#[derive(Debug, Default)]
struct Run {
    rule: u32,
    packets: u64,
    bytes: u64,
    last: Ticks,
}

impl Run {
    fn of(rule: u32) -> Self {
        Self { rule, ..Self::default() }
    }

    fn count(self, tally: &Tally) {
        if self.packets > 0 {
            let counters = &tally.counters.rules[self.rule as usize];
            counters.packets.add(self.packets);
            counters.bytes.add(self.bytes);
            counters.last_packet.set(self.last);
        }
    }
}
