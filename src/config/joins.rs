//! Which groups the rules have joined, and whether they can be.

use std::net::IpAddr;

use foldhash::{HashSet, HashSetExt};
use ipnet::IpNet;

use super::canonical::show_net;
use super::expand::{addresses, rows};
use super::read_rule::ReadRule;
use super::reader::Context;
use super::report::Diagnostic;
use super::types::{Input, Limits, Port, VlanMatch};

/// Where the groups of an input are joined: port slot, VLAN id and group. A VLAN id of 0 is untagged,
/// and so is an input for any VLAN, which does not say on which ones it is to be joined.
pub fn joins<'a>(
    input: &'a Input,
    ports: &'a [Port],
) -> impl Iterator<Item = (usize, u16, IpAddr)> + 'a {
    let vlan = match input.vlan {
        VlanMatch::Id(id) => id,
        VlanMatch::Untagged | VlanMatch::Any => 0,
    };
    joining(input, ports).flat_map(move |port| {
        let groups = input.destination.iter().filter(|net| net.addr().is_multicast());
        groups.flat_map(addresses).map(move |group| (port, vlan, group))
    })
}

/// The ports on which an input's groups are joined.
fn joining<'a>(input: &'a Input, ports: &'a [Port]) -> impl Iterator<Item = usize> + 'a {
    let joins = |slot: &usize| input.join && ports.get(*slot).is_some_and(|port| port.join);
    input.ports.iter().copied().filter(joins)
}

/// Whether an input's sources are hosts all, so that its groups can be joined for these sources.
pub fn names_hosts(input: &Input) -> bool {
    let host = |net: &IpNet| net.prefix_len() == net.max_prefix_len();
    !input.source.is_empty() && input.source.iter().all(host)
}

/// Whether groups of this prefix are for source-specific multicast (RFC 4607, section 1).
fn is_source_specific(net: &IpNet) -> bool {
    match net {
        IpNet::V4(net) => net.network().octets()[0] == 232,
        IpNet::V6(net) => {
            let segments = net.network().segments();
            segments[0] & 0xfff0 == 0xff30 && segments[1] == 0
        }
    }
}

/// Source-specific groups have their sources, and there are not too many groups.
pub(super) fn check_joins(cx: &Context<'_>, rules: &[ReadRule], ports: &[Port], limits: &Limits) {
    let mut joined = HashSet::new();
    for read in rules.iter().filter(|read| read.places.input_sound) {
        let input = &read.rule.input;
        if joining(input, ports).next().is_none() || rows(&read.rule) > limits.rows.into() {
            continue;
        }
        let specific = input.destination.iter().find(|net| is_source_specific(net));
        if let Some(net) = specific.filter(|_| !names_hosts(input)) {
            let message = format!(
                "`{}` is source-specific, and cannot be joined without its sources",
                show_net(net)
            );
            cx.report(
                Diagnostic::error(read.places.input_at, message)
                    .label("allowed: with a `source` of host addresses, or with `join = false`"),
            );
        }
        for place in joins(input, ports) {
            joined.insert(place);
            if joined.len() > limits.groups as usize {
                let message = format!("too many: more than {} groups to join", limits.groups);
                cx.report(Diagnostic::error(read.places.input_at, message).label(format!(
                    "allowed: {}; raise `groups` of [limits], or `join = false`",
                    limits.groups
                )));
                return;
            }
        }
    }
}
