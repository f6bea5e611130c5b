//! Names of ports, receivers and rules: unique over all files, what refers to them, and what may
//! have been meant.

use foldhash::{HashMap, HashMapExt};

use super::reader::{At, Context, FOUND_CHARS_MAX};
use super::report::Diagnostic;
use super::source::Place;

/// How similar (0 to 1) a name must be to be suggested.
const SUGGEST_FROM: f64 = 0.8;

/// After so many errors nobody reads suggestions, and many names make them slow.
const SUGGESTIONS_MAX: usize = 100;

/// Names of one kind, unique over all files.
pub(super) struct Names {
    what: &'static str,
    slots: HashMap<String, (usize, Place)>,
    /// A name could not be read, so that a reference to it is no mistake of its own.
    pub incomplete: bool,
}

impl Names {
    pub(super) fn new(what: &'static str) -> Self {
        Self { what, slots: HashMap::new(), incomplete: false }
    }

    /// Takes a name for a slot; the second of two is reported with both places.
    pub(super) fn insert(&mut self, cx: &Context<'_>, name: Option<At<&str>>, slot: usize) {
        let Some(name) = name else {
            self.incomplete = true;
            return;
        };
        self.incomplete |= cx.explained(name.at, false);
        if let Some((_, first)) = self.slots.get(name.value) {
            report_twice(cx, self.what, name, *first);
            return;
        }
        self.slots.insert(name.value.to_owned(), (slot, name.at));
    }

    /// The slot of a name that is referred to.
    pub(super) fn find(&self, cx: &Context<'_>, name: At<&str>) -> Option<usize> {
        if let Some((slot, _)) = self.slots.get(name.value) {
            return Some(*slot);
        }
        let what = self.what;
        let shown: String = name.value.chars().take(FOUND_CHARS_MAX).collect();
        let mut diagnostic = Diagnostic::error(name.at, format!("no {what} is named `{shown}`"))
            .label(format!("allowed: the name of a [[{what}]]"));
        if self.incomplete {
            diagnostic = diagnostic.missing();
        }
        if cx.errors() > SUGGESTIONS_MAX {
            cx.report(diagnostic);
            return None;
        }
        let mut known: Vec<_> = self.slots.keys().map(String::as_str).collect();
        known.sort_unstable();
        cx.report(match suggest(name.value, known.iter().copied()) {
            Some(help) => diagnostic.help(help),
            None if known.is_empty() => diagnostic,
            None => diagnostic.help(format!("there are: {}", shorten(&known))),
        });
        None
    }
}

/// Reports the second of two that have one name; `first` is the other.
pub(super) fn report_twice(cx: &Context<'_>, what: &str, name: At<&str>, first: Place) {
    cx.report(
        Diagnostic::error(name.at, format!("two {what}s are named `{}`", name.value))
            .label("allowed: a name of its own")
            .related(first, "first used here"),
    );
}

/// The most similar of `known`, if it is similar.
pub(super) fn suggest<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<String> {
    if name.len() > FOUND_CHARS_MAX {
        return None;
    }
    let likeness = |known: &str| {
        // A slip or two, swapped neighbours included, or a common beginning.
        let slips = strsim::osa_distance(name, known);
        let near = slips <= 1 + known.len() / 4 && slips < known.len();
        let likeness = strsim::jaro_winkler(name, known);
        if near { 2.0 - slips as f64 / 100.0 + likeness / 1_000.0 } else { likeness }
    };
    known
        .map(|k| (likeness(k), k))
        .filter(|(score, _)| *score >= SUGGEST_FROM)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, k)| format!("did you mean `{k}`?"))
}

/// What a name that nobody has may have been, in words: the most similar of `known`, or what there is.
pub fn instead_of(name: &str, known: &[&str]) -> String {
    match suggest(name, known.iter().copied()) {
        Some(help) => help,
        None if known.is_empty() => "there is none".into(),
        None => format!("there are: {}", shorten(known)),
    }
}

fn shorten(names: &[&str]) -> String {
    const SHOWN: usize = 10;
    let mut text = names[..names.len().min(SHOWN)].join(", ");
    if names.len() > SHOWN {
        text.push_str(", ...");
    }
    text
}
