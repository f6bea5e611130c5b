//! A worker on memory ports, its clock and pools, for the tests here.

use std::path::Path;
use std::sync::Arc;

use punctual::config::{self, Config};
use punctual::ledger::{Counters, Ledger};
use punctual::packet::{DropReason, FrameSink, FrameSource};
use punctual::plan::{Plan, PortFacts};
use punctual::stages::{Originate, Punt, RxSource};
use punctual::testkit::{HeapFrame, HeapPacket, HeapPool, Memory, MemoryRx, MemoryTx, StepClock};
use punctual::wire::MacAddr;
use punctual::worker::{Control, Parts, Phase, Worker};

use crate::frames::Frame;

/// A site of one input port `in` and output ports as its configuration names them.
pub struct Site {
    pub worker: Worker<Memory>,
    pub rx: MemoryRx,
    /// By port slot; slot 0 is the input.
    pub tx: Vec<MemoryTx>,
    pub clock: StepClock,
    pub counters: Arc<Counters>,
    pub payload: HeapPool,
    pub headers: HeapPool,
    pub linear: HeapPool,
    pub own: HeapPool,
    pub plan: Arc<Plan>,
    pub control: Arc<Control>,
}

/// What is the same in every configuration here.
const PORTS: &str = r#"
    schema = 1
    [instance]
    name = "way"
    [[port]]
    name = "in"
    device = "net_null0"
    [[port]]
    name = "a"
    device = "net_null1"
    address = ["10.0.0.1/24", "fd00::1/64"]
    [[port]]
    name = "b"
    device = "net_null2"
"#;

/// A configuration of [`PORTS`] and these rules.
pub fn load(rules: &str) -> Config {
    config_with(rules, "", "")
}

/// As [`load`], with another text in place of one of [`PORTS`].
pub fn config_with(rules: &str, old: &str, new: &str) -> Config {
    let text = format!("{}{rules}", PORTS.replacen(old, new, 1));
    match config::load_bytes(Path::new("way.toml"), text.into_bytes(), &|_| None) {
        Ok(loaded) => loaded.config,
        Err(errors) => panic!("{errors}"),
    }
}

impl Site {
    pub fn new(rules: &str) -> Self {
        Self::build(&load(rules), |_| true, true, 10_000)
    }

    pub fn build(
        config: &Config,
        sends_chains: impl Fn(usize) -> bool,
        clock: bool,
        headers: usize,
    ) -> Self {
        let facts: Vec<_> = (0..config.ports.len())
            .map(|slot| PortFacts {
                mac: MacAddr([2, 0, 0, 0, 1, slot as u8]),
                mtu: config.ports[slot].mtu,
                sends_chains: sends_chains(slot),
            })
            .collect();
        let plan = Arc::new(Plan::build(config, &facts, 1_000_000_000, 1).unwrap());
        Self::with(config, plan, clock, headers, false).0
    }

    /// A site with a slow path, and management's ends of its rings.
    pub fn with_slow_path(config: &Config) -> (Self, FrameSource, FrameSink) {
        let plan = Self::build(config, |_| true, true, 1).plan;
        let (site, ends) = Self::with(config, plan, true, 10_000, true);
        let (from, own) = ends.expect("there is a slow path");
        (site, from, own)
    }

    /// A site that goes by a plan of ports that send chains.
    pub fn on(config: &Config, plan: Arc<Plan>, headers: usize) -> Self {
        Self::with(config, plan, true, headers, false).0
    }

    fn with(
        config: &Config,
        plan: Arc<Plan>,
        clock: bool,
        headers: usize,
        speaks: bool,
    ) -> (Self, Option<(FrameSource, FrameSink)>) {
        let counters = Arc::new(Counters::for_plan(&plan));
        let (rx, time) = (MemoryRx::default(), StepClock::default());
        time.step(1 << 40);
        let tx: Vec<_> = config.ports.iter().map(|_| MemoryTx::default()).collect();
        let [payload, headers, linear] = [50_000, headers, 10_000].map(HeapPool::new);
        let own = HeapPool::new(1_000);
        let ends = || {
            let (punt, from) = Punt::new(&plan);
            let (originate, to) = Originate::new(&plan, own.share());
            ((punt, originate), (from, to))
        };
        let (slow_path, ends) = speaks.then(ends).unzip();
        let parts = Parts {
            rx: vec![RxSource { port: rx.clone(), slot: 0, mode: config.ports[0].rx }],
            tx: tx.clone(),
            payload: payload.share(),
            headers: headers.share(),
            linear: config.ports.iter().map(|_| Some(linear.share())).collect(),
            clock: clock.then(|| time.clone()),
            slow_path,
        };
        let control = Arc::new(Control::new(&plan));
        let worker =
            Worker::new(Arc::clone(&plan), parts, Arc::clone(&counters), Arc::clone(&control));
        let site = Self {
            worker,
            rx,
            tx,
            clock: time,
            counters,
            payload,
            headers,
            linear,
            own,
            plan,
            control,
        };
        (site, ends)
    }

    pub fn push(&self, frame: &Frame) {
        self.rx.push(self.payload.adopt(HeapFrame::new(&[&frame.bytes()])));
    }

    pub fn turns(&mut self, count: usize) -> Ledger {
        for _ in 0..count {
            self.worker.turn();
            assert_eq!(self.ledger().residual(), 0);
        }
        self.ledger()
    }

    pub fn ledger(&self) -> Ledger {
        self.counters.ledger.read()
    }

    /// Drains, and checks that nothing is left anywhere.
    pub fn finish(mut self) -> Ledger {
        self.control.set(Phase::Drain);
        self.worker.run(false);
        self.tx.iter().for_each(|tx| drop(tx.take()));
        let ledger = self.ledger();
        assert_eq!(ledger.residual(), 0);
        assert!(ledger.is_quiet());
        assert_eq!(self.payload.in_use(), 0, "payload");
        assert_eq!(self.headers.in_use(), 0, "headers");
        assert_eq!(self.linear.in_use(), 0, "linear");
        assert_eq!(self.own.in_use(), 0, "own");
        ledger
    }

    pub fn sent(&self, port: usize) -> Vec<HeapPacket> {
        self.tx[port].take()
    }

    pub fn dropped_after(&self, output: usize, reason: DropReason) -> u64 {
        self.counters.outputs[output].dropped()[reason.index()]
    }
}

/// The frame with a number as its payload.
pub fn numbered(frame: Frame, number: u32) -> Frame {
    frame.with(|f| f.payload = number.to_be_bytes().to_vec())
}

/// The number in a packet's last four bytes.
pub fn number(packet: &HeapPacket) -> u32 {
    u32::from_be_bytes(packet.bytes().last_chunk().copied().unwrap())
}

/// Two outputs on port a, one on port b.
pub const FAN_OUT: &str = r#"
    [[rule]]
    name = "feed"
    input = { port = "in", destination = "239.1.1.0/24", udp_port = 5001 }
    output = [
      { port = "a", destination = "239.101.1.0/24" },
      { port = "a", destination = "239.102.1.0/24", vlan = 7 },
      { port = "b", destination = "239.103.1.0/24" },
    ]
"#;
