//! The kernel's side of ports that are sockets on its interfaces (af_packet, af_xdp): what their
//! drivers neither say nor do.
//!
//! - What the kernel could not hand to a full socket is counted by the socket; the drivers leave
//!   that out. Their sockets are found among this process's own.
//! - A packet socket hears what its own host sends by that interface, too; a card would not. A
//!   filter keeps it out, for the option that says so is deaf where sockets share their frames
//!   (`PACKET_FANOUT`), as the driver has it even for one queue.
//! - Drivers set an interface promiscuous and leave it so. A packet socket of ours asks for what is
//!   needed instead, and the kernel takes that back with the socket, however the process ends.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use super::DpdkError;
use crate::config::KernelDriver;

/// Whether there is such an interface and no device behind it: one end of a veth pair, a bridge.
pub(super) fn is_virtual(interface: &str) -> bool {
    let place = Path::new("/sys/class/net").join(interface);
    place.exists() && !place.join("device").exists()
}

/// An interface under a port.
#[derive(Debug)]
pub(super) struct Interface {
    name: String,
    driver: KernelDriver,
    index: i32,
    /// Sockets of its kind that there were before it was opened.
    before: BTreeSet<RawFd>,
    /// The driver's sockets on it.
    sockets: Vec<OwnedFd>,
    /// Asks for multicast and promiscuous mode, and hears nothing itself.
    listener: Option<OwnedFd>,
    missed: AtomicU64,
}

impl Interface {
    /// Looks at the sockets there are before the driver makes its own.
    pub(super) fn before(driver: KernelDriver, name: &str) -> Self {
        Self {
            name: name.into(),
            driver,
            index: 0,
            before: sockets(driver),
            sockets: vec![],
            listener: None,
            missed: AtomicU64::new(0),
        }
    }

    /// Finds the driver's sockets when the port is open; `port` is its name, for errors.
    pub(super) fn opened(mut self, port: &str) -> Result<Self, DpdkError> {
        let failed = |source: io::Error| DpdkError::Interface {
            port: port.into(),
            interface: self.name.clone(),
            why: format!("{source}; it takes CAP_NET_RAW, run as root or give the capability"),
        };
        self.index = index(&self.name).map_err(failed)?;
        let new = sockets(self.driver).difference(&self.before).copied().collect::<Vec<_>>();
        for socket in new {
            // SAFETY: it is open: the driver keeps it until the port is closed.
            let socket = unsafe { BorrowedFd::borrow_raw(socket) };
            let socket = socket.try_clone_to_owned().map_err(failed)?;
            if self.driver == KernelDriver::AfPacket {
                ignore_outgoing(&socket).map_err(failed)?;
            }
            self.sockets.push(socket);
        }
        self.listener = Some(listener().map_err(failed)?);
        Ok(self)
    }

    /// The file that is readable when a frame has come, where one socket takes them all.
    pub(super) fn file(&self) -> Option<BorrowedFd<'_>> {
        match &self.sockets[..] {
            [socket] => Some(socket.as_fd()),
            _ => None,
        }
    }

    /// The interface's name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Frames that came and found the socket's ring full, since it was opened.
    pub(super) fn missed(&self) -> u64 {
        match self.driver {
            // The kernel counts from the last look.
            KernelDriver::AfPacket => {
                let new = self.sockets.iter().filter_map(dropped).sum::<u64>();
                self.missed.fetch_add(new, Ordering::Relaxed) + new
            }
            KernelDriver::AfXdp => self.sockets.iter().filter_map(dropped_xdp).sum(),
        }
    }

    /// Hears all multicast groups and, where asked for, unicast frames for others. A wish: not
    /// every interface filters.
    pub(super) fn listen(&self, promiscuous: bool) {
        let Some(listener) = &self.listener else {
            return;
        };
        let change = |option, kind: i32| {
            let wish = libc::packet_mreq {
                mr_ifindex: self.index,
                mr_type: kind as u16,
                mr_alen: 0,
                mr_address: [0; 8],
            };
            let _ = set(listener, libc::SOL_PACKET, option, &wish);
        };
        let (add, drop) = (libc::PACKET_ADD_MEMBERSHIP, libc::PACKET_DROP_MEMBERSHIP);
        // The kernel counts memberships: one each, whatever was asked for before.
        for kind in [libc::PACKET_MR_ALLMULTI, libc::PACKET_MR_PROMISC] {
            change(drop, kind);
        }
        change(add, libc::PACKET_MR_ALLMULTI);
        if promiscuous {
            change(add, libc::PACKET_MR_PROMISC);
        }
    }
}

/// Whether the kernel has the interface; says which it has where not.
pub(super) fn check(port: &str, interface: &str) -> Result<(), DpdkError> {
    let Err(source) = index(interface) else {
        return Ok(());
    };
    let names = names();
    let there = if names.is_empty() { "none".into() } else { names.join(", ") };
    let why = format!(
        "{source}; the interfaces here are {there} (`ip link`); correct the port's `device`, or run \
         where the interface is (`ip netns exec NAMESPACE punctual ...`)"
    );
    Err(DpdkError::Interface { port: port.into(), interface: interface.into(), why })
}

/// The MTU of an interface, in bytes.
pub(super) fn mtu(interface: &str) -> Option<u16> {
    let mut request = request(interface)?;
    let socket = datagram_socket().ok()?;
    // SAFETY: an open socket, and a request that names an interface and may be written.
    let code = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFMTU, &mut request) };
    // SAFETY: the kernel has written the MTU where the call succeeded.
    let mtu = unsafe { request.ifr_ifru.ifru_mtu };
    (code == 0).then(|| u16::try_from(mtu).unwrap_or(u16::MAX))
}

fn request(interface: &str) -> Option<libc::ifreq> {
    // SAFETY: all zero is a request for nothing.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let place = request.ifr_name.get_mut(..interface.len())?;
    for (to, from) in place.iter_mut().zip(interface.bytes()) {
        *to = from as libc::c_char;
    }
    Some(request)
}

pub(super) fn index(interface: &str) -> io::Result<i32> {
    let name = CString::new(interface)?;
    // SAFETY: a terminated name.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(io::Error::last_os_error()),
        index => Ok(index as i32),
    }
}

fn names() -> Vec<String> {
    let mut names = vec![];
    // SAFETY: the list is ours until it is freed; it ends with an index of 0.
    unsafe {
        let list = libc::if_nameindex();
        let mut next = list;
        while !next.is_null() && (*next).if_index != 0 {
            let name = std::ffi::CStr::from_ptr((*next).if_name);
            names.push(name.to_string_lossy().into_owned());
            next = next.add(1);
        }
        if !list.is_null() {
            libc::if_freenameindex(list);
        }
    }
    names
}

/// This process's sockets of the driver's kind.
fn sockets(driver: KernelDriver) -> BTreeSet<RawFd> {
    let domain = match driver {
        KernelDriver::AfPacket => libc::AF_PACKET,
        KernelDriver::AfXdp => libc::AF_XDP,
    };
    let files = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let numbers = files.filter_map(|file| file.file_name().to_str()?.parse().ok());
    numbers.filter(|fd| get::<i32>(fd, libc::SOL_SOCKET, libc::SO_DOMAIN) == Some(domain)).collect()
}

fn dropped(socket: &OwnedFd) -> Option<u64> {
    let stats: libc::tpacket_stats = get(socket, libc::SOL_PACKET, libc::PACKET_STATISTICS)?;
    Some(stats.tp_drops.into())
}

fn dropped_xdp(socket: &OwnedFd) -> Option<u64> {
    let stats: libc::xdp_statistics = get(socket, libc::SOL_XDP, libc::XDP_STATISTICS)?;
    // A fill ring that ran empty is in `rx_dropped`.
    Some(stats.rx_dropped + stats.rx_ring_full)
}

/// Keeps frames from a packet socket that its own host sends.
fn ignore_outgoing(socket: &OwnedFd) -> io::Result<()> {
    let kind = (libc::SKF_AD_OFF + libc::SKF_AD_PKTTYPE) as u32;
    let step = |code, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let mut steps = [
        step(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, 0, kind),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, libc::PACKET_OUTGOING.into()),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, 0),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, u32::MAX),
    ];
    let program = libc::sock_fprog { len: steps.len() as u16, filter: steps.as_mut_ptr() };
    set(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
}

/// A packet socket without a protocol: it hears nothing.
fn listener() -> io::Result<OwnedFd> {
    socket(libc::AF_PACKET, libc::SOCK_RAW)
}

fn datagram_socket() -> io::Result<OwnedFd> {
    socket(libc::AF_INET, libc::SOCK_DGRAM)
}

pub(super) fn socket(domain: i32, kind: i32) -> io::Result<OwnedFd> {
    // SAFETY: plain numbers.
    match unsafe { libc::socket(domain, kind | libc::SOCK_CLOEXEC, 0) } {
        fd if fd < 0 => Err(io::Error::last_os_error()),
        // SAFETY: just made, and nobody else's.
        fd => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
    }
}

pub(super) fn set<T>(socket: &impl AsRawFd, level: i32, option: i32, value: &T) -> io::Result<()> {
    let (value, len) = (std::ptr::from_ref(value).cast(), size_of::<T>() as libc::socklen_t);
    // SAFETY: the value is read, as many bytes as are said.
    match unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, value, len) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// An option of a socket, of a type that is plain numbers.
fn get<T: Copy>(socket: &impl AsRawFd, level: i32, option: i32) -> Option<T> {
    let mut len = size_of::<T>() as libc::socklen_t;
    let mut value = std::mem::MaybeUninit::<T>::zeroed();
    let place = value.as_mut_ptr().cast();
    // SAFETY: `value` may be written, as many bytes as are said.
    let code = unsafe { libc::getsockopt(socket.as_raw_fd(), level, option, place, &mut len) };
    // SAFETY: plain numbers, which zeroes are, too.
    (code == 0).then(|| unsafe { value.assume_init() })
}
