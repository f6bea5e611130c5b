//! Bundles (`bundle = true`), judged by the kernel that cuts them: every datagram arrives as it was
//! sent, whatever is long or wrong goes alone.

use std::time::Instant;

use crate::binary::{named, number};
use crate::frames::{Checksum, Frame, v4};
use crate::netns::{Net, receive};
use crate::raw::{Raw, Seen};
use crate::relay::PATIENCE;
use crate::site::{Desk, GROUP, SOURCE, Site, UDP_PORT, relay_address};

/// Datagrams that are under way at once.
const WINDOW: u32 = 64;
/// The longest frame of an interface with an MTU of 1,500.
const FRAME_MAX: usize = 1_514;

/// The number, and bytes that follow from it: runs of one length, now and then another.
fn payload(number: u32) -> Vec<u8> {
    let len = match number % 23 {
        7 => 1_472,
        8 => 4,
        15 => 150,
        _ => 200,
    };
    let mut bytes = number.to_be_bytes().to_vec();
    bytes.resize(len, number as u8);
    bytes
}

fn every_datagram_arrives(driver: &str) {
    let net = Net::new();
    net.needs("ethtool");
    let mut site = Site::new(&net, 2);
    // This one's interface cannot cut: the kernel does it in front of it.
    site.relay.run("ethtool", &["-K", "out1", "tx-udp-segmentation", "off"]);
    site.outs = "bundle = true\n";
    let desks = [0, 1].map(|port| Desk { port, group: 0 });
    let receivers = desks.map(|desk| (desk, site.receiver(desk)));
    site.start(driver, &desks, "rx_checksum = \"complete\"", "");
    let wires = [0, 1].map(|desk| Raw::open(&site.desks[desk], "desk"));
    let sender = site.source.sender(SOURCE);
    let (start, mut next, mut longest) = (Instant::now(), 0, [0; 2]);
    // How many come together is for the host to say: until some have.
    while next < 16 * WINDOW || longest[0] <= FRAME_MAX {
        assert!(start.elapsed() < PATIENCE, "nothing was bundled: {}", site.show("ports"));
        let numbers = next..next + WINDOW;
        next = numbers.end;
        for n in numbers.clone() {
            sender.send_to(&payload(n), (GROUP, UDP_PORT)).expect("it is sent");
        }
        for (desk, receiver) in &receivers {
            for n in numbers.clone() {
                let (bytes, from) = receive(receiver).expect("it arrives");
                assert_eq!((bytes, from), (payload(n), relay_address(desk.port).into()), "{n}");
            }
        }
        for (wire, longest) in wires.iter().zip(&mut longest) {
            let seen = std::iter::from_fn(|| wire.receive(std::time::Duration::ZERO));
            *longest = seen.map(|seen| seen.bytes.len()).max().unwrap_or_default().max(*longest);
        }
    }
    assert!(longest[1] <= FRAME_MAX, "{longest:?}");
    for desk in &site.desks {
        let counters = ["InErrors", "InCsumErrors"].map(|counter| desk.counted("Udp", counter));
        assert_eq!((counters, desk.counted("Ip", "InHdrErrors")), ([0; 2], 0));
    }
    let report = site.end();
    for port in ["out0", "out1"] {
        let port = named(&report["ports"], port);
        let found = ["sent", "tx_errors"].map(|key| number(&port[key]));
        assert_eq!((found, &port["tx_chain"]), ([next.into(), 0], &"native".into()), "{port}");
    }
}

pub fn every_datagram_arrives_over_af_packet() {
    every_datagram_arrives("af_packet");
}

pub fn every_datagram_arrives_over_af_xdp() {
    every_datagram_arrives("af_xdp");
}

/// A wrong checksum stays wrong and none stays none, in the midst of others.
pub fn a_checksum_stays_what_it_is() {
    let net = Net::new();
    let mut site = Site::new(&net, 1);
    site.outs = "bundle = true\n";
    let desk = Desk { port: 0, group: 0 };
    let receiver = site.receiver(desk);
    site.start("af_packet", &[desk], "", "");
    let (source, wire) = (Raw::open(&site.source, "src"), Raw::open(&site.desks[0], "desk"));
    let checksum = |n: u32| match n % 8 {
        3 => Checksum::Off(1),
        5 => Checksum::Zero,
        _ => Checksum::Right,
    };
    let frame = |n: u32| {
        v4().with(|f: &mut Frame| {
            (f.source, f.destination) = (SOURCE.into(), GROUP.into());
            (f.udp_port, f.id, f.checksum) = (UDP_PORT, n as u16, checksum(n));
            f.payload = [&n.to_be_bytes()[..], &[7; 100]].concat();
        })
    };
    (0..256).for_each(|n| source.send(&frame(n).bytes()));
    for n in (0..256).filter(|n| n % 8 != 3) {
        let (bytes, _) = receive(&receiver).expect("it arrives");
        assert_eq!(bytes, frame(n).payload);
    }
    assert_eq!(site.desks[0].counted("Udp", "InCsumErrors"), 32);
    let has_none = |seen: &Seen| seen.bytes.get(34..).is_some_and(|udp| udp[8..12] == [0, 0, 0, 5]);
    let seen = wire.find(PATIENCE, has_none).expect("it was seen");
    assert_eq!(seen.bytes[40..42], [0, 0]);
    site.end();
}
