//! What comes into the world: the traffic of each port, and faults with their places and times.

use std::time::Duration;

use fastrand::Rng;

use super::frames;
use super::loads::RuleLoad;
use super::scenario::{COPIES_MAX, Offer, PACKETS_MAX, SPAN_MAX, Scenario};
use crate::config::Config;
use crate::manage::run::DRAIN_MAX;
use crate::packet::Ticks;
use crate::plan::{Plan, PlanError};
use crate::testkit::fault::{Fault, FaultKind, FaultSpec, Place};
use crate::testkit::record::Record;
use crate::testkit::traffic::{Frame, Stream, Traffic};

/// Why a scenario cannot run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum SimulateError {
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error("the rule with slot {0} does not exist: the configuration has {1}, counted from 0")]
    Rule(usize, usize),
    #[error("the port with slot {0} does not exist: the configuration has {1}, counted from 0")]
    Port(usize, usize),
    #[error(
        "{0} packets and {1} copies are too many; {PACKETS_MAX} and {COPIES_MAX} at most are \
         simulated: take a shorter --duration, a lower --load or --link, or a shorter capture"
    )]
    TooMany(u64, u64),
    #[error("traffic for {} is too long; a day at most is simulated", show(*.0))]
    TooLong(Ticks),
    #[error("no frame would come to rule `{0}` alone: more specific rules take all it matches")]
    NoFrames(String),
    #[error("`{fault}`: {place}")]
    Place { fault: String, place: String },
}

fn show(nanos: Ticks) -> String {
    crate::config::show_duration(Duration::from_nanos(nanos))
}

/// A seed for the `number`th of a kind of thing.
pub fn seed(scenario: &Scenario, kind: u64, number: usize) -> u64 {
    let mixed = scenario.seed ^ kind << 56 ^ (number as u64) << 32;
    mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31)
}

/// The traffic of each port, by slot; times are moved on by `start`.
pub fn traffic(
    scenario: &Scenario,
    config: &Config,
    plan: &Plan,
    start: Ticks,
) -> Result<Vec<Traffic>, SimulateError> {
    let (rules, ports) = (config.rules.len(), config.ports.len());
    if u128::from(scenario.span) > SPAN_MAX.as_nanos() {
        return Err(SimulateError::TooLong(scenario.span));
    }
    let (mut packets, mut copies) = (0.0, 0.0);
    let mut made: Vec<Made> = (0..ports).map(|_| Made::default()).collect();
    for (number, offer) in scenario.offers.iter().enumerate() {
        let rule = config.rules.get(offer.rule).ok_or(SimulateError::Rule(offer.rule, rules))?;
        let mut rng = Rng::with_seed(seed(scenario, 1, offer.rule));
        let frames = frames::of_rule(config, plan, offer.rule, offer.flows, &offer.sizes, &mut rng);
        if frames.is_empty() {
            return Err(SimulateError::NoFrames(rule.name.clone()));
        }
        let until = offer.until.min(scenario.span);
        let seconds = until.saturating_sub(offer.from) as f64 / 1e9;
        let count = offer.rate as f64 * seconds / frames::mean_bits(config, rule, &offer.sizes);
        packets += count;
        copies += count * rule.outputs.len() as f64;
        let port = &mut made[frames::input_of(config, rule)];
        let stream = stream(offer, &frames, port.frames.len(), start, until);
        port.frames.extend(frames.into_iter().map(|(frame, _)| frame));
        port.streams.push((stream, seed(scenario, 2, number)));
    }
    for replay in &scenario.replays {
        let port = made.get_mut(replay.port).ok_or(SimulateError::Port(replay.port, ports))?;
        let first = port.frames.len() as u32;
        packets += replay.times.len() as f64;
        let rules = replay.frames.iter().filter_map(|frame| config.rules.get(frame.rule? as usize));
        copies += rules.map(|rule| rule.outputs.len() as f64).sum::<f64>();
        let times = (first..).zip(&replay.times).map(|(number, at)| (start + at, number));
        port.captures.push(times.collect());
        port.frames.extend(replay.frames.iter().cloned());
    }
    // The CPU makes no more than it has time for.
    let time = (scenario.span as f64 + DRAIN_MAX.as_nanos() as f64) / scenario.costs.copy as f64;
    copies = copies.min(time);
    if packets > PACKETS_MAX as f64 || copies > COPIES_MAX as f64 {
        return Err(SimulateError::TooMany(packets as u64, copies as u64));
    }
    Ok(made.into_iter().map(Made::traffic).collect())
}

/// The traffic of one port in the making.
#[derive(Default)]
struct Made {
    frames: Vec<Frame>,
    streams: Vec<(Stream, u64)>,
    captures: Vec<Vec<(Ticks, u32)>>,
}

impl Made {
    fn traffic(self) -> Traffic {
        let mut traffic = Traffic::new(self.frames);
        self.streams.iter().for_each(|(stream, seed)| traffic.stream(stream, *seed));
        self.captures.into_iter().for_each(|capture| traffic.capture(capture));
        traffic
    }
}

fn stream(
    offer: &Offer,
    frames: &[(Frame, u32)],
    first: usize,
    start: Ticks,
    until: Ticks,
) -> Stream {
    let numbers = first as u32..;
    Stream {
        frames: numbers.zip(frames).map(|(number, (_, weight))| (number, *weight)).collect(),
        rate: offer.rate,
        pattern: offer.pattern,
        from: start + offer.from.min(until),
        until: start + until,
    }
}

/// What the record says was offered to each rule in the span.
pub fn rule_loads(scenario: &Scenario, record: &Record) -> Vec<RuleLoad> {
    let seconds = scenario.span.max(1) as f64 / 1e9;
    let rules = record.offered.iter().take(scenario.config.rules.len()).enumerate();
    let offered = rules.filter(|(_, offered)| offered.packets > 0);
    let load = |(rule, offered): (usize, &crate::testkit::record::Offered)| RuleLoad {
        rule,
        packets: offered.packets as f64 / seconds,
        bits: offered.bytes as f64 * 8.0 / offered.packets as f64,
    };
    offered.map(load).collect()
}

/// The faults with their places and times.
pub fn faults(scenario: &Scenario, config: &Config) -> Result<Vec<Fault>, SimulateError> {
    let mut rng = Rng::with_seed(seed(scenario, 4, 0));
    let fault = |spec: &FaultSpec| {
        let slot = place(spec, scenario, config, &mut rng).map_err(|place| {
            let fault = spec.to_string();
            SimulateError::Place { fault, place }
        })?;
        let mut fault = spec.schedule(slot, scenario.span, &mut rng);
        if spec.kind == FaultKind::Stop && spec.length.is_none() {
            fault.length = u64::try_from(DRAIN_MAX.as_nanos()).unwrap_or(u64::MAX);
        }
        Ok(fault)
    };
    scenario.faults.iter().map(fault).collect()
}

/// The slot of a fault's place, or what places there are.
fn place(
    spec: &FaultSpec,
    scenario: &Scenario,
    config: &Config,
    rng: &mut Rng,
) -> Result<usize, String> {
    let outputs = || config.rules.iter().flat_map(|rule| &rule.outputs);
    let port = |slot: usize| (slot, config.ports[slot].name.clone());
    let ports = |used: &dyn Fn(usize) -> bool| -> Vec<(usize, String)> {
        (0..config.ports.len()).filter(|&slot| used(slot)).map(port).collect()
    };
    let offered = |slot: usize| {
        let mut rules = scenario.offers.iter().filter_map(|offer| config.rules.get(offer.rule));
        rules.any(|rule| frames::input_of(config, rule) == slot)
            || scenario.replays.iter().any(|replay| replay.port == slot)
    };
    let (what, places) = match spec.kind.place() {
        Place::Worker => return Ok(0),
        Place::Input => ("input ports", ports(&offered)),
        Place::Output => ("output ports", ports(&|slot| outputs().any(|o| o.port == slot))),
        Place::Pool => ("pools", vec![(0, "payload".into()), (1, "headers".into())]),
        Place::Receiver => {
            let receivers = config.receivers.iter().enumerate();
            let receivers = receivers.map(|(slot, receiver)| (slot, receiver.name.clone()));
            ("receivers", receivers.collect())
        }
    };
    let names: Vec<_> = places.iter().map(|(_, name)| name.as_str()).collect();
    let names = if names.is_empty() { "none".into() } else { names.join(", ") };
    match &spec.place {
        None => rng.choice(&places).map(|(slot, _)| *slot),
        Some(wanted) => places.iter().find(|(_, name)| name == wanted).map(|(slot, _)| *slot),
    }
    .ok_or_else(|| match &spec.place {
        None => format!("there is no place for it; the {what} are: {names}"),
        Some(wanted) => format!("it does not happen at `{wanted}`; the {what} are: {names}"),
    })
}
