//! A port's own way out, by a packet socket beside its driver (`bundle = true`).
//!
//! Datagrams that could be cut from one ([`crate::wire::Bundle`]) are handed to the kernel as one,
//! with a virtio header that says how (`PACKET_VNET_HDR`): it goes once through the kernel, and the
//! card, the other end of a veth pair or, where neither can, the kernel itself cuts it up. What goes
//! alone goes in the same call, in order. The kernel copies from the segments of a chain.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use libc::{iovec, mmsghdr, msghdr};

use super::kernel::{index, set, socket};
use super::{DpdkError, Mbuf};
use crate::packet::{BURST, Burst, Packet};
use crate::wire::{BUNDLE_HEADERS, Bundle, Part, SegmentSum, Sum};

/// Pieces of memory that a call is made of at most: headers and segments.
const PIECES: usize = 8 * BURST;

/// `struct virtio_net_hdr`, in the processor's byte order.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Vnet {
    flags: u8,
    gso_type: u8,
    hdr_len: u16,
    gso_size: u16,
    csum_start: u16,
    csum_offset: u16,
}

/// `VIRTIO_NET_HDR_F_NEEDS_CSUM`: only the pseudo-header's sum is in the field.
const NEEDS_CSUM: u8 = 1;
/// `VIRTIO_NET_HDR_GSO_UDP_L4`: one UDP datagram a segment; Linux 6.2.
const GSO_UDP: u8 = 5;
/// Where in a UDP header its checksum is.
const UDP_CHECKSUM: u16 = 6;

/// The socket, and what was counted of it.
#[derive(Debug)]
pub(super) struct Out {
    socket: OwnedFd,
    sent: AtomicU64,
    bytes: AtomicU64,
    lost: AtomicU64,
}

impl Out {
    /// A socket on `interface`, which hears nothing; `port` is for errors.
    pub(super) fn open(port: &str, interface: &str) -> Result<Self, DpdkError> {
        let opened = || -> io::Result<OwnedFd> {
            let socket = socket(libc::AF_PACKET, libc::SOCK_RAW)?;
            set(&socket, libc::SOL_PACKET, libc::PACKET_VNET_HDR, &1_i32)?;
            // SAFETY: plain numbers, for which zeroes are fine.
            let mut place: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
            place.sll_family = libc::AF_PACKET as u16;
            place.sll_ifindex = index(interface)?;
            let (at, len) = (std::ptr::from_ref(&place).cast(), size_of_val(&place) as u32);
            // SAFETY: an open socket, and an address that is read.
            match unsafe { libc::bind(socket.as_raw_fd(), at, len) } {
                0 => Ok(socket),
                _ => Err(io::Error::last_os_error()),
            }
        };
        let failed = |source: io::Error| DpdkError::Interface {
            port: port.into(),
            interface: interface.into(),
            why: format!(
                "{source}; `bundle` takes CAP_NET_RAW, run as root or give the capability"
            ),
        };
        let [sent, bytes, lost] = Default::default();
        Ok(Self { socket: opened().map_err(failed)?, sent, bytes, lost })
    }

    /// Frames that the kernel took, their bytes, and frames that it did not send.
    pub(super) fn counted(&self) -> [u64; 3] {
        [&self.sent, &self.bytes, &self.lost].map(|count| count.load(Ordering::Relaxed))
    }

    /// Counts for the only one who sends.
    fn count(count: &AtomicU64, more: u64) {
        count.store(count.load(Ordering::Relaxed) + more, Ordering::Relaxed);
    }
}

/// What a call is made of; its messages point into it, and into the packets.
struct Room {
    vnets: [Vnet; BURST],
    headers: [[u8; BUNDLE_HEADERS]; BURST],
    pieces: [iovec; PIECES],
    messages: [mmsghdr; BURST],
    /// By message: its packets.
    packets: [usize; BURST],
}

/// Who sends by the socket.
pub(super) struct Bundler {
    out: Arc<Out>,
    room: Box<Room>,
    /// Whether the kernel cuts, for all that is known.
    cuts: bool,
}

// SAFETY: the pointers in `room` are only of use during a call, which writes them anew.
unsafe impl Send for Bundler {}

impl std::fmt::Debug for Bundler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bundler").field("out", &self.out).field("cuts", &self.cuts).finish()
    }
}

impl Bundler {
    /// The only one to send by this socket.
    pub(super) fn new(out: Arc<Out>) -> Self {
        // SAFETY: numbers and null pointers, for all of which zeroes are fine.
        let room: Room = unsafe { std::mem::zeroed() };
        Self { out, room: Box::new(room), cuts: true }
    }

    /// Sends from the front of `packets` and removes what the kernel took; returns how many.
    pub(super) fn send(&mut self, packets: &mut Burst<Mbuf>) -> usize {
        let mut done = 0;
        while done < packets.len() {
            let messages = self.room.gather(&packets[done..], self.cuts);
            let Self { out, room, cuts } = self;
            let of = |messages: usize| room.packets[..messages].iter().sum::<usize>();
            // SAFETY: an open socket, and messages whose pieces lie in `room` and in packets that
            // are held until the kernel has copied them.
            let sent = unsafe {
                let (socket, all) = (out.socket.as_raw_fd(), room.messages.as_mut_ptr());
                libc::sendmmsg(socket, all, messages as u32, libc::MSG_DONTWAIT)
            };
            if let Ok(sent @ 1..) = usize::try_from(sent) {
                done += of(sent);
                continue;
            }
            match io::Error::last_os_error().raw_os_error() {
                // A kernel that does not know how to cut: it gets them one by one.
                Some(libc::EINVAL) if room.packets[0] > 1 => *cuts = false,
                // Dropped by the queue in front of the interface, or behind our back as from a
                // driver: they are not sent twice, for some of a bundle may have left.
                Some(libc::ENOBUFS | libc::EINVAL | libc::EMSGSIZE) => {
                    Out::count(&out.lost, of(1) as u64);
                    done += of(1);
                }
                // The socket's memory is full, or the interface is down: they wait.
                _ => break,
            }
        }
        let bytes = packets.iter().take(done).map(Packet::frame_len).sum::<usize>();
        Out::count(&self.out.sent, done as u64);
        Out::count(&self.out.bytes, bytes as u64);
        packets.drain(..done);
        done
    }
}

impl Room {
    /// Makes messages of packets from the front, of as many as there are pieces for.
    fn gather(&mut self, packets: &[Mbuf], cuts: bool) -> usize {
        let (mut messages, mut taken, mut used) = (0, 0, 0);
        while let Some(rest) = packets.get(taken..).filter(|rest| !rest.is_empty()) {
            let bundle = if cuts { bundle(rest) } else { None };
            let count = bundle.as_ref().map_or(1, Bundle::datagrams);
            let segments = rest[..count].iter().map(Packet::segments).sum::<usize>();
            if messages > 0 && used + segments + 2 > PIECES {
                break;
            }
            let first = used;
            used = match &bundle {
                Some(bundle) => self.put_bundle(bundle, messages, used),
                None => self.put(messages, Vnet::default(), used),
            };
            let skip = bundle.map_or(0, |bundle| usize::from(bundle.lengths().0));
            for packet in &rest[..count] {
                let mut skip = skip;
                packet.for_each_segment(|bytes| {
                    let bytes = &bytes[skip.min(bytes.len())..];
                    skip = 0;
                    // Of a copy in a bundle the header's segment is all headers.
                    if bytes.is_empty() {
                        return;
                    }
                    if let Some(piece) = self.pieces.get_mut(used) {
                        *piece = piece_of(bytes);
                    }
                    used += 1;
                });
            }
            // SAFETY: zeroes are a message to whom the socket is bound to.
            let mut message: msghdr = unsafe { std::mem::zeroed() };
            message.msg_iov = &raw mut self.pieces[first];
            // One that there are no pieces for is refused: EMSGSIZE.
            message.msg_iovlen = if used > PIECES { usize::MAX } else { used - first };
            self.messages[messages] = mmsghdr { msg_hdr: message, msg_len: 0 };
            self.packets[messages] = count;
            (messages, taken) = (messages + 1, taken + count);
        }
        messages
    }

    /// The pieces in front of a bundle's payloads; returns where the next is put.
    fn put_bundle(&mut self, bundle: &Bundle, message: usize, used: usize) -> usize {
        let (headers, udp) = bundle.lengths();
        let vnet = Vnet {
            flags: NEEDS_CSUM,
            gso_type: GSO_UDP,
            hdr_len: headers,
            gso_size: bundle.segment(),
            csum_start: udp,
            csum_offset: UDP_CHECKSUM,
        };
        let used = self.put(message, vnet, used);
        self.headers[message] = bundle.headers();
        self.pieces[used] = piece_of(&self.headers[message][..usize::from(headers)]);
        used + 1
    }

    fn put(&mut self, message: usize, vnet: Vnet, used: usize) -> usize {
        self.vnets[message] = vnet;
        let base = std::ptr::from_mut(&mut self.vnets[message]).cast();
        self.pieces[used] = iovec { iov_base: base, iov_len: size_of::<Vnet>() };
        used + 1
    }
}

/// A piece that is only read.
fn piece_of(bytes: &[u8]) -> iovec {
    iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() }
}

/// What of the packets leaves as one, from the front; `None` where the first goes alone.
fn bundle(packets: &[Mbuf]) -> Option<Bundle> {
    let (first, rest) = packets.split_first()?;
    let read = |packet: &Mbuf| Part::read(packet.head(), packet.frame_len());
    let part = read(first)?;
    let sum = |packet: &Mbuf, part: &Part| -> Sum {
        let mut sum = SegmentSum::behind(part.headers_len());
        packet.for_each_segment(|bytes| sum.add(bytes));
        sum.sum()
    };
    let of_first = sum(first, &part);
    let mut bundle = Bundle::new(part, of_first)?;
    for next in rest {
        let Some(part) = read(next) else { break };
        if !bundle.takes(&part, || sum(next, &part)) {
            break;
        }
    }
    let count = bundle.datagrams();
    let segments = packets[..count].iter().map(Packet::segments).sum::<usize>();
    (count > 1 && segments + 2 <= PIECES).then_some(bundle)
}
