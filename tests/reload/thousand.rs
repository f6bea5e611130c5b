//! Reload after reload while traffic flows at full rate.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use fastrand::Rng;
use punctual::manage::report::Report;

use crate::binary::{Running, is_whole, number, sum};
use crate::peer::wait;
use crate::rules;
use crate::site::{Site, is_long, resident_kib};
use crate::traffic::Traffic;

/// Reloads of the short and the long form; the first hundred warm the allocator up.
const RELOADS: (u32, u32) = (200, 1_000);
const WARM: u32 = 100;
/// What the process may grow by between the hundredth reload and the last, in KiB. A plan here is
/// almost 40 KiB: a hundred that are not freed are far more.
const GROWS_MAX_KIB: u64 = 1_024;

pub fn reloads_under_traffic_cost_no_packet() {
    reloads_under_traffic(1);
}

/// They take up each plan when they get to it, and hand packets to one another meanwhile.
pub fn nor_do_they_with_two_workers() {
    reloads_under_traffic(2);
}

fn reloads_under_traffic(workers: usize) {
    let site = Site::new();
    let mut rng = Rng::with_seed(7);
    let head = rules::site(&site.instance, workers);
    site.write("config.toml", &(head.clone() + &rules::next(&mut rng)));
    let reloads = if is_long() { RELOADS.1 } else { RELOADS.0 };
    let (traffic, shown, rss) =
        under_traffic(&site, |running| operate(&site, running, &head, &mut rng, reloads));
    let report = site.instance.report();
    is_whole(&report);
    let ledger = &report["ledger"];
    let offered = u64::from(traffic.offered);
    assert_eq!(number(&ledger["received"]), offered * u64::from(rules::GROUPS), "{ledger}");
    assert_eq!(number(&ledger["sent"]), traffic.copies, "{ledger}");
    assert_eq!(sum(&ledger["dropped_after"]), 0, "{ledger}");
    assert_eq!(kept(&shown), (offered, vec![offered; 2]));
    assert!(traffic.seen() > 9, "outputs came and went: {}", traffic.seen());
    println!(
        "{reloads} reloads, {offered} numbers, {} copies; {} KiB after {WARM}, {} KiB after all",
        traffic.copies, rss.0, rss.1
    );
    assert!(rss.1 < rss.0 + GROWS_MAX_KIB, "memory grew from {} to {} KiB", rss.0, rss.1);
}

/// Starts the instance, has it operated under traffic that never pauses, and ends it. Returns the
/// traffic, what was shown before the end, and what the operator says.
pub fn under_traffic<T: Send>(
    site: &Site,
    operate: impl FnOnce(&Running) -> T + Send,
) -> (Traffic, Report, T) {
    let (listens, listening) = mpsc::channel();
    let (tells, told) = mpsc::channel();
    let (rests, rested) = mpsc::channel::<()>();
    let is_over = AtomicBool::new(false);
    let (traffic, shown, ended, said) = std::thread::scope(|scope| {
        // Threads and processes inherit where their maker is pinned, which EAL does to this one. And
        // what the operator has started ends with it, so it stays until all is over.
        let over = &is_over;
        let operator = scope.spawn(move || {
            let _end = SetAtEnd(over);
            listening.recv().expect("the wires listen");
            let mut running = site.begin();
            site.answers(&mut running);
            let said = operate(&running);
            over.store(true, Ordering::Release);
            tells.send((running, said)).expect("the wires wait");
            let _ = rested.recv();
        });
        let mut traffic = Traffic::new(&site.instance);
        listens.send(()).expect("the operator waits");
        traffic.flow(|| is_over.load(Ordering::Acquire));
        let Ok((mut running, said)) = told.recv() else {
            let panic = operator.join().expect_err("it has told nothing");
            std::panic::resume_unwind(panic)
        };
        // Its ports are read meanwhile: a full one would be given up after 100 ms.
        let asked = scope.spawn(|| site.show());
        traffic.rest(|| asked.is_finished());
        let shown = asked.join().expect("it answers");
        running.signal(libc::SIGTERM);
        traffic.rest(|| !running.is_running());
        let ended = running.end();
        drop(rests);
        (traffic, shown, ended, said)
    });
    assert_eq!(ended.code, Some(0), "{ended:?}");
    (traffic, shown, said)
}

/// Ends the traffic, whatever becomes of the operator.
struct SetAtEnd<'a>(&'a AtomicBool);

impl Drop for SetAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Reloads so many times, one in ten of them wrong; returns the process's memory in KiB after the
/// warm-up and at the end.
fn operate(site: &Site, run: &Running, head: &str, rng: &mut Rng, reloads: u32) -> (u64, u64) {
    let (mut warm, mut before) = (0, kept(&site.show()));
    let mut said = Said::default();
    for n in 1..=reloads {
        let rules = rules::next(rng);
        let wrong = (n % 10 == 5).then(|| rules::wrong(rng, head, &rules));
        let text = wrong.as_ref().map_or_else(|| head.to_owned() + &rules, |wrong| wrong.0.clone());
        site.write("config.toml", &text);
        let told = if n % 2 == 0 {
            run.signal(libc::SIGHUP);
            None
        } else {
            Some(site.reload("config.toml").map_err(|error| error.to_string()))
        };
        let line = said.next(run);
        assert_eq!(is_good(&line), wrong.is_none(), "{n}: {line}");
        if let Some((_, part)) = wrong {
            let message = told.map_or(line, |told| told.expect_err("it is wrong"));
            assert!(message.contains(part), "`{part}`: {message}");
        } else if let Some(told) = told {
            told.unwrap_or_else(|error| panic!("{n}: {error}"));
        }
        let report = site.show();
        assert_eq!(report.ledger.residual, 0, "{:?}", report.ledger);
        let now = kept(&report);
        let outputs = now.1.iter().zip(&before.1);
        assert!(
            now.0 >= before.0 && outputs.fold(true, |all, (now, before)| all & (now >= before))
        );
        before = now;
        if n == WARM {
            warm = resident_kib(run.id());
        }
    }
    (warm, resident_kib(run.id()))
}

/// Packets and sent copies of the rule that never changes.
pub fn kept(report: &Report) -> (u64, Vec<u64>) {
    let name = format!("g{}", rules::KEPT);
    let rule = report.rules.iter().find(|rule| rule.name == name).expect("it stays");
    (rule.packets, rule.outputs.iter().map(|output| output.sent).collect())
}

/// What the relay says of its reloads, one after the other.
#[derive(Default)]
struct Said {
    /// Bytes of its standard error stream that have been looked at.
    read: usize,
}

impl Said {
    /// The next verdict, and what is below it so far.
    fn next(&mut self, run: &Running) -> String {
        wait("a reload", || {
            let all = run.stderr();
            let new = &all[self.read..];
            let found = new.lines().any(is_verdict);
            if !found || !new.ends_with('\n') {
                return None;
            }
            self.read = all.len();
            let from = new.lines().skip_while(|line| !is_verdict(line));
            Some(from.collect::<Vec<_>>().join("\n"))
        })
    }
}

/// Whether a line of the log says that a reload went well.
fn is_good(line: &str) -> bool {
    line.contains(" INFO reloaded ")
}

fn is_verdict(line: &str) -> bool {
    is_good(line) || line.contains(" not reloaded")
}
