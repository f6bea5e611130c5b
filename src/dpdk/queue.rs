//! A port's queues, as the worker that owns them sees them.

use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::slice;
use std::sync::Arc;

use arrayvec::ArrayVec;
use dpdk_sys::{SHIM_MBUF_EXTERNAL, SHIM_MBUF_INDIRECT, rte_mbuf, rte_mempool};

use super::bundler::Bundler;
use super::mbuf::{COUNTS, ONE_EACH, counts, owners};
use super::mempool::is_ours;
use super::port::Open;
use super::{Mbuf, Port};
use crate::packet::{BURST, Burst, Received, RxPort, TxPort};

/// A receive queue; there is one handle to each.
#[derive(Debug)]
pub struct DpdkRx {
    port: Arc<Open>,
    id: u16,
    queue: u16,
    /// The pool that the driver fills from: nearly always the answer to "is it ours".
    pool: NonNull<rte_mempool>,
}

// SAFETY: the queue is used by whoever has the handle; the pool is only compared.
unsafe impl Send for DpdkRx {}

/// A send queue; there is one handle to each.
#[derive(Debug)]
pub struct DpdkTx {
    port: Arc<Open>,
    id: u16,
    queue: u16,
    /// Sends in the driver's place.
    bundler: Option<Bundler>,
}

impl Port {
    /// Receive queue `queue`; `None` where there is none or its handle is given out.
    pub fn rx(&self, queue: u16) -> Option<DpdkRx> {
        let port = self.open_port();
        port.claim_rx(queue).then(|| DpdkRx {
            port: Arc::clone(port),
            id: port.id(),
            queue,
            pool: port.pool().raw(),
        })
    }

    /// The send queue; `None` where there is none or its handle is given out.
    pub fn tx(&self) -> Option<DpdkTx> {
        let port = self.open_port();
        port.claim_tx().then(|| DpdkTx {
            port: Arc::clone(port),
            id: port.id(),
            queue: 0,
            bundler: port.out().map(|out| Bundler::new(Arc::clone(out))),
        })
    }
}

impl DpdkRx {
    /// Whether all of them are what nearly all are, by one branch: of one segment that is direct,
    /// from the queue's pool, with one owner. Of the others [`Self::accepts`] knows more.
    #[inline(always)]
    fn accepts_all(&self, packets: &[*mut rte_mbuf]) -> bool {
        let ours = self.pool.as_ptr() as usize;
        let (mut odd_counts, mut flags, mut odd_pools) = (0, 0, 0);
        for &packet in packets {
            // SAFETY: as in `accepts`.
            unsafe {
                odd_counts |= counts(packet) ^ ONE_EACH;
                flags |= (*packet).ol_flags;
                odd_pools |= (*packet).pool as usize ^ ours;
            }
        }
        odd_counts & COUNTS == 0
            && flags & (SHIM_MBUF_INDIRECT | SHIM_MBUF_EXTERNAL) == 0
            && odd_pools == 0
    }

    /// Whether every segment is direct, from a pool of ours, with one owner. Nothing in front of
    /// this may touch the private area: a stranger's need not be ours, or be at all.
    #[inline(always)]
    fn accepts(&self, packet: *mut rte_mbuf) -> bool {
        let mut segment = packet;
        // SAFETY: the driver handed over a live chain; strangers may share it, so that the count
        // of owners is read as an atomic. `nb_segs` and `next` agree, as every driver has it, and
        // the former spares a cache line.
        unsafe {
            let mut left = (*segment).nb_segs;
            loop {
                let direct = (*segment).ol_flags & (SHIM_MBUF_INDIRECT | SHIM_MBUF_EXTERNAL) == 0;
                let pool = (*segment).pool;
                let ours = pool == self.pool.as_ptr() || is_ours(pool);
                if !direct || !ours || owners(segment) != 1 {
                    return false;
                }
                if left <= 1 {
                    return true;
                }
                left -= 1;
                segment = (*segment).next;
            }
        }
    }
}

impl DpdkRx {
    /// Frees the strangers among `packets` and moves the others, in order, to the front; returns
    /// how many. Each is asked once more, and only that counts: its other owners may have left.
    #[cold]
    fn turn_away(&self, packets: &mut [*mut rte_mbuf]) -> usize {
        let mut strangers = ArrayVec::<*mut rte_mbuf, BURST>::new();
        let mut ours = 0;
        for at in 0..packets.len() {
            if self.accepts(packets[at]) {
                packets[ours] = packets[at];
                ours += 1;
            } else {
                strangers.push(packets[at]);
            }
        }
        // SAFETY: the driver gave them up; DPDK returns each to whoever it belongs to.
        unsafe {
            dpdk_sys::shim_mbuf_free_bulk(strangers.as_mut_ptr(), strangers.len() as u32);
        }
        ours
    }
}

impl RxPort for DpdkRx {
    type Packet = Mbuf;

    fn receive(&mut self, burst: &mut Burst<Mbuf>) -> Received {
        let (held, room) = (burst.len(), burst.remaining_capacity() as u16);
        // SAFETY: behind the `held` packets there is room for `room` handles, each a pointer.
        let raw = unsafe { burst.as_mut_ptr().add(held).cast::<*mut rte_mbuf>() };
        // SAFETY: the handle is the queue's only one, its port is open as long as it lives, and
        // there is the room.
        let count = unsafe { dpdk_sys::shim_eth_rx_burst(self.id, self.queue, raw, room) };
        // SAFETY: the driver has written that many pointers to live packets, and gave them up.
        let raw = unsafe { slice::from_raw_parts_mut(raw, count.into()) };
        let all = self.accepts_all(raw) || raw.iter().all(|packet| self.accepts(*packet));
        let ours = if all { raw.len() } else { self.turn_away(raw) };
        let foreign = raw.len() - ours;
        // SAFETY: the first `ours` are what `accepts` has seen to be as `from_raw` asks.
        unsafe { burst.set_len(held + ours) };
        Received { frames: count.into(), foreign: foreign as u32 }
    }

    fn file(&self) -> Option<BorrowedFd<'_>> {
        self.port.file()
    }
}

impl Drop for DpdkRx {
    fn drop(&mut self) {
        self.port.release_rx(self.queue);
    }
}

impl TxPort for DpdkTx {
    type Packet = Mbuf;

    fn send(&mut self, packets: &mut Burst<Mbuf>) -> usize {
        if let Some(bundler) = &mut self.bundler {
            return bundler.send(packets);
        }
        let count = packets.len() as u16;
        // A handle is a pointer to its mbuf.
        let raw = packets.as_mut_ptr().cast::<*mut rte_mbuf>();
        // SAFETY: the handle is the queue's only one, its port is open as long as it lives; the
        // driver owns the packets that it counts as accepted, from the front.
        let sent = unsafe { dpdk_sys::shim_eth_tx_burst(self.id, self.queue, raw, count) };
        if sent == count {
            // SAFETY: the driver owns them all, and none may be dropped here.
            unsafe { packets.set_len(0) };
        } else {
            packets.drain(..usize::from(sent)).for_each(|packet| _ = packet.into_raw());
        }
        sent.into()
    }
}

impl Drop for DpdkTx {
    fn drop(&mut self) {
        self.port.release_tx();
    }
}
