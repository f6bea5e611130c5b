//! Frames of ARP, neighbour discovery and ICMP that nobody should believe, byte by byte.

use std::net::{IpAddr, Ipv6Addr};

use crate::frames::{group_mac, resum, v4};

/// The MAC that is claimed: nobody's.
const LIAR: [u8; 6] = [2, 0, 0, 0, 0x66, 0x66];
/// To everyone.
const ALL: [u8; 6] = [0xff; 6];
/// Solicited, and to be believed instead of what is known (RFC 4861, section 4.4).
const SOLICITED: u8 = 0x60;
const OVERRIDE: u8 = 0x20;

/// A claim to have an address.
pub struct Claim {
    /// The MAC that hears it.
    pub to: [u8; 6],
    /// Whose it is.
    pub address: IpAddr,
    /// Which of the ports it is for.
    pub port: usize,
}

impl Claim {
    /// As an answer, and told unasked.
    pub fn all(&self) -> Vec<Vec<u8>> {
        match self.address {
            IpAddr::V4(own) => {
                let us = [10, 1, self.port as u8, 1];
                let answer = arp(2, LIAR, own.octets(), us);
                let told = arp(1, LIAR, own.octets(), own.octets());
                vec![frame(self.to, LIAR, 0x0806, &answer), frame(ALL, LIAR, 0x0806, &told)]
            }
            IpAddr::V6(own) => {
                let us = Ipv6Addr::new(0xfd01, self.port as u16, 0, 0, 0, 0, 0, 1);
                let all = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
                let answer = nd(own, us, 255, &advertisement(own, SOLICITED), 0);
                let told = nd(own, all, 255, &advertisement(own, OVERRIDE), 0);
                let to_all = group_mac(all.into());
                vec![frame(self.to, LIAR, 0x86dd, &answer), frame(to_all, LIAR, 0x86dd, &told)]
            }
        }
    }

    /// Not what its headers say, or against the protocol.
    pub fn broken(&self) -> Vec<Vec<u8>> {
        match self.address {
            IpAddr::V4(own) => {
                let answer = |mac| arp(2, mac, own.octets(), [10, 1, self.port as u8, 1]);
                let mut other_hardware = answer(LIAR);
                other_hardware[1] = 6;
                let packets = [
                    answer(LIAR)[..20].to_vec(),
                    other_hardware,
                    // Another's MAC than the frame's, everyone's and nobody's.
                    answer([2, 0, 0, 0, 0x66, 0x67]),
                    answer(ALL),
                    answer([0; 6]),
                ];
                packets.map(|packet| frame(self.to, LIAR, 0x0806, &packet)).into()
            }
            IpAddr::V6(own) => {
                let us = Ipv6Addr::new(0xfd01, self.port as u16, 0, 0, 0, 0, 0, 1);
                let all = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
                let good = advertisement(own, SOLICITED);
                let mut no_length = good.clone();
                no_length[25] = 0;
                let packets = [
                    // Not from the link, a wrong sum, an option without length, cut short, and an
                    // answer to all.
                    nd(own, us, 64, &good, 0),
                    nd(own, us, 255, &good, 1),
                    nd(own, us, 255, &no_length, 0),
                    nd(own, us, 255, &good[..20], 0),
                    nd(own, all, 255, &good, 0),
                ];
                packets.map(|packet| frame(self.to, LIAR, 0x86dd, &packet)).into()
            }
        }
    }
}

/// A message that a datagram of the relay's did not arrive (RFC 792, RFC 4443), from a host.
pub struct Refusal {
    /// The MAC that hears it.
    pub to: [u8; 6],
    /// Who says so: whom the datagram was for.
    pub host: IpAddr,
    /// The relay's address there, which the datagram was from.
    pub relay: IpAddr,
    /// The UDP port that it was for.
    pub udp_port: u16,
}

impl Refusal {
    /// As a kernel would say it.
    pub fn frame(&self) -> Vec<u8> {
        self.quoting(self.relay, self.udp_port, 28, 0)
    }

    /// A wrong sum, a datagram from another or for another UDP port, and none at all.
    pub fn lies(&self) -> Vec<Vec<u8>> {
        vec![
            self.quoting(self.relay, self.udp_port, 28, 1),
            self.quoting(self.host, self.udp_port, 28, 0),
            self.quoting(self.relay, self.udp_port + 1, 28, 0),
            self.quoting(self.relay, self.udp_port, 12, 0),
        ]
    }

    /// Quotes so much of a datagram (20 bytes more in IPv6), with a sum that is off by so much.
    fn quoting(&self, source: IpAddr, udp_port: u16, len: usize, off: u16) -> Vec<u8> {
        let datagram = v4().with(|f| {
            (f.source, f.destination, f.udp_port) = (source, self.host, udp_port);
        });
        let packet = &datagram.bytes()[14..];
        match (self.host, self.relay) {
            (IpAddr::V4(host), IpAddr::V4(relay)) => {
                let mut message = [&[3, 3, 0, 0, 0, 0, 0, 0], &packet[..len]].concat();
                let sum = (!sum(&message)).wrapping_add(off);
                message[2..4].copy_from_slice(&sum.to_be_bytes());
                let total = (20 + message.len()) as u16;
                let mut head = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 1, 0, 0];
                head[2..4].copy_from_slice(&total.to_be_bytes());
                head.extend(host.octets());
                head.extend(relay.octets());
                resum(&mut head);
                frame(self.to, LIAR, 0x0800, &[head, message].concat())
            }
            (IpAddr::V6(host), IpAddr::V6(relay)) => {
                let message = [&[1, 4, 0, 0, 0, 0, 0, 0], &packet[..len + 20]].concat();
                frame(self.to, LIAR, 0x86dd, &nd(host, relay, 64, &message, off))
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Whether a frame is an answer to the question who has this address.
pub fn answers_for(frame: &[u8], address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            frame[12..14] == [0x08, 0x06]
                && frame[20..22] == [0, 2]
                && frame[28..32] == address.octets()
        }
        IpAddr::V6(address) => {
            frame[12..14] == [0x86, 0xdd]
                && frame.get(54) == Some(&136)
                && frame.get(62..78) == Some(&address.octets()[..])
        }
    }
}

/// Six bytes of a MAC.
pub fn mac(text: &str) -> [u8; 6] {
    let bytes = text.split(':').map(|byte| u8::from_str_radix(byte, 16).expect("hexadecimal"));
    bytes.collect::<Vec<_>>().try_into().expect("six bytes")
}

fn frame(to: [u8; 6], from: [u8; 6], ethertype: u16, packet: &[u8]) -> Vec<u8> {
    [&to[..], &from, &ethertype.to_be_bytes(), packet].concat()
}

fn arp(operation: u8, mac: [u8; 6], sender: [u8; 4], target: [u8; 4]) -> Vec<u8> {
    let head = [0, 1, 8, 0, 6, 4, 0, operation];
    [&head[..], &mac, &sender, &[0; 6], &target].concat()
}

/// An advertisement of [`LIAR`], without a checksum.
fn advertisement(target: Ipv6Addr, flags: u8) -> Vec<u8> {
    let head = [136, 0, 0, 0, flags, 0, 0, 0];
    [&head[..], &target.octets(), &[2, 1], &LIAR].concat()
}

/// An IPv6 packet with this ICMPv6 message, whose checksum is off by so much.
fn nd(source: Ipv6Addr, destination: Ipv6Addr, hops: u8, message: &[u8], off: u16) -> Vec<u8> {
    let len = message.len() as u16;
    let pseudo = [&source.octets()[..], &destination.octets(), &len.to_be_bytes(), &[0, 58]];
    let sum = sum(&[pseudo.concat(), message.to_vec()].concat());
    let mut message = message.to_vec();
    message[2..4].copy_from_slice(&(!sum).wrapping_add(off).to_be_bytes());
    let head = [0x60, 0, 0, 0, 0, 0, 58, hops];
    let mut packet = [&head[..], &source.octets(), &destination.octets(), &message].concat();
    packet[4..6].copy_from_slice(&len.to_be_bytes());
    packet
}

/// The one's complement sum (RFC 1071).
fn sum(bytes: &[u8]) -> u16 {
    let mut sum = 0_u32;
    for word in bytes.chunks(2) {
        sum += u32::from(word[0]) << 8 | u32::from(*word.get(1).unwrap_or(&0));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}
