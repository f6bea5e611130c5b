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
use crate::plan::{AtOnce, Given, Match, OURS, Plan, Row};
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
        let seen = match_rules(burst, plan, now, tally);
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

/// Gives each packet its rule and its row's or its rule's flow; [`NO_RULE`] where it has none.
#[inline(never)]
fn match_rules<P: Packet>(
    burst: &mut Burst<P>,
    plan: &Plan,
    now: Ticks,
    tally: &mut Tally,
) -> Seen {
    let rows = plan.rows.at_once();
    let (mut run, mut seen) = (Run::NONE, Seen::default());
    let (mut at, mut next) = (0, None);
    while let Some(packet) = burst.get_mut(at) {
        at += 1;
        let Meta { key, headers, .. } = *packet.meta();
        let row = next.take().unwrap_or_else(|| rows.row(key));
        let Found { rule, number, holds } = match plan.rows.first(row, headers.port) {
            Some(rule) => Found { rule, number: row.number, holds: Holds::ForAll },
            None => search(packet, row, plan, now, tally),
        };
        if rule >= OURS {
            turn_away(packet, rule, plan, tally);
            seen.turned_away = true;
            continue;
        }
        if rule != run.rule {
            run.count(now, tally);
            run = Run::of(rule, plan);
            seen.by_source |= plan.rules[rule as usize].flow == FlowKind::Source;
        }
        run.packets += 1;
        run.bytes += u64::from(run.take(packet, number));
        let mut alike = Alike { list: row.list, port: headers.port, source: 0 };
        let (taken, behind) = match holds {
            Holds::ForAll => run.extend::<_, false>(&mut burst[at..], rows, alike),
            Holds::ForSource => {
                alike.source = wire::source(packet.head(), &headers);
                run.extend::<_, true>(&mut burst[at..], rows, alike)
            }
            Holds::Once => (0, None),
        };
        (at, next) = (at + taken, behind);
    }
    run.count(now, tally);
    seen
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

/// What was found for a packet.
struct Found {
    /// [`NO_RULE`] where it has none and is counted so.
    rule: u32,
    /// That of its row.
    number: u32,
    holds: Holds,
}

/// For which packets behind it the same rule would be found.
enum Holds {
    /// For all that are [`Alike`].
    ForAll,
    /// For those of them that have its source.
    ForSource,
    /// For it alone, as far as is known.
    Once,
}

/// What packets have in common for which the same rule is found at once.
#[derive(Clone, Copy)]
struct Alike {
    /// The list of their rows.
    list: u32,
    /// Where they came in.
    port: u8,
    /// Where it matters.
    source: u128,
}

/// Finds the rule of a packet that may have been found in `row`.
#[inline(never)]
fn search<P: Packet>(packet: &P, row: Row, plan: &Plan, now: Ticks, tally: &mut Tally) -> Found {
    let Meta { headers, .. } = packet.meta();
    let source = || wire::source(packet.head(), headers);
    match plan.rows.give(row, source, headers.port) {
        Some(Given { rule, by_source }) => {
            let holds = if by_source { Holds::ForSource } else { Holds::ForAll };
            Found { rule, number: row.number, holds }
        }
        None => search_further(packet, plan, now, tally),
    }
}

/// [`search`] where no row was found at once, or none whose list has a rule for the packet.
#[inline(never)]
fn search_further<P: Packet>(packet: &P, plan: &Plan, now: Ticks, tally: &mut Tally) -> Found {
    let headers = &packet.meta().headers;
    let (key, source) = (Key::of(packet), wire::source(packet.head(), headers));
    let port = headers.port;
    let Match { rule, row } = plan.rows.find(&key, source, port).unwrap_or_else(|miss| {
        tally.drop_missed(&Missed { port, key, source, miss }, now, packet, plan);
        Match { rule: NO_RULE, row: 0 }
    });
    Found { rule, number: row, holds: Holds::Once }
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
    /// The flow of its packets, or of row 0.
    flow: u32,
    /// The bits of a row's number that say its flow: all or none.
    row: u32,
    packets: u64,
    bytes: u64,
}

impl Run {
    /// None of any rule.
    const NONE: Self = Self { rule: NO_RUN, flow: 0, row: 0, packets: 0, bytes: 0 };

    fn of(rule: u32, plan: &Plan) -> Self {
        let (flow, row) = match plan.rules[rule as usize].flow {
            FlowKind::Rule | FlowKind::Source => (rule, 0),
            FlowKind::Row => (plan.flows.rules, u32::MAX),
        };
        Self { rule, flow, row, ..Self::NONE }
    }

    /// Gives its rule to a packet, and the flow of the row with this number; returns its bytes.
    #[inline(always)]
    fn take(&self, packet: &mut impl Packet, number: u32) -> u32 {
        let meta = packet.meta_mut();
        meta.rule = self.rule;
        meta.flow = self.flow + (number & self.row);
        meta.bytes
    }

    /// Takes the packets in front, as long as they are found at once and `alike`, in their source, too,
    /// where that matters. Returns how many, and the row in which the next one may be found.
    #[inline(always)]
    fn extend<P: Packet, const BY_SOURCE: bool>(
        &mut self,
        packets: &mut [P],
        rows: AtOnce<'_>,
        alike: Alike,
    ) -> (usize, Option<Row>) {
        // Its own: what is behind a reference lies in memory.
        let run = Self { ..*self };
        let (mut taken, mut bytes, mut next) = (0, 0, None);
        for packet in packets {
            let Meta { key, headers, .. } = *packet.meta();
            let row = rows.row(key);
            if (row.list, headers.port) != (alike.list, alike.port)
                || BY_SOURCE && wire::source(packet.head(), &headers) != alike.source
            {
                next = Some(row);
                break;
            }
            bytes += run.take(packet, row.number);
            taken += 1;
        }
        self.packets += taken as u64;
        self.bytes += u64::from(bytes);
        (taken, next)
    }

    /// Counts what arrived `now`.
    fn count(&self, now: Ticks, tally: &Tally) {
        if self.packets > 0 {
            let counters = &tally.counters.rules[self.rule as usize];
            counters.packets.add(self.packets);
            counters.bytes.add(self.bytes);
            counters.last_packet.set(now);
        }
    }
}
