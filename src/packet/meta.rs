//! What the stages know of a packet: 64 bytes that travel with it.

use super::Ticks;
use crate::sched::Link;

/// Bytes a frame costs on the wire besides those in memory: preamble 8, FCS 4, gap 12. The one
/// constant that policer, schedulers and reports share.
pub const FRAME_OVERHEAD: u32 = 24;

/// A packet's metadata; on DPDK it lies in the mbuf's private area.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
pub struct Meta {
    /// The packet behind this one, in the queue that holds both.
    pub link: Option<Link>,
    /// When the packet was received.
    pub arrival: Ticks,
    /// When it must have been sent.
    pub deadline: Ticks,
    /// Slot of the ingress flow it counts for.
    pub flow: u32,
    /// Slot of the rule it matched.
    pub rule: u32,
    /// Slot of the output this copy is for; meaningful behind fan-out only.
    pub output: u32,
    /// Frame bytes plus [`FRAME_OVERHEAD`]: what policer and schedulers count.
    pub bytes: u32,
    /// Copies it will become, as the EDF window counted them.
    pub copies: u32,
    /// Where the headers are.
    pub headers: Headers,
    /// What it is classified by where `headers` are [`Headers::PLAIN`]; else 0.
    pub key: NarrowKey,
}

const _: () = assert!(size_of::<Meta>() == 64, "the private area is one cache line");

/// Destination, VLAN and UDP port of an IPv4 packet: eight bytes as they lie in memory, the numbers
/// with their high bytes first. It is never 0, for no packet goes to 0.0.0.0.
pub type NarrowKey = u64;

/// Where the headers of a parsed frame are, and what was read on the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Headers {
    /// Offset of the IP header.
    pub ip: u8,
    /// 4 or 6; 0 before parse.
    pub version: u8,
    /// Offset of the UDP header; the payload starts 8 bytes behind it.
    pub udp: u16,
    /// VLAN id of the outermost tag; 0 for untagged and priority-tagged frames.
    pub vlan: u16,
    /// Slot of the port that received it.
    pub port: u8,
    /// How much of a datagram it is.
    pub part: Part,
}

/// How much of a datagram an IP packet is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Part {
    /// All of it.
    #[default]
    Whole,
    /// A fragment with the UDP header.
    First,
    /// A fragment behind the first: it has no UDP header, and [`Headers::udp`] is 8 bytes in front
    /// of its payload.
    Later,
}

impl Headers {
    /// Those of nearly all frames: IPv4 without tags and options.
    pub const PLAIN: Self =
        Self { ip: 14, version: 4, udp: 34, vlan: 0, port: 0, part: Part::Whole };

    /// Offset of the UDP payload: the bytes in front of it are headers.
    pub fn payload(&self) -> usize {
        usize::from(self.udp) + 8
    }
}
