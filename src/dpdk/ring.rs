//! Ports made of rings, within the process: what one side puts into the receive ring arrives at the
//! port, what the port sends lies in the send ring until it is taken out. A full send ring refuses,
//! as a NIC does; no virtual device does that.

use std::ffi::CString;
use std::ptr::{self, NonNull};

use dpdk_sys::{rte_mbuf, rte_ring};

use super::mempool::short_name;
use super::{DpdkError, Eal, Errno, Mbuf};

/// A bounded queue of packets between threads, of any number of them.
#[derive(Debug)]
pub struct Ring {
    // Held so that EAL outlives it.
    _eal: Eal,
    raw: NonNull<rte_ring>,
}

// SAFETY: made without the single-producer and single-consumer flags, so any thread may use it.
unsafe impl Send for Ring {}
// SAFETY: as above.
unsafe impl Sync for Ring {}

impl Ring {
    /// A ring for `capacity` packets. Its few bytes stay until EAL ends: a port may still poll it.
    pub fn new(eal: &Eal, name: &str, capacity: u32) -> Result<Self, DpdkError> {
        let refused = |errno| DpdkError::Ring { ring: name.into(), capacity, errno };
        let text = CString::new(short_name(name)).map_err(|_| refused(Errno(libc::EINVAL)))?;
        // The next power of two holds one less than its size; ask for room for all of them.
        let slots = capacity.saturating_add(1).next_power_of_two();
        // SAFETY: a terminated name and plain numbers; `eal` shows that EAL runs.
        let raw = unsafe { dpdk_sys::rte_ring_create(text.as_ptr(), slots, -1, 0) };
        match NonNull::new(raw) {
            Some(raw) => Ok(Self { _eal: eal.clone(), raw }),
            None => Err(refused(Errno::last())),
        }
    }

    /// Puts a packet in; it comes back where the ring is full.
    pub fn push(&self, packet: Mbuf) -> Result<(), Mbuf> {
        let raw = packet.into_raw();
        // SAFETY: the packet was just given up, to the ring.
        if unsafe { self.push_raw(raw) } {
            Ok(())
        } else {
            // SAFETY: the ring did not take it.
            Err(unsafe { Mbuf::from_raw(raw) })
        }
    }

    /// Puts any mbuf in, a stranger's too: what an application that shares a ring may do. False
    /// where the ring is full.
    ///
    /// # Safety
    /// `raw` is a live mbuf whose owner gives it up if it was taken.
    pub unsafe fn push_raw(&self, raw: NonNull<rte_mbuf>) -> bool {
        let mut one = [raw.as_ptr()];
        // SAFETY: the ring lives as long as EAL, and reads one pointer.
        unsafe { dpdk_sys::shim_ring_enqueue(self.raw.as_ptr(), one.as_mut_ptr(), 1) == 1 }
    }

    /// Takes the oldest packet out. Only for a ring that a port of ours sends to: strangers from
    /// [`push_raw`](Self::push_raw) would not be what a handle stands for.
    pub fn pop(&self) -> Option<Mbuf> {
        // SAFETY: `DpdkTx` sends what handles stood for, `push` too, and the ring gives each out
        // once.
        self.pop_raw().map(|raw| unsafe { Mbuf::from_raw(raw) })
    }

    fn pop_raw(&self) -> Option<NonNull<rte_mbuf>> {
        let mut one = [ptr::null_mut()];
        // SAFETY: the ring lives as long as EAL, and writes one pointer at most.
        unsafe { dpdk_sys::shim_ring_dequeue(self.raw.as_ptr(), one.as_mut_ptr(), 1) };
        NonNull::new(one[0])
    }

    /// Packets in it.
    pub fn len(&self) -> usize {
        // SAFETY: the ring lives as long as EAL.
        unsafe { dpdk_sys::shim_ring_count(self.raw.as_ptr()) as usize }
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Packets it can hold: at least what was asked for.
    pub fn capacity(&self) -> usize {
        // SAFETY: the ring lives as long as EAL.
        unsafe { dpdk_sys::shim_ring_capacity(self.raw.as_ptr()) as usize }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        while let Some(raw) = self.pop_raw() {
            // SAFETY: the ring owned it.
            unsafe { dpdk_sys::shim_mbuf_free(raw.as_ptr()) };
        }
    }
}

/// A port made of two rings. [`device`](Self::device) is what a [`PortConfig`](super::PortConfig)
/// names to open it.
#[derive(Debug)]
pub struct RingPort {
    /// What is pushed here, the port receives.
    pub rx: Ring,
    /// What the port sends is here to be popped; full, it refuses.
    pub tx: Ring,
    device: String,
}

impl RingPort {
    /// Makes the rings and the device. Drop it after its port, which else loses what is sent.
    pub fn new(eal: &Eal, name: &str, rx: u32, tx: u32) -> Result<Self, DpdkError> {
        let rx = Ring::new(eal, &format!("{name}_rx"), rx)?;
        let tx = Ring::new(eal, &format!("{name}_tx"), tx)?;
        let (received, sent) = ([rx.raw.as_ptr()], [tx.raw.as_ptr()]);
        let refused = |errno| DpdkError::Ring { ring: name.into(), capacity: 0, errno };
        let text = CString::new(name).map_err(|_| refused(Errno(libc::EINVAL)))?;
        // SAFETY: lists of one ring each, which stay until EAL ends; NUMA node 0 always exists.
        let code = unsafe {
            let (received, sent) = (received.as_ptr(), sent.as_ptr());
            dpdk_sys::rte_eth_from_rings(text.as_ptr(), received, 1, sent, 1, 0)
        };
        if code < 0 {
            return Err(refused(Errno::last()));
        }
        Ok(Self { rx, tx, device: format!("net_ring_{name}") })
    }

    /// The device's name.
    pub fn device(&self) -> &str {
        &self.device
    }
}
