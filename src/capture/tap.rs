//! The worker's side of a capture, and the reader's: empty shots one way, full ones the other.
//!
//! Both rings are `rtrb`'s, wait-free with one writer and one reader: a reader that is held up
//! never makes the worker wait, which a queue with several writers would.

use std::sync::Arc;

use arrayvec::ArrayVec;
use rtrb::{Consumer, Producer, RingBuffer};

use super::Filter;
use crate::ledger::Counter;
use crate::packet::{BURST, DropReason, Packet, Ticks};
use crate::plan::Plan;

/// The slot of no rule and no output.
pub const NOBODY: u32 = u32::MAX;
/// Most shots that one worker may fill before they are read.
pub const SHOTS_MAX: usize = 4_096;
/// Fewest of them, whatever is kept of each packet.
const SHOTS_MIN: usize = 256;
/// Bytes that the shots of one worker have, about.
const BYTES: usize = 8 << 20;

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Received; a rule takes it.
    Matched,
    /// Received; it is the slow path's.
    Punted,
    /// It ended early.
    Dropped(DropReason),
    /// A port has accepted it.
    Sent,
}

/// What is known of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note {
    /// When, in ticks.
    pub at: Ticks,
    /// When it was received, in ticks.
    pub arrival: Ticks,
    /// Slot of the port that received it.
    pub port: u32,
    /// Slot of its rule, or [`NOBODY`].
    pub rule: u32,
    /// Slot of the output that the copy is for, or [`NOBODY`].
    pub output: u32,
    /// Whether the frame has its new headers; else it is as received.
    pub rewritten: bool,
    /// What became of it.
    pub fate: Fate,
    /// Bytes of the whole frame.
    pub len: u32,
}

/// A packet that was seen, or room for one.
#[derive(Debug)]
pub struct Shot {
    /// What is known of it.
    pub note: Note,
    /// The frame, or its first bytes.
    pub bytes: Vec<u8>,
}

/// What a worker counts of a capture. worker: writes, others: read.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct Totals {
    /// Packets that the filter wants.
    pub matched: Counter,
    /// Of these, packets that found no empty shot.
    pub missed: Counter,
}

/// The worker's side.
#[derive(Debug)]
pub struct Tap {
    filter: Filter,
    /// One packet in so many is taken.
    sample: u32,
    /// Packets to leave out before the next one is taken.
    skip: u32,
    /// Bytes kept of a packet.
    snap: usize,
    totals: Arc<Totals>,
    empty: Consumer<Shot>,
    full: Producer<Shot>,
    /// The time, as far as it is known here.
    now: Ticks,
    /// Copies that are being sent: by their place in the burst.
    aimed: ArrayVec<(usize, Shot), BURST>,
    /// Shots of copies that were not sent after all.
    spare: ArrayVec<Shot, BURST>,
    /// By place in the burst: copies that the filter wants, and those that found no shot.
    wanted: u64,
    dry: u64,
}

/// The reader's side.
#[derive(Debug)]
pub struct Well {
    /// What the worker counts.
    pub totals: Arc<Totals>,
    full: Consumer<Shot>,
    empty: Producer<Shot>,
}

impl Tap {
    /// Both sides of a capture that keeps one in `sample` of the packets that `filter` wants, up
    /// to `snap` bytes of each. All memory is made and touched here.
    pub fn new(filter: Filter, sample: u32, snap: usize) -> (Box<Self>, Well) {
        let shots = (BYTES / snap.max(1)).clamp(SHOTS_MIN, SHOTS_MAX);
        let (mut empty_in, empty) = RingBuffer::new(shots);
        let (full, full_out) = RingBuffer::new(shots);
        let note = Note {
            at: 0,
            arrival: 0,
            port: 0,
            rule: NOBODY,
            output: NOBODY,
            rewritten: false,
            fate: Fate::Matched,
            len: 0,
        };
        for _ in 0..shots {
            // Written, so that the worker's first store finds a page.
            let mut bytes = Vec::with_capacity(snap);
            bytes.resize(snap, 0xff);
            let _ = empty_in.push(Shot { note, bytes });
        }
        let totals = Arc::new(Totals::default());
        let tap = Self {
            filter,
            sample: sample.max(1),
            skip: 0,
            snap,
            totals: Arc::clone(&totals),
            empty,
            full,
            now: 0,
            aimed: ArrayVec::new(),
            spare: ArrayVec::new(),
            wanted: 0,
            dry: 0,
        };
        (Box::new(tap), Well { totals, full: full_out, empty: empty_in })
    }

    /// Sees a packet as received.
    pub fn received(&mut self, packet: &impl Packet, rule: u32, fate: Fate, plan: &Plan) {
        self.see(packet, rule, NOBODY, false, fate, plan);
    }

    /// Sees a packet that ends before fan-out, or one that does not become the copy for `output`.
    pub fn dropped(
        &mut self,
        packet: &impl Packet,
        (rule, output): (u32, u32),
        reason: DropReason,
        plan: &Plan,
    ) {
        self.see(packet, rule, output, false, Fate::Dropped(reason), plan);
    }

    /// Sees a finished copy that is not sent.
    pub fn dropped_copy(&mut self, copy: &impl Packet, reason: DropReason, plan: &Plan) {
        let (rule, output) = (copy.meta().rule, copy.meta().output);
        self.see(copy, rule, output, true, Fate::Dropped(reason), plan);
    }

    fn see(
        &mut self,
        packet: &impl Packet,
        rule: u32,
        output: u32,
        rewritten: bool,
        fate: Fate,
        plan: &Plan,
    ) {
        let meta = packet.meta();
        self.now = self.now.max(meta.arrival);
        let note = Note {
            at: if let Fate::Matched | Fate::Punted = fate { meta.arrival } else { self.now },
            arrival: meta.arrival,
            port: meta.headers.port.into(),
            rule,
            output,
            rewritten,
            fate,
            len: packet.frame_len() as u32,
        };
        if !self.filter.wants(&note, plan) {
            return;
        }
        self.totals.matched.add(1);
        if self.samples() {
            match self.shoot(packet, note) {
                Some(shot) => self.hand_over(shot),
                None => self.totals.missed.add(1),
            }
        }
    }

    /// Looks at copies before they are handed to a port: behind that they are gone. Only those
    /// that it accepts, as [`Self::sent`] is told, are seen.
    pub fn aim<P: Packet>(&mut self, copies: &[P], now: Ticks, plan: &Plan) {
        self.now = self.now.max(now);
        (self.wanted, self.dry) = (0, 0);
        for (i, copy) in copies.iter().enumerate() {
            let meta = copy.meta();
            let note = Note {
                at: now,
                arrival: meta.arrival,
                port: meta.headers.port.into(),
                rule: meta.rule,
                output: meta.output,
                rewritten: true,
                fate: Fate::Sent,
                len: copy.frame_len() as u32,
            };
            if !self.filter.wants(&note, plan) {
                continue;
            }
            self.wanted |= 1 << i;
            if self.samples() {
                match self.shoot(copy, note) {
                    Some(shot) => self.aimed.push((i, shot)),
                    None => self.dry |= 1 << i,
                }
            }
        }
    }

    /// Sees the first `accepted` of the copies that were aimed at as sent at `now`; what the
    /// others took is as if they had not come.
    pub fn sent(&mut self, accepted: usize, now: Ticks) {
        self.now = self.now.max(now);
        let sent = (1_u64 << accepted) - 1;
        let unsent = u64::from((self.wanted & !sent).count_ones());
        let sample = u64::from(self.sample);
        // So many steps back in a circle of `sample`.
        self.skip = ((u64::from(self.skip) + unsent) % sample) as u32;
        self.totals.matched.add((self.wanted & sent).count_ones().into());
        self.totals.missed.add((self.dry & sent).count_ones().into());
        for (i, mut shot) in std::mem::take(&mut self.aimed) {
            if i < accepted {
                shot.note.at = now;
                self.hand_over(shot);
            } else {
                self.spare.push(shot);
            }
        }
    }

    /// Whether the packet at hand is one of those that are taken: the first of each `sample`.
    fn samples(&mut self) -> bool {
        let taken = self.skip == 0;
        self.skip = if taken { self.sample - 1 } else { self.skip - 1 };
        taken
    }

    /// A copy of the frame, where there is room for one.
    fn shoot(&mut self, packet: &impl Packet, note: Note) -> Option<Shot> {
        let mut shot = self.spare.pop().or_else(|| self.empty.pop().ok())?;
        shot.note = note;
        shot.bytes.clear();
        packet.for_each_segment(|segment| {
            let room = self.snap - shot.bytes.len();
            // Within the capacity: nothing is allocated.
            shot.bytes.extend_from_slice(&segment[..segment.len().min(room)]);
        });
        Some(shot)
    }

    /// To the reader; there is room for as many as there are.
    fn hand_over(&mut self, shot: Shot) {
        let pushed = self.full.push(shot);
        debug_assert!(pushed.is_ok(), "the ring holds all shots");
    }
}

impl Well {
    /// Packets that wait to be taken.
    pub fn waiting(&self) -> usize {
        self.full.slots()
    }

    /// When the next packet was seen, in ticks.
    pub fn next_at(&self) -> Option<Ticks> {
        self.full.peek().ok().map(|shot| shot.note.at)
    }

    /// Takes the next packet, and gives its room back.
    pub fn take(&mut self, each: impl FnOnce(&Shot)) {
        if let Ok(shot) = self.full.pop() {
            each(&shot);
            let _ = self.empty.push(shot);
        }
    }
}
