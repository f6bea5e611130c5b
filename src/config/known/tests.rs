use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::super::{load_bytes, load_source, load_with};
use super::*;
use crate::config::source::Source;
use crate::config::{Config, ConfigErrors, Loaded, canonical};

pub(in crate::config) const PORTS: &str = "schema = 1\n\
    [[port]]\nname = \"in\"\ndevice = \"net_null0\"\n\
    [[port]]\nname = \"out\"\ndevice = \"net_null1\"\naddress = \"10.0.0.1/24\"\n\
    [[receiver]]\nname = \"desk\"\nport = \"out\"\nvlan = 7\n\
    [default.rule]\nclass = \"low\"\n";

/// Rules as people write them; of `marked` there is a warning.
pub(in crate::config) const RULES: &str = "# the first\n\
    [[rule]]\nname = \"a\"\ninput = { port = \"in\", destination = \"239.1.0.1\", udp_port = 5001 }\n\
    output = [{ port = \"out\", destination = \"239.9.0.1\", weight = 2 }]\n\n\
    [[rule]] # with tables\nname = \"b\"\nclass = \"high\"\n\
    [rule.input]\ndestination = \"239.1.0.2\"\n\
    [[rule.output]]\nreceiver = \"desk\"\n\
    [[rule.output]]\nport = \"out\"\ndestination = \"239.9.0.2\"\n\
    # between\r\n\
    [[rule]]\r\nname = \"marked\"\r\ninput = { port = \"in\", destination = \"239.1.0.3\" }\r\n\
    output = [{ port = \"out\", destination = \"239.9.0.3\", mac = \"02:00:00:00:00:01\" }]\r\n\
    [[rule]]\nname = \"c\"\ninput = { port = \"in\", destination = [\n  \"239.1.0.4\",\n  \"239.1.0.5\",\n] }\n\
    budget = \"20ms\"\noutput = [\n  { port = \"out\", destination = \"10.0.0.9\" },\n]\n\
    [[rule]]\nname = \"d\"\nlate = \"drop\"\ninput = { port = \"in\", destination = \"239.1.0.6\" }\n\
    output = [{ receiver = \"desk\", destination = \"239.9.0.6\" }]\n";

const LAST: &str = "[edf]\nwindow = 512\n";

/// What may come between any two lines.
const LINES: [&str; 25] = [
    "[[rule]]\n",
    "  [[rule]]\n",
    "[rule]\n",
    "[rule.input]\n",
    "[[rule.output]]\n",
    "[\"rule\".queue]\npackets = 7\n",
    "rule = []\n",
    "rule.name = \"x\"\n",
    "[[port]]\nname = \"new\"\ndevice = \"net_null2\"\n",
    "[class.low]\nbudget = \"50ms\"\n",
    "[class.high]\nweight = 7\n",
    "[fanout]\ncopy_below = 64\n",
    "name = '''\n",
    "'''\n",
    "name = \"\"\"\n",
    "\"\"\"\n",
    "output = [\n",
    "]\n",
    "# a comment\n",
    "\r\n",
    "late = \"drop\"\n",
    "class = \"high\"\n",
    "mtu = 900\n",
    "[default.output]\nmac = \"02:00:00:00:00:01\"\n",
    "\"",
];

/// An edit of a text, at lines.
#[derive(Clone, Debug)]
pub(in crate::config) enum Edit {
    Remove(Index, usize),
    Insert(Index, &'static str),
    Copy(Index, usize, Index),
    Move(Index, usize, Index),
    Digit(Index, char),
}

impl Edit {
    pub(in crate::config) fn any() -> impl Strategy<Value = Self> {
        let at = any::<Index>;
        prop_oneof![
            (at(), 1_usize..8).prop_map(|(at, count)| Self::Remove(at, count)),
            (at(), select(&LINES[..])).prop_map(|(at, text)| Self::Insert(at, text)),
            (at(), 1_usize..8, at()).prop_map(|(at, count, to)| Self::Copy(at, count, to)),
            (at(), 1_usize..8, at()).prop_map(|(at, count, to)| Self::Move(at, count, to)),
            (at(), select(&['1', '2', '7'][..])).prop_map(|(at, digit)| Self::Digit(at, digit)),
        ]
    }

    pub(in crate::config) fn apply(&self, text: &str) -> String {
        let mut lines: Vec<_> = text.split_inclusive('\n').map(str::to_owned).collect();
        let place = |at: &Index, lines: &[String]| at.index(lines.len() + 1);
        let range = |at: &Index, count: usize, lines: &[String]| {
            let from = place(at, lines);
            from..(from + count).min(lines.len())
        };
        match self {
            Self::Remove(at, count) => drop(lines.drain(range(at, *count, &lines))),
            Self::Insert(at, text) => lines.insert(place(at, &lines), (*text).to_owned()),
            Self::Copy(at, count, to) => {
                let copied = lines[range(at, *count, &lines)].to_vec();
                let to = place(to, &lines);
                lines.splice(to..to, copied);
            }
            Self::Move(at, count, to) => {
                let moved: Vec<_> = lines.drain(range(at, *count, &lines)).collect();
                let to = place(to, &lines);
                lines.splice(to..to, moved);
            }
            Self::Digit(at, digit) => {
                let text = lines.concat();
                let digits: Vec<_> = text.match_indices(|c: char| c.is_ascii_digit()).collect();
                let Some((at, _)) = digits.get(at.index(digits.len().max(1))) else { return text };
                return [&text[..*at], &digit.to_string(), &text[at + 1..]].concat();
            }
        }
        lines.concat()
    }
}

type Said = Result<(Config, String), String>;

/// What can be seen of a reading.
fn said(read: &Result<Loaded, ConfigErrors>) -> Said {
    match read {
        Ok(loaded) => Ok((loaded.config.clone(), loaded.warnings.render(false))),
        Err(errors) => Err(errors.to_string()),
    }
}

fn load(known: &Known, text: &str) -> Result<Loaded, ConfigErrors> {
    let path = Path::new("tests/no-such-directory/known.toml");
    let mut loaded = known.load_bytes(path, text.into(), &|_| None)?;
    loaded.known.settle(known.clone(), &loaded.config.rules);
    Ok(loaded)
}

/// How many rules of a text are taken over; it is said the same of it as if it were read afresh.
fn taken_over(before: &str, text: &str) -> usize {
    let known = load(&Known::default(), before).unwrap_or_else(|errors| panic!("{errors}")).known;
    let again = load(&known, text);
    assert_eq!(said(&again), said(&load(&Known::default(), text)), "{text}");
    let rest = known.rest(text);
    let main = Source { path: "x".into(), text: text.into() };
    match load_source(main, None, &|_| None, &known) {
        Ok(_) => rest.known.len(),
        Err(_) => 0,
    }
}

proptest! {
    #[test]
    fn whatever_is_edited_it_is_read_as_if_afresh(
        steps in vec(vec(Edit::any(), 1..4), 1..6),
        last in any::<bool>(),
    ) {
        let mut text = [PORTS, RULES, if last { LAST } else { "" }].concat();
        let mut known = load(&Known::default(), &text).unwrap().known;
        for edits in steps {
            let next = edits.iter().fold(text.clone(), |text, edit| edit.apply(&text));
            let again = load(&known, &next);
            prop_assert_eq!(said(&again), said(&load(&Known::default(), &next)), "{}", next);
            if let Ok(loaded) = again {
                (known, text) = (loaded.known, next);
            }
        }
    }
}

#[test]
fn what_stands_there_as_it_did_is_taken_over() {
    let before = [PORTS, RULES, LAST].concat();
    let edited = |from: &str, to: &str| {
        assert!(before.contains(from), "{from}");
        taken_over(&before, &before.replacen(from, to, 1))
    };
    // Of five rules one has a warning, and the last one's block has `[edf]` too.
    assert_eq!(taken_over(&before, &before), 3);
    assert_eq!(edited("weight = 2", "weight = 3"), 2);
    assert_eq!(edited("# the first\n", ""), 3);
    assert_eq!(edited("# the first\n", "# the very first\n\n"), 3);
    assert_eq!(edited("[edf]\nwindow = 512", "[edf]\nwindow = 513"), 3);
    assert_eq!(edited("[edf]\nwindow = 512\n", ""), 3);
    let moved = [PORTS, LAST, "# else\n", RULES].concat();
    assert_eq!((taken_over(&before, &moved), taken_over(&moved, &moved)), (3, 4));
    let (first, others) = RULES.split_at(RULES.find("[[rule]] # with").unwrap());
    assert_eq!(taken_over(&before, &[PORTS, others, first, LAST].concat()), 2);
}

#[test]
fn what_a_rule_is_read_against_makes_it_read_again() {
    let before = [PORTS, RULES].concat();
    let edits = [
        ("vlan = 7", "vlan = 8"),
        ("address = \"10.0.0.1/24\"", "address = \"10.0.0.2/24\""),
        ("class = \"low\"", "class = \"medium\""),
        ("[default.rule]", "[class.low]\nbudget = \"50ms\"\n[default.rule]"),
        ("[default.rule]", "[default.output]\nttl = 9\n[default.rule]"),
        ("[default.rule]", "[default.receiver]\nttl = 9\n[default.rule]"),
        ("[[receiver]]", "[[port]]\nname = \"new\"\ndevice = \"net_null2\"\n[[receiver]]"),
    ];
    for (from, to) in edits {
        assert_eq!(taken_over(&before, &before.replacen(from, to, 1)), 0, "{from}");
    }
    // With a MAC for all there is something to say of rules that were known: none of them is.
    let mac = "[default.output]\nmac = \"02:00:00:00:00:01\"\n[default.rule]";
    let told = before.replacen("[default.rule]", mac, 1);
    let known = load(&Known::default(), &before).unwrap().known;
    let again = load(&known, &told).unwrap();
    assert_eq!(again.known.rules.len(), 1, "but that of unicast");
    let again = load(&again.known, &told);
    assert_eq!(said(&again), said(&load(&Known::default(), &told)));
    let at = "[[port]]\nname = \"in\"";
    assert!(taken_over(&before, &before.replacen(at, &format!("# higher\n{at}"), 1)) > 0);
}

#[test]
fn a_text_that_only_looks_like_rules_is_none() {
    let before = [PORTS, RULES].concat();
    let (_, known) = RULES.split_at(RULES.find("[[rule]]\nname = \"d\"").unwrap());
    // Nothing of a string or an array is a rule, and none stands behind what is no array of tables.
    for open in ["x = \"\"\"\n", "x = '''\n", "x = [\n", "rule = []\n", "[rule]\n", "rule.x = 1\n"]
    {
        for text in [[open, &before].concat(), [PORTS, open, known].concat()] {
            assert_eq!(taken_over(&before, &text), 0, "{text}");
        }
    }
    for quotes in ["\"\"\"", "'''"] {
        for last in ["", "[[rule]]\n"] {
            let string = [quotes, "\n", known, last, quotes].concat();
            let text = [&before, "[eal]\nextra = [", &string, "]\n"].concat();
            assert!(load(&Known::default(), &text).is_ok(), "{text}");
            for (before, text) in [(&before, &text), (&text, &before), (&text, &text)] {
                assert_eq!(taken_over(before, text), 0, "{text}");
            }
        }
    }
    let text = [PORTS, known, known].concat();
    assert!(said(&load(&load(&Known::default(), &before).unwrap().known, &text)).is_err());
    assert_eq!(taken_over(&before, &text), 0);
}

#[test]
fn included_rules_are_taken_over_too() {
    let path = Path::new("tests/include_config/main.toml");
    let variable = |_: &str| Some("capture".to_owned());
    let mut first = load_with(path, &variable).unwrap_or_else(|errors| panic!("{errors}"));
    first.known.settle(Known::default(), &first.config.rules);
    let mut again = first.known.load_with(path, &variable).unwrap();
    again.known.settle(first.known.clone(), &again.config.rules);
    assert_eq!(said(&Ok(again.clone())), said(&Ok(first.clone())));
    assert_eq!(canonical(&again.config), canonical(&first.config));
    let known = |loaded: &Loaded| loaded.known.rules.values().map(Arc::as_ptr).collect::<Vec<_>>();
    let (mut was, mut is) = (known(&first), known(&again));
    was.sort_unstable();
    is.sort_unstable();
    assert!(!is.is_empty());
    assert_eq!(was, is, "they were read again");
}

/// What is known are rules as they were read: with the slots that the file gives its ports.
#[test]
fn rules_are_known_by_the_ports_as_they_stand() {
    let in_force = [PORTS, RULES].concat();
    let old = load(&Known::default(), &in_force).unwrap().config;
    let (first, second) = PORTS.split_at(PORTS.find("[[port]]\nname = \"out\"").unwrap());
    let (second, others) = second.split_at(second.find("[[receiver]]").unwrap());
    let (schema, first) = first.split_at(first.find("[[port]]").unwrap());
    let turned = [schema, second, first, others, RULES].concat();
    let path = Path::new("turned.toml");
    let mut loaded = load_bytes(path, turned.clone().into(), &|_| None).unwrap();
    loaded.order_ports_as(&old);
    assert_eq!(loaded.config, old);
    loaded.known.settle(Known::default(), &loaded.config.rules);
    let again = load(&loaded.known, &turned);
    assert_eq!(said(&again), said(&load(&Known::default(), &turned)));
    assert!(loaded.known.rest(&turned).known.len() > 2, "nothing is taken over");
}
