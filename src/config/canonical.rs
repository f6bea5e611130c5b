//! Every setting in force as text that is itself a configuration: loaded again, it is the same.

use std::fmt::Write as _;

use ipnet::IpNet;

use super::alert_kind::{AlertKind, AlertLimits, Threshold};
use super::types::*;
use super::units::{show_bytes, show_duration, show_packet_rate, show_rate};

/// The whole configuration with every default written out.
pub fn canonical(config: &Config) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write_config(&mut text, config);
    text
}

/// A prefix, or an address without its length.
pub(super) fn show_net(net: &IpNet) -> String {
    let mut shown = String::new();
    push_net(&mut shown, net);
    shown
}

/// [`show_net`] behind what is there. Each output of a file is named by it, so that IPv4 goes without
/// the formatter.
pub(super) fn push_net(shown: &mut String, net: &IpNet) {
    let is_one = net.prefix_len() == net.max_prefix_len();
    let push = |shown: &mut String, number: u8| {
        let digits = [number / 100, number / 10 % 10, number % 10].map(|digit| b'0' + digit);
        let from = usize::from(number < 100) + usize::from(number < 10);
        digits[from..].iter().for_each(|digit| shown.push(char::from(*digit)));
    };
    match net {
        IpNet::V4(net) => {
            for (n, octet) in net.addr().octets().into_iter().enumerate() {
                if n > 0 {
                    shown.push('.');
                }
                push(shown, octet);
            }
            if !is_one {
                shown.push('/');
                push(shown, net.prefix_len());
            }
        }
        IpNet::V6(net) if is_one => drop(write!(shown, "{}", net.addr())),
        IpNet::V6(net) => drop(write!(shown, "{net}")),
    }
}

/// A TOML string.
fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

fn array<T>(items: &[T], show: impl Fn(&T) -> String) -> String {
    let items: Vec<_> = items.iter().map(show).collect();
    format!("[{}]", items.join(", "))
}

fn write_config(out: &mut String, config: &Config) -> std::fmt::Result {
    let clock = match config.clock {
        ClockSource::Tsc => "tsc",
        ClockSource::Capture => "capture",
    };
    let idle = match config.idle {
        Idle::Auto => "auto",
        Idle::Spin => "spin",
        Idle::Adaptive => "adaptive",
    };
    writeln!(out, "schema = 1\nclock = \"{clock}\"\nidle = \"{idle}\"")?;
    writeln!(out, "\n[instance]\nname = {}", quote(&config.instance))?;
    write_eal(out, &config.eal)?;
    let Memory { packets, headers } = config.memory;
    writeln!(out, "\n[memory]\npackets = {packets}\nheaders = {headers}")?;
    for port in &config.ports {
        write_port(out, port)?;
    }
    for class in Class::ALL {
        let ClassConfig { budget, weight } = config.classes[class as usize];
        let budget = show_duration(budget);
        writeln!(out, "\n[class.{}]\nbudget = \"{budget}\"\nweight = {weight}", class.name())?;
    }
    for receiver in &config.receivers {
        let port = port_name(config, receiver.port);
        writeln!(out, "\n[[receiver]]\nname = {}\nport = {port}", quote(&receiver.name))?;
    }
    for rule in &config.rules {
        write_rule(out, config, rule)?;
    }
    let Limits { ports, rules, outputs, rows, sources, groups, neighbours, unresolved } =
        config.limits;
    writeln!(out, "\n[edf]\nwindow = {}", config.edf_window)?;
    writeln!(out, "\n[fanout]\ncopy_below = \"{}\"", show_bytes(config.copy_below.into()))?;
    writeln!(out, "\n[limits]\nports = {ports}\nrules = {rules}\noutputs = {outputs}")?;
    writeln!(out, "rows = {rows}\nsources = {sources}\ngroups = {groups}")?;
    writeln!(out, "neighbours = {neighbours}\nunresolved = {unresolved}")?;
    write_alerts(out, &config.alerts)?;
    let socket = match &config.socket {
        ControlSocket::Auto => "auto".into(),
        ControlSocket::Off => "off".into(),
        // It was read from a text.
        ControlSocket::At(path) => path.to_string_lossy(),
    };
    writeln!(out, "\n[management]\nsocket = {}", quote(&socket))?;
    match config.metrics {
        Some(address) => writeln!(out, "metrics = \"{address}\"")?,
        None => writeln!(out, "metrics = \"off\"")?,
    }
    // What is written out allows more than the same by default.
    match config.detail {
        Some(detail) => writeln!(out, "detail = \"{}\"", detail.name()),
        None => Ok(()),
    }
}

fn write_alerts(out: &mut String, alerts: &AlertLimits) -> std::fmt::Result {
    writeln!(out, "\n[alerts]")?;
    for kind in AlertKind::ALL {
        let name = kind.name();
        match alerts.of(kind) {
            None => writeln!(out, "{name} = \"off\"")?,
            Some(_) if kind.is_switch() => writeln!(out, "{name} = \"on\"")?,
            Some(Threshold { info, warning }) => {
                writeln!(out, "{name} = {{ info = {info}, warning = {warning} }}")?;
            }
        }
    }
    Ok(())
}

fn write_eal(out: &mut String, eal: &Eal) -> std::fmt::Result {
    let memory = match eal.memory {
        EalMemory::Hugepages => "hugepages",
        EalMemory::InMemory => "in-memory",
        EalMemory::NoHuge => "no-huge",
    };
    let lcores = match &eal.lcores {
        None => "\"auto\"".to_owned(),
        Some(Lcores { management, workers }) => {
            let workers = array(workers, u32::to_string);
            format!("{{ management = {management}, workers = {workers} }}")
        }
    };
    let extra = array(&eal.extra, |a| quote(a));
    writeln!(out, "\n[eal]\nmemory = \"{memory}\"\nlcores = {lcores}\nextra = {extra}")
}

fn write_port(out: &mut String, port: &Port) -> std::fmt::Result {
    let rx = match port.rx {
        RxMode::Live => "live",
        RxMode::Lossless => "lossless",
    };
    let rx_checksum = match port.rx_checksum {
        RxChecksum::Trust => "trust",
        RxChecksum::Complete => "complete",
    };
    writeln!(out, "\n[[port]]\nname = {}\ndevice = {}", quote(&port.name), quote(&port.device))?;
    if let Some(driver) = port.driver {
        writeln!(out, "driver = \"{}\"", driver.name())?;
    }
    writeln!(out, "address = {}", array(&port.address, |net| quote(&net.to_string())))?;
    writeln!(out, "mtu = {}\nrx = \"{rx}\"\nrx_checksum = \"{rx_checksum}\"", port.mtu)?;
    writeln!(out, "join = {}", port.join)?;
    if port.bundle {
        writeln!(out, "bundle = true")?;
    }
    if !port.gateway.is_empty() {
        writeln!(out, "gateway = {}", array(&port.gateway, |via| format!("\"{via}\"")))?;
    }
    if !port.routes.is_empty() {
        let route =
            |Route { to, via }: &Route| format!("{{ to = \"{}\", via = \"{via}\" }}", show_net(to));
        writeln!(out, "route = {}", array(&port.routes, route))?;
    }
    if !port.neighbours.is_empty() {
        let entry = |StaticNeighbour { address, mac }: &StaticNeighbour| {
            format!("{{ address = \"{address}\", mac = \"{mac}\" }}")
        };
        writeln!(out, "neighbour = {}", array(&port.neighbours, entry))?;
    }
    writeln!(out, "reachable = \"{}\"", show_duration(port.reachable))?;
    if let Some(queues) = port.rx_queues {
        writeln!(out, "rx_queues = {queues}")?;
    }
    if let Some(RateLimit { rate, burst }) = port.shaper {
        writeln!(out, "rate = \"{}\"\nburst = \"{}\"", show_rate(rate), show_bytes(burst))?;
    }
    Ok(())
}

fn port_name(config: &Config, slot: usize) -> String {
    config.ports.get(slot).map_or_else(String::new, |port| quote(&port.name))
}

fn write_rule(out: &mut String, config: &Config, rule: &Rule) -> std::fmt::Result {
    let late = match rule.late {
        Late::Send => "send",
        Late::Drop => "drop",
    };
    let flow = match rule.flow {
        FlowKind::Rule => "rule",
        FlowKind::Row => "row",
        FlowKind::Source => "source",
    };
    writeln!(out, "\n[[rule]]\nname = {}", quote(&rule.name))?;
    writeln!(out, "input = {}", show_input(config, &rule.input))?;
    writeln!(out, "class = \"{}\"", rule.class.name())?;
    writeln!(out, "budget = \"{}\"\nweight = {}", show_duration(rule.budget), rule.weight)?;
    writeln!(out, "late = \"{late}\"\nflow = \"{flow}\"")?;
    if let Some(RateLimit { rate, burst }) = rule.police {
        let (rate, burst) = (show_rate(rate), show_bytes(burst));
        writeln!(out, "police = {{ rate = \"{rate}\", burst = \"{burst}\" }}")?;
    }
    if let Some(Expect { min, within }) = rule.expect {
        let (min, within) = (show_packet_rate(min), show_duration(within));
        writeln!(out, "expect = {{ min = \"{min}\", within = \"{within}\" }}")?;
    }
    writeln!(out, "queue = {}\noutput = [", show_queue(rule.queue))?;
    let members = rule.members();
    for output in &rule.outputs[..rule.outputs.len() - members.len()] {
        writeln!(out, "  {{ {} }},", show_output(config, output))?;
    }
    writeln!(out, "]")?;
    if let Some(Balance { by, .. }) = rule.balance {
        writeln!(out, "balance = {{ by = \"{}\", to = [", by.name())?;
        for output in members {
            writeln!(out, "  {{ {} }},", show_output(config, output))?;
        }
        writeln!(out, "] }}")?;
    }
    Ok(())
}

fn show_queue(queue: QueueBound) -> String {
    format!("{{ packets = {}, bytes = \"{}\" }}", queue.packets, show_bytes(queue.bytes))
}

fn show_input(config: &Config, input: &Input) -> String {
    let ports = array(&input.ports, |slot| port_name(config, *slot));
    let nets = |nets: &[IpNet]| array(nets, |net| quote(&show_net(net)));
    let udp_port = match input.udp_port {
        None => "\"any\"".to_owned(),
        Some(PortRange { first, last }) if first == last => first.to_string(),
        Some(PortRange { first, last }) => format!("\"{first}-{last}\""),
    };
    let vlan = match input.vlan {
        VlanMatch::Untagged => String::new(),
        VlanMatch::Id(id) => format!(", vlan = {id}"),
        VlanMatch::Any => ", vlan = \"any\"".to_owned(),
    };
    let destination = nets(&input.destination);
    let source = match input.source.is_empty() {
        true => String::new(),
        false => format!(", source = {}", nets(&input.source)),
    };
    let join = if input.join { "" } else { ", join = false" };
    let fragments = match input.fragments {
        Fragments::Drop => "",
        Fragments::Forward => ", fragments = \"forward\"",
    };
    format!(
        "{{ port = {ports}, destination = {destination}, udp_port = {udp_port}{vlan}{source}{join}{fragments} }}"
    )
}

fn show_output(config: &Config, output: &Output) -> String {
    let mut keys = Vec::new();
    if let Some(receiver) = output.receiver.and_then(|slot| config.receivers.get(slot)) {
        keys.push(format!("receiver = {}", quote(&receiver.name)));
    }
    keys.push(format!("port = {}", port_name(config, output.port)));
    if let Some(net) = &output.destination {
        keys.push(format!("destination = {}", quote(&show_net(net))));
    }
    match output.udp_port {
        UdpPortRewrite::Keep => {}
        UdpPortRewrite::Fixed(port) => keys.push(format!("udp_port = {port}")),
        UdpPortRewrite::Shift(shift) => keys.push(format!("udp_port = \"{shift:+}\"")),
    }
    let source = output.source.map_or_else(|| "keep".to_owned(), |ip| ip.to_string());
    keys.push(format!("source = \"{source}\""));
    keys.push(match output.source_port {
        SourcePortRewrite::Keep => "source_port = \"keep\"".to_owned(),
        SourcePortRewrite::Destination => "source_port = \"destination\"".to_owned(),
        SourcePortRewrite::Fixed(port) => format!("source_port = {port}"),
    });
    keys.push(match output.vlan {
        VlanRewrite::Keep => "vlan = \"keep\"".to_owned(),
        VlanRewrite::None => "vlan = \"none\"".to_owned(),
        VlanRewrite::Id(id) => format!("vlan = {id}"),
    });
    keys.push(match output.ttl {
        TtlRewrite::Decrement => "ttl = \"decrement\"".to_owned(),
        TtlRewrite::Set(ttl) => format!("ttl = {ttl}"),
    });
    keys.push(match output.dscp {
        None => "dscp = \"keep\"".to_owned(),
        Some(dscp) => format!("dscp = {dscp}"),
    });
    keys.extend(output.mac.map(|mac| format!("mac = \"{mac}\"")));
    keys.push(format!("sample = {}, weight = {}", output.sample, output.weight));
    keys.push(format!("queue = {}", show_queue(output.queue)));
    keys.join(", ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn prefixes_are_shown_as_the_formatter_shows_them(bits in any::<u128>(), len in 0..=128_u8) {
            let v4 = IpNet::new(std::net::Ipv4Addr::from(bits as u32).into(), len / 4).unwrap();
            let v6 = IpNet::new(std::net::Ipv6Addr::from(bits).into(), len).unwrap();
            for net in [v4, v6, v4.addr().into(), v6.addr().into()] {
                let is_one = net.prefix_len() == net.max_prefix_len();
                let told = if is_one { net.addr().to_string() } else { net.to_string() };
                prop_assert_eq!(show_net(&net), told);
            }
        }
    }
}
