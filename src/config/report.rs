//! What is wrong, where, and what is allowed: diagnostics and how they are shown.

use std::fmt;
use std::path::Path;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::source::{Place, Source};

/// How many diagnostics are shown; the rest are counted.
const SHOWN_MAX: usize = 100;

/// Longest text of a line that is shown around a place, in bytes.
const EXCERPT_BYTES_MAX: usize = 4_096;

/// Whether a configuration can be used in spite of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// The configuration is used.
    Warning,
}

/// One mistake or warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    severity: Severity,
    message: String,
    label: String,
    at: Option<Place>,
    related: Vec<(Place, String)>,
    help: Option<String>,
    /// A syntax error nearby may be its cause.
    pub(super) missing: bool,
}

impl Diagnostic {
    pub(super) fn error(at: Place, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: printable(&message.into()),
            label: String::new(),
            at: Some(at),
            related: Vec::new(),
            help: None,
            missing: false,
        }
    }

    pub(super) fn warning(at: Place, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(at, message) }
    }

    /// An error of a whole file.
    pub(super) fn file(message: impl Into<String>) -> Self {
        Self { at: None, ..Self::error(Place::new(0, 0..0), message) }
    }

    pub(super) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = printable(&label.into());
        self
    }

    pub(super) fn related(mut self, at: Place, label: impl Into<String>) -> Self {
        self.related.push((at, printable(&label.into())));
        self
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(printable(&help.into()));
        self
    }

    pub(super) fn missing(mut self) -> Self {
        self.missing = true;
        self
    }

    pub(super) fn place(&self) -> Option<Place> {
        self.at
    }

    /// Whether the configuration can be used in spite of it.
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// What was found.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What is allowed; may be empty.
    pub fn allowed(&self) -> &str {
        &self.label
    }
}

/// The text with control characters escaped: nothing of a file drives the terminal.
fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}

/// Diagnostics with the files they point into.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    sources: Vec<Source>,
    list: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Orders by file and place; says nothing twice.
    pub(super) fn new(sources: Vec<Source>, mut list: Vec<Diagnostic>) -> Self {
        list.sort_by_key(|d| (d.at.is_some(), d.at));
        list.dedup();
        Self { sources, list }
    }

    /// Another one of the same files, alone.
    pub(super) fn with(&self, diagnostic: Diagnostic) -> Self {
        Self::new(self.sources.clone(), vec![diagnostic])
    }

    /// All of them, by file and place.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.list.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// File, line and column (from 1, in characters) of a diagnostic of this list.
    pub fn position(&self, diagnostic: &Diagnostic) -> Option<(&Path, usize, usize)> {
        let place = diagnostic.at?;
        let source = self.sources.get(place.file)?;
        let (line, column) = source.position(place)?;
        Some((&source.path, line, column))
    }

    /// All of them with the lines they point at; `styled` adds terminal colours.
    pub fn render(&self, styled: bool) -> String {
        let renderer = if styled { Renderer::styled() } else { Renderer::plain() };
        let mut text = String::new();
        for diagnostic in self.list.iter().take(SHOWN_MAX) {
            text.push_str(&renderer.render(&[self.group(diagnostic)]));
            text.push_str("\n\n");
        }
        if let Some(more @ 1..) = self.list.len().checked_sub(SHOWN_MAX) {
            text.push_str(&format!("... and {more} more\n\n"));
        }
        text.truncate(text.trim_end().len());
        text
    }

    fn group<'a>(&'a self, diagnostic: &'a Diagnostic) -> Group<'a> {
        let level = match diagnostic.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level.primary_title(diagnostic.message.as_str());
        let mut group = Group::with_title(title);
        if let Some(at) = diagnostic.at {
            group = self.snippet(group, at, AnnotationKind::Primary, &diagnostic.label);
        }
        for (at, label) in &diagnostic.related {
            group = self.snippet(group, *at, AnnotationKind::Context, label);
        }
        match &diagnostic.help {
            Some(help) => group.element(Level::HELP.message(help.as_str())),
            None => group,
        }
    }

    fn snippet<'a>(
        &'a self,
        group: Group<'a>,
        at: Place,
        kind: AnnotationKind,
        label: &'a str,
    ) -> Group<'a> {
        let Some(source) = self.sources.get(at.file) else {
            return group;
        };
        let (number, line) = source.line_at(at.start);
        let span = source.clip(at);
        let line_start = source.clip(Place::new(at.file, line.start..line.start)).start;
        // A very long line is shown up to a bound; the place in it stays exact.
        let excerpt_end = line.end.min(span.end.max(line.start.saturating_add(EXCERPT_BYTES_MAX)));
        let excerpt_end = source.clip(Place::new(at.file, line.start..excerpt_end)).end;
        let excerpt = source.text.get(line_start..excerpt_end).unwrap_or_default();
        // The renderer shows C0 controls; C1 ones are as long as the sign that stands for them.
        let excerpt = excerpt.replace(|c| ('\u{80}'..='\u{9f}').contains(&c), "\u{a4}");
        let annotation = kind.span(span.start - line_start..span.end - line_start);
        let annotation = if label.is_empty() { annotation } else { annotation.label(label) };
        let path = printable(&source.path.to_string_lossy());
        group.element(Snippet::source(excerpt).line_start(number).path(path).annotation(annotation))
    }
}

/// Every mistake of a configuration; shown as text with the lines it points at.
#[derive(Clone, Debug)]
pub struct ConfigErrors(pub(super) Diagnostics);

impl ConfigErrors {
    /// A file that cannot be used at all.
    pub(super) fn of_file(message: String) -> Self {
        Self(Diagnostics::new(Vec::new(), vec![Diagnostic::file(message)]))
    }

    /// The mistakes.
    pub fn diagnostics(&self) -> &Diagnostics {
        &self.0
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.render(false))
    }
}

impl std::error::Error for ConfigErrors {}
