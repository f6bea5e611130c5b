//! EAL's life: started once a process under a name of its own, ended with nothing left behind.

use std::ffi::{CStr, CString, OsStr, c_char, c_int};
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::device::Device;
use super::mbuf;
use super::name_lock::NameLock;
use super::{DpdkError, Errno, drivers, log};
use crate::config::EalMemory;

/// What EAL is started with.
#[derive(Clone, Debug)]
pub struct EalConfig {
    /// The instance's name: EAL's file-prefix and our lock.
    pub name: String,
    /// Where its memory comes from.
    pub memory: EalMemory,
    /// MiB of memory, for all pools and rings; see [`Pool::memory_needed`](super::Pool).
    pub megabytes: u32,
    /// CPU of the management lcore: the thread that calls [`Eal::start`] is pinned to it.
    pub management_cpu: u32,
    /// CPU of each worker; may be the management's.
    pub worker_cpus: Vec<u32>,
    /// The ports' devices: EAL may touch these PCI addresses and no others. Virtual ones are
    /// attached by [`Port::open`](super::Port::open), where an error can name its port.
    pub devices: Vec<String>,
    /// Arguments passed on as they are.
    pub extra: Vec<String>,
}

/// EAL, running. A handle: the last one ends it.
///
/// The thread that started it is pinned to one CPU, and threads that it spawns afterwards inherit
/// that: spawn service threads before, or give them their own affinity.
///
/// `std::process::exit` skips this end and leaves the runtime directory behind: drop first.
#[derive(Clone, Debug)]
pub struct Eal(Arc<Runtime>);

#[derive(Debug)]
struct Runtime {
    name: String,
    memory: EalMemory,
    megabytes: u32,
    workers: usize,
    directory: PathBuf,
    /// Something is outstanding somewhere: the memory must outlive us.
    pinned: AtomicBool,
    /// Whether DPDK's own capture tools may attach; else why not.
    dumpcap: Result<(), String>,
    /// Ids of the open ports.
    ports: Mutex<Vec<u16>>,
    /// Dropped last: the name is ours until everything else is gone.
    _lock: NameLock,
}

impl Eal {
    /// Starts EAL. Works once in a process, whatever became of it.
    pub fn start(config: &EalConfig) -> Result<Self, DpdkError> {
        static STARTED: AtomicBool = AtomicBool::new(false);
        check(config)?;
        // Asked before the lock, which this process would find busy with itself.
        if STARTED.load(Ordering::Relaxed) {
            return Err(DpdkError::StartedBefore);
        }
        let lock = NameLock::take(&config.name)?;
        if STARTED.swap(true, Ordering::Relaxed) {
            return Err(DpdkError::StartedBefore);
        }
        log::capture();
        let mark = log::mark();
        if let Err(errno) = init(&arguments(config)) {
            return Err(failed(config, errno, mark));
        }
        mbuf::register_timestamp();
        Ok(Self(Arc::new(Runtime {
            name: config.name.clone(),
            memory: config.memory,
            megabytes: config.megabytes,
            workers: config.worker_cpus.len(),
            directory: runtime_directory().unwrap_or_default(),
            pinned: AtomicBool::new(false),
            dumpcap: admit_dumpcap(config.memory),
            ports: Mutex::default(),
            _lock: lock,
        })))
    }

    /// The instance's name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// How many worker lcores there are.
    pub fn workers(&self) -> usize {
        self.0.workers
    }

    /// Where EAL keeps its files and sockets while it runs.
    pub fn runtime_directory(&self) -> &Path {
        &self.0.directory
    }

    /// Where the memory comes from.
    pub fn memory(&self) -> EalMemory {
        self.0.memory
    }

    /// MiB it was started with.
    pub fn megabytes(&self) -> u32 {
        self.0.megabytes
    }

    /// Whether `dpdk-dumpcap` can attach to this process, or why not.
    ///
    /// # Errors
    /// Why not.
    pub fn dumpcap(&self) -> Result<(), &str> {
        self.0.dumpcap.as_ref().map(|&()| ()).map_err(String::as_str)
    }

    /// Keeps the memory mapped until the process exits, because packets lie in it, or what EAL's
    /// interrupt thread still looks at.
    pub(super) fn pin_memory(&self) {
        self.0.pinned.store(true, Ordering::Relaxed);
    }

    /// Claims a port; false where it is claimed already.
    pub(super) fn claim_port(&self, id: u16) -> bool {
        let mut ports = self.0.ports.lock().unwrap_or_else(PoisonError::into_inner);
        let free = !ports.contains(&id);
        if free {
            ports.push(id);
        }
        free
    }

    /// Gives a claimed port back.
    pub(super) fn release_port(&self, id: u16) {
        let mut ports = self.0.ports.lock().unwrap_or_else(PoisonError::into_inner);
        ports.retain(|port| *port != id);
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if self.dumpcap.is_ok() {
            // SAFETY: it was initialised, and no port is left that it could look at.
            unsafe { dpdk_sys::rte_pdump_uninit() };
        }
        if !self.pinned.load(Ordering::Relaxed) {
            // SAFETY: pools, ports and workers hold an `Eal`, so none is left; what packets there
            // were, their pool had back (else it is pinned).
            unsafe { dpdk_sys::rte_eal_cleanup() };
        }
        remove(&self.directory);
    }
}

fn check(config: &EalConfig) -> Result<(), DpdkError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if config.name.is_empty() || config.name.len() > 32 || !config.name.chars().all(allowed) {
        let name = config.name.clone();
        return Err(DpdkError::InvalidName { name });
    }
    drivers::check_modules(&config.extra)?;
    let (wanted, max) = (1 + config.worker_cpus.len(), dpdk_sys::RTE_MAX_LCORE as usize);
    if wanted > max {
        return Err(DpdkError::TooManyLcores { wanted, max });
    }
    if config.memory == EalMemory::NoHuge
        && let Some(available) = available_megabytes()
        && u64::from(config.megabytes) > available
    {
        let wanted = config.megabytes;
        return Err(DpdkError::Memory { wanted, available });
    }
    let allowed = allowed_cpus();
    let mut cpus = std::iter::once(&config.management_cpu).chain(&config.worker_cpus);
    match cpus.find(|cpu| !allowed.contains(cpu)) {
        None => Ok(()),
        Some(&cpu) => {
            let allowed: Vec<String> = allowed.iter().map(u32::to_string).collect();
            let allowed = allowed.join(", ");
            Err(DpdkError::Cpu { cpu, allowed })
        }
    }
}

/// MiB that the kernel can give without killing anyone, swap included; unknown without `/proc`.
fn available_megabytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let kibibytes = |name: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    Some((kibibytes("MemAvailable:")? + kibibytes("SwapFree:").unwrap_or(0)) >> 10)
}

/// The CPUs that the calling thread may use: where a container or service was given few, EAL would
/// fail on others with the text of its whole usage.
pub fn allowed_cpus() -> Vec<u32> {
    // SAFETY: all zero is an empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` may be written, as many bytes as are said; on failure it stays empty.
    unsafe { libc::sched_getaffinity(0, size_of_val(&set), &mut set) };
    // SAFETY: the number is below the set's size.
    (0..libc::CPU_SETSIZE as u32)
        .filter(|cpu| unsafe { libc::CPU_ISSET(*cpu as usize, &set) })
        .collect()
}

/// EAL's command line.
fn arguments(config: &EalConfig) -> Vec<String> {
    // Lcore 0 is management, worker i is lcore i + 1, whatever CPUs they are on.
    let cpus = std::iter::once(&config.management_cpu).chain(&config.worker_cpus);
    let lcores: Vec<String> = cpus.enumerate().map(|(i, cpu)| format!("{i}@{cpu}")).collect();
    let mut arguments = vec![
        "punctual".to_owned(),
        format!("--file-prefix={}", config.name),
        format!("--lcores={}", lcores.join(",")),
        "--main-lcore=0".to_owned(),
        "-m".to_owned(),
        config.megabytes.to_string(),
    ];
    match config.memory {
        EalMemory::Hugepages => {}
        EalMemory::InMemory => arguments.push("--in-memory".into()),
        EalMemory::NoHuge => arguments.push("--no-huge".into()),
    }
    let mut pci = config.devices.iter().filter(|text| Device::is_pci(text)).peekable();
    if pci.peek().is_none() {
        // Without an address to look for, a scan would only find what is not ours.
        arguments.push("--no-pci".into());
    }
    for address in pci {
        arguments.extend(["-a".to_owned(), address.clone()]);
    }
    arguments.extend(config.extra.iter().cloned());
    arguments
}

/// Lets DPDK's capture tools attach, which are processes that share EAL's memory. Until one does
/// this costs nothing.
fn admit_dumpcap(memory: EalMemory) -> Result<(), String> {
    if let Some(why) = drivers::why_no_dumpcap() {
        return Err(why);
    }
    let why = match memory {
        EalMemory::Hugepages => {
            // SAFETY: EAL has started, and this happens once.
            return match unsafe { dpdk_sys::rte_pdump_init() } {
                0.. => Ok(()),
                _ => Err(format!("rte_pdump_init fails: {}", Errno::last())),
            };
        }
        EalMemory::InMemory => "in-memory",
        EalMemory::NoHuge => "no-huge",
    };
    Err(format!("[eal] memory is \"{why}\", which no other process can share; set \"hugepages\""))
}

fn init(arguments: &[String]) -> Result<(), Errno> {
    let invalid = |_| Errno(libc::EINVAL);
    let texts = arguments.iter().map(|text| CString::new(text.as_str()));
    let texts: Vec<CString> = texts.collect::<Result<_, _>>().map_err(invalid)?;
    // Never freed: EAL keeps pointers to some of them.
    let mut pointers: Vec<*mut c_char> = texts.into_iter().map(CString::into_raw).collect();
    let count = pointers.len() as c_int;
    pointers.push(std::ptr::null_mut());
    let pointers = Vec::leak(pointers);
    // A wrong argument makes EAL print pages of usage; what is wrong with it is in the log.
    let _silence = log::Silence::begin();
    // SAFETY: `pointers` is a terminated list of `count` texts that live for ever; `start` makes
    // sure that this happens once.
    match unsafe { dpdk_sys::rte_eal_init(count, pointers.as_mut_ptr()) } {
        code if code < 0 => Err(Errno::last()),
        _ => Ok(()),
    }
}

/// Tidies up behind a start that failed, and says why it did.
fn failed(config: &EalConfig, errno: Errno, mark: usize) -> DpdkError {
    let log = log::since(mark);
    let directory = runtime_directory();
    if let Some(directory) = &directory {
        let shared = directory.join("config");
        if let Some(process) = holder(&shared) {
            let name = config.name.clone();
            let holder =
                format!("process {process}, another DPDK program, holds {}", shared.display());
            return DpdkError::NameBusy { name, holder };
        }
        remove(directory);
    }
    let name = config.name.clone();
    let remedy = remedy(config, &log);
    DpdkError::EalStart { name, errno, log, remedy }
}

fn remedy(config: &EalConfig, log: &str) -> String {
    let megabytes = config.megabytes;
    match config.memory {
        _ if log.contains("command line") => "correct [eal] extra".into(),
        _ if log.contains("no mounted hugetlbfs") => {
            "mount it with `dpdk-hugepages.py --mount`, or set [eal] memory = \"in-memory\"".into()
        }
        EalMemory::NoHuge => format!(
            "{megabytes} MiB of ordinary memory were asked for; lower [memory] packets if the \
             host has less, and look at [eal] extra"
        ),
        EalMemory::Hugepages | EalMemory::InMemory => format!(
            "{megabytes} MiB of hugepages were asked for; reserve them with \
             `dpdk-hugepages.py --setup {megabytes}M`, lower [memory] packets, or set \
             [eal] memory = \"no-huge\""
        ),
    }
}

/// EAL's directory, as soon as it has made one.
fn runtime_directory() -> Option<PathBuf> {
    // SAFETY: EAL returns a terminated text in static memory, empty before it is known.
    let text = unsafe { CStr::from_ptr(dpdk_sys::rte_eal_get_runtime_dir()) };
    (!text.is_empty()).then(|| PathBuf::from(OsStr::from_bytes(text.to_bytes())))
}

/// The other process that has EAL's lock on `path`. Only for a start that failed: closing the
/// file gives up this process's own locks on it.
fn holder(path: &Path) -> Option<i32> {
    let file = File::options().read(true).write(true).open(path).ok()?;
    // SAFETY: all zero is a valid `flock`.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = libc::F_WRLCK as _;
    lock.l_whence = libc::SEEK_SET as _;
    // SAFETY: the descriptor is open and `lock` is a `flock` to be written.
    let code = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETLK, &mut lock) };
    (code == 0 && i32::from(lock.l_type) != libc::F_UNLCK).then_some(lock.l_pid)
}

/// Removes EAL's directory; only ours, which the name's lock says.
fn remove(directory: &Path) {
    // EAL leaves its files after a clean end too, in no-huge mode.
    if directory.parent().is_some_and(|parent| parent.ends_with("dpdk")) {
        let _ = fs::remove_dir_all(directory);
    }
}
