//! The buffers of a packet, byte for byte, as they were when it arrived.

use std::ops::Range;

use punctual::dpdk::Mbuf;

/// A packet's buffers, whole: headroom, data and what lies behind.
pub struct Watched(Vec<Buffer>);

struct Buffer {
    start: *const u8,
    was: Vec<u8>,
    /// Where the data lay.
    data: Range<usize>,
}

impl Watched {
    /// Remembers the buffers of `packet`, and hands it back.
    pub fn new(packet: Mbuf) -> (Self, Mbuf) {
        let raw = packet.into_raw();
        let mut buffers = vec![];
        let mut segment = raw.as_ptr();
        while !segment.is_null() {
            // SAFETY: a live chain that is ours alone; a pool's buffers are always readable.
            unsafe {
                let mbuf = &*segment;
                let start = mbuf.buf_addr.cast::<u8>().cast_const();
                let was = std::slice::from_raw_parts(start, mbuf.buf_len.into()).to_vec();
                let first = start as usize + usize::from(mbuf.data_off);
                let data = first..first + usize::from(mbuf.data_len);
                buffers.push(Buffer { start, was, data });
                segment = mbuf.next;
            }
        }
        // SAFETY: given up above, and untouched.
        (Self(buffers), unsafe { Mbuf::from_raw(raw) })
    }

    /// Address and length of each piece of the frame's bytes `from..to`.
    pub fn pieces(&self, from: usize, to: usize) -> Vec<(usize, usize)> {
        let mut at = 0;
        let pieces = self.0.iter().map(|Buffer { data, .. }| {
            let [first, last] = [from, to].map(|x| x.clamp(at, at + data.len()) - at);
            at += data.len();
            (data.start + first, last - first)
        });
        pieces.filter(|&(_, len)| len > 0).collect()
    }

    /// Fails if a byte outside `but` has changed since.
    pub fn is_unchanged(&self, but: Range<usize>) {
        for (segment, Buffer { start, was, .. }) in self.0.iter().enumerate() {
            // SAFETY: the pool outlives every test's look at it, and nobody writes meanwhile.
            let is = unsafe { std::slice::from_raw_parts(*start, was.len()) };
            let written = (was.iter().zip(is))
                .enumerate()
                .filter(|(_, (was, is))| was != is)
                .map(|(offset, _)| offset)
                .find(|offset| !but.contains(&(*start as usize + offset)));
            assert_eq!(written, None, "a byte of segment {segment}'s buffer was written");
        }
    }
}
