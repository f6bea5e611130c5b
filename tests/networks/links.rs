//! A link that goes down and comes up: others notice nothing, nothing is swallowed uncounted.

use std::net::UdpSocket;
use std::time::Instant;

use crate::binary::{named, number};
use crate::netns::Net;
use crate::relay::PATIENCE;
use crate::site::{Desk, GROUP, SOURCE, Site, UDP_PORT};
use crate::site::{must_receive, payload, relay_address};

/// How often it goes down and comes up.
const FLAPS: u32 = 100;
/// Datagrams that are sent in each state.
const ROUND: u32 = 16;

struct Stream {
    sender: UdpSocket,
    next: u32,
    others: Vec<(Desk, UdpSocket)>,
}

impl Stream {
    /// Sends a round, which must come to the others.
    fn round(&mut self) {
        let numbers = self.next..self.next + ROUND;
        self.next = numbers.end;
        for n in numbers.clone() {
            self.sender.send_to(&payload(n), (GROUP, UDP_PORT)).expect("it is sent");
        }
        for (desk, receiver) in &self.others {
            numbers.clone().for_each(|n| must_receive(receiver, n, relay_address(desk.port)));
        }
    }
}

/// Reads what is there; returns how many there were, and the last one's number.
fn drain(receiver: &UdpSocket) -> (u64, Option<u32>) {
    receiver.set_nonblocking(true).expect("a socket");
    let (mut count, mut last, mut bytes) = (0, None, [0; 2_048]);
    while let Ok(len) = receiver.recv(&mut bytes) {
        let number = u32::from_be_bytes(bytes[..4].try_into().expect("four bytes"));
        assert!(bytes[..len] == payload(number), "{number} is not what was sent");
        assert!(last.is_none_or(|last| last < number), "doubled or out of order");
        (count, last) = (count + 1, Some(number));
    }
    (count, last)
}

fn a_link_flaps(driver: &str, outs: &'static str) {
    let net = Net::new();
    let mut site = Site::new(&net, 3);
    site.outs = outs;
    let desks = [0, 1, 2].map(|port| Desk { port, group: 0 });
    let [flapping, others @ ..] = desks;
    let receiver = site.receiver(flapping);
    let others = others.map(|desk| (desk, site.receiver(desk))).into();
    site.start(driver, &desks, "rx_checksum = \"complete\"", "");
    let mut stream = Stream { sender: site.source.sender(SOURCE), next: 0, others };
    let mut arrived = 0;
    for flap in 0..FLAPS {
        // The other end's, as a cable that is pulled, and our own, as `ip link set down`.
        let (space, name) = match flap % 2 {
            0 => (&site.desks[0], "desk"),
            _ => (&site.relay, "out0"),
        };
        space.ip(&format!("link set {name} down"));
        stream.round();
        space.ip(&format!("link set {name} up"));
        stream.round();
        arrived += drain(&receiver).0;
    }
    // It recovers by itself: what is sent from some moment on arrives.
    let start = Instant::now();
    loop {
        stream.round();
        let (count, last) = drain(&receiver);
        arrived += count;
        if count == u64::from(ROUND) && last == Some(stream.next - 1) {
            break;
        }
        assert!(start.elapsed() < PATIENCE, "it does not recover: {}", site.show("ports"));
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let interface = site.relay.ip("-s -j link show dev out0");
    let report = site.end();
    let port = named(&report["ports"], "out0");
    assert_eq!(port["breaker"], "closed");
    assert!(number(&port["breaker_opened"]) > 0, "{port}");
    // Each copy that the port took is on the wire, or a tx error.
    let interface: serde_json::Value = serde_json::from_str(&interface).expect("JSON");
    let on_the_wire = number(&interface[0]["stats64"]["tx"]["packets"]);
    let [sent, errors] = ["sent", "tx_errors"].map(|key| number(&port[key]));
    // A pair of interfaces counts a bundle once.
    let counts = outs.is_empty();
    assert!(
        !counts || sent <= on_the_wire + errors,
        "{sent} sent, {on_the_wire} on the wire, {port}"
    );
    assert!(arrived <= sent);
    for other in ["out1", "out2"] {
        let port = named(&report["ports"], other);
        let found = ["sent", "tx_errors", "breaker_opened"].map(|key| number(&port[key]));
        assert_eq!(found, [u64::from(stream.next), 0, 0], "{port}");
    }
}

pub fn a_hundred_flaps_over_af_packet() {
    a_link_flaps("af_packet", "");
}

pub fn a_hundred_flaps_over_af_xdp() {
    a_link_flaps("af_xdp", "");
}

pub fn a_hundred_flaps_in_bundles() {
    a_link_flaps("af_packet", "bundle = true\n");
}
