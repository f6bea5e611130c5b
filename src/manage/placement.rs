//! Placement: whether lcores and ports lie where they serve each other well, as the host's files
//! in `/sys` say; what does not is said with what would.

use std::fmt;
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

/// Where a worker is, and what is not well about that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Its CPU.
    pub cpu: u32,
    /// That CPU's NUMA node, where the host says it.
    pub node: Option<u32>,
    /// What is not placed well: a line each, and what to do.
    pub misplaced: Vec<String>,
}

/// Where the workers are, whatever they do there: their CPUs beside each other's and management's.
pub fn places(topology: &Topology, lcores: &Lcores) -> Vec<Place> {
    let Lcores { management, workers } = lcores;
    let place = |(i, &cpu): (usize, &u32)| {
        let mut misplaced = Vec::new();
        if let Some(other) = workers[..i].iter().position(|&other| other == cpu) {
            misplaced.push(format!(
                "workers {other} and {i} share CPU {cpu}, and each has a part of it; name a CPU \
                 for each in [eal] lcores"
            ));
        }
        let siblings = topology.siblings(cpu);
        let is_sibling = |other: u32| other != cpu && siblings.contains(&other);
        if let Some(other) = workers[..i].iter().find(|&&other| is_sibling(other)) {
            misplaced.push(format!(
                "workers on CPUs {other} and {cpu} are threads of one core, worth little more \
                 than one; choose CPUs of different cores (`lscpu -e`)"
            ));
        }
        if *management == cpu {
            misplaced.push(format!(
                "management and a worker share CPU {cpu}; name another CPU in [eal] lcores"
            ));
        } else if is_sibling(*management) {
            misplaced.push(format!(
                "management's CPU {management} and the worker's CPU {cpu} are threads of one core; \
                 choose CPUs of different cores (`lscpu -e`)"
            ));
        }
        Place { cpu, node: topology.node(cpu), misplaced }
    };
    workers.iter().enumerate().map(place).collect()
}

/// Adds to `places` what is to be said of `ports`, with which the workers do what `roles` says.
pub fn beside_ports(
    places: &mut [Place],
    topology: &Topology,
    roles: &Roles,
    ports: &[PortPlace<'_>],
) {
    for (slot, port) in ports.iter().enumerate() {
        let Some(node) = port.node else { continue };
        let receives = roles.receives.get(slot).into_iter().flatten();
        let mut its: Vec<_> = receives.chain(roles.sends.get(slot)).collect();
        its.sort_unstable();
        its.dedup();
        for worker in its {
            places[*worker].far_from(topology, port.name, node);
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CPU {}", self.cpu)?;
        self.node.map_or(Ok(()), |node| write!(f, ", NUMA node {node}"))
    }
}

impl Place {
    /// Says that a port on another node is used from here, where that is so.
    pub fn far_from(&mut self, topology: &Topology, port: &str, node: u32) {
        if let Some(other) = self.node.filter(|other| *other != node) {
            self.misplaced.push(format!(
                "port {port} is on NUMA node {node}, its worker on CPU {} on node {other}: every \
                 packet crosses; choose among CPUs {}",
                self.cpu,
                topology.cpus(node)
            ));
        }
    }
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
            let mut places = places(&topology, &lcores);
            beside_ports(&mut places, &topology, &roles, ports);
            assert_eq!(places.iter().map(|place| place.cpu).collect::<Vec<_>>(), workers);
            places
        };
        let lines = |places: Vec<Place>| -> Vec<String> {
            places.into_iter().flat_map(|place| place.misplaced).collect()
        };
        let here = [port("in", Some(0)), port("out", None)];
        let good = told(2, &[0, 1], &here);
        assert_eq!(good.iter().map(|place| place.node).collect::<Vec<_>>(), [Some(0), Some(0)]);
        assert_eq!(lines(good), Vec::<String>::new());
        let threads = told(0, &[1, 5], &here);
        assert_eq!(threads[0].misplaced, Vec::<String>::new(), "it is the second that is too much");
        assert_eq!(threads[1].misplaced.len(), 1, "{threads:?}");
        let line = &threads[1].misplaced[0];
        assert!(line.starts_with("workers on CPUs 1 and 5 are threads of one core"), "{line}");
        let both = lines(told(1, &[1, 1], &here));
        assert_eq!(both.len(), 3, "{both:?}");
        assert!(both[0].starts_with("management and a worker share CPU 1"), "{both:?}");
        assert!(both[1].starts_with("workers 0 and 1 share CPU 1"), "{both:?}");
        let beside = lines(told(4, &[0], &[]));
        assert!(beside[0].starts_with("management's CPU 4 and the worker's CPU 0"), "{beside:?}");
        let far = told(5, &[0, 2], &[port("in", Some(1)), port("out", None)]);
        assert_eq!(far[1].misplaced, Vec::<String>::new(), "its port is near");
        assert_eq!(
            lines(far),
            ["port in is on NUMA node 1, its worker on CPU 0 on node 0: every packet \
            crosses; choose among CPUs 2-3,6-7"]
        );
        fs::remove_dir_all(&root).unwrap();
        let silent = told(0, &[1, 5], &here);
        assert_eq!(silent[0], Place { cpu: 1, ..Place::default() }, "a host that says nothing");
        assert_eq!(lines(silent), Vec::<String>::new());
    }
}
