//! What the cases share.

use punctual::config::EalMemory;
use punctual::dpdk::ring::RingPort;
use punctual::dpdk::{DpdkRx, DpdkTx, Eal, EalConfig, HEADROOM, Mbuf, Pool, PoolConfig};
use punctual::dpdk::{Port, PortConfig};
use punctual::packet::{Burst, Packet};

use crate::common::instance_name;

pub const ROOM: u16 = HEADROOM + 2048;

pub fn config() -> EalConfig {
    EalConfig {
        name: instance_name(),
        memory: EalMemory::NoHuge,
        megabytes: 64,
        management_cpu: 0,
        worker_cpus: vec![0],
        devices: vec![],
        extra: vec![],
    }
}

pub fn eal() -> Eal {
    Eal::start(&config()).expect("EAL starts")
}

pub fn pool(eal: &Eal, name: &str, packets: u32) -> Pool {
    let config = PoolConfig { name, packets, data_room: ROOM, cache: 32 };
    Pool::new(eal, &config).expect("the pool is made")
}

pub fn frame(pool: &mut Pool, bytes: &[u8]) -> Mbuf {
    let mut packet = pool.take_one().expect("the pool has a packet");
    packet.replace_front(0, bytes.len()).expect("there is room").copy_from_slice(bytes);
    packet
}

/// A frame of several segments, as sharing makes it: a header in front of the rest.
pub fn chain(pool: &mut Pool, segments: &[&[u8]]) -> Mbuf {
    let mut rest = frame(pool, segments.last().unwrap());
    for bytes in segments.iter().rev().skip(1) {
        let mut head = frame(pool, bytes);
        rest.share(0, std::slice::from_mut(&mut head));
        rest = head;
    }
    rest
}

pub fn bytes(packet: &Mbuf) -> Vec<u8> {
    let mut all = Vec::new();
    packet.for_each_segment(|segment| all.extend_from_slice(segment));
    assert_eq!(all.len(), packet.frame_len());
    all
}

pub fn numbered(pool: &mut Pool, count: u8) -> Burst<Mbuf> {
    (0..count).map(|i| frame(pool, &[i; 60])).collect()
}

pub struct Rings {
    pub rx: DpdkRx,
    pub tx: DpdkTx,
    _port: Port,
    pub ring: RingPort,
}

pub fn rings(eal: &Eal, pool: &Pool, capacity: u32) -> Rings {
    let ring = RingPort::new(eal, "r0", capacity, capacity).expect("the rings are made");
    let port = Port::open(eal, &PortConfig::new("ring", ring.device()), pool).expect("it opens");
    let (rx, tx) = (port.rx(0).unwrap(), port.tx().unwrap());
    Rings { rx, tx, _port: port, ring }
}
