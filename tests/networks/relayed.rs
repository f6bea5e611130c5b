//! One datagram to 1, 4 and 16 receivers over interfaces of the kernel, judged by the kernel.

use std::net::Ipv4Addr;

use crate::binary::{named, number, sum};
use crate::frames::{Frame, v4};
use crate::netns::Net;
use crate::raw::{Raw, Seen};
use crate::relay::PATIENCE;
use crate::site::{Desk, GROUP, SOURCE, Site, UDP_PORT};
use crate::site::{desk_address, must_receive, payload, relay_address};

/// Datagrams that are under way at once: less than any ring on the way holds.
const WINDOW: u32 = 64;
/// Datagrams with the sender's checksum offload on, and as many without.
const COUNT: u32 = 1_024;

fn desks(ports: usize, groups: usize) -> Vec<Desk> {
    let all = (0..ports).flat_map(|port| (0..groups).map(move |group| Desk { port, group }));
    all.collect()
}

/// Every datagram arrives at every desk as it was sent.
fn every_datagram_arrives(driver: &str, ports: usize, groups: usize) {
    let net = Net::new();
    net.needs("ethtool");
    let mut site = Site::new(&net, ports);
    let to = desks(ports, groups);
    let receivers: Vec<_> = to.iter().map(|&desk| (desk, site.receiver(desk))).collect();
    site.start(driver, &to, "rx_checksum = \"complete\"", "");
    let wires: Vec<_> = site.desks.iter().map(|desk| Raw::open(desk, "desk")).collect();
    let sender = site.source.sender(SOURCE);
    let source_port = sender.local_addr().expect("it is bound").port();

    for (offload, start) in [(true, 0), (false, COUNT)] {
        site.source.checksum_offload("src", offload);
        for first in (start..start + COUNT).step_by(WINDOW as usize) {
            for n in first..first + WINDOW {
                sender.send_to(&payload(n), (GROUP, UDP_PORT)).expect("it is sent");
            }
            for (desk, receiver) in &receivers {
                let from = relay_address(desk.port);
                (first..first + WINDOW).for_each(|n| must_receive(receiver, n, from));
            }
        }
    }
    for (desk, _) in &receivers {
        let seen = find(&wires[desk.port], desk.address());
        is_as_configured(&site, *desk, source_port, &seen);
        for counter in ["InErrors", "InCsumErrors"] {
            assert_eq!(site.desks[desk.port].counted("Udp", counter), 0, "{counter}");
        }
        assert_eq!(site.desks[desk.port].counted("Ip", "InHdrErrors"), 0);
    }
    let report = site.end();
    let copies = u64::from(2 * COUNT) * to.len() as u64;
    let ledger = &report["ledger"];
    assert_eq!((number(&ledger["copies"]), number(&ledger["sent"])), (copies, copies));
    for port in report["ports"].as_array().expect("ports") {
        assert_eq!(port["driver"], format!("net_{driver}"));
        let lost = ["missed", "no_mbuf", "rx_errors", "tx_errors"].map(|key| number(&port[key]));
        assert_eq!(lost, [0; 4], "{port}");
    }
    assert_eq!(sum(&ledger["dropped_before"]), 0, "{ledger}");
}

fn find(wire: &Raw, group: Ipv4Addr) -> Seen {
    let is_it = |seen: &Seen| seen.bytes.get(30..34) == Some(&group.octets()[..]);
    wire.find(PATIENCE, is_it).expect("the desk's interface has seen it")
}

/// The frame is what the configuration says, to the bit; the IP identification and the flags are
/// the sender's.
fn is_as_configured(site: &Site, desk: Desk, source_port: u16, seen: &Seen) {
    let bytes = &seen.bytes;
    let expected = v4().with(|f: &mut Frame| {
        f.source_mac = mac(&site.relay.mac(&format!("out{}", desk.port)));
        (f.source, f.destination) = (relay_address(desk.port).into(), desk.address().into());
        (f.ttl, f.tos) = (16, 46 << 2);
        f.id = u16::from_be_bytes([bytes[18], bytes[19]]);
        f.fragment = u16::from_be_bytes([bytes[20], bytes[21]]);
        (f.source_port, f.udp_port) = (source_port, desk.udp_port());
        f.payload = payload(0);
    });
    assert!(!seen.is_unfinished);
    assert_eq!(bytes[..], expected.bytes()[..]);
}

fn mac(text: &str) -> [u8; 6] {
    let bytes: Vec<_> = text.split(':').map(|b| u8::from_str_radix(b, 16).unwrap()).collect();
    bytes.try_into().expect("six bytes")
}

pub fn to_one_over_af_packet() {
    every_datagram_arrives("af_packet", 1, 1);
}

pub fn to_four_over_af_packet() {
    every_datagram_arrives("af_packet", 4, 1);
}

pub fn to_sixteen_over_af_packet() {
    every_datagram_arrives("af_packet", 4, 4);
}

pub fn to_one_over_af_xdp() {
    every_datagram_arrives("af_xdp", 1, 1);
}

pub fn to_four_over_af_xdp() {
    every_datagram_arrives("af_xdp", 4, 1);
}

pub fn to_sixteen_over_af_xdp() {
    every_datagram_arrives("af_xdp", 4, 4);
}

/// Tagged frames in; kept, taken off, and another id out.
fn tags_are_as_configured(driver: &str) {
    let net = Net::new();
    let mut site = Site::new(&net, 1);
    let to = |last: u8, vlan: &str| {
        format!("{{ port = \"out0\", destination = \"239.3.0.{last}\"{vlan} }},")
    };
    let rule = format!(
        "[[rule]]\nname = \"tagged\"\n\
         input = {{ port = \"in\", destination = \"239.1.2.2\", vlan = 100 }}\noutput = [{}{}{}]\n",
        to(1, ""),
        to(2, ", vlan = \"none\""),
        to(3, ", vlan = 300"),
    );
    site.start(driver, &desks(1, 1), "", &rule);
    let (wire, heard) = (Raw::open(&site.source, "src"), Raw::open(&site.desks[0], "desk"));
    let frame = v4().with(|f| {
        f.destination = Ipv4Addr::new(239, 1, 2, 2).into();
        // Priority 5, which stays.
        f.tags = vec![(0x8100, 0xa000 | 100)];
        f.payload = vec![7; 1_472];
    });
    wire.send(&frame.bytes());
    for (last, tags) in [(1, vec![0xa000 | 100]), (2, vec![]), (3, vec![0xa000 | 300])] {
        let group = Ipv4Addr::new(239, 3, 0, last);
        let is_it = |seen: &Seen| {
            let ip = 14 + 4 * usize::from(seen.bytes[12..14] == [0x81, 0]);
            seen.bytes.get(ip + 16..ip + 20) == Some(&group.octets()[..])
        };
        let seen = heard.find(PATIENCE, is_it).expect("it arrives");
        let expected = frame.clone().with(|f| {
            f.source_mac = mac(&site.relay.mac("out0"));
            f.destination = group.into();
            f.tags = tags.into_iter().map(|tag| (0x8100, tag)).collect();
        });
        assert_eq!(seen.bytes, expected.bytes(), "239.3.0.{last}");
    }
    site.end();
}

pub fn tags_over_af_packet() {
    tags_are_as_configured("af_packet");
}

pub fn tags_over_af_xdp() {
    tags_are_as_configured("af_xdp");
}

/// What is longer than the interface takes is dropped where it is counted, and the interface keeps
/// its MTU.
fn the_smaller_mtu_holds(driver: &str) {
    let net = Net::new();
    let mut site = Site::new(&net, 1);
    site.relay.ip("link set out0 mtu 1400");
    let desk = Desk { port: 0, group: 0 };
    let receiver = site.receiver(desk);
    site.start(driver, &[desk], "rx_checksum = \"complete\"", "");
    let sender = site.source.sender(SOURCE);
    for len in [1_372, 1_373, 1_372] {
        sender.send_to(&vec![len as u8; len], (GROUP, UDP_PORT)).expect("it is sent");
    }
    for _ in 0..2 {
        let (bytes, from) = crate::netns::receive(&receiver).expect("what fits arrives");
        assert_eq!((bytes.len(), from), (1_372, relay_address(0).into()));
    }
    assert_eq!(site.relay.interface("out0")["mtu"], 1_400);
    let report = site.end();
    assert_eq!(number(&named(&report["ports"], "out0")["mtu"]), 1_400);
    assert_eq!(number(&report["ledger"]["dropped_after"]["mtu"]), 1);
}

pub fn the_smaller_mtu_holds_over_af_packet() {
    the_smaller_mtu_holds("af_packet");
}

pub fn the_smaller_mtu_holds_over_af_xdp() {
    the_smaller_mtu_holds("af_xdp");
}

/// The relay's interface is promiscuous while a rule takes unicast, and no longer than it runs.
pub fn an_interface_is_promiscuous_as_long_as_a_rule_takes_unicast() {
    let net = Net::new();
    let mut site = Site::new(&net, 1);
    let is_promiscuous =
        |site: &Site| site.relay.ip("-d -o link show dev in").contains("promiscuity 1");
    site.start("af_packet", &desks(1, 1), "", "");
    assert!(!is_promiscuous(&site));
    let file = site.punctual.instance.path("config.toml");
    let text = std::fs::read_to_string(&file).expect("it is there");
    let rule = format!(
        "[[rule]]\nname = \"unicast\"\ninput = {{ port = \"in\", destination = \"{}\" }}\n\
         output = [{{ port = \"out0\", destination = \"239.9.9.9\" }}]\n",
        desk_address(9)
    );
    std::fs::write(file, text + &rule).expect("it is written");
    site.punctual.take_up();
    assert!(is_promiscuous(&site));
    assert_eq!(named(&site.show("ports"), "in")["promiscuous"], true);
    site.end();
    assert!(!is_promiscuous(&site));
}
