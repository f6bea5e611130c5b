//! Checks over all rules: duplicate matches, outputs that feed an input, limits, warnings.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::expand::rows;
use super::read_rule::ReadRule;
use super::reader::Context;
use super::report::Diagnostic;
use super::types::*;

/// Rules by the prefixes of their inputs.
struct PrefixIndex {
    /// In order; a rule with several prefixes comes for each.
    rules: Vec<(IpNet, usize)>,
    /// The lengths that there are, of IPv4 and of IPv6.
    lengths: [BTreeSet<u8>; 2],
}

impl PrefixIndex {
    fn new(mut rules: Vec<(IpNet, usize)>) -> Self {
        rules.sort_unstable();
        let mut lengths = <[BTreeSet<u8>; 2]>::default();
        for (net, _) in &rules {
            lengths[usize::from(matches!(net, IpNet::V6(_)))].insert(net.prefix_len());
        }
        Self { rules, lengths }
    }

    /// The rules from this prefix on.
    fn from(&self, net: &IpNet) -> &[(IpNet, usize)] {
        &self.rules[self.rules.partition_point(|(other, _)| other < net)..]
    }

    /// Rules with a prefix that shares an address with `net`; a rule may come twice.
    fn overlapping(&self, net: &IpNet) -> impl Iterator<Item = usize> {
        let net = *net;
        let lengths = &self.lengths[usize::from(matches!(net, IpNet::V6(_)))];
        let wider = lengths.range(..net.prefix_len()).filter_map(move |len| {
            let wider = IpNet::new(net.addr(), *len).ok()?.trunc();
            Some(self.from(&wider).iter().take_while(move |(other, _)| *other == wider))
        });
        let last = IpNet::from(net.broadcast());
        // From the prefix itself on: wider ones with the same first address sort before it.
        let within = self.from(&net).iter().take_while(move |(other, _)| *other <= last);
        wider.flatten().chain(within).map(|(_, rule)| *rule)
    }
}

/// All checks over all rules that were read without a mistake.
pub(super) fn check_rules(cx: &Context<'_>, rules: &[ReadRule], limits: &Limits, edf_window: u32) {
    check_window(cx, rules, edf_window);
    let too_many = check_limits(cx, rules, limits);
    if too_many || cx.is_broken() {
        return;
    }
    let mut nets = Vec::with_capacity(rules.len());
    for (slot, read) in rules.iter().enumerate().filter(|(_, read)| read.places.input_sound) {
        nets.extend(read.rule.input.destination.iter().map(|net| (*net, slot)));
    }
    let index = PrefixIndex::new(nets);
    check_duplicates(cx, rules, &index);
    check_loops(cx, rules, &index);
    warn_high_beside_late(cx, rules);
}

/// The EDF window counts copies: those of one packet fit in it.
fn check_window(cx: &Context<'_>, rules: &[ReadRule], window: u32) {
    for read in rules.iter().filter(|r| r.rule.outputs.len() > window as usize) {
        let count = read.rule.outputs.len();
        let message = format!("{count} outputs: the copies of one packet do not fit the window");
        let label = format!("allowed: {window}; raise `window` of [edf]");
        cx.report(Diagnostic::error(read.places.at, message).label(label));
    }
}

/// Whether there are more than the limits allow.
fn check_limits(cx: &Context<'_>, rules: &[ReadRule], limits: &Limits) -> bool {
    let before = cx.errors();
    let over = |at, what: &str, count: u64, limit: u32, key: &str| {
        if count > u64::from(limit) {
            cx.report(
                Diagnostic::error(at, format!("too many: {count} {what}"))
                    .label(format!("allowed: {limit}; raise `{key}` of [limits]")),
            );
        }
    };
    if let Some(read) = rules.get(limits.rules as usize) {
        over(read.places.at, "rules", rules.len() as u64, limits.rules, "rules");
    }
    let (mut outputs, mut all_rows) = (0u64, 0u64);
    let (mut outputs_told, mut rows_told) = (false, false);
    let total = rules.iter().map(|r| r.rule.outputs.len() as u64).sum();
    for read in rules {
        outputs += read.rule.outputs.len() as u64;
        if outputs > u64::from(limits.outputs) && !outputs_told {
            outputs_told = true;
            over(read.places.at, "outputs in all rules", total, limits.outputs, "outputs");
        }
        if !read.places.input_sound {
            continue;
        }
        let own = rows(&read.rule);
        all_rows = all_rows.saturating_add(own);
        if own > u64::from(limits.rows) {
            let what = "rows (addresses x UDP ports) in this input";
            over(read.places.input_at, what, own, limits.rows, "rows");
            // The sum of the others is told apart.
            all_rows -= own.min(all_rows);
        } else if all_rows > u64::from(limits.rows) && !rows_told {
            rows_told = true;
            let what = "rows (addresses x UDP ports) in the rules up to this";
            over(read.places.input_at, what, all_rows, limits.rows, "rows");
        }
    }
    cx.errors() > before
}

/// Two rules that match the same packets equally well.
fn check_duplicates(cx: &Context<'_>, rules: &[ReadRule], index: &PrefixIndex) {
    let mut told = std::collections::HashSet::new();
    for same in index.rules.chunk_by(|(a, _), (b, _)| a == b) {
        for (i, &(net, second)) in same.iter().enumerate().skip(1) {
            let clash = same[..i].iter().find(|&&(_, first)| {
                first != second && same_match(&rules[first].rule.input, &rules[second].rule.input)
            });
            let Some(&(_, first)) = clash else { continue };
            if !told.insert((first, second)) {
                continue;
            }
            let (first, second) = (&rules[first], &rules[second]);
            let (a, b) = (&first.rule.name, &second.rule.name);
            let message = format!("rules `{a}` and `{b}` match the same packets to `{net}`");
            cx.report(
                Diagnostic::error(second.places.input_at, message)
                    .label(
                        "allowed: another port, vlan, destination, or a narrower udp_port or source",
                    )
                    .related(first.places.input_at, format!("matched by `{a}` here")),
            );
        }
    }
}

/// Whether two inputs that share a destination prefix take the same packets with the same
/// specificity.
fn same_match(a: &Input, b: &Input) -> bool {
    let udp = || match (a.udp_port, b.udp_port) {
        (None, None) => true,
        (Some(a), Some(b)) => {
            a.last - a.first == b.last - b.first && a.first <= b.last && b.first <= a.last
        }
        _ => false,
    };
    let source = || match (a.source.is_empty(), b.source.is_empty()) {
        (false, false) => a.source.iter().any(|net| b.source.contains(net)),
        (a, b) => a && b,
    };
    a.vlan == b.vlan && udp() && a.ports.iter().any(|p| b.ports.contains(p)) && source()
}

/// Outputs whose copies match an input of the port they leave by.
fn check_loops(cx: &Context<'_>, rules: &[ReadRule], index: &PrefixIndex) {
    for read in rules.iter().filter(|r| r.places.input_sound) {
        for (slot, output) in read.rule.outputs.iter().enumerate() {
            if !read.places.outputs[slot].sound {
                continue;
            }
            let nets = match &output.destination {
                Some(net) => std::slice::from_ref(net),
                None => read.rule.input.destination.as_slice(),
            };
            let fed = nets
                .iter()
                .flat_map(|net| index.overlapping(net))
                .filter(|&other| feeds(&read.rule.input, output, &rules[other].rule.input))
                .min();
            let Some(fed) = fed.map(|fed| &rules[fed]) else {
                continue;
            };
            let message = if std::ptr::eq(fed, read) {
                format!("the output feeds the input of its own rule `{}`", read.rule.name)
            } else {
                format!("the output feeds the input of rule `{}`", fed.rule.name)
            };
            cx.report(
                Diagnostic::error(read.places.outputs[slot].at, message)
                    .label("allowed: another port, destination, udp_port or vlan than the input's")
                    .related(fed.places.input_at, "what it sends would be received here"),
            );
        }
    }
}

/// Whether copies of what `from` takes, sent by `output`, match `into`, destinations aside.
fn feeds(from: &Input, output: &Output, into: &Input) -> bool {
    let vlan = match output.vlan {
        VlanRewrite::Keep => from.vlan,
        VlanRewrite::None => VlanMatch::Untagged,
        VlanRewrite::Id(id) => VlanMatch::Id(id),
    };
    let vlan = vlan == into.vlan || vlan == VlanMatch::Any || into.vlan == VlanMatch::Any;
    let shifted = |range: PortRange, shift: i32| {
        (i32::from(range.first) + shift, i32::from(range.last) + shift)
    };
    let sent = match (output.udp_port, from.udp_port) {
        (UdpPortRewrite::Fixed(port), _) => Some((i32::from(port), i32::from(port))),
        (UdpPortRewrite::Keep, range) => range.map(|r| shifted(r, 0)),
        (UdpPortRewrite::Shift(shift), range) => range.map(|r| shifted(r, shift)),
    };
    let udp = match (sent, into.udp_port.map(|r| shifted(r, 0))) {
        (Some(a), Some(b)) => a.0 <= b.1 && b.0 <= a.1,
        _ => true,
    };
    let meets = |a: &IpNet| into.source.iter().any(|b| a.contains(b) || b.contains(a));
    let source = into.source.is_empty()
        || match output.source {
            Some(ip) => meets(&IpNet::from(ip)),
            None => from.source.is_empty() || from.source.iter().any(meets),
        };
    into.ports.contains(&output.port) && vlan && udp && source
}

/// One worker serves all: what is sent late takes time from HIGH.
fn warn_high_beside_late(cx: &Context<'_>, rules: &[ReadRule]) {
    let Some(high) = rules.iter().find(|r| r.rule.class == Class::High) else {
        return;
    };
    let late = |r: &&ReadRule| r.rule.class != Class::High && r.rule.late == Late::Send;
    let Some(first) = rules.iter().find(late) else {
        return;
    };
    let count = rules.iter().filter(late).count();
    let (name, other) = (&high.rule.name, &first.rule.name);
    let plural = match count {
        1 => "a rule that sends".to_owned(),
        _ => format!("{count} rules that send"),
    };
    cx.report(
        Diagnostic::warning(
            high.places.class_at.unwrap_or(high.places.at),
            format!("rule `{name}` of class high shares the worker with {plural} late"),
        )
        .label("its packets may wait behind theirs")
        .related(
            first.places.at,
            format!("`{other}` sends late; `late = \"drop\"` would spare the time"),
        ),
    );
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn net() -> impl Strategy<Value = IpNet> {
        let v4 = (0..4_u8, 20..=32_u8).prop_map(|(last, len)| ([239, 1, 0, last].into(), len));
        let v6 = (0..4_u16, 120..=128_u8)
            .prop_map(|(last, len)| ([0xff1e, 0, 0, 0, 0, 0, 0, last].into(), len));
        let nets = prop_oneof![v4, v6];
        nets.prop_map(|(addr, len): (std::net::IpAddr, u8)| IpNet::new(addr, len).unwrap().trunc())
    }

    proptest! {
        #[test]
        fn all_that_overlaps_is_found_and_nothing_else(nets in vec(net(), 0..12), asked in net()) {
            let rules: Vec<_> = nets.iter().copied().zip(0..).collect();
            let mut found: Vec<_> = PrefixIndex::new(rules).overlapping(&asked).collect();
            found.sort_unstable();
            let overlaps = |(_, net): &(usize, &IpNet)| net.contains(&asked) || asked.contains(*net);
            let all = nets.iter().enumerate().filter(overlaps).map(|(rule, _)| rule);
            prop_assert!(all.eq(found));
        }
    }
}
