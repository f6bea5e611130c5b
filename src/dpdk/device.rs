//! Devices as the configuration writes them, and their way into EAL.

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::path::Path;

use super::{DpdkError, Errno, PortConfig, log};
use super::{drivers, kernel};
use crate::config::KernelDriver;

/// Virtual drivers of use to a relay and their libraries (librte_net_*); the order is that of the
/// error that lists them.
const VIRTUAL: &[(&str, &str)] = &[
    ("net_pcap", "pcap"),
    ("net_ring", "ring"),
    ("net_null", "null"),
    ("net_memif", "memif"),
    ("net_af_packet", "af_packet"),
    ("net_af_xdp", "af_xdp"),
    ("net_tap", "tap"),
    ("net_virtio_user", "virtio"),
    ("net_vhost", "vhost"),
    ("net_bonding", "bond"),
    ("net_failsafe", "failsafe"),
];

/// Bytes of a frame's place in the rings of af_packet: the next power of two above the largest
/// frame it is configured for, with what the kernel puts in front.
const RING_FRAME: u32 = 2_048;
/// Bytes that the kernel takes at once for such a ring.
const RING_BLOCK: u32 = 65_536;
/// Frames of such a ring: 4 MiB each way, which a sender that bursts fills in some milliseconds.
const RING_FRAMES: u32 = 2_048;

/// A port's device: `NAME[,ARGUMENTS]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Device<'a> {
    /// The port it is for.
    pub(super) port: &'a str,
    /// As EAL is told.
    pub(super) text: &'a str,
    /// In front of the first comma: what EAL calls it.
    pub(super) name: &'a str,
    arguments: &'a str,
}

/// What EAL is told of a port's device.
pub(super) fn eal_text(config: &PortConfig) -> String {
    let (port, device) = (&config.name, &config.device);
    let Some(driver) = config.driver else {
        return device.clone();
    };
    let arguments = match driver {
        // Without the bypass a full queue of the interface would block the worker in `poll`.
        KernelDriver::AfPacket => format!(
            ",qdisc_bypass=1,framesz={RING_FRAME},blocksz={RING_BLOCK},framecnt={RING_FRAMES}"
        ),
        // The driver asks the kernel to look for frames each time that it finds none, a system call,
        // which is of use where a card interrupts. A virtual interface hands them over by itself.
        KernelDriver::AfXdp if kernel::is_virtual(device) => ",busy_budget=0".into(),
        KernelDriver::AfXdp => String::new(),
    };
    format!("{}_{port},iface={device}{arguments}", driver.eal_name())
}

impl<'a> Device<'a> {
    /// Whether it is a PCI address, with or without domain and arguments.
    pub(super) fn is_pci(text: &str) -> bool {
        let name = text.split(',').next().unwrap_or_default();
        let hex = |part: &str, len: usize| {
            part.len() == len && part.bytes().all(|b| b.is_ascii_hexdigit())
        };
        let Some((address, function)) = name.rsplit_once('.') else {
            return false;
        };
        let parts: Vec<&str> = address.split(':').collect();
        let placed = match parts[..] {
            [domain, bus, slot] => hex(domain, 4) && hex(bus, 2) && hex(slot, 2),
            [bus, slot] => hex(bus, 2) && hex(slot, 2),
            _ => false,
        };
        placed && hex(function, 1)
    }

    /// Reads what the configuration says.
    pub(super) fn parse(port: &'a str, text: &'a str) -> Result<Self, DpdkError> {
        let (name, arguments) = text.split_once(',').unwrap_or((text, ""));
        let device = Self { port, text, name, arguments };
        let known = Self::is_pci(text) || name.starts_with("net_");
        if known && !text.contains('\0') {
            Ok(device)
        } else {
            Err(DpdkError::InvalidDevice { port: port.into(), device: text.into() })
        }
    }

    /// The ethdev port, attached now where EAL does not have it yet.
    pub(super) fn attach(&self) -> Result<u16, DpdkError> {
        if let Some(id) = self.find() {
            return Ok(id);
        }
        if Self::is_pci(self.text) {
            let log = log::recent().into_iter().rev().find(|line| line.contains(self.name));
            return Err(DpdkError::PciDevice {
                port: self.port.into(),
                address: self.name.into(),
                log: log.unwrap_or_else(|| "EAL did not find it".into()),
            });
        }
        self.check_captures()?;
        if let Some((_, interface)) = self.interface() {
            kernel::check(self.port, interface)?;
        }
        let mark = log::mark();
        let refused = |errno: Errno| {
            if !drivers::installed(self.driver().1) {
                return self.unknown_driver();
            }
            let log = log::since(mark);
            let (port, device) = (self.port.into(), self.text.into());
            DpdkError::DeviceRefused { port, device, errno, log }
        };
        hotplug(self.name, self.arguments).map_err(refused)?;
        self.find().ok_or_else(|| refused(Errno(libc::ENODEV)))
    }

    /// The port that EAL knows by this name.
    fn find(&self) -> Option<u16> {
        // EAL writes the domain out, people often do not.
        let short = Self::is_pci(self.text) && self.name.len() == "00:00.0".len();
        let name = if short { format!("0000:{}", self.name) } else { self.name.into() };
        let name = CString::new(name).ok()?;
        let mut id = 0;
        // SAFETY: a terminated name and a place for the answer.
        let code = unsafe { dpdk_sys::rte_eth_dev_get_port_by_name(name.as_ptr(), &mut id) };
        (code == 0).then_some(id)
    }

    /// Opens the files of a pcap device once ourselves: the driver says only that it failed.
    fn check_captures(&self) -> Result<(), DpdkError> {
        if !self.name.starts_with("net_pcap") {
            return Ok(());
        }
        for (key, path) in self.arguments.split(',').filter_map(|pair| pair.split_once('=')) {
            let opened = match key {
                "rx_pcap" => File::open(path),
                // Created if need be, never truncated: the driver does that when the port starts.
                "tx_pcap" => OpenOptions::new().write(true).create(true).truncate(false).open(path),
                _ => continue,
            };
            if let Err(source) = opened {
                let (port, key) = (self.port.into(), key.into());
                let path = Path::new(path).into();
                return Err(DpdkError::CaptureFile { port, key, path, source });
            }
        }
        Ok(())
    }

    /// The kernel's interface that it is a socket on, and how.
    pub(super) fn interface(&self) -> Option<(KernelDriver, &'a str)> {
        let drivers = [KernelDriver::AfPacket, KernelDriver::AfXdp];
        let driver = drivers.into_iter().find(|d| self.name.starts_with(d.eal_name()))?;
        let name = self.arguments.split(',').find_map(|pair| pair.strip_prefix("iface="))?;
        Some((driver, name))
    }

    /// The driver's name and library: virtual devices are called after their driver, with a
    /// number or a word behind.
    fn driver(&self) -> (&str, &str) {
        let known = VIRTUAL.iter().find(|(driver, _)| self.name.starts_with(driver));
        known.copied().unwrap_or_else(|| {
            let digits = |c: char| c.is_ascii_digit();
            let driver = self.name.trim_end_matches(digits).trim_end_matches('_');
            (driver, driver.trim_start_matches("net_"))
        })
    }

    fn unknown_driver(&self) -> DpdkError {
        let present = VIRTUAL.iter().filter(|(_, library)| drivers::installed(library));
        let present: Vec<&str> = present.map(|(driver, _)| *driver).collect();
        DpdkError::UnknownDriver {
            port: self.port.into(),
            device: self.name.into(),
            remedy: drivers::remedy(self.driver().1),
            present: if present.is_empty() { "none".into() } else { present.join(", ") },
        }
    }
}

/// What to do about a virtual device whose driver there is not; `None` where there is.
pub fn missing_driver(device: &str) -> Option<String> {
    let device = Device::parse("", device).ok()?;
    let (_, library) = device.driver();
    (!drivers::installed(library)).then(|| drivers::remedy(library))
}

/// Takes a virtual device off its bus, after its port was closed: else its name stays taken, and
/// opening it again finds neither a port nor a free name. PCI devices stay for EAL's end.
pub(super) fn detach(device: &str) {
    let name = device.split(',').next().unwrap_or_default();
    if Device::is_pci(name) {
        return;
    }
    if let Ok(name) = CString::new(name) {
        // SAFETY: two terminated texts; a name that is gone already is an error without effect.
        unsafe { dpdk_sys::rte_eal_hotplug_remove(c"vdev".as_ptr(), name.as_ptr()) };
    }
}

fn hotplug(name: &str, arguments: &str) -> Result<(), Errno> {
    let invalid = |_| Errno(libc::EINVAL);
    let name = CString::new(name).map_err(invalid)?;
    let arguments = CString::new(arguments).map_err(invalid)?;
    // SAFETY: three terminated texts, read during the call.
    let code = unsafe {
        dpdk_sys::rte_eal_hotplug_add(c"vdev".as_ptr(), name.as_ptr(), arguments.as_ptr())
    };
    Errno::check(code).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pci_addresses_are_told_from_virtual_devices() {
        for text in ["0000:03:00.0", "03:00.1", "0000:03:00.0,arg=1"] {
            assert!(Device::is_pci(text), "{text}");
        }
        for text in ["net_pcap0,rx_pcap=a.b", "eth0", "03:00", "", "0000:03:00.0.1", "g0:00.0"] {
            assert!(!Device::is_pci(text), "{text}");
        }
    }

    #[test]
    fn an_interface_becomes_a_virtual_device() {
        let mut config = PortConfig::new("in", "eth1");
        config.driver = Some(KernelDriver::AfXdp);
        assert_eq!(eal_text(&config), "net_af_xdp_in,iface=eth1");
        config.device = "lo".into();
        assert_eq!(eal_text(&config), "net_af_xdp_in,iface=lo,busy_budget=0");
        config.device = "eth1".into();
        config.driver = Some(KernelDriver::AfPacket);
        let text = eal_text(&config);
        assert!(text.starts_with("net_af_packet_in,iface=eth1,qdisc_bypass=1,"), "{text}");
        let device = Device::parse("in", &text).unwrap();
        assert_eq!(device.interface(), Some((KernelDriver::AfPacket, "eth1")));
        assert_eq!(Device::parse("in", "net_ring0,iface=eth1").unwrap().interface(), None);
    }

    #[test]
    fn what_is_no_device_is_refused_with_its_port() {
        let error = Device::parse("in", "eth0").unwrap_err().to_string();
        assert!(error.contains("`in`") && error.contains("`eth0`"), "{error}");
    }

    #[test]
    fn a_driver_is_named_by_its_device() {
        for (text, driver) in [
            ("net_pcap0,rx_pcap=x", "net_pcap"),
            ("net_af_packet_in", "net_af_packet"),
            ("net_nosuch12", "net_nosuch"),
        ] {
            assert_eq!(Device::parse("p", text).unwrap().driver().0, driver);
        }
    }
}
