//! The packet's whole way on memory ports: order, copies, shares, refusals, overload, and a ledger
//! that is whole after every test.

#[path = "../frames/mod.rs"]
mod frames;
mod balance;
mod capture;
mod classify;
mod crew;
mod lanes;
mod loops;
mod misses;
mod neighbours;
mod overload;
mod ports;
mod reload;
mod runs;
mod site;
mod slow_path;
mod workers;

use frames::{Frame, v4, v6};
use punctual::config;
use punctual::packet::{DropReason, Packet};
use punctual::testkit::{HeapFrame, HeapPool};
use punctual::worker::Phase;
use site::{FAN_OUT, Site, load, number, numbered};

#[test]
fn copies_share_one_payload_that_is_freed_once() {
    let mut site = Site::new(FAN_OUT);
    site.push(&v4());
    let ledger = site.turns(1);
    assert_eq!((ledger.received, ledger.admitted, ledger.copies, ledger.sent), (1, 1, 3, 3));
    let copies: Vec<_> = site.sent(1).into_iter().chain(site.sent(2)).collect();
    let addresses: Vec<_> = copies.iter().map(|copy| copy.tail_addresses()).collect();
    assert_eq!(addresses[0].len(), 1);
    assert!(addresses.iter().all(|a| *a == addresses[0]), "{addresses:?}");
    assert_eq!(copies[0].tail_owners(), [3]);
    assert_eq!(site.payload.in_use(), 1);
    drop(copies);
    assert_eq!(site.payload.in_use(), 0);
    site.finish();
}

#[test]
fn a_flow_keeps_its_order_at_every_output() {
    let mut site = Site::new(FAN_OUT);
    for n in 0..1_000 {
        site.push(&numbered(v4(), n));
    }
    site.turns(100);
    for (port, outputs) in [(1, 2), (2, 1)] {
        let sent = site.sent(port);
        assert_eq!(sent.len(), 1_000 * outputs);
        let mut by_output = std::collections::HashMap::<u32, Vec<u32>>::new();
        for copy in &sent {
            by_output.entry(copy.meta().output).or_default().push(number(copy));
        }
        assert!(by_output.values().all(|numbers| numbers.is_sorted()));
    }
    let ledger = site.finish();
    assert_eq!(ledger.sent, 3_000);
}

#[test]
fn what_a_port_refuses_stays_in_order_and_others_go_on() {
    let mut site = Site::new(FAN_OUT);
    site.tx[1].allow(10);
    for n in 0..400 {
        site.push(&numbered(v4(), n));
    }
    let ledger = site.turns(50);
    assert_eq!(site.sent(1).len(), 10);
    assert_eq!(site.sent(2).len(), 400, "the other port notices nothing");
    assert_eq!(ledger.waiting_after, 790);
    assert!(site.counters.ports[1].tx_refused.get() > 0);
    site.tx[1].allow(usize::MAX);
    site.turns(50);
    let numbers: Vec<_> =
        site.sent(1).iter().filter(|c| c.meta().output == 0).map(number).collect();
    assert!(numbers.is_sorted());
    let ledger = site.finish();
    assert_eq!(ledger.sent, 1_200);
}

#[test]
fn a_blocked_output_fills_its_own_queue_and_counts_the_rest() {
    let mut site = Site::new(
        r#"
        [default.output]
        queue = { packets = 100, bytes = "1MiB" }
        [[rule]]
        name = "feed"
        input = { port = "in", destination = "239.1.1.1", udp_port = 5001 }
        output = [{ port = "a" }, { port = "b" }]
        "#,
    );
    site.tx[1].allow(0);
    for n in 0..1_000 {
        site.push(&numbered(v4(), n));
    }
    site.turns(100);
    assert_eq!(site.sent(2).len(), 1_000);
    // 100 wait in the queue and a burst is staged.
    assert_eq!(site.dropped_after(0, DropReason::EgressFull), 1_000 - 100 - 32);
    // What waits for a port that never takes it is dropped when the drain is given up.
    site.control.set(Phase::Abort);
    site.worker.run(false);
    assert_eq!(site.dropped_after(0, DropReason::Stopped), 132);
    site.finish();
}

#[test]
fn a_missing_header_costs_exactly_its_copy() {
    let mut site = Site::build(&load(FAN_OUT), |_| true, true, 4);
    site.tx[1].allow(0);
    site.push(&v4());
    site.push(&v4());
    let ledger = site.turns(2);
    assert_eq!(ledger.copies, 6);
    assert_eq!(ledger.dropped_after[DropReason::HeaderAlloc.index()], 2);
    assert_eq!(site.sent(2).len(), 1);
    site.tx[1].allow(usize::MAX);
    site.finish();
}

#[test]
fn a_lossless_port_is_polled_however_few_headers_there_are() {
    let mut config = load(FAN_OUT);
    config.ports[0].rx = config::RxMode::Lossless;
    let mut site = Site::build(&config, |_| true, true, 40);
    for n in 0..10 {
        site.push(&numbered(v4(), n));
    }
    let ledger = site.turns(2);
    assert_eq!((ledger.received, ledger.copies, ledger.sent), (10, 30, 30));
    site.finish();
}

#[test]
fn one_copy_is_rewritten_in_place() {
    let mut site = Site::new(
        r#"
        [[rule]]
        name = "relay"
        input = { port = "in", destination = ["239.1.1.1"], udp_port = 5001 }
        output = [{ port = "a", destination = "239.9.9.9", vlan = 9 }]
        "#,
    );
    site.push(&v4());
    site.turns(1);
    assert_eq!(site.headers.in_use(), 0);
    let sent = site.sent(1);
    assert_eq!((sent.len(), sent[0].segments()), (1, 1));
    assert_eq!(number(&sent[0]), 0x0102_0304);
    drop(sent);
    site.finish();
}

#[test]
fn ports_that_send_no_chains_get_one_piece() {
    let mut site = Site::build(&load(FAN_OUT), |port| port != 1, true, 100);
    site.push(&v4());
    site.turns(1);
    assert!(site.sent(1).iter().all(|copy| copy.segments() == 1));
    let chained = site.sent(2);
    assert_eq!(chained[0].tail_owners(), [1], "the linear copies own nothing of it");
    drop(chained);
    site.finish();
}

#[test]
fn small_frames_are_copied_where_asked() {
    let copy_below = format!("{FAN_OUT}\n[fanout]\ncopy_below = 100");
    let mut site = Site::new(&copy_below);
    site.push(&v4());
    site.push(&v4().with(|f| f.payload = vec![7; 100]));
    site.turns(1);
    let pieces: Vec<_> =
        site.sent(1).iter().map(|copy| (copy.frame_len() > 100, copy.segments())).collect();
    assert_eq!(pieces.iter().filter(|&&piece| piece == (false, 1)).count(), 2);
    assert_eq!(pieces.iter().filter(|&&piece| piece == (true, 2)).count(), 2);
    site.finish();
}

#[test]
fn jumbo_payloads_in_several_segments_are_shared_whole() {
    let mut config = load(FAN_OUT);
    config.ports.iter_mut().for_each(|port| port.mtu = 9_000);
    let mut site = Site::build(&config, |port| port != 2, true, 100);
    let frame = v4().with(|f| f.payload = (0..8_000_u32).map(|i| i as u8).collect());
    let bytes = frame.bytes();
    let pieces: Vec<_> = bytes.chunks(2_048).collect();
    site.rx.push(site.payload.adopt(HeapFrame::new(&pieces)));
    site.turns(1);
    let (chained, linear) = (site.sent(1), site.sent(2));
    assert_eq!(chained[0].segments(), 1 + pieces.len());
    assert_eq!(linear[0].segments(), 1);
    for copy in chained.iter().chain(&linear) {
        assert!(copy.bytes().ends_with(&frame.payload));
    }
    drop((chained, linear));
    site.finish();
}

#[test]
fn a_datagram_without_payload_is_headers_alone() {
    let mut site = Site::new(FAN_OUT);
    site.push(&v4().with(|f| f.payload = vec![]));
    site.turns(1);
    assert!(site.sent(1).iter().all(|copy| copy.segments() == 1 && copy.frame_len() >= 42));
    assert_eq!(site.payload.in_use(), 0);
    site.finish();
}

#[test]
fn sampling_takes_one_in_n_and_says_what_it_left_out() {
    let mut site = Site::new(
        r#"
        [[rule]]
        name = "sampled"
        input = { port = "in", destination = "239.1.1.1", udp_port = 5001 }
        output = [{ port = "a" }, { port = "b", sample = 10 }]
        "#,
    );
    for n in 0..95 {
        site.push(&numbered(v4(), n));
    }
    let ledger = site.turns(10);
    let numbers: Vec<_> = site.sent(2).iter().map(number).collect();
    assert_eq!(numbers, (0..95).step_by(10).collect::<Vec<_>>());
    assert_eq!(site.counters.outputs[1].not_selected.get(), 85);
    assert_eq!(ledger.copies, 95 + 10);
    site.finish();
}

#[test]
fn a_ttl_of_one_ends_only_where_it_is_decremented() {
    let mut site = Site::new(
        r#"
        [[rule]]
        name = "ttl"
        input = { port = "in", destination = "239.1.1.1", udp_port = 5001 }
        output = [{ port = "a" }, { port = "b", destination = "239.7.7.7" }]
        "#,
    );
    site.push(&v4().with(|f| f.ttl = 1));
    site.turns(1);
    assert_eq!(site.dropped_after(0, DropReason::Ttl), 1);
    assert_eq!(site.sent(2)[0].bytes()[22], 16, "a new datagram");
    site.finish();
}

#[test]
fn what_is_longer_than_the_mtu_is_not_handed_to_the_port() {
    let mut config = load(FAN_OUT);
    config.ports[1].mtu = 100;
    let mut site = Site::build(&config, |_| true, true, 100);
    site.push(&v4().with(|f| f.payload = vec![0; 73]));
    site.push(&v4().with(|f| f.payload = vec![0; 72]));
    site.turns(1);
    assert_eq!((site.sent(1).len(), site.sent(2).len()), (2, 2));
    assert_eq!(site.dropped_after(0, DropReason::Mtu), 1);
    assert_eq!(site.dropped_after(1, DropReason::Mtu), 1);
    site.finish();
}

#[test]
fn late_packets_are_sent_or_dropped_as_the_rule_says() {
    let rules = |late| {
        format!(
            r#"
            [[rule]]
            name = "feed"
            class = "high"
            late = "{late}"
            input = {{ port = "in", destination = "239.1.1.1", udp_port = 5001 }}
            output = [{{ port = "a" }}, {{ port = "b" }}]
            "#
        )
    };
    for (late, sent, dropped) in [("send", 40, 0), ("drop", 0, 40)] {
        let mut site = Site::new(&rules(late));
        site.tx[1].allow(0);
        for n in 0..40 {
            site.push(&numbered(v4(), n));
        }
        site.turns(2);
        site.clock.step(2_000_000);
        site.tx[1].allow(usize::MAX);
        site.turns(2);
        let counters = &site.counters.outputs;
        // A burst had been staged, the rest waited in the queue: both meet the policy.
        assert_eq!(counters[0].sent.get(), sent);
        assert_eq!(site.dropped_after(0, DropReason::EgressLate), dropped);
        assert_eq!(counters[0].on_time.get(), 0);
        assert_eq!(counters[0].late_sent.get(), counters[0].sent.get());
        assert_eq!(counters[1].on_time.get(), 40);
        assert_eq!(counters[1].late_sent.get(), 0);
        site.finish();
    }
}

#[test]
fn policers_count_bytes_by_the_capture_clock() {
    // 1,000 frames of 70 bytes and 24 of overhead in one second, against 10,000 + 47,000 bytes.
    let config = load(
        r#"
        [[rule]]
        name = "policed"
        input = { port = "in", destination = "239.1.1.1", udp_port = 5001 }
        police = { rate = "376kbps", burst = "10000B" }
        output = [{ port = "a" }]
        "#,
    );
    let mut site = Site::build(&config, |_| true, false, 100);
    for n in 0..1_000_u64 {
        let frame = v4().with(|f| f.payload = vec![0; 28]);
        let packet = HeapFrame::new(&[&frame.bytes()]).at(1_000_000_000 + n * 1_000_000);
        site.rx.push(site.payload.adopt(packet));
    }
    let ledger = site.turns(2_000);
    let allowed = (10_000 + 47_000) / 94;
    assert!(ledger.sent.abs_diff(allowed) <= 1, "{}", ledger.sent);
    assert_eq!(ledger.dropped_before[DropReason::Policed.index()], 1_000 - ledger.sent);
    assert_eq!(site.counters.outputs[0].on_time.get(), ledger.sent, "an instant a turn");
    site.finish();
}

#[test]
fn the_capture_clock_merges_its_ports_by_time() {
    let config = load(
        r#"
        [[rule]]
        name = "feed"
        input = { port = "in", destination = "239.1.1.1", udp_port = 5001 }
        output = [{ port = "b" }]
        "#,
    );
    let mut site = Site::build(&config, |_| true, false, 100);
    for n in [1_u32, 4, 5, 8] {
        let packet = HeapFrame::new(&[&numbered(v4(), n).bytes()]).at(u64::from(n) * 1_000);
        site.rx.push(site.payload.adopt(packet));
    }
    site.turns(20);
    let numbers: Vec<_> = site.sent(2).iter().map(number).collect();
    assert_eq!(numbers, [1, 4, 5, 8]);
    assert_eq!(site.counters.worker.heartbeat.get(), 8_000);
    site.finish();
}

#[test]
fn sources_have_flows_of_their_own_and_overflow_is_counted() {
    let mut site = Site::new(
        r#"
        [limits]
        sources = 64
        [[rule]]
        name = "telemetry"
        flow = "source"
        queue = { packets = 64, bytes = "1MiB" }
        police = { rate = "1kbps", burst = "9064B" }
        input = { port = "in", destination = "239.1.1.1", udp_port = 5001 }
        output = [{ port = "a" }]
        "#,
    );
    let from =
        |host: u32| v4().with(|f| f.source = std::net::Ipv4Addr::from(0x0a09_0000 + host).into());
    // Each source has its own bucket of 128 minimal frames: an aggressor uses up only its own.
    for _ in 0..500 {
        site.push(&from(1));
    }
    for host in 2..7 {
        (0..50).for_each(|_| site.push(&from(host)));
    }
    let ledger = site.turns(60);
    let policed = ledger.dropped_before[DropReason::Policed.index()];
    assert_eq!(policed, 500 - 9_064 / 70);
    assert_eq!(site.counters.rules[0].flow_overflow.get(), 0);
    // More sources than slots: the rest shares the rule's own flow, until others fall silent.
    for host in 1_000..1_200 {
        site.push(&from(host));
    }
    site.turns(60);
    assert!(site.counters.rules[0].flow_overflow.get() >= 200 - 64);
    let overflowed = site.counters.rules[0].flow_overflow.get();
    site.clock.step(11_000_000_000);
    for host in 2_000..2_020 {
        site.push(&from(host));
    }
    site.turns(60);
    assert_eq!(site.counters.rules[0].flow_overflow.get(), overflowed);
    site.finish();
}

#[test]
fn the_most_specific_rule_wins() {
    let mut site = Site::new(
        r#"
        [default.output]
        port = "a"
        [[rule]]
        name = "site"
        input = { port = "in", destination = "239.1.0.0/16", udp_port = "any", vlan = "any" }
        output = [{ }]
        [[rule]]
        name = "group"
        input = { port = "in", destination = "239.1.1.1", udp_port = "any" }
        output = [{ }]
        [[rule]]
        name = "channels"
        input = { port = "in", destination = "239.1.1.1", udp_port = "5000-5007" }
        output = [{ }]
        [[rule]]
        name = "channel"
        input = { port = "in", destination = "239.1.1.1", udp_port = 5001 }
        output = [{ }]
        [[rule]]
        name = "source"
        input = { port = "in", destination = "239.1.1.1", udp_port = 5001, source = "10.9.0.0/16" }
        output = [{ }]
        [[rule]]
        name = "ssm"
        input = { port = "in", destination = "232.1.1.1", udp_port = 5001, source = "10.9.0.0/16" }
        output = [{ }]
        "#,
    );
    let cases: [(&str, Frame); 6] = [
        ("source", v4()),
        ("channel", v4().with(|f| f.source = "10.8.0.1".parse().unwrap())),
        ("channels", v4().with(|f| f.udp_port = 5002)),
        ("group", v4().with(|f| f.udp_port = 9)),
        ("site", v4().with(|f| f.destination = "239.1.2.3".parse().unwrap())),
        ("site", v4().with(|f| f.tags = vec![(0x8100, 5)])),
    ];
    for (name, frame) in &cases {
        site.push(frame);
        site.turns(1);
        let sent = site.sent(1);
        assert_eq!(*site.plan.rules[sent[0].meta().rule as usize].name, **name);
    }
    let ssm = v4().with(|f| f.destination = "232.1.1.1".parse().unwrap());
    site.push(&ssm.clone().with(|f| f.source = "10.8.0.1".parse().unwrap()));
    site.push(&ssm.with(|f| f.udp_port = 1));
    site.push(&v6());
    let ledger = site.turns(1);
    assert_eq!(ledger.dropped_before[DropReason::Source.index()], 1);
    assert_eq!(ledger.dropped_before[DropReason::NoRule.index()], 2);
    site.finish();
}

#[test]
fn an_unfinished_checksum_is_completed_where_asked() {
    let mut config = load(FAN_OUT);
    config.ports[0].rx_checksum = config::RxChecksum::Complete;
    let mut site = Site::build(&config, |_| true, true, 100);
    let right = v4().with(|f| f.payload = vec![9; 333]);
    site.push(&right.clone().with(|f| f.checksum = frames::Checksum::Off(77)));
    site.push(&right);
    site.turns(1);
    let sent: Vec<_> = site.sent(2).iter().map(|copy| copy.bytes()).collect();
    assert_eq!(sent[0], sent[1]);
    site.finish();
}

#[test]
fn rows_have_flows_of_their_own() {
    let mut site = Site::new(
        r#"
        [[rule]]
        name = "rows"
        flow = "row"
        queue = { packets = 64, bytes = "1MiB" }
        police = { rate = "1kbps", burst = "9064B" }
        input = { port = "in", destination = "239.1.1.0/30", udp_port = "5000-5003" }
        output = [{ port = "a" }]
        "#,
    );
    for _ in 0..200 {
        site.push(&v4());
    }
    for _ in 0..100 {
        site.push(&v4().with(|f| f.udp_port = 5002));
    }
    let ledger = site.turns(20);
    assert_eq!(ledger.dropped_before[DropReason::Policed.index()], 200 - 9_064 / 70);
    site.finish();
}

#[test]
fn memory_ports_count_their_owners() {
    // The test kit itself: a leak would show.
    let pool = HeapPool::new(2);
    let packet = pool.adopt(HeapFrame::new(&[b"abc", b"def"]));
    let mut headers = [HeapFrame::new(&[b"1"]), HeapFrame::new(&[b"2"])];
    packet.share(1, &mut headers);
    assert_eq!(headers[0].bytes(), b"1bcdef");
    assert_eq!(headers[1].tail_owners(), [2, 2]);
    let [first, second] = headers;
    drop(first);
    assert_eq!(pool.in_use(), 1);
    drop(second);
    assert_eq!(pool.in_use(), 0);
}
