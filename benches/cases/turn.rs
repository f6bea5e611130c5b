//! The worker's whole turn on memory ports: one burst received, replicated, sent. Between turns all that
//! it counts may be read, as every interface reads it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use punctual::config::{self, Config, Detail};
use punctual::ledger::Counters;
use punctual::manage::breaker::Breakers;
use punctual::manage::groups;
use punctual::manage::metrics;
use punctual::manage::reload::Retired;
use punctual::manage::report::{PoolStatus, PortStatus};
use punctual::manage::unmatched::Unmatched;
use punctual::manage::view::View;
use punctual::packet::BURST;
use punctual::plan::{Plan, PortFacts};
use punctual::stages::RxSource;
use punctual::testkit::StepClock;
use punctual::wire::MacAddr;
use punctual::worker::{Control, Parts, Worker};

use super::Case;
use super::pooled::{Bench, Home, Wire};

const CONFIG: &str = r#"
schema = 1
[instance]
name = "turn"
[[port]]
name = "in"
device = "net_null0"
[[port]]
name = "out"
device = "net_null1"
[default.rule]
class = "high"
[[rule]]
name = "fan-out"
input = { port = "in", destination = "239.1.1.0/24", udp_port = 5001 }
output = [
"#;

/// A datagram of 18 bytes from 10.9.1.1:4000 to 239.1.1.1:5001, without a UDP checksum.
const FRAME: [u8; 60] = [
    0x01, 0x00, 0x5e, 0x01, 0x01, 0x01, 0x02, 0, 0, 0, 0, 0x99, 0x08, 0x00, // Ethernet
    0x45, 0, 0, 46, 0x12, 0x34, 0x40, 0, 16, 17, 0x5d, 0x7f, 10, 9, 1, 1, 239, 1, 1,
    1, // IPv4
    0x0f, 0xa0, 0x13, 0x89, 0, 26, 0, 0, // UDP
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, // payload
];

/// The address of the port out, where it has one.
const OURS: &str = "10.9.2.1";

/// Packets of each pool: so many that memory is never short.
const PACKETS: usize = 10_000;

/// A worker of one rule with so many outputs on one port.
pub struct Turn {
    worker: Worker<Bench>,
    rx: Wire,
    tx: Wire,
    clock: StepClock,
    counters: Arc<Counters>,
    payload: Home,
    headers: Home,
    fan_out: usize,
    received: u64,
    /// Read before each turn.
    view: Option<View>,
}

/// What management shows of the worker.
fn view(config: Config, plan: &Arc<Plan>, counters: &Arc<Counters>) -> View {
    View {
        config: Arc::new(config),
        plan: Arc::clone(plan),
        workers: vec![(1, Arc::clone(counters))],
        places: Arc::default(),
        ports: vec![PortStatus::default(); 2],
        retired: Retired::default(),
        breakers: Breakers::new(plan),
        pools: Vec::<PoolStatus>::new(),
        unmatched: Unmatched::default(),
        groups: groups::State::default(),
        neighbours: Default::default(),
        malformed: Default::default(),
        alerts: vec![],
        now: None,
        uptime: Duration::ZERO,
        dumpcap: String::new(),
        dpdk: String::new(),
    }
}

impl Turn {
    /// Turns that nobody looks at.
    pub fn new(fan_out: usize) -> Self {
        Self { view: None, ..Self::read(fan_out) }
    }

    /// Turns between which everything is read.
    pub fn read(fan_out: usize) -> Self {
        Self::built(CONFIG, fan_out, "")
    }

    /// Turns that nobody looks at, of copies sent from an address of ours: what comes in from there is
    /// a loop, so that each packet's source matters.
    pub fn from_ours(fan_out: usize) -> Self {
        let device = "device = \"net_null1\"\n";
        let config = CONFIG.replace(device, &format!("{device}address = [\"{OURS}/24\"]\n"));
        Self { view: None, ..Self::built(&config, fan_out, &format!(", source = \"{OURS}\"")) }
    }

    /// Turns of a site of `config`, each output with `more` keys.
    fn built(config: &str, fan_out: usize, more: &str) -> Self {
        let output = |i| {
            let group = format!("239.{}.1.0/24", 101 + i);
            format!("{{ port = \"out\", destination = \"{group}\"{more} }},\n")
        };
        let outputs: String = (0..fan_out).map(output).collect();
        let text = format!("{config}{outputs}]\n");
        let config = match config::load_bytes(Path::new("turn.toml"), text.into(), &|_| None) {
            Ok(loaded) => loaded.config,
            Err(errors) => panic!("{errors}"),
        };
        let facts = [1, 2].map(|last| PortFacts {
            mac: MacAddr([2, 0, 0, 0, 1, last]),
            mtu: 1500,
            sends_chains: true,
        });
        let plan = Plan::build(&config, &facts, 1_000_000_000, 1).expect("the plan is built");
        let plan = Arc::new(plan);
        let counters = Arc::new(Counters::for_plan(&plan));
        let wires = [BURST, 0, BURST * fan_out].map(Wire::new);
        let [rx, unused, tx] = wires;
        let clock = StepClock::default();
        clock.step(1 << 40);
        let [payload, headers] = [PACKETS, PACKETS].map(Home::new);
        let parts = Parts {
            rx: vec![RxSource { port: rx.clone(), slot: 0, mode: config.ports[0].rx }],
            tx: vec![unused, tx.clone()],
            payload: payload.clone(),
            headers: headers.clone(),
            linear: vec![None, None],
            clock: Some(clock.clone()),
            slow_path: None,
        };
        let control = Arc::new(Control::new(&plan));
        let view = Some(view(config, &plan, &counters));
        let worker = Worker::new(plan, parts, Arc::clone(&counters), control);
        Self { worker, rx, tx, clock, counters, payload, headers, fan_out, received: 0, view }
    }
}

impl Turn {
    /// What was sent goes home: one copy is the packet itself, more have headers of their own.
    fn take_back(&self) {
        let (copies, other) = match self.fan_out {
            1 => (&self.payload, &self.headers),
            _ => (&self.headers, &self.payload),
        };
        copies.take_back(self.tx.take());
        other.take_back(vec![]);
    }
}

impl Case for Turn {
    fn prepare(&mut self) {
        self.clock.step(10_000);
        self.take_back();
        for _ in 0..BURST {
            self.rx.push(self.payload.frame(&FRAME));
        }
        self.received += BURST as u64;
        if let Some(view) = &self.view {
            let report = view.report(false);
            let text = metrics::exposition(&report, &view.latency(), Detail::Outputs);
            assert!(report.to_json().len() + text.len() > 0);
        }
    }

    fn run(&mut self) -> u64 {
        self.worker.step();
        (BURST * self.fan_out) as u64
    }

    fn check(&mut self) {
        let ledger = self.counters.ledger.read();
        assert_eq!(ledger.residual(), 0);
        assert!(ledger.is_quiet());
        assert_eq!(ledger.sent, self.received * self.fan_out as u64);
        self.take_back();
        assert_eq!(self.payload.free(), PACKETS);
    }
}
