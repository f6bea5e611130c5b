//! Models of traffic: from one load to the offers of every rule.

use std::fmt;
use std::str::FromStr;

use fastrand::Rng;

use super::inputs::{SimulateError, seed};
use super::loads::{self, Resource, RuleLoad};
use super::scenario::{Offer, SIZES, Scenario};
use super::{frames, world};
use crate::testkit::traffic::Pattern;

/// How traffic is made from a seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// Evenly spaced.
    Constant,
    /// Each packet by itself.
    Poisson,
    /// On and off: 16 to 256 packets at ten times the rate, then a pause.
    Bursts,
    /// All rules send a burst at the same instant, a thousand times a second.
    Incast,
    /// A calm base, and now and then a burst at line rate that holds most of the traffic.
    Microburst,
    /// The first rule offers ten times what the others do.
    Aggressor,
}

impl Model {
    /// Every model.
    pub const ALL: [Self; 6] = [
        Self::Constant,
        Self::Poisson,
        Self::Bursts,
        Self::Incast,
        Self::Microburst,
        Self::Aggressor,
    ];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Constant => "constant",
            Self::Poisson => "poisson",
            Self::Bursts => "bursts",
            Self::Incast => "incast",
            Self::Microburst => "microburst",
            Self::Aggressor => "aggressor",
        }
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Model {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|model| model.name() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("unknown model `{text}`; it is one of {names}")
        })
    }
}

/// Between two instants of an incast, and between two microbursts on average, in nanoseconds;
/// a tenth of the span where that is less.
const INCAST_PERIOD: u64 = 1_000_000;
const MICROBURST_PERIOD: u64 = 10_000_000;

/// What a model offers.
#[derive(Clone, Debug)]
pub struct Spread {
    /// Offers for every rule that has frames of its own.
    pub offers: Vec<Offer>,
    /// What each resource is asked for by them.
    pub loads: Vec<(Resource, f64)>,
    /// Rules that have no frames of their own, by slot.
    pub without: Vec<usize>,
}

/// Offers the busiest resource of `scenario` `load` times what it can carry.
///
/// # Errors
/// Where no plan can be built.
pub fn spread(scenario: &Scenario, model: Model, load: f64) -> Result<Spread, SimulateError> {
    let config = &scenario.config;
    let plan = world::plan(config)?;
    let mut without = Vec::new();
    // One bit a second each, and ten for an aggressor.
    let mut units: Vec<RuleLoad> = Vec::new();
    for (slot, rule) in config.rules.iter().enumerate() {
        let mut rng = Rng::with_seed(seed(scenario, 1, slot));
        let has = !frames::of_rule(config, &plan, slot, 1, &SIZES[..1], &mut rng).is_empty();
        if !has {
            without.push(slot);
            continue;
        }
        let weight = if model == Model::Aggressor && units.is_empty() { 10.0 } else { 1.0 };
        let bits = frames::mean_bits(config, rule, &SIZES);
        units.push(RuleLoad { rule: slot, packets: weight / bits, bits });
    }
    let unit = loads::loads(scenario, &units);
    let factor = match loads::busiest(&unit) {
        Some((_, most)) if most > 0.0 => load / most,
        _ => 0.0,
    };
    let scaled = |unit: &RuleLoad| RuleLoad { packets: unit.packets * factor, ..*unit };
    let scaled: Vec<_> = units.iter().map(scaled).collect();
    let offers = scaled.iter().flat_map(|load| offers(scenario, model, load)).collect();
    Ok(Spread { offers, loads: loads::loads(scenario, &scaled), without })
}

fn offers(scenario: &Scenario, model: Model, load: &RuleLoad) -> Vec<Offer> {
    let rate = load.packets * load.bits;
    let input = frames::input_of(&scenario.config, &scenario.config.rules[load.rule]);
    let peak = scenario.link_of(input).max((rate * 2.0) as u64);
    let period = |usual: u64| usual.min(scenario.span / 10).max(1);
    let offer = |part: f64, pattern| {
        let rate = (rate * part).round().max(1.0) as u64;
        Offer { pattern, ..Offer::of(load.rule, rate) }
    };
    match model {
        Model::Constant => vec![offer(1.0, Pattern::Constant)],
        Model::Poisson | Model::Aggressor => vec![offer(1.0, Pattern::Poisson)],
        Model::Bursts => vec![offer(1.0, Pattern::Bursts)],
        Model::Incast => {
            vec![offer(1.0, Pattern::Together { period: period(INCAST_PERIOD), peak })]
        }
        Model::Microburst => {
            let period = period(MICROBURST_PERIOD);
            vec![offer(0.3, Pattern::Poisson), offer(0.7, Pattern::Apart { period, peak })]
        }
    }
}
