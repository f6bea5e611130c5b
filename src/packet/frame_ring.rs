//! Frames between a worker and management: a bounded ring of buffers that go round.
//!
//! Whole frames are copied into buffers that were made at the start; who reads one gives its buffer
//! back. So a packet's memory never leaves the worker, and neither side allocates. Both directions
//! are `rtrb` rings, which are wait-free: crossbeam's `ArrayQueue` may spin, and then yield, until
//! the other side has finished what it began.

use rtrb::{Consumer, Producer, RingBuffer};

/// A frame's bytes, and the port that it came from or goes to.
#[derive(Debug)]
struct Frame {
    port: u8,
    bytes: Vec<u8>,
}

/// The end that writes; one thread has it.
#[derive(Debug)]
pub struct FrameSink {
    filled: Producer<Frame>,
    empty: Consumer<Frame>,
}

/// The end that reads; one thread has it.
#[derive(Debug)]
pub struct FrameSource {
    filled: Consumer<Frame>,
    empty: Producer<Frame>,
}

/// A ring of `frames` buffers for frames of up to `longest` bytes each.
pub fn frame_ring(frames: usize, longest: usize) -> (FrameSink, FrameSource) {
    let (filled, read) = RingBuffer::new(frames);
    let (mut back, empty) = RingBuffer::new(frames);
    for _ in 0..frames {
        // There is room for all of them.
        let _ = back.push(Frame { port: 0, bytes: Vec::with_capacity(longest) });
    }
    (FrameSink { filled, empty }, FrameSource { filled: read, empty: back })
}

impl FrameSink {
    /// Puts a frame of `len` bytes in, which `write` appends to an empty buffer. False, and nothing
    /// is written, where no buffer is free or the frame is too long for one.
    pub fn put(&mut self, port: u8, len: usize, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        // Asked before it is taken: a buffer never gets lost.
        if self.empty.peek().is_ok_and(|frame| len <= frame.bytes.capacity())
            && let Ok(mut frame) = self.empty.pop()
        {
            frame.port = port;
            frame.bytes.clear();
            write(&mut frame.bytes);
            return self.filled.push(frame).is_ok();
        }
        false
    }
}

impl FrameSource {
    /// Whether no frame waits.
    pub fn is_empty(&self) -> bool {
        self.filled.is_empty()
    }

    /// Takes the oldest frame: `read` gets its port's slot and its bytes.
    pub fn take<R>(&mut self, read: impl FnOnce(u8, &[u8]) -> R) -> Option<R> {
        let frame = self.filled.pop().ok()?;
        let result = read(frame.port, &frame.bytes);
        let _ = self.empty.push(frame);
        Some(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(sink: &mut FrameSink, port: u8, bytes: &[u8]) -> bool {
        sink.put(port, bytes.len(), |buffer| buffer.extend_from_slice(bytes))
    }

    fn take(source: &mut FrameSource) -> Option<(u8, Vec<u8>)> {
        source.take(|port, bytes| (port, bytes.to_vec()))
    }

    #[test]
    fn frames_come_out_in_order_and_the_bound_holds() {
        let (mut sink, mut source) = frame_ring(2, 4);
        for round in 0..100 {
            assert!(source.is_empty());
            assert!(put(&mut sink, 1, &[round]) && put(&mut sink, 2, &[round; 4]));
            assert!(!put(&mut sink, 3, &[round]), "both buffers are taken");
            assert_eq!(take(&mut source), Some((1, vec![round])));
            assert_eq!(take(&mut source), Some((2, vec![round; 4])));
            assert_eq!(take(&mut source), None);
        }
    }

    #[test]
    fn what_is_too_long_costs_no_buffer() {
        let (mut sink, mut source) = frame_ring(1, 4);
        assert!(!put(&mut sink, 0, &[7; 5]));
        assert!(put(&mut sink, 0, &[7; 4]));
        assert_eq!(take(&mut source), Some((0, vec![7; 4])));
    }

    #[test]
    fn two_threads_lose_nothing() {
        let (mut sink, mut source) = frame_ring(8, 8);
        let writer = std::thread::spawn(move || {
            for n in 0..10_000_u64 {
                while !put(&mut sink, n as u8, &n.to_le_bytes()) {
                    std::thread::yield_now();
                }
            }
        });
        for n in 0..10_000_u64 {
            let frame = std::iter::repeat_with(|| take(&mut source)).find_map(|frame| {
                frame.is_none().then(std::thread::yield_now);
                frame
            });
            assert_eq!(frame, Some((n as u8, n.to_le_bytes().to_vec())));
        }
        writer.join().expect("it wrote all");
    }
}
