//! Time a packet, in and out, of the schedulers: ours, the origin's way, and a plain heap, from one
//! flow or waiting packet to a million.
//!
//! `cargo bench --no-default-features --bench schedulers [-- FILTER]` takes about two minutes;
//! criterion measures, and a table at the end puts the medians side by side. The caches decide at a
//! large number of flows: say which host it was, and what else ran there.

#![allow(clippy::disallowed_methods, reason = "a bench reads the clock")]

mod cases;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use cases::{Build, Case, PIPELINE, SCHEDULERS, Scheduler};
use criterion::Criterion;

const SIZES: [usize; 6] = [1, 100, 1_000, 10_000, 100_000, 1_000_000];

/// Packets of a sample, at least: one or two, as criterion begins with, say nothing.
const SAMPLE_MIN: u64 = 20_000;

/// Nanoseconds a packet, by scheduler, number and way.
type Samples = RefCell<BTreeMap<(usize, usize, usize), Vec<f64>>>;

const WAYS: [&str; 3] = ["ours", "origin", "heap"];

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600))
        .configure_from_args();
    let samples = Samples::default();
    for (index, scheduler) in all().enumerate() {
        let ways = [Some(scheduler.ours), Some(scheduler.origin), scheduler.heap];
        for size in SIZES {
            for (way, build) in ways.iter().enumerate() {
                let Some(build) = *build else { continue };
                let name = format!("{}/{}/{size}", scheduler.name, WAYS[way]);
                measure(&mut criterion, &name, build, size, (index, size, way), &samples);
            }
        }
    }
    criterion.final_summary();
    print_table(&samples.into_inner());
}

fn all() -> impl Iterator<Item = &'static Scheduler> {
    SCHEDULERS.iter().chain([&PIPELINE])
}

fn measure(
    criterion: &mut Criterion,
    name: &str,
    build: Build,
    size: usize,
    key: (usize, usize, usize),
    samples: &Samples,
) {
    // Made where a filter lets it through, and kept from the warm-up on.
    let mut case: Option<Box<dyn Case>> = None;
    criterion.bench_function(name, |bencher| {
        let case = case.get_or_insert_with(|| warmed(build(size), size));
        bencher.iter_custom(|packets| {
            let (mut done, start) = (0, Instant::now());
            while done < packets.max(SAMPLE_MIN) {
                done += case.run();
            }
            let took = start.elapsed();
            let nanoseconds = took.as_nanos() as f64 / done as f64;
            samples.borrow_mut().entry(key).or_default().push(nanoseconds);
            took.mul_f64(packets as f64 / done as f64)
        });
    });
    if let Some(mut case) = case {
        case.check();
    }
}

/// Every flow was served, so that memory is as used as it will be.
fn warmed(mut case: Box<dyn Case>, size: usize) -> Box<dyn Case> {
    let mut done = 0;
    while done < size as u64 {
        done += case.run();
    }
    case
}

/// The medians side by side, and how they grow.
fn print_table(samples: &BTreeMap<(usize, usize, usize), Vec<f64>>) {
    let median = |index, size, way| -> Option<f64> {
        let mut all = samples.get(&(index, size, way))?.clone();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied()
    };
    let cell = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.1}"));
    println!("\nns a packet, in and out (medians)");
    let head = ["scheduler", "waiting", "ours", "origin", "origin/ours", "heap", "heap/ours"];
    row(&head.map(String::from));
    for (index, scheduler) in all().enumerate() {
        let cells = |waiting: String, [ours, origin, heap]: [Option<f64>; 3], ratios: bool| {
            let against = |other: Option<f64>| Some(other? / ours?).filter(|_| ratios);
            let [origin_ratio, heap_ratio] = [against(origin), against(heap)].map(cell);
            let [ours, origin, heap] = [ours, origin, heap].map(cell);
            row(&[scheduler.name.into(), waiting, ours, origin, origin_ratio, heap, heap_ratio]);
        };
        for size in SIZES {
            let all = [0, 1, 2].map(|way| median(index, size, way));
            if all.iter().any(Option::is_some) {
                cells(size.to_string(), all, true);
            }
        }
        let growth =
            [0, 1, 2].map(|way| Some(median(index, 100_000, way)? / median(index, 1_000, way)?));
        if growth.iter().any(Option::is_some) {
            cells("100k/1k".into(), growth, false);
        }
    }
}

fn row([scheduler, waiting, ours, origin, origin_ratio, heap, heap_ratio]: &[String; 7]) {
    println!(
        "{scheduler:<12} {waiting:>8} {ours:>7} {origin:>7} {origin_ratio:>11} {heap:>7} \
         {heap_ratio:>9}"
    );
}
