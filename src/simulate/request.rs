//! What a user asks for: traffic by seed or from captures, a load, costs and faults; turned into
//! a scenario and run.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::capture::{self, CaptureError};
use super::inputs::SimulateError;
use super::loads::{Resource, busiest};
use super::model::{self, Model};
use super::outcome::Outcome;
use super::scenario::Scenario;
use super::{frames, world};
use crate::config::Config;
use crate::testkit::Costs;
use crate::testkit::fault::FaultSpec;

/// Where traffic comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrafficSource {
    /// `seed:N`.
    Seed(u64),
    /// `TRACE.pcap` or `PORT=TRACE.pcap`; which of them depends on the configuration's ports.
    Capture(String),
}

impl FromStr for TrafficSource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(seed) = text.strip_prefix("seed:") else {
            return match text {
                "" => Err("it is empty; write a capture's path, PORT=PATH, or seed:N".into()),
                _ => Ok(Self::Capture(text.into())),
            };
        };
        seed.parse().map(Self::Seed).map_err(|_| {
            format!("`{seed}` is no seed; write a number from 0 to {}, as in seed:7", u64::MAX)
        })
    }
}

/// How much is offered, as a multiple: of what the busiest resource can carry, or of a capture's
/// own speed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    millionths: u64,
}

impl Default for Load {
    fn default() -> Self {
        Self { millionths: 1_000_000 }
    }
}

impl Load {
    /// As a number.
    pub fn factor(self) -> f64 {
        self.millionths as f64 / 1e6
    }
}

impl FromStr for Load {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || format!("`{text}` is no load; write a number from 0.01 to 100, as in 1.5");
        let digits = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let load: f64 = text.parse().map_err(|_| refused())?;
        if !digits || !(0.01..=100.0).contains(&load) {
            return Err(refused());
        }
        Ok(Self { millionths: (load * 1e6).round() as u64 })
    }
}

/// A simulation as it was asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// One seed, or captures.
    pub traffic: Vec<TrafficSource>,
    /// How traffic is made from a seed; Poisson where nothing is said.
    pub model: Option<Model>,
    /// How much of it.
    pub load: Load,
    /// For how long; a second of seeded traffic, or all of a capture, where nothing is said.
    pub duration: Option<Duration>,
    /// Bits a second of every link.
    pub link: u64,
    /// What the CPU takes.
    pub costs: Costs,
    /// What goes wrong.
    pub faults: Vec<FaultSpec>,
}

/// Why a request cannot be met.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The command line asks for what does not go together.
    #[error("{0}")]
    Usage(String),
    /// A capture cannot be played.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// The scenario cannot run.
    #[error(transparent)]
    Simulate(#[from] SimulateError),
}

/// A simulation that has run.
#[derive(Clone, Debug)]
pub struct Simulation {
    /// What was played: `seed 7`, or the captures.
    pub traffic: String,
    /// The model; none for captures.
    pub model: Option<Model>,
    /// The seed of the traffic, or of the faults beside a capture.
    pub seed: u64,
    /// The load as asked for.
    pub load: f64,
    /// What each resource was asked to carry; 1 is all it can.
    pub loads: Vec<(Resource, f64)>,
    /// What was simulated.
    pub scenario: Scenario,
    /// What it led to.
    pub outcome: Outcome,
    /// What is odd, as sentences.
    pub notes: Vec<String>,
}

impl Simulation {
    /// The resource that is asked for most.
    pub fn busiest(&self) -> Option<(Resource, f64)> {
        busiest(&self.loads)
    }
}

/// Runs what is asked for.
///
/// # Errors
/// Where it cannot be run; nothing that is asked for makes it panic or run forever.
pub fn simulate(config: &Config, request: &Request) -> Result<Simulation, RequestError> {
    let mut scenario = Scenario::new(config.clone());
    scenario.link = request.link;
    scenario.costs = request.costs;
    scenario.faults = request.faults.clone();
    let until = request.duration.map(|d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX));
    let load = request.load.factor();
    let seeded = |source: &TrafficSource| matches!(source, TrafficSource::Seed(_));
    let (traffic, loads, mut notes) = match request.traffic.as_slice() {
        [TrafficSource::Seed(seed)] => {
            scenario.seed = *seed;
            scenario.span = until.unwrap_or(scenario.span);
            let model = request.model.unwrap_or(Model::Poisson);
            let (loads, notes) = seed_traffic(&mut scenario, model, load)?;
            (format!("seed {seed}"), Some(loads), notes)
        }
        sources if sources.iter().any(seeded) => {
            let text = "--traffic takes one seed:N alone, or captures";
            return Err(RequestError::Usage(text.into()));
        }
        _ if request.model.is_some() => {
            let text = "--model makes traffic from a seed; a capture is played as it is";
            return Err(RequestError::Usage(text.into()));
        }
        [] => return Err(RequestError::Usage("--traffic is missing".into())),
        sources => {
            let (traffic, notes) = captured_traffic(&mut scenario, sources, request.load, until)?;
            (traffic, None, notes)
        }
    };
    notes.extend(several_workers(config));
    let outcome = scenario.run()?;
    Ok(Simulation {
        traffic,
        model: loads.is_some().then(|| request.model.unwrap_or(Model::Poisson)),
        seed: scenario.seed,
        load,
        loads: loads.unwrap_or_else(|| outcome.loads.clone()),
        scenario,
        outcome,
        notes,
    })
}

/// What a simulation leaves out of a configuration with several workers.
fn several_workers(config: &Config) -> Option<String> {
    let workers = config.eal.lcores.as_ref().map_or(1, |lcores| lcores.workers.len());
    (workers > 1).then(|| {
        format!(
            "the file has {workers} workers, simulated is one: a load of 1 is what one carries, \
             and nothing is handed from one to another"
        )
    })
}

type Loads = Vec<(Resource, f64)>;

fn seed_traffic(
    scenario: &mut Scenario,
    model: Model,
    load: f64,
) -> Result<(Loads, Vec<String>), RequestError> {
    let model::Spread { offers, loads, without } = model::spread(scenario, model, load)?;
    if offers.is_empty() {
        let text = "no rule of the configuration takes a frame that could be made for it alone; \
                    play a capture instead";
        return Err(RequestError::Usage(text.into()));
    }
    scenario.offers = offers;
    let rules = &scenario.config.rules;
    let note = |slot: usize| {
        format!("rule `{}` gets nothing: more specific rules take all it matches", rules[slot].name)
    };
    Ok((loads, without.into_iter().map(note).collect()))
}

fn captured_traffic(
    scenario: &mut Scenario,
    sources: &[TrafficSource],
    load: Load,
    until: Option<u64>,
) -> Result<(String, Vec<String>), RequestError> {
    let config = &scenario.config;
    let inputs = config.rules.iter().map(|rule| frames::input_of(config, rule));
    let first = inputs.min().unwrap_or(0);
    let file = |source: &TrafficSource| {
        let TrafficSource::Capture(text) = source else {
            return (first, PathBuf::new());
        };
        let named = text.split_once('=').and_then(|(port, path)| {
            let slot = config.ports.iter().position(|candidate| candidate.name == port)?;
            Some((slot, PathBuf::from(path)))
        });
        named.unwrap_or_else(|| (first, PathBuf::from(text)))
    };
    let files: Vec<_> = sources.iter().map(file).collect();
    for (_, path) in &files {
        // A port that does not exist must not look like a file that does not.
        if let Some((port, _)) = path.to_string_lossy().split_once('=')
            && !path.exists()
        {
            let names: Vec<_> = config.ports.iter().map(|port| port.name.as_str()).collect();
            return Err(RequestError::Usage(format!(
                "--traffic {}: there is no port `{port}`; the ports are {}",
                path.display(),
                names.join(", ")
            )));
        }
    }
    let plan = world::plan(config)?;
    let played = capture::read(&files, &plan, load.millionths, until)?;
    scenario.replays = played.replays;
    scenario.span = played.span;
    let names = files.iter().map(|(port, path)| {
        format!("{} at port {}", path.display(), scenario.config.ports[*port].name)
    });
    Ok((names.collect::<Vec<_>>().join(", "), played.notes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_are_numbers_within_reason() {
        assert_eq!("1.5".parse::<Load>().unwrap().factor(), 1.5);
        assert_eq!("100".parse::<Load>().unwrap().factor(), 100.0);
        for text in ["", "0", "0.001", "101", "-1", "nan", "inf", "1e3", "1,5", "."] {
            assert!(text.parse::<Load>().unwrap_err().contains("0.01 to 100"), "{text}");
        }
    }

    #[test]
    fn traffic_is_a_seed_or_a_file() {
        assert_eq!("seed:7".parse(), Ok(TrafficSource::Seed(7)));
        assert_eq!("a.pcap".parse(), Ok(TrafficSource::Capture("a.pcap".into())));
        for text in ["seed:", "seed:x", "seed:-1", "seed:18446744073709551616", ""] {
            assert!(text.parse::<TrafficSource>().is_err(), "{text}");
        }
    }
}
