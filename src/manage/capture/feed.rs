//! The reader's side: takes what the workers saw, in the order of time, and makes it a file.

use std::borrow::Cow;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use super::pcapng::{self, Way};
use super::{Wanted, Watch};
use crate::capture::{Fate, NOBODY, Shot, Well};
use crate::packet::Ticks;
use crate::plan::Plan;

/// Bytes of a packet's block besides its bytes, about.
const BLOCK_BYTES: usize = 256;

/// Why a capture has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// So many packets as were asked for.
    Count,
    /// So long as was asked for.
    Time,
    /// The client wants no more.
    Client,
    /// What it is of is gone, in words.
    Gone(String),
    /// The instance has ended.
    Instance,
}

impl End {
    /// A stable word for programs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Time => "time",
            Self::Client => "client",
            Self::Gone(_) => "gone",
            Self::Instance => "instance",
        }
    }

    /// In words.
    pub fn words(&self) -> Cow<'static, str> {
        match self {
            Self::Count => "as many as were asked for".into(),
            Self::Time => "as long as was asked for".into(),
            Self::Client => "its client has had enough".into(),
            Self::Gone(what) => what.clone().into(),
            Self::Instance => "the instance has ended".into(),
        }
    }
}

/// What the workers saw, to be read. Dropping it ends the capture.
#[derive(Debug)]
pub struct Feed {
    wells: Vec<Well>,
    watch: Arc<Watch>,
    /// Bytes kept of each packet, at most.
    pub snap: u32,
    /// A time by the workers' clock, and the same in nanoseconds since 1970; none where the clock
    /// is the capture's, which counts these.
    clock: Option<(Ticks, u64)>,
    /// Packets to come; none is no bound.
    left: Option<u64>,
    /// Why nothing comes behind these, where not for their number.
    ending: Option<End>,
    /// How long it lasts.
    pub lasts: Option<Duration>,
    /// Packets written.
    pub captured: u64,
    /// Interfaces written; none, and the file has not begun.
    interfaces: usize,
}

impl Feed {
    /// Reads what `wells` have.
    pub fn new(
        wells: Vec<Well>,
        watch: Arc<Watch>,
        wanted: &Wanted,
        snap: u32,
        clock: Option<(Ticks, u64)>,
    ) -> Self {
        let some = |number: u64| (number > 0).then_some(number);
        let (left, lasts) = (some(wanted.count), some(wanted.for_ns).map(Duration::from_nanos));
        Self { wells, watch, snap, clock, left, ending: None, lasts, captured: 0, interfaces: 0 }
    }

    /// Packets that the filter wants, and those of them that found no room.
    pub fn totals(&self) -> (u64, u64) {
        let sum = |of: fn(&Well) -> u64| self.wells.iter().map(of).sum();
        (sum(|well| well.totals.matched.get()), sum(|well| well.totals.missed.get()))
    }

    /// Ends it for this reason behind what has been seen by now.
    pub fn finish(&mut self, end: End) {
        if self.ending.is_none() {
            let seen = self.wells.iter().map(|well| well.waiting() as u64).sum();
            self.left = Some(self.left.map_or(seen, |left| left.min(seen)));
            self.ending = Some(end);
        }
    }

    /// Appends what there is to `out`, until that has `room` bytes or so; says why there will be
    /// no more, where that is so.
    pub fn read(&mut self, out: &mut Vec<u8>, room: usize) -> Option<End> {
        // Asked first: what was handed over before it is then seen below.
        let ended = self.watch.ended();
        let plan = self.watch.plan();
        if self.interfaces == 0 {
            pcapng::section(out, concat!("punctual ", env!("CARGO_PKG_VERSION")));
        }
        for port in &plan.ports[self.interfaces.min(plan.ports.len())..] {
            pcapng::interface(out, &port.name, self.snap);
        }
        self.interfaces = self.interfaces.max(plan.ports.len());
        loop {
            if self.left == Some(0) {
                return Some(self.ending.take().unwrap_or(End::Count));
            }
            if out.len() + self.snap as usize + BLOCK_BYTES > room {
                return None;
            }
            let wells = self.wells.iter_mut();
            let first = wells.filter_map(|well| Some((well.next_at()?, well)));
            let Some((_, well)) = first.min_by_key(|(at, _)| *at) else {
                return ended;
            };
            let clock = self.clock;
            well.take(|shot| write(out, shot, clock, &plan));
            self.captured += 1;
            self.left = self.left.map(|left| left - 1);
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.watch.give_up();
    }
}

/// Writes one packet, with what is known of it.
fn write(out: &mut Vec<u8>, shot: &Shot, clock: Option<(Ticks, u64)>, plan: &Plan) {
    let Shot { note, bytes } = shot;
    let output = plan.outputs.get(note.output as usize);
    let (interface, way) = match (note.fate, output) {
        (Fate::Sent, Some(output)) => (output.port, Way::Outbound),
        (Fate::Dropped(_), Some(output)) if note.rewritten => (output.port, Way::Unknown),
        _ => (note.port, Way::Inbound),
    };
    let per_second = plan.ticks_per_second;
    let unix_ns = match clock {
        None => note.at,
        Some((then, unix_ns)) if note.at >= then => {
            unix_ns.saturating_add(nanos(note.at - then, per_second))
        }
        Some((then, unix_ns)) => unix_ns.saturating_sub(nanos(then - note.at, per_second)),
    };
    let mut comment = String::new();
    // Writing to a text cannot fail.
    let _ = match note.fate {
        Fate::Matched | Fate::Sent => Ok(()),
        Fate::Punted => write!(comment, "punted "),
        Fate::Dropped(reason) => write!(comment, "dropped={} ", reason.name()),
    };
    if note.rule != NOBODY
        && let Some(rule) = plan.rules.get(note.rule as usize)
    {
        let _ = write!(comment, "rule={} ", rule.name);
    }
    if let Some(output) = output {
        let waited = nanos(note.at.saturating_sub(note.arrival), per_second);
        let _ = write!(comment, "output={} waited_ns={waited} ", output.name);
    }
    pcapng::packet(out, interface, unix_ns, (bytes, note.len), way, comment.trim_end());
}

fn nanos(ticks: Ticks, per_second: u64) -> u64 {
    let nanos = u128::from(ticks) * 1_000_000_000 / u128::from(per_second.max(1));
    u64::try_from(nanos).unwrap_or(u64::MAX)
}
