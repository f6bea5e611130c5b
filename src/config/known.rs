//! Reading again: a rule that stands in the files as it did is taken over, not read.
//!
//! A block is the text from `[[rule]]` at the beginning of a line to the next such line. Blocks
//! that were accepted are known by their text. In the next text they are blanked out, byte for
//! byte, so that what is left is parsed alone and all of it keeps its place. What is taken over is
//! the same as what would be read, for
//!
//! - a block is known only where each `[[rule]]` of its file was the header of a rule to the parser,
//!   so that it is whole by itself, and where it holds nothing but its rule,
//! - what is left of the new text must be valid, with the headers of the rules that are not known
//!   where they are looked for: so nothing that is open runs into a blank,
//! - a rule is read alike where ports, classes, receivers, defaults and clock are alike; what checks
//!   rules against each other checks all of them,
//! - where anything else is found, a mistake above all, everything is read afresh.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use foldhash::HashMap;

use super::read_output::{ReadReceiver, Settings};
use super::read_rule::{Origin, Places, ReadRule, RuleSettings, Site};
use super::source::Place;
use super::tree::{Entries, Value};
use super::types::{Class, ClassConfig, ClockSource, Port, Rule};
use super::written::Written;

/// The header of a rule, at the beginning of a line.
const HEADER: &str = "[[rule]]";

/// What was read of files that were accepted.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// What cannot change while running.
    pub(super) written: Written,
    /// What the rules were read against.
    site: Option<Arc<KnownSite>>,
    /// Rules by the text of their blocks.
    rules: HashMap<Box<str>, Arc<ReadRule>>,
    /// Of all rules, in order, what was read beside them, until they are settled.
    unsettled: Vec<Places>,
    /// The rules as they were read, where those in force are to be others.
    kept: Option<Vec<Rule>>,
}

/// All that the reading of a rule depends on, itself aside.
#[derive(Debug)]
struct KnownSite {
    ports: Vec<Port>,
    classes: [ClassConfig; Class::COUNT],
    receivers: Vec<ReadReceiver>,
    default_receiver: Settings,
    default_output: Settings,
    default_rule: RuleSettings,
    clock: ClockSource,
}

impl KnownSite {
    fn of(site: &Site<'_>) -> Self {
        Self {
            ports: site.ports.to_vec(),
            classes: *site.classes,
            receivers: site.layers.receivers.clone(),
            default_receiver: site.layers.default_receiver,
            default_output: site.layers.default_output,
            default_rule: site.default_rule,
            clock: site.clock,
        }
    }

    fn is(&self, site: &Site<'_>) -> bool {
        self.ports == site.ports
            && self.classes == *site.classes
            && self.receivers == site.layers.receivers
            && self.default_receiver == site.layers.default_receiver
            && self.default_output == site.layers.default_output
            && self.default_rule == site.default_rule
            && self.clock == site.clock
    }
}

/// A file as it is parsed: what is known of it is blank.
#[derive(Debug)]
pub(super) struct Rest<'t> {
    /// As long as the file.
    pub text: Cow<'t, str>,
    /// Where rules are known to begin, in order.
    known: Vec<(usize, Arc<ReadRule>)>,
    /// Where other rules begin.
    other: Vec<usize>,
}

impl<'t> Rest<'t> {
    /// All of a file.
    pub(super) fn whole(text: &'t str) -> Self {
        Self { text: text.into(), known: Vec::new(), other: Vec::new() }
    }

    /// Whether the other rules were found where they are looked for, and nowhere else; so they are
    /// where nothing is known.
    pub(super) fn is_found(&self, tree: &Entries<'_>) -> bool {
        if self.known.is_empty() {
            return true;
        }
        match tree.get("rule").map(|rules| &rules.value) {
            None => self.other.is_empty(),
            Some(Value::Array(rules)) => {
                let found = rules.iter().map(|rule| rule.at.start);
                !self.other.is_empty() && found.eq(self.other.iter().copied())
            }
            Some(_) => false,
        }
    }

    /// How many rules of the file are known.
    pub(super) fn known_count(&self) -> usize {
        self.known.len()
    }

    /// The known rules, as they stand in this file.
    pub(super) fn rules(&self, file: usize, site: &Site<'_>) -> impl Iterator<Item = ReadRule> {
        let default = site.default_rule.class_at();
        self.known.iter().map(move |(start, known)| {
            let places = known.places.moved(Place::new(file, *start..*start), default);
            ReadRule { rule: known.rule.clone(), places }
        })
    }
}

impl Known {
    /// Where a difference that needs a restart is written in these files: file, line and column.
    pub fn place_of(&self, difference: &str) -> Option<String> {
        self.written.place_of(difference)
    }

    /// Whether no rule is known.
    pub(super) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether rules that are read against this are read as they were.
    pub(super) fn holds_for(&self, site: &Site<'_>) -> bool {
        self.is_empty() || self.site.as_ref().is_some_and(|known| known.is(site))
    }

    /// What there is to parse of a file.
    pub(super) fn rest<'t>(&self, text: &'t str) -> Rest<'t> {
        if self.is_empty() {
            return Rest::whole(text);
        }
        let (mut left, mut known, mut other) = (text.as_bytes().to_vec(), Vec::new(), Vec::new());
        for block in blocks(text) {
            match self.rules.get(&text[block.clone()]) {
                Some(rule) => {
                    known.push((block.start, Arc::clone(rule)));
                    left[block].fill(b' ');
                }
                None => other.push(block.start),
            }
        }
        // Blocks begin and end between characters.
        let text = String::from_utf8(left).unwrap_or_default();
        Rest { text: text.into(), known, other }
    }

    /// What was read against this, without a mistake; it is of use when it is settled.
    pub(super) fn read(site: &Site<'_>, rules: Vec<Places>) -> Self {
        Self { site: Some(Arc::new(KnownSite::of(site))), unsettled: rules, ..Self::default() }
    }

    /// Keeps the rules as they were read, before they are made others.
    pub(super) fn keep(&mut self, rules: &[Rule]) {
        self.kept = Some(rules.to_vec());
    }

    /// Makes what was read known to the next reading: these `rules`. `before` is what was known to the
    /// last one. Nothing needs it, so that it can wait until who asked for the reading has an answer.
    pub fn settle(&mut self, mut before: Self, rules: &[Rule]) {
        let kept = self.kept.take();
        let rules = kept.as_deref().unwrap_or(rules);
        let read = std::mem::take(&mut self.unsettled);
        self.rules.reserve(read.len());
        let mut read = read.into_iter().zip(rules).peekable();
        for (file, source) in self.written.sources.iter().enumerate() {
            let own = std::iter::from_fn(|| read.next_if(|(at, _)| at.header.file == file));
            let (own, blocks) = (own.collect::<Vec<_>>(), blocks(&source.text).collect::<Vec<_>>());
            let starts = own.iter().map(|(places, _)| places.header.start);
            if !starts.eq(blocks.iter().map(|block| block.start)) {
                continue;
            }
            for ((places, rule), block) in own.into_iter().zip(blocks) {
                let text = &source.text[block];
                match places.origin {
                    Origin::Known => self.rules.extend(before.rules.remove_entry(text)),
                    Origin::Quiet if holds_one_rule(text) => {
                        let known = ReadRule { rule: rule.clone(), places };
                        self.rules.insert(text.into(), Arc::new(known));
                    }
                    Origin::Quiet | Origin::Told => {}
                }
            }
        }
    }
}

/// The blocks of a text.
fn blocks(text: &str) -> impl Iterator<Item = Range<usize>> {
    let headers = text.match_indices(HEADER).map(|(at, _)| at);
    let begins = |&at: &usize| at == 0 || text.as_bytes()[at - 1] == b'\n';
    let mut starts = headers.filter(begins).peekable();
    std::iter::from_fn(move || {
        let start = starts.next()?;
        Some(start..starts.peek().copied().unwrap_or(text.len()))
    })
}

/// Whether there is no other table in a block than its rule and those within that.
fn holds_one_rule(block: &str) -> bool {
    let mut lines = block.lines().skip(1).map(|line| line.trim_start_matches([' ', '\t']));
    lines.all(|line| {
        !line.starts_with('[') || line.starts_with("[rule.") || line.starts_with("[[rule.")
    })
}

#[cfg(test)]
pub(super) mod tests;
