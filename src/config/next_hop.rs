//! Next hops: whom on the link the copies of a unicast output go to, where the output has no `mac`.
//!
//! A destination within one of the port's `address` prefixes is on the link: it is asked for its MAC
//! itself. Else the longest `route` that holds it says who is, and else the port's `gateway`.

use std::net::IpAddr;

use foldhash::{HashSet, HashSetExt};
use ipnet::IpNet;

use super::canonical::show_net;
use super::expand::{address_count, addresses};
use super::keys;
use super::read_input::parse_net;
use super::read_output::is_host;
use super::read_rule::ReadRule;
use super::reader::{At, Context, Table};
use super::report::Diagnostic;
use super::types::*;

/// Most entries of `route` or `neighbour` of one port.
const ENTRIES_MAX: usize = 1_024;

/// The VLAN id that an output's copies leave with, where it can be known; 0 is untagged.
pub fn vlan_of(input: &Input, vlan: VlanRewrite) -> Option<u16> {
    match (vlan, input.vlan) {
        (VlanRewrite::Id(id), _) | (VlanRewrite::Keep, VlanMatch::Id(id)) => Some(id),
        (VlanRewrite::None, _) | (VlanRewrite::Keep, VlanMatch::Untagged) => Some(0),
        (VlanRewrite::Keep, VlanMatch::Any) => None,
    }
}

/// The neighbours that an output of a rule with this input needs, in the order of their addresses.
pub fn neighbours(input: &Input, output: &Output) -> impl Iterator<Item = Neighbour> + use<> {
    let (port, vlan) = (output.port, vlan_of(input, output.vlan).unwrap_or(0));
    let hosts = output.next_hop.map(|hop| match hop {
        NextHop::One(address) => IpNet::from(address),
        NextHop::Each(net) => net,
    });
    let hosts = hosts.into_iter().flat_map(|net| addresses(&net));
    hosts.map(move |address| Neighbour { port, vlan, address })
}

impl Port {
    /// The MAC of a neighbour that the configuration names.
    pub fn static_mac(&self, address: IpAddr) -> Option<crate::wire::MacAddr> {
        self.neighbours.iter().find(|entry| entry.address == address).map(|entry| entry.mac)
    }

    /// Whether an address is that of no host: our own, or the network's or broadcast address of a
    /// network that we are in.
    pub fn is_no_neighbour(&self, address: IpAddr) -> bool {
        self.address.iter().any(|own| {
            let has_broadcast = own.addr().is_ipv4() && own.prefix_len() < 31;
            let is_all = address == own.broadcast() || address == own.network();
            own.addr() == address || has_broadcast && is_all
        })
    }

    /// Whether all of a prefix is on the port's link: within the prefix of one of its addresses, or
    /// link-local where it has an address of IPv6.
    fn has_on_link(&self, net: &IpNet) -> bool {
        let is_local = matches!(net, IpNet::V6(net) if net.addr().is_unicast_link_local());
        let mut own = self.address.iter();
        own.any(|own| own.contains(net) || is_local && own.addr().is_ipv6())
    }

    /// Who takes packets for a prefix on the link.
    ///
    /// # Errors
    /// In words: why nobody does, and what to add.
    pub(super) fn next_hop(&self, net: &IpNet) -> Result<NextHop, (String, String)> {
        let name = &self.name;
        let is_one = net.prefix_len() == net.max_prefix_len();
        if self.has_on_link(net) {
            let address = net.addr();
            return match is_one {
                true if self.is_no_neighbour(address) && self.static_mac(address).is_none() => {
                    Err((
                        format!("`{address}` is no host on the link of port `{name}`"),
                        "allowed: a neighbour's address; for a broadcast add \
                     `mac = \"ff:ff:ff:ff:ff:ff\"`"
                            .to_owned(),
                    ))
                }
                true => Ok(NextHop::One(address)),
                false => Ok(NextHop::Each(net.trunc())),
            };
        }
        // Part of it takes another way than the rest: no single next hop is right.
        let parts = self.address.iter().map(IpNet::trunc).chain(self.routes.iter().map(|r| r.to));
        let mut parts = parts.filter(|part| net.contains(part) && part != net);
        if let Some(part) = parts.next() {
            return Err((
                format!("`{net}` has several ways from port `{name}`: `{part}` is part of it"),
                "allowed: a prefix that is on the link whole, or behind one next hop; split it, or \
                 add `mac`"
                    .to_owned(),
            ));
        }
        let routes = self.routes.iter().filter(|route| route.to.contains(net));
        let route = routes.max_by_key(|route| route.to.prefix_len()).map(|route| route.via);
        let of_version = |via: &&IpAddr| via.is_ipv4() == net.addr().is_ipv4();
        route.or_else(|| self.gateway.iter().find(of_version).copied()).map(NextHop::One).ok_or_else(
            || {
                let net = show_net(net);
                let own = match self.address.is_empty() {
                    true => "no `address`".to_owned(),
                    false => {
                        let own: Vec<_> = self.address.iter().map(IpNet::to_string).collect();
                        own.join(", ")
                    }
                };
                (
                    format!("nobody is known on the link of port `{name}` for `{net}`"),
                    format!(
                        "the port has {own}: add an `address` whose prefix holds it, a `route` or a \
                         `gateway` to the port, or `mac` to the output"
                    ),
                )
            },
        )
    }
}

/// `gateway`, `route` and `neighbour` of `port`, whose addresses are read.
pub(super) fn read_next_hops(table: &Table<'_>, port: &mut Port) {
    let cx = table.cx;
    for text in table.texts("gateway") {
        let Some(via) = read_via(table, "gateway", text, port) else { continue };
        if port.gateway.iter().any(|other| other.is_ipv4() == via.is_ipv4()) {
            cx.report(
                Diagnostic::error(text.at, "a second `gateway` of one IP version")
                    .label("allowed: one of IPv4 and one of IPv6; for more use `route`"),
            );
        }
        port.gateway.push(via);
    }
    for route in entries(table, "route", &keys::ROUTE) {
        let (to, via) = (route.text("to"), route.text("via"));
        let to = to.and_then(|text| match parse_net(text.value) {
            Ok(net) if !net.addr().is_multicast() => Some(At { value: net, at: text.at }),
            Ok(_) => {
                route.cx.wrong_because(route.key("to"), route.get("to")?, "a group");
                None
            }
            Err(reason) => {
                route.cx.wrong_because(route.key("to"), route.get("to")?, reason);
                None
            }
        });
        let via_at = via.map(|via| via.at);
        let via = via.and_then(|via| read_via(&route, "via", via, port));
        let (Some(to), Some(via)) = (to, via) else { continue };
        if to.value.addr().is_ipv4() != via.is_ipv4() {
            let message = format!("`via` is {via}, of the other IP version than `to`");
            let at = via_at.unwrap_or(route.at);
            cx.report(Diagnostic::error(at, message).label("allowed: one IP version"));
        }
        if port.routes.iter().any(|other| other.to == to.value) {
            let message = format!("a second `route` to {}", show_net(&to.value));
            cx.report(Diagnostic::error(to.at, message).label("allowed: one"));
        }
        port.routes.push(Route { to: to.value, via });
    }
    for entry in entries(table, "neighbour", &keys::NEIGHBOUR) {
        let address = entry.text("address").and_then(|text| {
            let address = text.value.parse::<IpAddr>().ok().filter(is_host);
            if address.is_none() {
                cx.wrong(entry.key("address"), entry.get("address")?);
            }
            Some(At { value: address?, at: text.at })
        });
        let mac = entry.text("mac").and(super::read_output::read_mac(&entry));
        let (Some(address), Some(mac)) = (address, mac) else { continue };
        if port.neighbours.iter().any(|other| other.address == address.value) {
            let message = format!("a second `neighbour` {}", address.value);
            cx.report(Diagnostic::error(address.at, message).label("allowed: one"));
        }
        port.neighbours.push(StaticNeighbour { address: address.value, mac: mac.value });
    }
}

fn entries<'a>(table: &Table<'a>, name: &str, section: &'static keys::Section) -> Vec<Table<'a>> {
    let mut all = table.tables(name, section);
    if let (true, Some(node)) = (all.len() > ENTRIES_MAX, table.peek(name)) {
        let message = format!("{} entries of `{name}`", all.len());
        let label = format!("allowed: {ENTRIES_MAX} a port");
        table.cx.report(Diagnostic::error(node.at, message).label(label));
        all.truncate(ENTRIES_MAX);
    }
    all
}

/// A host on the link of `port`.
fn read_via(table: &Table<'_>, name: &str, text: At<&str>, port: &Port) -> Option<IpAddr> {
    let cx = table.cx;
    let Some(via) = text.value.parse::<IpAddr>().ok().filter(is_host) else {
        let message = format!("`{name}` is {}", cx.found(text.at));
        let label = format!("allowed: {}", table.key(name).kind.allowed());
        cx.report(Diagnostic::error(text.at, message).label(label));
        return None;
    };
    if !port.has_on_link(&via.into()) || port.is_no_neighbour(via) {
        let own: Vec<_> = port.address.iter().map(IpNet::to_string).collect();
        let label = match own.is_empty() {
            true => "add the port's own `address`, with the prefix that it is in".to_owned(),
            false => format!("allowed: another host within {}", own.join(", ")),
        };
        let message = format!("`{name}` is {via}, which is no host on the port's link");
        cx.report(Diagnostic::error(text.at, message).label(label));
        return None;
    }
    Some(via)
}

/// There are not too many neighbours.
pub(super) fn check_neighbours(cx: &Context<'_>, rules: &[ReadRule], limits: &Limits) {
    let mut found = HashSet::new();
    for read in rules {
        let outputs = read.rule.outputs.iter().zip(&read.places.outputs);
        for (output, place) in outputs.filter(|(_, place)| place.sound) {
            let count = match output.next_hop {
                Some(NextHop::Each(net)) => address_count(&net),
                _ => 0,
            };
            if count <= limits.neighbours.into() {
                found.extend(neighbours(&read.rule.input, output));
            }
            if count.max(found.len() as u64) > limits.neighbours.into() {
                let message = format!("more than {} neighbours", limits.neighbours);
                cx.report(Diagnostic::error(place.at, message).label(format!(
                    "allowed: {}; raise `neighbours` of [limits], reach the prefix by a `route`, or \
                     add `mac`",
                    limits.neighbours
                )));
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// The next hop of an output to `destination`, as text.
    fn next_hop(destination: &str) -> String {
        let text = format!(
            r#"
            schema = 1
            [[port]]
            name = "in"
            device = "net_null0"
            [[port]]
            name = "out"
            device = "net_null1"
            address = ["10.0.0.1/24", "fd00::1/64"]
            gateway = ["10.0.0.254", "fe80::ff"]
            route = [
              {{ to = "10.8.0.0/16", via = "10.0.0.8" }},
              {{ to = "10.8.1.0/24", via = "10.0.0.81" }},
              {{ to = "10.0.0.0/8", via = "10.0.0.10" }},
            ]
            [[rule]]
            name = "r"
            input = {{ port = "in", destination = "{}" }}
            output = [{{ port = "out", destination = "{destination}" }}]
            "#,
            if destination.contains(':') { "ff35::/126" } else { "239.1.0.0/30" }
        );
        let loaded = crate::config::load_bytes(Path::new("x.toml"), text.into_bytes(), &|_| None);
        let config = loaded.unwrap_or_else(|errors| panic!("{errors}")).config;
        match config.rules[0].outputs[0].next_hop.unwrap() {
            NextHop::One(address) => address.to_string(),
            NextHop::Each(net) => format!("each of {net}"),
        }
    }

    #[test]
    fn the_link_then_the_longest_route_then_the_gateway() {
        let expected = [
            ("10.0.0.9", "10.0.0.9"),
            ("10.0.0.16/30", "each of 10.0.0.16/30"),
            ("10.8.1.7", "10.0.0.81"),
            ("10.8.1.8/30", "10.0.0.81"),
            ("10.8.2.7", "10.0.0.8"),
            ("10.9.0.1", "10.0.0.10"),
            ("192.0.2.1", "10.0.0.254"),
            ("fd00::9", "fd00::9"),
            ("fe80::9", "fe80::9"),
            ("2001:db8::/126", "fe80::ff"),
        ];
        for (destination, hop) in expected {
            assert_eq!(next_hop(destination), hop, "{destination}");
        }
    }
}
