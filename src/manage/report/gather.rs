//! Counters, port facts and names -> report.

use std::time::Duration;

use ipnet::IpNet;

use super::latency::{Distribution, to_nanos};
use super::{
    ClassReport, DropCounts, LedgerReport, Link, OutputReport, PoolStatus, PortReport,
    ReceiverReport, Report, RuleReport, SCHEMA, TxChain, WorkerReport,
};
use crate::config::{Class, Config, Rule, UdpPortRewrite};
use crate::ledger::{Counter, Counters, Drops, Ledger, OutputCounters, RuleCounters};
use crate::manage::alerts::Alert;
use crate::manage::breaker::Breakers;
use crate::manage::groups;
use crate::manage::neighbours::{self, NeighbourReport};
use crate::manage::placement::Place;
use crate::manage::reload::Retired;
use crate::manage::slow_path::Malformed;
use crate::manage::unmatched::Unmatched;
use crate::packet::{DropReason, Ticks};
use crate::plan::Plan;

/// What a report is made of.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// The configuration in force.
    pub config: &'a Config,
    /// The plan in force.
    pub plan: &'a Plan,
    /// All workers.
    pub workers: &'a [WorkerView<'a>],
    /// Where they are; nowhere in a simulation.
    pub places: &'a [Place],
    /// By port slot.
    pub ports: &'a [PortStatus],
    /// What was counted in slots that others have now.
    pub retired: &'a Retired,
    /// The circuit breakers.
    pub breakers: &'a Breakers,
    /// All pools.
    pub pools: &'a [PoolStatus],
    /// What no rule takes.
    pub unmatched: &'a Unmatched,
    /// The groups that are joined, and what was heard of groups.
    pub groups: &'a groups::State,
    /// Whom unicast copies go to, and who says that they do not arrive.
    pub neighbours: &'a neighbours::Shown,
    /// What came to the slow path and was not what its headers say.
    pub malformed: &'a Malformed,
    /// The newest alerts.
    pub alerts: &'a [Alert],
    /// The time by the workers' clock; `None` takes the latest heartbeat, which is all there is
    /// where the clock is the capture's.
    pub now: Option<Ticks>,
    /// Since the start.
    pub uptime: Duration,
    /// The version of DPDK.
    pub dpdk: &'a str,
    /// Whether the workers have ended. Then the counters by port and output must agree with the
    /// totals to the packet, and what does not is part of the residual. While workers run, only
    /// the published totals are a snapshot of one moment.
    pub at_rest: bool,
}

/// A worker as management sees it.
#[derive(Clone, Copy, Debug)]
pub struct WorkerView<'a> {
    /// Its lcore.
    pub lcore: u32,
    /// Its counters.
    pub counters: &'a Counters,
}

/// What the driver says of a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortStatus {
    /// Its link.
    pub link: Link,
    /// Frames that the device dropped because its ring was full.
    pub missed: u64,
    /// Frames that the driver dropped because the pool was empty.
    pub no_mbuf: u64,
    /// Frames that the device refused.
    pub rx_errors: u64,
    /// Copies that it accepted and could not send.
    pub tx_errors: u64,
    /// How copies are handed to it.
    pub tx_chain: TxChain,
    /// Its driver's name; empty where there is none.
    pub driver: &'static str,
    /// Bytes of the longest IP packet that it carries.
    pub mtu: u64,
    /// Whether it hears unicast frames for others, too.
    pub promiscuous: bool,
}

impl PortStatus {
    /// Frames that came to the port and not to us.
    fn lost(&self) -> u64 {
        self.missed + self.no_mbuf + self.rx_errors
    }
}

impl Report {
    /// Reads all counters once.
    pub fn gather(inputs: &Inputs<'_>) -> Self {
        let heartbeats = inputs.workers.iter().map(|worker| worker.counters.worker.heartbeat.get());
        let now = inputs.now.unwrap_or_else(|| heartbeats.max().unwrap_or_default());
        Self {
            schema: SCHEMA,
            punctual: env!("CARGO_PKG_VERSION").into(),
            dpdk: inputs.dpdk.into(),
            generation: inputs.plan.generation,
            uptime_ns: u64::try_from(inputs.uptime.as_nanos()).unwrap_or(u64::MAX),
            ledger: ledger(inputs),
            rules: inputs
                .config
                .rules
                .iter()
                .zip(&inputs.plan.rule_slots)
                .map(|(rule, &slot)| rule_report(inputs, now, slot as usize, rule))
                .collect(),
            classes: Class::ALL.iter().map(|class| class_report(inputs, *class)).collect(),
            receivers: receiver_reports(inputs),
            ports: port_reports(inputs),
            workers: inputs
                .workers
                .iter()
                .enumerate()
                .map(|(me, worker)| worker_report(inputs, now, worker, inputs.places.get(me)))
                .collect(),
            pools: inputs.pools.to_vec(),
            unmatched: inputs.unmatched.report(inputs.config),
            unmatched_unseen: inputs.sum(|counters| &counters.misses.unseen),
            groups: inputs.groups.report(inputs.config),
            neighbours: inputs
                .neighbours
                .rows
                .iter()
                .map(|row| NeighbourReport::of(row, inputs.config))
                .collect(),
            alerts: inputs.alerts.to_vec(),
        }
    }
}

impl Inputs<'_> {
    /// The sum of one counter over all workers.
    fn sum(&self, counter: impl Fn(&Counters) -> &Counter) -> u64 {
        let each = self.workers.iter().map(|w| counter(w.counters).get());
        each.sum()
    }

    /// The sum of drops over all workers.
    fn drops(&self, drops: impl Fn(&Counters) -> Drops) -> Drops {
        let mut sum = [0; DropReason::COUNT];
        for worker in self.workers {
            add(&mut sum, &drops(worker.counters));
        }
        sum
    }

    /// Nanoseconds between two times of the workers' clock; 0 where they are the wrong way round,
    /// as of a packet that came after `now` was read.
    fn nanos_between(&self, then: Ticks, now: Ticks) -> u64 {
        to_nanos(now.saturating_sub(then), self.plan.ticks_per_second)
    }
}

fn add(sum: &mut Drops, more: &Drops) {
    sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
}

/// The totals of several workers, what waits between them included. Their snapshots are of
/// different moments: where one shows what it has taken and the other not yet what it has handed
/// over, nothing is taken to wait there.
pub(in crate::manage) fn total(ledgers: impl Iterator<Item = Ledger>) -> Ledger {
    let mut total = sum(ledgers);
    let Ledger { handed, taken, .. } = total;
    total.waiting_before += handed.packets.saturating_sub(taken.packets);
    total.waiting_after += handed.copies.saturating_sub(taken.copies);
    total
}

fn sum(ledgers: impl Iterator<Item = Ledger>) -> Ledger {
    ledgers.fold(Ledger::default(), |mut sum, ledger| {
        sum.received += ledger.received;
        sum.punted += ledger.punted;
        sum.admitted += ledger.admitted;
        sum.waiting_before += ledger.waiting_before;
        sum.copies += ledger.copies;
        sum.sent += ledger.sent;
        sum.waiting_after += ledger.waiting_after;
        for (sum, more) in [(&mut sum.handed, ledger.handed), (&mut sum.taken, ledger.taken)] {
            sum.packets += more.packets;
            sum.copies += more.copies;
        }
        add(&mut sum.dropped_before, &ledger.dropped_before);
        add(&mut sum.dropped_after, &ledger.dropped_after);
        sum
    })
}

fn ledger(inputs: &Inputs<'_>) -> LedgerReport {
    let ledgers: Vec<_> =
        inputs.workers.iter().map(|worker| worker.counters.ledger.read()).collect();
    // By worker, so that one's surplus cannot hide another's loss.
    let mut residual = ledgers.iter().map(Ledger::residual).sum::<u64>();
    let total = total(ledgers.into_iter());
    if inputs.at_rest {
        residual += disagreement(inputs, &total);
        // What one has handed over, another has taken.
        let Ledger { handed, taken, .. } = &total;
        residual += handed.packets.abs_diff(taken.packets) + handed.copies.abs_diff(taken.copies);
    }
    let lost = inputs.ports.iter().map(PortStatus::lost).sum::<u64>();
    LedgerReport {
        offered: total.received + lost,
        received: total.received,
        punted: total.punted,
        admitted: total.admitted,
        dropped_before: (&total.dropped_before).into(),
        waiting_before: total.waiting_before,
        copies: total.copies,
        sent: total.sent,
        dropped_after: (&total.dropped_after).into(),
        waiting_after: total.waiting_after,
        residual,
    }
}

/// By how much the counters by port and by output are off the totals.
fn disagreement(inputs: &Inputs<'_>, total: &Ledger) -> u64 {
    let by_port = |counter: fn(&crate::ledger::PortCounters) -> &Counter| {
        let ports = 0..inputs.config.ports.len();
        ports.map(|slot| inputs.sum(|counters| counter(&counters.ports[slot]))).sum::<u64>()
    };
    let outputs = 0..inputs.plan.outputs.len();
    let by_output = |counter: fn(&OutputCounters) -> &Counter| {
        outputs
            .clone()
            .map(|slot| inputs.sum(|counters| counter(&counters.outputs[slot])))
            .sum::<u64>()
    };
    let Retired { copies, sent, mut dropped } = *inputs.retired;
    for slot in outputs.clone() {
        let drops = inputs.drops(|counters| counters.outputs[slot].dropped());
        add(&mut dropped, &drops);
    }
    let drops = dropped.iter().zip(&total.dropped_after);
    let punt_full = total.dropped_before[DropReason::PuntFull.index()];
    total.received.abs_diff(by_port(|port| &port.received))
        + total.punted.abs_diff(by_port(|port| &port.punted))
        + punt_full.abs_diff(by_port(|port| &port.punt_full))
        + total.sent.abs_diff(by_port(|port| &port.sent))
        + total.copies.abs_diff(copies + by_output(|output| &output.copies))
        + total.sent.abs_diff(sent + by_output(|output| &output.sent))
        + drops.map(|(a, b)| a.abs_diff(*b)).sum::<u64>()
}

fn rule_report(inputs: &Inputs<'_>, now: Ticks, slot: usize, rule: &Rule) -> RuleReport {
    let sum = |counter: fn(&crate::ledger::RuleCounters) -> &Counter| {
        inputs.sum(|counters| counter(&counters.rules[slot]))
    };
    let each = || inputs.workers.iter().map(|w| &w.counters.rules[slot]);
    let packets = sum(|rule| &rule.packets);
    let last_packet = each().map(|rule| rule.last_packet.get()).max();
    let outputs = rule.outputs.iter().zip(inputs.plan.outputs_of(slot as u32));
    let rate = inputs.plan.ticks_per_second;
    RuleReport {
        name: rule.name.clone(),
        class: rule.class.name().into(),
        packets,
        bytes: sum(|rule| &rule.bytes),
        dropped: (&inputs.drops(|counters| counters.rules[slot].dropped())).into(),
        flow_overflow: sum(|rule| &rule.flow_overflow),
        last_packet_ns_ago: match last_packet {
            Some(last) if packets > 0 => inputs.nanos_between(last, now),
            _ => 0,
        },
        latency_ns: Distribution::of(each().map(|rule| &rule.latency), rate).summary(),
        outputs: outputs
            .enumerate()
            .map(|(place, (_, &slot))| output_report(inputs, slot as usize, rule, place))
            .collect(),
    }
}

fn class_report(inputs: &Inputs<'_>, class: Class) -> ClassReport {
    let rules = inputs.config.rules.iter().zip(&inputs.plan.rule_slots);
    let rules: Vec<u32> =
        rules.filter(|(rule, _)| rule.class == class).map(|(_, slot)| *slot).collect();
    let of_rules = |counter: fn(&RuleCounters) -> &Counter| {
        let each = rules.iter().map(|&slot| inputs.sum(|all| counter(&all.rules[slot as usize])));
        each.sum::<u64>()
    };
    let outputs = || rules.iter().flat_map(|&slot| inputs.plan.outputs_of(slot));
    let of_outputs = |counter: fn(&OutputCounters) -> &Counter| {
        let each = outputs().map(|&slot| inputs.sum(|all| counter(&all.outputs[slot as usize])));
        each.sum::<u64>()
    };
    let (mut before, mut after) = ([0; DropReason::COUNT], [0; DropReason::COUNT]);
    for &slot in &rules {
        add(&mut before, &inputs.drops(|all| all.rules[slot as usize].dropped()));
    }
    for &slot in outputs() {
        add(&mut after, &inputs.drops(|all| all.outputs[slot as usize].dropped()));
    }
    let each = inputs.workers.iter().map(|worker| &worker.counters.rules);
    let latency = each.flat_map(|all| rules.iter().map(|&slot| &all[slot as usize].latency));
    ClassReport {
        name: class.name().into(),
        packets: of_rules(|rule| &rule.packets),
        bytes: of_rules(|rule| &rule.bytes),
        dropped_before: (&before).into(),
        copies: of_outputs(|output| &output.copies),
        sent: of_outputs(|output| &output.sent),
        on_time: of_outputs(|output| &output.on_time),
        late_sent: of_outputs(|output| &output.late_sent),
        dropped_after: (&after).into(),
        latency_ns: Distribution::of(latency, inputs.plan.ticks_per_second).summary(),
    }
}

/// The report of the output at `place` of `rule`, which has this slot.
fn output_report(inputs: &Inputs<'_>, slot: usize, rule: &Rule, place: usize) -> OutputReport {
    let (config, output) = (inputs.config, &rule.outputs[place]);
    let is_member = place >= rule.outputs.len() - rule.members().len();
    let sum = |counter: fn(&OutputCounters) -> &Counter| {
        inputs.sum(|counters| counter(&counters.outputs[slot]))
    };
    let dropped = inputs.drops(|counters| counters.outputs[slot].dropped());
    OutputReport {
        name: output.name.clone(),
        receiver: output.receiver.map(|slot| config.receivers[slot].name.clone()),
        port: config.ports[output.port].name.clone(),
        destination: show_destination(output.destination),
        udp_port: show_udp_port(output.udp_port),
        copies: sum(|output| &output.copies),
        sent: sum(|output| &output.sent),
        bytes: sum(|output| &output.bytes),
        on_time: sum(|output| &output.on_time),
        late_sent: sum(|output| &output.late_sent),
        late_dropped: dropped[DropReason::EgressLate.index()],
        not_selected: sum(|output| &output.not_selected),
        balanced_by: rule.balance.filter(|_| is_member).map(|balance| balance.by.name().into()),
        fair_permille: (1_000.0 * rule.share_of(place)).round() as u64,
        taken_over: sum(|output| &output.taken_over),
        unreachable: inputs.neighbours.unreachable.get(slot).copied().unwrap_or_default(),
        dropped: DropCounts::from(&dropped),
    }
}

/// A prefix, an address, or `keep`.
pub(in crate::manage) fn show_destination(destination: Option<IpNet>) -> String {
    match destination {
        None => "keep".into(),
        Some(net) if net.prefix_len() == net.max_prefix_len() => net.addr().to_string(),
        Some(net) => net.to_string(),
    }
}

/// A number, a shift with its sign, or `keep`.
pub(in crate::manage) fn show_udp_port(udp_port: UdpPortRewrite) -> String {
    match udp_port {
        UdpPortRewrite::Keep => "keep".into(),
        UdpPortRewrite::Fixed(port) => port.to_string(),
        UdpPortRewrite::Shift(shift) => format!("{shift:+}"),
    }
}

fn receiver_reports(inputs: &Inputs<'_>) -> Vec<ReceiverReport> {
    let config = inputs.config;
    let receivers = config.receivers.iter().zip(&inputs.plan.receiver_slots);
    let report = |(receiver, &slot): (&crate::config::Receiver, &u32)| {
        let breaker = &inputs.breakers.receivers[slot as usize];
        let all = inputs.plan.rule_slots.iter().flat_map(|&rule| inputs.plan.outputs_of(rule));
        let all = all.map(|&output| output as usize);
        let its = all.filter(|&output| inputs.plan.outputs[output].receiver == Some(slot));
        let its: Vec<_> = its.collect();
        let sum = |counter: fn(&OutputCounters) -> &Counter| {
            let each = its.iter().map(|&slot| inputs.sum(|c| counter(&c.outputs[slot])));
            each.sum()
        };
        let mut dropped = [0; DropReason::COUNT];
        its.iter()
            .for_each(|&slot| add(&mut dropped, &inputs.drops(|c| c.outputs[slot].dropped())));
        ReceiverReport {
            name: receiver.name.clone(),
            port: config.ports[receiver.port].name.clone(),
            outputs: its.len() as u64,
            copies: sum(|output| &output.copies),
            sent: sum(|output| &output.sent),
            bytes: sum(|output| &output.bytes),
            on_time: sum(|output| &output.on_time),
            late_sent: sum(|output| &output.late_sent),
            dropped: (&dropped).into(),
            breaker: breaker.state().into(),
            breaker_opened: breaker.opened(),
        }
    };
    receivers.map(report).collect()
}

fn port_reports(inputs: &Inputs<'_>) -> Vec<PortReport> {
    let ports = inputs.config.ports.iter().zip(inputs.ports).enumerate();
    let report = |(slot, (port, status)): (usize, (&crate::config::Port, &PortStatus))| {
        let sum = |counter: fn(&crate::ledger::PortCounters) -> &Counter| {
            inputs.sum(|counters| counter(&counters.ports[slot]))
        };
        let heeded = inputs.groups.heeded(slot);
        PortReport {
            name: port.name.clone(),
            link: status.link,
            received: sum(|port| &port.received),
            sent: sum(|port| &port.sent),
            bytes_received: sum(|port| &port.bytes_received),
            bytes_sent: sum(|port| &port.bytes_sent),
            missed: status.missed,
            no_mbuf: status.no_mbuf,
            rx_errors: status.rx_errors,
            tx_errors: status.tx_errors,
            originated: sum(|port| &port.originated),
            unsent: sum(|port| &port.unsent),
            punted: sum(|port| &port.punted),
            punt_full: sum(|port| &port.punt_full),
            malformed: inputs.malformed.of(slot),
            group_queries: heeded.queries,
            group_others: heeded.others,
            group_ignored: heeded.ignored(),
            tx_chain: status.tx_chain,
            driver: status.driver.into(),
            mtu: status.mtu,
            promiscuous: status.promiscuous,
            breaker: inputs.breakers.ports[slot].state().into(),
            breaker_opened: inputs.breakers.ports[slot].opened(),
        }
    };
    ports.map(report).collect()
}

fn worker_report(
    inputs: &Inputs<'_>,
    now: Ticks,
    worker: &WorkerView<'_>,
    place: Option<&Place>,
) -> WorkerReport {
    let counters = &worker.counters.worker;
    // Read first: a busy turn is counted before it is counted as a turn.
    let busy_turns = counters.busy_turns.get();
    let Ledger { handed, taken, .. } = worker.counters.ledger.read();
    let turns = counters.turns.get();
    WorkerReport {
        lcore: worker.lcore,
        place: place.map(ToString::to_string).unwrap_or_default(),
        misplaced: place.map(|place| place.misplaced.clone()).unwrap_or_default(),
        turns,
        busy_turns,
        busy_permille: busy_turns * 1_000 / turns.max(1),
        heartbeat_age_ns: inputs.nanos_between(counters.heartbeat.get(), now),
        longest_turn_ns: inputs.nanos_between(0, counters.longest_turn.get()),
        plan_turn_ns: inputs.nanos_between(0, counters.plan_turn.get()),
        generation: counters.generation.get(),
        packets_handed: handed.packets,
        packets_taken: taken.packets,
        copies_handed: handed.copies,
        copies_taken: taken.copies,
    }
}
