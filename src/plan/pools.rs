//! Which pools of buffers a configuration needs, and how large they are.

use crate::config::Config;
use crate::wire::MAX_HEADER;

/// Bytes kept free in front of a frame: DPDK's default headroom, where new headers grow.
const HEADROOM: u32 = 128;
/// Bytes of a received frame that one buffer holds; longer frames take several.
const PAYLOAD_ROOM: u32 = 2048;
/// Ethernet, two tags, IPv6 and UDP fit the headroom; a little more keeps odd drivers content.
const HEADER_ROOM: u32 = 64;
/// Buffers for linear copies on one port, at most: they only wait for one send queue.
const LINEAR_PACKETS: u32 = 16_384;

const _: () = assert!(
    MAX_HEADER <= HEADROOM as usize,
    "headers grow into the headroom"
);

/// A pool that is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolPlan {
    /// `payload`, `headers`, or `linear/` and the port's name.
    pub name: String,
    /// Buffers.
    pub packets: u32,
    /// Bytes of a buffer, the headroom included.
    pub data_room: u32,
}

/// All pools of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolPlans {
    /// Where received packets lie.
    pub payload: PoolPlan,
    /// Where the headers of copies lie.
    pub headers: PoolPlan,
    /// By port slot: where linear copies lie, on ports that may need them.
    pub linear: Vec<Option<PoolPlan>>,
}

impl PoolPlans {
    /// The pools of `config`.
    pub fn new(config: &Config) -> Self {
        let linear = config.ports.iter().map(|port| {
            let needed = config.copy_below > 0 || !sends_chains_surely(&port.device);
            needed.then(|| PoolPlan {
                name: format!("linear/{}", port.name),
                packets: config.memory.headers.min(LINEAR_PACKETS),
                data_room: HEADROOM + port.mtu,
            })
        });
        Self {
            payload: PoolPlan {
                name: "payload".into(),
                packets: config.memory.packets,
                data_room: HEADROOM + PAYLOAD_ROOM,
            },
            headers: PoolPlan {
                name: "headers".into(),
                packets: config.memory.headers,
                data_room: HEADROOM + HEADER_ROOM,
            },
            linear: linear.collect(),
        }
    }

    /// Every pool.
    pub fn all(&self) -> impl Iterator<Item = &PoolPlan> {
        [&self.payload, &self.headers]
            .into_iter()
            .chain(self.linear.iter().flatten())
    }
}

/// Whether a device is known to send chains before it is open, when memory is set aside.
fn sends_chains_surely(device: &str) -> bool {
    const CHAINING: [&str; 5] = [
        "net_pcap",
        "net_null",
        "net_ring",
        "net_memif",
        "net_af_packet",
    ];
    CHAINING.iter().any(|name| device.starts_with(name))
}
