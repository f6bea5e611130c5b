//! After its start a worker's turn allocates nothing: a million packets of every kind, on a
//! counting allocator.

#[path = "../common/mod.rs"]
mod common;
#[path = "../frames/mod.rs"]
mod frames;
mod pair;
#[path = "../common/site.rs"]
mod site;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use frames::{Checksum, Frame, v4, v6};
use punctual::capture::{Filter, SHOTS_MAX, Tap, What};
use punctual::config::{FlowKind, Late};
use punctual::dpdk::{Mbuf, launch};
use punctual::ledger::Ledger;
use punctual::packet::DropReason;
use punctual::stages::{BreakerState, Known};
use punctual::wire::MacAddr;
use punctual::worker::Phase;
use site::{Site, Sizes, load, try_frame};

/// Packets of the whole run.
const PACKETS: u64 = 1_000_000;

/// The system's allocator; counts what each thread asks of it.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    /// Calls of this thread: allocations, and what gives them back or makes them grow.
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    CALLS.with(|calls| calls.set(calls.get() + 1));
}

fn calls() -> u64 {
    CALLS.with(Cell::get)
}

// SAFETY: hands every call on to the system's allocator as it is; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        count();
        // SAFETY: as above.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(place, layout, size) }
    }
}

fn main() -> std::process::ExitCode {
    common::run(&common::cases![
        the_allocator_counts,
        a_million_packets_by_the_processors_clock,
        packets_by_the_captures_clock,
        packets_under_a_capture,
        pair::two_workers_that_hand_over,
        pair::two_workers_that_take_up_ports,
    ])
}

fn the_allocator_counts() {
    let before = calls();
    let mut some = std::hint::black_box(vec![1_u8; 10]);
    some.resize(10_000, 2);
    drop(std::hint::black_box(some));
    assert_eq!(calls() - before, 3, "allocate, grow, free");
}

/// Outputs of a rule: `count` groups on port a, which never refuses for long.
fn outputs(count: u16) -> String {
    let each =
        (1..=count).map(|k| format!("{{ port = \"a\", destination = \"239.101.{count}.{k}\" }}"));
    each.collect::<Vec<_>>().join(", ")
}

/// A rule for each thing that a turn can do with a packet; the last byte of the group says which.
fn config() -> String {
    let ports = r#"
        schema = 1
        [limits]
        sources = 64
        [[port]]
        name = "in"
        device = "net_ring_r0"
        rx = "live"
        [[port]]
        name = "a"
        device = "net_ring_r1"
        address = "10.0.0.1/24"
        [[port]]
        name = "slow"
        device = "net_ring_r2"
        mtu = 576
    "#;
    let mut text = ports.to_owned();
    let rule = |name: &str, last: u8, keys: &str, outputs: &str| {
        format!(
            "[[rule]]\nname = \"{name}\"\n{keys}\noutput = [{outputs}]\n\
             input = {{ port = \"in\", destination = \"239.1.1.{last}\", udp_port = 5001 }}\n"
        )
    };
    text += &rule("one", 1, "class = \"high\"", &outputs(1));
    text += &rule("four", 2, "queue = { packets = 2, bytes = \"256KiB\" }", &outputs(4));
    text += &rule("sixteen", 3, "class = \"low\"", &outputs(16));
    text += &rule("sources", 4, "flow = \"source\"", &outputs(2));
    text += &rule("policed", 5, "police = { rate = \"1kbps\", burst = \"3000B\" }", &outputs(2));
    text += &rule("late", 6, "late = \"drop\"\nbudget = \"1us\"", &outputs(2));
    let small = "queue = { packets = 64, bytes = \"256KiB\" }";
    let slow = format!("{{ port = \"slow\", {small} }}, {{ port = \"a\", sample = 3 }}");
    text += &rule("slow", 7, small, &slow);
    text += &rule(
        "row",
        8,
        "flow = \"row\"",
        "{ port = \"a\", ttl = \"decrement\" }, { port = \"slow\" }",
    );
    text +=
        &rule("unicast", 9, "", "{ port = \"a\", destination = \"10.0.0.9\", source = \"port\" }");
    let shared = "balance = { to = [{ port = \"a\", destination = \"10.0.0.9\" }, \
                  { port = \"slow\", destination = \"239.2.0.1\" }, { port = \"a\" }] }";
    text += &rule("balanced", 10, shared, &outputs(1));
    text += "[[rule]]\nname = \"v6\"\ninput = { port = \"in\", destination = \"ff05::1:1\" }\n\
             output = [{ port = \"a\", source_port = \"destination\" }, { port = \"a\", vlan = 7 }]\n";
    text
}

/// Frames for every rule and for many a reason to drop; and how often each comes.
fn traffic() -> Vec<Vec<u8>> {
    let to = |last: u8| v4().with(|f| f.destination = [239, 1, 1, last].into());
    let long = |frame: Frame, len| frame.with(|f| f.payload = vec![7; len]);
    let mut frames = vec![];
    for _ in 0..4 {
        frames.extend([to(1), long(to(2), 512), long(to(3), 1_400), to(5), to(6), to(7), v6()]);
    }
    for host in 0..200 {
        frames.push(to(4).with(|f| f.source = [10, 9, 2, host].into()));
    }
    for host in 0..20 {
        frames.push(to(10).with(|f| f.source = [10, 9, 3, host].into()));
    }
    // A copy that a router brings back.
    frames.push(to(1).with(|f| f.source = [10, 0, 0, 1].into()));
    frames.extend([
        to(9),
        long(to(8), 1_000),
        to(8).with(|f| f.ttl = 1),
        to(99),
        to(1).with(|f| f.ethertype = Some(0x0806)),
        to(1).with(|f| f.ethertype = Some(0x8847)),
        to(1).with(|f| f.protocol = 6),
        to(1).with(|f| f.fragment = 0x2000),
        to(1).with(|f| f.ttl = 0),
        to(1).with(|f| f.source = [127, 0, 0, 1].into()),
        to(1).with(|f| f.udp_len = Some(99)),
        v6().with(|f| f.checksum = Checksum::Zero),
    ]);
    let mut all: Vec<Vec<u8>> = frames.iter().map(Frame::bytes).collect();
    all.push(all[0][..30].to_vec());
    let mut wrong = all[0].clone();
    wrong[24] ^= 1;
    all.push(wrong);
    all
}

/// Pushes `packets` frames through the worker on this thread, and counts what its turns allocate.
/// Port a is emptied every turn, port slow hardly; now and then the header pool is dry.
fn drive(site: &mut Site, traffic: &[Vec<u8>], packets: u64) -> u64 {
    let mut allocated = 0;
    let mut next = traffic.iter().cycle();
    let mut held = Vec::<Mbuf>::new();
    let (mut pushed, mut turn) = (0, 0_u64);
    while pushed < packets {
        for bytes in next.by_ref().take(48) {
            let Some(packet) = try_frame(&mut site.payload, bytes) else {
                break;
            };
            if site.rings[0].rx.push(packet).is_err() {
                break;
            }
            pushed += 1;
        }
        // Management speaks now and then, and reads now and then.
        if turn.is_multiple_of(10) {
            site.own.put(1, 60, |buffer| buffer.resize(60, 2));
        }
        if turn.is_multiple_of(5_000) {
            while site.punted.take(|_, _| ()).is_some() {}
        }
        // A host that is looked for, found, and falls silent.
        let known = [Known::Asked, Known::At(MacAddr([2, 0, 0, 0, 0, 9])), Known::Silent];
        site.control.neighbours.set(0, known[turn as usize / 1_000 % 3]);
        // And a port that is given up for a while, and tried.
        if turn.is_multiple_of(500) {
            let states = [BreakerState::Closed, BreakerState::Open, BreakerState::HalfOpen];
            site.control.breakers.set_port(2, states[turn as usize / 500 % 7 % 3]);
        }
        let before = calls();
        site.worker.step();
        allocated += calls() - before;
        turn += 1;
        match turn % 1_000 {
            0 => held.extend(std::iter::from_fn(|| site.headers.take_one())),
            16 => held.clear(),
            _ => {}
        }
        // What is taken gives its headers back.
        while held.is_empty() && site.rings[1].tx.pop().is_some() {}
        if turn.is_multiple_of(50) {
            drop(site.rings[2].tx.pop());
        }
    }
    allocated
}

/// What must have happened, so that a turn without allocations is one that worked.
fn saw_everything(site: &Site, ledger: &Ledger, reasons: &[DropReason]) {
    let dropped =
        |r: &DropReason| ledger.dropped_before[r.index()] + ledger.dropped_after[r.index()];
    let missing: Vec<&str> = reasons.iter().filter(|r| dropped(r) == 0).map(|r| r.name()).collect();
    assert!(missing.is_empty(), "never dropped for {missing:?}");
    assert!(ledger.punted > 0 && ledger.residual() == 0);
    assert!(site.counters.ports[1].originated.get() > 0);
    assert!(site.plan.rules.iter().any(|rule| rule.flow == FlowKind::Source));
    for (rule, counters) in site.plan.rules.iter().zip(&site.counters.rules) {
        assert!(counters.packets.get() > 0, "rule {} had no packet", rule.name);
    }
    // What must be sent within a microsecond may all be late.
    let outputs = site.plan.outputs.iter().zip(&site.counters.outputs);
    for (output, counters) in outputs.filter(|(output, _)| output.late == Late::Send) {
        assert!(counters.copies.get() > 0, "output {} had no copy", output.name);
    }
    assert!(site.counters.rules[3].flow_overflow.get() > 0, "64 sources are not 200");
    assert!(site.counters.ports[2].tx_refused.get() > 0);
    let taken_over = site.counters.outputs.iter().map(|output| output.taken_over.get());
    assert!(taken_over.sum::<u64>() > 0, "a balanced output had all it was given");
}

/// Reasons that every run must see.
const SEEN: &[DropReason] = {
    use DropReason::*;
    &[
        Truncated,
        OwnSource,
        NotIp,
        IpChecksum,
        Fragment,
        NotUdp,
        UdpLength,
        UdpChecksum,
        PuntFull,
        Ttl,
        Martian,
        NoRule,
        Policed,
        IngressFull,
        Mtu,
        Unresolved,
    ]
};
/// Reasons that only a live port sees: by the capture's clock time stands still without room.
const SEEN_LIVE: &[DropReason] = &[DropReason::HeaderAlloc, DropReason::EgressFull];

fn run(tsc: bool, packets: u64) {
    run_with(tsc, packets, |_| {});
}

fn run_with(tsc: bool, packets: u64, prepare: impl FnOnce(&Site)) {
    let sizes = Sizes { payload: 8_192, headers: 4_096, rings: vec![1_023, 16_383, 31], tsc };
    let mut site = Site::new(&load(config()), &sizes);
    prepare(&site);
    let traffic = traffic();
    let eal = site.eal.clone();
    let worker = launch(&eal, 0, move || {
        let allocated = drive(&mut site, &traffic, packets);
        (site, allocated)
    });
    let (site, allocated) = worker.expect("the lcore is free").join().expect("it ends well");
    let ledger = site.ledger();
    println!("{ledger:?}");
    assert_eq!(
        allocated,
        0,
        "calls of the allocator in {} turns",
        site.counters.worker.turns.get()
    );
    assert!(ledger.received >= packets - 2_048);
    // Nobody takes what misses: the ring has been written and, with a million packets, full.
    let mut shown = 0;
    site.counters.misses.take(|_, weight| shown += weight);
    assert!(shown > 0 && (!tsc || site.counters.misses.unseen.get() > 0));
    saw_everything(&site, &ledger, SEEN);
    if tsc {
        saw_everything(&site, &ledger, SEEN_LIVE);
    }
    // On the same lcore, whose cache of the pools no other can empty.
    let end = launch(&eal, 0, move || site.finish(Phase::Abort));
    end.expect("the lcore is free").join().expect("all is given back");
}

fn a_million_packets_by_the_processors_clock() {
    run(true, PACKETS);
}

/// A capture of all that is received and sent, and one of all that is dropped; nobody reads them,
/// so that their shots run out, too.
fn packets_under_a_capture() {
    let what = What::Passing { received: true, sent: true };
    let filter = Filter { what, rule: None, receiver: None, port: None };
    let (tap, mut well) = Tap::new(filter, 3, 256);
    run_with(true, PACKETS / 10, |site| {
        site.counters.capture.put(Some(tap));
        site.control.swap_tap();
    });
    let shots = std::iter::from_fn(|| well.next_at().map(|_| well.take(|_| {}))).count();
    assert_eq!(shots, SHOTS_MAX);
    assert!(well.totals.missed.get() > 0 && well.totals.matched.get() > 3 * SHOTS_MAX as u64);
}

/// No ring stamps its packets, so that time stands still: what is held back until its instant, and
/// the policer that never refills.
fn packets_by_the_captures_clock() {
    run(false, PACKETS / 10);
}
