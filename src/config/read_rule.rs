//! Reads `[[rule]]` and `[default.rule]`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use toml::de::DeValue;

use super::canonical::show_net;
use super::check_output::{check_same_outputs, finish_output, name_outputs};
use super::keys;
use super::known::Rest;
use super::names::Names;
use super::read_alerts::read_expect;
use super::read_output::{Layers, or_one, read_output, read_port_range, read_vlan_match};
use super::read_port::{FRAME_EXTRA, check_burst};
use super::reader::{At, Context, Table, clamp32, preset_number};
use super::report::Diagnostic;
use super::source::Place;
use super::types::*;
use super::units::{show_bytes, show_duration};
use crate::sched::HORIZON_BUDGETS;

/// Most prefixes of one `destination` or `source`.
const PREFIXES_MAX: usize = 1_024;

/// What one layer says of a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct RuleSettings {
    class: Option<At<Class>>,
    budget: Option<At<u64>>,
    weight: Option<At<u64>>,
    late: Option<At<Late>>,
    flow: Option<At<FlowKind>>,
    police: Option<At<RateLimit>>,
    queue: Option<At<QueueBound>>,
    expect: Option<Expect>,
    unsound: bool,
}

impl RuleSettings {
    /// Where the class is said.
    pub(super) fn class_at(&self) -> Option<Place> {
        self.class.map(|class| class.at)
    }
}

/// A rule with the places that cross-checks point at.
#[derive(Clone, Debug)]
pub(super) struct ReadRule {
    pub rule: Rule,
    /// Its header.
    pub header: Place,
    /// How it came here.
    pub origin: Origin,
    /// Whether `class_at` is its own, not the default's.
    pub has_class: bool,
    /// Its name, or its header where it has none.
    pub at: Place,
    /// `class` where it is written.
    pub class_at: Option<Place>,
    /// `destination` of the input.
    pub input_at: Place,
    /// Each output.
    pub output_at: Vec<Place>,
    /// Whether each output was read without a mistake.
    pub output_sound: Vec<bool>,
    /// Whether the input was read without a mistake.
    pub input_sound: bool,
}

/// How a rule came to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// It was known.
    Known,
    /// It was read, and nothing was said of it by itself, not even a warning.
    Quiet,
    /// It was read, and something was said, or may have been.
    Told,
}

impl ReadRule {
    /// The same where its header is at `header`, and its class at `default` where that is not its
    /// own.
    pub(super) fn moved(&self, header: Place, default: Option<Place>) -> Self {
        let moved = |at: Place| {
            let start = header.start + (at.start - self.header.start);
            Place { file: header.file, start, end: start + (at.end - at.start) }
        };
        Self {
            rule: self.rule.clone(),
            header: moved(self.header),
            origin: Origin::Known,
            has_class: self.has_class,
            at: moved(self.at),
            class_at: if self.has_class { self.class_at.map(moved) } else { default },
            input_at: moved(self.input_at),
            output_at: self.output_at.iter().copied().map(moved).collect(),
            output_sound: self.output_sound.clone(),
            input_sound: self.input_sound,
        }
    }
}

/// What rules are read against.
pub(super) struct Site<'s> {
    pub ports: &'s [Port],
    pub classes: &'s [ClassConfig; Class::COUNT],
    pub layers: &'s Layers,
    pub default_rule: RuleSettings,
    pub clock: ClockSource,
}

impl Site<'_> {
    /// The longest frame, with overhead, that one of these ports carries.
    pub(super) fn largest_frame(&self, ports: &[usize]) -> u64 {
        let mtus = ports.iter().filter_map(|slot| self.ports.get(*slot)).map(|p| p.mtu);
        mtus.max().map_or(0, |mtu| u64::from(mtu) + FRAME_EXTRA)
    }
}

/// Reads the keys that `[default.rule]` and `[[rule]]` share.
pub(super) fn read_rule_settings(table: &Table<'_>) -> RuleSettings {
    let before = table.cx.errors();
    let settings = RuleSettings {
        class: table.choice("class", &Class::ALL),
        budget: table.number("budget"),
        weight: table.number("weight"),
        late: table.choice("late", &[Late::Send, Late::Drop]),
        flow: table.choice("flow", &[FlowKind::Rule, FlowKind::Row, FlowKind::Source]),
        police: read_police(table),
        queue: read_queue(table),
        expect: read_expect(table),
        unsound: false,
    };
    RuleSettings { unsound: table.cx.errors() > before, ..settings }
}

fn read_police(table: &Table<'_>) -> Option<At<RateLimit>> {
    let police = table.table("police", &keys::POLICE)?;
    let (rate, burst) = (police.number("rate"), police.number("burst"));
    Some(At { value: RateLimit { rate: rate?.value, burst: burst?.value }, at: burst?.at })
}

/// `queue`, its absent half filled with the listed default.
pub(super) fn read_queue(table: &Table<'_>) -> Option<At<QueueBound>> {
    let queue = table.table("queue", &keys::QUEUE)?;
    let at = queue.peek("bytes").map_or(queue.at, |n| n.at);
    let packets = queue.number32("packets");
    Some(At { value: QueueBound { packets, bytes: queue.number_or_preset("bytes") }, at })
}

/// The bound of a queue that nothing was said of.
pub(super) fn preset_queue() -> QueueBound {
    // Read once: every rule and output that says nothing of its queue has this one.
    static PRESET: LazyLock<QueueBound> = LazyLock::new(|| {
        let preset = |name| keys::QUEUE.keys.iter().find(|k| k.name == name).map(preset_number);
        QueueBound {
            packets: clamp32(preset("packets").unwrap_or(1)),
            bytes: preset("bytes").unwrap_or(1),
        }
    });
    *PRESET
}

/// Reports a queue that cannot hold one largest frame.
pub(super) fn check_queue(cx: &Context<'_>, queue: Option<At<QueueBound>>, frame: u64) {
    if let Some(queue) = queue.filter(|q| q.value.bytes < frame) {
        let found = show_bytes(queue.value.bytes);
        cx.report(
            Diagnostic::error(queue.at, format!("a queue of {found} cannot hold one frame"))
                .label(format!("allowed: at least {frame}B (mtu + 46)")),
        );
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

/// All rules of all files; what is known of a file is not in its table.
pub(super) fn read_rules(tops: &[Table<'_>], rests: &[Rest<'_>], site: &Site<'_>) -> Vec<ReadRule> {
    let mut rules = Vec::new();
    let mut names = Names::new("rule");
    for (file, (top, rest)) in tops.iter().zip(rests).enumerate() {
        let mut known = rest.rules(file, site).peekable();
        let tables = top.tables("rule", &keys::RULE);
        // What is known behind the last of the others comes then.
        for table in tables.into_iter().map(Some).chain([None]) {
            let next = table.map_or(usize::MAX, |table| table.at.start);
            while let Some(rule) = known.next_if(|rule| rule.header.start < next) {
                let name = At { value: rule.rule.name.as_str(), at: rule.at };
                names.insert(top.cx, Some(name), rules.len());
                rules.push(rule);
            }
            let Some(table) = table else { break };
            let said = table.cx.said();
            let name = table.name("name");
            let at = name.map_or(table.at, |n| n.at);
            let value = name.map_or_else(String::new, |n| n.value.to_owned());
            let mut rule = read_rule(&table, value, at, site);
            if said.is_some() && said == table.cx.said() {
                rule.origin = Origin::Quiet;
            }
            names.insert(table.cx, name, rules.len());
            rules.push(rule);
        }
    }
    rules
}

fn read_rule(table: &Table<'_>, name: String, at: Place, site: &Site<'_>) -> ReadRule {
    let cx = table.cx;
    let (own, below) = (read_rule_settings(table), site.default_rule);
    let (input, input_at, input_sound) = read_input(table, site);
    let class = own.class.or(below.class);
    let (class_at, has_class) = (class.map(|c| c.at), own.class.is_some());
    let class = class.map_or(Class::Medium, |c| c.value);
    let mut rule = Rule {
        name,
        class,
        budget: site.classes[class as usize].budget,
        weight: or_one(own.weight.or(below.weight)),
        late: own.late.or(below.late).map_or(Late::Send, |v| v.value),
        flow: own.flow.or(below.flow).map_or(FlowKind::Rule, |v| v.value),
        police: own.police.or(below.police).map(|p| p.value),
        queue: own.queue.or(below.queue).map_or_else(preset_queue, |q| q.value),
        expect: own.expect.or(below.expect),
        outputs: Vec::new(),
        balance: None,
        input,
    };
    if let Some(budget) = own.budget.or(below.budget) {
        rule.budget = Duration::from_nanos(budget.value);
        if !own.unsound && !below.unsound {
            check_budget(cx, &rule, budget.at, site);
        }
    }
    let frame = site.largest_frame(&rule.input.ports);
    if let Some(At { value, at }) = own.police.or(below.police) {
        check_burst(cx, value, at, frame);
    }
    check_queue(cx, own.queue.or(below.queue), frame);
    let (mut output_at, mut output_sound) = (Vec::new(), Vec::new());
    let (outputs, balance) = read_output_tables(table);
    rule.balance = balance.map(|(balance, at)| {
        if balance.by == BalanceBy::Flow && rule.input.fragments == Fragments::Forward {
            let message = "fragments cannot be balanced by flow: only the first has UDP ports";
            cx.report(Diagnostic::error(at, message).label("allowed: by = \"source\""));
        }
        balance
    });
    if outputs.len() > OUTPUTS_MAX {
        let message = format!("{} outputs in one rule", outputs.len());
        cx.report(Diagnostic::error(at, message).label(format!("allowed: {OUTPUTS_MAX}")));
    }
    for output in outputs.into_iter().take(OUTPUTS_MAX) {
        let before = cx.errors();
        let read = read_output(&output, site.layers);
        output_at.push(read.at);
        let output = finish_output(cx, &read, &rule, input_at, input_sound, site);
        rule.outputs.push(output);
        output_sound.push(!read.settings.unsound && cx.errors() == before);
    }
    name_outputs(&mut rule.outputs, site);
    check_same_outputs(cx, &rule, &output_at, &output_sound);
    ReadRule {
        rule,
        header: table.at,
        origin: Origin::Told,
        has_class,
        at,
        class_at,
        input_at,
        output_at,
        output_sound,
        input_sound,
    }
}

/// The tables of `output`, behind them those of `balance.to`, and what balances them and where.
fn read_output_tables<'a>(table: &Table<'a>) -> (Vec<Table<'a>>, Option<(Balance, Place)>) {
    let mut outputs = table.tables("output", &keys::OUTPUT);
    if table.peek("balance").is_none() {
        match table.peek("output") {
            None => table.missing("output"),
            Some(_) if outputs.is_empty() => report_no_outputs(table),
            Some(_) => {}
        }
        return (outputs, None);
    }
    let Some(balance) = table.table("balance", &keys::BALANCE) else {
        return (outputs, None);
    };
    let by = balance.choice_or_preset("by", &BalanceBy::ALL);
    let Some(node) = balance.get("to") else {
        return (outputs, None);
    };
    let to = balance.tables("to", &keys::OUTPUT);
    let count = match node.value {
        DeValue::Array(array) => array.len(),
        // What else it is has been reported.
        _ => 1,
    };
    if !(1..=MEMBERS_MAX).contains(&count) {
        let message = format!("{count} outputs to balance");
        let label = format!("allowed: 1 to {MEMBERS_MAX}");
        table.cx.report(Diagnostic::error(node.at, message).label(label));
    }
    let members = to.len();
    outputs.extend(to);
    (outputs, Some((Balance { by, members }, balance.at)))
}

fn report_no_outputs(table: &Table<'_>) {
    let Some(node) = table.peek("output") else {
        return;
    };
    if matches!(node.value, DeValue::Array(array) if array.is_empty()) {
        let diagnostic = Diagnostic::error(node.at, "the rule has no output");
        table.cx.report(diagnostic.label("allowed: at least one"));
    }
}

fn check_budget(cx: &Context<'_>, rule: &Rule, at: Place, site: &Site<'_>) {
    let most = site.classes[rule.class as usize].budget * HORIZON_BUDGETS;
    if rule.budget > most {
        let (found, class) = (show_duration(rule.budget), rule.class.name());
        let most = show_duration(most);
        cx.report(
            Diagnostic::error(at, format!("a budget of {found} is beyond class {class}'s horizon"))
                .label(format!("allowed: at most {most}, three times the class's budget")),
        );
    }
}

/// The input, the place of its destination, and whether it is sound.
fn read_input(rule: &Table<'_>, site: &Site<'_>) -> (Input, Place, bool) {
    let all: Vec<usize> = (0..site.ports.len()).collect();
    let nothing = Input {
        ports: all.clone(),
        destination: Vec::new(),
        udp_port: None,
        vlan: VlanMatch::Untagged,
        source: Vec::new(),
        join: true,
        fragments: Fragments::Drop,
    };
    let Some(table) = rule.table("input", &keys::INPUT) else {
        return (nothing, rule.at, false);
    };
    let before = table.cx.errors();
    let names = table.texts("port");
    let mut ports: Vec<_> =
        names.iter().filter_map(|n| site.layers.ports.find(table.cx, *n)).collect();
    ports.sort_unstable();
    ports.dedup();
    if table.peek("port").is_none() {
        ports = all;
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
    if matches!(node.value, DeValue::Array(array) if array.is_empty()) {
        let label = format!("allowed: at least one of: {}", table.key(name).kind.allowed());
        table.cx.report(Diagnostic::error(node.at, format!("`{name}` is empty")).label(label));
    }
}

fn read_nets(table: &Table<'_>, name: &str) -> Vec<At<IpNet>> {
    let (cx, key) = (table.cx, table.key(name));
    let mut nets = Vec::new();
    let texts = table.texts(name);
    if let (true, Some(node)) = (texts.len() > PREFIXES_MAX, table.peek(name)) {
        let message = format!("{} prefixes in one `{name}`", texts.len());
        let label = format!("allowed: {PREFIXES_MAX}; a wider prefix or another rule");
        cx.report(Diagnostic::error(node.at, message).label(label));
    }
    for text in texts.into_iter().take(PREFIXES_MAX) {
        match parse_net(text.value) {
            Ok(value) => nets.push(At { value, at: text.at }),
            Err(reason) => cx.report(
                Diagnostic::error(text.at, format!("`{name}` is {}", cx.found(text.at)))
                    .label(format!("{reason}; allowed: {}", key.kind.allowed())),
            ),
        }
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
