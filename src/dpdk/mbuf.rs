//! The mbuf as a packet.
//!
//! What a handle stands for, kept by [`Mbuf::from_raw`]'s callers: the first segment is direct, from
//! a pool of ours, and has one owner. So its metadata (in the private area right behind the mbuf) and
//! its bytes are the handle's alone. The segments behind it may be shared, and are then only read.

use std::ptr::{self, NonNull};
use std::slice;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};

use dpdk_sys::rte_mbuf;

use crate::packet::{Meta, Packet, Payload};
use crate::sched::{Link, Linked};

/// Where drivers write a frame's timestamp.
#[derive(Debug)]
struct Timestamp {
    offset: usize,
    flag: u64,
}

static TIMESTAMP: OnceLock<Timestamp> = OnceLock::new();

/// Asks EAL for the place of timestamps; without one there are none.
pub(super) fn register_timestamp() {
    let (mut offset, mut flag) = (0, 0);
    // SAFETY: EAL runs (its start calls this), and both places may be written.
    let code = unsafe { dpdk_sys::rte_mbuf_dyn_rx_timestamp_register(&mut offset, &mut flag) };
    if let (0, Ok(offset)) = (code, usize::try_from(offset)) {
        let _ = TIMESTAMP.set(Timestamp { offset, flag });
    }
}

/// A packet in DPDK's memory; one pointer long. Dropping it gives it back to its pool.
#[derive(Debug)]
#[repr(transparent)]
pub struct Mbuf(NonNull<rte_mbuf>);

// SAFETY: the handle is the only one to its first segment; shared segments are only read, and
// their owners are counted by DPDK's atomics.
unsafe impl Send for Mbuf {}

impl Mbuf {
    /// Takes a packet over.
    ///
    /// # Safety
    /// `raw` is a chain whose first segment is direct, from a [`Pool`](super::Pool), with one
    /// owner, who gives it up. Every other segment has this owner among those it counts.
    pub unsafe fn from_raw(raw: NonNull<rte_mbuf>) -> Self {
        Self(raw)
    }

    /// Gives the packet up without freeing it.
    pub fn into_raw(self) -> NonNull<rte_mbuf> {
        let raw = self.0;
        std::mem::forget(self);
        raw
    }

    /// Where each segment's bytes are, with their number and how many own them: what shows that a
    /// payload was shared and not copied. For tests and `doctor`, not for the packet's way.
    pub fn segment_addresses(&self) -> Vec<(usize, usize, u16)> {
        let segments = self.chain().map(|segment| {
            // SAFETY: `chain` yields live segments.
            unsafe { (data(segment) as usize, (*segment).data_len.into(), owners(segment)) }
        });
        segments.collect()
    }

    fn first(&self) -> &rte_mbuf {
        // SAFETY: the handle owns a live mbuf.
        unsafe { self.0.as_ref() }
    }

    fn first_mut(&mut self) -> &mut rte_mbuf {
        // SAFETY: as `first`, and the first segment has no other owner.
        unsafe { self.0.as_mut() }
    }

    /// The metadata's place: the private area, right behind the mbuf (`Pool` makes it 64 bytes).
    fn meta_place(raw: NonNull<rte_mbuf>) -> NonNull<Meta> {
        // SAFETY: mbuf and private area are one allocation.
        unsafe { raw.add(1).cast() }
    }

    fn chain(&self) -> Chain {
        Chain(self.0.as_ptr())
    }

    /// The last segment.
    fn last(&self) -> *mut rte_mbuf {
        self.chain().last().unwrap_or(self.0.as_ptr())
    }

    /// Shortens the frame to `len` bytes, which are fewer than it has.
    #[inline(never)]
    fn cut(&mut self, len: usize) {
        let mut left = len;
        let mut kept: u16 = 0;
        for segment in self.chain() {
            kept += 1;
            // SAFETY: `chain` yields live segments, whose lengths nobody writes while they are
            // shared.
            let held = usize::from(unsafe { (*segment).data_len });
            if left > held {
                left -= held;
                continue;
            }
            // What several own stays as it is for all of them.
            // SAFETY: as above.
            let alone = unsafe { owners(segment) } == 1;
            debug_assert!(alone, "only unshared bytes are cut off");
            if !alone {
                return;
            }
            // SAFETY: this segment is ours alone, and the rest leaves the chain before it is freed.
            unsafe {
                (*segment).data_len = left as u16;
                let rest = ptr::replace(&raw mut (*segment).next, ptr::null_mut());
                if !rest.is_null() {
                    dpdk_sys::shim_mbuf_free(rest);
                }
            }
            break;
        }
        let first = self.first_mut();
        first.nb_segs = kept;
        first.pkt_len = len as u32;
    }

    /// Bytes behind the first `strip`, segment by segment.
    fn tail(&self, mut strip: usize) -> impl Iterator<Item = &[u8]> {
        self.chain().map(move |segment| {
            // SAFETY: a live segment, whose bytes nobody writes while this handle is borrowed.
            let bytes = unsafe { bytes(segment) };
            let skipped = strip.min(bytes.len());
            strip -= skipped;
            &bytes[skipped..]
        })
    }
}

/// The segments from one on.
struct Chain(*mut rte_mbuf);

impl Iterator for Chain {
    type Item = *mut rte_mbuf;

    fn next(&mut self) -> Option<*mut rte_mbuf> {
        let segment = self.0;
        if segment.is_null() {
            return None;
        }
        // SAFETY: `Mbuf` begins chains at a live segment, and each one owns the next.
        self.0 = unsafe { (*segment).next };
        Some(segment)
    }
}

/// How many own a live segment. Others may count up and down meanwhile, as an atomic.
///
/// # Safety
/// The segment is live.
pub(super) unsafe fn owners(segment: *mut rte_mbuf) -> u16 {
    // SAFETY: the field is aligned and DPDK treats it as an atomic.
    unsafe { AtomicU16::from_ptr(&raw mut (*segment).refcnt).load(Ordering::Relaxed) }
}

/// The owners and the segments of [`counts`].
pub(super) const COUNTS: u64 = u64::from_ne_bytes([0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0]);
/// One of each in [`counts`].
pub(super) const ONE_EACH: u64 = {
    let [a, b] = 1_u16.to_ne_bytes();
    u64::from_ne_bytes([0, 0, a, b, a, b, 0, 0])
};

/// [`owners`] and the number of segments by one load: the word from `data_off` to `port`.
///
/// # Safety
/// The segment is live.
#[inline(always)]
pub(super) unsafe fn counts(segment: *mut rte_mbuf) -> u64 {
    // SAFETY: the four fields fill a word that is aligned as one (dpdk-sys asserts their places, and
    // that of the mbuf); the owners in it may count meanwhile.
    unsafe { AtomicU64::from_ptr((&raw mut (*segment).data_off).cast()).load(Ordering::Relaxed) }
}

/// Where a segment's data starts.
///
/// # Safety
/// The segment is live.
unsafe fn data(segment: *mut rte_mbuf) -> *mut u8 {
    // SAFETY: the data starts within the segment's buffer, and that is somewhere.
    unsafe {
        let buffer = NonNull::new_unchecked((*segment).buf_addr.cast::<u8>());
        buffer.add((*segment).data_off.into()).as_ptr()
    }
}

/// A segment's bytes.
///
/// # Safety
/// The segment is live and nobody writes its data for `'a`.
unsafe fn bytes<'a>(segment: *mut rte_mbuf) -> &'a [u8] {
    // SAFETY: `data_len` bytes of the buffer belong to the frame.
    unsafe { slice::from_raw_parts(data(segment), (*segment).data_len.into()) }
}

impl Drop for Mbuf {
    fn drop(&mut self) {
        // SAFETY: the handle owns the packet; DPDK gives each segment back when its last owner
        // lets go.
        unsafe { dpdk_sys::shim_mbuf_free(self.0.as_ptr()) };
    }
}

// SAFETY: `into_raw` gives up without freeing and `from_raw` takes back; the link lies in the
// metadata of the first segment, which is this packet's alone.
unsafe impl Linked for Mbuf {
    fn into_link(self) -> Link {
        Link::new(self.into_raw())
    }

    unsafe fn from_link(link: Link) -> Self {
        // SAFETY: the caller says that the link came from `into_link` and is taken back once.
        unsafe { Self::from_raw(link.address()) }
    }

    unsafe fn next(link: Link) -> NonNull<Option<Link>> {
        let meta = Self::meta_place(link.address());
        // SAFETY: the packet lives as long as its link; only the place is taken, nothing is read.
        unsafe { NonNull::new_unchecked(&raw mut (*meta.as_ptr()).link) }
    }
}

impl Packet for Mbuf {
    type Payload = SharedPayload;

    #[inline]
    fn meta(&self) -> &Meta {
        // SAFETY: a pool is made with zeros here, which are a valid `Meta`, and only metadata is
        // written here afterwards.
        unsafe { Self::meta_place(self.0).as_ref() }
    }

    #[inline]
    fn meta_mut(&mut self) -> &mut Meta {
        // SAFETY: as `meta`, and the first segment has no other owner.
        unsafe { Self::meta_place(self.0).as_mut() }
    }

    #[inline]
    fn frame_len(&self) -> usize {
        self.first().pkt_len as usize
    }

    #[inline]
    fn segments(&self) -> usize {
        self.first().nb_segs.into()
    }

    #[inline]
    fn head(&self) -> &[u8] {
        // SAFETY: the first segment is this handle's alone, and borrowed.
        unsafe { bytes(self.0.as_ptr()) }
    }

    #[inline]
    fn head_mut(&mut self) -> &mut [u8] {
        let len = self.first().data_len.into();
        // SAFETY: as `head`, borrowed to be written.
        unsafe { slice::from_raw_parts_mut(data(self.0.as_ptr()), len) }
    }

    fn for_each_segment(&self, visit: impl FnMut(&[u8])) {
        self.tail(0).for_each(visit);
    }

    fn capture_time(&self) -> Option<u64> {
        const NANOSECONDS_PER_MICROSECOND: u64 = 1000;
        let timestamp = TIMESTAMP.get()?;
        if self.first().ol_flags & timestamp.flag == 0 {
            return None;
        }
        // SAFETY: EAL gave out this offset within the mbuf, for an aligned u64.
        let value =
            unsafe { self.0.as_ptr().cast::<u8>().add(timestamp.offset).cast::<u64>().read() };
        // Only the pcap driver stamps without being asked (we never ask), in microseconds.
        Some(value.wrapping_mul(NANOSECONDS_PER_MICROSECOND))
    }

    #[inline]
    fn truncate(&mut self, len: usize) {
        if len < self.frame_len() {
            self.cut(len);
        }
    }

    #[inline(always)]
    fn replace_front(&mut self, strip: usize, len: usize) -> Option<&mut [u8]> {
        let first = self.first_mut();
        let (offset, held) = (usize::from(first.data_off), usize::from(first.data_len));
        let kept = held.checked_sub(strip)?;
        let start = match (offset + strip).checked_sub(len) {
            Some(start) => start,
            // Nothing follows in this segment, so that what is new may lie where there is room.
            None if kept == 0 && len <= usize::from(first.buf_len) => 0,
            None => return None,
        };
        let data_len = u16::try_from(kept + len).ok()?;
        first.data_off = start as u16;
        first.data_len = data_len;
        first.pkt_len = first.pkt_len - strip as u32 + len as u32;
        Some(&mut self.head_mut()[..len])
    }

    fn copy_tail(&self, strip: usize, into: &mut Self) -> bool {
        let Some(len) = self.frame_len().checked_sub(strip) else {
            return false;
        };
        let first = into.first_mut();
        let end = usize::from(first.data_off) + usize::from(first.data_len);
        if first.nb_segs != 1 || end + len > usize::from(first.buf_len) {
            return false;
        }
        // SAFETY: `end` lies within the buffer of `into`.
        let mut place = unsafe { first.buf_addr.cast::<u8>().add(end) };
        for bytes in self.tail(strip) {
            // SAFETY: `into` is another packet with one owner, and the segments sum up to `len`,
            // for which there is room.
            unsafe {
                ptr::copy_nonoverlapping(bytes.as_ptr(), place, bytes.len());
                place = place.add(bytes.len());
            }
        }
        first.data_len += len as u16;
        first.pkt_len += len as u32;
        true
    }

    #[inline]
    fn into_payload(mut self, strip: usize, owners: usize) -> SharedPayload {
        let owners = u16::try_from(owners).expect("a plan has fewer outputs than refcnt can count");
        let first = self.first_mut();
        let strip = strip.min(first.data_len.into());
        first.data_off += strip as u16;
        first.data_len -= strip as u16;
        first.pkt_len -= strip as u32;
        let (bytes, mut segments) = (first.pkt_len, first.nb_segs);
        if owners == 0 || bytes == 0 {
            return SharedPayload { first: ptr::null_mut(), bytes: 0, segments: 0, owners: 0 };
        }
        let mut first = self.into_raw().as_ptr();
        // SAFETY: the payload is ours alone until the headers are handed on, so plain stores do;
        // whoever receives a header synchronises with this thread by the handover.
        unsafe {
            if (*first).data_len == 0 {
                // All of it was header: an empty segment would only cost a descriptor.
                let empty = first;
                first = (*empty).next;
                dpdk_sys::shim_mbuf_free_segment(empty);
                segments -= 1;
            }
            if segments == 1 {
                (*first).refcnt = owners;
            } else {
                for segment in Chain(first) {
                    (*segment).refcnt = owners;
                }
            }
        }
        SharedPayload { first, bytes, segments, owners }
    }
}

/// A payload whose owners are counted but not all found yet; null where there are no bytes.
#[derive(Debug)]
pub struct SharedPayload {
    first: *mut rte_mbuf,
    bytes: u32,
    segments: u16,
    /// Owners that are still to be found.
    owners: u16,
}

impl Payload<Mbuf> for SharedPayload {
    #[inline]
    fn chain_to(&mut self, header: &mut Mbuf) {
        if self.first.is_null() {
            return;
        }
        self.find_owner();
        let last = if header.segments() == 1 { header.0.as_ptr() } else { header.last() };
        // SAFETY: a header's segments are its own; its last one takes the payload, of which it is
        // one of the owners that were counted.
        unsafe { (*last).next = self.first };
        let first = header.first_mut();
        first.nb_segs += self.segments;
        first.pkt_len += self.bytes;
    }

    #[inline(always)]
    fn chain_behind<'a, const N: usize>(
        &mut self,
        header: &'a mut Mbuf,
    ) -> Option<&'a mut [u8; N]> {
        let first = header.first_mut();
        debug_assert!((first.nb_segs, first.pkt_len) == (1, 0), "a header that is not fresh");
        first.data_off = first.data_off.checked_sub(N as u16)?;
        if !self.first.is_null() {
            self.find_owner();
        }
        first.data_len = N as u16;
        first.pkt_len = N as u32 + self.bytes;
        first.nb_segs = 1 + self.segments;
        // No payload is no next segment.
        first.next = self.first;
        // SAFETY: the data starts within the buffer, `N` bytes or more in front of where it ended,
        // and the first segment is this handle's alone.
        Some(unsafe { &mut *data(first).cast() })
    }
}

impl SharedPayload {
    /// Counts one of the owners as found.
    #[inline(always)]
    fn find_owner(&mut self) {
        self.owners = self.owners.checked_sub(1).expect("no more owners than were counted");
    }
}

impl Drop for SharedPayload {
    #[inline]
    fn drop(&mut self) {
        for _ in 0..self.owners {
            // SAFETY: these owners were counted, and nobody else stands for them.
            unsafe { dpdk_sys::shim_mbuf_free(self.first) };
        }
    }
}
