//! `punctual check FILE --probe`: whether this host has what a configuration needs. It reads what
//! the kernel tells of itself and touches no device, so that a running instance notices nothing.

use std::fs;
use std::path::Path;

use super::interfaces::{self, Facts};
use super::placement::{self, Place, Topology};
use super::text::{Paint, Style, size};
use crate::config::{Config, EalMemory, KernelDriver, Lcores, Port, RxChecksum};
use crate::dpdk;
use crate::plan::Plan;
use crate::plan::memory::Pools;

/// What a look at one thing found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It is there.
    Good(String),
    /// It works, but not as one would wish; with what to do.
    Warning(String),
    /// It is not there: a start would fail; with what to do.
    Missing(String),
}

use Finding::{Good, Missing, Warning};

/// Looks at everything that `config` needs.
pub fn probe(config: &Config, plan: &Plan) -> Vec<Finding> {
    let allowed = dpdk::allowed_cpus();
    let chosen = super::crew::lcores(config, &allowed);
    let mut found = vec![memory(config, plan)];
    let topology = Topology::of_host();
    let places = placement::places(&topology, &chosen);
    found.extend(lcores(&chosen, &allowed, &places));
    let modules = dpdk::check_modules(&config.eal.extra);
    found.extend(modules.err().map(|error| Missing(error.to_string())));
    for (slot, port) in config.ports.iter().enumerate() {
        let receives = config.rules.iter().any(|rule| rule.input.ports.contains(&slot));
        found.extend(device(port, receives, (&topology, &places)));
    }
    found
}

/// The findings as `check` prints them.
pub fn render(findings: &[Finding], style: Style) -> String {
    let mut text = format!("\n{}\n", style.paint(Paint::Head, "this host"));
    for finding in findings {
        let (word, paint, said) = match finding {
            Good(said) => ("ok", Paint::Plain, said),
            Warning(said) => ("warning", Paint::Loss, said),
            Missing(said) => ("missing", Paint::Bad, said),
        };
        let mark = style.paint(paint, &format!("{word:<7}"));
        text.push_str(&format!("  {mark}  {said}\n"));
    }
    text
}

fn memory(config: &Config, plan: &Plan) -> Finding {
    let kind = config.eal.memory;
    let pools = Pools::new(config, plan);
    let needed = pools.all().map(|pool| pool.bytes(kind)).sum::<u64>();
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
    };
    if kind == EalMemory::NoHuge {
        let available = field("MemAvailable").unwrap_or_default() << 10;
        let told = format!("{} of memory are needed, {} available", size(needed), size(available));
        return match needed <= available {
            true => Good(told),
            false => Missing(format!("{told}: lower [memory] packets")),
        };
    }
    let page = field("Hugepagesize").unwrap_or_default() << 10;
    let free = field("HugePages_Free").unwrap_or_default() * page;
    let told = format!("{} of hugepages are needed, {} free", size(needed), size(free));
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let is_mounted = mounts.lines().any(|line| line.split(' ').nth(2) == Some("hugetlbfs"));
    if free < needed {
        let megabytes = needed.div_ceil(1 << 20) + 64;
        Missing(format!("{told}: `dpdk-hugepages.py --setup {megabytes}M`, as root"))
    } else if kind == EalMemory::Hugepages && !is_mounted {
        Missing(format!("{told}, but no hugetlbfs is mounted: `dpdk-hugepages.py --mount`"))
    } else {
        Good(told)
    }
}

fn lcores(lcores: &Lcores, allowed: &[u32], places: &[Place]) -> Vec<Finding> {
    let all = || std::iter::once(&lcores.management).chain(&lcores.workers);
    let list = |cpus: &[u32]| cpus.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
    let mut found = vec![];
    let workers: Vec<_> = places.iter().map(Place::to_string).collect();
    let told =
        format!("management on CPU {}, workers on {}", lcores.management, workers.join("; "));
    let barred: Vec<_> = all().copied().filter(|cpu| !allowed.contains(cpu)).collect();
    if barred.is_empty() {
        found.push(Good(told));
    } else {
        let (barred, allowed) = (list(&barred), list(allowed));
        found.push(Missing(format!(
            "{told}: this process may not use CPU {barred}, only {allowed}; correct [eal] lcores"
        )));
    }
    let misplaced = places.iter().flat_map(|place| &place.misplaced);
    found.extend(misplaced.cloned().map(Warning));
    found
}

fn device(port: &Port, receives: bool, place: (&Topology, &[Place])) -> Vec<Finding> {
    if let Some(driver) = port.driver {
        let mut found = library(port, driver.eal_name());
        match interfaces::facts(&port.device) {
            Ok(facts) => found.extend(interface(port, driver, &facts, receives)),
            Err(error) => found.push(Missing(format!(
                "port {}: interface {}: {error}; `ip link` lists those there are",
                port.name, port.device
            ))),
        }
        return found;
    }
    let name = port.device.split(',').next().unwrap_or_default();
    if name.contains(':') && name.contains('.') {
        pci(port, name, place)
    } else {
        library(port, name)
    }
}

/// Whether there is the driver of a virtual device.
fn library(port: &Port, device: &str) -> Vec<Finding> {
    match dpdk::missing_driver(device) {
        None => vec![],
        Some(remedy) => {
            vec![Missing(format!("port {}: no driver for {device}: {remedy}", port.name))]
        }
    }
}

fn interface(port: &Port, driver: KernelDriver, facts: &Facts, receives: bool) -> Vec<Finding> {
    let (name, device) = (&port.name, &port.device);
    let kind = facts.kind.as_deref().unwrap_or("card");
    let state = if facts.is_up { "up" } else { "down" };
    let told = format!("port {name}: {device} is a {kind}, {state}, MTU {}", facts.mtu);
    let mut found = vec![Good(format!("{told}, driver {}", driver.name()))];
    let mut warn = |text: String| found.push(Warning(format!("port {name}: {text}")));
    if !facts.is_up {
        warn(format!(
            "nothing is sent while {device} is down: `ip link set {device} up`, or its cable"
        ));
    }
    if facts.mtu < port.mtu {
        warn(format!(
            "copies longer than {} bytes end as `mtu`: `ip link set {device} mtu {}`, or lower `mtu`",
            facts.mtu, port.mtu
        ));
    }
    let is_of_this_host = ["veth", "tun", "bridge", "macvlan"].contains(&kind);
    if receives && is_of_this_host && port.rx_checksum == RxChecksum::Trust {
        warn(
            "frames that a kernel of this host sends have unfinished UDP checksums, and receivers \
             would drop the copies: set rx_checksum = \"complete\", or turn the senders' offload off \
             (`ethtool -K INTERFACE tx off`)"
                .into(),
        );
    }
    if driver == KernelDriver::AfXdp {
        let queues = rx_queues(device);
        if receives && queues > 1 {
            warn(format!(
                "{device} has {queues} receive queues and af_xdp reads the first: \
                 `ethtool -L {device} combined 1`, or what comes to the others is lost"
            ));
        }
    }
    found
}

fn rx_queues(interface: &str) -> usize {
    let entries = fs::read_dir(format!("/sys/class/net/{interface}/queues"));
    let names = entries.into_iter().flatten().flatten().map(|entry| entry.file_name());
    names.filter(|name| name.to_string_lossy().starts_with("rx-")).count()
}

fn pci(port: &Port, address: &str, (topology, places): (&Topology, &[Place])) -> Vec<Finding> {
    let short = address.len() == "00:00.0".len();
    let address = if short { format!("0000:{address}") } else { address.to_owned() };
    let place = Path::new("/sys/bus/pci/devices").join(&address);
    let name = &port.name;
    if !place.exists() {
        return vec![Missing(format!(
            "port {name}: no PCI device {address}: `dpdk-devbind.py --status-dev net` lists those \
             there are"
        ))];
    }
    let driver = fs::read_link(place.join("driver")).ok();
    let driver = driver.and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    let mut found = vec![match driver.as_deref() {
        // Mellanox cards stay the kernel's while DPDK uses them.
        Some("vfio-pci" | "uio_pci_generic" | "igb_uio" | "mlx4_core" | "mlx5_core") => {
            Good(format!("port {name}: {address} has driver {}", driver.unwrap_or_default()))
        }
        other => Missing(format!(
            "port {name}: {address} has driver {}: `dpdk-devbind.py -b vfio-pci {address}`, as root",
            other.unwrap_or("none")
        )),
    }];
    let node = fs::read_to_string(place.join("numa_node")).unwrap_or_default();
    // -1 is a host with one node. Which worker has which port is decided when they are open.
    if let Ok(node) = node.trim().parse() {
        let far = places.iter().flat_map(|place| {
            let mut place = Place { misplaced: vec![], ..place.clone() };
            place.far_from(topology, name, node);
            place.misplaced
        });
        found.extend(far.map(Warning));
    }
    found
}
