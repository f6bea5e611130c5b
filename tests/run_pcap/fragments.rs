//! Fragments through the binary: where a rule relays them every receiver can put each datagram
//! together; elsewhere they end, and are counted.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::{NetSlice, SlicedPacket};

use crate::binary::{Instance, named, number, sum};
use crate::frames::copy::put_together;
use crate::frames::{Frame, extension, v4, v6};

/// Senders, and datagrams of each in IPv4 and in IPv6.
const SENDERS: u8 = 4;
const ROUNDS: u16 = 25;
/// Bytes of IP payload in a fragment: what Ethernet's 1,500 leave.
const CUT: usize = 1_440;

const TEXT: &str = r#"
    [eal]
    memory = "no-huge"
    [memory]
    packets = 4096
    [[port]]
    name = "in"
    device = "net_pcap0,rx_pcap=${CONFIG_DIR}/in.pcap"
    # Of whole datagrams only: of a fragment it would be wrong.
    rx_checksum = "complete"
    [[port]]
    name = "a"
    device = "net_pcap1,tx_pcap=${CONFIG_DIR}/a.pcap"
    [[port]]
    name = "b"
    device = "net_pcap2,tx_pcap=${CONFIG_DIR}/b.pcap"
    mtu = 1400

    [[rule]]
    name = "v4"
    input = { port = "in", destination = "239.1.1.1", udp_port = "any", vlan = "any", fragments = "forward" }
    output = [
        { port = "a", destination = "239.2.0.1" },
        { port = "a", destination = "239.2.0.2", udp_port = 9, vlan = 7 },
        { port = "b", destination = "239.2.0.3" },
    ]
    [[rule]]
    name = "v6"
    input = { port = "in", destination = "ff05::1:1", udp_port = "any", fragments = "forward" }
    output = [{ port = "a", destination = "ff05::2:1", ttl = 3 }]
    [[rule]]
    name = "whole"
    input = { port = "in", destination = "239.1.1.2", udp_port = 5001 }
    output = [{ port = "a", destination = "239.2.0.4" }]
"#;

/// A datagram of about 3 kB.
fn datagram(sender: u8, round: u16, is_v4: bool) -> Frame {
    let mut random = fastrand::Rng::with_seed(u64::from(sender) << 16 | u64::from(round));
    let (frame, len) = (if is_v4 { v4() } else { v6() }, 2_900 + random.usize(..100));
    frame.with(|f| {
        f.source = match is_v4 {
            true => Ipv4Addr::new(10, 9, 2, sender + 1).into(),
            false => Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, u16::from(sender) + 1).into(),
        };
        (f.id, f.fragment) = (round, 0);
        if !is_v4 && round.is_multiple_of(2) {
            f.extensions.push(extension(60));
        }
        f.payload = std::iter::repeat_with(|| random.u8(..)).take(len).collect();
        if is_v4 && sender == 3 {
            f.tags = vec![(0x8100, 12)];
        }
        f.padding = vec![0; random.usize(..4)];
    })
}

fn addresses(bytes: &[u8]) -> (IpAddr, IpAddr) {
    let sliced = SlicedPacket::from_ethernet(bytes).expect("a packet");
    match sliced.net.expect("an IP packet") {
        NetSlice::Ipv4(ip) => {
            (ip.header().source_addr().into(), ip.header().destination_addr().into())
        }
        NetSlice::Ipv6(ip) => {
            (ip.header().source_addr().into(), ip.header().destination_addr().into())
        }
        other => panic!("{other:?}"),
    }
}

/// The copies in a capture by sender and destination, in their order.
fn streams(instance: &Instance, file: &str) -> BTreeMap<(IpAddr, IpAddr), Vec<Vec<u8>>> {
    let mut streams = BTreeMap::<_, Vec<_>>::new();
    for copy in instance.captured(file) {
        streams.entry(addresses(&copy)).or_default().push(copy);
    }
    streams
}

#[test]
fn fragments_are_relayed_where_a_rule_says_so() {
    let instance = Instance::new();
    instance.configure("clock = \"capture\"", TEXT);
    let mut frames = Vec::new();
    for round in 0..ROUNDS {
        // Senders take turns, and one of them sends its last fragment first.
        let cut = |sender: u8, is_v4| {
            let mut cut = datagram(sender, round, is_v4).fragments(CUT);
            if sender == 1 {
                cut.reverse();
            }
            cut
        };
        for is_v4 in [true, false] {
            let all: Vec<_> = (0..SENDERS).map(|sender| cut(sender, is_v4)).collect();
            (0..3).for_each(|i| frames.extend(all.iter().map(|cut| cut[i].clone())));
        }
        // By UDP port only the first could be relayed, so none is.
        let to = |f: &mut Frame| f.destination = Ipv4Addr::new(239, 1, 1, 2).into();
        frames.extend(datagram(0, round, true).with(to).fragments(CUT));
        frames.push(v4().with(to).bytes());
        // A fragment that fits nothing.
        let mut lies =
            v4().with(|f| (f.id, f.fragment, f.payload) = (9, 0, vec![1; 100])).fragments(64);
        lies[0].truncate(14 + 20 + 63);
        frames.push(lies.remove(0));
    }
    let times = (0..).map(|n: u64| 1_700_000_000_000_000_000 + n * 10_000);
    instance.capture("in.pcap", times.zip(frames.iter().map(|frame| &frame[..])));
    let report = instance.relay();

    let (rounds, senders) = (u64::from(ROUNDS), u64::from(SENDERS));
    let ledger = &report["ledger"];
    assert_eq!(number(&ledger["dropped_before"]["fragment"]), 3 * rounds, "{ledger}");
    assert_eq!(number(&ledger["dropped_before"]["ip_length"]), rounds, "{ledger}");
    assert_eq!(sum(&ledger["dropped_before"]), 4 * rounds, "{ledger}");
    for name in ["v4", "v6"] {
        assert_eq!(number(&named(&report["rules"], name)["packets"]), 3 * rounds * senders);
    }
    // The longer two of three do not fit an MTU of 1,400.
    let outputs = named(&report["rules"], "v4")["outputs"].clone();
    assert_eq!(number(&outputs[2]["dropped"]["mtu"]), 2 * rounds * senders, "{outputs}");
    assert_eq!(sum(&ledger["dropped_after"]), 2 * rounds * senders, "{ledger}");

    let a = streams(&instance, "a.pcap");
    assert_eq!(a.len(), 3 * usize::from(SENDERS) + 1, "{:?}", a.keys());
    for ((source, to), copies) in &a {
        if *to == IpAddr::from([239, 2, 0, 4]) {
            assert_eq!(copies.len(), usize::from(ROUNDS));
            continue;
        }
        let sender = match source {
            IpAddr::V4(v4) => v4.octets()[3] - 1,
            IpAddr::V6(v6) => v6.octets()[15] - 1,
        };
        for (round, copies) in (0..).zip(copies.chunks(3)) {
            let sent = datagram(sender, round, source.is_ipv4());
            let udp = put_together(copies).expect("it is sound").expect("it is whole");
            assert_eq!(udp[8..], sent.payload, "{source} {round}");
            let udp_port = if *to == IpAddr::from([239, 2, 0, 2]) { 9 } else { sent.udp_port };
            assert_eq!(udp[2..4], udp_port.to_be_bytes());
            assert!(is_summed(*source, *to, &udp), "{source} {to} {round}");
        }
        assert_eq!(copies.len(), 3 * usize::from(ROUNDS));
    }
    let b = streams(&instance, "b.pcap");
    assert!(b.values().all(|copies| copies.len() == usize::from(ROUNDS)), "the last ones");
    explains(&instance);
}

/// Whether a datagram's UDP checksum is right, as another reckons.
fn is_summed(source: IpAddr, to: IpAddr, udp: &[u8]) -> bool {
    let found = u16::from_be_bytes([udp[6], udp[7]]);
    let mut blank = udp.to_vec();
    blank[6..8].fill(0);
    found == crate::frames::udp_checksum(source, to, &blank)
}

/// `check` says what is relayed.
fn explains(instance: &Instance) {
    let told = instance.run(&["check", "config.toml"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    assert_eq!(told.stdout.matches("fragments, too").count(), 2, "{}", told.stdout);
}
