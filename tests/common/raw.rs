//! Frames as they are on an interface: a packet socket, which sees Ethernet headers, tags and
//! protocols that other sockets do not, and sends whatever it is given.

#![allow(dead_code)]

use std::io::Error;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use crate::netns::{Space, set};

/// Bytes that the socket may hold.
const RECEIVE_BUFFER: i32 = 64 << 20;

/// A packet socket on one interface. It does not see what this host sends there.
#[derive(Debug)]
pub struct Raw(OwnedFd);

/// A frame as it was on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// From the Ethernet header on, tags included.
    pub bytes: Vec<u8>,
    /// Whether its UDP checksum is left to a card that does not exist: offload on a veth pair.
    pub is_unfinished: bool,
}

impl Raw {
    /// Opens one; it is there for everything that arrives from now on.
    pub fn open(space: &Space, interface: &str) -> Self {
        let index = space.interface(interface)["ifindex"].as_i64().expect("a number") as i32;
        let all = (libc::ETH_P_ALL as u16).to_be();
        // Without a protocol at first: it would hear all interfaces until it is bound.
        // SAFETY: makes a socket; checked.
        let fd = space.within(|| unsafe {
            libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0)
        });
        assert!(fd >= 0, "a packet socket: {}", Error::last_os_error());
        // SAFETY: just opened, and nobody else's.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        set(&socket, libc::SOL_PACKET, libc::PACKET_AUXDATA, &1_i32);
        set(&socket, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, &1_i32);
        set(&socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &RECEIVE_BUFFER);
        // SAFETY: all zero is an address.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        (address.sll_family, address.sll_protocol) = (libc::AF_PACKET as u16, all);
        address.sll_ifindex = index;
        // SAFETY: an open socket, and an address of this size.
        let code = unsafe {
            let len = size_of_val(&address) as libc::socklen_t;
            libc::bind(fd, std::ptr::from_ref(&address).cast(), len)
        };
        assert_eq!(code, 0, "{interface}: {}", Error::last_os_error());
        Self(socket)
    }

    /// Sends a frame as it is.
    pub fn send(&self, frame: &[u8]) {
        let fd = self.0.as_raw_fd();
        // SAFETY: an open socket, and bytes that are read.
        let sent = unsafe { libc::send(fd, frame.as_ptr().cast(), frame.len(), 0) };
        assert_eq!(sent, frame.len() as isize, "{}", Error::last_os_error());
    }

    /// The next frame; none where none comes for so long.
    pub fn receive(&self, patience: Duration) -> Option<Seen> {
        let mut wait = libc::pollfd { fd: self.0.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one structure, which may be written.
        let ready = unsafe { libc::poll(&mut wait, 1, patience.as_millis() as i32) };
        (ready == 1).then(|| self.read())
    }

    /// The next frame for which `is_it` holds; none where none such comes for so long.
    pub fn find(&self, patience: Duration, is_it: impl Fn(&Seen) -> bool) -> Option<Seen> {
        std::iter::from_fn(|| self.receive(patience)).find(|frame| is_it(frame))
    }

    fn read(&self) -> Seen {
        let (mut bytes, mut control) = (vec![0_u8; 65_536], [0_u64; 16]);
        let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
        // SAFETY: all zero is a message without anything.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        (message.msg_iov, message.msg_iovlen) = (&mut part, 1);
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control) as _;
        // SAFETY: an open socket; the message's parts may be written, as many bytes as it says.
        let len = unsafe { libc::recvmsg(self.0.as_raw_fd(), &mut message, 0) };
        assert!(len >= 0, "{}", Error::last_os_error());
        bytes.truncate(len as usize);
        let mut frame = Seen { bytes, is_unfinished: false };
        // SAFETY: the kernel has written whole control messages into `control`.
        unsafe {
            let header = libc::CMSG_FIRSTHDR(&message);
            if !header.is_null() && (*header).cmsg_type == libc::PACKET_AUXDATA {
                let data = libc::CMSG_DATA(header).cast::<libc::tpacket_auxdata>();
                frame.complete(data.read_unaligned());
            }
        }
        frame
    }
}

impl Seen {
    /// Puts the tag back that the kernel has taken off.
    fn complete(&mut self, said: libc::tpacket_auxdata) {
        self.is_unfinished = said.tp_status & libc::TP_STATUS_CSUMNOTREADY != 0;
        if said.tp_status & libc::TP_STATUS_VLAN_VALID != 0 {
            let tpid = said.tp_vlan_tpid.to_be_bytes();
            let [a, b] = said.tp_vlan_tci.to_be_bytes();
            self.bytes.splice(12..12, [tpid[0], tpid[1], a, b]);
        }
    }
}
