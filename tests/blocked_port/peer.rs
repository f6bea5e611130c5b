//! The other end of the relay's ports on shared memory (net_memif): a DPDK application in the
//! test's own process, that sends what it is told and reads where and when it is told.
//!
//! It works in step with the relay: what was offered is waited for at a port that takes
//! everything. So what a test counts depends on no clock and on no other load of the host.

use std::time::{Duration, Instant};

use arrayvec::ArrayVec;
use punctual::config::EalMemory;
use punctual::dpdk::{
    DpdkError, DpdkRx, DpdkTx, Eal, EalConfig, HEADROOM, Mbuf, Pool, PoolConfig, Port, PortConfig,
    allowed_cpus,
};
use punctual::packet::{BURST, Burst, Packet, PacketPool, RxPort, TxPort};

use crate::binary::Instance;
use crate::common::{instance_name, skip};

/// Longest wait for anything; only a hang takes so long.
pub const HANG: Duration = Duration::from_secs(20);

/// The CPU that the relay runs on, and that of the peer: another where there is one.
pub fn cpus() -> (u32, u32) {
    let allowed = allowed_cpus();
    let first = allowed.first().copied().unwrap_or(0);
    (first, allowed.get(1).copied().unwrap_or(first))
}

/// A port of the relay's as a driver's arguments say it, from either end. The relay's end names
/// `rsize`, the logarithm of the ring's slots.
pub fn device(instance: &Instance, id: usize, role: &str) -> String {
    let socket = instance.path(&format!("{id}.sock"));
    let socket = socket.display();
    format!("net_memif{id},role={role},id={id},socket={socket},socket-abstract=no")
}

/// One end of one wire. Fields are dropped in order: EAL last.
pub struct Wire {
    rx: DpdkRx,
    tx: DpdkTx,
    port: Port,
    pool: Pool,
}

/// EAL and its packets in this process.
pub struct Peer {
    pool: Pool,
    eal: Eal,
}

impl Peer {
    /// Starts EAL on the peer's CPU.
    pub fn start() -> Self {
        let (_, cpu) = cpus();
        let config = EalConfig {
            name: instance_name(),
            memory: EalMemory::NoHuge,
            megabytes: 64,
            management_cpu: cpu,
            worker_cpus: vec![cpu],
            devices: vec![],
            extra: vec![],
        };
        let eal = Eal::start(&config).expect("EAL starts");
        let data_room = HEADROOM + 2048;
        let config = PoolConfig { name: "peer", packets: 4096, data_room, cache: 32 };
        let pool = Pool::new(&eal, &config).expect("the pool is made");
        Self { pool, eal }
    }

    /// Listens on so many sockets, from number 0 on; the relay connects to them. The case is
    /// skipped where there is no such driver.
    pub fn wires(self, instance: &Instance, count: usize) -> Vec<Wire> {
        let wires = (0..count).map(|id| {
            let config = PortConfig::new(format!("wire {id}"), device(instance, id, "server"));
            let port = Port::open(&self.eal, &config, &self.pool)?;
            let (rx, tx) = (port.rx(0).expect("it receives"), port.tx().expect("it sends"));
            Ok(Wire { rx, tx, port, pool: self.pool.clone() })
        });
        match wires.collect::<Result<Vec<_>, _>>() {
            Ok(wires) => wires,
            Err(error @ DpdkError::UnknownDriver { .. }) => {
                let why = error.to_string();
                drop(self);
                skip(&why)
            }
            Err(error) => panic!("{error}"),
        }
    }
}

impl Wire {
    /// Waits until the relay has connected.
    pub fn is_connected(&self) {
        wait("the relay to connect", || self.port.link().up.then_some(()));
    }

    /// Whether the relay is connected.
    pub fn is_up(&self) -> bool {
        self.port.link().up
    }

    /// Sends all of these frames, in order.
    pub fn send(&mut self, frames: &[Vec<u8>]) {
        for frames in frames.chunks(BURST) {
            let mut burst: Burst<Mbuf> = ArrayVec::new();
            self.pool.take(&mut burst, frames.len());
            assert_eq!(burst.len(), frames.len(), "the peer's pool is large enough");
            for (packet, bytes) in burst.iter_mut().zip(frames) {
                let room = packet.replace_front(0, bytes.len()).expect("there is room");
                room.copy_from_slice(bytes);
            }
            wait("the relay to receive", || {
                self.tx.send(&mut burst);
                burst.is_empty().then_some(())
            });
        }
    }

    /// Reads what is there, a burst at most.
    pub fn read(&mut self) -> Vec<Vec<u8>> {
        self.read_some(BURST)
    }

    /// Reads what is there, so many frames and a burst at most.
    pub fn read_some(&mut self, most: usize) -> Vec<Vec<u8>> {
        // The driver is asked for as many as the burst has room for.
        let mut burst: Burst<Mbuf> = ArrayVec::new();
        let filled = self.pool.take(&mut burst, BURST - most);
        self.rx.receive(&mut burst);
        burst.drain(..filled);
        let bytes = burst.iter().map(|packet| {
            let mut bytes = Vec::with_capacity(packet.frame_len());
            packet.for_each_segment(|segment| bytes.extend_from_slice(segment));
            bytes
        });
        bytes.collect()
    }

    /// Reads until nothing comes.
    pub fn read_all(&mut self) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        loop {
            let some = self.read();
            if some.is_empty() {
                return all;
            }
            all.extend(some);
        }
    }

    /// Reads until there are `count` frames.
    pub fn read_count(&mut self, count: usize) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        wait("the relay to send", || {
            all.extend(self.read());
            (all.len() >= count).then_some(())
        });
        all
    }
}

/// Asks until there is an answer.
pub fn wait<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < HANG, "waited too long for {what}");
        std::thread::sleep(Duration::from_micros(20));
    }
}
