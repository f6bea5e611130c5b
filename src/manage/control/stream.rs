//! A capture on its way to a client: frames of pcapng blocks, and a last one that says how it ended.
//!
//! What a client does not take waits in the workers' shots, and where those are all full packets
//! are missed: nobody is held up, and nothing grows.

use std::io::{ErrorKind, Read};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;

use super::connection::{PATIENCE, write_on};
use super::protocol::{Captured, HEADER_BYTES, Who, ok_frame};
use crate::manage::capture::{End, Feed};

/// Bytes of a frame, about.
const FRAME_BYTES: usize = 256 << 10;
/// How often the workers' shots are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// A capture and its client.
#[derive(Debug)]
pub struct Stream {
    /// None when all has been read: then the capture has ended.
    feed: Option<Feed>,
    instance: Who,
    /// Frames, and how much of them has gone.
    out: Vec<u8>,
    sent: usize,
    /// When it is to end.
    until: Option<Instant>,
    /// The client asked for the end.
    asked: bool,
    /// When to look again; at its end, how long the client may take.
    next: Instant,
}

impl Stream {
    /// Begins with the frame that says so.
    pub fn new(feed: Feed, instance: Who, begun: Vec<u8>, now: Instant) -> Self {
        let until = feed.lasts.map(|lasts| now + lasts);
        Self { feed: Some(feed), instance, out: begun, sent: 0, until, asked: false, next: now }
    }

    /// What it waits for.
    pub fn interest(&self) -> PollFlags {
        let listens = !self.asked && self.feed.is_some();
        let inward = if listens { PollFlags::IN } else { PollFlags::empty() };
        let outward = if self.is_sent() { PollFlags::empty() } else { PollFlags::OUT };
        inward | outward
    }

    /// When it is to be advanced whatever comes.
    pub fn deadline(&self) -> Option<Instant> {
        (self.is_sent() || self.feed.is_none()).then_some(self.next)
    }

    fn is_sent(&self) -> bool {
        self.sent == self.out.len()
    }

    /// Goes on; false where it has come to its end.
    pub fn advance(&mut self, socket: &mut UnixStream, ready: PollFlags, now: Instant) -> bool {
        if ready.contains(PollFlags::IN) && !self.hear(socket) {
            return false;
        }
        for _ in 0..2 {
            match write_on(socket, &self.out, &mut self.sent) {
                Ok(true) if self.feed.is_none() => return false,
                Ok(true) => self.fill(now),
                Ok(false) => break,
                Err(_) => return false,
            }
        }
        self.feed.is_some() || now < self.next
    }

    /// A client that sends no more wants the end; what it says until then means nothing.
    fn hear(&mut self, socket: &mut UnixStream) -> bool {
        match socket.read(&mut [0; 256]) {
            Ok(0) => self.asked = true,
            Ok(_) => {}
            Err(error) => {
                return matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted);
            }
        }
        true
    }

    /// Makes the next frame, and the last one.
    fn fill(&mut self, now: Instant) {
        let Some(feed) = &mut self.feed else {
            return;
        };
        self.next = now + LOOK_EVERY;
        if self.asked {
            feed.finish(End::Client);
        } else if self.until.is_some_and(|until| now >= until) {
            feed.finish(End::Time);
        }
        self.out.clear();
        self.sent = 0;
        self.out.extend([0; HEADER_BYTES]);
        let end = feed.read(&mut self.out, FRAME_BYTES);
        match self.out.len() - HEADER_BYTES {
            0 => self.out.clear(),
            len => self.out[..HEADER_BYTES].copy_from_slice(&(len as u32).to_be_bytes()),
        }
        if let Some(end) = end {
            let (matched, missed) = feed.totals();
            self.out.extend(ok_frame(&Captured {
                instance: self.instance.clone(),
                captured: feed.captured,
                matched,
                missed,
                ended: end.name().into(),
                why: end.words().into_owned(),
            }));
            self.feed = None;
            self.next = now + PATIENCE;
        }
    }
}
