//! The screens as they were reviewed, and what the keys do to them.

use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::style::{Color, Modifier};

use super::table::{Order, rows};
use super::{After, INTERVAL, Look, Top, View};
use crate::manage::control::{Shown, Who};
use crate::manage::fixture::{Fixture, assert_golden};
use crate::manage::report::{Link, Report};

const SIZES: [(u16, u16); 2] = [(80, 24), (120, 40)];

fn shown(report: Report) -> Shown {
    let instance = Who { name: "demo".into(), process: 7, started_unix_ms: 5 };
    Shown { instance, report }
}

/// Two reports, half a second apart; in it 50 packets came and 40 copies went, 6 were lost.
fn reports() -> [Report; 2] {
    let now = Fixture::new().report();
    let mut before = now.clone();
    before.uptime_ns -= 500_000_000;
    let rule = &mut before.rules[0];
    (rule.packets, rule.bytes) = (rule.packets - 50, rule.bytes - 60_000);
    rule.dropped = drops(r#"{"policed": 9, "late": 2}"#);
    let output = &mut rule.outputs[0];
    (output.sent, output.on_time) = (output.sent - 40, output.on_time - 39);
    (output.late_sent, output.bytes) = (output.late_sent - 1, output.bytes - 50_000);
    output.dropped = drops(r#"{"egress_full": 1, "egress_late": 2}"#);
    before.rules[1].outputs[0].bytes -= 25_000;
    let receiver = &mut before.receivers[0];
    (receiver.sent, receiver.on_time) = (receiver.sent - 40, receiver.on_time - 39);
    (receiver.late_sent, receiver.bytes) = (receiver.late_sent - 1, receiver.bytes - 50_000);
    let [input, output] = &mut before.ports[..] else { unreachable!() };
    (input.received, input.bytes_received) = (input.received - 50, input.bytes_received - 58_800);
    (output.sent, output.bytes_sent) = (output.sent - 40, output.bytes_sent - 49_040);
    input.missed -= 3;
    let worker = &mut before.workers[0];
    (worker.turns, worker.busy_turns) = (worker.turns - 400, worker.busy_turns - 300);
    before.ledger.received -= 50;
    before.ledger.sent -= 40;
    before.ledger.dropped_before = drops(r#"{"no_rule": 20, "policed": 9, "late": 2}"#);
    before.ledger.dropped_after = drops(r#"{"egress_full": 1, "egress_late": 2}"#);
    [before, now]
}

fn drops<T: serde::de::DeserializeOwned>(json: &str) -> T {
    serde_json::from_str(json).unwrap()
}

fn top() -> Top {
    let mut top = Top::new(INTERVAL);
    reports().into_iter().for_each(|report| top.take(shown(report)));
    top
}

fn press(top: &mut Top, keys: &str) {
    for c in keys.chars() {
        let code = if c == '\n' { KeyCode::Enter } else { KeyCode::Char(c) };
        assert_eq!(key(top, code), After::Continue, "{c:?}");
    }
}

fn key(top: &mut Top, code: KeyCode) -> After {
    top.key(KeyEvent::new(code, KeyModifiers::NONE))
}

fn terminal(top: &mut Top, (width, height): (u16, u16)) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| top.draw(frame, true)).unwrap();
    terminal
}

/// The screen's lines, without the blanks at their ends.
fn screen(top: &mut Top, size: (u16, u16)) -> String {
    let terminal = terminal(top, size);
    let cells = terminal.backend().buffer().content.chunks(size.0.into());
    let lines = cells.map(|line| line.iter().map(|cell| cell.symbol()).collect::<String>());
    lines.map(|line| format!("{}\n", line.trim_end())).collect()
}

/// The first column of each row of the view.
fn names(top: &Top) -> Vec<String> {
    let look = top.look.as_ref().unwrap();
    let rows = rows(top.view, look, &top.filter, top.order());
    rows.iter().map(|fields| fields[0].text.clone()).collect()
}

/// A row of the view as texts.
fn row(view: View, look: &Look, name: &str) -> Vec<String> {
    let rows = rows(view, look, name, Order::default());
    rows[0].iter().map(|field| field.text.clone()).collect()
}

#[test]
fn every_view_is_as_reviewed() {
    for (width, height) in SIZES {
        let mut text = String::new();
        let mut top = top();
        for (key, view) in ('1'..).zip(View::ALL) {
            press(&mut top, &key.to_string());
            text += &format!("--- {}\n{}", view.name(), screen(&mut top, (width, height)));
        }
        press(&mut top, "1?");
        text += &format!("--- help\n{}", screen(&mut top, (width, height)));
        assert_golden(&format!("top-{width}x{height}.txt"), &text);
    }
}

#[test]
fn rates_are_what_was_added_by_the_instance_s_clock() {
    let top = top();
    let look = top.look.as_ref().unwrap();
    let totals = look.totals().unwrap();
    assert_eq!((totals.received, totals.sent, totals.dropped, totals.missed), (100, 80, 12, 6));
    // 58,800 bytes and 24 for each of 50 frames are 60,000, in half a second.
    assert_eq!((totals.bits_received, totals.bits_sent), (960_000, 800_000));
    // 75 % of its 400 turns; 12.5 % since the start.
    assert_eq!(look.busy(1), Some(750));
    let itch = row(View::Rules, look, "itch");
    // On time: 39 of 40 sent and 5 dropped. Lost: 5 and the one that was policed.
    assert_eq!(itch[..8], ["itch", "100", "0.96", "100%", "86.6%", "2", "12", "egress_full"]);
    let desk = row(View::Outputs, look, "desk");
    let rates = ["80", "0.80", "66.6%", "86.6%", "2", "10", "egress_full"];
    assert_eq!(desk[2..9], rates);
    assert_eq!(row(View::Receivers, look, "desk")[5], "66.6%", "the share is of the link");
    let port = row(View::Ports, look, "in");
    assert_eq!(port[3..9], ["100", "0.96", "0", "0.00", "6", "missed"]);
    let full = row(View::Drops, look, "egress_full");
    assert_eq!(full[..5], ["egress_full", "after", "8", "66.6%", "5"]);
}

#[test]
fn the_first_look_has_no_rates_and_a_new_start_has_none_either() {
    let [before, now] = reports();
    let mut top = Top::new(INTERVAL);
    assert!(screen(&mut top, (80, 24)).contains("no answer yet"));
    top.take(shown(before.clone()));
    let text = screen(&mut top, (80, 24));
    assert!(text.contains("rates come with the second look") && text.contains("itch"), "{text}");
    let mut other = shown(now.clone());
    other.instance.process = 8;
    top.take(other.clone());
    assert_eq!(top.look.as_ref().unwrap().added, None);
    let text = screen(&mut top, (80, 24));
    assert!(text.contains("started anew") && text.contains("process 8"), "{text}");
    other.report.uptime_ns += 1;
    top.take(other);
    assert!(top.look.as_ref().unwrap().added.is_some());
    assert!(screen(&mut top, (80, 24)).contains("started anew"), "until it had its time");
}

#[test]
fn the_share_of_ten_thousand_outputs_is_that_of_each_one_s_link() {
    let [mut before, mut now] = reports();
    for report in [&mut before, &mut now] {
        let output = report.rules[0].outputs[0].clone();
        let port = |n: usize| if n.is_multiple_of(4) { "in" } else { "out" };
        report.rules[0].outputs = (0..10_000)
            .map(|n| crate::manage::report::OutputReport {
                name: format!("{n}"),
                port: port(n).into(),
                bytes: 0,
                ..output.clone()
            })
            .collect();
        report.rules.truncate(1);
    }
    now.rules[0].outputs.iter_mut().for_each(|output| output.bytes = 1_000);
    now.rules[0].outputs[4].bytes = 1_000_000;
    let mut top = Top::new(INTERVAL);
    [before, now].into_iter().for_each(|report| top.take(shown(report)));
    let look = top.look.as_ref().unwrap();
    let rows = rows(View::Outputs, look, "", Order::default());
    let share = |n: usize| rows[n][4].text.as_str();
    // A million of 3,499,000, a thousand of them, a thousand of 7,500,000.
    assert_eq!((share(4), share(8), share(5)), ("28.5%", "0.0%", "0.0%"));
    assert_eq!(rows[5][4].number, Some(0));
}

#[test]
fn an_instance_that_ends_is_told_beside_what_it_was() {
    let mut top = top();
    top.miss("the instance went away");
    let text = screen(&mut top, (80, 24));
    assert!(text.contains("the instance went away") && text.contains("itch"), "{text}");
    let [_, now] = reports();
    top.take(shown(Report { uptime_ns: now.uptime_ns + 1, ..now }));
    assert!(!screen(&mut top, (80, 24)).contains("went away"));
}

#[test]
fn a_residual_a_link_and_a_breaker_that_are_wrong_are_red() {
    let [_, mut now] = reports();
    now.ledger.residual = 3;
    now.ports[1].link = Link::Down;
    let mut top = top();
    top.take(shown(now));
    press(&mut top, "3");
    let terminal = terminal(&mut top, (80, 24));
    let buffer = terminal.backend().buffer();
    let cells = buffer.content.iter().filter(|cell| cell.fg == Color::Red);
    let red: String = cells.map(|cell| cell.symbol()).collect();
    assert!(red.contains("RESIDUAL 3") && red.contains("down") && red.contains("open"), "{red}");
    let mut plain = Terminal::new(TestBackend::new(80, 24)).unwrap();
    plain.draw(|frame| top.draw(frame, false)).unwrap();
    let cells = &plain.backend().buffer().content;
    assert!(cells.iter().all(|cell| cell.fg == Color::Reset), "without colours none is used");
    assert!(cells.iter().any(|cell| cell.modifier.contains(Modifier::BOLD)));
}

#[test]
fn s_goes_through_the_columns_and_r_turns_them_round() {
    let mut top = top();
    assert_eq!(names(&top), ["itch", "syslog"], "as configured");
    press(&mut top, "r");
    assert_eq!(names(&top), ["syslog", "itch"]);
    press(&mut top, "rs");
    assert_eq!(names(&top), ["itch", "syslog"], "by name");
    press(&mut top, "s");
    assert_eq!(names(&top), ["itch", "syslog"], "by pps, the greatest first");
    press(&mut top, "sssssss");
    assert_eq!(names(&top), ["syslog", "itch"], "by p50");
    press(&mut top, "r");
    assert_eq!(names(&top), ["itch", "syslog"]);
    // Each view has an order of its own.
    press(&mut top, "5");
    assert_eq!(names(&top)[0], "no_rule");
    press(&mut top, "sss");
    assert_eq!(names(&top)[..2], ["egress_full", "policed"], "by what is lost now");
    press(&mut top, "1");
    assert_eq!(top.order(), Order { column: Some(8), reverse: true });
    press(&mut top, "sss");
    assert_eq!(top.order().column, None, "and the file's order again");
}

#[test]
fn a_filter_is_typed_kept_and_dropped() {
    let mut top = top();
    press(&mut top, "/ITq");
    assert!(screen(&mut top, (80, 24)).contains("no such name"));
    key(&mut top, KeyCode::Backspace);
    assert_eq!(names(&top), ["itch"]);
    press(&mut top, "\n2");
    assert_eq!(names(&top), ["itch", "itch"], "a rule's name finds its outputs");
    press(&mut top, "/");
    assert_eq!(key(&mut top, KeyCode::Esc), After::Continue);
    assert_eq!(names(&top).len(), 3);
    press(&mut top, "5/edf:");
    assert_eq!(names(&top), ["late"], "whatever the case of the name");
}

#[test]
fn a_pause_lets_the_screen_stand_still() {
    let mut top = top();
    let look = top.look.clone();
    press(&mut top, "p");
    let [_, now] = reports();
    top.take(shown(Report { uptime_ns: now.uptime_ns + 1, ..now.clone() }));
    top.miss("gone");
    assert_eq!((&top.look, &top.note), (&look, &None));
    assert!(screen(&mut top, (80, 24)).contains("stands still"));
    press(&mut top, " ");
    // What came in the pause is shared out over all of it.
    let mut later = now;
    later.uptime_ns += 10_000_000_000;
    later.ledger.received += 1_000;
    top.take(shown(later));
    assert_eq!(top.look.unwrap().totals().unwrap().received, 100);
}

#[test]
fn rows_are_scrolled_and_stay_on_the_screen() {
    let [before, now] = reports().map(|mut report| {
        let rule = report.rules[0].clone();
        report.rules = (0..100)
            .map(|n| crate::manage::report::RuleReport {
                name: format!("rule-{n:02}"),
                ..rule.clone()
            })
            .collect();
        report
    });
    let mut top = Top::new(INTERVAL);
    top.take(shown(before));
    top.take(shown(now));
    let first = |top: &mut Top| {
        let text = screen(top, (80, 24));
        let at = text.find("rule-").unwrap();
        text[at + 5..at + 7].parse::<usize>().unwrap()
    };
    assert_eq!(first(&mut top), 0);
    let page = top.page;
    assert!((10..24).contains(&page), "{page}");
    key(&mut top, KeyCode::PageDown);
    key(&mut top, KeyCode::Down);
    assert_eq!(first(&mut top), page + 1);
    key(&mut top, KeyCode::End);
    assert_eq!(first(&mut top), 100 - page);
    key(&mut top, KeyCode::Down);
    key(&mut top, KeyCode::Up);
    assert_eq!(first(&mut top), 100 - page, "it cannot go behind the end");
    key(&mut top, KeyCode::PageUp);
    assert_eq!(first(&mut top), 100 - 2 * page);
    key(&mut top, KeyCode::Home);
    assert_eq!(first(&mut top), 0);
}

#[test]
fn the_interval_is_between_a_tenth_and_ten_seconds() {
    let mut top = Top::new(Duration::from_millis(250));
    press(&mut top, "+");
    assert_eq!(top.interval(), Duration::from_millis(500));
    press(&mut top, "+++++++++");
    assert_eq!(top.interval(), Duration::from_secs(10));
    press(&mut top, "---------");
    assert_eq!(top.interval(), Duration::from_millis(100));
}

#[test]
fn it_ends_as_it_is_asked_to() {
    for code in [KeyCode::Char('q'), KeyCode::Esc] {
        assert_eq!(key(&mut top(), code), After::Quit);
    }
    let mut top = top();
    press(&mut top, "?q");
    assert!(!top.help, "a key leaves the help and does nothing else");
    press(&mut top, "/");
    let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(top.key(interrupt), After::Quit, "whatever is typed");
}

#[test]
fn any_size_is_drawn_on() {
    let mut top = top();
    top.miss("gone");
    for size in (1..130).step_by(3).flat_map(|width| [(width, 1), (width, 9), (width, 12)]) {
        for keys in ["", "2", "3", "4", "5", "?", "x/x\n"] {
            press(&mut top, keys);
            screen(&mut top, size);
        }
    }
}
