//! The memory that a plan needs, by arithmetic: what `check` prints and the start goes by.
//!
//! A buffer of a pool is a 64-byte object header, the mbuf (128), our metadata (64) and the data
//! room, rounded up to cache lines and then to an odd number of them, so that buffers spread over
//! memory channels. Buffers do not cross hugepages of 2 MiB; without hugepages they are packed. To
//! that come the ring of free buffers (8 bytes each, a power of two) and a cache, which DPDK lays
//! out for every lcore that it could have.

use super::Plan;
use crate::config::{Class, ClockSource, Config, EalMemory};
use crate::ledger::{BUCKETS, OutputCounters, PortCounters, RuleCounters};
use crate::packet::{Meta, Ticks};
use crate::sched::TokenBucket;
use crate::wire::MAX_FRAGMENT_HEADER;

/// Bytes kept free in front of a frame; part of the data room.
pub const HEADROOM: u16 = 128;
/// The largest frame that is surely in one segment, where the MTU asks for no more.
const FRAME_ROOM: u32 = 2_048;
/// Network cards take the room of a buffer in these steps.
const ROOM_STEP: u32 = 1_024;
/// Room for a header in front of a chained payload: [`MAX_FRAGMENT_HEADER`] in whole cache lines.
const HEADER_ROOM: u16 = MAX_FRAGMENT_HEADER.next_multiple_of(LINE as usize) as u16;

/// Bytes that the kernel keeps free in front of a frame that an AF_XDP socket receives.
const XDP_HEADROOM: u32 = 256;
/// The most that a buffer behind its headroom has where the pool is shared with AF_XDP sockets:
/// the kernel wants a buffer with all that belongs to it in a page, and its size is an odd number
/// of cache lines.
const AF_XDP_ROOM: u32 =
    (63 * LINE - OBJECT_HEADER - MBUF - size_of::<Meta>() as u64 - HEADROOM as u64) as u32;
/// The longest IP packet that an AF_XDP socket carries, in bytes.
pub const AF_XDP_MTU: u32 = AF_XDP_ROOM - XDP_HEADROOM - super::LINK_HEADERS;

/// Buffers for linear copies on one port, at most: they wait for one send queue only.
const LINEAR_PACKETS: u32 = 16_384;

/// Buffers for frames of our own, for each port: more than its send ring may keep.
const OWN_PACKETS: u32 = 1_280;

/// Bytes of a hugepage, as EAL asks for them by default.
pub const HUGEPAGE: u64 = 2 << 20;

const LINE: u64 = 64;
/// `struct rte_mbuf`.
const MBUF: u64 = 128;
/// `struct rte_mempool_objhdr`, in whole cache lines.
const OBJECT_HEADER: u64 = 64;
/// `struct rte_mempool_cache` for each of `RTE_MAX_LCORE`.
const CACHES: u64 = 128 * 8_256;

/// What the worker keeps of a flow: bucket and last deadline, and a queue in ingress DRR.
const FLOW: u64 = size_of::<(TokenBucket, Ticks)>() as u64 + LINE;
/// What it keeps of a source to find its flow.
const SOURCE: u64 = size_of::<(u128, Ticks, u32)>() as u64;
/// What it keeps of a port: a burst staged and one of frames of our own, and the breaker; the rest
/// is in its queues.
const PORT: usize = 1_024;
/// An output's queue in egress DRR.
const LANE: u64 = LINE;
/// What it keeps of a neighbour: what is known of it, and a queue; and of each output a number.
const HOP: u64 = 32;
/// The EDF wheels: for each class two of 4,096 buckets, a queue of two words and a bit each.
const WHEELS: u64 = Class::COUNT as u64 * 2 * (4_096 * 16 + 4_096 / 8);

/// A pool of buffers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolSize {
    /// `payload`, `headers`, `own`, or `linear/` and the port's name.
    pub name: String,
    /// How many buffers.
    pub packets: u32,
    /// Bytes of a buffer that frames lie in, [`HEADROOM`] included.
    pub data_room: u16,
}

impl PoolSize {
    /// Bytes of one buffer with all that belongs to it.
    pub fn buffer_bytes(&self) -> u64 {
        let bytes = OBJECT_HEADER + MBUF + size_of::<Meta>() as u64 + u64::from(self.data_room);
        (bytes.div_ceil(LINE) | 1) * LINE
    }

    /// Bytes that the pool takes from EAL's memory.
    pub fn bytes(&self, memory: EalMemory) -> u64 {
        let (packets, buffer) = (u64::from(self.packets), self.buffer_bytes());
        let buffers = match memory {
            EalMemory::NoHuge => packets * buffer,
            EalMemory::Hugepages | EalMemory::InMemory => {
                packets.div_ceil(HUGEPAGE / buffer) * HUGEPAGE
            }
        };
        let ring = (packets + 1).next_power_of_two() * 8;
        buffers + ring + CACHES
    }
}

/// The pools of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pools {
    /// Where received packets lie.
    pub payload: PoolSize,
    /// Where the headers of copies lie.
    pub headers: PoolSize,
    /// By port slot: where linear copies lie, on ports that are sent such.
    pub linear: Vec<Option<PoolSize>>,
    /// Where frames of our own lie; none where there is no slow path.
    pub own: Option<PoolSize>,
}

/// Bytes of a payload buffer that frames lie in, [`HEADROOM`] included.
pub fn data_room(config: &Config) -> u16 {
    let mtu = config.ports.iter().map(|port| port.mtu).max();
    let frame = mtu.unwrap_or_default() + super::LINK_HEADERS;
    let mut room = frame.max(FRAME_ROOM).next_multiple_of(ROOM_STEP);
    let af_xdp = config.ports.iter().filter(|port| port.is_af_xdp());
    if let Some(mtu) = af_xdp.map(|port| port.mtu).max() {
        // Longer frames of other ports take several buffers, or are refused by their drivers.
        let needed = (mtu + super::LINK_HEADERS + XDP_HEADROOM).next_multiple_of(ROOM_STEP);
        room = room.max(needed).min(AF_XDP_ROOM);
    }
    HEADROOM + u16::try_from(room).unwrap_or(u16::MAX - HEADROOM)
}

/// The pool for linear copies on the port with this slot, where it is sent such.
pub fn linear(config: &Config, slot: usize, sends_chains: bool) -> Option<PoolSize> {
    let mut outputs = config.rules.iter().flat_map(|rule| &rule.outputs);
    // A port that no rule names waits for outputs that a reload brings.
    let waits = || !config.rules.iter().any(|rule| rule.input.ports.contains(&slot));
    let sent_to = outputs.any(|output| output.port == slot) || waits();
    (sent_to && (!sends_chains || config.copy_below > 0)).then(|| PoolSize {
        name: format!("linear/{}", config.ports[slot].name),
        packets: config.memory.headers.min(LINEAR_PACKETS),
        data_room: data_room(config),
    })
}

/// The pool for frames of our own on a port that a reload adds; none where there is no slow path.
pub fn own(config: &Config, slot: usize) -> Option<PoolSize> {
    (config.clock == ClockSource::Tsc).then(|| PoolSize {
        name: format!("own/{}", config.ports[slot].name),
        packets: OWN_PACKETS,
        data_room: data_room(config),
    })
}

impl Pools {
    /// The pools of `plan`.
    pub fn new(config: &Config, plan: &Plan) -> Self {
        let data_room = data_room(config);
        let pool =
            |name: &str, packets, data_room| PoolSize { name: name.into(), packets, data_room };
        let linear = plan.ports.iter().enumerate();
        let linear =
            linear.map(|(slot, port)| self::linear(config, slot, port.sends_chains)).collect();
        let own = OWN_PACKETS * config.ports.len() as u32;
        Self {
            payload: pool("payload", config.memory.packets, data_room),
            headers: pool("headers", config.memory.headers, HEADROOM + HEADER_ROOM),
            linear,
            own: (config.clock == ClockSource::Tsc).then(|| pool("own", own, data_room)),
        }
    }

    /// Bytes of EAL's memory that ports may need that are added by a reload. Hugepages are taken
    /// when they are needed, ordinary memory is counted out at the start.
    pub fn spare(config: &Config) -> u64 {
        let more = u64::from(config.limits.ports).saturating_sub(config.ports.len() as u64);
        match config.eal.memory {
            EalMemory::NoHuge => {
                more * own(config, 0).map_or(0, |pool| pool.bytes(EalMemory::NoHuge))
            }
            EalMemory::Hugepages | EalMemory::InMemory => 0,
        }
    }

    /// Every pool.
    pub fn all(&self) -> impl Iterator<Item = &PoolSize> {
        let linear = self.linear.iter().flatten();
        [&self.payload, &self.headers].into_iter().chain(linear).chain(&self.own)
    }
}

/// A table of the process, outside EAL's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableSize {
    /// What it holds.
    pub name: &'static str,
    /// How many of them.
    pub entries: u64,
    /// Bytes in all.
    pub bytes: u64,
}

/// The tables of a plan and of so many workers that go by it.
pub fn tables(plan: &Plan, workers: usize) -> Vec<TableSize> {
    let each = |bytes: u64| bytes * workers as u64;
    let (rules, outputs) = (u64::from(plan.capacity.rules), u64::from(plan.capacity.outputs));
    let planned = plan.outputs.len() as u64;
    let lanes = plan.ports.iter().map(|port| u64::from(port.lane_slots)).sum::<u64>();
    let ports = u64::from(plan.capacity.ports);
    let flows = plan.flows.total() as u64;
    let of = |count: u64, size: usize| count * size as u64;
    let counters = of(rules, size_of::<RuleCounters>() + BUCKETS * size_of::<u64>())
        + of(outputs, size_of::<OutputCounters>())
        + of(ports, size_of::<PortCounters>() + PORT);
    let neighbours = u64::from(plan.capacity.neighbours);
    let waiting = neighbours * HOP + of(outputs, size_of::<u32>());
    let table = |name, entries, bytes| TableSize { name, entries, bytes };
    vec![
        table("rows", plan.rows.len() as u64, plan.rows.bytes()),
        table("flows", flows, each(flows * FLOW + u64::from(plan.flows.sources) * SOURCE)),
        table("outputs", planned, of(planned, size_of::<super::OutputPlan>()) + lanes * LANE),
        table("counters", rules + outputs + ports, each(counters)),
        table("neighbours", neighbours, of(neighbours, size_of::<u64>()) + each(waiting)),
        table("EDF wheels", Class::COUNT as u64 * 2, each(WHEELS)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(packets: u32, data_room: u16) -> PoolSize {
        PoolSize { name: "payload".into(), packets, data_room }
    }

    /// The numbers are those of `rte_mempool_calc_obj_size` of DPDK 22.11 for the same element
    /// (mbuf, metadata, headroom and room), with four memory channels, which it assumes.
    #[test]
    fn a_buffer_is_as_large_as_dpdk_makes_it() {
        let sizes = [
            (128, 576),
            (256, 704),
            (512, 960),
            (2_048, 2_496),
            (3_072, 3_520),
            (9_216, 9_664),
            (10_240, 10_688),
        ];
        for (room, bytes) in sizes {
            assert_eq!(pool(1, HEADROOM + room).buffer_bytes(), bytes, "{room}");
        }
    }

    #[test]
    fn a_buffer_of_an_af_xdp_socket_is_in_one_page_with_its_longest_frame() {
        assert!(pool(1, HEADROOM + AF_XDP_ROOM as u16).buffer_bytes() <= 4_096);
        assert_eq!(AF_XDP_MTU, 3_370);
    }

    #[test]
    fn buffers_do_not_cross_hugepages() {
        let pool = pool(1_000, HEADROOM + 2_048);
        let rest = 1_024 * 8 + CACHES;
        assert_eq!(pool.bytes(EalMemory::NoHuge), 1_000 * 2_496 + rest);
        // 840 of 2,496 bytes fit in 2 MiB.
        assert_eq!(pool.bytes(EalMemory::Hugepages), 2 * HUGEPAGE + rest);
    }
}
