//! Reads the site: top-level settings, `[instance]`, `[eal]`, `[memory]`, `[class.*]`, stages and
//! limits.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::keys;
use super::reader::{Context, Node, Table, clamp32, number, preset_choice, preset_number};
use super::report::Diagnostic;
use super::source::Place;
use super::tree::Value;
use super::types::*;
use crate::plan::WORKERS_MAX;

/// Buffers that a port's receive ring takes.
const PORT_PACKETS_MIN: u32 = 512;
/// The same where it is an AF_XDP socket: 2,048 lie in its receive ring from the start, and as many
/// may lie in its send ring.
const AF_XDP_PACKETS: u32 = 4_096 + PORT_PACKETS_MIN;

/// A section that may be absent: then the listed defaults hold.
pub(super) struct Section<'a> {
    table: Option<Table<'a>>,
    section: &'static keys::Section,
}

impl<'a> Section<'a> {
    fn new(top: &Table<'a>, name: &str, section: &'static keys::Section) -> Self {
        Self { table: top.table(name, section), section }
    }

    fn key(&self, name: &str) -> &'static keys::Key {
        let found = self.section.keys.iter().find(|k| k.name == name);
        found.unwrap_or_else(|| unreachable!("`{name}` is listed in {}", self.section.heading))
    }

    fn number(&self, name: &str) -> u32 {
        clamp32(match &self.table {
            Some(table) => table.number_or_preset(name),
            None => preset_number(self.key(name)),
        })
    }

    fn choice<T: Copy>(&self, name: &str, values: &[T]) -> T {
        match &self.table {
            Some(table) => table.choice_or_preset(name, values),
            None => preset_choice(self.key(name), values),
        }
    }
}

/// `clock` and `idle`; `schema` is checked too.
pub(super) fn read_top(top: &Table<'_>) -> (ClockSource, Idle) {
    top.number("schema");
    let clock = top.choice_or_preset("clock", &[ClockSource::Tsc, ClockSource::Capture]);
    let idle = top.choice_or_preset("idle", &[Idle::Auto, Idle::Spin, Idle::Adaptive]);
    (clock, idle)
}

/// `[instance] name`.
pub(super) fn read_instance(top: &Table<'_>) -> String {
    let section = Section::new(top, "instance", &keys::INSTANCE);
    match section.table.and_then(|t| t.name("name")) {
        Some(name) => name.value.to_owned(),
        None => match section.key("name").preset {
            keys::Preset::Is(name) => name.to_owned(),
            _ => String::new(),
        },
    }
}

/// `[eal]`; `clock` says how many workers there may be.
pub(super) fn read_eal(top: &Table<'_>, clock: ClockSource) -> Eal {
    let section = Section::new(top, "eal", &keys::EAL);
    let kinds = [EalMemory::Hugepages, EalMemory::InMemory, EalMemory::NoHuge];
    let memory = section.choice("memory", &kinds);
    let Some(table) = section.table else {
        return Eal { memory, lcores: None, extra: Vec::new() };
    };
    let extra: Vec<_> = table.texts("extra").collect();
    for argument in &extra {
        if argument.value.contains('\0') {
            top.cx.report(Diagnostic::error(argument.at, "an EAL argument holds a NUL byte"));
        }
    }
    Eal {
        memory,
        lcores: read_lcores(&table, clock),
        extra: extra.iter().map(|a| a.value.to_owned()).collect(),
    }
}

fn read_lcores(eal: &Table<'_>, clock: ClockSource) -> Option<Lcores> {
    let node = eal.get("lcores")?;
    match node.value {
        Value::String(text) if text == "auto" => return None,
        Value::Table(_) => {}
        _ => {
            eal.cx.wrong(eal.key("lcores"), node);
            return None;
        }
    }
    let table = Table::new(eal.cx, &keys::LCORES, node)?;
    let management = table.number32("management");
    let cpu = table.key("management");
    let mut workers = Vec::new();
    let list: Vec<_> = table.list("workers").collect();
    for worker in &list {
        let one = keys::Key { name: "workers", ..*cpu };
        workers.extend(number(table.cx, &one, *worker).map(clamp32));
    }
    if let (Some(node), false) = (table.peek("workers"), (1..=WORKERS_MAX).contains(&list.len())) {
        table.cx.report(
            Diagnostic::error(node.at, format!("`workers` has {} CPUs", list.len()))
                .label(format!("allowed: 1 to {WORKERS_MAX}")),
        );
    }
    if let (Some(node), true, ClockSource::Capture) = (table.peek("workers"), list.len() > 1, clock)
    {
        table.cx.report(
            Diagnostic::error(node.at, format!("{} workers by the capture's clock", list.len()))
                .label("allowed: one; a run repeats exactly only where one worker does all")
                .help("name one CPU, or set `clock = \"tsc\"`"),
        );
    }
    Some(Lcores { management, workers })
}

/// `[memory]`, with the place to blame where it is too small.
pub(super) fn read_memory(top: &Table<'_>) -> (Memory, Place) {
    let section = Section::new(top, "memory", &keys::MEMORY);
    let packets = section.number("packets");
    let headers = section.table.and_then(|t| t.number("headers"));
    let headers = headers.map_or(packets, |v| clamp32(v.value));
    let at = section.table.map_or(top.at, |t| t.peek("packets").map_or(t.at, |n| n.at));
    (Memory { packets, headers }, at)
}

/// Every port's receive ring takes buffers before the first packet.
pub(super) fn check_memory(cx: &Context<'_>, memory: Memory, at: Place, ports: &[Port]) {
    let of = |port: &Port| if port.is_af_xdp() { AF_XDP_PACKETS } else { PORT_PACKETS_MIN };
    let (least, ports) = (ports.iter().map(of).sum::<u32>(), ports.len());
    if memory.packets < least {
        let message = format!("{} packets do not fit {ports} ports", memory.packets);
        let label = format!(
            "allowed: at least {least}, {PORT_PACKETS_MIN} a port and {AF_XDP_PACKETS} with af_xdp"
        );
        cx.report(Diagnostic::error(at, message).label(label));
    }
}

/// `edf.window`.
pub(super) fn read_edf_window(top: &Table<'_>) -> u32 {
    Section::new(top, "edf", &keys::EDF).number("window")
}

/// `fanout.copy_below`.
pub(super) fn read_copy_below(top: &Table<'_>) -> u32 {
    Section::new(top, "fanout", &keys::FANOUT).number("copy_below")
}

/// `[limits]`.
pub(super) fn read_limits(top: &Table<'_>) -> Limits {
    let section = Section::new(top, "limits", &keys::LIMITS);
    Limits {
        ports: section.number("ports"),
        rules: section.number("rules"),
        outputs: section.number("outputs"),
        rows: section.number("rows"),
        sources: section.number("sources"),
        groups: section.number("groups"),
        neighbours: section.number("neighbours"),
        unresolved: section.number("unresolved"),
    }
}

/// Longest path that a socket's address holds, in bytes.
const SOCKET_PATH_MAX: usize = 107;

/// `[management]`.
pub(super) fn read_management(
    top: &Table<'_>,
) -> (ControlSocket, Option<SocketAddr>, Option<Detail>) {
    match Section::new(top, "management", &keys::MANAGEMENT).table {
        Some(table) => {
            let detail = table.choice("detail", &Detail::ALL).map(|detail| detail.value);
            (read_socket(&table), read_metrics(&table), detail)
        }
        None => (ControlSocket::Auto, None, None),
    }
}

/// Where metrics are asked for: `detail`, else `metrics`. What is wrong with it is told elsewhere.
pub(super) fn metrics_place(top: &Table<'_>) -> Option<Place> {
    let node = top.peek("management")?;
    let Value::Table(entries) = node.value else {
        return None;
    };
    let at = |key: &str| entries.get(key).map(|item| Place::new(node.at.file, item.at.clone()));
    at("detail").or_else(|| at("metrics"))
}

fn read_socket(table: &Table<'_>) -> ControlSocket {
    let Some(text) = table.text("socket") else {
        return ControlSocket::Auto;
    };
    match text.value {
        "auto" => return ControlSocket::Auto,
        "off" => return ControlSocket::Off,
        path if !path.starts_with('/') => {}
        path if path.len() > SOCKET_PATH_MAX || path.contains('\0') => {}
        path => return ControlSocket::At(PathBuf::from(path)),
    }
    if let Some(node) = table.peek("socket") {
        table.cx.wrong(table.key("socket"), node);
    }
    ControlSocket::Off
}

fn read_metrics(table: &Table<'_>) -> Option<SocketAddr> {
    let text = table.text("metrics").filter(|text| text.value != "off")?;
    let address = text.value.parse::<SocketAddr>().ok();
    match (address, table.peek("metrics")) {
        (Some(address), _) if !address.ip().is_loopback() => table.cx.report(
            Diagnostic::warning(text.at, format!("metrics are answered at {address}"))
                .label("anyone who reaches this address can read them: there is no password"),
        ),
        (None, Some(node)) => table.cx.wrong(table.key("metrics"), node),
        _ => {}
    }
    address
}

/// `[class.*]` of all files.
pub(super) fn read_classes(tops: &[Table<'_>]) -> [ClassConfig; Class::COUNT] {
    let class = |millis, weight| ClassConfig { budget: Duration::from_millis(millis), weight };
    let mut classes = [class(1, 16), class(10, 4), class(100, 1)];
    for class in Class::ALL {
        let node = once(tops, "class", &keys::CLASSES, class.name());
        let table = node.and_then(|(cx, n)| Table::new(cx, &keys::CLASS, n));
        let Some(table) = table else { continue };
        let config = &mut classes[class as usize];
        if let Some(budget) = table.number("budget") {
            config.budget = Duration::from_nanos(budget.value);
        }
        if let Some(weight) = table.number("weight") {
            config.weight = clamp32(weight.value);
        }
    }
    classes
}

/// A table `[outer.name]` that may be in any one of the files.
pub(super) fn once<'a>(
    tops: &[Table<'a>],
    outer: &str,
    section: &'static keys::Section,
    name: &str,
) -> Option<(&'a Context<'a>, Node<'a>)> {
    let mut first: Option<(&Context<'_>, Node<'_>)> = None;
    for top in tops {
        let Some(table) = top.peek(outer).and_then(|n| Table::new(top.cx, section, n)) else {
            continue;
        };
        let Some(node) = table.peek(name) else {
            continue;
        };
        match first {
            None => first = Some((top.cx, node)),
            Some((cx, earlier)) => cx.report(
                Diagnostic::error(node.at, format!("[{outer}.{name}] is set in two files"))
                    .label("allowed: once over all files")
                    .related(earlier.at, "first set here"),
            ),
        }
    }
    first
}
