//! Management's part of a reload: the file is read, compared with the one in force, planned, and
//! what was given up is tidied away. One rule of many changes, and the others are taken over as they were
//! read, or all are read afresh; or all of them change.

use std::path::Path;
use std::time::Duration;

use punctual::config::{Config, Known, Loaded};
use punctual::ledger::Counters;
use punctual::manage::reload::Reloader;
use punctual::plan::{Plan, PortFacts};
use punctual::wire::MacAddr;

use super::Case;

/// Ticks in a second.
const TICKS: u64 = 1_000_000_000;

/// An instance of so many rules, each with one row and one output.
pub struct Reload {
    /// The files that take turns.
    texts: [String; 2],
    config: Config,
    /// What is known of the file, where it is to be used.
    known: Option<Known>,
    plan: Plan,
    reloader: Reloader,
    counters: Counters,
}

/// The file; `weight` is what changes in the first of the rules, so many of them.
fn text(rules: usize, changed: usize, weight: usize) -> String {
    let mut text = String::from(
        "schema = 1\n[instance]\nname = \"reload\"\n\
         [[port]]\nname = \"in\"\ndevice = \"net_null0\"\n\
         [[port]]\nname = \"out\"\ndevice = \"net_null1\"\n",
    );
    for rule in 0..rules {
        let (x, y) = (rule / 200, rule % 200);
        let weight = if rule < changed { weight } else { 1 };
        text += &format!(
            "[[rule]]\nname = \"r{rule}\"\n\
             input = {{ port = \"in\", destination = \"239.1.{x}.{y}\", udp_port = 5001 }}\n\
             output = [{{ port = \"out\", destination = \"239.9.0.{y}\", weight = {weight} }}]\n"
        );
    }
    text
}

fn load(known: &Known, text: &str) -> Loaded {
    match known.load_bytes(Path::new("reload.toml"), text.into(), &|_| None) {
        Ok(loaded) => loaded,
        Err(errors) => panic!("{errors}"),
    }
}

impl Reload {
    pub fn new(rules: usize) -> Self {
        Self::by_known(Self::of(rules, 1))
    }

    /// The same where all rules change.
    pub fn all(rules: usize) -> Self {
        Self::by_known(Self::of(rules, rules))
    }

    /// One rule changes, and nothing is taken over.
    pub fn afresh(rules: usize) -> Self {
        Self::of(rules, 1)
    }

    fn by_known(mut all: Self) -> Self {
        let Loaded { config, mut known, .. } = load(&Known::default(), &all.texts[0]);
        known.settle(Known::default(), &config.rules);
        all.known = Some(known);
        all
    }

    fn of(rules: usize, changed: usize) -> Self {
        let texts = [1, 2].map(|weight| text(rules, changed, weight));
        let config = load(&Known::default(), &texts[0]).config;
        let facts = [1, 2].map(|last| PortFacts {
            mac: MacAddr([2, 0, 0, 0, 1, last]),
            mtu: 1500,
            sends_chains: true,
        });
        let (plan, slots) = Plan::first(&config, &facts, TICKS).expect("the plan is built");
        let counters = Counters::for_plan(&plan);
        let reloader = Reloader::new(slots, facts.to_vec());
        Self { texts, config, known: None, plan, reloader, counters }
    }
}

impl Case for Reload {
    fn least(&self) -> u64 {
        5 * self.config.rules.len() as u64
    }

    fn run(&mut self) -> u64 {
        self.texts.swap(0, 1);
        let before = self.known.take();
        let Loaded { config, mut known, .. } =
            load(before.as_ref().unwrap_or(&Known::default()), &self.texts[0]);
        self.known = before.map(|before| {
            known.settle(before, &config.rules);
            known
        });
        let (reloader, counters) = (&mut self.reloader, &[&self.counters]);
        let now = Duration::ZERO;
        let next = reloader.follow(&self.plan, &self.config, &config, counters, now);
        self.plan = next.expect("the plan is built");
        self.config = config;
        assert!(reloader.tick(&self.plan, counters, now).is_none(), "nothing is gone");
        self.config.rules.len() as u64
    }

    fn check(&mut self) {
        assert_eq!(self.plan.rows.len(), self.config.rules.len());
        assert!(self.plan.generation > 5);
    }
}
