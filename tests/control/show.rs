//! What is shown is the report: as it is, since a baseline, with rates.

use std::time::Duration;

use serde_json::{Value, json};

use crate::binary::{named, number, sum};
use crate::site::{FRAMES, Site};

/// Parts that are lists of rows of the report itself.
const LISTS: [&str; 7] =
    ["rules", "ports", "workers", "classes", "receivers", "pools", "unmatched"];

/// A part without what goes on while nothing happens.
fn at_rest(mut part: Value) -> Value {
    let moving = [
        "turns",
        "busy_turns",
        "busy_permille",
        "heartbeat_age_ns",
        "longest_turn_ns",
        "plan_turn_ns",
        "in_use",
        "in_use_max",
        "held",
    ];
    for row in part.as_array_mut().into_iter().flatten() {
        let row = row.as_object_mut().expect("rows are objects");
        row.retain(|key, _| !moving.contains(&key.as_str()));
    }
    part
}

#[test]
fn every_part_of_a_drained_instance_is_that_of_its_final_report() {
    let site = Site::finite();
    let running = site.start();
    site.drained();
    let ledger = site.json("ledger");
    let lists = LISTS.map(|what| site.json(what));
    let [outputs, drops, plan] = ["outputs", "drops", "plan"].map(|what| site.json(what));
    let said = site.told(&["stop"]);
    assert!(said.contains(&format!("{} has ended after", site.instance.name)), "{said}");
    let report = site.has_ended(running);

    assert_eq!(ledger, report["ledger"]);
    for (what, part) in LISTS.iter().zip(lists) {
        assert_eq!(at_rest(part), at_rest(report[what].clone()), "{what}");
    }
    let rules = report["rules"].as_array().expect("a list of rules");
    let flat = rules.iter().flat_map(|rule| {
        rule["outputs"].as_array().into_iter().flatten().map(|output| {
            let mut row = output.clone();
            row["rule"] = rule["name"].clone();
            row
        })
    });
    assert_eq!(outputs, flat.collect::<Value>());
    let [first, second, none] = FRAMES.map(|count| count as u64);
    let desk = named(&report["receivers"], "desk");
    assert_eq!(number(&desk["sent"]), first + second / 3);
    assert_eq!(drops, json!([{"reason": "no_rule", "fan_out": "before", "count": none}]));
    assert_eq!((number(&plan["generation"]), number(&plan["outputs"])), (1, 3));
    assert!(plan["settings"].as_str().is_some_and(|text| text.contains("name = \"news\"")));

    let classes = &report["classes"];
    let copies = number(&named(classes, "high")["latency_ns"]["count"]);
    assert_eq!(copies, 2 * first);
    let by_class = classes.as_array().into_iter().flatten().map(|class| number(&class["sent"]));
    assert_eq!(by_class.sum::<u64>(), number(&report["ledger"]["sent"]));
    assert_eq!(sum(&report["ledger"]["dropped_before"]), none);
}

#[test]
fn every_table_names_what_it_shows() {
    let site = Site::finite();
    let running = site.start();
    site.drained();
    let parts = [
        ("ledger", "residual 0"),
        ("rules", "itch"),
        ("outputs", "239.2.2.3"),
        ("receivers", "desk"),
        ("ports", "feed"),
        ("workers", "lcore 1"),
        ("classes", "medium"),
        ("drops", "no_rule"),
        ("pools", "payload"),
        ("unmatched", "nearest news: destination is 239.1.1.3, not 239.1.1.2"),
        ("plan", "settings in force"),
    ];
    for (what, part) in parts {
        let table = site.told(&["show", what]);
        assert!(table.starts_with(&format!("{}: ", site.instance.name)), "{table}");
        assert!(table.contains(part), "{what}: {table}");
        assert!(!table.contains('\x1b'), "{table}");
    }
    let top = site.told(&["show", "outputs", "--json", "--sort", "sent", "--top", "1"]);
    let top: Value = serde_json::from_str(&top).expect("JSON");
    assert_eq!(top.as_array().map(Vec::len), Some(1));
    assert_eq!(top[0]["rule"], "itch");
    for (args, part) in [
        (&["show", "rules", "--sort", "speed"][..], "latency_ns.p99"),
        (&["show", "ledger", "--top", "1"], "lists of rows"),
        (&["show", "plan", "--watch"], "not for the plan"),
    ] {
        let ended = site.ask(args);
        assert_eq!(ended.code, Some(64), "{ended:?}");
        assert!(ended.stderr.contains(part), "{}", ended.stderr);
    }
    site.stop(running);
}

#[test]
fn a_watch_shows_totals_and_rates_until_the_instance_ends() {
    let site = Site::endless();
    let running = site.start();
    let watch = |args: &[&str]| site.instance.spawn(args, &mut site.command());
    let mut table = watch(&["show", "rules", "--watch", "100ms"]);
    let mut lines = watch(&["show", "ledger", "--watch", "100ms", "--json"]);
    while table.stdout().matches("packets/s").count() < 2 || lines.stdout().lines().count() < 3 {
        assert!(table.is_running() && lines.is_running(), "{}{}", table.stderr(), lines.stderr());
        std::thread::sleep(Duration::from_millis(5));
    }
    site.stop(running);
    let (table, lines) = (table.end(), lines.end());
    for ended in [&table, &lines] {
        assert_eq!(ended.code, Some(69), "{ended:?}");
    }
    let looks: Vec<&str> = table.stdout.split("\n\n").filter(|t| t.starts_with("rule ")).collect();
    assert!(!looks[0].contains("packets/s") && looks[0].contains("p99"), "{}", looks[0]);
    // It relays at full speed: between two looks there was something.
    let row = looks[1].lines().find(|line| line.starts_with("itch")).expect("a row");
    let rate = row.split_whitespace().rev().nth(1).expect("a rate").replace(',', "");
    assert!(rate.parse::<u64>().expect("a number") > 0, "{row}");
    let received = lines.stdout.lines().map(|line| {
        let ledger: Value = serde_json::from_str(line).expect("a line is JSON");
        assert_eq!(number(&ledger["residual"]), 0);
        number(&ledger["received"])
    });
    let received: Vec<u64> = received.collect();
    assert!(received.windows(2).all(|pair| pair[0] < pair[1]), "{received:?}");
}

#[test]
fn a_reset_is_the_caller_s_view_of_this_run_alone() {
    let site = Site::finite();
    let running = site.start();
    site.drained();
    let before = site.json("ledger");
    assert!(!site.told(&["show", "rules"]).contains("since reset"));
    assert!(site.told(&["reset"]).contains("--total"));
    let table = site.told(&["show", "rules"]);
    assert!(table.contains("since reset") && table.contains("ago"), "{table}");
    assert!(!table.contains("no_rule"));

    let ended = site.ask(&["show", "ledger", "--json"]);
    assert!(ended.stderr.contains("since reset"), "{}", ended.stderr);
    let since: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    for key in ["offered", "received", "admitted", "copies", "sent", "residual"] {
        assert_eq!(number(&since[key]), 0, "{key}: {since}");
    }
    let total = site.told(&["show", "ledger", "--json", "--total"]);
    assert_eq!(serde_json::from_str::<Value>(&total).expect("JSON"), before);
    // Another user's view is not touched.
    let mut other = site.command();
    other.env("XDG_STATE_HOME", site.instance.path("other"));
    let ended = site.instance.spawn(&["show", "ledger", "--json"], &mut other).end();
    assert_eq!(serde_json::from_str::<Value>(&ended.stdout).expect("JSON"), before);

    site.told(&["reset", "--clear"]);
    assert_eq!(site.json("ledger"), before);
    site.told(&["reset"]);
    site.stop(running);
    // The same name, another process: its counters have nothing to do with the baseline.
    let running = site.start();
    site.drained();
    assert_eq!(site.json("ledger"), before);
    site.stop(running);
}

#[test]
fn what_no_rule_takes_is_shown_with_the_rule_that_it_just_misses() {
    let site = Site::finite();
    let running = site.start();
    site.drained();
    // Management takes what the worker shows in its next tick.
    let mut unmatched = site.json("unmatched");
    while number(&unmatched[0]["count"]) < FRAMES[2] as u64 {
        std::thread::sleep(Duration::from_millis(5));
        unmatched = site.json("unmatched");
    }
    let differs = json!([{
        "field": "destination", "found": "239.1.1.3", "allowed": "239.1.1.2", "matches": false,
    }]);
    let expected = json!([{
        "port": "feed",
        "vlan": 0,
        "source": "10.9.1.1",
        "destination": "239.1.1.3",
        "udp_port": 5001,
        "reason": "no_rule",
        "count": FRAMES[2],
        "count_error": 0,
        "nearest": {"rule": "news", "differs": differs},
    }]);
    assert_eq!(unmatched, expected);
    let table = site.told(&["show", "unmatched"]);
    assert!(table.contains("10.9.1.1 > 239.1.1.3:5001"), "{table}");
    site.told(&["reset"]);
    let after = site.told(&["show", "unmatched"]);
    assert!(after.contains("a rule takes every packet"), "{after}");
    assert_eq!(site.ask(&["show", "unmatched", "--json"]).stdout, "[]\n");
    site.stop(running);
    let report = site.instance.report();
    assert_eq!(report["unmatched"], expected);
    assert_eq!(report["unmatched_unseen"], 0);
}

#[test]
fn residence_times_are_shown_as_quantiles_and_as_percentile_texts() {
    let site = Site::finite();
    let running = site.start();
    site.drained();
    let table = site.told(&["show", "latency"]);
    let [first, second, _] = FRAMES.map(|count| count as u64);
    let row = table.lines().find(|line| line.starts_with("itch")).expect("a row");
    assert!(row.contains(&format!(" {} ", 2 * first)) && table.contains("p99.99"), "{table}");

    let json: Value = serde_json::from_str(&site.told(&["show", "latency", "--json"])).unwrap();
    let counts = json[0]["times"]["buckets"].as_array().expect("a list");
    assert_eq!(counts.iter().map(|bucket| number(&bucket[1])).sum::<u64>(), 2 * first);

    let text = site.told(&["show", "latency", "--hgrm"]);
    assert_eq!(text.matches("1/(1-Percentile)").count(), 2, "{text}");
    let directory = site.instance.path("times");
    let told = site.told(&["show", "latency", "--hgrm", directory.to_str().expect("a path")]);
    for (rule, count) in [("itch", 2 * first), ("news", second / 3)] {
        let path = directory.join(format!("{rule}.hgrm"));
        assert!(told.contains(path.to_str().expect("a path")), "{told}");
        let file = std::fs::read_to_string(path).expect("it is written");
        assert!(text.contains(&file) && file.contains(&format!("= {count:12}]")), "{file}");
    }
    for (args, part) in [
        (&["show", "rules", "--hgrm"][..], "for `show latency`"),
        (&["show", "latency", "--json", "--hgrm"], "without --json"),
        (&["show", "latency", "--watch"], "latency"),
    ] {
        let ended = site.ask(args);
        assert_eq!(ended.code, Some(64), "{ended:?}");
        assert!(ended.stderr.contains(part), "{}", ended.stderr);
    }
    let taken = site.ask(&["show", "latency", "--hgrm", "config.toml"]);
    assert_eq!(taken.code, Some(69), "{taken:?}");
    site.stop(running);
}
