//! Who says that copies do not arrive: ICMP destination unreachable (RFC 792, RFC 4443), by output.
//!
//! Such a message has no proof but the datagram that it quotes. It counts where that is one that an
//! output here sends, from one of our addresses, and it came where that output sends; nothing else
//! follows from it, so that a forged one costs a count.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use foldhash::{HashMap, HashMapExt};
use ipnet::IpNet;

use crate::config::{Config, Output, PortRange, Rule, UdpPortRewrite};
use crate::manage::slow_path::Outcome;
use crate::plan::Plan;

/// A datagram of ours, as a message quotes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quoted {
    source: IpAddr,
    destination: IpAddr,
    udp_port: u16,
}

impl Quoted {
    /// Reads what follows the ICMP header; none where it is no datagram's beginning.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (source, destination, udp): (IpAddr, IpAddr, _) = match bytes.first()? >> 4 {
            4 => {
                let head: &[u8; 20] = bytes.first_chunk()?;
                let len = usize::from(head[0] & 0xf) * 4;
                let first = u16::from_be_bytes([head[6], head[7]]) & 0x1fff == 0;
                let udp =
                    bytes.get(len.max(20)..).filter(|_| head[9] == 17 && first && len >= 20)?;
                let address = |at: usize| -> Option<Ipv4Addr> {
                    Some(Ipv4Addr::from(*head.get(at..)?.first_chunk::<4>()?))
                };
                (address(12)?.into(), address(16)?.into(), udp)
            }
            6 => {
                let head: &[u8; 40] = bytes.first_chunk()?;
                let udp = bytes.get(40..).filter(|_| head[6] == 17)?;
                let address = |at: usize| -> Option<Ipv6Addr> {
                    Some(Ipv6Addr::from(*head.get(at..)?.first_chunk::<16>()?))
                };
                (address(8)?.into(), address(24)?.into(), udp)
            }
            _ => return None,
        };
        let &[_, _, high, low, ..] = udp.first_chunk::<8>()?;
        Some(Self { source, destination, udp_port: u16::from_be_bytes([high, low]) })
    }
}

/// What an output sends, as far as a message can quote it.
#[derive(Clone, Debug)]
struct Sends {
    slot: usize,
    port: usize,
    source: IpAddr,
    to: IpNet,
    udp_ports: Option<PortRange>,
}

/// What was told of each output.
#[derive(Clone, Debug, Default)]
pub struct Unreachable {
    /// Outputs that send to one host each.
    hosts: HashMap<IpAddr, Vec<Sends>>,
    /// Those that send to several.
    nets: Vec<Sends>,
    /// By output slot: messages.
    counts: Vec<u64>,
    /// Messages since the start, of outputs that are gone too.
    total: u64,
}

impl Unreachable {
    /// Goes by these outputs from now on; a slot that another has now begins at zero.
    pub fn follow(&mut self, config: &Config, plan: &Plan) {
        self.counts.resize(plan.outputs.len(), 0);
        plan.cleared.outputs.iter().for_each(|&slot| self.counts[slot as usize] = 0);
        (self.hosts, self.nets) = (HashMap::new(), Vec::new());
        for (rule, &slot) in config.rules.iter().zip(&plan.rule_slots) {
            for (output, &slot) in rule.outputs.iter().zip(plan.outputs_of(slot)) {
                // What keeps its sender's address is told to the sender.
                let Some(source) = output.source else { continue };
                let udp_ports = udp_ports(rule, output);
                let nets = match &output.destination {
                    Some(to) => std::slice::from_ref(to),
                    None => &rule.input.destination[..],
                };
                // Nobody speaks of what went to a group (RFC 1122, section 3.2.2; RFC 4443, 2.4).
                for &to in nets.iter().filter(|to| !to.addr().is_multicast()) {
                    let (slot, port) = (slot as usize, output.port);
                    let sends = Sends { slot, port, source, to, udp_ports };
                    match to.prefix_len() == to.max_prefix_len() {
                        true => self.hosts.entry(to.addr()).or_default().push(sends),
                        false => self.nets.push(sends),
                    }
                }
            }
        }
    }

    /// Hears at a port that a datagram did not arrive.
    pub fn hears(&mut self, port: usize, quoted: &Quoted) -> Outcome {
        let Quoted { source, destination, udp_port } = *quoted;
        let is_it = |sends: &&Sends| {
            sends.port == port
                && sends.source == source
                && sends.to.contains(&destination)
                && sends
                    .udp_ports
                    .is_none_or(|ports| (ports.first..=ports.last).contains(&udp_port))
        };
        let exact = self.hosts.get(&destination).into_iter().flatten();
        match exact.chain(&self.nets).find(is_it).map(|sends| sends.slot) {
            Some(slot) => {
                self.counts[slot] += 1;
                self.total += 1;
                Outcome::Done
            }
            None => Outcome::Ignored,
        }
    }

    /// Messages since the start.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// By output slot: messages since the output is there.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }
}

/// The UDP ports that an output's copies go to; none for any.
fn udp_ports(rule: &Rule, output: &Output) -> Option<PortRange> {
    match output.udp_port {
        UdpPortRewrite::Keep => rule.input.udp_port,
        UdpPortRewrite::Fixed(port) => Some(PortRange { first: port, last: port }),
        UdpPortRewrite::Shift(by) => rule.input.udp_port.map(|PortRange { first, last }| {
            let moved = |port: u16| (i64::from(port) + i64::from(by)) as u16;
            PortRange { first: moved(first), last: moved(last) }
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::PortFacts;
    use crate::wire::MacAddr;

    fn unreachable() -> Unreachable {
        let text = r#"
            schema = 1
            [[port]]
            name = "in"
            device = "net_null0"
            [[port]]
            name = "out"
            device = "net_null1"
            address = ["10.0.0.1/24", "fd00::1/64"]
            [[rule]]
            name = "feed"
            input = { port = "in", destination = "239.1.1.0/30", udp_port = "5000-5007" }
            output = [
              { port = "out", destination = "10.0.0.9", source = "port", udp_port = "+1000" },
              { port = "out", destination = "10.0.0.16/30", source = "port", udp_port = 7000 },
              { port = "out", destination = "10.0.0.77" },
            ]
        "#;
        let path = std::path::Path::new("unreachable.toml");
        let loaded = crate::config::load_bytes(path, text.into(), &|_| None).unwrap();
        let facts = [PortFacts { mac: MacAddr::default(), mtu: 1_500, sends_chains: true }; 2];
        let plan = Plan::build(&loaded.config, &facts, 1_000_000_000, 1).unwrap();
        let mut unreachable = Unreachable::default();
        unreachable.follow(&loaded.config, &plan);
        unreachable
    }

    fn quoted(source: &str, destination: &str, udp_port: u16) -> Quoted {
        let address = |text: &str| text.parse().unwrap();
        Quoted { source: address(source), destination: address(destination), udp_port }
    }

    #[test]
    fn what_an_output_sends_is_counted_for_it_and_nothing_else_is() {
        let mut all = unreachable();
        let ours = "10.0.0.1";
        assert_eq!(all.hears(1, &quoted(ours, "10.0.0.9", 6_003)), Outcome::Done);
        assert_eq!(all.hears(1, &quoted(ours, "10.0.0.18", 7_000)), Outcome::Done);
        let not_ours = [
            (0, quoted(ours, "10.0.0.9", 6_003)),
            (1, quoted("10.0.0.2", "10.0.0.9", 6_003)),
            (1, quoted(ours, "10.0.0.10", 6_003)),
            (1, quoted(ours, "10.0.0.9", 6_008)),
            (1, quoted(ours, "10.0.0.9", 5_003)),
            (1, quoted(ours, "10.0.0.20", 7_000)),
            (1, quoted("10.9.1.1", "10.0.0.77", 5_003)),
        ];
        for (port, quoted) in not_ours {
            assert_eq!(all.hears(port, &quoted), Outcome::Ignored, "{quoted:?}");
        }
        assert_eq!(all.counts(), [1, 1, 0]);
    }

    #[test]
    fn a_quoted_datagram_is_read_as_far_as_it_goes() {
        let mut v4 = vec![0x45, 0, 0, 40, 0, 0, 0x40, 0, 16, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 9];
        v4.extend([0x0f, 0xa0, 0x13, 0x89, 0, 20, 0, 0]);
        assert_eq!(Quoted::read(&v4), Some(quoted("10.0.0.1", "10.0.0.9", 5_001)));
        (0..v4.len()).for_each(|len| assert_eq!(Quoted::read(&v4[..len]), None));
        // Options, another protocol, a later fragment, a header that is too short.
        for (at, byte, reads) in [(0, 0x46, false), (9, 6, false), (7, 1, false), (0, 0x44, false)]
        {
            let mut other = v4.clone();
            other[at] = byte;
            assert_eq!(Quoted::read(&other).is_some(), reads, "{at}: {byte}");
        }
        let mut v6 = vec![0x60, 0, 0, 0, 0, 20, 17, 16];
        v6.extend("fd00::1".parse::<Ipv6Addr>().unwrap().octets());
        v6.extend("fd00::9".parse::<Ipv6Addr>().unwrap().octets());
        v6.extend([0x0f, 0xa0, 0x13, 0x89, 0, 20, 0, 0]);
        assert_eq!(Quoted::read(&v6), Some(quoted("fd00::1", "fd00::9", 5_001)));
        (0..v6.len()).for_each(|len| assert_eq!(Quoted::read(&v6[..len]), None));
    }
}
