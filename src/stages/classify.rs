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
use crate::packet::{Burst, DropReason, Headers, Meta, Packet, Ticks, keep};
use crate::plan::{Given, Match, OURS, Plan, Row, UNKNOWN};
use crate::wire::{self, Key};

use super::{Flows, IngressDrr, Tally};

/// What a packet has for a rule on its way out of the burst; as [`OURS`] behind all slots.
const NO_RULE: u32 = u32::MAX;
/// The rule of a run that has not begun: what no packet has.
const NO_RUN: u32 = OURS - 1;

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
        plan.rows.warm(burst.iter().map(|packet| (packet.meta().key, || Key::of(packet))));
        let rows = plan.rows.at_once();
        let mut run = Run::NONE;
        let mut seen = Seen::default();
        for packet in burst.iter_mut() {
            let Meta { key, headers: Headers { port, .. }, .. } = *packet.meta();
            let mut row = rows.row(key);
            if (row.list, port) != (run.list, run.port) {
                match run.turn_to(packet, row, &mut seen, plan, now, tally) {
                    Some(number) => row.number = number,
                    None => continue,
                }
            }
            let meta = packet.meta_mut();
            meta.rule = run.rule;
            meta.flow = run.flow + (row.number & run.row);
            run.packets += 1;
            run.bytes += u64::from(meta.bytes);
        }
        run.count(now, tally);
        if seen.turned_away {
            keep(burst, |packet| packet.meta().rule != NO_RULE);
        }
        if seen.by_source {
            find_sources(burst, plan, flows, ingress, now, tally);
        }
    }

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

/// What was met in a burst that is to be looked at once more.
#[derive(Debug, Default)]
struct Seen {
    /// A rule that has a flow for each source.
    by_source: bool,
    /// A packet that no rule takes.
    turned_away: bool,
}

/// Marks a packet that no rule takes, and counts it where it is a copy of ours.
#[cold]
#[inline(never)]
fn turn_away<P: Packet>(packet: &mut P, rule: u32, plan: &Plan, tally: &mut Tally) {
    if rule == OURS {
        tally.drop_unmatched(DropReason::OwnSource, packet, plan);
    }
    packet.meta_mut().rule = NO_RULE;
}

/// The rule and the number of the row of a packet that may have been found in `row`; [`NO_RULE`] where
/// it has none and is counted so.
#[inline(always)]
fn search<P: Packet>(
    packet: &P,
    row: Row,
    plan: &Plan,
    now: Ticks,
    tally: &mut Tally,
) -> (Given, u32) {
    let Meta { headers, .. } = packet.meta();
    let source = || wire::source(packet.head(), headers);
    if let Some(given) = plan.rows.give(row, source, headers.port) {
        return (given, row.number);
    }
    let (key, source, port) = (Key::of(packet), source(), headers.port);
    let Match { rule, row } = plan.rows.find(&key, source, port).unwrap_or_else(|miss| {
        tally.drop_missed(&Missed { port, key, source, miss }, now, packet, plan);
        Match { rule: NO_RULE, row: 0 }
    });
    (Given { list: UNKNOWN, rule }, row)
}

/// Finds the flows of packets whose rules have one for each source, and of those that find none
/// their rule's. There may be a million, none of them near: each table is asked for, for the whole
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
    /// The list that gives this rule to whatever has it, and came in by `port`.
    list: u32,
    port: u8,
    /// The flow of its packets, or of row 0.
    flow: u32,
    /// The bits of a row's number that say its flow: all or none.
    row: u32,
    packets: u64,
    bytes: u64,
}

impl Run {
    /// None of any rule.
    const NONE: Self =
        Self { rule: NO_RUN, list: UNKNOWN, port: 0, flow: 0, row: 0, packets: 0, bytes: 0 };

    fn of(rule: u32, plan: &Plan) -> Self {
        let (flow, row) = match plan.rules[rule as usize].flow {
            FlowKind::Rule | FlowKind::Source => (rule, 0),
            FlowKind::Row => (plan.flows.rules, u32::MAX),
        };
        Self { rule, flow, row, ..Self::NONE }
    }

    /// Goes on to the rule of `packet`, which may have been found in `row`. Returns the number of its
    /// row, or none where no rule takes it.
    #[inline(never)]
    fn turn_to<P: Packet>(
        &mut self,
        packet: &mut P,
        row: Row,
        seen: &mut Seen,
        plan: &Plan,
        now: Ticks,
        tally: &mut Tally,
    ) -> Option<u32> {
        let (Given { list, rule }, number) = search(packet, row, plan, now, tally);
        if rule >= OURS {
            turn_away(packet, rule, plan, tally);
            seen.turned_away = true;
            return None;
        }
        if rule != self.rule {
            seen.by_source |= plan.rules[rule as usize].flow == FlowKind::Source;
            std::mem::replace(self, Self::of(rule, plan)).count(now, tally);
        }
        (self.list, self.port) = (list, packet.meta().headers.port);
        Some(number)
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
