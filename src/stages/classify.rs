//! Classify - one rule per packet, the most specific: destination, then UDP port, then source.
//!
//! Expects:  parsed packets.
//! Leaves:   `rule` and `flow` set; the rule's packets and bytes counted.
//! Drops:    `no_rule`; `source` where only the source prefixes did not match.
//! Config:   `rule.input`, `rule.flow`.
//! Bounds:   at most four look-ups a packet, however many rows; a table that is read, never
//!           locked.

use crate::config::FlowKind;
use crate::packet::{Burst, DropReason, Packet, Ticks};
use crate::plan::{Miss, Plan};
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
        burst.retain(|packet| {
            let headers = packet.meta().headers;
            let key = Key::read(packet.head(), &headers);
            let source = wire::source(packet.head(), &headers);
            let found = match plan.rows.find(&key, source, headers.port) {
                Ok(found) => found,
                Err(Miss::NoRule) => {
                    tally.drop_unmatched(DropReason::NoRule);
                    return false;
                }
                Err(Miss::Source) => {
                    tally.drop_unmatched(DropReason::Source);
                    return false;
                }
            };
            let flow = match plan.rules[found.rule as usize].flow {
                FlowKind::Rule => found.rule,
                FlowKind::Row => plan.flows.rules + found.row,
                FlowKind::Source => {
                    let idle = |flow| ingress.is_idle(flow);
                    flows
                        .of_source(found.rule, source, now, idle)
                        .unwrap_or_else(|| {
                            tally.counters.rules[found.rule as usize]
                                .flow_overflow
                                .add(1);
                            found.rule
                        })
                }
            };
            let meta = packet.meta_mut();
            meta.rule = found.rule;
            meta.flow = flow;
            true
        });
        for run in burst.chunk_by(|a, b| a.meta().rule == b.meta().rule) {
            let (first, last) = (run[0].meta(), run[run.len() - 1].meta());
            let counters = &tally.counters.rules[first.rule as usize];
            let bytes = run.iter().map(|packet| u64::from(packet.meta().bytes));
            counters.packets.add(run.len() as u64);
            counters.bytes.add(bytes.sum());
            counters.last_packet.set(last.arrival);
        }
    }
}
