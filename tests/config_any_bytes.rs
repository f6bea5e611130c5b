//! Whatever a file holds, the configuration is loaded or refused with reasons: no panic, no
//! overflow of the stack, no endless time.

use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use punctual::config::{FILE_BYTES_MAX, Loaded, canonical, load_bytes};

const WHOLE: &str = include_str!("whole.toml");
const PARTS: [&str; 27] = [
    "[[rule]]\n",
    "[[port]]\n",
    "[default.output]\n",
    "[class.high]\n",
    "= ",
    "\"",
    "'",
    "\"\"\"",
    "{",
    "}",
    "[",
    "]",
    ",",
    "\n",
    "\r\n",
    "\0",
    "\u{feff}",
    "#",
    "-1",
    "99999999999999999999",
    "name",
    "\u{1b}[31m",
    "${",
    "é",
    "\\u001b",
    "\\n",
    "\\u0000",
];

/// Loads and renders, which must not panic either; what loads is the same when printed.
fn try_load(bytes: Vec<u8>) -> Result<Loaded, String> {
    let none = |_: &str| None;
    // A directory without files: random include patterns match nothing of the host's.
    let path = Path::new("tests/no-such-directory/any.toml");
    let loaded = load_bytes(path, bytes, &none).map_err(|errors| {
        assert!(!errors.diagnostics().is_empty());
        for diagnostic in errors.diagnostics().iter() {
            let _ = errors.diagnostics().position(diagnostic);
        }
        let _ = errors.diagnostics().render(true);
        let text = errors.to_string();
        let raw = |c: char| c.is_control() && c != '\n';
        assert!(!text.contains(raw), "control characters reach the terminal: {text:?}");
        text
    })?;
    let printed = canonical(&loaded.config);
    if printed.len() > FILE_BYTES_MAX {
        return Ok(loaded); // Every default of thousands of rules is more than a file may hold.
    }
    let again = load_bytes(path, printed.clone().into_bytes(), &none)
        .unwrap_or_else(|errors| panic!("{printed}\n{errors}"));
    assert_eq!(loaded.config, again.config);
    let _ = loaded.warnings.render(true);
    Ok(loaded)
}

#[derive(Clone, Debug)]
enum Change {
    Insert(usize, usize),
    Remove(usize, usize),
    Byte(usize, u8),
    Swap(usize, usize),
}

fn change() -> impl Strategy<Value = Change> {
    let at = 0..WHOLE.len();
    prop_oneof![
        (at.clone(), 0..PARTS.len()).prop_map(|(a, p)| Change::Insert(a, p)),
        (at.clone(), 1..80usize).prop_map(|(a, n)| Change::Remove(a, n)),
        (at.clone(), any::<u8>()).prop_map(|(a, b)| Change::Byte(a, b)),
        (at.clone(), at).prop_map(|(a, b)| Change::Swap(a, b)),
    ]
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    match *change {
        Change::Insert(at, part) => {
            let at = at.min(bytes.len());
            bytes.splice(at..at, PARTS[part].bytes());
        }
        Change::Remove(at, count) => {
            let at = at.min(bytes.len());
            bytes.drain(at..(at + count).min(bytes.len()));
        }
        Change::Byte(at, byte) => {
            if let Some(b) = bytes.get_mut(at) {
                *b = byte;
            }
        }
        Change::Swap(a, b) => {
            if a.max(b) < bytes.len() {
                bytes.swap(a, b);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes(bytes in vec(any::<u8>(), 0..400)) {
        let _ = try_load(bytes);
    }

    #[test]
    fn any_parts(parts in vec(0..PARTS.len(), 0..60)) {
        let _ = try_load(parts.iter().flat_map(|p| PARTS[*p].bytes()).collect());
    }

    #[test]
    fn any_change_of_a_whole_configuration(changes in vec(change(), 1..6)) {
        let mut bytes = WHOLE.as_bytes().to_vec();
        for change in &changes {
            apply(&mut bytes, change);
        }
        let _ = try_load(bytes);
    }

    #[test]
    fn any_line_less(dropped in vec(0..WHOLE.lines().count(), 1..5)) {
        let kept = WHOLE.lines().enumerate().filter(|(i, _)| !dropped.contains(i));
        let _ = try_load(kept.flat_map(|(_, line)| line.bytes().chain([b'\n'])).collect());
    }
}

#[test]
fn the_whole_configuration_loads() {
    try_load(WHOLE.into()).unwrap_or_else(|errors| panic!("{errors}"));
}

#[test]
fn line_ends_and_byte_order_marks_are_fine() {
    try_load(WHOLE.replace('\n', "\r\n").into()).unwrap_or_else(|errors| panic!("{errors}"));
    try_load(format!("\u{feff}{WHOLE}").into()).unwrap_or_else(|errors| panic!("{errors}"));
    let errors = try_load("\u{feff}schema = 2\r\n".into()).unwrap_err();
    assert!(errors.contains("any.toml:1:10"), "{errors}");
}

#[test]
fn what_is_no_text_is_refused_with_its_place() {
    let errors = try_load(b"schema = 1\nclock = \"\xff\"\n".to_vec()).unwrap_err();
    assert!(errors.contains("not UTF-8") && errors.contains("any.toml:2:10"), "{errors}");
    let errors = try_load(b"schema = 1\nclock = \"\0\"\n".to_vec()).unwrap_err();
    assert!(errors.contains("invalid TOML") && errors.contains("any.toml:2:10"), "{errors}");
}

#[test]
fn deep_nesting_and_long_files_are_refused() {
    let deep = 100_000;
    for text in [
        format!("schema = {}", "[".repeat(deep)),
        format!("schema = {}1{}", "[".repeat(deep), "]".repeat(deep)),
        format!("schema = {}", "{a=".repeat(deep)),
        format!("schema{} = 1", ".a".repeat(deep)),
        format!("[schema{}]", ".a".repeat(deep)),
        format!("[[rule{}]]", ".a".repeat(deep)),
    ] {
        assert!(try_load(text.into_bytes()).is_err());
    }
    let errors = try_load(vec![b'\n'; FILE_BYTES_MAX + 1]).unwrap_err();
    assert!(errors.contains("longer than 1 MiB"), "{errors}");
}

#[test]
fn a_file_of_mistakes_is_told_in_bounds() {
    let line = "x = y z\n";
    let errors = try_load(line.repeat(FILE_BYTES_MAX / line.len()).into_bytes()).unwrap_err();
    assert!(errors.lines().count() < 1_000, "{}", errors.lines().count());
    assert!(try_load(vec![b'['; FILE_BYTES_MAX]).is_err());
    assert!(try_load(vec![b'a'; FILE_BYTES_MAX]).is_err());
}

#[test]
fn many_rules_and_outputs_take_no_endless_time() {
    let ports = "schema = 1
        port = [{ name = \"in\", device = \"net_ring0\" }, { name = \"out\", device = \"net_ring1\" }]\n";
    let rule = |i: usize| {
        format!(
            "[[rule]]\nname = \"{i}\"\ninput = {{ port = \"in\", destination = \"239.0.0.1\", \
             udp_port = {} }}\noutput = [{{ port = \"out\" }}]\n",
            i + 1
        )
    };
    let rules: String = (0..4_096).map(rule).collect();
    assert_eq!(try_load(format!("{ports}{rules}").into_bytes()).unwrap().config.rules.len(), 4_096);

    let output = |i: usize| format!("{{ port = \"out\", destination = \"239.9.{}.1\" }},", i % 256);
    let nets: String = (0..2_000).map(|i| format!("\"239.{}.{}.0\",", i / 256, i % 256)).collect();
    let outputs: String = (0..2_000).map(output).collect();
    let rule = "[[rule]]\nname = \"x\"\ninput = { destination = [";
    let text = format!("{ports}{rule}{nets}] }}\noutput = [{outputs}]\n");
    assert!(try_load(text.into_bytes()).is_err());

    let lost: String = (0..15_000)
        .map(|i| format!("[[rule]]\nname = \"a{i}\"\noutput = [{{ receiver = \"b{i}\" }}]\n"))
        .collect();
    assert!(try_load(format!("{ports}{lost}").into_bytes()).is_err());
}

#[test]
fn control_characters_do_not_reach_the_terminal() {
    let escape = "\\u001b[31m\\n";
    for text in [
        format!("\"{escape}\" = 1"),
        format!("[class.high]\nbudget = \"1{escape}\""),
        format!("[[port]]\nname = \"{escape}\"\ndevice = \"net_{escape}\""),
        format!("[[port]]\nname = \"{escape}\"\n[[port]]\nname = \"{escape}\""),
        format!("[[port]]\nname = \"a\"\ndevice = \"net_${{{escape}}}\""),
        format!("[[receiver]]\nname = \"a\"\nport = \"{escape}\""),
        format!("[[port]]\nname = \"a{escape}\"\n[[receiver]]\nname = \"a\"\nport = \"b\""),
        format!("include = [\"{escape}\", \"*{escape}\"]"),
    ] {
        assert!(try_load(text.into_bytes()).is_err());
    }
}

/// Changed copies of whole configurations, with the same promises.
#[test]
fn campaign_against_the_configuration() {
    let good = [
        WHOLE,
        include_str!("../config/demo.toml"),
        include_str!("../config/examples/market-data.toml"),
        include_str!("../config/examples/st2110.toml"),
    ];
    let good = good.map(|text| text.as_bytes().to_vec());
    let mut loaded = 0_u64;
    punctual::testkit::campaign::campaign(&good, |bytes| {
        loaded += u64::from(try_load(bytes.to_vec()).is_ok());
    });
    println!("{loaded} were valid");
}
