//! Frames that wait for their port's worker.

use std::collections::VecDeque;

/// Frames that may wait.
const FRAMES: usize = 1_024;

/// What is to be sent, in order; bounded.
#[derive(Debug, Default)]
pub struct Outbox {
    frames: VecDeque<(usize, Vec<u8>)>,
    /// Frames that found it full.
    pub lost: u64,
}

impl Outbox {
    /// Sends a whole frame to the port with this slot, soon.
    pub fn send(&mut self, port: usize, frame: Vec<u8>) {
        if self.frames.len() < FRAMES {
            self.frames.push_back((port, frame));
        } else {
            self.lost += 1;
        }
    }

    /// Whether there is room for more of those who can wait for it.
    pub fn has_room(&self) -> bool {
        self.frames.len() < FRAMES / 2
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Hands frames over, the oldest first, until `take` has no room for one.
    pub fn drain(&mut self, mut take: impl FnMut(usize, &[u8]) -> bool) {
        while let Some((port, frame)) = self.frames.front() {
            if !take(*port, frame) {
                break;
            }
            self.frames.pop_front();
        }
    }
}
