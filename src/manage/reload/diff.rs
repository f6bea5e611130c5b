//! What differs between two configurations, for people, and what of it needs a restart.

use std::fmt;
use std::path::Path;

use foldhash::{HashMap, HashSet};
use serde::{Deserialize, Serialize};

use crate::config::{Class, Config, Output, Port, Rule};
use crate::plan::memory;

/// The differences, a line each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diff {
    /// What is new.
    pub added: Vec<String>,
    /// What is another, and in what.
    pub changed: Vec<String>,
    /// What is gone.
    pub removed: Vec<String>,
    /// What cannot change while running.
    pub needs_restart: Vec<String>,
}

impl Diff {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// How much of each kind, in a line.
    pub fn summary(&self) -> String {
        let Self { added, changed, removed, .. } = self;
        format!("{} added, {} changed, {} removed", added.len(), changed.len(), removed.len())
    }
}

impl fmt::Display for Diff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return writeln!(f, "nothing differs");
        }
        let kinds = [
            ('+', &self.added),
            ('~', &self.changed),
            ('-', &self.removed),
            ('!', &self.needs_restart),
        ];
        for (sign, lines) in kinds {
            for line in lines {
                let restart = if sign == '!' { " (needs a restart)" } else { "" };
                writeln!(f, "{sign} {line}{restart}")?;
            }
        }
        Ok(())
    }
}

/// What `new` has that `old` has not, and the other way round.
pub fn diff(old: &Config, new: &Config) -> Diff {
    let mut diff = Diff::default();
    let site = [
        ("instance.name", old.instance != new.instance),
        ("clock", old.clock != new.clock),
        ("idle", old.idle != new.idle),
        ("[eal]", old.eal != new.eal),
        ("[memory]", old.memory != new.memory),
        ("[limits]", old.limits != new.limits),
        ("management.socket", old.socket != new.socket),
        ("management.metrics", old.metrics != new.metrics),
        ("management.detail", old.detail != new.detail),
    ];
    let differing = site.iter().filter(|(_, differs)| *differs);
    diff.needs_restart = differing.map(|(key, _)| (*key).to_owned()).collect();
    ports(&mut diff, old, new);
    for class in Class::ALL {
        if old.classes[class as usize] != new.classes[class as usize] {
            diff.changed.push(format!("class {}", class.name()));
        }
    }
    let stages = [
        ("edf.window", old.edf_window != new.edf_window),
        ("fanout.copy_below", old.copy_below != new.copy_below),
        ("[alerts]", old.alerts != new.alerts),
    ];
    for (key, _) in stages.iter().filter(|(_, differs)| *differs) {
        diff.changed.push((*key).to_owned());
    }
    by_name(
        &mut diff,
        "receiver",
        &old.receivers,
        &new.receivers,
        |it| &it.name,
        |_, _, keys| keys.add("port"),
    );
    by_name(&mut diff, "rule", &old.rules, &new.rules, |rule| &rule.name, rule);
    diff
}

/// Ports stay as they are, but for what the plan carries; others may come.
fn ports(diff: &mut Diff, old: &Config, new: &Config) {
    let (before, after) = (old, new);
    for port in &new.ports {
        let name = &port.name;
        if old.ports.iter().any(|old| old.name == *name) {
            continue;
        }
        match keeps_out(port, old, new) {
            None => diff.added.push(format!("port {name}: added live")),
            Some(why) => diff.needs_restart.push(format!("port {name}: new, and {why}")),
        }
    }
    for old in &before.ports {
        let Some(new) = after.ports.iter().find(|new| new.name == old.name) else {
            diff.needs_restart.push(format!("port {}: removed", old.name));
            continue;
        };
        let Port { name, device, driver, address, mtu, rx, rx_queues, bundle, .. } = old;
        let Port { rx_checksum, join, shaper, gateway, routes, neighbours, reachable, .. } = old;
        let fixed = [
            ("device", !same_device(device, &new.device)),
            ("driver", *driver != new.driver),
            ("mtu", *mtu != new.mtu),
            ("rx", *rx != new.rx),
            ("rx_queues", *rx_queues != new.rx_queues),
            ("bundle", *bundle != new.bundle),
        ];
        for (key, _) in fixed.iter().filter(|(_, differs)| *differs) {
            diff.needs_restart.push(format!("port {name}: {key}"));
        }
        let live = [
            ("address", *address != new.address),
            ("rx_checksum", *rx_checksum != new.rx_checksum),
            ("join", *join != new.join),
            ("rate, burst", *shaper != new.shaper),
            ("gateway", *gateway != new.gateway),
            ("route", *routes != new.routes),
            ("neighbour", *neighbours != new.neighbours),
            ("reachable", *reachable != new.reachable),
        ];
        let mut keys = Keys::of("port", name);
        keys.add_all(&live);
        diff.changed.extend(keys.line());
    }
}

/// Why a port cannot come while the instance runs, where it cannot.
fn keeps_out(port: &Port, old: &Config, new: &Config) -> Option<String> {
    let longest = old.ports.iter().map(|port| port.mtu).max().unwrap_or_default();
    if port.is_pci() {
        return Some("EAL looks for PCI devices at its start only".to_owned());
    }
    if port.mtu > longest {
        return Some(format!("its mtu of {} is above {longest}, the largest so far", port.mtu));
    }
    let [had, needs] = [old, new].map(memory::data_room);
    (had != needs).then(|| format!("it needs packet buffers of {needs} bytes, they have {had}"))
}

/// Whether two texts name one device: the same arguments, where files may be spelled otherwise.
fn same_device(old: &str, new: &str) -> bool {
    let same_file = |old: &str, new: &str| {
        let real = |path: &str| Path::new(path).canonicalize().ok();
        real(old).is_some_and(|old| Some(old) == real(new))
    };
    let same = |(old, new): (&str, &str)| match (old.split_once('='), new.split_once('=')) {
        _ if old == new => true,
        (Some((key, old)), Some((other, new))) => key == other && same_file(old, new),
        _ => false,
    };
    let parts = |device: &str| device.matches(',').count();
    parts(old) == parts(new) && old.split(',').zip(new.split(',')).all(same)
}

/// What is another and the keys that differ, as a line in the making.
struct Keys {
    text: String,
    /// As long as there is no key.
    begin: usize,
}

impl Keys {
    fn of(kind: &str, name: &str) -> Self {
        // Room for what is said of most.
        let mut text = String::with_capacity(kind.len() + name.len() + 32);
        text.extend([kind, " ", name]);
        Self { begin: text.len(), text }
    }

    fn add(&mut self, key: &str) {
        self.text.push_str(if self.text.len() == self.begin { ": " } else { ", " });
        self.text.push_str(key);
    }

    fn add_all(&mut self, list: &[(&str, bool)]) {
        list.iter().filter(|(_, differs)| *differs).for_each(|(key, _)| self.add(key));
    }

    /// The line, where a key differs.
    fn line(self) -> Option<String> {
        (self.text.len() > self.begin).then_some(self.text)
    }
}

/// Compares two lists by name; `compare` says in what two of one name differ.
fn by_name<T: PartialEq>(
    diff: &mut Diff,
    kind: &str,
    old: &[T],
    new: &[T],
    name: impl Fn(&T) -> &str,
    compare: impl Fn(&T, &T, &mut Keys),
) {
    let mut changed = |old: &T, new: &T| {
        if old == new {
            return;
        }
        let mut keys = Keys::of(kind, name(new));
        compare(old, new, &mut keys);
        diff.changed.extend(keys.line());
    };
    if old.iter().map(&name).eq(new.iter().map(&name)) {
        return old.iter().zip(new).for_each(|(old, new)| changed(old, new));
    }
    let before: HashMap<&str, &T> = old.iter().map(|item| (name(item), item)).collect();
    let after: HashSet<&str> = new.iter().map(&name).collect();
    for item in new {
        match before.get(name(item)) {
            None => diff.added.push(format!("{kind} {}", name(item))),
            Some(old) => changed(old, item),
        }
    }
    let gone = old.iter().map(&name).filter(|name| !after.contains(name));
    diff.removed.extend(gone.map(|name| format!("{kind} {name}")));
}

fn rule(old: &Rule, new: &Rule, keys: &mut Keys) {
    let Rule { name: _, input, class, budget, weight, late, flow, .. } = old;
    let Rule { police, queue, expect, outputs, balance, .. } = old;
    // As slots are kept: by port, destination, UDP port and VLAN.
    let identity = |output: &Output| {
        let Output { port, destination, udp_port, vlan, .. } = *output;
        (port, destination, udp_port, vlan)
    };
    let same_members = old.members().iter().map(identity).eq(new.members().iter().map(identity));
    keys.add_all(&[
        ("input", *input != new.input),
        ("class", *class != new.class),
        ("budget", *budget != new.budget),
        ("weight", *weight != new.weight),
        ("late", *late != new.late),
        ("flow", *flow != new.flow),
        ("police", *police != new.police),
        ("queue", *queue != new.queue),
        ("expect", *expect != new.expect),
        ("balance", *balance != new.balance || !same_members),
    ]);
    let find = |list: &[Output], wanted: &Output| -> Option<usize> {
        list.iter().position(|output| identity(output) == identity(wanted))
    };
    let missing = |list: &[Output], from: &[Output]| {
        list.iter().filter(|output| find(from, output).is_none()).count()
    };
    let changed =
        new.outputs.iter().filter(|new| find(outputs, new).is_some_and(|i| outputs[i] != **new));
    let counts = [
        ("added", "1 output added", missing(&new.outputs, outputs)),
        ("changed", "1 output changed", changed.count()),
        ("removed", "1 output removed", missing(outputs, &new.outputs)),
    ];
    for (what, one, count) in counts {
        match count {
            0 => {}
            1 => keys.add(one),
            _ => keys.add(&format!("{count} outputs {what}")),
        }
    }
}
