//! Why not: what becomes of one packet, stage by stage, without running anything.
//!
//! The frame is built from a text, and goes through the stages themselves: parse, classify and
//! fan-out of an instance at rest, on a packet of ordinary memory. So what is told is what the
//! worker would do, not what somebody wrote down about it. What depends on other packets (rates,
//! queues, deadlines, breakers) is told as the limits that hold.
//!
//! ```text
//! packet   the text, and its frame
//! walk     the way through the stages
//! text     the explanation for people
//! ```

mod packet;
mod walk;
mod text;

pub use packet::{FORM, PacketText, PacketTextError};
pub use text::render;
pub use walk::ExplainError;

use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

use crate::config::Config;
use crate::manage::nearest::{Field, Nearest};

/// The version of the JSON.
pub const SCHEMA: u32 = 1;

/// What becomes of a packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The packet, with every default.
    pub packet: String,
    /// `copied`, `not_copied` (a rule takes it, and no output gets a copy), `dropped` or `punted`.
    pub verdict: &'static str,
    /// The stage where it ends, where it does.
    pub ends_at: Option<&'static str>,
    /// The drop reason, where there is one.
    pub reason: Option<&'static str>,
    /// What parse found, or null where it ends there.
    pub parsed: Option<Parsed>,
    /// The rule that takes it.
    pub rule: Option<RuleVerdict>,
    /// The rule that it just misses, where none takes it.
    pub nearest: Option<Nearest>,
    /// Each output of the rule, in file order.
    pub outputs: Vec<OutputVerdict>,
}

/// What parse found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Parsed {
    /// 4 or 6.
    pub ip_version: u8,
    /// VLAN id of the outermost tag; 0 for none.
    pub vlan: u16,
    /// TTL or hop limit.
    pub ttl: u8,
    /// Bytes of the frame, without FCS.
    pub frame_bytes: u64,
}

/// The rule that takes a packet, and what holds for it there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleVerdict {
    /// Its name.
    pub name: String,
    /// Why it matches: each field and what the rule takes.
    pub because: Vec<Field>,
    /// Other rules that would take the packet and are less specific, or equal and later.
    pub also: Vec<String>,
    /// What it shares its flow with: `rule`, `row` or `source`.
    pub flow: &'static str,
    /// Its flow's rate, in bits a second; null where it is not policed.
    pub police_rate: Option<u64>,
    /// What its flow may send at once, in bytes.
    pub police_burst: Option<u64>,
    /// Its class.
    pub class: &'static str,
    /// From arrival to deadline, in nanoseconds.
    pub budget_ns: u64,
    /// What happens behind the deadline: `send` or `drop`.
    pub late: &'static str,
}

/// What one output does with the packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OutputVerdict {
    /// Its name.
    pub name: String,
    /// Its port.
    pub port: String,
    /// Its receiver; null where it has none.
    pub receiver: Option<String>,
    /// One packet in so many is copied; 1 is all.
    pub sample: u32,
    /// Why there is no copy: a drop reason, or `not_selected` where another balanced output has it;
    /// null where there is one.
    pub reason: Option<&'static str>,
    /// What is in the way, in words.
    pub why: Option<String>,
    /// Who on the link takes the copy, where it is asked for its MAC at run time; else null.
    pub next_hop: Option<IpAddr>,
    /// The headers of the copy.
    pub copy: Option<CopyHeaders>,
}

/// The headers of a copy, read from its frame. The source MAC is that of the port's device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CopyHeaders {
    /// Source address and UDP port.
    pub source: SocketAddr,
    /// Destination address and UDP port.
    pub destination: SocketAddr,
    /// VLAN ids, the outermost first.
    pub vlan: Vec<u16>,
    /// TTL or hop limit.
    pub ttl: u8,
    /// The code point, 0 to 63.
    pub dscp: u8,
    /// The destination MAC; made up where `next_hop` is asked for it.
    pub mac: String,
    /// Bytes of the frame, without FCS.
    pub frame_bytes: u64,
}

/// Explains what an instance of `config` at rest does with `packet`.
///
/// # Errors
/// Where there is no such port, or the configuration cannot be planned.
pub fn explain(config: &Config, packet: &PacketText) -> Result<Explanation, ExplainError> {
    walk::walk(config, packet)
}
