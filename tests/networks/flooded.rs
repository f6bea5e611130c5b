//! A wire full of what should not be on it: malformed, absurd and simply too much of ARP, ND, ICMP,
//! IGMP, MLD and IP. All of it is counted and policed, and a stream on the same wire loses nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use serde_json::Value;

use crate::binary::{named, number};
use crate::frames::{Frame, group_mac, v4, v6};
use crate::netns::{Net, receive};
use crate::raw::Raw;
use crate::relay::{Relay, head, until};

const NEAR: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const OURS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const FAR: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 2);
const GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 1, 1);
const OUT: Ipv4Addr = Ipv4Addr::new(239, 101, 1, 1);
const NEAR6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);
const OURS6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
const LINK6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x99);

/// The flooder's MAC.
const FLOODER: [u8; 6] = [2, 0, 0, 0, 0x66, 0x66];
const EVERYONE: [u8; 6] = [0xff; 6];
/// Times that a flood and a datagram of the stream take turns.
const ROUNDS: u64 = 4;
/// Frames of a flood between two datagrams: more than the policer lets through at once, less than
/// any ring on the way holds.
const BURST: u64 = 250;
/// What the policer takes of a kind at once, and a second.
const AT_ONCE: f64 = 64.0;
const A_SECOND: f64 = 1_000.0;

/// A flood: what it is called, a frame, and the reason that each ends by; none for what is the
/// slow path's.
type Flood = (&'static str, Vec<u8>, Option<&'static str>);

pub fn one_worker_over_af_packet() {
    streams_notice_nothing("af_packet", 1);
}

pub fn two_workers_over_af_xdp() {
    streams_notice_nothing("af_xdp", 2);
}

fn streams_notice_nothing(driver: &str, workers: usize) {
    let net = Net::new();
    net.needs("ping");
    let (near, space, far) = (net.space(), net.space(), net.space());
    // What the kernel says by itself would be counted, too.
    space.sysctl("net/ipv6/conf/default/disable_ipv6", "1");
    far.sysctl("net/ipv4/conf/all/rp_filter", "0");
    far.sysctl("net/ipv4/conf/default/rp_filter", "0");
    near.veth("near", &space, "in");
    space.veth("out", &far, "far");
    near.ip(&format!("address add {NEAR}/24 dev near"));
    near.ip(&format!("address add {NEAR6}/64 dev near nodad"));
    far.ip(&format!("address add {FAR}/24 dev far"));
    let mut relay = Relay::unset();
    relay.instance.configure("", &config(driver, workers));
    relay.start(&space);
    let (wire, receiver) = (Raw::open(&near, "near"), far.receiver(OUT, 5000, FAR));
    let sender = near.sender(NEAR);
    let (mut sent, mut known) = (0_u64, BTreeMap::new());
    let us = mac(&space.mac("in"));
    let mut floods = [neighbours(us), messages(us), groups(), packets(us)].concat();
    // The kernel keeps fragments from a packet socket until it has all of them.
    floods.retain(|&(name, ..)| name != "a fragment" || driver == "af_xdp");
    for (name, frame, reason) in floods {
        let (before, start) = (relay.show("ledger"), Instant::now());
        for _ in 0..ROUNDS {
            (0..BURST).for_each(|_| wire.send(&frame));
            let text = sent.to_be_bytes();
            sender.send_to(&text, (GROUP, 5000)).expect("it is sent");
            let received = receive(&receiver).map(|(bytes, _)| bytes);
            assert_eq!(received, Some(text.to_vec()), "{name}");
            sent += 1;
        }
        is_counted((name, reason), start, &before, &relay.show("ledger"));
        if let Some(protocol) = malformed_as(name, &frame).filter(|_| reason.is_none()) {
            let counted = || {
                let port = named(&relay.show("ports"), "in").clone();
                port["malformed"][protocol].as_u64().unwrap_or(0)
            };
            // Management reads it when its tick comes.
            let before = known.get(protocol).copied().unwrap_or(0);
            until(name, || counted() > before);
            known.insert(protocol, counted());
        }
    }
    // Who comes when it is over is served.
    for address in [OURS.to_string(), OURS6.to_string()] {
        near.ping(&[&address]);
    }
    let report = relay.stop();
    assert_eq!(report["workers"].as_array().map(Vec::len), Some(workers));
    assert_eq!(number(&report["ledger"]["sent"]), sent);
    let port = named(&report["ports"], "in");
    for key in ["missed", "no_mbuf", "rx_errors"] {
        assert_eq!(number(&port[key]), 0, "{key}: {port}");
    }
    for why in ["malformed", "checksum", "ttl", "router_alert"] {
        assert!(number(&port["group_ignored"][why]) > 0, "{why}: {port}");
    }
    let protocols: BTreeSet<_> =
        port["malformed"].as_object().expect("by protocol").keys().collect();
    assert_eq!(protocols.len(), 6, "{protocols:?}");
    // An answer at most to each that was taken, and what we say unasked.
    assert!(number(&port["originated"]) < number(&port["punted"]) + 100, "{port}");
}

fn config(driver: &str, workers: usize) -> String {
    format!(
        r#"{}
        [[port]]
        name = "in"
        device = "in"
        driver = "{driver}"
        address = ["{OURS}/24", "{OURS6}/64"]
        rx_checksum = "complete"
        [[port]]
        name = "out"
        device = "out"
        driver = "{driver}"
        [[rule]]
        name = "feed"
        input = {{ port = "in", destination = "{GROUP}" }}
        output = [{{ port = "out", destination = "{OUT}" }}]
        "#,
        head(workers, 16_384)
    )
}

/// The protocol that a flood is malformed in; none where its messages are what they say.
fn malformed_as(name: &str, frame: &[u8]) -> Option<&'static str> {
    let broken =
        ["cut", "absurd lengths", "another's name", "wrong sum", "ND from afar", "endless"];
    let broken = [&broken[..], &["for a group", "nothing quoted", "not there"]].concat();
    if !broken.iter().any(|what| name.contains(what)) {
        return None;
    }
    let byte = |at| frame.get(at).copied().unwrap_or(0);
    Some(match ([byte(12), byte(13)], byte(23), byte(20)) {
        ([8, 6], ..) => "arp",
        ([8, 0], 2, _) => "igmp",
        ([8, 0], ..) => "icmp",
        (_, _, 0) => "mld",
        _ if name.starts_with("ND") => "nd",
        _ => "icmpv6",
    })
}

/// What the ledger says of a flood that began at `start`.
fn is_counted((name, reason): (&str, Option<&str>), start: Instant, before: &Value, after: &Value) {
    let grown = |count: &dyn Fn(&Value) -> u64| count(after) - count(before);
    let taken = grown(&|ledger| number(&ledger["punted"]));
    let refused = grown(&|ledger| drops(ledger, "punt_full"));
    if let Some(reason) = reason {
        let ended = grown(&|ledger| drops(ledger, reason));
        assert_eq!(ended, ROUNDS * BURST, "{name}: {reason}: {after}");
    } else {
        // What the kernel says meanwhile is the slow path's as well.
        assert!(taken + refused >= ROUNDS * BURST, "{name}: {after}");
        assert!(taken > 0 && refused > 0, "{name}: {taken}, {refused}");
    }
    // Of a kind, and of the few others that the kernel may have sent meanwhile.
    let most = AT_ONCE + A_SECOND * start.elapsed().as_secs_f64() + AT_ONCE;
    assert!((taken as f64) < most, "{name}: {taken} of at most {most}");
}

/// Drops before fan-out by this reason.
fn drops(ledger: &Value, reason: &str) -> u64 {
    ledger["dropped_before"][reason].as_u64().unwrap_or(0)
}

fn neighbours(us: [u8; 6]) -> Vec<Flood> {
    let ask = arp(1, FLOODER, OURS);
    let mut absurd = ask.clone();
    absurd[4..6].fill(255);
    let arp = |to, packet: Vec<u8>| frame(to, 0x0806, &packet);
    let solicited: Ipv6Addr = "ff02::1:ff00:1".parse().expect("an address");
    let nd = |hops, message: &[u8], off| icmp6(NEAR6, solicited, hops, message, off);
    let ask6 = [&[135, 0, 0, 0, 0, 0, 0, 0][..], &OURS6.octets(), &[1, 1], &FLOODER].concat();
    let mut endless = ask6.clone();
    endless[25] = 0;
    let mut to_group = ask6.clone();
    to_group[8..24].copy_from_slice(&solicited.octets());
    vec![
        ("ARP for us", arp(EVERYONE, ask.clone()), None),
        ("ARP, cut", arp(EVERYONE, ask[..9].to_vec()), None),
        ("ARP of absurd lengths", arp(EVERYONE, absurd), None),
        ("ARP in another's name", arp(EVERYONE, self::arp(1, [2; 6], OURS)), None),
        ("ARP that nobody asked for", arp(us, self::arp(2, FLOODER, OURS)), None),
        ("ND for us", nd(255, &ask6, 0), None),
        ("ND from afar", nd(64, &ask6, 0), None),
        ("ND, wrong sum", nd(255, &ask6, 1), None),
        ("ND, cut", nd(255, &ask6[..14], 0), None),
        ("ND with an endless option", nd(255, &endless, 0), None),
        ("ND for a group", nd(255, &to_group, 0), None),
    ]
}

fn messages(us: [u8; 6]) -> Vec<Flood> {
    let echo = summed(vec![8, 0, 0, 0, 0, 1, 0, 1, 0x5a, 0x5a]);
    let mut wrong = echo.clone();
    wrong[2] ^= 1;
    let icmp = |message: &[u8]| frame(us, 0x0800, &ip4(1, OURS, 64, message));
    let six = |message: &[u8], off| {
        let mut frame = icmp6(NEAR6, OURS6, 64, message, off);
        frame[..6].copy_from_slice(&us);
        frame
    };
    let echo6 = [128, 0, 0, 0, 0, 1, 0, 1, 0x5a, 0x5a];
    // Of a port of ours that nobody uses, and of nothing at all.
    let quoted = ip4(17, FAR, 16, &[0x17, 0x70, 0x17, 0x70, 0, 8, 0, 0]);
    let unreachable = |quoted: &[u8]| summed([&[3, 3, 0, 0, 0, 0, 0, 0][..], quoted].concat());
    let to_all = ip4(1, Ipv4Addr::new(10, 0, 0, 255), 64, &echo);
    vec![
        ("echo", icmp(&echo), None),
        ("echo, wrong sum", icmp(&wrong), None),
        ("echo, cut", icmp(&echo[..3]), None),
        ("echo to all", frame(EVERYONE, 0x0800, &to_all), Some("martian")),
        ("unreachable", icmp(&unreachable(&quoted)), None),
        ("unreachable, nothing quoted", icmp(&unreachable(&[])), None),
        ("redirect", icmp(&summed([&[5, 1, 0, 0, 10, 0, 0, 66][..], &quoted].concat())), None),
        ("unknown ICMP", icmp(&summed(vec![255, 255, 0, 0])), None),
        ("echo of IPv6", six(&echo6, 0), None),
        ("echo of IPv6, wrong sum", six(&echo6, 1), None),
        ("echo of IPv6, cut", six(&echo6[..3], 0), None),
        ("too big, by nobody", six(&[2, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 1, 2, 3], 0), None),
    ]
}

fn groups() -> Vec<Flood> {
    let all = Ipv4Addr::new(224, 0, 0, 1);
    let alert = &[0x94, 4, 0, 0];
    let igmp = |ttl, options: &[u8], message: Vec<u8>| {
        frame(group_mac(all.into()), 0x0800, &ip4_with(2, all, ttl, options, &message))
    };
    let query = |code, sources: u8| {
        summed(vec![0x11, code, 0, 0, 0, 0, 0, 0, 2, 125, 0, sources, 10, 0, 0, 7])
    };
    let mut wrong = query(100, 0);
    wrong[2] ^= 1;
    let nodes: Ipv6Addr = "ff02::1".parse().expect("an address");
    let mld = |from, hops, message: &[u8], off| {
        let inner = [&[58, 0, 5, 2, 0, 0, 1, 0][..], &sum6(from, nodes, message, off)].concat();
        frame(group_mac(nodes.into()), 0x86dd, &ip6(from, nodes, 0, hops, &inner))
    };
    let query6 = [&[130, 0, 0, 0, 0xff, 0xff, 0, 0][..], &[0; 16], &[7, 255, 0, 0]].concat();
    let mut sources6 = query6.clone();
    sources6[26..28].fill(255);
    vec![
        ("IGMP, no time to answer", igmp(1, alert, query(0, 0)), None),
        ("IGMP, an hour to answer", igmp(1, alert, query(255, 0)), None),
        ("IGMP with sources that are not there", igmp(1, alert, query(1, 200)), None),
        ("IGMP, wrong sum", igmp(1, alert, wrong), None),
        ("IGMP, cut", igmp(1, alert, summed(vec![0x11, 1, 0, 0])), None),
        ("IGMP from afar", igmp(64, alert, query(1, 0)), None),
        ("IGMP without an alert", igmp(1, &[], query(1, 0)), None),
        ("IGMP of an unknown type", igmp(1, alert, summed(vec![0x99; 8])), None),
        ("MLD, an hour to answer", mld(LINK6, 1, &query6, 0), None),
        ("MLD, wrong sum", mld(LINK6, 1, &query6, 1), None),
        ("MLD from afar", mld(NEAR6, 1, &query6, 0), None),
        ("MLD with sources that are not there", mld(LINK6, 1, &sources6, 0), None),
    ]
}

fn packets(us: [u8; 6]) -> Vec<Flood> {
    let udp = |change: fn(&mut Frame)| {
        let frame = v4().with(|f| (f.source, f.destination) = (NEAR.into(), GROUP.into()));
        frame.with(change).bytes()
    };
    let mut wrong = udp(|_| {});
    wrong[24] ^= 1;
    let cut6 = v6().with(|f| f.destination = IpAddr::V6("ff15::1".parse().expect("an address")));
    let other = frame(us, 0x88cc, &[0; 50]);
    vec![
        ("a wrong header sum", wrong, Some("ip_checksum")),
        ("longer than the frame", udp(|f| f.ip_len = Some(1_400)), Some("ip_length")),
        ("cut within the header", udp(|_| {})[..30].to_vec(), Some("truncated")),
        ("cut within the header of IPv6", cut6.bytes()[..40].to_vec(), Some("truncated")),
        ("a fragment", udp(|f| f.fragment = 0x2000), Some("fragment")),
        ("a TTL of 0", udp(|f| f.ttl = 0), Some("ttl")),
        ("neither IP nor ARP", other, Some("not_ip")),
    ]
}

fn mac(text: &str) -> [u8; 6] {
    let bytes = text.split(':').map(|byte| u8::from_str_radix(byte, 16).expect("hexadecimal"));
    bytes.collect::<Vec<_>>().try_into().expect("six bytes")
}

fn frame(to: [u8; 6], ethertype: u16, packet: &[u8]) -> Vec<u8> {
    [&to[..], &FLOODER, &ethertype.to_be_bytes(), packet].concat()
}

fn arp(operation: u8, mac: [u8; 6], target: Ipv4Addr) -> Vec<u8> {
    let head = [0, 1, 8, 0, 6, 4, 0, operation];
    [&head[..], &mac, &NEAR.octets(), &[0; 6], &target.octets()].concat()
}

fn ip4(protocol: u8, to: Ipv4Addr, ttl: u8, payload: &[u8]) -> Vec<u8> {
    ip4_with(protocol, to, ttl, &[], payload)
}

fn ip4_with(protocol: u8, to: Ipv4Addr, ttl: u8, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let [high, low] = (20 + (options.len() + payload.len()) as u16).to_be_bytes();
    let words = 0x45 + (options.len() / 4) as u8;
    let head = [words, 0, high, low, 0, 0, 0, 0, ttl, protocol, 0, 0];
    let mut header = [&head[..], &NEAR.octets(), &to.octets(), options].concat();
    let sum = checksum(&header);
    header[10..12].copy_from_slice(&sum);
    [header, payload.to_vec()].concat()
}

fn ip6(from: Ipv6Addr, to: Ipv6Addr, next: u8, hops: u8, payload: &[u8]) -> Vec<u8> {
    let [high, low] = (payload.len() as u16).to_be_bytes();
    let head = [0x60, 0, 0, 0, high, low, next, hops];
    [&head[..], &from.octets(), &to.octets(), payload].concat()
}

/// A message of ICMPv6 to a group, its sum off by so much.
fn icmp6(from: Ipv6Addr, to: Ipv6Addr, hops: u8, message: &[u8], off: u8) -> Vec<u8> {
    let packet = ip6(from, to, 58, hops, &sum6(from, to, message, off));
    frame(group_mac(to.into()), 0x86dd, &packet)
}

/// A message of ICMPv6 with its sum, off by so much, where it is long enough to have one.
fn sum6(from: Ipv6Addr, to: Ipv6Addr, message: &[u8], off: u8) -> Vec<u8> {
    let mut message = message.to_vec();
    let length = (message.len() as u32).to_be_bytes();
    let pseudo = [&from.octets()[..], &to.octets(), &length, &[0, 0, 0, 58], &message].concat();
    let [high, low] = checksum(&pseudo);
    if message.len() >= 4 {
        message[2..4].copy_from_slice(&[high, low ^ off]);
    }
    message
}

/// A message with its sum in the second word.
fn summed(mut message: Vec<u8>) -> Vec<u8> {
    message[2..4].fill(0);
    let sum = checksum(&message);
    message[2..4].copy_from_slice(&sum);
    message
}

/// RFC 1071, word by word.
fn checksum(bytes: &[u8]) -> [u8; 2] {
    let words = bytes.chunks(2).map(|w| u32::from(w[0]) << 8 | u32::from(*w.get(1).unwrap_or(&0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}
