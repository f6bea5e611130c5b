//! What `punctual check` prints: the plan in words, every choice that was made for the operator
//! with its reason, and the memory that it needs.

use std::path::Path;

use super::report::{show_destination, show_udp_port};
use super::text::{Cell, Grid, Paint, Style, grouped, size, wrapped};
use crate::config::{
    Class, ClockSource, Config, EalMemory, FlowKind, Fragments, Idle, Late, NextHop, Output, Port,
    QueueBound, RateLimit, Rule, RxChecksum, RxMode, SourcePortRewrite, TtlRewrite, VlanMatch,
    VlanRewrite, joins, names_hosts, rows, show_bytes, show_duration, show_rate,
};
use crate::plan::{Plan, PlanError, PortFacts, memory};
use crate::wire::MacAddr;

/// What is printed.
#[derive(Clone, Copy, Debug)]
pub struct Check<'a> {
    /// The file.
    pub path: &'a Path,
    /// The configuration in it.
    pub config: &'a Config,
    /// Its plan, as [`plan`] builds it.
    pub plan: &'a Plan,
    /// Every setting in force, as a configuration of its own.
    pub settings: &'a str,
    /// The warnings, rendered.
    pub warnings: &'a str,
}

/// The plan of a configuration whose devices are not opened: whether a port sends chains is
/// known by its driver's name alone.
///
/// # Errors
/// As for [`Plan::first`].
pub fn plan(config: &Config) -> Result<Plan, PlanError> {
    // No time is taken by this plan: any clock will do.
    Ok(Plan::first(config, &facts(config), 1_000_000_000)?.0)
}

/// What is known of ports that are not open.
pub fn facts(config: &Config) -> Vec<PortFacts> {
    let facts = config.ports.iter().map(|port| PortFacts {
        mac: MacAddr::default(),
        mtu: port.mtu,
        sends_chains: port.bundle || !port.is_af_xdp(),
    });
    facts.collect()
}

impl Check<'_> {
    /// The text.
    pub fn render(&self, style: Style) -> String {
        let parts = [
            ("", self.header()),
            ("ports", self.ports(style)),
            ("classes", self.classes(style)),
            ("rules", self.rules(style)),
            ("totals", self.totals()),
            ("memory", self.memory(style)),
            ("settings in force", self.settings.trim_end().to_owned()),
            ("warnings", self.warnings.trim_end().to_owned()),
        ];
        let mut text = String::new();
        for (title, part) in parts.iter().filter(|(_, part)| !part.is_empty()) {
            if !title.is_empty() {
                text.push('\n');
                text.push_str(&style.paint(Paint::Head, title));
                text.push('\n');
            }
            text.push_str(part);
            if !part.ends_with('\n') {
                text.push('\n');
            }
        }
        text
    }

    fn header(&self) -> String {
        let config = self.config;
        let clock = match config.clock {
            ClockSource::Tsc => "TSC",
            ClockSource::Capture => "capture timestamps",
        };
        let idle = match config.idle {
            Idle::Auto => "adaptive where lcores share a CPU, else spin",
            Idle::Spin => "spin",
            Idle::Adaptive => "adaptive",
        };
        let lcores = match &config.eal.lcores {
            None => "auto".into(),
            Some(lcores) => {
                let workers: Vec<_> = lcores.workers.iter().map(u32::to_string).collect();
                let workers = workers.join(", ");
                format!("management {}, workers {workers}", lcores.management)
            }
        };
        format!(
            "{}: valid\n  instance {}\n  clock: {clock}\n  idle: {idle}\n  EAL memory: {}\n  lcores: {lcores}\n",
            self.path.display(),
            config.instance,
            show_memory(config.eal.memory),
        )
    }

    fn ports(&self, style: Style) -> String {
        let mut grid = Grid::new([
            Cell::left("  name"),
            Cell::left("rx"),
            Cell::right("MTU"),
            Cell::left("rx checksum"),
            Cell::right("outputs"),
            Cell::left("device"),
        ]);
        for (port, plan) in self.config.ports.iter().zip(&self.plan.ports) {
            grid.row([
                Cell::left(format!("  {}", port.name)),
                Cell::left(match port.rx {
                    RxMode::Live => "live",
                    RxMode::Lossless => "lossless",
                }),
                Cell::number(port.mtu.into()),
                Cell::left(match port.rx_checksum {
                    RxChecksum::Trust => "trust",
                    RxChecksum::Complete => "complete",
                }),
                Cell::number(plan.lanes.into()),
                Cell::left(&port.device),
            ]);
            if !port.address.is_empty() {
                let line = format!("    address {}", list(&port.address));
                grid.line(line, Paint::Plain);
            }
            if let Some(line) = ways(port) {
                grid.line(line, Paint::Plain);
            }
            if port.bundle {
                grid.line("    bundles: the kernel cuts them up", Paint::Plain);
            }
            if let Some(RateLimit { rate, burst }) = port.shaper {
                let (rate, burst) = (show_rate(rate), show_bytes(burst));
                grid.line(format!("    sent at most {rate}, burst {burst}"), Paint::Plain);
            }
        }
        grid.render(style)
    }

    fn classes(&self, style: Style) -> String {
        let mut grid = Grid::new([
            Cell::left("  name"),
            Cell::right("budget"),
            Cell::right("weight"),
            Cell::right("rules"),
        ]);
        for class in Class::ALL {
            let settings = &self.config.classes[class as usize];
            let rules = self.config.rules.iter().filter(|rule| rule.class == class);
            grid.row([
                Cell::left(format!("  {}", class.name())),
                Cell::right(show_duration(settings.budget)),
                Cell::number(settings.weight.into()),
                Cell::number(rules.count() as u64),
            ]);
        }
        grid.render(style)
    }

    fn rules(&self, style: Style) -> String {
        let mut text = String::new();
        for rule in &self.config.rules {
            text.push_str("  ");
            text.push_str(&style.paint(Paint::Head, &rule.name));
            text.push('\n');
            text.push_str(&wrapped("    ", &self.rule_phrases(rule)));
            text.push_str(&wrapped("    ", &input_phrases(self.config, rule)));
            for output in &rule.outputs {
                text.push_str(&format!("    -> {}\n", output.name));
                let phrases = output_phrases(self.config, rule, output);
                text.push_str(&wrapped("         ", &phrases));
            }
        }
        text
    }

    fn rule_phrases(&self, rule: &Rule) -> Vec<String> {
        let budget = show_duration(rule.budget);
        let class_budget = self.config.classes[rule.class as usize].budget;
        let whose = if rule.budget == class_budget { "the class's" } else { "its own" };
        let police = rule.police.map_or("no police".into(), |police| {
            let rate = show_rate(police.rate);
            format!("police {rate} with burst {} a flow", show_bytes(police.burst))
        });
        vec![
            format!("class {}", rule.class.name()),
            format!("budget {budget} ({whose})"),
            match rule.late {
                Late::Send => "late packets are sent".into(),
                Late::Drop => "late packets are dropped".into(),
            },
            match rule.flow {
                FlowKind::Rule => "one flow".into(),
                FlowKind::Row => "a flow a row".into(),
                FlowKind::Source => "a flow a source".into(),
            },
            format!("weight {}", rule.weight),
            police,
            format!("queue {} a flow", queue(rule.queue)),
        ]
    }

    fn totals(&self) -> String {
        let plan = self.plan;
        let count = |n: usize, one: &str| {
            let s = if n == 1 { "" } else { "s" };
            format!("{} {one}{s}", grouped(n as u64))
        };
        let flows = plan.flows.total();
        let phrases = [
            count(plan.rules.len(), "rule"),
            count(plan.rows.len(), "row"),
            count(plan.outputs.len(), "output"),
            count(flows, "flow"),
        ];
        wrapped("  ", &phrases)
    }

    fn memory(&self, style: Style) -> String {
        let kind = self.config.eal.memory;
        let mut grid = Grid::new([
            Cell::left("  what"),
            Cell::right("entries"),
            Cell::right("bytes each"),
            Cell::right("in all"),
        ]);
        let mut pools = 0;
        for pool in memory::Pools::new(self.config, self.plan).all() {
            pools += pool.bytes(kind);
            grid.row([
                Cell::left(format!("  pool {}", pool.name)),
                Cell::number(pool.packets.into()),
                Cell::number(pool.buffer_bytes()),
                Cell::right(size(pool.bytes(kind))),
            ]);
        }
        let total = |name: &str, bytes| {
            [Cell::left(name), Cell::left(""), Cell::left(""), Cell::right(size(bytes))]
        };
        let spare = memory::Pools::spare(self.config);
        if spare > 0 {
            let more = u64::from(self.config.limits.ports) - self.config.ports.len() as u64;
            grid.row([
                Cell::left("  ports to be added"),
                Cell::number(more),
                Cell::number(spare / more),
                Cell::right(size(spare)),
            ]);
        }
        grid.row(total("  EAL memory", pools + spare));
        let mut heap = 0;
        let workers = self.config.eal.lcores.as_ref().map_or(1, |lcores| lcores.workers.len());
        for table in memory::tables(self.plan, workers) {
            heap += table.bytes;
            grid.row([
                Cell::left(format!("  {}", table.name)),
                Cell::number(table.entries),
                Cell::number(table.bytes / table.entries.max(1)),
                Cell::right(size(table.bytes)),
            ]);
        }
        grid.row(total("  process memory", heap));
        let text = grid.render(style);
        if kind == EalMemory::NoHuge {
            return text;
        }
        let pages = grouped(pools.div_ceil(memory::HUGEPAGE));
        let page = size(memory::HUGEPAGE);
        format!("{text}  at least {pages} hugepages of {page}, besides the drivers' own rings\n")
    }
}

fn input_phrases(config: &Config, rule: &Rule) -> Vec<String> {
    let input = &rule.input;
    let ports: Vec<_> = input.ports.iter().map(|&slot| config.ports[slot].name.as_str()).collect();
    let mut phrases = vec![
        format!("from {}", ports.join(" and ")),
        format!("destination {}", list(&input.destination)),
        match input.udp_port {
            None => "any UDP port".into(),
            Some(range) if range.first == range.last => format!("UDP port {}", range.first),
            Some(range) => format!("UDP ports {}-{}", range.first, range.last),
        },
        match input.vlan {
            VlanMatch::Untagged => "untagged".into(),
            VlanMatch::Id(id) => format!("VLAN {id}"),
            VlanMatch::Any => "any VLAN or none".into(),
        },
    ];
    phrases.push(match input.source[..] {
        [] => "any source".into(),
        _ => format!("source {}", list(&input.source)),
    });
    if input.fragments == Fragments::Forward {
        phrases.push("fragments, too".into());
    }
    let rows = rows(rule);
    let s = if rows == 1 { "" } else { "s" };
    phrases.push(format!("{} row{s}", grouped(rows)));
    let joins = joins(input, &config.ports).count() as u64;
    if joins > 0 {
        let s = if joins == 1 { "" } else { "s" };
        let sources = if names_hosts(input) { " for its sources" } else { "" };
        phrases.push(format!("joins {} group{s}{sources}", grouped(joins)));
    }
    phrases
}

fn output_phrases(config: &Config, rule: &Rule, output: &Output) -> Vec<String> {
    let source_port = match output.source_port {
        SourcePortRewrite::Keep => "kept".into(),
        SourcePortRewrite::Destination => "as the destination's".into(),
        SourcePortRewrite::Fixed(port) => port.to_string(),
    };
    let kept = |text: String| {
        if text == "keep" { "kept".into() } else { text }
    };
    let mut phrases = vec![
        format!("port {}", config.ports[output.port].name),
        format!("destination {}", kept(show_destination(output.destination))),
        format!("UDP port {}", kept(show_udp_port(output.udp_port))),
        match output.vlan {
            VlanRewrite::Keep => "VLAN kept".into(),
            VlanRewrite::None => "untagged".into(),
            VlanRewrite::Id(id) => format!("VLAN {id}"),
        },
        format!("TTL {}", ttl(output)),
        output.dscp.map_or("DSCP kept".into(), |dscp| format!("DSCP {dscp}")),
        mac(config, output),
        output.source.map_or("source kept".into(), |source| format!("source {source}")),
        format!("source port {source_port}"),
        format!("weight {}", output.weight),
    ];
    if output.queue != rule.queue {
        phrases.push(format!("queue {}", queue(output.queue)));
    }
    if output.sample > 1 {
        phrases.push(format!("one packet in {}", output.sample));
    }
    let member = rule.outputs.iter().position(|other| std::ptr::eq(other, output));
    let first = rule.outputs.len() - rule.members().len();
    if let (Some(balance), Some(place)) = (rule.balance, member.filter(|&place| place >= first)) {
        let (share, by) = (100.0 * rule.share_of(place), balance.by.name());
        phrases.push(format!("balanced by {by}: {share:.1} % of them"));
    }
    phrases
}

/// Whom copies go to that are not for hosts on the port's link, and whose MAC is not asked for.
fn ways(port: &Port) -> Option<String> {
    let count = |n: usize, one: &str| match n {
        0 => None,
        1 => Some(format!("1 {one}")),
        _ => Some(format!("{n} {one}s")),
    };
    let gateway = (!port.gateway.is_empty()).then(|| format!("gateway {}", list(&port.gateway)));
    let (routes, fixed) = (port.routes.len(), port.neighbours.len());
    let ways = [gateway, count(routes, "route"), count(fixed, "static neighbour")];
    let ways: Vec<_> = ways.into_iter().flatten().collect();
    (!ways.is_empty()).then(|| format!("    {}", ways.join(", ")))
}

/// Where the destination MAC comes from.
fn mac(config: &Config, output: &Output) -> String {
    match (output.mac, output.next_hop) {
        (Some(mac), _) => format!("MAC {mac}"),
        (None, None) => "MAC from the group".into(),
        (None, Some(NextHop::Each(hosts))) => format!("MAC asked of each host of {hosts}"),
        (None, Some(NextHop::One(host))) => match config.ports[output.port].static_mac(host) {
            Some(mac) => format!("MAC {mac} of {host}"),
            None => format!("MAC asked of {host}"),
        },
    }
}

/// What happens to the TTL, and why: a copy with a new destination is a new datagram.
fn ttl(output: &Output) -> String {
    match (output.ttl, output.destination) {
        (TtlRewrite::Decrement, None) => "decrement: destination kept".into(),
        (TtlRewrite::Decrement, Some(_)) => "decrement: set".into(),
        (TtlRewrite::Set(16), Some(_)) => "16: new datagram".into(),
        (TtlRewrite::Set(ttl), _) => format!("{ttl}: set"),
    }
}

fn queue(bound: QueueBound) -> String {
    let packets = grouped(bound.packets.into());
    format!("{packets} packets or {}", show_bytes(bound.bytes))
}

fn list<T: ToString>(items: &[T]) -> String {
    let items: Vec<_> = items.iter().map(T::to_string).collect();
    items.join(" and ")
}

fn show_memory(memory: EalMemory) -> &'static str {
    match memory {
        EalMemory::Hugepages => "hugepages",
        EalMemory::InMemory => "hugepages of this process alone",
        EalMemory::NoHuge => "ordinary pages",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::StaticNeighbour;
    use crate::manage::fixture::{assert_golden, config};
    use crate::manage::text::WIDTH;

    fn render(config: &Config) -> String {
        let plan = plan(config).unwrap();
        let check = Check {
            path: Path::new("demo.toml"),
            config,
            plan: &plan,
            settings: "",
            warnings: "warning: look at this\n",
        };
        check.render(Style::PLAIN)
    }

    #[test]
    fn the_plan_is_as_reviewed_and_fits() {
        let text = render(&config());
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH));
        assert_golden("check.txt", &text);
    }

    #[test]
    fn every_ttl_says_why() {
        let output = |ttl, destination: Option<&str>| Output {
            ttl,
            destination: destination.map(|net| net.parse().unwrap()),
            ..config().rules[0].outputs[0].clone()
        };
        let group = Some("239.9.9.9/32");
        let why = [
            (TtlRewrite::Decrement, None, "decrement: destination kept"),
            (TtlRewrite::Decrement, group, "decrement: set"),
            (TtlRewrite::Set(16), group, "16: new datagram"),
            (TtlRewrite::Set(16), None, "16: set"),
            (TtlRewrite::Set(3), group, "3: set"),
        ];
        for (rewrite, destination, text) in why {
            assert_eq!(ttl(&output(rewrite, destination)), text);
        }
    }

    #[test]
    fn every_mac_says_whose_it_is() {
        let mut config = config();
        let fixed = StaticNeighbour {
            address: "10.0.0.9".parse().unwrap(),
            mac: MacAddr([2, 0, 0, 0, 0, 9]),
        };
        config.ports[1].neighbours = vec![fixed];
        config.ports[1].gateway = vec!["10.0.0.254".parse().unwrap()];
        let text = |next_hop| {
            let output = config.rules[0].outputs[0].clone();
            mac(&config, &Output { next_hop: Some(next_hop), ..output })
        };
        let one = |address: &str| NextHop::One(address.parse().unwrap());
        assert_eq!(text(one("10.0.0.8")), "MAC asked of 10.0.0.8");
        assert_eq!(text(one("10.0.0.9")), "MAC 02:00:00:00:00:09 of 10.0.0.9");
        let net = NextHop::Each("10.0.0.16/30".parse().unwrap());
        assert_eq!(text(net), "MAC asked of each host of 10.0.0.16/30");
        assert!(render(&config).contains("gateway 10.0.0.254, 1 static neighbour\n"));
    }

    #[test]
    fn ports_that_take_no_chains_need_a_pool_of_their_own() {
        let mut config = config();
        assert!(!render(&config).contains("pool linear/"));
        config.ports[1].device = "net_af_xdp0,iface=eth1".into();
        assert!(render(&config).contains("pool linear/out"));
        config.ports[1].device = "net_pcap1,tx_pcap=x".into();
        config.copy_below = 128;
        let text = render(&config);
        assert!(text.contains("pool linear/out") && !text.contains("pool linear/in"));
    }

    #[test]
    fn hugepages_are_counted() {
        let mut config = config();
        config.eal.memory = EalMemory::Hugepages;
        assert!(render(&config).contains("hugepages of 2.0 MiB"));
    }

    #[test]
    fn too_many_rows_are_an_error() {
        let mut config = config();
        config.limits.rows = 1;
        assert!(matches!(plan(&config), Err(PlanError::TooManyRows { .. })));
    }
}
