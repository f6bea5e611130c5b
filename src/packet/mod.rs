//! What travels: the packet handle, its metadata, bursts, and why a packet's way may end.
//!
//! Everything behind this room is generic over [`Packet`], so the same stages run on DPDK mbufs,
//! on heap packets in tests, and in virtual time.

mod burst;
mod drop_reason;
mod frame_ring;
mod meta;
mod port;

pub use burst::{BURST, Burst, keep};
pub use drop_reason::DropReason;
pub use frame_ring::{FrameSink, FrameSource, frame_ring};
pub use meta::{FRAME_OVERHEAD, Headers, Meta, NarrowKey, Part};
pub use port::{Clock, Driver, PacketPool, Received, RxPort, TxPort};

use crate::sched::Linked;

/// An instant or a span of the worker's clock, in ticks: TSC cycles, or nanoseconds where the
/// clock is the capture's.
pub type Ticks = u64;

/// A handle that owns one packet: a chain of segments with 64 bytes of metadata.
///
/// Dropping the handle frees the packet (its reference to it, where the payload is shared).
/// Handing a packet on consumes the handle.
pub trait Packet: Linked {
    /// The bytes that the copies of a packet own together.
    type Payload: Payload<Self>;

    /// What the stages know of this packet.
    fn meta(&self) -> &Meta;

    /// What the stages know of this packet, to be written.
    fn meta_mut(&mut self) -> &mut Meta;

    /// Bytes of the frame, all segments, without FCS.
    fn frame_len(&self) -> usize;

    /// Segments in the chain.
    fn segments(&self) -> usize;

    /// The bytes of the first segment; headers are read here.
    fn head(&self) -> &[u8];

    /// The bytes of the first segment, to be written. Only headers are ever written, and only
    /// while the packet has one owner.
    fn head_mut(&mut self) -> &mut [u8];

    /// Calls `visit` with the bytes of each segment, in order.
    fn for_each_segment(&self, visit: impl FnMut(&[u8]));

    /// When the frame was captured, in nanoseconds, where the port says so.
    fn capture_time(&self) -> Option<u64>;

    /// Shortens the frame to its first `len` bytes; a longer `len` changes nothing.
    fn truncate(&mut self, len: usize);

    /// Replaces the first `strip` bytes of the frame by `len` bytes that the caller writes, in
    /// place, without moving what follows. `None`, and no change, where the first segment has
    /// fewer than `strip` bytes or no room for `len`.
    ///
    /// On a packet fresh from a pool, `replace_front(0, len)` makes the first `len` bytes.
    fn replace_front(&mut self, strip: usize, len: usize) -> Option<&mut [u8]>;

    /// Copies the frame without its first `strip` bytes behind what `into` holds.
    /// False, and `into` is as it was, where it has no room.
    fn copy_tail(&self, strip: usize, into: &mut Self) -> bool;

    /// Makes this frame, without its first `strip` bytes, the payload of `owners` packets. They are
    /// counted here, once; nothing is copied. With none the packet is freed.
    ///
    /// Expects `strip` within the first segment.
    fn into_payload(self, strip: usize, owners: usize) -> Self::Payload;

    /// Chains this frame, without its first `strip` bytes, behind each of `headers`.
    fn share(self, strip: usize, headers: &mut [Self]) {
        let mut payload = self.into_payload(strip, headers.len());
        headers.iter_mut().for_each(|header| payload.chain_to(header));
    }
}

/// A payload with a number of owners, each of which is a packet that it will be chained to. Where
/// fewer are found, dropping it gives up the rest.
pub trait Payload<P> {
    /// Chains the payload behind what `header` holds, which so becomes one of its owners.
    fn chain_to(&mut self, header: &mut P);

    /// Chains the payload behind the first `N` bytes of `header`, which is fresh from a pool, and
    /// which the caller writes. `None` where there is no room for them: the header is then good for
    /// nothing but to be dropped.
    #[inline(always)]
    fn chain_behind<'a, const N: usize>(&mut self, header: &'a mut P) -> Option<&'a mut [u8; N]>
    where
        P: Packet,
    {
        self.chain_to(header);
        header.replace_front(0, N)?.first_chunk_mut()
    }
}
