//! Roles: which worker receives from a queue, keeps a flow, and sends to a port.
//!
//! Decided once, when the ports are open. Receive queues go round the workers, those of ports that
//! rules take input from first; so do the ports that are sent to. A rule's flow is kept by one
//! worker for as long as the rule lives, across reloads too, so that its policer is exact and its
//! order holds: by the worker that receives all of its input, where every worker receives
//! something, so that nothing need be handed over; else, and where its input comes to several, by
//! turns. A flow of a row or a source is kept by the worker that its number or a hash says.
//!
//! A port that a reload adds goes to the workers that have the least of its kind; nobody else's
//! part changes.

use crate::config::Config;

/// Workers at most: the bits that tell queues and ports apart.
pub const WORKERS_MAX: usize = 32;

/// Who does what. Workers are counted from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roles {
    /// How many there are.
    pub workers: usize,
    /// By port slot, by receive queue: who receives from it.
    pub receives: Vec<Vec<usize>>,
    /// By port slot: who sends to it.
    pub sends: Vec<usize>,
    /// Whether there is none that receives nothing of what rules take.
    all_receive: bool,
}

impl Roles {
    /// One worker does everything, on ports of one receive queue.
    pub fn one(ports: usize) -> Self {
        Self {
            workers: 1,
            receives: vec![vec![0]; ports],
            sends: vec![0; ports],
            all_receive: true,
        }
    }

    /// Shares the work of `config` out to `workers`; `queues` are the receive queues by port slot.
    pub fn new(config: &Config, queues: &[u16], workers: usize) -> Self {
        let workers = workers.max(1);
        let inputs = config.rules.iter().flat_map(|rule| &rule.input.ports);
        let outputs = config.rules.iter().flat_map(|rule| rule.outputs.iter().map(|o| &o.port));
        let (is_input, is_output) = (used(inputs, queues.len()), used(outputs, queues.len()));
        let mut turn = (0..workers).cycle();
        let mut sends = vec![0; queues.len()];
        for used in [true, false] {
            let ports = (0..queues.len()).filter(|&slot| is_output[slot] == used);
            ports.for_each(|slot| sends[slot] = turn.next().unwrap_or_default());
        }
        let mut turn = (0..workers).cycle();
        let mut receives: Vec<Vec<usize>> = vec![Vec::new(); queues.len()];
        for (slot, &count) in queues.iter().enumerate() {
            // What no rule takes is for the slow path, which answers by the same port.
            let next =
                || if is_input[slot] { turn.next().unwrap_or_default() } else { sends[slot] };
            receives[slot] = std::iter::repeat_with(next).take(count.into()).collect();
        }
        let received: usize =
            (0..queues.len()).filter(|&slot| is_input[slot]).map(|slot| receives[slot].len()).sum();
        Self { workers, receives, sends, all_receive: received >= workers }
    }

    /// Shares out the next port of `config`, which has so many receive queues; the others stay where
    /// they are.
    pub fn add(&mut self, config: &Config, queues: u16) {
        let slot = self.sends.len();
        let inputs = config.rules.iter().flat_map(|rule| &rule.input.ports);
        let outputs = config.rules.iter().flat_map(|rule| rule.outputs.iter().map(|o| &o.port));
        let ports = config.ports.len();
        let (is_input, is_output) = (used(inputs, ports), used(outputs, ports));
        let all = count(self.workers, self.sends.iter());
        let to_used = self.sends.iter().enumerate().filter(|(slot, _)| is_output[*slot]);
        let to_used = count(self.workers, to_used.map(|(_, worker)| worker));
        let load = |&worker: &usize| match is_output[slot] {
            true => (to_used[worker], all[worker]),
            false => (all[worker], 0),
        };
        let sends = (0..self.workers).min_by_key(load).unwrap_or_default();
        let taken = self.receives.iter().enumerate().filter(|(slot, _)| is_input[*slot]);
        let mut received = count(self.workers, taken.flat_map(|(_, queues)| queues));
        let next = || {
            let least = (0..self.workers).min_by_key(|&worker| received[worker]);
            // As at the start: what no rule takes is for who answers by the same port.
            let worker = if is_input[slot] { least.unwrap_or_default() } else { sends };
            received[worker] += usize::from(is_input[slot]);
            worker
        };
        self.receives.push(std::iter::repeat_with(next).take(queues.into()).collect());
        self.sends.push(sends);
        self.all_receive = received.iter().all(|&queues| queues > 0);
    }

    /// Who keeps the flow of the rule with slot `rule`, which takes input from these ports.
    pub fn home(&self, rule: u32, inputs: &[usize]) -> u8 {
        let mut receivers = inputs.iter().flat_map(|&port| &self.receives[port]);
        let first = receivers.next().copied();
        let home = match first {
            Some(first) if self.all_receive && receivers.all(|&other| other == first) => first,
            _ => rule as usize % self.workers,
        };
        home as u8
    }
}

/// By worker: how often it is named.
fn count<'a>(workers: usize, named: impl Iterator<Item = &'a usize>) -> Vec<usize> {
    let mut counts = vec![0; workers];
    named.for_each(|&worker| counts[worker] += 1);
    counts
}

/// By port slot: whether it is among `slots`.
fn used<'a>(slots: impl Iterator<Item = &'a usize>, ports: usize) -> Vec<bool> {
    let mut used = vec![false; ports];
    slots.for_each(|&slot| used[slot] = true);
    used
}

/// Who of so many workers keeps the flow of `source` under the rule with id `rule`.
pub fn home_of_source(rule: u64, source: u128, workers: usize) -> usize {
    let [low, high] = [source as u64, (source >> 64) as u64];
    let mixed = (low ^ high.rotate_left(31) ^ rule.rotate_left(17)).wrapping_mul(ODD);
    // Other bits than those that choose a set in the worker's table of sources.
    ((mixed ^ mixed >> 29).wrapping_mul(ODD) >> 48) as usize % workers
}

/// Spreads bits upwards when multiplied by (2^64 over the golden ratio).
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// Ports `a` and `b` that rules 0 and 1 take input from, and `c` and `d` that they send to.
    fn config() -> Config {
        let mut text = "schema = 1\n".to_owned();
        for (i, name) in ["a", "b", "c", "d"].iter().enumerate() {
            text += &format!("[[port]]\nname = \"{name}\"\ndevice = \"net_null{i}\"\n");
        }
        for (i, (from, to)) in [("a", "c"), ("b", "d")].iter().enumerate() {
            text += &format!(
                "[[rule]]\nname = \"r{i}\"\noutput = [{{ port = \"{to}\" }}]\n\
                 input = {{ port = \"{from}\", destination = \"239.1.1.{i}\" }}\n"
            );
        }
        let loaded = crate::config::load_bytes(Path::new("r.toml"), text.into(), &|_| None);
        loaded.unwrap_or_else(|errors| panic!("{errors}")).config
    }

    #[test]
    fn independent_flows_meet_nowhere() {
        let roles = Roles::new(&config(), &[1, 1, 1, 1], 2);
        assert_eq!(roles.receives, [[0], [1], [0], [1]]);
        assert_eq!(roles.sends, [0, 1, 0, 1]);
        assert_eq!([roles.home(0, &[0]), roles.home(7, &[1])], [0, 1]);
        assert_eq!(roles.home(3, &[0, 1]), 1, "of both: by turns");
    }

    #[test]
    fn queues_of_one_port_go_round_and_its_rules_too() {
        let roles = Roles::new(&config(), &[4, 1, 0, 1], 3);
        assert_eq!(roles.receives[0], [0, 1, 2, 0]);
        assert_eq!(roles.receives[1], [1]);
        assert!(roles.receives[2].is_empty());
        assert_eq!([0, 1, 2, 3].map(|rule| roles.home(rule, &[0])), [0, 1, 2, 0]);
        assert_eq!(roles.home(5, &[1]), 1, "its only queue's");
    }

    #[test]
    fn where_a_worker_receives_nothing_it_gets_flows_by_turns() {
        let roles = Roles::new(&config(), &[1, 1, 1, 1], 3);
        assert_eq!([0, 1, 2, 3].map(|rule| roles.home(rule, &[0])), [0, 1, 2, 0]);
        assert_eq!(Roles::new(&config(), &[1, 1, 1, 1], 1), Roles::one(4));
    }

    #[test]
    fn an_added_port_goes_to_who_has_the_least_and_nobody_elses_part_changes() {
        let config = config();
        let first = Config { ports: config.ports[..2].to_vec(), rules: vec![], ..config.clone() };
        let start = Roles::new(&first, &[1, 1], 2);
        let mut roles = start.clone();
        roles.add(&config, 1);
        roles.add(&config, 2);
        assert_eq!(roles.receives[..2], start.receives);
        assert_eq!(roles.sends[..2], start.sends);
        assert_eq!(roles.sends[2..], [0, 1], "rules send to both: one each");
        assert_eq!(roles.receives[2..], [vec![0], vec![1, 1]], "no rule takes it: its sender");
        assert_eq!(roles.home(3, &[1]), 1, "all receive something now");

        let mut roles = Roles::new(&first, &[1, 1], 3);
        let mut taken = config.clone();
        taken.rules.iter_mut().for_each(|rule| rule.input.ports = vec![0, 2]);
        roles.add(&taken, 3);
        assert_eq!(roles.receives[2], [1, 2, 0], "the first worker has a queue already");
        assert_eq!(roles.home(1, &[0, 2]), 1, "of several: by turns");
    }

    #[test]
    fn sources_are_spread_evenly() {
        let mut counts = [0; 4];
        for host in 0..40_000_u128 {
            counts[home_of_source(3, 0xffff_0a00_0000 | host, 4)] += 1;
        }
        assert!(counts.iter().all(|count| (9_500..10_500).contains(count)), "{counts:?}");
    }
}
