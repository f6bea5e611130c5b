//! The rivals: what `rivals.c` does with DPDK's libraries, as values that free themselves. The only
//! `unsafe` of this program.

#![allow(unsafe_code)]

use std::ffi::{CString, c_char, c_int, c_void};
use std::ops::Range;
use std::ptr::NonNull;

use dpdk_sys::rte_mbuf;
use punctual::dpdk::{Eal, Mbuf};
use punctual::packet::{BURST, FRAME_OVERHEAD, Ticks};

use crate::duel::Answer;

/// What C hands over without telling what it is.
#[repr(C)]
struct Opaque {
    _bytes: [u8; 0],
}

/// One packet that is offered to a meter.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Offered {
    /// Its flow.
    pub flow: u32,
    /// Its bytes, as they are counted.
    pub bytes: u32,
}

unsafe extern "C" {
    fn rivals_pool_cycle(one: *const rte_mbuf, packets: u64) -> Answer;
    fn rivals_parse(packets: *const *mut rte_mbuf, count: u64) -> Answer;
    fn rivals_hash_create(name: *const c_char, places: u32, key_length: u32) -> *mut Opaque;
    fn rivals_hash_add(hash: *mut Opaque, key: *const c_void, data: u64) -> c_int;
    fn rivals_hash_free(hash: *mut Opaque);
    fn rivals_hash_find(
        hash: *const Opaque,
        keys: *const u8,
        key_length: u32,
        packets: u64,
    ) -> Answer;
    fn rivals_meters_create(count: u32, rate: u64, burst: u64, period: *mut u64) -> *mut Opaque;
    fn rivals_meters_free(meters: *mut Opaque);
    fn rivals_meters_check(
        meters: *mut Opaque,
        offered: *const Offered,
        times: *const Ticks,
        start: Ticks,
        packets: u64,
    ) -> Answer;
    fn rivals_sched_create(pipes: u32, mtu: u32, overhead: u32) -> *mut Opaque;
    fn rivals_sched_put(port: *mut Opaque, packet: *mut rte_mbuf, pipe: u32, class: u32) -> bool;
    fn rivals_sched_take(port: *mut Opaque, pipe: *mut u32) -> *mut rte_mbuf;
    fn rivals_sched_cycle(port: *mut Opaque, packets: u64) -> Answer;
    fn rivals_sched_free(port: *mut Opaque);
}

/// Takes so many buffers, whole bursts of them, from the pool that `one` is of, and gives each burst back
/// at once; `one`, and how many they were.
pub fn cycle_of_pool(one: Mbuf, packets: u64) -> (Mbuf, Answer) {
    let raw = one.into_raw();
    // SAFETY: `raw` is a live mbuf, which is only asked for its pool, and then taken back.
    unsafe { (Mbuf::from_raw(raw), rivals_pool_cycle(raw.as_ptr(), packets)) }
}

/// Parses packets with `rte_net_get_ptype`; UDP datagrams, and the sum of their UDP headers' places.
pub fn parse(packets: &[Mbuf]) -> Answer {
    // SAFETY: a handle is a pointer to a live mbuf, of which C only reads.
    unsafe { rivals_parse(packets.as_ptr().cast(), packets.len() as u64) }
}

/// Keys that lie behind one another in memory, without a gap.
///
/// # Safety
/// Every byte of a value is initialised.
pub unsafe trait Key: Copy {}

// SAFETY: an integer has no padding.
unsafe impl Key for u64 {}
// SAFETY: as above.
unsafe impl Key for [u64; 4] {}

/// `rte_hash`, with a word of data for each key.
pub struct Hash<'a> {
    raw: NonNull<Opaque>,
    key_length: usize,
    _eal: &'a Eal,
}

impl<'a> Hash<'a> {
    /// With so many places for keys of type `K`; none where DPDK has no memory for it.
    pub fn new<K: Key>(eal: &'a Eal, name: &str, places: usize) -> Option<Self> {
        let name = CString::new(name).ok()?;
        // SAFETY: EAL runs, and the name is terminated.
        let raw =
            unsafe { rivals_hash_create(name.as_ptr(), places as u32, size_of::<K>() as u32) };
        NonNull::new(raw).map(|raw| Self { raw, key_length: size_of::<K>(), _eal: eal })
    }

    /// Takes a key, as long as those that the table was made for; false where there is no room.
    pub fn add<K: Key>(&mut self, key: K, data: u64) -> bool {
        assert_eq!(size_of::<K>(), self.key_length);
        // SAFETY: the table lives, and reads as many bytes as a key has.
        unsafe { rivals_hash_add(self.raw.as_ptr(), (&raw const key).cast(), data) == 0 }
    }

    /// Looks up whole bursts of keys; hits, and the sum of their data.
    pub fn find<K: Key>(&self, keys: &[K]) -> Answer {
        assert!(keys.len().is_multiple_of(BURST) && size_of::<K>() == self.key_length);
        let length = size_of::<K>() as u32;
        // SAFETY: the table lives, and so many keys of this length lie there.
        unsafe {
            rivals_hash_find(self.raw.as_ptr(), keys.as_ptr().cast(), length, keys.len() as u64)
        }
    }
}

impl Drop for Hash<'_> {
    fn drop(&mut self) {
        // SAFETY: it was made by `new` and is freed once, while EAL runs.
        unsafe { rivals_hash_free(self.raw.as_ptr()) }
    }
}

/// `rte_meter`: single-rate three-colour markers of one profile, and what they are offered.
pub struct Meters<'a> {
    raw: NonNull<Opaque>,
    /// Each of a flow that there is a meter for.
    offered: Vec<Offered>,
    /// Ticks that a byte takes.
    pub period: Ticks,
    _eal: &'a Eal,
}

impl<'a> Meters<'a> {
    /// So many meters of a rate in bytes a second, of which a byte must take 100 ticks or more, and a
    /// burst in bytes; none where DPDK refuses.
    pub fn new(
        eal: &'a Eal,
        count: usize,
        (bytes_per_second, burst): (u64, u64),
        offered: Vec<Offered>,
    ) -> Option<Self> {
        assert!(offered.iter().all(|one| (one.flow as usize) < count));
        let mut period = 0;
        // SAFETY: EAL runs, and `period` may be written.
        let raw =
            unsafe { rivals_meters_create(count as u32, bytes_per_second, burst, &mut period) };
        NonNull::new(raw).map(|raw| Self { raw, offered, period, _eal: eal })
    }

    /// What they are offered.
    pub fn offered(&self) -> &[Offered] {
        &self.offered
    }

    /// Offers whole bursts, each at its time behind `start`; how many pass, and their bytes.
    pub fn check(&mut self, part: Range<usize>, times: &[Ticks], start: Ticks) -> Answer {
        let offered = &self.offered[part];
        assert!(offered.len().is_multiple_of(BURST) && times.len() * BURST >= offered.len());
        let packets = offered.len() as u64;
        let (meters, times) = (self.raw.as_ptr(), times.as_ptr());
        // SAFETY: there are so many packets, a time for each burst of them, and a meter for each flow
        // that `new` let in.
        unsafe { rivals_meters_check(meters, offered.as_ptr(), times, start, packets) }
    }
}

impl Drop for Meters<'_> {
    fn drop(&mut self) {
        // SAFETY: made by `new`, freed once, while EAL runs.
        unsafe { rivals_meters_free(self.raw.as_ptr()) }
    }
}

/// `rte_sched`: a port of one subport, whose pipes are outputs.
pub struct Sched<'a> {
    raw: NonNull<Opaque>,
    pipes: u32,
    _eal: &'a Eal,
}

impl<'a> Sched<'a> {
    /// With so many pipes, a power of two; none where DPDK refuses.
    pub fn new(eal: &'a Eal, pipes: usize) -> Option<Self> {
        // SAFETY: EAL runs.
        let raw = unsafe { rivals_sched_create(pipes as u32, 1518, FRAME_OVERHEAD) };
        NonNull::new(raw).map(|raw| Self { raw, pipes: pipes as u32, _eal: eal })
    }

    /// Puts a packet into the queue of a pipe for a class; false where it was dropped.
    pub fn put(&mut self, packet: Mbuf, pipe: u32, class: u32) -> bool {
        assert!(pipe < self.pipes);
        // SAFETY: the port lives, has the pipe, and takes over a packet with one owner, or frees it.
        unsafe { rivals_sched_put(self.raw.as_ptr(), packet.into_raw().as_ptr(), pipe, class) }
    }

    /// The next packet, and its pipe.
    pub fn take(&mut self) -> Option<(Mbuf, u32)> {
        let mut pipe = 0;
        // SAFETY: the port lives, and `pipe` may be written.
        let raw = unsafe { rivals_sched_take(self.raw.as_ptr(), &mut pipe) };
        // SAFETY: what comes out was put in by `put`, which took over an `Mbuf`.
        NonNull::new(raw).map(|raw| (unsafe { Mbuf::from_raw(raw) }, pipe))
    }

    /// Takes so many packets out and puts each back behind the others of its queue; how many came
    /// out, and how many of them were taken back.
    pub fn cycle(&mut self, packets: u64) -> Answer {
        // SAFETY: the port lives.
        unsafe { rivals_sched_cycle(self.raw.as_ptr(), packets) }
    }
}

impl Drop for Sched<'_> {
    fn drop(&mut self) {
        // SAFETY: made by `new`, freed once, while EAL runs; what waits is freed with it.
        unsafe { rivals_sched_free(self.raw.as_ptr()) }
    }
}
