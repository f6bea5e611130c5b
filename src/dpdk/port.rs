//! Ports: a device that has been configured and started, until the last handle to it is gone.

use std::ffi::CStr;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use dpdk_sys as c;

use super::bundler::Out;
use super::device::{self, Device, detach};
use super::kernel::{self, Interface};
use super::port_config::{PortConfig, RxQueues};
use super::{DpdkError, Eal, Errno, HEADROOM, Pool, log, memif};
use crate::packet::{Burst, TxPort};
use crate::wire::MacAddr;

/// Bytes of a frame besides its MTU: Ethernet header, two VLAN tags, FCS.
const FRAME_OVER_MTU: u32 = 14 + 2 * 4 + 4;
/// Receive queues at most: the bits that say which are given out.
const QUEUES_MAX: u16 = 32;
/// `RTE_ETH_MQ_RX_RSS`.
const RSS: u32 = 1;

/// What a port has counted since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortStats {
    /// Frames handed to us.
    pub received: u64,
    /// Their bytes.
    pub bytes_received: u64,
    /// Frames sent. A pcap device without tx_pcap= takes, frees and counts them all the same.
    pub sent: u64,
    /// Their bytes.
    pub bytes_sent: u64,
    /// Frames lost because the queue was full.
    pub missed: u64,
    /// Frames lost because the pool was empty.
    pub no_mbuf: u64,
    /// Frames lost to errors on receipt.
    pub rx_errors: u64,
    /// Frames that were accepted from us and not sent.
    pub tx_errors: u64,
}

/// The state of a port's link, as its driver tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkState {
    /// Whether frames can be sent.
    pub up: bool,
    /// Megabits per second; `None` where unknown.
    pub speed: Option<u32>,
    /// Whether both ends may send at once.
    pub full_duplex: bool,
}

/// An open port. A handle: the last one, queues included, closes it.
#[derive(Clone, Debug)]
pub struct Port(Arc<Open>);

/// What the handles and queues of a port share.
#[derive(Debug)]
pub(super) struct Open {
    eal: Eal,
    /// The driver's buffers are this pool's.
    pool: Pool,
    name: String,
    device: String,
    id: u16,
    driver: &'static str,
    mac: MacAddr,
    mtu: u16,
    socket: i32,
    rx_queues: u16,
    tx_queues: u16,
    rx_descriptors: u16,
    tx_descriptors: u16,
    sends_chains: bool,
    started: AtomicBool,
    /// Receive queues whose handle is given out, a bit each.
    rx_claimed: AtomicU32,
    tx_claimed: AtomicBool,
    /// The kernel's side, where it is a socket on an interface. Behind the driver's own: dropped
    /// when that has closed its sockets.
    interface: Option<Interface>,
    /// Our own way out, where it bundles.
    out: Option<Arc<Out>>,
}

impl Port {
    /// Opens a port: attaches its device if EAL does not have it, and starts it. What it receives
    /// goes into packets of `pool`.
    pub fn open(eal: &Eal, config: &PortConfig, pool: &Pool) -> Result<Self, DpdkError> {
        let text = device::eal_text(config);
        let device = Device::parse(&config.name, &text)?;
        let interface = device.interface().map(|(driver, name)| Interface::before(driver, name));
        let id = device.attach()?;
        if !eal.claim_port(id) {
            let (port, device) = (config.name.clone(), config.device.clone());
            return Err(DpdkError::DeviceInUse { port, device });
        }
        let mut setup = Setup { config, id, mark: log::mark(), driver: String::new() };
        // From here on `open` closes and releases the port, whatever happens.
        let mut open = Open {
            eal: eal.clone(),
            pool: pool.clone(),
            name: config.name.clone(),
            device: text.clone(),
            id,
            driver: "",
            mac: MacAddr::default(),
            mtu: config.mtu,
            // SAFETY: asks for a number; an unknown port gives -1.
            socket: unsafe { c::rte_eth_dev_socket_id(id) },
            rx_queues: 0,
            tx_queues: 0,
            rx_descriptors: 0,
            tx_descriptors: 0,
            sends_chains: false,
            started: AtomicBool::new(false),
            rx_claimed: AtomicU32::new(0),
            tx_claimed: AtomicBool::new(false),
            interface: None,
            out: None,
        };
        setup.configure(&mut open)?;
        log::overhear(|| setup.start(&mut open))?;
        if let Some(interface) = interface {
            let interface = interface.opened(&config.name)?;
            // Behind that, which takes all new sockets for the driver's.
            if config.bundle {
                open.out = Some(Arc::new(Out::open(&config.name, interface.name())?));
                open.sends_chains = true;
            }
            open.interface = Some(interface);
        }
        Port::listen(&open, config.promiscuous);
        Ok(Self(Arc::new(open)))
    }

    pub(super) fn open_port(&self) -> &Arc<Open> {
        &self.0
    }

    /// The port's name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// DPDK's number for it.
    pub fn id(&self) -> u16 {
        self.0.id
    }

    /// The driver, such as `net_pcap`.
    pub fn driver(&self) -> &'static str {
        self.0.driver
    }

    /// Its Ethernet address.
    pub fn mac(&self) -> MacAddr {
        self.0.mac
    }

    /// The MTU in force.
    pub fn mtu(&self) -> u16 {
        self.0.mtu
    }

    /// NUMA node of the device; -1 where it has none.
    pub fn socket(&self) -> i32 {
        self.0.socket
    }

    /// Receive queues it was opened with; a device that only sends has none.
    pub fn rx_queues(&self) -> u16 {
        self.0.rx_queues
    }

    /// Descriptors of each receive and of the send queue: packets that the driver may hold.
    pub fn descriptors(&self) -> (u16, u16) {
        (self.0.rx_descriptors, self.0.tx_descriptors)
    }

    /// Whether it bundles what it sends.
    pub fn bundles(&self) -> bool {
        self.0.out.is_some()
    }

    /// Whether it sends chains. Others send the first segment alone, or worse: give them linear
    /// copies.
    pub fn sends_chains(&self) -> bool {
        self.0.sends_chains
    }

    /// What it has counted.
    pub fn stats(&self) -> PortStats {
        let mut raw = c::rte_eth_stats::default();
        // SAFETY: the port is open and `raw` may be written; on failure it stays zero.
        unsafe { c::rte_eth_stats_get(self.0.id, &mut raw) };
        let interface = self.0.interface.as_ref();
        let [sent, bytes, lost] = self.0.out.as_ref().map_or([0; 3], |out| out.counted());
        PortStats {
            received: raw.ipackets,
            bytes_received: raw.ibytes,
            sent: raw.opackets + sent,
            bytes_sent: raw.obytes + bytes,
            // Drivers over sockets count none of it, or a part.
            missed: interface.map_or(raw.imissed, Interface::missed),
            no_mbuf: raw.rx_nombuf,
            rx_errors: raw.ierrors,
            // af_xdp counts here what it refused, which is still ours.
            tx_errors: if self.0.driver == "net_af_xdp" { lost } else { raw.oerrors + lost },
        }
    }

    /// The kernel's interface that it is a socket on.
    pub fn interface(&self) -> Option<&str> {
        self.0.interface.as_ref().map(Interface::name)
    }

    /// Hears all multicast groups and, where asked for, unicast frames for others.
    pub fn set_promiscuous(&self, promiscuous: bool) {
        Self::listen(&self.0, promiscuous);
    }

    fn listen(open: &Open, promiscuous: bool) {
        match &open.interface {
            Some(interface) => interface.listen(promiscuous),
            // SAFETY: the port is open. Virtual devices hear everything and have no such modes.
            None => unsafe {
                c::rte_eth_allmulticast_enable(open.id);
                if promiscuous {
                    c::rte_eth_promiscuous_enable(open.id);
                } else {
                    c::rte_eth_promiscuous_disable(open.id);
                }
            },
        }
    }

    /// Takes back buffers of frames that are sent; needed at the end, where no send does it on the
    /// way. The port must have no other user of its send queue.
    pub fn reclaim(&self) {
        if self.0.driver == "net_af_xdp"
            && let Some(mut tx) = self.tx()
        {
            tx.send(&mut Burst::new());
        }
    }

    /// The link as the driver has it, without waiting for it. Drivers over sockets always say "up":
    /// ask the kernel about [`Self::interface`].
    pub fn link(&self) -> LinkState {
        let mut raw = c::rte_eth_link::default();
        // SAFETY: the port is open and `raw` may be written; on failure it stays "down".
        if unsafe { c::rte_eth_link_get_nowait(self.0.id, &mut raw) } != 0 {
            return LinkState::default();
        }
        LinkState {
            up: raw.link_status() == 1,
            // u32::MAX is DPDK's "unknown".
            speed: Some(raw.link_speed).filter(|speed| *speed != 0 && *speed != u32::MAX),
            full_duplex: raw.link_duplex() == 1,
        }
    }
}

impl Open {
    /// The file that is readable when its only queue has something.
    pub(super) fn file(&self) -> Option<BorrowedFd<'_>> {
        self.interface.as_ref().filter(|_| self.rx_queues == 1)?.file()
    }

    pub(super) fn out(&self) -> Option<&Arc<Out>> {
        self.out.as_ref()
    }

    pub(super) fn id(&self) -> u16 {
        self.id
    }

    pub(super) fn pool(&self) -> &Pool {
        &self.pool
    }

    pub(super) fn claim_rx(&self, queue: u16) -> bool {
        let bit = 1 << queue.min(31);
        queue < self.rx_queues && self.rx_claimed.fetch_or(bit, Ordering::Acquire) & bit == 0
    }

    pub(super) fn release_rx(&self, queue: u16) {
        self.rx_claimed.fetch_and(!(1 << queue), Ordering::Release);
    }

    pub(super) fn claim_tx(&self) -> bool {
        self.tx_queues > 0 && !self.tx_claimed.swap(true, Ordering::Acquire)
    }

    pub(super) fn release_tx(&self) {
        self.tx_claimed.store(false, Ordering::Release);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let detaches = if self.driver == memif::DRIVER {
            memif::end(&self.eal, self.id, &self.device)
        } else {
            // SAFETY: queues hold `Open`, so nobody polls it any more. Closing gives the driver's
            // packets back, to pools that it or its users still hold.
            log::overhear(|| unsafe {
                if *self.started.get_mut() {
                    c::rte_eth_dev_stop(self.id);
                }
                c::rte_eth_dev_close(self.id);
            });
            true
        };
        if detaches {
            detach(&self.device);
        }
        self.eal.release_port(self.id);
    }
}

/// The steps of opening, and what an error says of them.
struct Setup<'a> {
    config: &'a PortConfig,
    id: u16,
    mark: usize,
    driver: String,
}

impl Setup<'_> {
    fn check(&self, step: &'static str, code: i32) -> Result<(), DpdkError> {
        Errno::check(code).map(drop).map_err(|errno| DpdkError::PortSetup {
            port: self.config.name.clone(),
            driver: self.driver.clone(),
            step,
            errno,
            log: log::since(self.mark),
        })
    }

    /// Asks the device what it can and chooses.
    fn configure(&mut self, open: &mut Open) -> Result<(), DpdkError> {
        let mut info = c::rte_eth_dev_info::default();
        // SAFETY: `info` may be written.
        self.check("asking what it can", unsafe { c::rte_eth_dev_info_get(self.id, &mut info) })?;
        // SAFETY: the driver's name is a static text of a library that stays loaded.
        let driver: &'static CStr = unsafe { CStr::from_ptr(info.driver_name) };
        open.driver = driver.to_str().unwrap_or_default();
        self.driver = open.driver.into();
        open.rx_queues = self.rx_queues(&info)?;
        if info.max_tx_queues == 0 {
            let (port, device) = (self.config.name.clone(), self.config.device.clone());
            return Err(DpdkError::NoSendQueue { port, device });
        }
        open.tx_queues = 1;
        open.mtu = fit(self.config.mtu, info.min_mtu, max_mtu(&info));

        let mut conf = c::rte_eth_conf::default();
        conf.rxmode.mtu = open.mtu.into();
        let longest = u32::from(open.mtu) + FRAME_OVER_MTU;
        let room = u32::from(open.pool.data_room() - HEADROOM);
        if longest > room {
            // What cannot scatter drops what is longer, and counts it as an error.
            conf.rxmode.offloads = info.rx_offload_capa & u64::from(c::SHIM_RX_SCATTER);
        }
        // Never MBUF_FAST_FREE: it frees shared segments without asking who else owns them.
        conf.txmode.offloads = info.tx_offload_capa & u64::from(c::SHIM_TX_MULTI_SEGS);
        // pcap and null walk chains without claiming to.
        open.sends_chains = conf.txmode.offloads != 0
            || ["net_pcap", "net_null"].contains(&open.driver)
            // A ring hands the pointer on; who takes it out sees the chain.
            || self.driver == "net_ring";
        if open.rx_queues > 1 {
            conf.rxmode.mq_mode = RSS;
            conf.rx_adv_conf.rss_conf.rss_hf =
                info.flow_type_rss_offloads & u64::from(c::SHIM_RSS_IP_UDP);
        }
        // SAFETY: `conf` is read during the call.
        self.check("configuring it", unsafe {
            c::rte_eth_dev_configure(self.id, open.rx_queues, open.tx_queues, &conf)
        })?;
        let (mut rx, mut tx) = (self.config.rx_descriptors, self.config.tx_descriptors);
        // SAFETY: both numbers may be written.
        self.check("fitting its queues", unsafe {
            c::rte_eth_dev_adjust_nb_rx_tx_desc(self.id, &mut rx, &mut tx)
        })?;
        (open.rx_descriptors, open.tx_descriptors) = (rx, tx);
        Ok(())
    }

    /// How many receive queues the device gets.
    fn rx_queues(&self, info: &c::rte_eth_dev_info) -> Result<u16, DpdkError> {
        let most = info.max_rx_queues.min(QUEUES_MAX);
        let spreads = info.flow_type_rss_offloads & u64::from(c::SHIM_RSS_IP_UDP) != 0;
        match self.config.rx_queues {
            RxQueues::Exactly(wanted) if wanted > most.max(1) => {
                let (port, device) = (self.config.name.clone(), self.config.device.clone());
                Err(DpdkError::RxQueues { port, device, wanted, most })
            }
            RxQueues::Exactly(wanted) => Ok(wanted.min(most)),
            RxQueues::For(_) if ["net_pcap", "net_ring"].contains(&self.driver.as_str()) => {
                Ok(most)
            }
            RxQueues::For(workers) if spreads => Ok(workers.min(most)),
            RxQueues::For(_) => Ok(most.min(1)),
        }
    }

    /// Makes the queues, starts, and reads what then holds.
    fn start(&self, open: &mut Open) -> Result<(), DpdkError> {
        let id = self.id;
        let socket = open.socket as u32;
        for queue in 0..open.rx_queues {
            let pool = open.pool.raw().as_ptr();
            // SAFETY: the pool lives as long as `open`; no configuration means the driver's own.
            self.check("making a receive queue", unsafe {
                let defaults = std::ptr::null();
                c::rte_eth_rx_queue_setup(id, queue, open.rx_descriptors, socket, defaults, pool)
            })?;
        }
        for queue in 0..open.tx_queues {
            // SAFETY: no configuration means the driver's own.
            self.check("making the send queue", unsafe {
                let defaults = std::ptr::null();
                c::rte_eth_tx_queue_setup(id, queue, open.tx_descriptors, socket, defaults)
            })?;
        }
        // SAFETY: the port is configured and its queues are made.
        self.check("starting it", unsafe { c::rte_eth_dev_start(id) })?;
        *open.started.get_mut() = true;

        let mut mac = c::rte_ether_addr::default();
        // SAFETY: the port is started and the places may be written. The MTU is a wish: many virtual
        // devices take none, and an interface's is the kernel's own business.
        unsafe {
            c::rte_eth_macaddr_get(id, &mut mac);
            if let Some((_, interface)) = Device::parse("", &open.device)?.interface() {
                open.mtu = open.mtu.min(kernel::mtu(interface).unwrap_or(open.mtu));
                open.mac = MacAddr(mac.addr_bytes);
                return Ok(());
            }
            c::rte_eth_dev_set_mtu(id, open.mtu);
            let mut mtu = open.mtu;
            if c::rte_eth_dev_get_mtu(id, &mut mtu) == 0 {
                open.mtu = mtu;
            }
        }
        open.mac = MacAddr(mac.addr_bytes);
        Ok(())
    }
}

/// The longest IP packet that the device says it takes.
fn max_mtu(info: &c::rte_eth_dev_info) -> u16 {
    if info.max_mtu != 0 && info.max_mtu != u16::MAX {
        return info.max_mtu;
    }
    // DPDK then goes by the longest frame, FCS included, and refuses more.
    let frame = u16::try_from(info.max_rx_pktlen).unwrap_or(u16::MAX);
    if frame == 0 { info.max_mtu } else { frame.saturating_sub(14 + 4) }
}

/// The MTU nearest to `wanted` that the device takes; 0 stands for "did not say".
fn fit(wanted: u16, min: u16, max: u16) -> u16 {
    let max = if max == 0 { u16::MAX } else { max };
    wanted.clamp(min.min(max), max)
}
