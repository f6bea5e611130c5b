//! Makes an output of what was read: defaults filled in, checked against its rule and port.

use std::net::IpAddr;

use foldhash::{HashMap, HashMapExt, HashSet, HashSetExt};
use ipnet::IpNet;

use super::canonical::{push_net, show_net};
use super::next_hop::vlan_of;
use super::read_input::unroutable;
use super::read_output::{ReadOutput, Source, is_host, or_one};
use super::read_rule::{OutputPlace, Site, check_queue, preset_queue};
use super::reader::{At, Context, clamp32};
use super::report::Diagnostic;
use super::source::Place;
use super::types::*;
use crate::wire::MacAddr;

/// Characters of most prefixes, with a slash.
const NET_CHARS: usize = 20;
/// TTL of a datagram whose destination the output changes.
const NEW_TTL: u8 = 16;

/// One output of `rule`, checked against its input and port where those are sound.
pub(super) fn finish_output(
    cx: &Context<'_>,
    read: &ReadOutput,
    rule: &Rule,
    input_at: Place,
    input_sound: bool,
    site: &Site<'_>,
) -> Output {
    let settings = &read.settings;
    let changed = read.destination.is_some();
    let ttl = if changed { TtlRewrite::Set(NEW_TTL) } else { TtlRewrite::Decrement };
    let port = settings.port.map_or(0, |p| p.value);
    let checker = Checker { cx, read, input: &rule.input, input_at, site };
    let sound = input_sound && !settings.unsound;
    let (source, next_hop) = if sound {
        checker.check_destination();
        checker.check_shift();
        checker.check_fragments();
        (checker.resolve_source(port), checker.find_next_hop(port))
    } else {
        (None, None)
    };
    check_queue(cx, settings.queue, site.largest_frame(&[port]));
    Output {
        name: String::new(),
        receiver: read.receiver,
        port,
        destination: read.destination.map(|d| d.value),
        udp_port: settings.udp_port.map_or(UdpPortRewrite::Keep, |v| v.value),
        source,
        source_port: settings.source_port.map_or(SourcePortRewrite::Keep, |v| v.value),
        vlan: settings.vlan.map_or(VlanRewrite::Keep, |v| v.value),
        ttl: settings.ttl.map_or(ttl, |v| v.value),
        dscp: settings.dscp.and_then(|v| v.value),
        mac: settings.mac.map(|v| v.value),
        next_hop,
        sample: settings.sample.map_or(1, |v| clamp32(v.value)),
        weight: or_one(settings.weight),
        queue: settings.queue.map_or_else(preset_queue, |v| v.value),
    }
}

struct Checker<'c> {
    cx: &'c Context<'c>,
    read: &'c ReadOutput,
    input: &'c Input,
    input_at: Place,
    site: &'c Site<'c>,
}

impl Checker<'_> {
    fn is_v4(&self) -> bool {
        matches!(self.input.destination.first(), Some(IpNet::V4(_)))
    }

    /// Of the input's IP version, routable, and one address or as long as every input prefix.
    fn check_destination(&self) {
        let Some(At { value: net, at }) = self.read.destination else {
            return;
        };
        let related = |d: Diagnostic| self.cx.report(d.related(self.input_at, "the input"));
        if matches!(net, IpNet::V4(_)) != self.is_v4() {
            let version = if self.is_v4() { "IPv4" } else { "IPv6" };
            let net = show_net(&net);
            let message = format!("`{net}` is of the other IP version than the input");
            related(Diagnostic::error(at, message).label(format!("allowed: {version}")));
            return;
        }
        if let Some(reason) = unroutable(&net) {
            let message = format!("`{}` cannot be relayed to: {reason}", show_net(&net));
            let label = "allowed: groups and unicast addresses that are routed";
            self.cx.report(Diagnostic::error(at, message).label(label));
        }
        let odd = self.input.destination.iter().find(|n| n.prefix_len() != net.prefix_len());
        if let (Some(odd), true) = (odd, net.prefix_len() < net.max_prefix_len()) {
            let message = format!("`{net}` is not as long as the input's `{odd}`");
            related(Diagnostic::error(at, message).label(format!(
                "allowed: one address, or a prefix of /{} that keeps the host bits",
                odd.prefix_len()
            )));
        }
    }

    /// A shift keeps every port of the input within 1 to 65535.
    fn check_shift(&self) {
        let Some(At { value: UdpPortRewrite::Shift(shift), at }) = self.read.settings.udp_port
        else {
            return;
        };
        let message = format!("the shift {shift:+} leaves the UDP ports");
        let range = self.input.udp_port.map_or((1, 65_535), |r| (r.first, r.last));
        let (first, last) = (i32::from(range.0) + shift, i32::from(range.1) + shift);
        if first >= 1 && last <= 65_535 {
            return;
        }
        let label = match self.input.udp_port {
            None => "allowed: a shift needs a `udp_port` in the input".to_owned(),
            Some(_) => {
                let (least, most) = (1 - i32::from(range.0), 65_535 - i32::from(range.1));
                format!("allowed: {least:+} to {most:+}, so that all of the input's stay")
            }
        };
        self.cx.report(
            Diagnostic::error(at, message)
                .label(label)
                .related(self.input_at, format!("the input takes {} to {}", range.0, range.1)),
        );
    }

    /// A group's MAC is its own, and one that is written is taken. Other unicast has a next hop,
    /// which is asked for its MAC.
    fn find_next_hop(&self, port: usize) -> Option<NextHop> {
        let cx = self.cx;
        let nets = match &self.read.destination {
            Some(net) => std::slice::from_ref(&net.value),
            None => self.input.destination.as_slice(),
        };
        let at = self.read.destination.map_or(self.read.at, |d| d.at);
        let unicast = nets.iter().find(|n| !n.addr().is_multicast());
        match (self.read.settings.mac, unicast) {
            (None, Some(net)) => {
                let found = self.ask(port, nets);
                return match found {
                    Ok(hop) => Some(hop),
                    Err((message, label)) => {
                        let kept = if self.read.destination.is_none() { " (kept)" } else { "" };
                        let net = show_net(net);
                        let message = format!("unicast to `{net}`{kept}: {message}");
                        cx.report(Diagnostic::error(at, message).label(label));
                        None
                    }
                };
            }
            (Some(mac), None) if nets.iter().any(|n| group_mac(n) != Some(mac.value)) => {
                let message = format!("`mac` is {}, which is not the group's own", mac.value);
                cx.report(
                    Diagnostic::warning(mac.at, message)
                        .label("hosts that joined the group may not see it")
                        .related(at, "the group"),
                );
            }
            (Some(mac), Some(_)) if mac.value.is_group() => {
                let message =
                    format!("`mac` is {}, a group's, for a unicast destination", mac.value);
                cx.report(
                    Diagnostic::warning(mac.at, message).label("every host on the link gets it"),
                );
            }
            _ => {}
        }
        None
    }

    /// The one next hop of all of `nets`; else why there is none, and what to do.
    fn ask(&self, port: usize, nets: &[IpNet]) -> Result<NextHop, (String, String)> {
        let told = |message: &str, label: &str| (message.to_owned(), label.to_owned());
        let Some(port) = self.site.ports.get(port) else {
            return Err(told("there is no such port", "name a port"));
        };
        let mut hops = nets.iter().map(|net| match net.addr().is_multicast() {
            true => Err(told("a group beside it", "add `mac`, or a rule for each")),
            false => port.next_hop(net),
        });
        let first = hops.next().unwrap_or_else(|| Err(told("no destination", "add one")))?;
        for hop in hops {
            if hop? != first {
                return Err(told(
                    "the destinations of the input have several next hops",
                    "allowed: one next hop for all, or one prefix on the link; write a rule for \
                     each, or add `mac`",
                ));
            }
        }
        if matches!(first, NextHop::One(hop) if port.static_mac(hop).is_some()) {
            return Ok(first);
        }
        let vlan = self.read.settings.vlan.map_or(VlanRewrite::Keep, |vlan| vlan.value);
        if vlan_of(self.input, vlan).is_none() {
            return Err(told(
                "its VLAN is not known, for the input takes any",
                "add `vlan` to the output, so that the next hop can be asked there; or `mac`, or a \
                 `neighbour` to the port",
            ));
        }
        if self.site.clock == ClockSource::Capture {
            return Err((
                "with `clock = \"capture\"` nobody is asked for a MAC".to_owned(),
                format!("add `mac`, or a `neighbour` to port `{}`", port.name),
            ));
        }
        Ok(first)
    }

    /// What puts a datagram together knows its fragments by source, destination and id: those of two
    /// datagrams must not come to share them, nor go different ways.
    fn check_fragments(&self) {
        if self.input.fragments == Fragments::Drop {
            return;
        }
        let is_one = |net: &IpNet| net.prefix_len() == net.max_prefix_len();
        let one = |nets: &[IpNet]| matches!(nets, [net] if is_one(net));
        let settings = &self.read.settings;
        let refuse = |at: Place, found: &str, allowed: &str| {
            let message = format!("{found}, and the input's fragments are forwarded");
            let diagnostic = Diagnostic::error(at, message).label(format!("allowed: {allowed}"));
            self.cx.report(diagnostic.related(self.input_at, "the input"));
        };
        if let Some(At { at, .. }) = settings.sample.filter(|sample| sample.value > 1) {
            refuse(at, "`sample` would take datagrams apart", "1");
        }
        let source = settings.source.filter(|source| !matches!(source.value, Source::Keep));
        if let Some(At { at, .. }) = source.filter(|_| !one(&self.input.source)) {
            let allowed = "\"keep\", or an input whose `source` is one address";
            refuse(at, "`source` makes many senders one", allowed);
        }
        if let Some(At { at, .. }) = self.read.destination.filter(|net| is_one(&net.value))
            && !one(&self.input.destination)
        {
            let allowed = "a prefix as long as the input's, or an input of one address";
            refuse(at, "`destination` makes many addresses one", allowed);
        }
    }

    /// The source address, of the input's IP version.
    fn resolve_source(&self, port: usize) -> Option<IpAddr> {
        let At { value, at } = self.read.settings.source?;
        let port = self.site.ports.get(port)?;
        let version = if self.is_v4() { "IPv4" } else { "IPv6" };
        match value {
            Source::Keep => None,
            Source::Address(ip) => {
                if ip.is_ipv4() != self.is_v4() {
                    let message = format!("`source` is {ip}, of the other IP version");
                    self.cx.report(
                        Diagnostic::error(at, message)
                            .label(format!("allowed: {version}, as the input"))
                            .related(self.input_at, "the input"),
                    );
                }
                Some(ip)
            }
            Source::Port => {
                let fits = |net: &&IpNet| net.addr().is_ipv4() == self.is_v4();
                let near = |net: &&IpNet| {
                    self.read.destination.is_some_and(|d| net.contains(&d.value.addr()))
                };
                let own = || port.address.iter().filter(fits);
                let found = own().find(near).or_else(|| own().next()).map(IpNet::addr);
                if found.is_none() {
                    let message =
                        format!("`source` is \"port\", but port `{}` has no {version}", port.name);
                    let label = format!("add an {version} `address` to the port");
                    self.cx.report(Diagnostic::error(at, message).label(label));
                }
                found.filter(is_host)
            }
        }
    }
}

/// The MAC of a single group.
fn group_mac(net: &IpNet) -> Option<MacAddr> {
    if net.prefix_len() < net.max_prefix_len() {
        return None;
    }
    Some(match net.addr() {
        IpAddr::V4(group) => MacAddr::from_group_v4(group),
        IpAddr::V6(group) => MacAddr::from_group_v6(group),
    })
}

/// Names as reports show them, made unique within the rule.
pub(super) fn name_outputs(outputs: &mut [Output], site: &Site<'_>) {
    if let [only] = outputs {
        only.name = base_name(only, site);
        return;
    }
    let base: Vec<String> = outputs.iter().map(|o| base_name(o, site)).collect();
    let mut uses = HashMap::new();
    for name in &base {
        *uses.entry(name.as_str()).or_insert(0) += 1;
    }
    for (output, name) in outputs.iter_mut().zip(&base) {
        output.name.clone_from(name);
        if uses.get(name.as_str()).is_some_and(|count| *count > 1) {
            match output.vlan {
                VlanRewrite::Keep => {}
                VlanRewrite::None => output.name.push_str("@none"),
                VlanRewrite::Id(id) => output.name.push_str(&format!("@{id}")),
            }
            match output.udp_port {
                UdpPortRewrite::Keep => {}
                UdpPortRewrite::Fixed(port) => output.name.push_str(&format!(":{port}")),
                UdpPortRewrite::Shift(shift) => output.name.push_str(&format!(":{shift:+}")),
            }
        }
    }
    // A receiver's outputs on two ports, or a receiver named as a port.
    let mut taken = HashSet::new();
    for (i, output) in outputs.iter_mut().enumerate() {
        if !taken.insert(output.name.clone()) {
            output.name.push_str(&format!("#{}", i + 1));
        }
    }
}

fn base_name(output: &Output, site: &Site<'_>) -> String {
    let receiver = output.receiver.and_then(|slot| site.layers.receivers.get(slot));
    let owner = match receiver {
        Some(receiver) => receiver.receiver.name.as_str(),
        None => site.ports.get(output.port).map_or("", |p| p.name.as_str()),
    };
    let mut name = String::with_capacity(owner.len() + NET_CHARS);
    name.push_str(owner);
    name.push('/');
    match &output.destination {
        Some(net) => push_net(&mut name, net),
        None => name.push_str("keep"),
    }
    name
}

/// Two outputs with one identity would send everything twice.
pub(super) fn check_same_outputs(cx: &Context<'_>, rule: &Rule, places: &[OutputPlace]) {
    if places.len() < 2 {
        return;
    }
    let mut seen = HashMap::new();
    for (output, OutputPlace { at, .. }) in
        rule.outputs.iter().zip(places).filter(|(_, place)| place.sound)
    {
        let vlan = match output.vlan {
            VlanRewrite::Keep => -1,
            VlanRewrite::None => 0,
            VlanRewrite::Id(id) => i32::from(id),
        };
        let udp_port = match output.udp_port {
            UdpPortRewrite::Keep => (0, 0),
            UdpPortRewrite::Fixed(port) => (1, i32::from(port)),
            UdpPortRewrite::Shift(shift) => (2, shift),
        };
        let identity = (output.port, output.destination, udp_port, vlan);
        if let Some(first) = seen.insert(identity, *at) {
            cx.report(
                Diagnostic::error(*at, "the same output twice: everything would be sent twice")
                    .label("allowed: another port, destination, udp_port or vlan")
                    .related(first, "the same output"),
            );
        }
    }
}
