//! Reads `[[port]]`.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;

use super::keys;
use super::names::Names;
use super::next_hop::read_next_hops;
use super::reader::{At, Context, Node, Table, clamp32};
use super::report::Diagnostic;
use super::source::Place;
use super::types::*;
use super::units::show_bytes;
use crate::packet::FRAME_OVERHEAD;
use crate::plan::LINK_HEADERS;

/// Most addresses of one port.
const ADDRESSES_MAX: usize = 16;
/// Frame bytes beyond the IP packet: Ethernet and two VLAN tags, and the overhead constant.
pub(super) const FRAME_EXTRA: u64 = (LINK_HEADERS + FRAME_OVERHEAD) as u64;
/// A burst is worth at most so many seconds of its rate.
const BURST_SECONDS_MAX: u64 = 1_000;
/// Where a shaped port has no `burst`, it gets what the rate brings in one part in so many of a
/// second: long enough for a worker that naps, far below what a receiver would notice.
const BURSTS_A_SECOND: u64 = 5_000;
/// Drivers whose source waits: lossless by default.
const PATIENT_DRIVERS: [&str; 3] = ["net_pcap", "net_ring", "net_memif"];

/// Drivers behind which no switch or router asks for members.
const LONELY_DRIVERS: [&str; 4] = ["net_pcap", "net_ring", "net_memif", "net_null"];

/// All ports of all files, of which there are so many at most.
pub(super) fn read_ports(tops: &[Table<'_>], clock: ClockSource, most: u32) -> (Vec<Port>, Names) {
    let mut ports = Vec::new();
    let mut names = Names::new("port");
    let mut devices = HashMap::new();
    for top in tops {
        for table in top.tables("port", &keys::PORT) {
            let cx = table.cx;
            let name = table.name("name");
            names.insert(cx, name, ports.len());
            if ports.len() == most as usize {
                cx.report(
                    Diagnostic::error(table.at, format!("more than {most} ports"))
                        .label(format!("allowed: {most}; raise `ports` of [limits], up to 32")),
                );
            }
            let name = name.map_or_else(String::new, |n| n.value.to_owned());
            ports.push(read_port(&table, name, clock, &mut devices));
        }
    }
    if let (true, Some(main)) = (ports.is_empty(), tops.first()) {
        // A port of the wrong shape has been reported already.
        if tops.iter().all(|t| t.peek("port").is_none()) {
            main.missing("port");
        }
    }
    (ports, names)
}

fn read_port(
    table: &Table<'_>,
    name: String,
    clock: ClockSource,
    devices: &mut HashMap<String, Place>,
) -> Port {
    let cx = table.cx;
    let driver = table.choice("driver", &[KernelDriver::AfPacket, KernelDriver::AfXdp]);
    let driver = driver.map(|driver| driver.value);
    let device = table.text("device").map(|text| {
        let device = expand_variables(cx, text.value, text.at).unwrap_or_default();
        check_device(table, &device, driver, text.at, devices);
        device
    });
    let device = device.unwrap_or_default();
    let eal_name = device.trim_start_matches("vdev:");
    let lonely = driver.is_none() && LONELY_DRIVERS.iter().any(|d| eal_name.starts_with(d));
    let patient = driver.is_none() && PATIENT_DRIVERS.iter().any(|d| eal_name.starts_with(d));
    let rx = table.choice("rx", &[RxMode::Live, RxMode::Lossless]);
    let preset = if patient { RxMode::Lossless } else { RxMode::Live };
    let mtu = table.number32("mtu");
    check_mtu(table, mtu, driver);
    let mut port = Port {
        name,
        address: read_addresses(table),
        mtu,
        shaper: read_shaper(table, u64::from(mtu) + FRAME_EXTRA),
        rx: rx.map_or(preset, |rx| rx.value),
        rx_queues: table.number("rx_queues").map(|queues| clamp32(queues.value) as u16),
        rx_checksum: table
            .choice_or_preset("rx_checksum", &[RxChecksum::Trust, RxChecksum::Complete]),
        join: read_join(table, clock).unwrap_or(!lonely && clock == ClockSource::Tsc),
        bundle: read_bundle(table, driver),
        device,
        driver,
        gateway: Vec::new(),
        routes: Vec::new(),
        neighbours: Vec::new(),
        reachable: Duration::from_nanos(table.number_or_preset("reachable")),
    };
    read_next_hops(table, &mut port);
    port
}

/// Whether the driver carries such packets.
fn check_mtu(table: &Table<'_>, mtu: u32, driver: Option<KernelDriver>) {
    if let (Some(driver), Some(node)) = (driver, table.peek("mtu"))
        && mtu > driver.mtu_max()
    {
        let found = format!("`mtu` is {mtu} with driver {}", driver.name());
        table.cx.report(
            Diagnostic::error(node.at, found)
                .label(format!("allowed: 68 to {}, which this driver carries", driver.mtu_max())),
        );
    }
}

/// `join` where it is written.
fn read_join(table: &Table<'_>, clock: ClockSource) -> Option<bool> {
    let At { value, at } = table.flag("join")?;
    if value && clock == ClockSource::Capture {
        table.cx.report(
            Diagnostic::error(at, "`join` with `clock = \"capture\"`")
                .label("allowed: false, or `clock = \"tsc\"`: queries are answered in real time"),
        );
    }
    Some(value)
}

/// `bundle`, for which there must be an interface.
fn read_bundle(table: &Table<'_>, driver: Option<KernelDriver>) -> bool {
    let Some(At { value: true, at }) = table.flag("bundle") else {
        return false;
    };
    if driver.is_none() && table.peek("driver").is_none() {
        table
            .cx
            .report(Diagnostic::error(at, "`bundle` without `driver`").label(
                "allowed: with `driver = \"af_packet\"` or `\"af_xdp\"`, whose kernel cuts",
            ));
    }
    driver.is_some()
}

/// `rate` and `burst`, where `frame` is the largest frame of the port.
fn read_shaper(table: &Table<'_>, frame: u64) -> Option<RateLimit> {
    let (cx, rate, burst) = (table.cx, table.number("rate"), table.number("burst"));
    if let (None, Some(node)) = (table.peek("rate"), table.peek("burst")) {
        cx.report(
            Diagnostic::error(node.at, "`burst` without `rate`")
                .label("allowed: with a `rate`, which it is a burst of"),
        );
    }
    let rate = rate?.value;
    let Some(At { value: burst, at }) = burst else {
        return Some(RateLimit { rate, burst: (rate / 8 / BURSTS_A_SECOND).max(2 * frame) });
    };
    let limit = RateLimit { rate, burst };
    check_burst(cx, limit, at, frame);
    Some(limit)
}

/// Whether a burst, written at `at`, holds the largest frame and is no more than its rate can fill.
pub(super) fn check_burst(cx: &Context<'_>, limit: RateLimit, at: Place, frame: u64) {
    let RateLimit { rate, burst } = limit;
    let most = (u128::from(rate) * u128::from(BURST_SECONDS_MAX) / 8).min(u128::from(u64::MAX));
    if burst < frame || u128::from(burst) > most {
        let found = show_bytes(burst);
        cx.report(
            Diagnostic::error(at, format!("`burst` is {found}"))
                .label(format!("allowed: {frame}B (mtu + 46) to {most}B (1,000 s of the rate)")),
        );
    }
}

fn read_addresses(table: &Table<'_>) -> Vec<IpNet> {
    let (cx, key) = (table.cx, table.key("address"));
    let mut addresses = Vec::new();
    for text in table.texts("address") {
        let usable = |net: &IpNet| {
            let ip = net.addr();
            !(ip.is_multicast() || ip.is_unspecified() || ip.is_loopback())
        };
        match text.value.parse::<IpNet>().ok().filter(usable) {
            Some(net) => addresses.push(net),
            None => cx.report(
                Diagnostic::error(text.at, format!("`address` is {}", cx.found(text.at)))
                    .label(format!("allowed: {}", key.kind.allowed())),
            ),
        }
    }
    if let (true, Some(node)) = (addresses.len() > ADDRESSES_MAX, table.peek("address")) {
        cx.wrong_because(key, node, format!("{} addresses", addresses.len()));
    }
    addresses
}

/// `${VAR}` from the environment, `${CONFIG_DIR}` from the file.
fn expand_variables(cx: &Context<'_>, text: &str, at: Place) -> Option<String> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        expanded.push_str(before);
        let Some((name, behind)) = after.split_once('}') else {
            cx.report(Diagnostic::error(at, "`${` without its `}`").label("write ${NAME}"));
            return None;
        };
        let value = if name == "CONFIG_DIR" {
            cx.sources.get(at.file).map(|s| directory(&s.path))
        } else {
            (cx.variable)(name)
        };
        let Some(value) = value else {
            cx.report(
                Diagnostic::error(at, format!("the variable `{}` is not set", name.escape_debug()))
                    .label("allowed: variables of the environment, and ${CONFIG_DIR}"),
            );
            return None;
        };
        expanded.push_str(&value);
        rest = behind;
    }
    expanded.push_str(rest);
    Some(expanded)
}

fn directory(path: &Path) -> String {
    match path.parent().map(|p| p.to_string_lossy()) {
        Some(parent) if !parent.is_empty() => parent.into_owned(),
        _ => ".".to_owned(),
    }
}

fn check_device(
    table: &Table<'_>,
    device: &str,
    driver: Option<KernelDriver>,
    at: Place,
    devices: &mut HashMap<String, Place>,
) {
    if device.is_empty() && table.text("device").is_some_and(|t| !t.value.is_empty()) {
        return; // The variable was reported.
    }
    if driver.is_none() && table.peek("driver").is_some() {
        return; // A driver that there is not was reported.
    }
    let (cx, key) = (table.cx, table.key("device"));
    let name = device.split(',').next().unwrap_or_default();
    let bad = |reason: String| {
        if let Some(node) = table.peek("device") {
            cx.wrong_because(key, Node { at, ..node }, reason);
        }
    };
    if device.chars().any(|c| c.is_control() || c == ' ') {
        return bad("it holds a space or control character".to_owned());
    }
    let vdev = name.strip_prefix("vdev:").unwrap_or(name);
    let identity = match pci_address(name) {
        _ if driver.is_some() && is_interface(device) => format!("interface {device}"),
        _ if driver.is_some() => {
            return bad("no name of an interface, which `driver` needs".to_owned());
        }
        Some(address) => address,
        None if vdev.starts_with("net_") || vdev.starts_with("eth_") => vdev.to_owned(),
        None => {
            return bad("neither; for an interface of the kernel add \
                 `driver = \"af_packet\"` or `\"af_xdp\"`"
                .to_owned());
        }
    };
    if device.split(',').any(|argument| argument == "qdisc_bypass=0") {
        return bad("qdisc_bypass=0, with which a full queue would block the worker".to_owned());
    }
    if let Some(first) = devices.get(&identity) {
        cx.report(
            Diagnostic::error(at, format!("two ports use the device `{identity}`"))
                .label("allowed: a device of its own")
                .related(*first, "first used here"),
        );
        return;
    }
    devices.insert(identity, at);
}

/// Whether the kernel could call an interface so, and EAL take it as an argument.
fn is_interface(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.:@".contains(c);
    (1..16).contains(&text.len()) && !text.starts_with('.') && text.chars().all(allowed)
}

/// A PCI address in full: domain, bus, device, function.
fn pci_address(text: &str) -> Option<String> {
    let hex = |part: &str, len: usize, max: u32| {
        let good = part.len() == len && part.bytes().all(|b| b.is_ascii_hexdigit());
        good.then(|| u32::from_str_radix(part, 16).ok()).flatten().filter(|v| *v <= max)
    };
    let text = text.strip_prefix("pci:").unwrap_or(text);
    let (head, function) = text.rsplit_once('.')?;
    let (head, device) = head.rsplit_once(':')?;
    let (domain, bus) = head.rsplit_once(':').unwrap_or(("0000", head));
    let domain = hex(domain, 4, 0xffff)?;
    let (bus, device) = (hex(bus, 2, 0xff)?, hex(device, 2, 0x1f)?);
    Some(format!("{domain:04x}:{bus:02x}:{device:02x}.{}", hex(function, 1, 7)?))
}
