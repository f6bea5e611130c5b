use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::config::known::tests::{Edit, PORTS, RULES};

/// What texts are made of.
const PIECES: [&str; 48] = [
    "[a]\n",
    "[[a]]\n",
    "[a.b]\n",
    "[[a.b]]\n",
    "[ a . \"b\" ]\n",
    "[a.b.c]\n",
    "[b]\n",
    "[[b]]\n",
    "a = 1\n",
    "b = 2\n",
    "a.b = 3\n",
    "'a' = \"x\"\n",
    "\"\\u0061\" = \"\\u0078y\\n\"\n",
    "a = [\n",
    "]\n",
    "a = {",
    "}\n",
    "a",
    "b",
    "c",
    ".",
    "=",
    ",",
    " ",
    "\n",
    "\r\n",
    "\r",
    "[",
    "]",
    "{",
    "}",
    "# ok\n",
    "# \u{1}\n",
    "1",
    "-0x1f",
    "0o17",
    "1_000",
    "99999999999999999999",
    "true",
    "inf",
    "1.5e3",
    "1979-05-27",
    "1979-99-27",
    "'''\nx'''",
    "\"\"\"\\\n x\"\"\"",
    "\"",
    "é",
    "\u{feff}",
];

/// Whether a tree says the same as `toml`'s, places too.
fn same_table(ours: &Entries<'_>, theirs: &DeTable<'_>) -> bool {
    let same = |entry: &Entry<'_>| {
        theirs
            .get_key_value(entry.key.as_ref())
            .is_some_and(|(key, value)| key.span() == entry.key_at && same_item(&entry.item, value))
    };
    ours.0.len() == theirs.len() && ours.iter().all(same)
}

fn same_item(ours: &Item<'_>, theirs: &toml::Spanned<DeValue<'_>>) -> bool {
    let same_value = match (&ours.value, theirs.get_ref()) {
        (Value::String(a), DeValue::String(b)) => a == b,
        (Value::Integer(a), DeValue::Integer(b)) => {
            *a == i64::from_str_radix(b.as_str(), b.radix()).ok()
        }
        (Value::Boolean(a), DeValue::Boolean(b)) => a == b,
        (Value::Other, DeValue::Float(_) | DeValue::Datetime(_)) => true,
        (Value::Array(a), DeValue::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| same_item(a, b))
        }
        (Value::Table(a), DeValue::Table(b)) => same_table(a, b),
        _ => false,
    };
    same_value && ours.at == theirs.span()
}

/// What is plain is valid, and is what `toml` reads. Returns whether it is.
fn check(text: &str) -> bool {
    let Some(tree) = plain::parse(text) else { return false };
    let (theirs, errors) = DeTable::parse_recoverable(text);
    assert!(errors.is_empty(), "taken, though {errors:?}:\n{text}");
    assert!(same_table(&tree, theirs.get_ref()), "{text}\n{tree:?}\n{theirs:?}");
    true
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn what_is_taken_is_as_toml_reads_it(pieces in vec(select(&PIECES[..]), 0..24)) {
        check(&pieces.concat());
    }

    #[test]
    fn so_are_files_that_are_edited(edits in vec(Edit::any(), 0..6)) {
        let text = format!("{PORTS}{RULES}");
        check(&edits.iter().fold(text, |text, edit| edit.apply(&text)));
    }
}

/// Whether files as they are written are plain, so that they are read fast.
#[test]
fn files_are_plain() {
    assert!(check(&format!("{PORTS}{RULES}")));
    let pattern = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/**/*.toml");
    let files = glob::glob(pattern.to_str().unwrap()).unwrap().map(Result::unwrap);
    let mut count = 0;
    for file in files {
        assert!(check(&std::fs::read_to_string(&file).unwrap()), "{}", file.display());
        count += 1;
    }
    assert!(count > 3, "{count}");
    // A line that begins with a bracket is no header where another bracket is open.
    assert!(check("a = [\n[1],\n[\n[]]\n]\n[b]\nc = [\n{ d = 1 }]\n[[e]]\n"));
}

#[test]
fn headers_go_on_with_what_headers_began() {
    assert!(check("[a.b]\nx = 1\n[a.c]\n[[d]]\n[d.e]\n[[d.f]]\n[[d.f]]\n[[d]]\n[d.e]\n"));
    for text in [
        "a = {}\n[a.b]\n",
        "a = []\n[[a]]\n",
        "[[a]]\n[a]\n",
        "[a]\n[[a]]\n",
        "[a]\n[a]\n",
        "a = 1\na = 2\n",
        "a = {b = 1, b = 2}\n",
    ] {
        assert!(plain::parse(text).is_none(), "{text}");
        let mut errors = 0;
        parse(text, |_, _| errors += 1);
        assert!(errors > 0, "{text}");
    }
}

/// What is valid and seldom is read, too, and as deep and as wide as it is.
#[test]
fn what_is_not_plain_is_read_by_toml() {
    let wide: String = (0..100).map(|key| format!("k{key} = {key}\n")).collect();
    let deep = format!("a = {}{}\n", "[".repeat(20), "]".repeat(20));
    for text in ["a.b = 1\na.c = 2\n", "[a.b]\n[a]\nx = 1979-05-27\n", &wide, &deep] {
        assert!(plain::parse(text).is_none(), "{text}");
        let tree = parse(text, |_, message| panic!("{message}: {text}"));
        assert!(same_table(&tree, DeTable::parse(text).unwrap().get_ref()), "{text}");
    }
}
