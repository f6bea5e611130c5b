//! A ring that is full refuses, as a NIC does: what it refuses stays ours, in order.

use std::collections::HashMap;

use punctual::dpdk::{Mbuf, launch};
use punctual::packet::{DropReason, Packet};
use punctual::worker::Phase;

use crate::frames::v4;
use crate::site::{Site, Sizes, bytes, load, try_frame};

const FAN_OUT: &str = r#"
    schema = 1
    [[port]]
    name = "in"
    device = "net_ring_r0"
    [[port]]
    name = "a"
    device = "net_ring_r1"
    [[port]]
    name = "b"
    device = "net_ring_r2"
    [[rule]]
    name = "feed"
    input = { port = "in", destination = "239.1.1.1", udp_port = 5001 }
    output = [
      { port = "a", destination = "239.101.1.1" },
      { port = "a", destination = "239.101.1.2", vlan = 7 },
      { port = "b", destination = "239.101.1.3" },
    ]
"#;

/// Packets that port a's ring holds.
const SMALL: u32 = 63;

fn site() -> Site {
    let rings = vec![1_023, SMALL, 1_023];
    let sizes = Sizes { payload: 4_096, headers: 4_096, rings, tsc: true };
    Site::new(&load(FAN_OUT.into()), &sizes)
}

fn numbered(number: u32) -> Vec<u8> {
    v4().with(|f| f.payload = number.to_be_bytes().repeat(50)).bytes()
}

fn number(packet: &Mbuf) -> u32 {
    u32::from_be_bytes(*bytes(packet).last_chunk().expect("it has a payload"))
}

/// The numbers that each output got, in the order sent.
fn by_output(copies: &[Mbuf]) -> HashMap<u32, Vec<u32>> {
    let mut numbers = HashMap::<u32, Vec<u32>>::new();
    for copy in copies {
        numbers.entry(copy.meta().output).or_default().push(number(copy));
    }
    numbers
}

pub fn what_a_full_ring_refuses_stays_in_order() {
    let mut site = site();
    for n in 0..400 {
        site.push(&numbered(n));
    }
    let ledger = site.turns(60);
    assert_eq!((ledger.received, ledger.copies), (400, 1_200));
    assert_eq!(ledger.waiting_after, 800 - u64::from(SMALL));
    assert_eq!(ledger.sent, 400 + u64::from(SMALL));
    assert!(site.counters.ports[1].tx_refused.get() > 0);
    let b = site.sent(2);
    assert!(by_output(&b)[&2].iter().copied().eq(0..400), "another port notices nothing");
    assert!(b.iter().all(|copy| copy.segment_addresses()[1].2 == 3));
    drop(b);
    assert_eq!(site.payload.in_use(), 400, "port a's copies still own it");
    // The ring is emptied by a few, and by all.
    let mut a = vec![];
    for turn in 0..40 {
        let few = if turn % 2 == 0 { 5 } else { 1_000 };
        a.extend(std::iter::from_fn(|| site.rings[1].tx.pop()).take(few));
        site.turns(1);
    }
    a.extend(site.sent(1));
    let numbers = by_output(&a);
    assert!(numbers[&0].iter().copied().eq(0..400));
    assert!(numbers[&1].iter().copied().eq(0..400));
    drop(a);
    assert_eq!(site.payload.in_use(), 0);
    let ledger = site.finish(Phase::Drain);
    assert_eq!((ledger.sent, ledger.dropped()), (1_200, 0));
}

pub fn what_waits_for_a_full_ring_is_given_back_at_the_end() {
    let mut site = site();
    for n in 0..200 {
        site.push(&numbered(n));
    }
    site.turns(30);
    drop(site.sent(2));
    assert_eq!(site.payload.in_use(), 200);
    let ledger = site.finish(Phase::Abort);
    let stopped = ledger.dropped_after[DropReason::Stopped.index()];
    assert_eq!(stopped, 400 - u64::from(SMALL));
}

pub fn a_worker_on_its_own_lcore_shares_with_another_thread() {
    const PACKETS: u32 = 20_000;
    let site = site();
    let Site { mut worker, control, counters, rings, mut payload, headers, eal, ports, .. } = site;
    let running = launch(&eal, 0, move || {
        worker.run(true);
        drop(worker);
    });
    let running = running.expect("the lcore is free");
    let mut got: [HashMap<u32, u32>; 3] = Default::default();
    let mut take = || {
        let mut taken = 0;
        for (port, ring) in rings.iter().enumerate() {
            while let Some(copy) = ring.tx.pop() {
                let next = got[port].entry(copy.meta().output).or_default();
                assert_eq!(number(&copy), *next, "in order");
                *next += 1;
                taken += 1;
            }
        }
        taken
    };
    let mut taken = 0;
    for n in 0..PACKETS {
        let bytes = numbered(n);
        let mut packet = loop {
            match try_frame(&mut payload, &bytes) {
                Some(packet) => break packet,
                None => taken += take(),
            }
        };
        while let Err(back) = rings[0].rx.push(packet) {
            packet = back;
            taken += take();
        }
        taken += take();
    }
    while taken < 3 * PACKETS {
        taken += take();
        std::thread::yield_now();
    }
    control.set(Phase::Drain);
    running.join().expect("the worker ends well");
    let ledger = counters.ledger.read();
    assert_eq!((ledger.residual(), ledger.sent), (0, 3 * u64::from(PACKETS)));
    assert_eq!((payload.in_use(), headers.in_use()), (0, 0));
    drop(ports);
}
