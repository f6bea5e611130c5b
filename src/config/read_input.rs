//! Reads `input` of a rule: prefixes that can be relayed, UDP ports, fragments.

use std::net::IpAddr;
use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::canonical::show_net;
use super::keys;
use super::read_output::{read_port_range, read_vlan_match};
use super::read_rule::Site;
use super::reader::{At, Context, Table};
use super::report::Diagnostic;
use super::source::Place;
use super::tree::Value;
use super::types::*;

/// Most prefixes of one `destination` or `source`.
const PREFIXES_MAX: usize = 1_024;

/// The input, the place of its destination, and whether it is sound.
pub(super) fn read_input(rule: &Table<'_>, site: &Site<'_>) -> (Input, Place, bool) {
    let all = || (0..site.ports.len()).collect();
    let Some(table) = rule.table("input", &keys::INPUT) else {
        let nothing = Input {
            ports: all(),
            destination: Vec::new(),
            udp_port: None,
            vlan: VlanMatch::Untagged,
            source: Vec::new(),
            join: true,
            fragments: Fragments::Drop,
        };
        return (nothing, rule.at, false);
    };
    let before = table.cx.errors();
    let names = table.texts("port");
    let mut ports: Vec<_> = names.filter_map(|n| site.layers.ports.find(table.cx, n)).collect();
    ports.sort_unstable();
    ports.dedup();
    if table.peek("port").is_none() {
        ports = all();
    } else {
        report_empty(&table, "port");
    }
    let destination = read_nets(&table, "destination");
    report_empty(&table, "destination");
    let source = read_nets(&table, "source");
    check_input_nets(table.cx, &destination, &source);
    let udp_port = read_port_range(&table);
    let vlan = read_vlan_match(&table);
    let at = table.peek("destination").map_or(table.at, |n| n.at);
    let nets = |list: Vec<At<IpNet>>| list.into_iter().map(|n| n.value).collect();
    let join = table.flag("join").is_none_or(|join| join.value);
    let (destination, source) = (nets(destination), nets(source));
    let fragments = read_fragments(&table, udp_port);
    let input = Input { ports, destination, udp_port, vlan, source, join, fragments };
    (input, at, table.cx.errors() == before)
}

/// What becomes of fragments: only the first of a datagram says its ports, so none is forwarded by
/// them.
fn read_fragments(table: &Table<'_>, udp_port: Option<PortRange>) -> Fragments {
    let fragments = table.choice_or_preset("fragments", &[Fragments::Drop, Fragments::Forward]);
    if let (Fragments::Forward, Some(_), Some(at)) = (fragments, udp_port, table.peek("udp_port")) {
        let message = "fragments cannot be forwarded by UDP port: only the first has one";
        table.cx.report(
            Diagnostic::error(at.at, message)
                .label("allowed: \"any\", with `fragments = \"forward\"`"),
        );
    }
    fragments
}

fn report_empty(table: &Table<'_>, name: &str) {
    let Some(node) = table.peek(name) else { return };
    if matches!(node.value, Value::Array(array) if array.is_empty()) {
        let label = format!("allowed: at least one of: {}", table.key(name).kind.allowed());
        table.cx.report(Diagnostic::error(node.at, format!("`{name}` is empty")).label(label));
    }
}

fn read_nets(table: &Table<'_>, name: &str) -> Vec<At<IpNet>> {
    let (cx, key) = (table.cx, table.key(name));
    let mut nets = Vec::new();
    let mut count = 0;
    for text in table.texts(name) {
        count += 1;
        if count > PREFIXES_MAX {
            continue;
        }
        match parse_net(text.value) {
            Ok(value) => nets.push(At { value, at: text.at }),
            Err(reason) => cx.report(
                Diagnostic::error(text.at, format!("`{name}` is {}", cx.found(text.at)))
                    .label(format!("{reason}; allowed: {}", key.kind.allowed())),
            ),
        }
    }
    if let (true, Some(node)) = (count > PREFIXES_MAX, table.peek(name)) {
        let message = format!("{count} prefixes in one `{name}`");
        let label = format!("allowed: {PREFIXES_MAX}; a wider prefix or another rule");
        cx.report(Diagnostic::error(node.at, message).label(label));
    }
    nets
}

/// IP versions agree, destinations can be relayed and do not overlap, sources are hosts.
fn check_input_nets(cx: &Context<'_>, destination: &[At<IpNet>], source: &[At<IpNet>]) {
    let version = |net: &IpNet| {
        if matches!(net, IpNet::V4(_)) { "IPv4" } else { "IPv6" }
    };
    let Some(first) = destination.first() else {
        return;
    };
    for net in destination.iter().chain(source) {
        if version(&net.value) != version(&first.value) {
            let found = format!("`{}` is {}", show_net(&net.value), version(&net.value));
            cx.report(
                Diagnostic::error(net.at, found)
                    .label(format!("allowed: {}, as the destination", version(&first.value)))
                    .related(first.at, "the destination"),
            );
        }
    }
    for net in destination {
        if let Some(reason) = unroutable(&net.value) {
            let label = "allowed: groups and unicast addresses that are routed";
            let message = format!("`{}` cannot be relayed: {reason}", show_net(&net.value));
            cx.report(Diagnostic::error(net.at, message).label(label));
        }
    }
    for net in source.iter().filter(|n| n.value.addr().is_multicast()) {
        let message = format!("`{}` is a group, and no packet comes from one", net.value);
        cx.report(Diagnostic::error(net.at, message).label("allowed: unicast prefixes"));
    }
    if destination.len() < 2 {
        return;
    }
    let mut sorted: Vec<_> = destination.iter().collect();
    sorted.sort_by_key(|n| n.value);
    let mut holder = *first;
    for (i, net) in sorted.into_iter().enumerate() {
        if i > 0 && holder.value.contains(&net.value) {
            let message = format!("`{}` is matched twice", show_net(&net.value));
            cx.report(
                Diagnostic::error(net.at, message)
                    .label("remove it, or the prefix that holds it")
                    .related(holder.at, "it is within this"),
            );
        } else {
            holder = *net;
        }
    }
}

/// An address or a prefix; else the reason.
pub(super) fn parse_net(text: &str) -> Result<IpNet, String> {
    if !text.contains('/') {
        let address = text.parse::<IpAddr>().map_err(|_| "no address".to_owned())?;
        return Ok(IpNet::from(address));
    }
    let net = text.parse::<IpNet>().map_err(|_| "no prefix".to_owned())?;
    if net.trunc() != net {
        return Err(format!("host bits are set, write \"{}\"", net.trunc()));
    }
    Ok(net)
}

/// Why packets to a prefix are never relayed.
pub(super) fn unroutable(net: &IpNet) -> Option<&'static str> {
    const V4_GROUPS: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(224, 0, 0, 0), 24);
    const V4_HOSTS: [Ipv4Net; 3] = [
        Ipv4Net::new_assert(Ipv4Addr::new(0, 0, 0, 0), 8),
        Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8),
        Ipv4Net::new_assert(Ipv4Addr::BROADCAST, 32),
    ];
    const V6_GROUPS: [Ipv6Net; 2] = [
        Ipv6Net::new_assert(Ipv6Addr::new(0xff01, 0, 0, 0, 0, 0, 0, 0), 16),
        Ipv6Net::new_assert(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0), 16),
    ];
    const V6_HOSTS: [Ipv6Net; 2] = [
        Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 128),
        Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128),
    ];
    let overlaps_v4 = |a: &Ipv4Net, b: &Ipv4Net| a.contains(b) || b.contains(a);
    let overlaps_v6 = |a: &Ipv6Net, b: &Ipv6Net| a.contains(b) || b.contains(a);
    let (group, host) = match net {
        IpNet::V4(net) => {
            (overlaps_v4(net, &V4_GROUPS), V4_HOSTS.iter().any(|other| overlaps_v4(net, other)))
        }
        IpNet::V6(net) => (
            V6_GROUPS.iter().any(|other| overlaps_v6(net, other)),
            V6_HOSTS.iter().any(|other| overlaps_v6(net, other)),
        ),
    };
    if group {
        Some("it holds link-local groups (224.0.0.0/24, ff02::/16), which are never relayed")
    } else if host {
        Some("it holds addresses that are no destination (unspecified, loopback, broadcast)")
    } else {
        None
    }
}
