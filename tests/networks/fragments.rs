//! Datagrams that their sender's kernel cuts, and the receivers' kernels put together.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::time::Duration;

use serde_json::Value;

use crate::binary::{number, sum};
use crate::netns::{Net, Space, receive, set};
use crate::relay::Relay;

/// Datagrams of each IP version, and how many are under way at once.
const COUNT: usize = 512;
const WINDOW: usize = 32;
const UDP_PORT: u16 = 2055;
/// Longest wait for a datagram; only one that is lost takes so long.
const SILENCE: Duration = Duration::from_secs(20);

fn text(driver: &str) -> String {
    let port = |name: &str| {
        format!(
            "[[port]]\nname = \"{name}\"\ndevice = \"{name}\"\ndriver = \"{driver}\"\n\
             rx_checksum = \"complete\"\n"
        )
    };
    let rule = |name: &str, group: &str, to: &str| {
        format!(
            "[[rule]]\nname = \"{name}\"\ninput = {{ port = \"in\", destination = \"{group}\", \
             udp_port = \"any\", fragments = \"forward\" }}\n\
             output = [{{ port = \"out0\", destination = \"{to}\" }}, \
             {{ port = \"out1\", destination = \"{to}\" }}]\n"
        )
    };
    let memory = "[eal]\nmemory = \"no-huge\"\n[memory]\npackets = 32768\nheaders = 4096\n";
    String::from(memory)
        + &["in", "out0", "out1"].map(port).concat()
        + &rule("four", "239.1.1.1", "239.2.0.1")
        + &rule("six", "ff15::1", "ff15::2")
}

/// The number'th datagram: all lengths from one that fits a frame to one that takes three.
fn payload(number: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(number as u64);
    let len = 4 + (number * 97) % 3_997;
    let mut bytes = (number as u32).to_be_bytes().to_vec();
    bytes.extend(std::iter::repeat_with(|| random.u8(..)).take(len - 4));
    bytes
}

/// The number of an interface, as sockets ask for it.
fn index(space: &Space, name: &str) -> u32 {
    number(&space.interface(name)["ifindex"]) as u32
}

fn sender_v6(space: &Space, from: Ipv6Addr, interface: &str) -> UdpSocket {
    let index = index(space, interface);
    let socket = space.within(|| UdpSocket::bind((from, 0)).expect("the address is ours"));
    set(&socket, libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_IF, &index);
    socket
}

fn receiver_v6(space: &Space, to: Ipv6Addr, interface: &str) -> UdpSocket {
    let index = index(space, interface);
    space.within(|| {
        let socket = UdpSocket::bind((to, UDP_PORT)).expect("the group can be bound");
        socket.join_multicast_v6(&to, index).expect("the group can be joined");
        socket
    })
}

/// Datagrams of up to 4,000 bytes arrive whole at every receiver, in order, as they were sent.
fn datagrams_arrive_whole(driver: &str) {
    let net = Net::new();
    let (source, relay) = (net.space(), net.space());
    source.veth("src", &relay, "in");
    source.ip("address add 10.0.0.1/24 dev src");
    source.ip("address add fd00::1/64 dev src nodad");
    let desks = [0, 1].map(|port| {
        let desk = net.space();
        relay.veth(&format!("out{port}"), &desk, "desk");
        desk.ip(&format!("address add 10.1.{port}.2/24 dev desk"));
        desk.ip(&format!("address add fd01:{port}::2/64 dev desk nodad"));
        desk
    });
    let (four, six) = (Ipv4Addr::new(239, 2, 0, 1), "ff15::2".parse().expect("a group"));
    let receivers: Vec<_> = (0..)
        .zip(&desks)
        .map(|(port, desk)| {
            let at = Ipv4Addr::new(10, 1, port, 2);
            [desk.receiver(four, UDP_PORT, at), receiver_v6(desk, six, "desk")]
        })
        .collect();
    for socket in receivers.iter().flatten() {
        socket.set_read_timeout(Some(SILENCE)).expect("it is not zero");
    }
    let mut punctual = Relay::unset();
    punctual.instance.configure("", &text(driver));
    punctual.start(&relay);
    let senders = [
        (source.sender(Ipv4Addr::new(10, 0, 0, 1)), IpAddr::from([239, 1, 1, 1])),
        (
            sender_v6(&source, "fd00::1".parse().expect("an address"), "src"),
            "ff15::1".parse().expect("a group"),
        ),
    ];
    // The senders are no neighbours of the desks.
    for desk in &desks {
        desk.sysctl("net/ipv4/conf/all/rp_filter", "0");
        desk.sysctl("net/ipv4/conf/desk/rp_filter", "0");
    }
    for first in (0..COUNT).step_by(WINDOW) {
        for n in first..first + WINDOW {
            for (socket, to) in &senders {
                socket.send_to(&payload(n), (*to, UDP_PORT)).expect("it is sent");
            }
        }
        for [four, six] in &receivers {
            for n in first..first + WINDOW {
                for (socket, from) in [(four, "10.0.0.1"), (six, "fd00::1")] {
                    let (bytes, sender) =
                        receive(socket).unwrap_or_else(|| panic!("{n} does not come from {from}"));
                    assert_eq!(sender.to_string(), from);
                    assert!(bytes == payload(n), "{n} from {from} is not what was sent");
                }
            }
        }
    }
    for desk in &desks {
        assert_eq!(desk.counted("Udp", "InCsumErrors") + desk.counted("Ip", "ReasmFails"), 0);
    }
    is_told(&punctual.stop());
}

/// As many copies as fragments, all of them sent, and nothing counted as one that ended.
fn is_told(report: &Value) {
    // Of UDP a packet of 1,500 bytes has 1,480 in IPv4, 1,460 in IPv6; of a fragment it has 1,480 and,
    // in steps of 8, 1,448.
    let frames = |fits: usize, part: usize| -> u64 {
        let len = |n: usize| payload(n).len() + 8;
        (0..COUNT).map(|n| if len(n) <= fits { 1 } else { len(n).div_ceil(part) as u64 }).sum()
    };
    let (ledger, copies) = (&report["ledger"], 2 * (frames(1_480, 1_480) + frames(1_460, 1_448)));
    assert_eq!(number(&ledger["sent"]), copies, "{ledger}");
    assert!(ledger["dropped_before"]["fragment"].is_null(), "{ledger}");
    assert_eq!(sum(&ledger["dropped_after"]), 0, "{ledger}");
}

pub fn over_af_xdp() {
    datagrams_arrive_whole("af_xdp");
}
