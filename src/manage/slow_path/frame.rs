//! A punted frame taken apart, and the Ethernet in front of what we send.

use etherparse::{LinkSlice, SlicedPacket};

use crate::wire::MacAddr;

/// Bytes of the shortest frame, without FCS: what is shorter is padded.
const SHORTEST: usize = 60;

/// A frame that parse left to the slow path.
#[derive(Debug)]
pub struct Punted<'a> {
    /// Slot of the port that it came from.
    pub port: usize,
    /// Who sent it, to whom, and its VLAN tags.
    pub link: Link,
    /// What is behind Ethernet.
    pub headers: SlicedPacket<'a>,
}

impl<'a> Punted<'a> {
    /// Takes a frame apart; none where its lengths cannot be.
    pub fn read(port: u8, bytes: &'a [u8]) -> Option<Self> {
        let headers = SlicedPacket::from_ethernet(bytes).ok()?;
        let Some(LinkSlice::Ethernet2(ethernet)) = &headers.link else {
            return None;
        };
        let tags =
            headers.link_exts.iter().map(etherparse::LinkExtSlice::header_len).sum::<usize>();
        let link = Link {
            source: MacAddr(ethernet.source()),
            destination: MacAddr(ethernet.destination()),
            tags: bytes.get(12..12 + tags)?.to_vec(),
        };
        Some(Self { port: port.into(), link, headers })
    }
}

/// Ethernet addresses and VLAN tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Whose frame it is.
    pub source: MacAddr,
    /// Whom it is for.
    pub destination: MacAddr,
    /// The tags: TPID and TCI each, as they lie in the frame.
    pub tags: Vec<u8>,
}

impl Link {
    /// A link from `source` to `destination` in a VLAN; 0 is untagged.
    pub fn in_vlan(source: MacAddr, destination: MacAddr, vlan: u16) -> Self {
        let [high, low] = vlan.to_be_bytes();
        let tags = if vlan == 0 { vec![] } else { vec![0x81, 0x00, high, low] };
        Self { source, destination, tags }
    }

    /// The VLAN id, 0 for none; none where there are two tags.
    pub fn vlan(&self) -> Option<u16> {
        match self.tags[..] {
            [] => Some(0),
            [_, _, high, low] => Some(u16::from_be_bytes([high, low]) & 0x0fff),
            _ => None,
        }
    }

    /// The way back, from `source`.
    pub fn reply(&self, source: MacAddr) -> Self {
        Self { source, destination: self.source, tags: self.tags.clone() }
    }

    /// A whole frame of this `packet`.
    pub fn frame(&self, ethertype: etherparse::EtherType, packet: &[u8]) -> Vec<u8> {
        let mut frame = Vec::with_capacity(SHORTEST.max(14 + self.tags.len() + packet.len()));
        frame.extend_from_slice(&self.destination.0);
        frame.extend_from_slice(&self.source.0);
        frame.extend_from_slice(&self.tags);
        frame.extend_from_slice(&ethertype.0.to_be_bytes());
        frame.extend_from_slice(packet);
        if frame.len() < SHORTEST {
            frame.resize(SHORTEST, 0);
        }
        frame
    }
}
