//! The other ends of scripts/bench-networks.sh: a sender, desks that count and drop, and the socket
//! relay that Punctual is measured against, as one would write it in an hour: receive one, send it to
//! each.
//!
//! ```text
//! network_rival send FROM GROUP:PORT DATAGRAMS_A_SECOND SECONDS
//! network_rival relay IN GROUP:PORT OUT...
//! network_rival desk AT GROUP:PORT
//! ```

#![allow(clippy::disallowed_methods, reason = "it paces by the wall clock")]

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["send", from, to, rate, seconds] => send(
            from.parse().expect("an address"),
            to.parse().expect("a group and a port"),
            rate.parse().expect("a rate"),
            Duration::from_secs(seconds.parse().expect("seconds")),
        ),
        ["relay", at, group, ref outs @ ..] => relay(
            at.parse().expect("an address"),
            group.parse().expect("a group and a port"),
            outs.iter().map(|out| out.parse().expect("an address")),
        ),
        ["desk", at, group] => {
            desk(at.parse().expect("an address"), group.parse().expect("a group and a port"));
        }
        _ => panic!("see the head of examples/network_rival.rs"),
    }
}

/// A socket whose datagrams to groups leave by the interface with this address.
fn sender(from: Ipv4Addr) -> UdpSocket {
    let socket = UdpSocket::bind((from, 0)).expect("the address is ours");
    let by = libc::in_addr { s_addr: u32::from(from).to_be() };
    // SAFETY: an open socket, and an address that is read.
    let code = unsafe {
        let (option, len) = (libc::IP_MULTICAST_IF, size_of_val(&by) as libc::socklen_t);
        let by = std::ptr::from_ref(&by).cast();
        libc::setsockopt(socket.as_raw_fd(), libc::IPPROTO_IP, option, by, len)
    };
    assert_eq!(code, 0, "the interface");
    socket.set_multicast_ttl_v4(8).expect("a TTL");
    socket
}

/// Sends at a rate, in milliseconds' worth at a time, and says how many there were.
fn send(from: Ipv4Addr, to: SocketAddrV4, rate: u64, time: Duration) {
    let socket = sender(from);
    socket.connect(to).expect("a group");
    let (start, mut sent) = (Instant::now(), 0_u64);
    while start.elapsed() < time {
        let due = (start.elapsed().as_micros() as u64 * rate) / 1_000_000;
        while sent < due {
            // A full queue is waited for; anything else is seen in the count.
            let _ = socket.send(&[0x5a; 200]);
            sent += 1;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    println!("{sent}");
}

/// A socket that has joined the group at the interface with this address.
fn receiver(at: Ipv4Addr, group: SocketAddrV4) -> UdpSocket {
    let socket = UdpSocket::bind(group).expect("the group can be bound");
    socket.join_multicast_v4(group.ip(), &at).expect("the group can be joined");
    socket
}

/// Until it is killed, has the kernel bring each datagram to a socket, judge it, and drop it there:
/// then it is among the namespace's `Udp: InErrors`.
fn desk(at: Ipv4Addr, group: SocketAddrV4) {
    let socket = receiver(at, group);
    let mut nothing = libc::sock_filter { code: libc::BPF_RET as u16, jt: 0, jf: 0, k: 0 };
    let program = libc::sock_fprog { len: 1, filter: &raw mut nothing };
    // SAFETY: an open socket, and a program of one instruction that is read.
    let code = unsafe {
        let (option, len) = (libc::SO_ATTACH_FILTER, size_of_val(&program) as libc::socklen_t);
        let program = std::ptr::from_ref(&program).cast();
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, option, program, len)
    };
    assert_eq!(code, 0, "the filter");
    println!("ready");
    loop {
        std::thread::park();
    }
}

/// Relays until it is killed.
fn relay(at: Ipv4Addr, group: SocketAddrV4, outs: impl Iterator<Item = Ipv4Addr>) {
    let input = receiver(at, group);
    let outs: Vec<_> = outs.map(sender).collect();
    let mut bytes = [0; 2_048];
    loop {
        let Ok(len) = input.recv(&mut bytes) else {
            continue;
        };
        for out in &outs {
            let _ = out.send_to(&bytes[..len], group);
        }
    }
}
