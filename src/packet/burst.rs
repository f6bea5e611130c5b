//! A fixed-size array of packets: the unit in which the way works.

use arrayvec::ArrayVec;

/// Packets in a full burst.
pub const BURST: usize = 32;

/// Up to [`BURST`] packets; no allocation, dropped packets are freed.
pub type Burst<P> = ArrayVec<P, BURST>;
