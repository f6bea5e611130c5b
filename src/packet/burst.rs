//! A fixed-size array of packets: the unit in which the way works.

use arrayvec::ArrayVec;

/// Packets in a full burst.
pub const BURST: usize = 32;

/// Up to [`BURST`] packets; no allocation, dropped packets are freed.
pub type Burst<P> = ArrayVec<P, BURST>;

/// Keeps the packets that are `wanted` and frees the others, in order.
///
/// `ArrayVec::retain` does the same but calls `wanted` from two places, which keeps it from being
/// inlined into the stage; here a packet that is dropped pays for moving those behind it.
#[inline]
pub fn keep<P>(burst: &mut Burst<P>, mut wanted: impl FnMut(&mut P) -> bool) {
    let mut at = 0;
    while let Some(packet) = burst.get_mut(at) {
        if wanted(packet) {
            at += 1;
        } else {
            burst.remove(at);
        }
    }
}
