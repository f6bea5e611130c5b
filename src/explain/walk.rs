//! The way of one packet through the stages of an instance at rest.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use etherparse::{LinkHeader, NetHeaders, PacketHeaders, TransportHeader};

use super::packet::short;
use super::{CopyHeaders, Explanation, OutputVerdict, PacketText, Parsed, RuleVerdict, SCHEMA};
use crate::config::{Balance, Config, FlowKind, Late, Output, Rule};
use crate::ledger::{Counters, Drops};
use crate::manage::check;
use crate::manage::nearest::{Fields, fields, nearest, takes};
use crate::packet::{Burst, DropReason, Packet};
use crate::plan::{Plan, PlanError};
use crate::stages::{
    BreakerWords, Classify, Egress, Fanout, Flows, IngressDrr, Known, NeighbourWords, Parse, Tally,
};
use crate::testkit::{HeapFrame, HeapPacket, HeapPool};
use crate::wire::{MacAddr, Origin};

/// Buffers for copies: as many as a rule may have outputs, and a stock.
const BUFFERS: usize = 4_096;

/// Why nothing can be explained.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExplainError {
    /// The packet comes in by no port of the configuration.
    #[error("no port is named `{found}`; the packet begins with one of: {allowed}")]
    Port {
        /// The name in the text.
        found: String,
        /// The names there are.
        allowed: String,
    },
    /// The configuration cannot be planned.
    #[error(transparent)]
    Plan(#[from] PlanError),
}

/// Keeps what fan-out makes.
#[derive(Default)]
struct Copies(Vec<HeapPacket>);

impl Egress<HeapPacket> for Copies {
    fn take(&mut self, _: u32, copies: &mut Burst<HeapPacket>, _: &Plan, _: &mut Tally) {
        self.0.extend(copies.drain(..));
    }
}

pub(super) fn walk(config: &Config, text: &PacketText) -> Result<Explanation, ExplainError> {
    let port = config.ports.iter().position(|port| port.name == text.port);
    let port = port.ok_or_else(|| ExplainError::Port {
        found: short(&text.port),
        allowed: config.ports.iter().map(|p| p.name.as_str()).collect::<Vec<_>>().join(", "),
    })?;
    // No time passes here: any clock will do.
    let plan = Plan::build(config, &check::facts(config), 1_000_000_000, 1)?;
    let mut tally = Tally::new(Arc::new(Counters::for_plan(&plan)));
    let mut burst = Burst::new();
    let mut packet = HeapFrame::new(&[&text.frame()]);
    packet.meta_mut().headers.port = port as u8;
    burst.push(packet);

    let mut told = Explanation {
        schema: SCHEMA,
        packet: text.to_string(),
        verdict: "dropped",
        ends_at: None,
        reason: None,
        parsed: None,
        rule: None,
        nearest: None,
        outputs: Vec::new(),
    };
    Parse::default().inspect(&mut burst, &plan, &mut tally);
    let Some(packet) = burst.first() else {
        ended(&mut told, "parse", &tally);
        return Ok(told);
    };
    told.parsed = Some(parsed(packet));
    let asked = Fields {
        port,
        vlan: text.vlan.unwrap_or(0),
        source: text.source.ip(),
        destination: text.destination.ip(),
        udp_port: text.destination.port(),
    };
    let ingress = IngressDrr::new(&plan);
    let mut flows = Flows::new(&plan);
    Classify.inspect(&mut burst, &plan, &mut flows, &ingress, 0, &mut tally);
    let Some(packet) = burst.pop() else {
        ended(&mut told, "classify", &tally);
        // What is ours is no rule's, however near it comes.
        let is_ours = told.reason == Some(DropReason::OwnSource.name());
        told.nearest = nearest(config, &asked).filter(|_| !is_ours);
        return Ok(told);
    };
    let slot = packet.meta().rule;
    // The only plan there ever was: slots are in file order.
    let rule = &config.rules[slot as usize];
    told.rule = Some(rule_verdict(config, rule, &asked));
    told.outputs = fan_out(config, rule, packet, &plan, &mut tally);
    told.verdict = match told.outputs.iter().any(|output| output.copy.is_some()) {
        true => "copied",
        false => "not_copied",
    };
    Ok(told)
}

/// Where it ended, and for which reason.
fn ended(told: &mut Explanation, stage: &'static str, tally: &Tally) {
    told.ends_at = Some(stage);
    told.reason = the_reason(&tally.ledger.dropped_before).map(DropReason::name);
    told.verdict = if told.reason.is_some() { "dropped" } else { "punted" };
}

/// The reason that something was dropped for.
fn the_reason(drops: &Drops) -> Option<DropReason> {
    DropReason::ALL.iter().copied().find(|reason| drops[reason.index()] > 0)
}

fn parsed(packet: &HeapPacket) -> Parsed {
    let headers = packet.meta().headers;
    Parsed {
        ip_version: headers.version,
        vlan: headers.vlan,
        ttl: Origin::read(packet.head(), &headers).ttl(),
        frame_bytes: packet.frame_len() as u64,
    }
}

fn rule_verdict(config: &Config, rule: &Rule, asked: &Fields) -> RuleVerdict {
    let others = config.rules.iter().filter(|other| other.name != rule.name);
    let also = others.filter(|other| takes(&other.input, asked)).map(|other| other.name.clone());
    RuleVerdict {
        name: rule.name.clone(),
        because: fields(config, &rule.input, asked),
        also: also.collect(),
        flow: match rule.flow {
            FlowKind::Rule => "rule",
            FlowKind::Row => "row",
            FlowKind::Source => "source",
        },
        police_rate: rule.police.map(|limit| limit.rate),
        police_burst: rule.police.map(|limit| limit.burst),
        class: rule.class.name(),
        budget_ns: u64::try_from(rule.budget.as_nanos()).unwrap_or(u64::MAX),
        late: match rule.late {
            Late::Send => "send",
            Late::Drop => "drop",
        },
    }
}

/// Lets the stage make the copies, and tells each output's, or why it has none.
fn fan_out(
    config: &Config,
    rule: &Rule,
    packet: HeapPacket,
    plan: &Plan,
    tally: &mut Tally,
) -> Vec<OutputVerdict> {
    let slot = packet.meta().rule;
    let origin = Origin::read(packet.head(), &packet.meta().headers);
    let linear = config.ports.iter().map(|_| Some(HeapPool::new(BUFFERS)));
    let closed = BreakerWords::new(plan.ports.len(), plan.capacity.receivers as usize);
    let mut stage = Fanout::new(HeapPool::new(BUFFERS), linear.collect(), plan, &closed);
    let mut copies = Copies::default();
    let known = NeighbourWords::new(plan.neighbours.len());
    (0..plan.neighbours.len()).for_each(|at| known.set(at, Known::At(MacAddr([2, 0, 0, 0, 0, 1]))));
    stage.neighbours.refresh(&known, BUFFERS, plan, &mut copies, tally);
    let mut burst = Burst::new();
    burst.push(packet);
    stage.replicate(&mut burst, plan, &mut copies, tally);
    let outputs = rule.outputs.iter().zip(plan.outputs_of(slot));
    let verdict = |(output, &slot): (&Output, &u32)| {
        let copy = copies.0.iter().find(|copy| copy.meta().output == slot);
        let counters = &tally.counters.outputs[slot as usize];
        let reason = the_reason(&counters.dropped());
        let passed_over = counters.not_selected.get() > 0;
        let ip_len = plan.outputs[slot as usize].template.ip_len(&origin);
        OutputVerdict {
            name: output.name.clone(),
            port: config.ports[output.port].name.clone(),
            receiver: output.receiver.map(|slot| config.receivers[slot].name.clone()),
            sample: output.sample,
            reason: match passed_over {
                true => Some("not_selected"),
                false => reason.map(DropReason::name),
            },
            why: reason
                .map(|reason| match reason {
                    DropReason::Ttl => {
                        format!("the TTL of {} would be decremented to nothing", origin.ttl())
                    }
                    DropReason::Mtu => {
                        let mtu = config.ports[output.port].mtu;
                        format!("an IP packet of {ip_len} bytes is longer than the MTU of {mtu}")
                    }
                    other => other.meaning().into(),
                })
                .or_else(|| rule.balance.filter(|_| passed_over).map(passed_over_by)),
            next_hop: plan.outputs[slot as usize]
                .neighbour(&origin)
                .map(|slot| plan.neighbours[slot as usize].address),
            copy: copy.and_then(|copy| headers(&copy.bytes())),
        }
    };
    outputs.map(verdict).collect()
}

/// Why a balanced output has no copy.
fn passed_over_by(balance: Balance) -> String {
    format!("another has this {} as long as it takes copies", balance.by.name())
}

/// The headers of a copy, as another parser reads them.
fn headers(frame: &[u8]) -> Option<CopyHeaders> {
    let read = PacketHeaders::from_ethernet_slice(frame).ok()?;
    let Some(LinkHeader::Ethernet2(ethernet)) = &read.link else {
        return None;
    };
    let TransportHeader::Udp(udp) = read.transport.as_ref()? else {
        return None;
    };
    let (source, destination, ttl, dscp): (IpAddr, IpAddr, u8, u8) = match read.net.as_ref()? {
        NetHeaders::Ipv4(ip, _) => {
            (ip.source.into(), ip.destination.into(), ip.time_to_live, ip.dscp.value())
        }
        NetHeaders::Ipv6(ip, _) => {
            (ip.source.into(), ip.destination.into(), ip.hop_limit, ip.traffic_class >> 2)
        }
        _ => return None,
    };
    Some(CopyHeaders {
        source: SocketAddr::new(source, udp.source_port),
        destination: SocketAddr::new(destination, udp.destination_port),
        vlan: read.vlan_ids().iter().map(|id| id.value()).collect(),
        ttl,
        dscp,
        mac: MacAddr(ethernet.destination).to_string(),
        frame_bytes: frame.len() as u64,
    })
}
