//! Placement: whether lcores and ports lie where they serve each other well, as the host's files
//! in `/sys` say; what does not is said with what would.

use std::fs;
use std::path::PathBuf;

use crate::config::Lcores;
use crate::plan::Roles;

/// The host's CPUs, as Linux describes them.
#[derive(Clone, Debug)]
pub struct Topology {
    /// `/sys/devices/system`, or a copy of it.
    root: PathBuf,
}

/// A port and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortPlace<'a> {
    /// Its name.
    pub name: &'a str,
    /// The NUMA node that its device is attached to; none where it has none.
    pub node: Option<u32>,
}

impl Topology {
    /// This host's.
    pub fn of_host() -> Self {
        Self::at("/sys/devices/system")
    }

    /// One that is described below `root`.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The CPUs that are threads of the same core as `cpu`, itself included.
    fn siblings(&self, cpu: u32) -> Vec<u32> {
        let file = self.root.join(format!("cpu/cpu{cpu}/topology/thread_siblings_list"));
        fs::read_to_string(file).map_or_else(|_| vec![cpu], |text| list(&text))
    }

    /// The NUMA node of a CPU, where that is known.
    fn node(&self, cpu: u32) -> Option<u32> {
        let entries = fs::read_dir(self.root.join(format!("cpu/cpu{cpu}"))).ok()?;
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        names.filter_map(|name| name.strip_prefix("node")?.parse().ok()).next()
    }

    /// The CPUs of a NUMA node, as Linux writes them.
    fn cpus(&self, node: u32) -> String {
        let file = self.root.join(format!("node/node{node}/cpulist"));
        fs::read_to_string(file).map_or_else(|_| "others".into(), |text| text.trim().into())
    }
}

/// A list such as `0-3,8`.
fn list(text: &str) -> Vec<u32> {
    let numbers = text.trim().split(',').filter_map(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse().ok()?..=last.parse::<u32>().ok()?)
    });
    numbers.flatten().collect()
}

/// What is not placed well: a line each, and what to do.
pub fn warnings(
    topology: &Topology,
    lcores: &Lcores,
    roles: &Roles,
    ports: &[PortPlace<'_>],
) -> Vec<String> {
    let mut lines = Vec::new();
    let workers = &lcores.workers;
    for (i, &cpu) in workers.iter().enumerate() {
        if let Some(other) = workers[..i].iter().position(|&other| other == cpu) {
            lines.push(format!(
                "workers {other} and {i} share CPU {cpu}, and each has a part of it; name a CPU \
                 for each in [eal] lcores"
            ));
        }
        let siblings = topology.siblings(cpu);
        let sibling = |&&other: &&u32| other != cpu && siblings.contains(&other);
        if let Some(other) = workers[..i].iter().find(sibling) {
            lines.push(format!(
                "workers on CPUs {other} and {cpu} are threads of one core, worth little more \
                 than one; choose CPUs of different cores (`lscpu -e`)"
            ));
        }
    }
    if workers.len() > 1 && workers.contains(&lcores.management) {
        let cpu = lcores.management;
        lines.push(format!(
            "management and a worker share CPU {cpu}; name another CPU in [eal] lcores"
        ));
    }
    for (slot, port) in ports.iter().enumerate() {
        let Some(node) = port.node else { continue };
        let receives = roles.receives.get(slot).into_iter().flatten();
        let mut its: Vec<_> = receives.chain(roles.sends.get(slot)).collect();
        its.sort_unstable();
        its.dedup();
        for &cpu in its.into_iter().filter_map(|&worker| workers.get(worker)) {
            if let Some(other) = topology.node(cpu).filter(|other| *other != node) {
                lines.push(format!(
                    "port {} is on NUMA node {node}, its worker on CPU {cpu} on node {other}: \
                     every packet crosses; choose among CPUs {}",
                    port.name,
                    topology.cpus(node)
                ));
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// A host of two nodes with two cores of two threads each: CPUs 0, 1, 4, 5 and 2, 3, 6, 7.
    fn host(root: &Path) -> Topology {
        for cpu in 0..8 {
            let node = cpu / 2 % 2;
            let cpus = root.join(format!("cpu/cpu{cpu}"));
            fs::create_dir_all(cpus.join("topology")).unwrap();
            fs::create_dir_all(cpus.join(format!("node{node}"))).unwrap();
            let siblings = format!("{},{}\n", cpu % 4, cpu % 4 + 4);
            fs::write(cpus.join("topology/thread_siblings_list"), siblings).unwrap();
        }
        for (node, cpus) in ["0-1,4-5\n", "2-3,6-7\n"].iter().enumerate() {
            let node = root.join(format!("node/node{node}"));
            fs::create_dir_all(&node).unwrap();
            fs::write(node.join("cpulist"), cpus).unwrap();
        }
        Topology::at(root)
    }

    #[test]
    fn what_is_badly_placed_is_told_with_what_would_be_better() {
        let root = std::env::temp_dir().join(format!("punctual-topology-{}", std::process::id()));
        let topology = host(&root);
        let mut roles = Roles::one(2);
        roles.receives = vec![vec![0, 1], vec![]];
        let port = |name, node| PortPlace { name, node };
        let told = |management, workers: &[u32], ports: &[PortPlace<'_>]| {
            let lcores = Lcores { management, workers: workers.to_vec() };
            warnings(&topology, &lcores, &roles, ports)
        };
        let here = [port("in", Some(0)), port("out", None)];
        assert_eq!(told(4, &[0, 1], &here), Vec::<String>::new());
        let lines = told(0, &[1, 5], &here);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(
            lines[0].starts_with("workers on CPUs 1 and 5 are threads of one core"),
            "{lines:?}"
        );
        let lines = told(1, &[1, 1], &here);
        assert!(lines[0].starts_with("workers 0 and 1 share CPU 1"), "{lines:?}");
        assert!(lines[1].starts_with("management and a worker share CPU 1"), "{lines:?}");
        let lines = told(4, &[0, 2], &[port("in", Some(1)), port("out", None)]);
        assert_eq!(
            lines,
            ["port in is on NUMA node 1, its worker on CPU 0 on node 0: every packet \
            crosses; choose among CPUs 2-3,6-7"]
        );
        fs::remove_dir_all(&root).unwrap();
        assert_eq!(told(0, &[1, 5], &here), Vec::<String>::new(), "a host that says nothing");
    }
}
