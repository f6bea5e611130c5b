//! Networks of the kernel for one test: namespaces, veth pairs between them, sockets and programs
//! in them. They have no names outside of this process, so that tests run side by side, and the
//! kernel takes them away with the last socket and program in them, however the test ends.
//!
//! ```text
//! let net = Net::new();                       // skips the case where that is impossible
//! let (host, relay) = (net.space(), net.space());
//! host.veth("feed", &relay, "in");            // both ends up
//! host.ip("address add 10.0.0.1/24 dev feed");
//! let receiver = host.receiver([239, 1, 1, 1].into(), 5000, [10, 0, 0, 1].into());
//! instance.spawn(&["run", "config.toml"], &mut relay.command(env!("CARGO_BIN_EXE_punctual")));
//! let querier = host.within(|| any socket, made on a thread in there);
//! ```
//!
//! For test files with `harness = false`, whose cases can be reported as skipped. A namespace lasts
//! as long as its [`Space`]; a program in it, started by [`Space::command`], is the case's to end,
//! and is killed with the case.

#![allow(dead_code)]

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::common::{dies_with_us, skip};

/// How long a receiver waits for a datagram before it says that there is none.
pub const SILENCE: Duration = Duration::from_secs(5);
/// Bytes that a receiver's socket may hold: a test's process may get no CPU for a while.
const RECEIVE_BUFFER: i32 = 64 << 20;

/// The right to make namespaces.
#[derive(Debug)]
pub struct Net(());

impl Net {
    /// Skips the case where this process may not make namespaces or lacks `ip`.
    pub fn new() -> Self {
        let tried = unshared().and_then(|_| {
            let ip = Command::new("ip").arg("-V").stdout(Stdio::null()).status();
            ip.map_err(|error| format!("no `ip` ({error}); install iproute2"))
        });
        match tried {
            Ok(_) => Self(()),
            Err(why) => skip(&format!("network namespaces: {why}")),
        }
    }

    /// Skips the case where a program is not installed.
    pub fn needs(&self, program: &str) {
        let found = Command::new(program).arg("--version").stdout(Stdio::null()).status();
        if let Err(error) = found {
            skip(&format!("no `{program}` ({error}); scripts/setup.sh installs it"));
        }
    }

    /// A fresh namespace with nothing in it but its loopback, which is up. What would make noise
    /// or take time by itself is off: duplicate address detection and router solicitations.
    pub fn space(&self) -> Space {
        let space = Space { namespace: unshared().unwrap_or_else(|why| panic!("{why}")) };
        for (key, value) in [("accept_dad", "0"), ("router_solicitations", "0")] {
            for scope in ["all", "default"] {
                space.sysctl(&format!("net/ipv6/conf/{scope}/{key}"), value);
            }
        }
        space.ip("link set lo up");
        space
    }
}

/// Makes a namespace on a thread of its own and returns what keeps it.
fn unshared() -> Result<File, String> {
    let made = std::thread::spawn(|| {
        // SAFETY: it changes the calling thread alone, which ends here.
        match unsafe { libc::unshare(libc::CLONE_NEWNET) } {
            0 => File::open("/proc/thread-self/ns/net"),
            _ => Err(std::io::Error::last_os_error()),
        }
    });
    let made = made.join().unwrap_or_else(|_| panic!("the thread panicked"));
    made.map_err(|error| format!("{error}; run the test as root"))
}

/// A namespace.
#[derive(Debug)]
pub struct Space {
    namespace: File,
}

impl Space {
    /// Runs `work` on a thread in the namespace; sockets that it makes stay there.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let namespace = self.namespace.as_raw_fd();
        std::thread::scope(|scope| {
            let ran = scope.spawn(|| {
                enter(namespace).expect("the namespace can be entered");
                work()
            });
            ran.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// A program that will run in the namespace, and see its interfaces in `/sys`.
    pub fn command(&self, program: &str) -> Command {
        let namespace = self.namespace.as_raw_fd();
        let mut command = Command::new(program);
        // SAFETY: between fork and exec it makes system calls only, which are allowed there.
        unsafe {
            command.pre_exec(move || enter(namespace).and_then(|()| own_sys()));
        }
        dies_with_us(&mut command);
        command
    }

    /// Runs a program to its end and returns what it printed; it must succeed.
    pub fn run(&self, program: &str, args: &[&str]) -> String {
        let output = self.command(program).args(args).stdin(Stdio::null()).output();
        let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {}: {said}", args.join(" "));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// `ip` with these arguments, words between spaces; returns what it printed.
    pub fn ip(&self, arguments: &str) -> String {
        self.run("ip", &arguments.split_whitespace().collect::<Vec<_>>())
    }

    /// Sets a kernel variable of the namespace, such as `net/ipv4/ip_forward`.
    pub fn sysctl(&self, key: &str, value: &str) {
        let path = format!("/proc/sys/{key}");
        let written = self.within(|| fs::write(&path, value));
        written.unwrap_or_else(|error| panic!("{path}: {error}"));
    }

    /// Three pings, one behind the other, each of which must be answered. One by itself waits as long
    /// as it is told; of several the later ones wait twice as long as the first ones took.
    pub fn ping(&self, arguments: &[&str]) {
        for _ in 0..3 {
            self.run("ping", &[&["-c", "1", "-W", "20"], arguments].concat());
        }
    }

    /// A veth pair from here into another namespace, both ends up.
    pub fn veth(&self, name: &str, other: &Space, peer: &str) {
        let (process, file) = (std::process::id(), other.namespace.as_raw_fd());
        self.ip(&format!(
            "link add name {name} type veth peer name {peer} netns /proc/{process}/fd/{file}"
        ));
        self.ip(&format!("link set {name} up"));
        other.ip(&format!("link set {peer} up"));
    }

    /// Turns the checksum offload of an interface on or off, as `ethtool -K NAME tx on|off`: with
    /// it what a socket here sends leaves with an unfinished checksum.
    pub fn checksum_offload(&self, interface: &str, on: bool) {
        self.run("ethtool", &["-K", interface, "tx", if on { "on" } else { "off" }]);
    }

    /// What `ip` says of an interface.
    pub fn interface(&self, name: &str) -> Value {
        let said = self.ip(&format!("-j -s link show dev {name}"));
        let list: Value = serde_json::from_str(&said).expect("`ip -j` prints JSON");
        list[0].clone()
    }

    /// The Ethernet address of an interface.
    pub fn mac(&self, name: &str) -> String {
        let interface = self.interface(name);
        interface["address"].as_str().expect("it has an address").to_owned()
    }

    /// A counter of the kernel's IPv4 or UDP, such as `("Udp", "InCsumErrors")`.
    pub fn counted(&self, protocol: &str, counter: &str) -> u64 {
        let read = || fs::read_to_string("/proc/thread-self/net/snmp").expect("there is /proc");
        let text = self.within(read);
        let mut rows = text.lines().filter(|line| line.starts_with(&format!("{protocol}:")));
        let (names, values) = (rows.next().expect("names"), rows.next().expect("values"));
        let mut pairs = names.split_whitespace().zip(values.split_whitespace());
        let found = pairs.find(|(name, _)| *name == counter).expect("the kernel counts it");
        found.1.parse().expect("a number")
    }

    /// A socket that sends from this address; what is sent to a group leaves by the interface that
    /// has the address, with TTL 1 as hosts do by default.
    pub fn sender(&self, from: Ipv4Addr) -> UdpSocket {
        self.within(|| {
            let socket = UdpSocket::bind((from, 0)).expect("the address is ours");
            let value = libc::in_addr { s_addr: u32::from(from).to_be() };
            set(&socket, libc::IPPROTO_IP, libc::IP_MULTICAST_IF, &value);
            socket
        })
    }

    /// A socket that receives what is sent to this group or address and UDP port; a group is
    /// joined on the interface that has the address `at`.
    pub fn receiver(&self, to: Ipv4Addr, udp_port: u16, at: Ipv4Addr) -> UdpSocket {
        self.within(|| {
            let socket = UdpSocket::bind((to, udp_port)).expect("the address can be bound");
            if to.is_multicast() {
                socket.join_multicast_v4(&to, &at).expect("the group can be joined");
            }
            set(&socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &RECEIVE_BUFFER);
            socket.set_read_timeout(Some(SILENCE)).expect("it is not zero");
            socket
        })
    }
}

/// Sets an option of a socket.
pub fn set<T>(socket: &impl AsRawFd, level: i32, option: i32, value: &T) {
    let (value, len) = (std::ptr::from_ref(value).cast(), size_of::<T>() as libc::socklen_t);
    // SAFETY: the socket is open, and the value is read, as many bytes as are said.
    let code = unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, value, len) };
    assert_eq!(code, 0, "option {level}/{option}: {}", std::io::Error::last_os_error());
}

/// Reads a datagram, and who sent it; none where none comes.
pub fn receive(socket: &UdpSocket) -> Option<(Vec<u8>, IpAddr)> {
    let mut bytes = vec![0; 65_536];
    let (len, from) = socket.recv_from(&mut bytes).ok()?;
    bytes.truncate(len);
    Some((bytes, from.ip()))
}

/// Moves the calling thread into a namespace.
fn enter(namespace: RawFd) -> std::io::Result<()> {
    // SAFETY: it changes the calling thread alone.
    match unsafe { libc::setns(namespace, libc::CLONE_NEWNET) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// Gives the calling process, which is about to become another program, a `/sys` of its own: it
/// shows the namespace of whoever mounted it. As `ip netns exec` does.
fn own_sys() -> std::io::Result<()> {
    let (none, flags) = (std::ptr::null(), libc::MS_SLAVE | libc::MS_REC);
    let (sys, sysfs) = (c"/sys".as_ptr(), c"sysfs".as_ptr());
    // SAFETY: terminated texts, and mounts of this process alone.
    let done = unsafe {
        libc::unshare(libc::CLONE_NEWNS) == 0
            && libc::mount(none, c"/".as_ptr(), none, flags, none.cast()) == 0
            && libc::mount(sysfs, sys, sysfs, 0, none.cast()) == 0
    };
    if done { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}
