//! A capture sees as many packets as the ledger counts, as they are, and changes nothing.
//!
//! Seen to fail: shots of refused copies handed over, drops at fan-out not shown, misses not counted.

use punctual::capture::{Fate, Filter, NOBODY, Note, SHOTS_MAX, Tap, Well, What};
use punctual::packet::DropReason;
use punctual::worker::Phase;

use crate::frames::{Checksum, Frame, v4, v6};
use crate::site::{FAN_OUT, Site, numbered};

const PASSING: What = What::Passing { received: true, sent: true };
const ANY: What = What::Dropped((1 << DropReason::COUNT) - 1);

fn all(what: What) -> Filter {
    Filter { what, rule: None, receiver: None, port: None }
}

/// Hands the worker a tap, as management does.
fn tap(site: &Site, filter: Filter, sample: u32, snap: usize) -> Well {
    let (tap, well) = Tap::new(filter, sample, snap);
    assert!(site.counters.capture.put(Some(tap)).is_none());
    site.control.swap_tap();
    well
}

/// What was seen.
fn shots(well: &mut Well) -> Vec<(Note, Vec<u8>)> {
    let mut all = Vec::new();
    while well.next_at().is_some() {
        well.take(|shot| all.push((shot.note, shot.bytes.clone())));
    }
    all
}

fn steps(site: &mut Site, count: usize) {
    for _ in 0..count {
        site.clock.step(1_000);
        site.worker.step();
        assert_eq!(site.ledger().residual(), 0);
    }
}

#[test]
fn packets_are_seen_as_they_came_and_copies_as_they_went() {
    let mut site = Site::new(FAN_OUT);
    let mut well = tap(&site, all(PASSING), 1, 2_000);
    let frames: Vec<_> = (0..3).map(|n| numbered(v4(), n)).collect();
    frames.iter().for_each(|frame| site.push(frame));
    site.push(&v6());
    steps(&mut site, 2);
    let seen = shots(&mut well);
    let (received, sent): (Vec<_>, Vec<_>) = seen.iter().partition(|(n, _)| n.fate != Fate::Sent);
    // In the order of their fate: what no rule takes ends in classify, before the others go on.
    let matched: Vec<_> = received.iter().filter(|(n, _)| n.fate == Fate::Matched).collect();
    assert_eq!(matched.len(), 3);
    for ((note, bytes), frame) in matched.iter().zip(&frames) {
        assert_eq!((bytes, note.rule, note.output), (&frame.bytes(), 0, NOBODY));
        assert_eq!((note.port, note.len as usize), (0, bytes.len()));
    }
    let missed = received.iter().find(|(n, _)| n.fate == Fate::Dropped(DropReason::NoRule));
    assert_eq!(missed.expect("it is seen").1, v6().bytes());
    assert_eq!(received.len(), 4);
    // Every copy, byte for byte, by port and output.
    let mut wire: Vec<_> = [1, 2].iter().flat_map(|&p| site.sent(p)).map(|c| c.bytes()).collect();
    let mut copies: Vec<_> = sent.iter().map(|(_, bytes)| bytes.clone()).collect();
    wire.sort();
    copies.sort();
    assert_eq!((copies.len(), copies), (9, wire));
    assert!(sent.iter().all(|(n, _)| n.rewritten && n.output < 3 && n.at >= n.arrival));
    assert_eq!((well.totals.matched.get(), well.totals.missed.get()), (13, 0));
    site.finish();
}

/// Frames for every way that a packet may end here.
fn traffic() -> Vec<Frame> {
    let mut frames: Vec<_> = (0..40).map(|n| numbered(v4(), n)).collect();
    frames.extend([
        v6(),
        v6().with(|f| f.checksum = Checksum::Zero),
        v4().with(|f| f.ethertype = Some(0x0806)),
        v4().with(|f| f.ethertype = Some(0x8847)),
        v4().with(|f| f.protocol = 6),
        v4().with(|f| f.fragment = 0x2000),
        v4().with(|f| f.ttl = 0),
        v4().with(|f| f.source = [127, 0, 0, 1].into()),
        v4().with(|f| f.udp_len = Some(99)),
        v4().with(|f| f.destination = [239, 1, 2, 1].into()),
        v4().with(|f| {
            f.destination = [239, 1, 2, 2].into();
            f.ttl = 1;
        }),
        v4().with(|f| f.payload = vec![1; 1_490]),
    ]);
    frames
}

const RULES: &str = r#"
    [[rule]]
    name = "feed"
    queue = { packets = 24, bytes = "64KiB" }
    input = { port = "in", destination = "239.1.1.0/24", udp_port = 5001 }
    output = [
      { port = "a", destination = "239.101.1.0/24" },
      { port = "a", destination = "239.102.1.0/24", vlan = 7, queue = { packets = 5, bytes = "64KiB" } },
      { port = "b", destination = "239.103.1.0/24" },
    ]
    [[rule]]
    name = "policed"
    police = { rate = "1kbps", burst = "1600B" }
    input = { port = "in", destination = "239.1.2.1", udp_port = 5001 }
    output = [{ port = "b" }]
    [[rule]]
    name = "decrements"
    input = { port = "in", destination = "239.1.2.2", udp_port = 5001 }
    output = [{ port = "a" }, { port = "b" }]
"#;

/// Many packets of every kind, a port that refuses, an end with something waiting: for every
/// reason a capture sees exactly what the ledger counts.
#[test]
fn every_drop_that_is_counted_is_seen_with_its_reason() {
    let mut site = Site::new(RULES);
    let mut well = tap(&site, all(ANY), 1, 64);
    let mut seen = Vec::new();
    for round in 0..40 {
        for _ in 0..1 + round % 3 {
            traffic().iter().for_each(|frame| site.push(frame));
        }
        site.tx[1].allow(if round % 4 == 0 { usize::MAX } else { 7 });
        steps(&mut site, 1);
        seen.extend(shots(&mut well));
    }
    site.tx[1].allow(usize::MAX);
    while !site.rx.is_empty() {
        steps(&mut site, 1);
        seen.extend(shots(&mut well));
    }
    site.tx[2].allow(0);
    traffic().iter().take(20).for_each(|frame| site.push(frame));
    steps(&mut site, 1);
    site.control.set(Phase::Abort);
    site.worker.run(false);
    seen.extend(shots(&mut well));
    let ledger = site.ledger();
    let mut kinds = 0;
    for reason in DropReason::ALL {
        let of_it = |(note, _): &&(Note, Vec<u8>)| note.fate == Fate::Dropped(*reason);
        let (before, after): (Vec<_>, Vec<_>) =
            seen.iter().filter(of_it).partition(|(note, _)| note.output == NOBODY);
        let counted = [ledger.dropped_before, ledger.dropped_after].map(|d| d[reason.index()]);
        let found = [before.len() as u64, after.len() as u64];
        assert_eq!(found, counted, "{}", reason.name());
        kinds += usize::from(found != [0, 0]);
    }
    assert!(kinds >= 13, "{kinds} reasons are too few: {ledger:?}");
    assert_eq!(well.totals.missed.get(), 0);
    assert_eq!(well.totals.matched.get(), ledger.dropped());
    site.finish();
}

#[test]
fn what_a_port_refuses_is_seen_when_it_is_sent_and_once() {
    let mut site = Site::new(FAN_OUT);
    let sent = all(What::Passing { received: false, sent: true });
    let mut well = tap(&site, Filter { port: Some(1), ..sent }, 3, 2_000);
    let mut seen = Vec::new();
    for round in 0..60 {
        (0..round % 5).for_each(|n| site.push(&numbered(v4(), n)));
        site.tx[1].allow(round as usize % 7);
        steps(&mut site, 1);
        seen.extend(shots(&mut well));
    }
    site.tx[1].allow(usize::MAX);
    steps(&mut site, 20);
    seen.extend(shots(&mut well));
    // The first of every three, in the order of the wire.
    let wire = site.sent(1);
    assert_eq!(well.totals.matched.get(), wire.len() as u64);
    let wanted: Vec<_> = wire.iter().step_by(3).map(|copy| copy.bytes()).collect();
    assert_eq!(seen.into_iter().map(|(_, bytes)| bytes).collect::<Vec<_>>(), wanted);
    drop(wire);
    site.finish();
}

#[test]
fn filters_and_a_short_snap_keep_what_is_asked_for() {
    let mut site = Site::new(RULES);
    let dropped = Filter { rule: Some(2), ..all(ANY) };
    let mut well = tap(&site, dropped, 1, 20);
    traffic().iter().for_each(|frame| site.push(frame));
    steps(&mut site, 3);
    let seen = shots(&mut well);
    // The copies that would have had a TTL of 0, as the packet was received.
    let [(note, bytes), (other, _)] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!((note.fate, note.rule), (Fate::Dropped(DropReason::Ttl), 2));
    assert_eq!((other.fate, other.output), (note.fate, note.output + 1));
    let whole = v4().with(|f| {
        f.destination = [239, 1, 2, 2].into();
        f.ttl = 1;
    });
    assert_eq!(bytes[..], whole.bytes()[..20]);
    assert_eq!(note.len as usize, whole.bytes().len());
    site.finish();
}

#[test]
fn a_capture_that_nobody_reads_misses_and_holds_nothing() {
    let mut site = Site::new(FAN_OUT);
    let mut well = tap(&site, all(PASSING), 1, 2_000);
    let mut pushed = 0;
    while pushed < 3 * SHOTS_MAX {
        (0..32).for_each(|n| site.push(&numbered(v4(), n)));
        pushed += 32;
        steps(&mut site, 1);
        // What is on the wire is given back; nothing else may be held.
        [1, 2].iter().for_each(|&port| drop(site.sent(port)));
    }
    assert!(site.payload.in_use() <= 128, "{} payloads are held", site.payload.in_use());
    let (matched, missed) = (well.totals.matched.get(), well.totals.missed.get());
    assert_eq!(matched, 4 * pushed as u64);
    let kept = shots(&mut well).len();
    assert_eq!(kept as u64 + missed, matched);
    assert!(missed > 0 && kept <= SHOTS_MAX);
    // Read again, it sees again; and given back, it sees no more.
    site.push(&v4());
    steps(&mut site, 2);
    assert_eq!(shots(&mut well).len(), 4);
    assert!(site.counters.capture.put(None).is_none(), "the worker has it");
    site.control.swap_tap();
    site.push(&v4());
    steps(&mut site, 2);
    assert_eq!(shots(&mut well).len(), 0);
    assert!(site.counters.capture.put(None).is_some(), "the worker gave it back");
    site.finish();
}
