//! Out of the way and into it: what is punted to management, and what management sends.

use punctual::packet::{DropReason, FrameSink, FrameSource, Packet};
use punctual::stages::{FRAMES, OWN_FRAMES, PUNTS_A_SECOND, PUNTS_AT_ONCE};
use punctual::worker::Phase;

use crate::frames::{Frame, v4};
use crate::site::{FAN_OUT, Site, load, numbered};

/// A site with a slow path, and management's ends of it.
fn site(rules: &str) -> (Site, FrameSource, FrameSink) {
    Site::with_slow_path(&load(rules))
}

/// A frame of the slow path's: ARP to all, ARP to us, ICMP, IGMP.
fn punted(kind: usize) -> Frame {
    let kinds = [
        v4().with(|f| f.ethertype = Some(0x0806)),
        v4().with(|f| (f.ethertype, f.mac) = (Some(0x0806), Some([2, 0, 0, 0, 1, 0]))),
        v4().with(|f| f.protocol = 1),
        v4().with(|f| f.protocol = 2),
    ];
    kinds[kind].clone()
}

fn send(sink: &mut FrameSink, port: u8, bytes: &[u8]) -> bool {
    sink.put(port, bytes.len(), |buffer| buffer.extend_from_slice(bytes))
}

#[test]
fn punted_frames_reach_management_whole_and_in_order() {
    let (mut site, mut from, _own) = site(FAN_OUT);
    let frames: Vec<_> = (0..8).map(|n| numbered(punted(n % 4), n as u32)).collect();
    frames.iter().for_each(|frame| site.push(frame));
    let ledger = site.turns(1);
    assert_eq!((ledger.received, ledger.punted), (8, 8));
    for frame in &frames {
        let taken = from.take(|port, bytes| (port, bytes.to_vec()));
        assert_eq!(taken, Some((0, frame.bytes())));
    }
    assert!(from.is_empty());
    assert_eq!(site.counters.ports[0].punted.get(), 8);
    assert_eq!(site.payload.in_use(), 0, "nothing of the worker's is held");
    site.finish();
}

#[test]
fn a_flood_is_policed_by_kind_and_streams_do_not_notice() {
    let (mut site, mut from, _own) = site(FAN_OUT);
    let mut taken = [0_u64; 2];
    // A second: 100 pings and a packet of the stream each millisecond, and an ARP every tenth.
    for n in 0..1_000_u32 {
        (0..100).for_each(|_| site.push(&punted(2)));
        if n % 10 == 0 {
            site.push(&punted(0));
        }
        site.push(&numbered(v4(), n));
        site.clock.step(1_000_000);
        site.turns(5);
        while let Some(is_arp) = from.take(|_, bytes| bytes[12..14] == [0x08, 0x06]) {
            taken[usize::from(is_arp)] += 1;
        }
    }
    let ledger = site.ledger();
    assert_eq!(ledger.sent, 3_000, "the stream");
    assert_eq!(taken[1], 100, "all of the ARP");
    let most = PUNTS_A_SECOND + PUNTS_AT_ONCE;
    assert!((PUNTS_A_SECOND - 10..=most).contains(&taken[0]), "{taken:?}");
    let full = ledger.dropped_before[DropReason::PuntFull.index()];
    assert_eq!(full, 100_000 - taken[0]);
    assert_eq!(site.counters.ports[0].punt_full.get(), full);
    assert_eq!(ledger.punted, taken.iter().sum::<u64>());
    site.finish();
}

#[test]
fn a_ring_that_nobody_reads_is_full_at_its_bound() {
    let (mut site, from, _own) = site(FAN_OUT);
    for _ in 0..2 * FRAMES {
        site.push(&punted(2));
        site.clock.step(1_000_000);
        site.turns(1);
    }
    let ledger = site.ledger();
    assert_eq!(ledger.punted, FRAMES as u64);
    assert_eq!(ledger.dropped_before[DropReason::PuntFull.index()], FRAMES as u64);
    drop(from);
    site.finish();
}

#[test]
fn without_a_slow_path_its_packets_are_counted_and_freed() {
    let mut site = Site::new(FAN_OUT);
    (0..1_000).for_each(|n| site.push(&punted(n % 4)));
    site.turns(40);
    assert_eq!(site.ledger().punted, 1_000);
    site.finish();
}

#[test]
fn our_own_frames_go_out_ahead_of_copies_and_beside_the_ledger() {
    let (mut site, _from, mut own) = site(FAN_OUT);
    let frames: Vec<Vec<u8>> = (1..=3).map(|n| vec![n; 60 + 400 * usize::from(n)]).collect();
    for (frame, port) in frames.iter().zip([1, 2, 1]) {
        assert!(send(&mut own, port, frame));
    }
    site.push(&v4());
    let ledger = site.turns(1);
    assert_eq!((ledger.copies, ledger.sent), (3, 3));
    let sent: Vec<_> = site.sent(1).iter().map(|packet| packet.bytes()).collect();
    assert_eq!(sent[..2], [frames[0].clone(), frames[2].clone()]);
    assert_eq!(sent.len(), 4);
    assert_eq!(site.sent(2)[0].bytes(), frames[1]);
    let ports = &site.counters.ports;
    assert_eq!([1, 2].map(|slot| ports[slot].originated.get()), [2, 1]);
    assert_eq!([1, 2].map(|slot| ports[slot].sent.get()), [2, 1]);
    site.finish();
}

#[test]
fn what_a_port_refuses_stays_staged_within_a_bound_and_others_go_on() {
    let (mut site, _from, mut own) = site(FAN_OUT);
    site.tx[1].allow(0);
    for n in 0..100_u8 {
        assert!(send(&mut own, 1, &[n; 60]) && send(&mut own, 2, &[n; 60]));
        site.turns(1);
    }
    assert_eq!(site.sent(2).len(), 100);
    assert_eq!(site.counters.ports[1].unsent.get(), 100 - 32);
    site.tx[1].allow(usize::MAX);
    site.turns(1);
    let sent = site.sent(1);
    assert_eq!(sent.len(), 32);
    assert!(sent.iter().enumerate().all(|(n, frame)| frame.head()[0] == n as u8), "in order");
    drop(sent);
    site.finish();
}

#[test]
fn a_drain_sends_what_management_still_says_and_an_abort_frees_it() {
    let (mut site, _from, mut own) = site(FAN_OUT);
    for n in 0..OWN_FRAMES {
        assert!(send(&mut own, 1, &[n as u8; 60]));
    }
    assert!(!send(&mut own, 1, &[0; 60]), "the ring is bounded");
    site.control.set(Phase::Drain);
    site.worker.run(false);
    assert_eq!(site.sent(1).len(), OWN_FRAMES);
    site.finish();

    let (mut site, _from, mut own) = self::site(FAN_OUT);
    site.tx[1].allow(0);
    assert!(send(&mut own, 1, &[1; 60]));
    site.turns(1);
    site.control.set(Phase::Abort);
    site.worker.run(false);
    site.finish();
}
