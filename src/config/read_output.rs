//! Reads receivers, outputs and their defaults. Each table is read once into [`Settings`], so
//! that its mistakes are told once; layers are then laid over each other.

use std::net::IpAddr;

use ipnet::IpNet;

use super::keys;
use super::names::Names;
use super::read_input::parse_net;
use super::read_rule::read_queue;
use super::reader::{At, Table, clamp32};
use super::report::Diagnostic;
use super::source::Place;
use super::tree::Value;
use super::types::*;
use crate::wire::MacAddr;

/// Where an output's source address comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Source {
    Keep,
    Port,
    Address(IpAddr),
}

/// What one layer says of an output. `None` leaves it to the next layer.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Settings {
    pub port: Option<At<usize>>,
    pub udp_port: Option<At<UdpPortRewrite>>,
    pub vlan: Option<At<VlanRewrite>>,
    pub source: Option<At<Source>>,
    pub source_port: Option<At<SourcePortRewrite>>,
    pub ttl: Option<At<TtlRewrite>>,
    pub dscp: Option<At<Option<u8>>>,
    pub mac: Option<At<MacAddr>>,
    pub sample: Option<At<u64>>,
    pub weight: Option<At<u64>>,
    pub queue: Option<At<QueueBound>>,
    /// Something in it was refused.
    pub unsound: bool,
}

impl Settings {
    /// These settings, and where they are silent, those of `below`.
    pub(super) fn over(self, below: &Self) -> Self {
        Self {
            port: self.port.or(below.port),
            udp_port: self.udp_port.or(below.udp_port),
            vlan: self.vlan.or(below.vlan),
            source: self.source.or(below.source),
            source_port: self.source_port.or(below.source_port),
            ttl: self.ttl.or(below.ttl),
            dscp: self.dscp.or(below.dscp),
            mac: self.mac.or(below.mac),
            sample: self.sample.or(below.sample),
            weight: self.weight.or(below.weight),
            queue: self.queue.or(below.queue),
            unsound: self.unsound || below.unsound,
        }
    }
}

/// Reads the keys that the table's section has.
pub(super) fn read_settings(table: &Table<'_>, ports: &Names) -> Settings {
    let before = table.cx.errors();
    // What is there and not a key of the section has been reported.
    let has = |name: &str| {
        table.peek(name).is_some() && table.section.keys.iter().any(|k| k.name == name)
    };
    let mut settings = Settings {
        port: table.text("port").and_then(|name| {
            let value = ports.find(table.cx, name)?;
            Some(At { value, at: name.at })
        }),
        udp_port: None,
        vlan: read_vlan(table),
        source: read_source(table),
        source_port: read_source_port(table),
        ttl: read_ttl(table),
        dscp: read_dscp(table),
        mac: read_mac(table),
        sample: None,
        weight: table.number("weight"),
        queue: read_queue(table),
        unsound: false,
    };
    if has("udp_port") {
        settings.udp_port = read_udp_port(table);
    }
    if has("sample") {
        settings.sample = table.number("sample");
    }
    settings.unsound = table.cx.errors() > before;
    settings
}

/// The integer or the string under a key that takes both; `None` with a report for other types.
fn union<T>(
    table: &Table<'_>,
    name: &str,
    integer: impl Fn(i64) -> Option<T>,
    text: impl Fn(&str) -> Option<T>,
) -> Option<At<T>> {
    let node = table.get(name)?;
    let value = match node.value {
        Value::Integer(number) => number.and_then(integer),
        Value::String(s) => text(s),
        _ => None,
    };
    if value.is_none() {
        table.cx.wrong(table.key(name), node);
    }
    Some(At { value: value?, at: node.at })
}

fn vlan_id(id: i64) -> Option<u16> {
    u16::try_from(id).ok().filter(|id| (1..=4_094).contains(id))
}

pub(super) fn udp_port_number(port: i64) -> Option<u16> {
    u16::try_from(port).ok().filter(|port| *port > 0)
}

fn read_vlan(table: &Table<'_>) -> Option<At<VlanRewrite>> {
    union(
        table,
        "vlan",
        |id| vlan_id(id).map(VlanRewrite::Id),
        |text| match text {
            "keep" => Some(VlanRewrite::Keep),
            "none" => Some(VlanRewrite::None),
            _ => None,
        },
    )
}

/// `vlan` of an input.
pub(super) fn read_vlan_match(table: &Table<'_>) -> VlanMatch {
    let vlan = union(
        table,
        "vlan",
        |id| vlan_id(id).map(VlanMatch::Id),
        |text| (text == "any").then_some(VlanMatch::Any),
    );
    vlan.map_or(VlanMatch::Untagged, |v| v.value)
}

/// `udp_port` of an input.
pub(super) fn read_port_range(table: &Table<'_>) -> Option<PortRange> {
    let range = union(
        table,
        "udp_port",
        |port| udp_port_number(port).map(|p| Some(PortRange { first: p, last: p })),
        |text| {
            if text == "any" {
                return Some(None);
            }
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            let (first, last) = (decimal(first)?, decimal(last)?);
            let (first, last) = (udp_port_number(first)?, udp_port_number(last)?);
            (first <= last).then_some(Some(PortRange { first, last }))
        },
    );
    range.and_then(|r| r.value)
}

/// Digits alone: no sign, no space.
fn decimal(text: &str) -> Option<i64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn read_udp_port(table: &Table<'_>) -> Option<At<UdpPortRewrite>> {
    union(
        table,
        "udp_port",
        |port| udp_port_number(port).map(UdpPortRewrite::Fixed),
        |text| {
            let (sign, digits) = match (text.strip_prefix('+'), text.strip_prefix('-')) {
                (Some(digits), _) => (1, digits),
                (_, Some(digits)) => (-1, digits),
                _ => return None,
            };
            let shift = decimal(digits).filter(|s| (1..65_535).contains(s))?;
            i32::try_from(sign * shift).ok().map(UdpPortRewrite::Shift)
        },
    )
}

fn read_source(table: &Table<'_>) -> Option<At<Source>> {
    let text = table.text("source")?;
    let value = match text.value {
        "keep" => Some(Source::Keep),
        "port" => Some(Source::Port),
        _ => text.value.parse::<IpAddr>().ok().filter(is_host).map(Source::Address),
    };
    if value.is_none() {
        table.cx.wrong(table.key("source"), table.get("source")?);
    }
    Some(At { value: value?, at: text.at })
}

/// Whether it can be the address of one host on a wire.
pub(super) fn is_host(ip: &IpAddr) -> bool {
    let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    !(ip.is_multicast() || ip.is_unspecified() || ip.is_loopback() || broadcast)
}

fn read_source_port(table: &Table<'_>) -> Option<At<SourcePortRewrite>> {
    union(
        table,
        "source_port",
        |port| udp_port_number(port).map(SourcePortRewrite::Fixed),
        |text| match text {
            "keep" => Some(SourcePortRewrite::Keep),
            "destination" => Some(SourcePortRewrite::Destination),
            _ => None,
        },
    )
}

fn read_ttl(table: &Table<'_>) -> Option<At<TtlRewrite>> {
    union(
        table,
        "ttl",
        |ttl| u8::try_from(ttl).ok().filter(|t| *t > 0).map(TtlRewrite::Set),
        |text| (text == "decrement").then_some(TtlRewrite::Decrement),
    )
}

fn read_dscp(table: &Table<'_>) -> Option<At<Option<u8>>> {
    union(
        table,
        "dscp",
        |dscp| u8::try_from(dscp).ok().filter(|d| *d < 64).map(Some),
        |text| (text == "keep").then_some(None),
    )
}

pub(super) fn read_mac(table: &Table<'_>) -> Option<At<MacAddr>> {
    let text = table.text("mac")?;
    match text.value.parse::<MacAddr>() {
        Ok(value) if value != MacAddr::default() => Some(At { value, at: text.at }),
        _ => {
            table.cx.wrong(table.key("mac"), table.get("mac")?);
            None
        }
    }
}

/// A receiver with the settings its outputs share.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ReadReceiver {
    pub receiver: Receiver,
    pub settings: Settings,
}

/// The layers below an output's own keys, and the names it may refer to.
pub(super) struct Layers {
    pub ports: Names,
    pub receivers: Vec<ReadReceiver>,
    pub receiver_names: Names,
    pub default_receiver: Settings,
    pub default_output: Settings,
}

/// All receivers of all files.
pub(super) fn read_receivers(tops: &[Table<'_>], layers: &mut Layers) {
    for top in tops {
        for table in top.tables("receiver", &keys::RECEIVER) {
            let name = table.name("name");
            layers.receiver_names.insert(table.cx, name, layers.receivers.len());
            let settings = read_settings(&table, &layers.ports);
            let below = settings.over(&layers.default_receiver).over(&layers.default_output);
            if below.port.is_none() && !below.unsound {
                table.missing("port");
            }
            layers.receivers.push(ReadReceiver {
                receiver: Receiver {
                    name: name.map_or_else(String::new, |n| n.value.to_owned()),
                    port: below.port.map_or(0, |p| p.value),
                },
                settings,
            });
        }
    }
}

/// An output before it is checked against its rule and port.
pub(super) struct ReadOutput {
    pub at: Place,
    pub receiver: Option<usize>,
    pub destination: Option<At<IpNet>>,
    pub settings: Settings,
}

/// One table of `output`.
pub(super) fn read_output(table: &Table<'_>, layers: &Layers) -> ReadOutput {
    let cx = table.cx;
    let before = cx.errors();
    let receiver = table.text("receiver").and_then(|n| layers.receiver_names.find(cx, n));
    let destination = table.text("destination").and_then(|text| match parse_net(text.value) {
        Ok(value) => Some(At { value, at: text.at }),
        Err(reason) => {
            cx.wrong_because(table.key("destination"), table.get("destination")?, reason);
            None
        }
    });
    let mut settings = read_settings(table, &layers.ports);
    if let Some(receiver) = receiver.and_then(|slot| layers.receivers.get(slot)) {
        settings = settings.over(&receiver.settings).over(&layers.default_receiver);
    }
    settings = settings.over(&layers.default_output);
    settings.unsound |= cx.errors() > before;
    if settings.port.is_none() && !settings.unsound {
        cx.report(
            Diagnostic::error(table.at, "the output has no `port`")
                .label("add `port` or a `receiver` that has one")
                .missing(),
        );
        settings.unsound = true;
    }
    ReadOutput { at: table.at, receiver, destination, settings }
}

/// The bound that holds where no layer sets one.
pub(super) fn or_one(weight: Option<At<u64>>) -> u32 {
    weight.map_or(1, |w| clamp32(w.value))
}
