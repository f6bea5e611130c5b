//! Configurations that follow one another: a rule that never changes, one that changes but for one
//! output, and some that come and go; and files that must be refused.

use fastrand::Rng;

use crate::binary::Instance;
use crate::relay::port;

/// The group of the rule that never changes. Its outputs are 1 and 2.
pub const KEPT: u8 = 1;
/// The group of the rule that changes; its output 1 stays. The groups behind it come and go.
pub const STEADY: u8 = 2;
/// Groups that frames are offered for, from 1 on.
pub const GROUPS: u8 = 5;
/// Most outputs of a rule besides those that stay.
const EXTRA: u8 = 3;

/// Ports, so many workers and memory. There are so few slots that all of them have been used before memory is first
/// looked at, and then change hands.
pub fn site(instance: &Instance, workers: usize) -> String {
    let sizes = "[memory]\npackets = 4096\n[limits]\nrules = 32\noutputs = 128\n";
    eal(workers) + sizes + &wires(instance)
}

/// Ordinary memory, and so many workers on one CPU.
pub fn eal(workers: usize) -> String {
    let (cpu, _) = crate::peer::cpus();
    let workers = vec![cpu.to_string(); workers].join(", ");
    format!(
        "[eal]\nmemory = \"no-huge\"\nlcores = {{ management = {cpu}, workers = [{workers}] }}\n"
    )
}

/// The ports on the wires.
pub fn wires(instance: &Instance) -> String {
    let port = |name, id| port(instance, name, id, "client", "").replace("live", "lossless");
    port("feed", 0) + &port("a", 1) + &port("b", 2)
}

/// A rule that takes a group from the feed.
pub fn rule(group: u8, keys: &str, outputs: &[String]) -> String {
    let outputs = outputs.join(", ");
    format!(
        "[[rule]]\nname = \"g{group}\"\n{keys}\n\
         input = {{ port = \"feed\", destination = \"239.1.1.{group}\" }}\noutput = [{outputs}]\n"
    )
}

/// An output of a group; its number is in the destination.
pub fn output(port: &str, number: u8, group: u8, keys: &str) -> String {
    format!("{{ port = \"{port}\", destination = \"239.2.{number}.{group}\"{keys} }}")
}

/// Some outputs on port `b`, each of its own weight.
fn extra(rng: &mut Rng, group: u8) -> Vec<String> {
    let mut numbers: Vec<_> = (0..EXTRA).collect();
    rng.shuffle(&mut numbers);
    let count = rng.usize(1..=usize::from(EXTRA));
    let outputs = numbers.into_iter().take(count).map(|number| {
        let weight = format!(", weight = {}", rng.u8(1..=9));
        output("b", 10 + number, group, &weight)
    });
    outputs.collect()
}

/// The rules of the next configuration.
pub fn next(rng: &mut Rng) -> String {
    let kept = [output("a", 1, KEPT, ""), output("a", 2, KEPT, "")];
    let mut rules = vec![rule(KEPT, "class = \"high\"", &kept)];
    let class = ["high", "medium", "low"][rng.usize(..3)];
    let keys = format!("class = \"{class}\"\nweight = {}", rng.u8(1..=9));
    let mut outputs = extra(rng, STEADY);
    outputs.insert(rng.usize(..=outputs.len()), output("a", 1, STEADY, ""));
    rules.push(rule(STEADY, &keys, &outputs));
    for group in STEADY + 1..=GROUPS {
        let outputs = extra(rng, group);
        if rng.bool() {
            rules.push(rule(group, "class = \"medium\"", &outputs));
        }
    }
    rng.shuffle(&mut rules);
    rules.concat()
}

/// A configuration that must be refused, made of one that need not, and a part of the message.
pub fn wrong(rng: &mut Rng, site: &str, rules: &str) -> (String, &'static str) {
    match rng.u8(..4) {
        0 => (format!("{site}{rules}[[rule\n"), "[[rule"),
        1 => (format!("{site}{rules}wieght = 3\n"), "wieght"),
        2 => (format!("{site}{rules}").replacen("port = \"feed\"", "port = \"fed\"", 1), "fed"),
        _ => (format!("{site}{rules}").replacen("rules = 32", "rules = 33", 1), "needs a restart"),
    }
}
