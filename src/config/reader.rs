//! A typed reader over the spanned TOML tree: takes bounds and defaults from the key list, and
//! collects every mistake instead of stopping at the first.

use std::cell::{Cell, RefCell};
use std::fmt;

use super::keys::{Key, Kind, Preset, Section};
use super::names::suggest;
use super::report::{Diagnostic, Severity};
use super::source::{Place, Source};
use super::tree::{Entries, Item, Value};
use super::units::{parse_bytes, parse_duration, parse_packet_rate, parse_rate};

/// How many diagnostics are kept.
const KEPT_MAX: usize = 1_000;

/// Longest text quoted from a file, in characters.
pub(super) const FOUND_CHARS_MAX: usize = 60;

/// What all readers share: the files, and the mistakes so far.
pub(super) struct Context<'a> {
    /// The files that places point into.
    pub sources: &'a [Source],
    /// Looks up an environment variable.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    list: RefCell<Vec<Diagnostic>>,
    errors: Cell<usize>,
    /// Lines with a syntax error: file and line.
    broken: RefCell<Vec<(usize, usize)>>,
}

/// A value and where it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct At<T> {
    pub value: T,
    pub at: Place,
}

/// The same is said, wherever.
impl<T: PartialEq> PartialEq for At<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

/// A value of the tree and where it stands.
#[derive(Clone, Copy)]
pub(super) struct Node<'a> {
    pub value: &'a Value<'a>,
    pub at: Place,
}

impl<'a> Node<'a> {
    fn of(item: &'a Item<'a>, file: usize) -> Self {
        Self { value: &item.value, at: Place::new(file, item.at.clone()) }
    }
}

impl<'a> Context<'a> {
    pub(super) fn new(sources: &'a [Source], variable: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            sources,
            variable,
            list: RefCell::default(),
            errors: Cell::new(0),
            broken: RefCell::default(),
        }
    }

    /// Notes a syntax error: what follows from it is not reported.
    pub(super) fn syntax(&self, at: Place, message: &str) {
        self.errors.set(self.errors.get() + 1);
        if self.list.borrow().len() >= KEPT_MAX {
            return;
        }
        let line = self.sources.get(at.file).map_or(1, |s| s.line_at(at.start).0);
        let diagnostic = Diagnostic::error(at, format!("invalid TOML: {message}"));
        self.list.borrow_mut().push(diagnostic);
        self.broken.borrow_mut().push((at.file, line));
    }

    /// Adds a diagnostic, unless a syntax error explains it.
    pub(super) fn report(&self, diagnostic: Diagnostic) {
        if diagnostic.severity() == Severity::Error {
            self.errors.set(self.errors.get() + 1);
        }
        if self.list.borrow().len() >= KEPT_MAX {
            return;
        }
        if diagnostic.place().is_some_and(|at| self.explained(at, diagnostic.missing)) {
            return;
        }
        self.list.borrow_mut().push(diagnostic);
    }

    /// Whether a syntax error on the line, or for what is absent in the file, explains a mistake.
    pub(super) fn explained(&self, at: Place, missing: bool) -> bool {
        let broken = self.broken.borrow();
        if broken.is_empty() {
            return false;
        }
        let line = self.sources.get(at.file).map_or(1, |s| s.line_at(at.start).0);
        broken.iter().any(|&(file, l)| file == at.file && (missing || l == line))
    }

    /// How many errors there were; more of them later means that what was read between is unsound.
    pub(super) fn errors(&self) -> usize {
        self.errors.get()
    }

    /// Whether a file has a syntax error, so that what is absent may be there.
    pub(super) fn is_broken(&self) -> bool {
        !self.broken.borrow().is_empty()
    }

    /// How much was said, warnings too; `None` where no more is kept.
    pub(super) fn said(&self) -> Option<usize> {
        let kept = self.list.borrow().len();
        (kept < KEPT_MAX).then(|| kept + self.errors.get())
    }

    pub(super) fn into_list(self) -> Vec<Diagnostic> {
        self.list.into_inner()
    }

    /// The text at a place, bounded and printable.
    pub(super) fn found(&self, at: Place) -> String {
        let text = self.sources.get(at.file).map_or("", |s| s.slice(at));
        let mut shown: String = text.chars().take(FOUND_CHARS_MAX).collect();
        if text.chars().nth(FOUND_CHARS_MAX).is_some() {
            shown.push_str("...");
        }
        shown
    }

    /// A value that a key does not allow.
    pub(super) fn wrong(&self, key: &Key, node: Node<'_>) {
        self.report(self.wrong_diagnostic(key, node));
    }

    /// A value that a key does not allow, with the reason.
    pub(super) fn wrong_because(&self, key: &Key, node: Node<'_>, reason: impl fmt::Display) {
        let label = format!("{reason}; allowed: {}", key.kind.allowed());
        self.report(self.wrong_diagnostic(key, node).label(label));
    }

    fn wrong_diagnostic(&self, key: &Key, node: Node<'_>) -> Diagnostic {
        let found = match node.value {
            Value::Table(_) => "a table".to_owned(),
            Value::Array(_) => "an array".to_owned(),
            _ => self.found(node.at),
        };
        Diagnostic::error(node.at, format!("`{}` is {found}", key.name))
            .label(format!("allowed: {}", key.kind.allowed()))
    }
}

/// A table of a known section.
#[derive(Clone, Copy)]
pub(super) struct Table<'a> {
    pub cx: &'a Context<'a>,
    pub section: &'static Section,
    pub at: Place,
    entries: &'a Entries<'a>,
    /// Whether a key that is required is not there.
    lacks: bool,
}

impl<'a> Table<'a> {
    /// Takes a value as a table; unknown keys and keys of later versions are reported here.
    pub(super) fn new(
        cx: &'a Context<'a>,
        section: &'static Section,
        node: Node<'a>,
    ) -> Option<Self> {
        let Value::Table(entries) = node.value else {
            let found = cx.found(node.at);
            cx.report(
                Diagnostic::error(node.at, format!("{found} where a table belongs"))
                    .label(format!("allowed: a table: {}", section.heading)),
            );
            return None;
        };
        Some(Self::root(cx, section, entries, node.at))
    }

    /// The top level of a file.
    pub(super) fn root(
        cx: &'a Context<'a>,
        section: &'static Section,
        entries: &'a Entries<'a>,
        at: Place,
    ) -> Self {
        let mut table = Self::unchecked(cx, section, entries, at);
        let mut required = 0;
        for entry in entries.iter() {
            match section.keys.iter().find(|key| key.name == entry.key) {
                Some(key) => required += usize::from(key.is_required()),
                None => table.unknown_key(&entry.key, Place::new(at.file, entry.key_at.clone())),
            }
        }
        table.lacks = required < section.keys.iter().filter(|key| key.is_required()).count();
        table
    }

    /// The top level of a file, its keys not compared with the section's.
    pub(super) fn unchecked(
        cx: &'a Context<'a>,
        section: &'static Section,
        entries: &'a Entries<'a>,
        at: Place,
    ) -> Self {
        Self { cx, section, at, entries, lacks: true }
    }

    fn unknown_key(&self, name: &str, at: Place) {
        let section = self.section;
        let shown: String = name.chars().take(FOUND_CHARS_MAX).collect();
        if section.later.contains(&name) {
            self.cx.report(
                Diagnostic::error(at, format!("`{shown}` is not available in this version"))
                    .label("it would do nothing; remove it"),
            );
            return;
        }
        let known: Vec<_> = section.keys.iter().map(|k| k.name).collect();
        let message = format!("unknown key `{shown}` in {}", section.heading);
        let diagnostic =
            Diagnostic::error(at, message).label(format!("allowed: {}", known.join(", ")));
        self.cx.report(match suggest(name, known.iter().copied()) {
            Some(help) => diagnostic.help(help),
            None => diagnostic,
        });
    }

    /// The key's entry in the list.
    pub(super) fn key(&self, name: &str) -> &'static Key {
        let key = self.section.keys.iter().find(|key| key.name == name);
        key.unwrap_or_else(|| unreachable!("`{name}` is listed in {}", self.section.heading))
    }

    /// The value as it is; absence is reported where the key is required.
    pub(super) fn get(&self, name: &str) -> Option<Node<'a>> {
        let node = self.peek(name);
        debug_assert_eq!(self.key(name).name, name);
        if node.is_none() && self.lacks && self.key(name).is_required() {
            self.missing(name);
        }
        node
    }

    /// The value as it is.
    pub(super) fn peek(&self, name: &str) -> Option<Node<'a>> {
        self.entries.get(name).map(|item| Node::of(item, self.at.file))
    }

    /// Reports that the key must be there.
    pub(super) fn missing(&self, name: &str) {
        let key = self.key(name);
        let (kind, allowed) = (key.kind.type_name(), key.kind.allowed());
        let label = match key.kind {
            Kind::Table(_) => format!("add {allowed}"),
            _ => format!("add `{name}`, {kind}: {allowed}"),
        };
        let message = format!("{} has no `{name}`", self.section.heading);
        self.cx.report(Diagnostic::error(self.at, message).label(label).missing());
    }

    /// A whole number, quantity included, within the key's bounds.
    pub(super) fn number(&self, name: &str) -> Option<At<u64>> {
        let node = self.get(name)?;
        let value = number(self.cx, self.key(name), node)?;
        Some(At { value, at: node.at })
    }

    /// [`Self::number`], or the listed default.
    pub(super) fn number_or_preset(&self, name: &str) -> u64 {
        self.number(name).map_or_else(|| preset_number(self.key(name)), |v| v.value)
    }

    /// [`Self::number_or_preset`] for keys whose bounds fit in 32 bits.
    pub(super) fn number32(&self, name: &str) -> u32 {
        clamp32(self.number_or_preset(name))
    }

    /// True or false.
    pub(super) fn flag(&self, name: &str) -> Option<At<bool>> {
        let node = self.get(name)?;
        match node.value {
            Value::Boolean(value) => Some(At { value: *value, at: node.at }),
            _ => {
                self.cx.wrong(self.key(name), node);
                None
            }
        }
    }

    /// A string.
    pub(super) fn text(&self, name: &str) -> Option<At<&'a str>> {
        let node = self.get(name)?;
        match node.value {
            Value::String(text) => Some(At { value: text.as_ref(), at: node.at }),
            _ => {
                self.cx.wrong(self.key(name), node);
                None
            }
        }
    }

    /// A name; where its characters or length are not the key's, that is reported and it still
    /// counts, so that references to it are no mistakes of their own.
    pub(super) fn name(&self, name: &str) -> Option<At<&'a str>> {
        let text = self.text(name)?;
        let key = self.key(name);
        let Kind::Name(max, dot) = key.kind else {
            return Some(text);
        };
        let fits = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c) || (dot && c == '.');
        let good = (1..=max).contains(&text.value.len()) && text.value.chars().all(fits);
        if !good {
            self.cx.wrong(key, self.get(name)?);
        }
        Some(text)
    }

    /// One of the key's choices, as the value at its index.
    pub(super) fn choice<T: Copy>(&self, name: &str, values: &[T]) -> Option<At<T>> {
        let text = self.text(name)?;
        let key = self.key(name);
        let Kind::Choice(choices) = key.kind else {
            return None;
        };
        let index = choices.iter().position(|c| *c == text.value);
        let Some(&value) = index.and_then(|i| values.get(i)) else {
            let node = self.get(name)?;
            match suggest(text.value, choices.iter().copied()) {
                Some(help) => self.cx.report(self.cx.wrong_diagnostic(key, node).help(help)),
                None => self.cx.wrong(key, node),
            }
            return None;
        };
        Some(At { value, at: text.at })
    }

    /// [`Self::choice`], or the listed default.
    pub(super) fn choice_or_preset<T: Copy>(&self, name: &str, values: &[T]) -> T {
        self.choice(name, values).map_or_else(|| preset_choice(self.key(name), values), |v| v.value)
    }

    /// A table under the key.
    pub(super) fn table(&self, name: &str, section: &'static Section) -> Option<Table<'a>> {
        Table::new(self.cx, section, self.get(name)?)
    }

    /// The values of an array, or a single value, under the key.
    pub(super) fn list(&self, name: &str) -> impl Iterator<Item = Node<'a>> + use<'a> {
        let (items, single) = match self.get(name) {
            Some(Node { value: Value::Array(items), .. }) => (items.as_slice(), None),
            single => (&[][..], single),
        };
        let file = self.at.file;
        items.iter().map(move |item| Node::of(item, file)).chain(single)
    }

    /// The strings of an array, or a single one.
    pub(super) fn texts(&self, name: &str) -> impl Iterator<Item = At<&'a str>> {
        self.list(name).filter_map(move |node| match node.value {
            Value::String(text) => Some(At { value: text.as_ref(), at: node.at }),
            _ => {
                self.cx.wrong(self.key(name), node);
                None
            }
        })
    }

    /// The tables of an array of tables under the key.
    pub(super) fn tables(&self, name: &str, section: &'static Section) -> Vec<Table<'a>> {
        let Some(node) = self.peek(name) else {
            return Vec::new();
        };
        if !matches!(node.value, Value::Array(_)) {
            self.cx.report(
                Diagnostic::error(node.at, format!("`{name}` is not an array of tables"))
                    .label(format!("allowed: an array of tables: {}", section.heading)),
            );
            return Vec::new();
        }
        self.list(name).filter_map(|node| Table::new(self.cx, section, node)).collect()
    }
}

/// A whole number, quantity included, within the key's bounds.
pub(super) fn number(cx: &Context<'_>, key: &Key, node: Node<'_>) -> Option<u64> {
    let value = match (key.kind, node.value) {
        (Kind::Integer(..) | Kind::Bytes(..), Value::Integer(number)) => {
            // What is negative or beyond 63 bits is out of every key's bounds.
            number.and_then(|number| u64::try_from(number).ok())
        }
        (kind, Value::String(text)) => {
            let parsed = match kind {
                Kind::Duration(..) => parse_duration(text),
                Kind::Bytes(..) => parse_bytes(text),
                Kind::Rate(..) => parse_rate(text),
                Kind::PacketRate(..) => parse_packet_rate(text),
                _ => {
                    cx.wrong(key, node);
                    return None;
                }
            };
            match parsed {
                Ok(value) => Some(value),
                Err(error) => {
                    cx.wrong_because(key, node, error);
                    return None;
                }
            }
        }
        _ => None,
    };
    let value = value.filter(|v| key.kind.allows(*v));
    if value.is_none() {
        cx.wrong(key, node);
    }
    value
}

/// The listed default of a number; the lower bound where none is listed.
pub(super) fn preset_number(key: &Key) -> u64 {
    let Preset::Is(text) = key.preset else {
        return key.kind.bounds().0;
    };
    let value = match key.kind {
        Kind::Integer(..) => text.parse().ok(),
        Kind::Duration(..) => parse_duration(text).ok(),
        Kind::Bytes(..) => parse_bytes(text).ok(),
        Kind::Rate(..) => parse_rate(text).ok(),
        Kind::PacketRate(..) => parse_packet_rate(text).ok(),
        _ => None,
    };
    value.unwrap_or_else(|| unreachable!("the default of `{}` reads back", key.name))
}

/// The listed default of a choice; the first where none is listed.
pub(super) fn preset_choice<T: Copy>(key: &Key, values: &[T]) -> T {
    let index = match (key.kind, key.preset) {
        (Kind::Choice(choices), Preset::Is(text)) => choices.iter().position(|c| *c == text),
        _ => None,
    };
    values[index.unwrap_or(0)]
}

/// A number whose bounds fit in 32 bits.
pub(super) fn clamp32(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
