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
use crate::packet::{Burst, DropReason, Meta, Packet, Ticks, keep};
use crate::plan::{Given, Match, OURS, Plan};
use crate::wire::{self, Key};

use super::{Flows, IngressDrr, Tally};

/// What a packet has for a rule on its way out of the burst; as [`OURS`] behind all slots.
const NO_RULE: u32 = u32::MAX;

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
        let mut run = Run::NONE;
        let mut by_source = false;
        plan.rows.warm(burst.iter().map(Key::of));
        let (mut last, mut turned_away) = (Given::NONE, 0);
        for packet in burst.iter_mut() {
            let found = match find(packet, plan, &mut last) {
                Some(found) => found,
                None => search(packet, plan, now, tally),
            };
            if found.rule >= OURS {
                turn_away(packet, found, plan, tally);
                turned_away += 1;
                continue;
            }
            if found.rule != run.rule {
                let next = Run::of(found.rule, plan);
                by_source |= next.flow == FlowKind::Source;
                std::mem::replace(&mut run, next).count(now, tally);
            }
            let meta = packet.meta_mut();
            meta.rule = found.rule;
            meta.flow = match run.flow {
                FlowKind::Rule | FlowKind::Source => found.rule,
                FlowKind::Row => plan.flows.rules + found.row,
            };
            run.packets += 1;
            run.bytes += u64::from(meta.bytes);
        }
        run.count(now, tally);
        if turned_away > 0 {
            keep(burst, |packet| packet.meta().rule != NO_RULE);
        }
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

/// The rule of a packet, where it is found at once.
#[inline(always)]
fn find<P: Packet>(packet: &P, plan: &Plan, last: &mut Given) -> Option<Match> {
    let Meta { headers, key, .. } = packet.meta();
    plan.rows.find_narrow(*key, || wire::source(packet.head(), headers), headers.port, last)
}

/// Marks a packet that no rule takes, and counts it where it is a copy of ours.
#[cold]
#[inline(never)]
fn turn_away<P: Packet>(packet: &mut P, found: Match, plan: &Plan, tally: &mut Tally) {
    if found.rule == OURS {
        tally.drop_unmatched(DropReason::OwnSource, packet, plan);
    }
    packet.meta_mut().rule = NO_RULE;
}

/// The rule of any packet; [`NO_RULE`] where it has none and is counted so.
#[inline(never)]
fn search<P: Packet>(packet: &P, plan: &Plan, now: Ticks, tally: &mut Tally) -> Match {
    let Meta { headers, .. } = packet.meta();
    let (key, source, port) = (Key::of(packet), wire::source(packet.head(), headers), headers.port);
    plan.rows.find(&key, source, port).unwrap_or_else(|miss| {
        tally.drop_missed(&Missed { port, key, source, miss }, now, packet, plan);
        Match { rule: NO_RULE, row: 0 }
    })
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
#[derive(Debug)]
struct Run {
    rule: u32,
    flow: FlowKind,
    packets: u64,
    bytes: u64,
}

impl Run {
    /// None of any rule.
    const NONE: Self = Self { rule: NO_RULE, flow: FlowKind::Rule, packets: 0, bytes: 0 };

    fn of(rule: u32, plan: &Plan) -> Self {
        Self { rule, flow: plan.rules[rule as usize].flow, ..Self::NONE }
    }

    /// Counts what arrived `now`.
    fn count(self, now: Ticks, tally: &Tally) {
        if self.packets > 0 {
            let counters = &tally.counters.rules[self.rule as usize];
            counters.packets.add(self.packets);
            counters.bytes.add(self.bytes);
            counters.last_packet.set(now);
        }
    }
}
