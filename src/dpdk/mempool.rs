//! Pools of packets: fixed memory, taken at the start.

use std::ffi::CString;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use arrayvec::ArrayVec;
use dpdk_sys::{rte_mbuf, rte_mempool};

use super::{DpdkError, Eal, Errno, Mbuf};
use crate::config::EalMemory;
use crate::packet::{Meta, PacketPool};
use crate::plan::memory::PoolSize;

/// Bytes kept free in front of a received frame; part of the data room.
pub const HEADROOM: u16 = dpdk_sys::RTE_PKTMBUF_HEADROOM as u16;
/// Packets that an lcore may keep aside; a pool of few packets takes a smaller one.
pub const DEFAULT_CACHE: u32 = 256;
/// Names of pools are memory zones' names, which are short.
const NAME_MAX: usize = 24;
/// Pools in a process: two for each of 32 ports, and a few.
const POOLS_MAX: usize = 72;

/// The pools there are, for [`is_ours`].
static POOLS: [AtomicPtr<rte_mempool>; POOLS_MAX] =
    [const { AtomicPtr::new(std::ptr::null_mut()) }; POOLS_MAX];

/// Whether `pool` was made here: whether its packets carry our metadata.
pub(super) fn is_ours(pool: *mut rte_mempool) -> bool {
    !pool.is_null() && POOLS.iter().any(|slot| slot.load(Ordering::Relaxed) == pool)
}

/// What a pool is to be.
#[derive(Clone, Copy, Debug)]
pub struct PoolConfig<'a> {
    /// Its name, unique in the process.
    pub name: &'a str,
    /// How many packets.
    pub packets: u32,
    /// Bytes of a packet's buffer, [`HEADROOM`] included; a longer frame takes several.
    pub data_room: u16,
    /// Packets that an lcore may keep aside; at most 512, made smaller where the pool is small.
    pub cache: u32,
}

impl PoolConfig<'_> {
    /// The cache that the pool gets: a fixed part of the pool at most, so that few packets do not
    /// strand on lcores that do not need them.
    fn cache(&self) -> u32 {
        self.cache.min(self.packets / 8).min(512)
    }
}

/// A pool of packets that carry our metadata. A handle: any thread may use it, the last one ends
/// it.
#[derive(Clone, Debug)]
pub struct Pool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    eal: Eal,
    name: String,
    raw: NonNull<rte_mempool>,
    size: usize,
    data_room: u16,
}

// SAFETY: a mempool is made for several threads: its ring is multi-producer, multi-consumer, and
// a cache is used by its own lcore alone.
unsafe impl Send for Inner {}
// SAFETY: as above.
unsafe impl Sync for Inner {}

impl Pool {
    /// Makes a pool.
    pub fn new(eal: &Eal, config: &PoolConfig<'_>) -> Result<Self, DpdkError> {
        let invalid =
            |why: &str| DpdkError::InvalidPool { pool: config.name.into(), why: why.into() };
        if config.packets == 0 || config.data_room < HEADROOM {
            return Err(invalid("it needs a packet, and a data room of at least the headroom"));
        }
        let name = CString::new(short_name(config.name))
            .map_err(|_| invalid("its name has a zero byte"))?;
        // Without hugepages no device reads this memory by itself, and a buffer a page would put
        // all of them into the same few lines of the cache.
        let packed = eal.memory() == EalMemory::NoHuge;
        // SAFETY: a terminated name and plain numbers; `eal` shows that EAL runs.
        let raw = unsafe {
            dpdk_sys::shim_pool_create(
                name.as_ptr(),
                config.packets,
                config.cache(),
                size_of::<Meta>() as u16,
                config.data_room,
                // Any NUMA node: EAL takes from the nearest that has memory.
                -1,
                packed.into(),
            )
        };
        let Some(raw) = NonNull::new(raw) else {
            return Err(refused(eal, config, Errno::last()));
        };
        // SAFETY: the pool was just made.
        let size = unsafe { dpdk_sys::shim_pool_size(raw.as_ptr()) } as usize;
        let inner = Inner {
            eal: eal.clone(),
            name: config.name.into(),
            raw,
            size,
            data_room: config.data_room,
        };
        // From here on `inner` frees it, whatever happens.
        let null = std::ptr::null_mut();
        let registered = POOLS.iter().any(|slot| {
            let order = Ordering::Relaxed;
            slot.compare_exchange(null, raw.as_ptr(), order, order).is_ok()
        });
        if registered { Ok(Self(Arc::new(inner))) } else { Err(invalid("there are 72 already")) }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Packets it was made with.
    pub fn size(&self) -> usize {
        self.0.size
    }

    /// Packets that are not in it: with us, queued, or held by a driver. Exact; walks every
    /// lcore's cache, so not for the packet's way.
    pub fn in_use(&self) -> usize {
        self.0.in_use()
    }

    /// Takes one empty packet.
    pub fn take_one(&mut self) -> Option<Mbuf> {
        let mut one = ArrayVec::<_, 1>::new();
        self.take(&mut one, 1);
        one.pop()
    }

    /// Bytes of a packet's buffer, [`HEADROOM`] included.
    pub fn data_room(&self) -> u16 {
        self.0.data_room
    }

    pub(super) fn raw(&self) -> NonNull<rte_mempool> {
        self.0.raw
    }

    /// Bytes that a pool takes from EAL's memory.
    pub fn memory_needed(config: &PoolConfig<'_>, memory: EalMemory) -> u64 {
        let PoolConfig { name, packets, data_room, .. } = *config;
        PoolSize { name: name.into(), packets, data_room }.bytes(memory)
    }
}

impl PacketPool for Pool {
    type Packet = Mbuf;

    fn take<const N: usize>(&mut self, into: &mut ArrayVec<Mbuf, N>, count: usize) -> usize {
        let room = into.remaining_capacity().min(count);
        let held = into.len();
        let pool = self.0.raw.as_ptr();
        // SAFETY: behind the `held` packets there is room for as many handles as `room` says, and
        // a handle is a pointer.
        let free = unsafe { into.as_mut_ptr().add(held).cast::<*mut rte_mbuf>() };
        // SAFETY: DPDK writes `room` pointers there, or none and fails.
        let whole = unsafe { dpdk_sys::shim_pool_alloc_bulk(pool, free, room as u32) } == 0;
        let taken = if whole { room } else { take_singly(pool, free, room) };
        // SAFETY: `taken` handles were written: fresh packets of a pool of ours, owned by nobody.
        unsafe { into.set_len(held + taken) };
        taken
    }

    fn available(&self) -> usize {
        // SAFETY: the pool lives as long as `self`.
        unsafe { dpdk_sys::shim_pool_ready(self.0.raw.as_ptr()) as usize }
    }
}

/// A bulk is all or nothing; a pool that runs dry still gives what it has.
fn take_singly(pool: *mut rte_mempool, free: *mut *mut rte_mbuf, room: usize) -> usize {
    for taken in 0..room {
        // SAFETY: the caller's pool, and its room for `room` pointers.
        unsafe {
            let packet = dpdk_sys::shim_pool_alloc(pool);
            if packet.is_null() {
                return taken;
            }
            free.add(taken).write(packet);
        }
    }
    room
}

impl Inner {
    fn in_use(&self) -> usize {
        // SAFETY: the pool lives as long as `self`.
        let free = unsafe { dpdk_sys::rte_mempool_avail_count(self.raw.as_ptr()) };
        self.size - free as usize
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.in_use() > 0 {
            // Handles point into it: it stays, and stays known as ours.
            self.eal.pin_memory();
            return;
        }
        for slot in &POOLS {
            let (null, order) = (std::ptr::null_mut(), Ordering::Relaxed);
            let _ = slot.compare_exchange(self.raw.as_ptr(), null, order, order);
        }
        // SAFETY: every packet is back and no handle to the pool is left.
        unsafe { dpdk_sys::rte_mempool_free(self.raw.as_ptr()) };
    }
}

/// A long name is cut and numbered.
pub(super) fn short_name(name: &str) -> String {
    static CUT: AtomicUsize = AtomicUsize::new(0);
    if name.len() <= NAME_MAX {
        return name.to_owned();
    }
    let number = CUT.fetch_add(1, Ordering::Relaxed);
    let start: String = name.chars().filter(char::is_ascii).take(NAME_MAX - 6).collect();
    format!("{start}~{number}")
}

fn refused(eal: &Eal, config: &PoolConfig<'_>, errno: Errno) -> DpdkError {
    if errno.0 != libc::ENOMEM {
        let why = match errno.0 {
            libc::EEXIST => "its name is another pool's already".into(),
            _ => format!("DPDK refused it: {errno}"),
        };
        return DpdkError::InvalidPool { pool: config.name.into(), why };
    }
    DpdkError::PoolMemory {
        pool: config.name.into(),
        packets: config.packets,
        needed_mib: Pool::memory_needed(config, eal.memory()).div_ceil(1 << 20),
        total_mib: eal.megabytes(),
        errno,
        remedy: match eal.memory() {
            EalMemory::NoHuge => "lower [memory] packets, or give the process more memory",
            EalMemory::Hugepages | EalMemory::InMemory => {
                "lower [memory] packets, or reserve more hugepages (`dpdk-hugepages.py --setup`, \
                 or sysctl vm.nr_hugepages)"
            }
        },
    }
}
