//! A relay between a source and some desks, each in a namespace of its own: kernel sockets send
//! numbered datagrams and receive them, packet sockets look at the frames.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use serde_json::Value;

use crate::netns::{Net, Space};
use crate::relay::Relay;

/// The group that the source sends to, and its UDP port.
pub const GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 1, 1);
/// The UDP port that it is sent to.
pub const UDP_PORT: u16 = 5000;
/// The source's address.
pub const SOURCE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

/// Where a copy goes.
#[derive(Clone, Copy, Debug)]
pub struct Desk {
    /// Its namespace and port, from 0.
    pub port: usize,
    /// Its group there, from 0.
    pub group: usize,
}

impl Desk {
    /// The group that its copies go to.
    pub fn address(self) -> Ipv4Addr {
        Ipv4Addr::new(239, 2, self.port as u8, self.group as u8)
    }

    /// The UDP port that they go to.
    pub fn udp_port(self) -> u16 {
        6_000 + self.group as u16
    }
}

/// The address of a desk's namespace; the relay's is one less.
pub fn desk_address(port: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 1, port as u8, 2)
}

/// The address that copies to a desk's namespace come from.
pub fn relay_address(port: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 1, port as u8, 1)
}

/// Namespaces and the relay in one of them. Fields are dropped in order: the relay ends first.
pub struct Site {
    pub punctual: Relay,
    pub source: Space,
    pub relay: Space,
    pub desks: Vec<Space>,
    /// More keys of the ports to the desks.
    pub outs: &'static str,
}

impl Site {
    /// Namespaces with so many desks, nothing running. Skips the case where that is impossible.
    pub fn new(net: &Net, desks: usize) -> Self {
        let (source, relay) = (net.space(), net.space());
        // Nothing of the kernel's own among what is counted.
        relay.sysctl("net/ipv6/conf/all/disable_ipv6", "1");
        relay.sysctl("net/ipv6/conf/default/disable_ipv6", "1");
        source.veth("src", &relay, "in");
        source.ip(&format!("address add {SOURCE}/24 dev src"));
        let desks = (0..desks).map(|port| {
            let desk = net.space();
            relay.veth(&format!("out{port}"), &desk, "desk");
            desk.ip(&format!("address add {}/24 dev desk", desk_address(port)));
            desk
        });
        let desks = desks.collect();
        Self { punctual: Relay::unset(), source, relay, desks, outs: "" }
    }

    /// Starts the relay with this driver, these desks as outputs, and more keys behind the input
    /// port and behind the rules.
    pub fn start(&mut self, driver: &str, to: &[Desk], input: &str, rules: &str) {
        let port = |name: &str, more: &str| {
            format!(
                "[[port]]\nname = \"{name}\"\ndevice = \"{name}\"\ndriver = \"{driver}\"\n{more}\n"
            )
        };
        let outs = (0..self.desks.len()).map(|slot| {
            let more = format!("address = \"{}/24\"\n{}", relay_address(slot), self.outs);
            port(&format!("out{slot}"), &more)
        });
        let outputs = to.iter().map(|desk| {
            format!(
                "{{ port = \"out{}\", destination = \"{}\", udp_port = {}, source = \"port\", \
                 dscp = 46 }},\n",
                desk.port,
                desk.address(),
                desk.udp_port()
            )
        });
        let mut text = String::from(
            "[eal]\nmemory = \"no-huge\"\n[memory]\npackets = 32768\nheaders = 4096\n",
        );
        text += &port("in", input);
        text.extend(outs);
        text += &format!(
            "[[rule]]\nname = \"all\"\nbudget = \"10ms\"\n\
             input = {{ port = \"in\", destination = \"{GROUP}\", udp_port = {UDP_PORT} }}\n\
             output = [{}]\n{rules}",
            outputs.collect::<String>()
        );
        self.punctual.instance.configure("", &text);
        self.punctual.start(&self.relay);
    }

    /// A part of the running relay's report.
    pub fn show(&self, part: &str) -> Value {
        self.punctual.show(part)
    }

    /// Ends the relay; its report and pools must be whole.
    pub fn end(&mut self) -> Value {
        self.punctual.stop()
    }

    /// A socket at a desk.
    pub fn receiver(&self, desk: Desk) -> UdpSocket {
        let space = &self.desks[desk.port];
        space.receiver(desk.address(), desk.udp_port(), desk_address(desk.port))
    }
}

/// The payload of the number'th datagram: its number, then bytes that follow from it. All lengths
/// come up, from those that fill no Ethernet frame to those that fill one.
pub fn payload(number: u32) -> Vec<u8> {
    let len = 4 + (number as usize * 97) % 1_469;
    let mut random = fastrand::Rng::with_seed(number.into());
    let mut bytes = number.to_be_bytes().to_vec();
    bytes.extend(std::iter::repeat_with(|| random.u8(..)).take(len - 4));
    bytes
}

/// The next datagram must be the number'th, from this address.
pub fn must_receive(socket: &UdpSocket, number: u32, from: Ipv4Addr) {
    let mut bytes = [0; 2_048];
    let (len, sender) = socket.recv_from(&mut bytes).unwrap_or_else(|error| {
        panic!("{number} does not come from {from}: {error}");
    });
    let SocketAddr::V4(sender) = sender else { panic!("{sender}") };
    assert_eq!(*sender.ip(), from);
    let found = u32::from_be_bytes(bytes[..4].try_into().expect("four bytes"));
    assert_eq!(found, number, "lost, doubled or out of order");
    assert!(bytes[..len] == payload(number), "{number} is not what was sent");
}
