//! Rules and traffic drawn from a seed: what the configuration asks for, and what must come of it.
//!
//! Rule `r` listens to 239.1.r.0/28 or ff05::r:0/124; where its output `k` sends says `r` and `k`
//! again, so that a copy's destination tells whose it is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use fastrand::Rng;

use crate::frames::{Checksum, Frame, extension, group_mac, v4, v6};

/// The ports: two to receive from, two to send to.
pub const PORTS: [&str; 4] = ["in", "in2", "a", "b"];
/// The longest IP packet of each.
pub const MTU: [usize; 4] = [9_000, 9_000, 9_000, 1_500];

/// The MAC that the pcap driver gives its devices, counted from 0.
pub fn port_mac(port: usize) -> [u8; 6] {
    [0x02, b'p', b'c', b'a', b'p', port as u8]
}

/// Where a copy goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// As received.
    Keep,
    /// A prefix that keeps the host bits.
    Prefix,
    /// One group.
    Group,
    /// One host, by a MAC.
    Host([u8; 6]),
}

/// What an output asks for; `None` keeps, or takes the default.
#[derive(Clone, Debug)]
pub struct Output {
    /// Slot of its port.
    pub port: usize,
    /// Where to.
    pub to: To,
    /// `Some(0)` is none.
    pub vlan: Option<u16>,
    /// Source address.
    pub source: Option<IpAddr>,
    /// Whether `source` is written as `port`.
    pub source_is_port: bool,
    /// `Some(0)` is the destination's.
    pub source_port: Option<u16>,
    /// A number, or a shift.
    pub udp_port: Result<Option<u16>, i32>,
    /// `Some(0)` is `decrement`.
    pub ttl: Option<u8>,
    /// Code point.
    pub dscp: Option<u8>,
    /// One in so many.
    pub sample: usize,
}

/// A rule and what arrives for it.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its number.
    pub r: u8,
    /// The IP version.
    pub is_v6: bool,
    /// Slot of the port it listens to.
    pub port: usize,
    /// Its outputs.
    pub outputs: Vec<Output>,
    /// What arrives, in order.
    pub frames: Vec<Frame>,
}

/// What must come of one output.
#[derive(Default)]
pub struct Expected {
    /// The frames that it sends, in order.
    pub sent: Vec<Vec<u8>>,
    /// Copies.
    pub copies: u64,
    /// Packets left out by sampling.
    pub not_selected: u64,
    /// Copies whose TTL has run out.
    pub ttl: u64,
    /// Copies longer than their port's MTU.
    pub mtu: u64,
}

/// The address of a port.
fn port_address(port: usize, is_v6: bool) -> IpAddr {
    match is_v6 {
        false => Ipv4Addr::new(10, 0, port as u8, 1).into(),
        true => Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, port as u16, 1).into(),
    }
}

/// `k` as addresses say it: 0 is the input, 1 + k an output.
fn address(is_v6: bool, host: bool, k: usize, r: u8, low: u8) -> IpAddr {
    match (is_v6, host) {
        (false, false) => Ipv4Addr::new(239, 1 + k as u8, r, low).into(),
        (false, true) => Ipv4Addr::new(10, 1 + k as u8, r, low).into(),
        (true, _) => {
            let first = if host { 0xfd01 } else { 0xff05 };
            Ipv6Addr::new(first, 0, 0, 0, 0, k as u16, r.into(), low.into()).into()
        }
    }
}

/// Rule and output that a copy's destination tells; output `None` where it was kept.
pub fn whose(destination: IpAddr) -> (u8, Option<usize>) {
    let (r, k) = match destination {
        IpAddr::V4(to) => (to.octets()[2], usize::from(to.octets()[1] - 1)),
        IpAddr::V6(to) => (to.segments()[6] as u8, usize::from(to.segments()[5])),
    };
    (r, k.checked_sub(1))
}

impl Output {
    fn any(rng: &mut Rng, rule: (u8, bool), k: usize) -> Self {
        let (r, is_v6) = rule;
        let port = rng.usize(2..4);
        let source_is_port = rng.u8(0..3) == 0;
        let source = match (source_is_port, rng.bool(), is_v6) {
            (true, ..) => Some(port_address(port, is_v6)),
            (_, true, _) => None,
            (_, _, false) => Some(Ipv4Addr::new(10, 77, 0, r).into()),
            (_, _, true) => Some(Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, r.into()).into()),
        };
        Self {
            port,
            to: match rng.u8(0..4) {
                // One output of a rule at most, so that a destination tells its output.
                0 if k == 0 => To::Keep,
                0 | 1 => To::Prefix,
                2 => To::Group,
                _ => To::Host([0x02, 0x5e, 0, 0, k as u8, r]),
            },
            vlan: [None, Some(0), Some(1), Some(rng.u16(2..4_094)), Some(4_094)][rng.usize(0..5)],
            source,
            source_is_port,
            source_port: [None, Some(0), Some(rng.u16(1..))][rng.usize(0..3)],
            udp_port: match rng.u8(0..4) {
                0 | 1 => Ok(None),
                2 => Ok(Some(rng.u16(1..))),
                _ => Err([1_000, -1_000, 60_532, -4_999][rng.usize(0..4)]),
            },
            ttl: [None, Some(0), Some(rng.u8(1..)), Some(255)][rng.usize(0..4)],
            dscp: [None, Some(0), Some(63), Some(rng.u8(0..64))][rng.usize(0..4)],
            sample: [1, 1, 1, 1, 2, 7][rng.usize(0..6)],
        }
    }

    fn toml(&self, rule: &Rule, k: usize) -> String {
        let mut keys = vec![format!("port = \"{}\"", PORTS[self.port])];
        let address = |host, low| address(rule.is_v6, host, k + 1, rule.r, low);
        match self.to {
            To::Keep => {}
            To::Prefix => {
                let len = if rule.is_v6 { 124 } else { 28 };
                keys.push(format!("destination = \"{}/{len}\"", address(false, 0)));
            }
            To::Group => keys.push(format!("destination = \"{}\"", address(false, 200))),
            To::Host(mac) => {
                let mac = mac.map(|octet| format!("{octet:02x}")).join(":");
                keys.push(format!("destination = \"{}\", mac = \"{mac}\"", address(true, 7)));
            }
        }
        let word = |number: u16, zero: &str| match number {
            0 => format!("\"{zero}\""),
            number => number.to_string(),
        };
        keys.extend(self.vlan.map(|id| format!("vlan = {}", word(id, "none"))));
        keys.extend(match (self.source, self.source_is_port) {
            (_, true) => Some("source = \"port\"".to_owned()),
            (source, _) => source.map(|source| format!("source = \"{source}\"")),
        });
        let port = self.source_port.map(|port| word(port, "destination"));
        keys.extend(port.map(|port| format!("source_port = {port}")));
        keys.extend(match self.udp_port {
            Ok(port) => port.map(|port| format!("udp_port = {port}")),
            Err(shift) => Some(format!("udp_port = \"{shift:+}\"")),
        });
        keys.extend(self.ttl.map(|ttl| format!("ttl = {}", word(ttl.into(), "decrement"))));
        keys.extend(self.dscp.map(|dscp| format!("dscp = {dscp}")));
        keys.extend((self.sample > 1).then(|| format!("sample = {}", self.sample)));
        format!("{{ {} }}", keys.join(", "))
    }

    /// Whether it decrements the TTL.
    fn decrements(&self) -> bool {
        match self.ttl {
            None => self.to == To::Keep,
            Some(ttl) => ttl == 0,
        }
    }

    /// The copy of a frame, built from nothing.
    fn copy(&self, frame: &Frame, rule: &Rule, k: usize) -> Frame {
        let address = |host, low| address(rule.is_v6, host, k + 1, rule.r, low);
        let host_bits = match frame.destination {
            IpAddr::V4(to) => to.octets()[3],
            IpAddr::V6(to) => to.octets()[15],
        };
        let destination = match self.to {
            To::Keep => frame.destination,
            To::Prefix => address(false, host_bits),
            To::Group => address(false, 200),
            To::Host(_) => address(true, 7),
        };
        let udp_port = match self.udp_port {
            Ok(port) => port.unwrap_or(frame.udp_port),
            Err(shift) => (i32::from(frame.udp_port) + shift) as u16,
        };
        let priority = frame.tags.first().map_or(0, |(_, tci)| tci & 0xf000);
        Frame {
            mac: Some(match self.to {
                To::Host(mac) => mac,
                _ => group_mac(destination),
            }),
            source_mac: port_mac(self.port),
            tags: match self.vlan {
                None => frame.tags.clone(),
                Some(0) => vec![],
                Some(id) => vec![(0x8100, priority | id)],
            },
            source: self.source.unwrap_or(frame.source),
            destination,
            ttl: match self.ttl {
                _ if self.decrements() => frame.ttl.saturating_sub(1),
                ttl => ttl.unwrap_or(16),
            },
            tos: self.dscp.map_or(frame.tos, |dscp| dscp << 2 | frame.tos & 3),
            fragment: frame.fragment & 0x4000,
            options: vec![],
            extensions: vec![],
            source_port: match self.source_port {
                None => frame.source_port,
                Some(0) => udp_port,
                Some(port) => port,
            },
            udp_port,
            padding: vec![],
            behind_udp: vec![],
            ..frame.clone()
        }
    }
}

impl Rule {
    /// Any rule of this number, and `count` frames for it.
    pub fn any(rng: &mut Rng, r: u8, fan_out: usize, count: usize) -> Self {
        let is_v6 = rng.bool();
        let outputs = (0..fan_out).map(|k| Output::any(rng, (r, is_v6), k)).collect();
        let frames = (0..count).map(|_| any_frame(rng, is_v6, r)).collect();
        Self { r, is_v6, port: rng.usize(0..2), outputs, frames }
    }

    /// The rule as the configuration writes it.
    pub fn toml(&self) -> String {
        let len = if self.is_v6 { 124 } else { 28 };
        let outputs = self.outputs.iter().enumerate();
        let outputs: Vec<String> = outputs.map(|(k, output)| output.toml(self, k)).collect();
        format!(
            "[[rule]]\nname = \"r{}\"\ninput = {{ port = \"{}\", destination = \"{}/{len}\", \
             udp_port = \"5000-5003\", vlan = \"any\" }}\noutput = [\n  {},\n]\n",
            self.r,
            PORTS[self.port],
            address(self.is_v6, false, 0, self.r, 0),
            outputs.join(",\n  ")
        )
    }

    /// What must come of output `k`.
    pub fn expected(&self, k: usize) -> Expected {
        let output = &self.outputs[k];
        let mut expected = Expected::default();
        for (number, frame) in self.frames.iter().enumerate() {
            if number % output.sample != 0 {
                expected.not_selected += 1;
                continue;
            }
            expected.copies += 1;
            let ip_len = if self.is_v6 { 40 } else { 20 } + 8 + frame.payload.len();
            if output.decrements() && frame.ttl == 1 {
                expected.ttl += 1;
            } else if ip_len > MTU[output.port] {
                expected.mtu += 1;
            } else {
                expected.sent.push(output.copy(frame, self, k).bytes());
            }
        }
        expected
    }
}

/// Any good frame for rule `r`.
fn any_frame(rng: &mut Rng, is_v6: bool, r: u8) -> Frame {
    let frame = if is_v6 { v6() } else { v4() };
    let most = 9_000 - if is_v6 { 48 } else { 28 };
    let len = match rng.u8(0..40) {
        0..4 => 0,
        4..24 => rng.usize(1..64),
        24..34 => rng.usize(64..1_500),
        34..38 => rng.usize(1_500..most),
        38 => most,
        // Longer than any port's MTU.
        _ => most + 1,
    };
    let tpid = [0x8100, 0x88a8, 0x9100];
    frame.with(|f| {
        f.destination = address(is_v6, false, 0, r, rng.u8(0..16));
        f.mac = rng.bool().then(|| port_mac(0));
        f.tags = (0..rng.usize(0..3)).map(|_| (tpid[rng.usize(0..3)], rng.u16(..))).collect();
        f.source = match is_v6 {
            false => Ipv4Addr::new(10, 9, rng.u8(..), rng.u8(1..)).into(),
            true => Ipv6Addr::from_bits(0xfd09 << 112 | u128::from(rng.u64(1..))).into(),
        };
        f.ttl = [1, 2, 64, rng.u8(1..)][rng.usize(0..4)];
        (f.tos, f.id) = (rng.u8(..), rng.u16(..));
        f.flow_label = rng.u32(0..1 << 20);
        f.fragment = [0, 0x4000][rng.usize(0..2)];
        (f.source_port, f.udp_port) = (rng.u16(..), rng.u16(5_000..5_004));
        f.payload = (0..len).map(|_| rng.u8(..)).collect();
        if is_v6 {
            f.extensions = vec![extension(60); rng.usize(0..3)];
        } else {
            f.options = vec![1; 4 * [0, 0, 1, 10][rng.usize(0..4)]];
            f.checksum = [Checksum::Right, Checksum::Zero][rng.usize(0..2)];
        }
        if rng.bool() {
            f.padding = vec![0xee; 18_usize.saturating_sub(len)];
        }
        if rng.u8(0..8) == 0 {
            f.behind_udp = vec![0xdd; rng.usize(1..9)];
        }
    })
}
