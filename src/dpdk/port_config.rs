//! How a port is to be opened.

use crate::config::KernelDriver;

/// How a port is opened.
#[derive(Clone, Debug)]
pub struct PortConfig {
    /// The port's name, for errors.
    pub name: String,
    /// Its device: a PCI address, a virtual device with its arguments, or with a `driver` an
    /// interface of the kernel.
    pub device: String,
    /// How an interface of the kernel is used.
    pub driver: Option<KernelDriver>,
    /// The longest IP packet; made to fit what the device takes.
    pub mtu: u16,
    /// Receive queues.
    pub rx_queues: RxQueues,
    /// Descriptors of a receive queue; made to fit.
    pub rx_descriptors: u16,
    /// Descriptors of the send queue; made to fit.
    pub tx_descriptors: u16,
    /// Whether it hears unicast frames for others, too.
    pub promiscuous: bool,
    /// Whether it sends by a packet socket of ours, which bundles datagrams; with an interface of
    /// the kernel only.
    pub bundle: bool,
}

impl PortConfig {
    /// A port with one queue each way and an MTU of 1500.
    pub fn new(name: impl Into<String>, device: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            device: device.into(),
            driver: None,
            mtu: 1500,
            rx_queues: RxQueues::Exactly(1),
            rx_descriptors: 1024,
            tx_descriptors: 1024,
            promiscuous: true,
            bundle: false,
        }
    }
}

/// How many receive queues a port is to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RxQueues {
    /// So many. A device that cannot have them is refused; one that only sends has none.
    Exactly(u16),
    /// As is best for so many workers: all where each queue is a source of its own (pcap, ring), one
    /// for each worker where the device spreads flows over them (RSS), else one.
    For(u16),
}
