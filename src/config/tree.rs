//! A TOML text as a tree: what each key holds, and where it stands.
//!
//! The parser's events are put together here, without a tree of its own between. Only where all is
//! plain: where there is a mistake, or what files seldom have (dotted keys, tables that are begun
//! twice), `toml` reads the text afresh and says what is wrong.

mod plain;

use std::borrow::Cow;
use std::ops::Range;

use toml::de::{DeTable, DeValue};

/// The keys of a table, in no order.
#[derive(Clone, Debug, Default)]
pub(super) struct Entries<'t>(Vec<Entry<'t>>);

/// A key and its value.
#[derive(Clone, Debug)]
pub(super) struct Entry<'t> {
    pub key: Cow<'t, str>,
    /// Where the key stands, in bytes.
    pub key_at: Range<usize>,
    pub item: Item<'t>,
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Item<'t> {
    pub value: Value<'t>,
    /// In bytes; of what headers make, the first header.
    pub at: Range<usize>,
    /// Whether headers make it, so that more of them may go on with it.
    headed: bool,
}

/// What keys hold.
#[derive(Clone, Debug)]
pub(super) enum Value<'t> {
    String(Cow<'t, str>),
    /// None where it does not fit.
    Integer(Option<i64>),
    Boolean(bool),
    /// What no key takes: a float, a date or a time.
    Other,
    Array(Vec<Item<'t>>),
    Table(Entries<'t>),
}

impl<'t> Entries<'t> {
    /// What a key holds.
    pub(super) fn get(&self, key: &str) -> Option<&Item<'t>> {
        self.iter().find(|entry| entry.key == key).map(|entry| &entry.item)
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry<'t>> {
        self.0.iter()
    }
}

/// The tree of a text; `wrong` hears of mistakes, each with its place. Of a text with mistakes there is
/// what could be read.
pub(super) fn parse<'t>(text: &'t str, mut wrong: impl FnMut(Range<usize>, &str)) -> Entries<'t> {
    if let Some(tree) = plain::parse(text) {
        return tree;
    }
    let (tree, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        wrong(error.span().unwrap_or(0..0), error.message());
    }
    tree.into_inner().into()
}

impl<'t> From<DeTable<'t>> for Entries<'t> {
    fn from(table: DeTable<'t>) -> Self {
        let entry = |(key, value): (toml::Spanned<Cow<'t, str>>, toml::Spanned<DeValue<'t>>)| {
            Entry { key_at: key.span(), key: key.into_inner(), item: value.into() }
        };
        Self(table.into_iter().map(entry).collect())
    }
}

impl<'t> From<toml::Spanned<DeValue<'t>>> for Item<'t> {
    fn from(value: toml::Spanned<DeValue<'t>>) -> Self {
        let at = value.span();
        let value = match value.into_inner() {
            DeValue::String(text) => Value::String(text),
            DeValue::Integer(number) => {
                Value::Integer(i64::from_str_radix(number.as_str(), number.radix()).ok())
            }
            DeValue::Boolean(is_true) => Value::Boolean(is_true),
            DeValue::Float(_) | DeValue::Datetime(_) => Value::Other,
            DeValue::Array(array) => Value::Array(array.into_iter().map(Self::from).collect()),
            DeValue::Table(table) => Value::Table(table.into()),
        };
        Self { value, at, headed: false }
    }
}

#[cfg(test)]
mod tests;
