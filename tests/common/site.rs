//! A worker on DPDK between ports made of rings, driven by hand: what is pushed into a port's
//! ring arrives there, what the worker sends is popped from it, and a full ring refuses.

#![allow(dead_code)]

use std::path::Path;
use std::sync::Arc;

use punctual::config::{self, Config, EalMemory};
use punctual::dpdk::ring::RingPort;
use punctual::dpdk::{Dpdk, Eal, EalConfig, HEADROOM, Mbuf, Pool, PoolConfig, Port, PortConfig};
use punctual::dpdk::{DpdkTx, TscClock};
use punctual::ledger::{Counters, Ledger};
use punctual::packet::{Clock, DropReason, FrameSink, FrameSource, Packet, PacketPool};
use punctual::plan::{Plan, PortFacts};
use punctual::stages::{Originate, Punt, RxSource};
use punctual::worker::{Control, Parts, Phase, Worker};

use crate::common::instance_name;

/// Bytes of a payload buffer behind its headroom: as much as the binary gives it.
pub const ROOM: usize = 2048;

/// EAL in ordinary memory.
pub fn eal() -> Eal {
    let config = EalConfig {
        name: instance_name(),
        memory: EalMemory::NoHuge,
        megabytes: 192,
        management_cpu: 0,
        worker_cpus: vec![0],
        devices: vec![],
        extra: vec![],
    };
    Eal::start(&config).expect("EAL starts")
}

/// How a site is built.
pub struct Sizes {
    /// Packets in the payload pool.
    pub payload: u32,
    /// Packets in the header pool.
    pub headers: u32,
    /// By port slot: packets that its send ring holds.
    pub rings: Vec<u32>,
    /// Whether time is the processor's, not the capture's.
    pub tsc: bool,
}

/// A worker and everything around it. Fields are dropped in order: what uses, then what is used.
pub struct Site {
    /// The worker, until it is finished.
    pub worker: Worker<Dpdk>,
    /// What management asks of it.
    pub control: Arc<Control>,
    /// Its counters.
    pub counters: Arc<Counters>,
    /// Its plan.
    pub plan: Arc<Plan>,
    /// The ports, kept open.
    pub ports: Vec<Port>,
    /// By port slot; slot 0 is the input.
    pub rings: Vec<RingPort>,
    /// Where received packets lie.
    pub payload: Pool,
    /// Where the headers of copies lie.
    pub headers: Pool,
    /// Where linear copies lie.
    pub linear: Pool,
    /// Where frames of management's own lie.
    pub own_frames: Pool,
    /// What the worker leaves to management.
    pub punted: FrameSource,
    /// What management has the worker send.
    pub own: FrameSink,
    /// EAL.
    pub eal: Eal,
}

/// Reads a configuration; the devices it names are not opened.
pub fn load(text: String) -> Config {
    match config::load_bytes(Path::new("site.toml"), text.into_bytes(), &|_| None) {
        Ok(loaded) => loaded.config,
        Err(errors) => panic!("{errors}"),
    }
}

impl Site {
    /// A site at rest; port 0 is received from, all are sent to.
    pub fn new(config: &Config, sizes: &Sizes) -> Self {
        let eal = eal();
        let pool = |name, packets, data_room| {
            let cache = 32;
            let config = PoolConfig { name, packets, data_room, cache };
            Pool::new(&eal, &config).expect("the pool is made")
        };
        let payload = pool("payload", sizes.payload, HEADROOM + ROOM as u16);
        let headers = pool("headers", sizes.headers, HEADROOM + 128);
        let linear = pool("linear", 64, HEADROOM + 9_100);
        let own_frames = pool("own", 256, HEADROOM + ROOM as u16);
        let mut rings = vec![];
        let mut ports = vec![];
        for (slot, (port, capacity)) in config.ports.iter().zip(&sizes.rings).enumerate() {
            let ring = RingPort::new(&eal, &format!("r{slot}"), 1023, *capacity);
            let ring = ring.expect("the rings are made");
            let mtu = port.mtu as u16;
            let open = PortConfig { mtu, ..PortConfig::new(&port.name, ring.device()) };
            ports.push(Port::open(&eal, &open, &payload).expect("it opens"));
            rings.push(ring);
        }
        let facts = ports.iter().map(facts).collect::<Vec<_>>();
        let clock = sizes.tsc.then(|| TscClock::new(&eal));
        let ticks = clock.map_or(1_000_000_000, |clock| clock.ticks_per_second());
        let plan = Arc::new(Plan::build(config, &facts, ticks, 1).expect("the plan is built"));
        let slots = (plan.rules.len(), plan.outputs.len(), plan.ports.len());
        let counters = Arc::new(Counters::new(slots.0, slots.1, slots.2));
        let tx: Vec<DpdkTx> = ports.iter().filter_map(Port::tx).collect();
        let (punt, punted) = Punt::new(&plan);
        let (originate, own) = Originate::new(&plan, own_frames.clone());
        let parts = Parts {
            rx: vec![RxSource {
                port: ports[0].rx(0).expect("it has a receive queue"),
                slot: 0,
                mode: config.ports[0].rx,
            }],
            tx,
            payload: payload.clone(),
            headers: headers.clone(),
            linear: ports.iter().map(|_| Some(linear.clone())).collect(),
            clock,
            slow_path: Some((punt, originate)),
        };
        let control = Arc::new(Control::new(&plan));
        let worker =
            Worker::new(Arc::clone(&plan), parts, Arc::clone(&counters), Arc::clone(&control));
        Self {
            worker,
            control,
            counters,
            plan,
            ports,
            rings,
            payload,
            headers,
            linear,
            own_frames,
            punted,
            own,
            eal,
        }
    }

    /// A packet of one segment or, where that is too short, of several, each but the last full.
    pub fn packet(&mut self, bytes: &[u8]) -> Mbuf {
        chain(&mut self.payload, &bytes.chunks(ROOM).collect::<Vec<_>>())
    }

    /// Lets a packet arrive.
    pub fn push(&mut self, bytes: &[u8]) {
        let packet = self.packet(bytes);
        assert!(self.rings[0].rx.push(packet).is_ok(), "the input ring is full");
    }

    /// Turns; the ledger is whole after each.
    pub fn turns(&mut self, count: usize) -> Ledger {
        for _ in 0..count {
            self.worker.turn();
            assert_eq!(self.ledger().residual(), 0);
        }
        self.ledger()
    }

    /// The ledger as of the last turn.
    pub fn ledger(&self) -> Ledger {
        self.counters.ledger.read()
    }

    /// All that a port has sent and nobody took.
    pub fn sent(&self, port: usize) -> Vec<Mbuf> {
        std::iter::from_fn(|| self.rings[port].tx.pop()).collect()
    }

    /// Copies of an output that were dropped.
    pub fn dropped_after(&self, output: usize, reason: DropReason) -> u64 {
        self.counters.outputs[output].dropped()[reason.index()]
    }

    /// Ends the worker, and checks that nothing is left anywhere.
    pub fn finish(mut self, phase: Phase) -> Ledger {
        self.control.set(phase);
        self.worker.run(false);
        self.rings.iter().for_each(drop_all);
        let ledger = self.ledger();
        assert_eq!(ledger.residual(), 0);
        assert!(ledger.is_quiet());
        let (headers, own) = (&mut self.headers, &mut self.own_frames);
        for pool in [&mut self.payload, headers, &mut self.linear, own] {
            is_whole(pool);
        }
        ledger
    }
}

fn drop_all(ring: &RingPort) {
    while ring.tx.pop().is_some() {}
    // What the worker never received.
    while ring.rx.pop().is_some() {}
}

fn facts(port: &Port) -> PortFacts {
    PortFacts { mac: port.mac(), mtu: port.mtu().into(), sends_chains: port.sends_chains() }
}

/// Every packet is back, each of them once: a pool that was given one twice hands it out twice.
pub fn is_whole(pool: &mut Pool) {
    assert_eq!(pool.in_use(), 0, "{}", pool.name());
    let all: Vec<Mbuf> = std::iter::from_fn(|| pool.take_one()).collect();
    assert_eq!(all.len(), pool.size(), "{}", pool.name());
    let mut addresses: Vec<_> = all.iter().map(|p| p.segment_addresses()[0]).collect();
    assert!(addresses.iter().all(|&(_, _, owners)| owners == 1));
    addresses.sort_unstable();
    addresses.dedup();
    assert_eq!(addresses.len(), all.len(), "{}: given back twice", pool.name());
}

/// A packet of these segments, each behind a headroom, as a driver leaves them.
pub fn chain(pool: &mut Pool, segments: &[&[u8]]) -> Mbuf {
    let mut segments = segments.iter().rev().map(|bytes| segment(pool, bytes));
    let last = segments.next().expect("a packet has a segment");
    segments.fold(last, |rest, mut head| {
        rest.share(0, std::slice::from_mut(&mut head));
        head
    })
}

fn segment(pool: &mut Pool, bytes: &[u8]) -> Mbuf {
    let mut raw = pool.take_one().expect("the pool has a packet").into_raw();
    // SAFETY: fresh from its pool and ours alone; the bytes fit behind the headroom.
    unsafe {
        let mbuf = raw.as_mut();
        assert!(bytes.len() <= usize::from(mbuf.buf_len - mbuf.data_off));
        let place = mbuf.buf_addr.cast::<u8>().add(mbuf.data_off.into());
        place.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        mbuf.data_len = bytes.len() as u16;
        mbuf.pkt_len = bytes.len() as u32;
        Mbuf::from_raw(raw)
    }
}

/// A packet of one segment, if the pool has one.
pub fn try_frame(pool: &mut Pool, bytes: &[u8]) -> Option<Mbuf> {
    (pool.available() > 0).then(|| segment(pool, bytes))
}

/// All bytes of a packet.
pub fn bytes(packet: &Mbuf) -> Vec<u8> {
    let mut all = Vec::new();
    packet.for_each_segment(|segment| all.extend_from_slice(segment));
    assert_eq!(all.len(), packet.frame_len());
    all
}
