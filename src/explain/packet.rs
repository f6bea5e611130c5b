//! The packet that is asked about, as a text and as a frame.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use etherparse::{EtherType, PacketBuilder};

use crate::wire::MacAddr;

/// The form of the text.
pub const FORM: &str = "PORT [vlan=1..4094] [ttl=0..255] [size=0..9930] SOURCE:PORT > DESTINATION:PORT, as in \
     'in vlan=200 10.9.1.1:4000 > 239.1.1.1:5001' or 'in [fd00::9]:4000 > [ff15::514]:514'";
/// The sender's Ethernet address: nobody's.
const SENDER: MacAddr = MacAddr([0x02, 0, 0, 0, 0x99, 0x01]);
/// Where unicast is sent to: it stands for the address of the port.
const TO_US: MacAddr = MacAddr([0x02, 0, 0, 0, 0x99, 0x02]);
/// TTL or hop limit where the text has none.
const TTL: u8 = 64;
/// Bytes of UDP payload where the text has none.
const SIZE: u16 = 64;
/// Most bytes of UDP payload: what the longest IP packet of a port holds, in IPv6.
const SIZE_MAX: u16 = 9_930;

/// A packet, as the text says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketText {
    /// The name of the port that receives it.
    pub port: String,
    /// Its VLAN id, where it is tagged.
    pub vlan: Option<u16>,
    /// Where it comes from.
    pub source: SocketAddr,
    /// Where it goes to; of the same IP version.
    pub destination: SocketAddr,
    /// TTL or hop limit; 64 by default.
    pub ttl: u8,
    /// Bytes of UDP payload; 64 by default.
    pub size: u16,
}

/// A text that is no packet: what was found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found}; write {FORM}")]
pub struct PacketTextError {
    found: String,
}

impl PacketTextError {
    fn new(found: impl Into<String>) -> Self {
        Self { found: found.into() }
    }
}

impl FromStr for PacketText {
    type Err = PacketTextError;

    fn from_str(text: &str) -> Result<Self, PacketTextError> {
        let spaced = text.replace('>', " > ");
        let mut words = spaced.split_whitespace();
        let port = match words.next() {
            Some(word) if word != ">" && address(word).is_err() => word.to_owned(),
            _ => return Err(PacketTextError::new("the packet begins with no port name")),
        };
        let (mut vlan, mut ttl, mut size) = (None, None, None);
        let mut ends = Vec::new();
        let mut arrows = 0;
        for word in words {
            match word.split_once('=') {
                _ if word == ">" && ends.len() == 1 => arrows += 1,
                Some(("vlan", value)) => number(&mut vlan, "vlan", value, 1..=4_094)?,
                Some(("ttl", value)) => number(&mut ttl, "ttl", value, 0..=255)?,
                Some(("size", value)) => number(&mut size, "size", value, 0..=SIZE_MAX)?,
                Some((key, _)) => {
                    let found = format!("there is no `{}`", short(key));
                    return Err(PacketTextError::new(found));
                }
                None => ends.push(address(word)?),
            }
        }
        let ([source, destination], 1) = (&ends[..], arrows) else {
            return Err(PacketTextError::new("the packet has not one source > destination"));
        };
        if source.is_ipv4() != destination.is_ipv4() {
            let found = "source and destination are not of one IP version";
            return Err(PacketTextError::new(found));
        }
        Ok(Self {
            port,
            vlan,
            source: *source,
            destination: *destination,
            ttl: ttl.map_or(TTL, |ttl| ttl as u8),
            size: size.unwrap_or(SIZE),
        })
    }
}

/// A word of the caller's, bounded and printable.
pub(super) fn short(word: &str) -> String {
    word.chars().take(40).flat_map(char::escape_debug).collect()
}

fn address(word: &str) -> Result<SocketAddr, PacketTextError> {
    word.parse()
        .map_err(|_| PacketTextError::new(format!("`{}` is no address and UDP port", short(word))))
}

/// Reads a number within bounds, once.
fn number(
    into: &mut Option<u16>,
    key: &str,
    value: &str,
    allowed: std::ops::RangeInclusive<u16>,
) -> Result<(), PacketTextError> {
    let parsed = value.parse().ok().filter(|value| allowed.contains(value));
    let Some(parsed) = parsed else {
        let found = format!("`{key}={}` is not within {allowed:?}", short(value));
        return Err(PacketTextError::new(found.replace("..=", " to ")));
    };
    match into.replace(parsed) {
        None => Ok(()),
        Some(_) => Err(PacketTextError::new(format!("`{key}` is there twice"))),
    }
}

impl fmt::Display for PacketText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { port, vlan, source, destination, ttl, size } = self;
        write!(f, "{port} ")?;
        if let Some(vlan) = vlan {
            write!(f, "vlan={vlan} ")?;
        }
        write!(f, "ttl={ttl} size={size} {source} > {destination}")
    }
}

impl PacketText {
    /// The frame, as the port would receive it.
    pub fn frame(&self) -> Vec<u8> {
        let to = match self.destination.ip() {
            IpAddr::V4(ip) if ip.is_multicast() => MacAddr::from_group_v4(ip),
            IpAddr::V6(ip) if ip.is_multicast() => MacAddr::from_group_v6(ip),
            _ => TO_US,
        };
        let (ip, ether_type) = self.ip_and_udp();
        let mut frame = Vec::with_capacity(18 + ip.len());
        frame.extend_from_slice(&to.0);
        frame.extend_from_slice(&SENDER.0);
        if let Some(vlan) = self.vlan {
            frame.extend_from_slice(&EtherType::VLAN_TAGGED_FRAME.0.to_be_bytes());
            frame.extend_from_slice(&vlan.to_be_bytes());
        }
        frame.extend_from_slice(&ether_type.0.to_be_bytes());
        frame.extend_from_slice(&ip);
        frame
    }

    /// The IP packet, and what Ethernet calls it.
    fn ip_and_udp(&self) -> (Vec<u8>, EtherType) {
        let payload = vec![0; self.size.into()];
        let (builder, ether_type) = match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                (PacketBuilder::ipv4(from.octets(), to.octets(), self.ttl), EtherType::IPV4)
            }
            (from, to) => {
                let octets = |ip: IpAddr| match ip {
                    IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
                    IpAddr::V6(ip) => ip.octets(),
                };
                (PacketBuilder::ipv6(octets(from), octets(to), self.ttl), EtherType::IPV6)
            }
        };
        let builder = builder.udp(self.source.port(), self.destination.port());
        let mut bytes = Vec::with_capacity(builder.size(payload.len()));
        builder
            .write(&mut bytes, &payload)
            .unwrap_or_else(|error| unreachable!("a datagram of {} bytes: {error}", self.size));
        (bytes, ether_type)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> String {
        text.parse::<PacketText>().expect_err(text).to_string()
    }

    #[test]
    fn a_text_is_read_and_shown() {
        let whole = "in vlan=200 ttl=3 size=0 10.9.1.1:4000 > 239.1.1.1:5001";
        let packet: PacketText = whole.parse().unwrap();
        assert_eq!((packet.vlan, packet.ttl, packet.size), (Some(200), 3, 0));
        assert_eq!(packet.to_string(), whole);
        let least: PacketText = "in [fd00::9]:1>[ff15::514]:514 ttl=9".parse().unwrap();
        assert_eq!((least.vlan, least.ttl, least.size), (None, 9, 64));
        assert!(least.destination.is_ipv6());
    }

    #[test]
    fn what_is_no_packet_is_told_with_what_is() {
        for (text, found) in [
            ("", "begins with no port name"),
            ("10.0.0.1:1 > 10.0.0.2:2", "begins with no port name"),
            ("in", "not one source > destination"),
            ("in 10.0.0.1:1 10.0.0.2:2", "not one source > destination"),
            ("in > 10.0.0.1:1 10.0.0.2:2", "`>` is no address"),
            ("in 10.0.0.1:1 > 10.0.0.2:2 > 10.0.0.3:3", "`>` is no address"),
            ("in 10.0.0.1 > 10.0.0.2:2", "`10.0.0.1` is no address and UDP port"),
            ("in 10.0.0.1:1 > [ff15::1]:2", "not of one IP version"),
            ("in vlan=0 10.0.0.1:1 > 10.0.0.2:2", "`vlan=0` is not within 1 to 4094"),
            ("in ttl=256 10.0.0.1:1 > 10.0.0.2:2", "`ttl=256` is not within 0 to 255"),
            ("in size=9931 10.0.0.1:1 > 10.0.0.2:2", "`size=9931` is not within 0 to 9930"),
            ("in ttl=1 ttl=2 10.0.0.1:1 > 10.0.0.2:2", "`ttl` is there twice"),
            ("in dscp=4 10.0.0.1:1 > 10.0.0.2:2", "there is no `dscp`"),
        ] {
            let message = wrong(text);
            assert!(message.contains(found) && message.contains("; write PORT"), "{message}");
        }
        assert!(wrong(&format!("in {}=1", "\u{1b}".repeat(9_999))).len() < 600);
    }
}
