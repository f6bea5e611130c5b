//! What can go wrong with the host and DPDK: what failed, which one, and how to mend it.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// An error number as DPDK returns it: positive, the system's or one of DPDK's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub i32);

impl Errno {
    /// The calling thread's last DPDK error.
    pub(super) fn last() -> Self {
        // SAFETY: reads a thread-local integer.
        Self(unsafe { dpdk_sys::shim_errno() })
    }

    /// From a return code: negative is an error.
    pub(super) fn check(code: i32) -> Result<i32, Self> {
        if code < 0 { Err(Self(-code)) } else { Ok(code) }
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            // A bare -1: drivers that have no number to give say so, and EPERM is read into it.
            1 => f.write_str("no error number"),
            1001 => f.write_str("not allowed in a secondary process (1001)"),
            1002 => f.write_str("no configuration of EAL (1002)"),
            errno => write!(f, "{}", io::Error::from_raw_os_error(errno)),
        }
    }
}

impl From<Errno> for io::Error {
    fn from(errno: Errno) -> Self {
        Self::from_raw_os_error(errno.0)
    }
}

/// Something that the host lacks or DPDK refused. The caller exits with code 69.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DpdkError {
    /// The instance name cannot be a file name.
    #[error(
        "instance name `{name}`: write 1 to 32 letters, digits, `-` or `_` in [instance] name; it \
         names EAL's runtime directory"
    )]
    InvalidName {
        /// The name.
        name: String,
    },

    /// Another process runs under this name.
    #[error(
        "instance name `{name}` is busy: {holder}; stop that process, or give this one another \
         [instance] name"
    )]
    NameBusy {
        /// The name.
        name: String,
        /// Who holds it, as far as known.
        holder: String,
    },

    /// The lock on the name cannot be taken for another reason.
    #[error(
        "instance name `{name}`: the lock {} cannot be taken: {source}; make the directory \
         writable, or set XDG_RUNTIME_DIR to one that is", path.display()
    )]
    NameLock {
        /// The name.
        name: String,
        /// The lock file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },

    /// EAL runs in this process already, or has.
    #[error("EAL starts once in a process; run another instance as another process")]
    StartedBefore,

    /// More CPUs than EAL takes lcores.
    #[error("{wanted} lcores asked for, DPDK was built for {max}; name fewer in [eal] lcores")]
    TooManyLcores {
        /// How many are needed, management included.
        wanted: usize,
        /// How many there can be.
        max: usize,
    },

    /// A CPU that this process may not use.
    #[error(
        "CPU {cpu} is not among those this process may use ({allowed}); correct [eal] lcores, or \
         the CPU set of its container, service or `taskset`"
    )]
    Cpu {
        /// The CPU asked for.
        cpu: u32,
        /// The CPUs there are.
        allowed: String,
    },

    /// More ordinary memory than the host has: the kernel would give it, and kill for it later.
    #[error(
        "{wanted} MiB of ordinary memory are asked for and {available} MiB are available; lower \
         [memory] packets, or make room on the host"
    )]
    Memory {
        /// MiB that the pools and EAL need.
        wanted: u32,
        /// MiB that the kernel can give.
        available: u64,
    },

    /// `rte_eal_init` failed.
    #[error("EAL did not start for instance `{name}` ({errno}): {log}; {remedy}")]
    EalStart {
        /// The instance.
        name: String,
        /// DPDK's error number.
        errno: Errno,
        /// What EAL said.
        log: String,
        /// What to change.
        remedy: String,
    },

    /// The device is not one that DPDK can have.
    #[error(
        "port `{port}`: `{device}` is neither a PCI address (0000:03:00.0) nor a virtual device \
         (net_pcap0,rx_pcap=FILE); correct the port's `device`"
    )]
    InvalidDevice {
        /// The port.
        port: String,
        /// Its device, as configured.
        device: String,
    },

    /// A file that the pcap driver is to read or write cannot be opened.
    #[error(
        "port `{port}`: {key}={} cannot be opened: {source}; correct the path in `device`, it is \
         relative to the working directory", path.display()
    )]
    CaptureFile {
        /// The port.
        port: String,
        /// The driver's argument.
        key: String,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },

    /// A driver is to be loaded, and none can be.
    #[error("[eal] extra: `{argument}`: {why}")]
    DriverModule {
        /// The argument.
        argument: String,
        /// Why not, and what there is.
        why: String,
    },

    /// No driver has this name.
    #[error(
        "port `{port}`: no driver for `{device}`: {remedy}, or use a driver that there is: {present}"
    )]
    UnknownDriver {
        /// The port.
        port: String,
        /// The device's name.
        device: String,
        /// Where it would be had.
        remedy: String,
        /// Virtual drivers that there are.
        present: String,
    },

    /// A PCI device that DPDK did not take.
    #[error(
        "port `{port}`: no driver took PCI device {address}: {log}; bind it with \
         `dpdk-devbind.py -b vfio-pci {address}`, and see `dpdk-devbind.py --status-dev net`"
    )]
    PciDevice {
        /// The port.
        port: String,
        /// The device's address.
        address: String,
        /// What EAL said.
        log: String,
    },

    /// The kernel has no such interface, or it cannot be used.
    #[error("port `{port}`: interface `{interface}`: {why}")]
    Interface {
        /// The port.
        port: String,
        /// The interface.
        interface: String,
        /// What is wrong, and what to do.
        why: String,
    },

    /// A driver refused its device.
    #[error("port `{port}`: device `{device}` was refused ({errno}): {log}; correct its arguments")]
    DeviceRefused {
        /// The port.
        port: String,
        /// Its device, as configured.
        device: String,
        /// DPDK's error number.
        errno: Errno,
        /// What the driver said.
        log: String,
    },

    /// Two ports on one device.
    #[error("port `{port}`: device `{device}` is another port's already; give each port its own")]
    DeviceInUse {
        /// The port.
        port: String,
        /// Its device, as configured.
        device: String,
    },

    /// A device that only receives.
    #[error("port `{port}`: device `{device}` has no send queue; use a device that can send")]
    NoSendQueue {
        /// The port.
        port: String,
        /// Its device, as configured.
        device: String,
    },

    /// A device with fewer receive queues.
    #[error(
        "port `{port}`: device `{device}` has {most} receive queues, not {wanted}; lower rx_queues, \
         or leave it out"
    )]
    RxQueues {
        /// The port.
        port: String,
        /// Its device, as configured.
        device: String,
        /// Receive queues that were asked for.
        wanted: u16,
        /// Receive queues that it can have.
        most: u16,
    },

    /// A step of opening the port failed.
    #[error("port `{port}` ({driver}): {step} failed ({errno}): {log}")]
    PortSetup {
        /// The port.
        port: String,
        /// Its driver.
        driver: String,
        /// What was being done.
        step: &'static str,
        /// DPDK's error number.
        errno: Errno,
        /// What the driver said.
        log: String,
    },

    /// A pool that did not fit.
    #[error(
        "pool `{pool}`: no memory for {packets} packets, which need {needed_mib} MiB of the \
         {total_mib} MiB that EAL has in all ({errno}); {remedy}"
    )]
    PoolMemory {
        /// The pool.
        pool: String,
        /// How many packets.
        packets: u32,
        /// MiB they need.
        needed_mib: u64,
        /// MiB that EAL was started with.
        total_mib: u32,
        /// DPDK's error number.
        errno: Errno,
        /// What to change.
        remedy: &'static str,
    },

    /// A pool that is impossible whatever the memory.
    #[error("pool `{pool}`: {why}")]
    InvalidPool {
        /// The pool.
        pool: String,
        /// What is wrong with it.
        why: String,
    },

    /// A ring that was not made.
    #[error("ring `{ring}` of {capacity} packets was not made ({errno})")]
    Ring {
        /// The ring.
        ring: String,
        /// How many it was to hold.
        capacity: u32,
        /// DPDK's error number.
        errno: Errno,
    },

    /// A worker that was not launched.
    #[error("worker {index}: not launched ({errno}): {why}")]
    Launch {
        /// The worker, counted from 0.
        index: usize,
        /// DPDK's error number.
        errno: Errno,
        /// What it means.
        why: &'static str,
    },

    /// A command that DPDK's telemetry does not take.
    #[error(
        "telemetry: DPDK does not take the command {command} ({errno}); write \
         `extra = [\"--no-telemetry\"]` under [eal] if memory is short, else this is a bug"
    )]
    Telemetry {
        /// The command.
        command: String,
        /// DPDK's error number.
        errno: Errno,
    },
}
