//! The golden table through the binary: each frame is counted for its verdict.

use std::collections::BTreeMap;

use punctual::packet::{DropReason, Headers};
use punctual::wire::Verdict;

use crate::binary::{Instance, number, sum};
use crate::frames::vectors::all;
use crate::frames::{OURS, v4, v6};
use crate::rules::port_mac;

/// Bytes of a received frame's first buffer, where no port's MTU asks for more.
const ROOM: usize = 2_048;

/// The vectors, and whole frames cut at every byte: what the table expects of each.
fn vectors() -> Vec<(Vec<u8>, Verdict)> {
    let mut vectors: Vec<_> =
        all().into_iter().map(|(_, bytes, verdict)| (bytes, verdict)).collect();
    for (bytes, whole) in &mut vectors {
        // The table's own MAC is that of a port of ours.
        if bytes[6..12] == OURS {
            bytes[6..12].copy_from_slice(&port_mac(0));
        }
        if matches!(whole, Verdict::Udp { headers, .. } if headers.payload() > ROOM) {
            *whole = Verdict::Drop(DropReason::Segmented);
        }
    }
    for frame in [v4(), v6()] {
        let bytes = frame.bytes();
        for len in 1..bytes.len() {
            let ip_len = if frame.source.is_ipv4() { 20 } else { 40 };
            let reason = match len < frame.ip_at() + ip_len {
                true => DropReason::Truncated,
                false => DropReason::IpLength,
            };
            vectors.push((bytes[..len].to_vec(), Verdict::Drop(reason)));
        }
    }
    vectors
}

/// Whether the one group of each version, which a rule relays, is the frame's destination.
fn is_relayed(bytes: &[u8], headers: &Headers) -> bool {
    let ip = usize::from(headers.ip);
    match headers.version {
        4 => bytes[ip + 16..ip + 20] == [239, 1, 1, 1],
        _ => bytes[ip + 24..ip + 40] == "ff05::1:1".parse::<std::net::Ipv6Addr>().unwrap().octets(),
    }
}

#[test]
fn every_malformed_frame_is_counted_for_its_reason() {
    let vectors = vectors();
    let (mut dropped, mut punted, mut relayed) = (BTreeMap::<&str, u64>::new(), 0, 0);
    for (bytes, verdict) in &vectors {
        match verdict {
            Verdict::Punt => punted += 1,
            Verdict::Udp { headers, .. } if is_relayed(bytes, headers) => relayed += 1,
            Verdict::Udp { .. } => *dropped.entry("no_rule").or_default() += 1,
            Verdict::Drop(reason) => *dropped.entry(reason.name()).or_default() += 1,
        }
    }
    let instance = Instance::new();
    instance.configure(
        "clock = \"capture\"",
        r#"
        [eal]
        memory = "no-huge"
        [memory]
        packets = 2048
        [[port]]
        name = "in"
        device = "net_pcap0,rx_pcap=${CONFIG_DIR}/in.pcap"
        [[port]]
        name = "out"
        device = "net_pcap1,tx_pcap=${CONFIG_DIR}/out.pcap"
        [[rule]]
        name = "v4"
        input = { port = "in", destination = "239.1.1.1", vlan = "any" }
        output = [{ port = "out", destination = "239.2.2.2" }, { port = "out", destination = "239.2.2.3" }]
        [[rule]]
        name = "v6"
        input = { port = "in", destination = "ff05::1:1", vlan = "any" }
        output = [{ port = "out", destination = "ff05::2:1" }, { port = "out", destination = "ff05::2:2" }]
        "#,
    );
    let frames = vectors.iter().zip(0..).map(|((bytes, _), n)| (n * 1_000, &bytes[..]));
    instance.capture("in.pcap", frames);
    let report = instance.relay();
    let ledger = &report["ledger"];
    let found: BTreeMap<&str, u64> = ledger["dropped_before"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(reason, count)| (reason.as_str(), number(count)))
        .collect();
    assert_eq!(found, dropped);
    assert_eq!(number(&ledger["received"]), vectors.len() as u64);
    assert_eq!(number(&ledger["punted"]), punted);
    assert_eq!(number(&ledger["admitted"]), relayed);
    assert_eq!((number(&ledger["sent"]), sum(&ledger["dropped_after"])), (2 * relayed, 0));
    assert_eq!(instance.captured("out.pcap").len() as u64, 2 * relayed);
    assert!(dropped.len() >= 13 && punted > 5 && relayed > 20, "the table has shrunk");
}
