//! Puts the parser's events together to a tree, where a text is plain.

use std::borrow::Cow;
use std::ops::Range;

use toml_parser::decoder::{Encoding, ScalarKind};
use toml_parser::lexer::TokenKind;
use toml_parser::parser::{EventReceiver, parse_document};
use toml_parser::{ErrorSink, ParseError, Raw, Source, Span};

use super::{Entries, Entry, Item, Value};

/// Most keys of a table: more than any has, and few enough to be looked through.
const KEYS_MAX: usize = 64;
/// Most arrays and inline tables within each other, and most keys of a header: more than any file
/// needs, and few enough for a tree that is freed by recursion.
const DEPTH_MAX: usize = 8;

/// The tree of a text; none where it has a mistake or is not plain.
pub(super) fn parse(text: &str) -> Option<Entries<'_>> {
    let source = Source::new(text);
    let mut tree = InMaking::new(source);
    let mut has_mistake = false;
    let mut note = |_: ParseError| has_mistake = true;
    // What a header begins is parsed by itself, so that there are never many tokens. It begins a line,
    // outside of all brackets.
    let (mut tokens, mut brackets, mut before) = (Vec::new(), 0_usize, None);
    for token in source.lex() {
        match token.kind() {
            TokenKind::LeftSquareBracket if brackets == 0 && before == Some(TokenKind::Newline) => {
                parse_document(&tokens, &mut tree, &mut note);
                tokens.clear();
                brackets += 1;
            }
            TokenKind::LeftSquareBracket | TokenKind::LeftCurlyBracket => brackets += 1,
            TokenKind::RightSquareBracket | TokenKind::RightCurlyBracket => {
                brackets = brackets.saturating_sub(1);
            }
            _ => {}
        }
        before = Some(token.kind());
        tokens.push(token);
    }
    parse_document(&tokens, &mut tree, &mut note);
    tree.end_table();
    (!has_mistake && !tree.is_odd).then_some(Entries(tree.root))
}

/// A key and where it stands.
type Key<'t> = (Cow<'t, str>, Range<usize>);

/// A header, from its first bracket on.
struct Header {
    at: Range<usize>,
    /// Whether it begins one of several tables.
    is_array: bool,
}

/// An array or an inline table that is not closed yet.
struct Open<'t> {
    start: usize,
    /// How many of the items, or of the entries, are not its own.
    below: usize,
    /// The key whose value comes next; an array has none.
    key: Option<Key<'t>>,
    is_array: bool,
}

/// A tree in the making.
struct InMaking<'t> {
    source: Source<'t>,
    root: Vec<Entry<'t>>,
    /// What the keys belong to; none before the first header.
    header: Option<Header>,
    /// Its keys.
    path: Vec<Key<'t>>,
    is_in_header: bool,
    /// The key of this table whose value comes next.
    key: Option<Key<'t>>,
    open: Vec<Open<'t>>,
    /// Of this table and of the inline tables in it that are open, outermost first.
    entries: Vec<Entry<'t>>,
    /// Of the arrays that are open, outermost first.
    items: Vec<Item<'t>>,
    /// Something is not plain: nothing of this counts.
    is_odd: bool,
}

impl<'t> InMaking<'t> {
    fn new(source: Source<'t>) -> Self {
        Self {
            source,
            root: Vec::new(),
            header: None,
            path: Vec::new(),
            is_in_header: false,
            key: None,
            open: Vec::new(),
            entries: Vec::new(),
            items: Vec::new(),
            is_odd: false,
        }
    }

    fn raw(&self, span: Span, encoding: Option<Encoding>) -> Raw<'t> {
        let text = &self.source.input()[span.start()..span.end()];
        Raw::new_unchecked(text, encoding, span)
    }

    fn begin_header(&mut self, span: Span, is_array: bool) {
        self.end_table();
        let at = span.start()..span.end();
        self.header = Some(Header { at, is_array });
        self.is_in_header = true;
    }

    fn end_header(&mut self, span: Span) {
        self.is_in_header = false;
        match &mut self.header {
            Some(header) => header.at.end = span.end(),
            None => self.is_odd = true,
        }
    }

    /// Puts the table whose keys have all come to its place.
    fn end_table(&mut self) {
        self.is_odd |= !self.open.is_empty() || self.key.is_some();
        let entries = self.entries.drain(..).collect();
        let Some(Header { at, is_array }) = self.header.take() else {
            self.root = entries;
            return;
        };
        let placed = self.path.pop().and_then(|(key, key_at)| {
            let parent = descend(&mut self.root, self.path.drain(..))?;
            let table = Item { value: Value::Table(Entries(entries)), at, headed: true };
            match parent.iter_mut().find(|entry| entry.key == key) {
                None => {
                    let at = table.at.clone();
                    let item = match is_array {
                        true => Item { value: Value::Array(vec![table]), at, headed: true },
                        false => table,
                    };
                    push(parent, Entry { key, key_at, item })
                }
                Some(Entry { item, .. }) => match &mut item.value {
                    Value::Array(tables) if is_array && item.headed => {
                        tables.push(table);
                        Some(())
                    }
                    _ => None,
                },
            }
        });
        self.is_odd |= placed.is_none();
    }

    /// Takes a value to what it belongs to.
    fn add(&mut self, item: Item<'t>) {
        let (key, below) = match self.open.last_mut() {
            Some(Open { is_array: true, .. }) => return self.items.push(item),
            Some(table) => (&mut table.key, table.below),
            None => (&mut self.key, 0),
        };
        let Some((key, key_at)) = key.take() else {
            self.is_odd = true;
            return;
        };
        let own = &self.entries[below..];
        self.is_odd |= own.len() >= KEYS_MAX || own.iter().any(|entry| entry.key == key);
        self.entries.push(Entry { key, key_at, item });
    }

    fn open(&mut self, span: Span, is_array: bool) -> bool {
        let below = if is_array { self.items.len() } else { self.entries.len() };
        self.is_odd |= self.open.len() >= DEPTH_MAX;
        if !self.is_odd {
            self.open.push(Open { start: span.start(), below, key: None, is_array });
        }
        !self.is_odd
    }

    fn close(&mut self, span: Span, is_array: bool) {
        let Some(open) = self.open.pop().filter(|o| o.is_array == is_array && o.key.is_none())
        else {
            self.is_odd = true;
            return;
        };
        let value = match is_array {
            true => Value::Array(self.items.drain(open.below..).collect()),
            false => Value::Table(Entries(self.entries.drain(open.below..).collect())),
        };
        self.add(Item { value, at: open.start..span.end(), headed: false });
    }
}

/// Adds a key that is not there.
fn push<'t>(entries: &mut Vec<Entry<'t>>, entry: Entry<'t>) -> Option<()> {
    (entries.len() < KEYS_MAX).then(|| entries.push(entry))
}

/// The table that a header's keys lead to, as far as headers made all that is on the way.
fn descend<'e, 't>(
    mut entries: &'e mut Vec<Entry<'t>>,
    path: impl Iterator<Item = Key<'t>>,
) -> Option<&'e mut Vec<Entry<'t>>> {
    for (key, key_at) in path {
        let place = match entries.iter().position(|entry| entry.key == key) {
            Some(place) => place,
            None => {
                let value = Value::Table(Entries::default());
                let item = Item { value, at: key_at.clone(), headed: true };
                push(entries, Entry { key, key_at, item })?;
                entries.len() - 1
            }
        };
        let item = &mut entries[place].item;
        entries = match &mut item.value {
            Value::Table(Entries(entries)) if item.headed => entries,
            Value::Array(tables) if item.headed => match &mut tables.last_mut()?.value {
                Value::Table(Entries(entries)) => entries,
                _ => return None,
            },
            _ => return None,
        };
    }
    Some(entries)
}

/// Whether a key is as it stands: nothing in it needs a look by the parser.
fn is_bare_key(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    !text.is_empty() && text.bytes().all(is_plain)
}

/// What is between the quotes of a string, where that is as it stands.
fn as_it_stands(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    let is_plain =
        |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\' || byte == b' ';
    inner.bytes().all(is_plain).then_some(inner)
}

impl EventReceiver for InMaking<'_> {
    fn std_table_open(&mut self, span: Span, _: &mut dyn ErrorSink) {
        self.begin_header(span, false);
    }

    fn std_table_close(&mut self, span: Span, _: &mut dyn ErrorSink) {
        self.end_header(span);
    }

    fn array_table_open(&mut self, span: Span, _: &mut dyn ErrorSink) {
        self.begin_header(span, true);
    }

    fn array_table_close(&mut self, span: Span, _: &mut dyn ErrorSink) {
        self.end_header(span);
    }

    fn inline_table_open(&mut self, span: Span, _: &mut dyn ErrorSink) -> bool {
        self.open(span, false)
    }

    fn inline_table_close(&mut self, span: Span, _: &mut dyn ErrorSink) {
        self.close(span, false);
    }

    fn array_open(&mut self, span: Span, _: &mut dyn ErrorSink) -> bool {
        self.open(span, true)
    }

    fn array_close(&mut self, span: Span, _: &mut dyn ErrorSink) {
        self.close(span, true);
    }

    fn simple_key(&mut self, span: Span, kind: Option<Encoding>, error: &mut dyn ErrorSink) {
        let raw = self.raw(span, kind);
        let text = match kind {
            None if is_bare_key(raw.as_str()) => Cow::Borrowed(raw.as_str()),
            _ => {
                let mut text = Cow::Borrowed("");
                raw.decode_key(&mut text, error);
                text
            }
        };
        let key = (text, span.start()..span.end());
        if self.is_in_header {
            self.is_odd |= self.path.len() >= DEPTH_MAX;
            if !self.is_odd {
                self.path.push(key);
            }
            return;
        }
        let place = self.open.last_mut().map_or(&mut self.key, |table| &mut table.key);
        // A second one before a value: a dotted key.
        self.is_odd |= place.replace(key).is_some();
    }

    fn scalar(&mut self, span: Span, kind: Option<Encoding>, error: &mut dyn ErrorSink) {
        let raw = self.raw(span, kind);
        let at = span.start()..span.end();
        if let (Some(Encoding::BasicString), Some(text)) = (kind, as_it_stands(raw.as_str())) {
            let value = Value::String(Cow::Borrowed(text));
            return self.add(Item { value, at, headed: false });
        }
        let mut text = Cow::Borrowed("");
        let value = match raw.decode_scalar(&mut text, error) {
            ScalarKind::String => Value::String(text),
            ScalarKind::Boolean(is_true) => Value::Boolean(is_true),
            ScalarKind::Integer(radix) => {
                Value::Integer(i64::from_str_radix(&text, radix.value()).ok())
            }
            ScalarKind::Float => Value::Other,
            // Whether it is one, `toml` knows.
            ScalarKind::DateTime => {
                self.is_odd = true;
                Value::Other
            }
        };
        self.add(Item { value, at, headed: false });
    }

    fn comment(&mut self, span: Span, error: &mut dyn ErrorSink) {
        self.raw(span, None).decode_comment(error);
    }

    fn newline(&mut self, span: Span, error: &mut dyn ErrorSink) {
        self.raw(span, None).decode_newline(error);
    }

    fn error(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.is_odd = true;
    }
}
