//! Classify - one rule per packet, the most specific: destination, then UDP port, then source.
//!
//! Expects:  parsed packets.
//! Leaves:   `rule` and `flow` set; the rule's packets and bytes counted. Which flow a source has is
//!           known to the worker that keeps it: until it is there, it has the rule's.
//! Drops:    `no_rule`; `source` where only the source prefixes did not match; samples of both
//!           are shown to management, in a bounded ring. `own_source` where a rule would have
//!           taken what comes from an address of ours: a copy that found its way back.
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
        let mut by_source = false;
        plan.rows.warm(burst.iter().map(|p| Key::read(p.head(), &p.meta().headers)));
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
            // `OURS` is no rule.
            let Some(rule) = plan.rules.get(found.rule as usize) else {
                tally.drop_ours(packet, plan);
                return false;
            };
            let flow = match rule.flow {
                FlowKind::Rule => found.rule,
                FlowKind::Row => plan.flows.rules + found.row,
                FlowKind::Source => {
                    by_source = true;
                    found.rule
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
        if by_source {
            find_sources(burst, plan, flows, ingress, now, tally);
        }
    }
}

impl Classify {
    /// Finds the flows of sources that are kept here, where another worker has classified the
    /// burst.
    pub fn adopt<P: Packet>(
        &self,
        burst: &mut Burst<P>,
        plan: &Plan,
        flows: &mut Flows,
        ingress: &IngressDrr<P>,
        now: Ticks,
        tally: &mut Tally,
    ) {
        let by_source =
            |packet: &P| plan.rules[packet.meta().rule as usize].flow == FlowKind::Source;
        if burst.iter().any(by_source) {
            find_sources(burst, plan, flows, ingress, now, tally);
        }
    }
}

/// Finds the flows of packets whose rules have one for each source, and of those that find none
/// their rule's. There may be a million, none of them near: each table is loaded for the whole
/// burst before it is used.
#[inline(never)]
fn find_sources<P: Packet>(
    burst: &mut Burst<P>,
    plan: &Plan,
    flows: &mut Flows,
    ingress: &IngressDrr<P>,
    now: Ticks,
    tally: &Tally,
) {
    let asked = |packet: &P| {
        let meta = packet.meta();
        let rule = &plan.rules[meta.rule as usize];
        let source = || (rule.id, wire::source(packet.head(), &meta.headers));
        (rule.flow == FlowKind::Source).then(source)
    };
    flows.warm(burst.iter().filter_map(asked));
    for packet in burst.iter_mut() {
        // Which flow another's source has is for its own worker to find.
        let Some((rule, source)) =
            asked(packet).filter(|&(rule, source)| flows.keeps(rule, source))
        else {
            continue;
        };
        let meta = packet.meta_mut();
        match flows.of_source(rule, source, now, |flow| ingress.is_idle(flow)) {
            Some(flow) => meta.flow = flow,
            None => tally.counters.rules[meta.rule as usize].flow_overflow.add(1),
        }
    }
    flows.warm_states(burst.iter().map(|packet| packet.meta().flow));
    ingress.warm(burst.iter().map(|packet| packet.meta().flow));
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
