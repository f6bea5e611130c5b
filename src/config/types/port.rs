//! Ports: devices, and whom copies go to on their links.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::RateLimit;
use crate::wire::MacAddr;

/// `[[port]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Port {
    /// `name`, unique.
    pub name: String,
    /// `device`: PCI address or vdev with its arguments, `${VAR}` replaced; with a `driver` the
    /// name of an interface.
    pub device: String,
    /// `driver`: how an interface of the kernel is used; `None` where `device` says it all.
    pub driver: Option<KernelDriver>,
    /// `address`: source of rewritten packets, with prefix.
    pub address: Vec<IpNet>,
    /// `mtu`: the longest IP packet, in bytes; default 1500, 68 to 9,978.
    pub mtu: u32,
    /// `rx = "live" | "lossless"`; default lossless for pcap, ring and memif.
    pub rx: RxMode,
    /// `rx_queues`: receive queues, 1 to 32; `None` is as is best for the workers.
    pub rx_queues: Option<u16>,
    /// `rx_checksum = "trust" | "complete"`.
    pub rx_checksum: RxChecksum,
    /// `join`: whether the groups of the rules are joined here; default true where hosts may be.
    pub join: bool,
    /// `bundle`: whether datagrams that follow each other leave as one, which the kernel cuts up.
    pub bundle: bool,
    /// `rate` and `burst`: how fast it is sent to, at most; `None` is as fast as it takes.
    pub shaper: Option<RateLimit>,
    /// `gateway`: who takes what has no other way; one of each IP version at most.
    pub gateway: Vec<IpAddr>,
    /// `route`, in file order.
    pub routes: Vec<Route>,
    /// `neighbour`: MACs that are not asked for.
    pub neighbours: Vec<StaticNeighbour>,
    /// `reachable`: how long a neighbour's answer is believed, before it is asked again; default
    /// 30 s (RFC 4861, section 10).
    pub reachable: Duration,
}

/// One entry of `route`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// `to`: what goes this way.
    pub to: IpNet,
    /// `via`: who takes it; on the port's link.
    pub via: IpAddr,
}

/// One entry of `neighbour`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StaticNeighbour {
    /// `address`.
    pub address: IpAddr,
    /// `mac`.
    pub mac: MacAddr,
}

/// Who on a port's link takes copies whose output has no `mac`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextHop {
    /// All go to this host.
    One(IpAddr),
    /// Each destination of this prefix is a host on the link.
    Each(IpNet),
}

/// A host on the link of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Neighbour {
    /// Slot of the port.
    pub port: usize,
    /// VLAN id; 0 is untagged.
    pub vlan: u16,
    /// Its address.
    pub address: IpAddr,
}

impl Port {
    /// What names its driver: that of an interface, else the device itself.
    pub fn driven_by(&self) -> &str {
        self.driver.map_or(self.device.as_str(), |driver| driver.eal_name())
    }

    /// Whether it is a PCI device, which EAL looks for at its start.
    pub fn is_pci(&self) -> bool {
        let is_virtual =
            || ["net_", "eth_", "vdev:"].iter().any(|kind| self.device.starts_with(kind));
        self.driver.is_none() && !is_virtual()
    }

    /// Whether it is an AF_XDP socket, which shares the payload pool with the kernel.
    pub fn is_af_xdp(&self) -> bool {
        self.driven_by().starts_with(KernelDriver::AfXdp.eal_name())
    }
}

/// How an interface is used that stays the kernel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KernelDriver {
    /// A packet socket: the kernel sees the frames, too.
    AfPacket,
    /// An AF_XDP socket: the frames are taken before the kernel sees them.
    AfXdp,
}

impl KernelDriver {
    /// As the configuration writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AfPacket => "af_packet",
            Self::AfXdp => "af_xdp",
        }
    }

    /// As EAL names it.
    pub const fn eal_name(self) -> &'static str {
        match self {
            Self::AfPacket => "net_af_packet",
            Self::AfXdp => "net_af_xdp",
        }
    }

    /// The longest IP packet that it carries, in bytes. af_packet tells DPDK of frames of 1,518
    /// bytes; af_xdp wants frame, headrooms and metadata in one page.
    pub const fn mtu_max(self) -> u32 {
        match self {
            Self::AfPacket => 1_500,
            Self::AfXdp => crate::plan::memory::AF_XDP_MTU,
        }
    }
}

/// When a port is polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RxMode {
    /// Every turn; what does not fit is lost and counted.
    Live,
    /// Only when pool and queues have room for a burst.
    Lossless,
}

/// What the UDP checksum of a received frame is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RxChecksum {
    /// It is the sender's.
    Trust,
    /// It may be unfinished by the kernel's offload: computed anew at parse.
    Complete,
}
