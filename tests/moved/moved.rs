//! Which counters have moved: those of an exposition whose value is not 0.

use std::collections::BTreeSet;

use punctual::config::Detail;
use punctual::manage::metrics::exposition;
use punctual::manage::report::Report;
use punctual::manage::view::{RuleLatency, View};
use punctual::testkit::openmetrics::parse;

use crate::table::{MOVERS, Mover};

/// Counters that have moved, named as `metrics::counters` names them.
#[derive(Debug, Default)]
pub struct Moved(BTreeSet<String>);

impl Moved {
    /// Adds what moved by the text of an instance's metrics.
    pub fn text(&mut self, text: &str) {
        for family in parse(text).unwrap_or_else(|why| panic!("{why}\n{text}")) {
            for sample in family.samples.iter().filter(|sample| sample.number() != 0.0) {
                let of = ["reason", &family.name].map(|label| sample.label(label));
                self.0.insert(family.name.clone());
                for of in of.into_iter().flatten() {
                    self.0.insert(format!("{}{{{of}}}", family.name));
                }
            }
        }
    }

    /// Adds what moved by what management would show.
    pub fn view(&mut self, view: &View) {
        self.text(&exposition(&view.report(false), &view.latency(), Detail::Outputs));
    }

    /// Adds what moved by a report that comes without its residence times.
    pub fn report(&mut self, report: &Report) {
        let times = |rule: &punctual::manage::report::RuleReport| RuleLatency {
            rule: rule.name.clone(),
            class: rule.class.clone(),
            times: Default::default(),
        };
        let times: Vec<_> = report.rules.iter().map(times).collect();
        self.text(&exposition(report, &times, Detail::Outputs));
    }

    /// Whether all has moved that the table says `mover` moves.
    pub fn all(&self, mover: Mover) -> bool {
        self.still(mover).is_empty()
    }

    fn still(&self, mover: Mover) -> Vec<&'static str> {
        let of = MOVERS.iter().filter(|(_, of)| *of == mover);
        of.map(|(name, _)| *name).filter(|name| !self.0.contains(*name)).collect()
    }

    /// All that the table says `mover` moves has moved, and nothing that it says nobody does.
    pub fn is_as_the_table_says(&self, mover: Mover) {
        let still = self.still(mover);
        assert!(still.is_empty(), "these did not move: {still:#?}");
        let never = MOVERS.iter().filter(|(_, of)| matches!(of, Mover::Nobody(_)));
        let wrong: Vec<_> = never.filter(|(name, _)| self.0.contains(*name)).collect();
        assert!(wrong.is_empty(), "the table says nobody moves these: {wrong:#?}");
    }
}
