//! Faults: what goes wrong, where and when, by name and by seed.
//!
//! A [`FaultSpec`] is as it was asked for (`tx-refuses:out@10ms+5ms`); a [`Fault`] has its place
//! and its time. Times count from the start of the simulation.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use fastrand::Rng;

use crate::config::parse_duration;

/// Makes the enum, `ALL`, `name` and `meaning` from one list.
macro_rules! fault_kinds {
    ($($variant:ident $name:literal $place:ident $meaning:literal,)+) => {
        /// What goes wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum FaultKind {
            $(#[doc = $meaning] $variant,)+
        }

        impl FaultKind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The name on the command line.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// One line for the operator.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)+ }
            }

            /// Where it may happen.
            pub const fn place(self) -> Place {
                match self { $(Self::$variant => Place::$place,)+ }
            }
        }
    };
}

/// Where a kind of fault may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// At a port that traffic comes to.
    Input,
    /// At a port that copies go to.
    Output,
    /// In the pool `payload` or `headers`.
    Pool,
    /// In the worker.
    Worker,
    /// At a receiver.
    Receiver,
}

fault_kinds! {
    RxGap "rx-gap" Input "nothing arrives at a port",
    TxRefuses "tx-refuses" Output "a port takes nothing",
    TxPartial "tx-partial" Output "a port takes a part of each burst",
    AllocFails "alloc-fails" Pool "a pool (headers, payload) gives nothing",
    WorkerStalls "worker-stalls" Worker "the worker takes no turn",
    ClockJumps "clock-jumps" Worker "the worker's clock jumps forward by the length",
    ClockStands "clock-stands" Worker "the worker's clock reads the same value",
    LinkDown "link-down" Output "a port's link is down",
    LinkFlaps "link-flaps" Output "a port's link goes down and up eight times",
    Stop "stop" Worker "the run is stopped under load; the length is what the drain may take",
    ReceiverDies "receiver-dies" Receiver "a receiver is reported unreachable",
}

/// A fault as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultSpec {
    /// What goes wrong.
    pub kind: FaultKind,
    /// The port, pool or receiver; by seed where it is none.
    pub place: Option<String>,
    /// When it begins; by seed where it is none.
    pub start: Option<Duration>,
    /// How long it lasts; by seed where it is none.
    pub length: Option<Duration>,
}

/// Why a text is not a fault. `KIND[:PLACE][@START[+LENGTH]]` is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum FaultError {
    #[error("unknown fault `{found}`; it is one of {}", kinds())]
    Kind { found: String },
    #[error("`{0}` happens in the worker and takes no place: write {0}[@START+LENGTH]")]
    NoPlace(&'static str),
    #[error("`{text}` is no time: {error}; write @START+LENGTH, as in @10ms+500us")]
    Time { text: String, error: String },
    #[error("`{text}` is more than a day; write a shorter time")]
    TooLong { text: String },
}

/// Times beyond a day are refused: nothing that is simulated takes so long.
const LONGEST: Duration = Duration::from_secs(86_400);

fn kinds() -> String {
    let names: Vec<_> = FaultKind::ALL.iter().map(|kind| kind.name()).collect();
    names.join(", ")
}

impl FromStr for FaultSpec {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let (what, times) = match text.split_once('@') {
            Some((what, times)) => (what, Some(times)),
            None => (text, None),
        };
        let (name, place) = match what.split_once(':') {
            Some((name, place)) => (name, Some(place.to_owned())),
            None => (what, None),
        };
        let kind = FaultKind::ALL.iter().copied().find(|kind| kind.name() == name);
        let kind = kind.ok_or_else(|| FaultError::Kind { found: name.to_owned() })?;
        if place.is_some() && kind.place() == Place::Worker {
            return Err(FaultError::NoPlace(kind.name()));
        }
        let (start, length) = match times.map(|times| times.split_once('+').ok_or(times)) {
            None => (None, None),
            Some(Ok((start, length))) => (Some(time(start)?), Some(time(length)?)),
            Some(Err(start)) => (Some(time(start)?), None),
        };
        Ok(Self { kind, place, start, length })
    }
}

impl fmt::Display for FaultSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name())?;
        if let Some(place) = &self.place {
            write!(f, ":{place}")?;
        }
        let show = crate::config::show_duration;
        if let Some(start) = self.start {
            write!(f, "@{}", show(start))?;
        }
        if let Some(length) = self.length {
            write!(f, "+{}", show(length))?;
        }
        Ok(())
    }
}

fn time(text: &str) -> Result<Duration, FaultError> {
    let nanos = parse_duration(text).map_err(|error| {
        let (text, error) = (text.to_owned(), error.to_string());
        FaultError::Time { text, error }
    })?;
    let time = Duration::from_nanos(nanos);
    if time > LONGEST {
        return Err(FaultError::TooLong { text: text.to_owned() });
    }
    Ok(time)
}

/// A fault with its place and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What goes wrong.
    pub kind: FaultKind,
    /// Slot of the port or receiver; for pools 0 is `payload`, 1 `headers`.
    pub slot: usize,
    /// When it begins, in nanoseconds.
    pub start: u64,
    /// How long it lasts, in nanoseconds.
    pub length: u64,
}

/// One end of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// When, in nanoseconds.
    pub at: u64,
    /// What.
    pub kind: FaultKind,
    /// Where.
    pub slot: usize,
    /// Whether it begins.
    pub begins: bool,
    /// How long the fault lasts.
    pub length: u64,
}

/// Times that a flapping link goes down.
const FLAPS: u64 = 8;

impl FaultSpec {
    /// Gives the fault its time where it has none: it begins in the first half of `span`
    /// nanoseconds and lasts 2 to 20 % of it. `slot` is its place.
    pub fn schedule(&self, slot: usize, span: u64, rng: &mut Rng) -> Fault {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        // Drawn even where they are given, so that one fault's times do not move another's.
        let start = rng.u64(span / 20..=span / 2);
        let length = rng.u64(span / 50..=span / 5);
        Fault {
            kind: self.kind,
            slot,
            start: self.start.map_or(start, nanos),
            length: self.length.map_or(length, nanos),
        }
    }
}

impl Fault {
    /// Where it begins and ends; a flapping link is down in the first half of each eighth.
    pub fn edges(&self) -> Vec<Edge> {
        let Self { kind, slot, start, length } = *self;
        let edge = |kind, at, begins| Edge { at, kind, slot, begins, length };
        if kind == FaultKind::LinkFlaps {
            let step = length / FLAPS;
            return (0..FLAPS)
                .map(|i| start + i * step)
                .flat_map(|at| {
                    let down = FaultKind::LinkDown;
                    [edge(down, at, true), edge(down, at + step / 2, false)]
                })
                .collect();
        }
        vec![edge(kind, start, true), edge(kind, start + length, false)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<FaultSpec, String> {
        text.parse().map_err(|error: FaultError| error.to_string())
    }

    #[test]
    fn a_fault_is_its_text() {
        for text in ["rx-gap", "tx-refuses:out", "stop@3ms", "link-down:b@1500us+10ms"] {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
        let spec = parse("alloc-fails:headers@1ms+2us").unwrap();
        assert_eq!(spec.kind, FaultKind::AllocFails);
        assert_eq!(spec.place.as_deref(), Some("headers"));
        let times = (spec.start.unwrap().as_micros(), spec.length.unwrap().as_micros());
        assert_eq!(times, (1_000, 2));
    }

    #[test]
    fn what_is_no_fault_says_what_is() {
        let error = parse("gremlin").unwrap_err();
        assert!(FaultKind::ALL.iter().all(|kind| error.contains(kind.name())), "{error}");
        assert!(parse("stop:out").unwrap_err().contains("takes no place"));
        assert!(parse("rx-gap@10").unwrap_err().contains("no unit"));
        assert!(parse("rx-gap@1ms+soon").unwrap_err().contains("`soon` is no time"));
        assert!(parse("rx-gap@9999999s").unwrap_err().contains("a day"));
    }

    #[test]
    fn a_seed_gives_it_its_time() {
        let spec = parse("rx-gap").unwrap();
        let fault = |seed| spec.schedule(1, 1_000_000, &mut Rng::with_seed(seed));
        assert_eq!(fault(1), fault(1));
        assert_ne!(fault(1), fault(2));
        for seed in 0..100 {
            let Fault { start, length, .. } = fault(seed);
            assert!(start + length <= 700_000 && length >= 20_000);
        }
        assert_eq!(spec.schedule(0, 0, &mut Rng::with_seed(1)).length, 0, "of nothing");
    }

    #[test]
    fn a_flapping_link_ends_up() {
        let kind = FaultKind::LinkFlaps;
        let edges = Fault { kind, slot: 3, start: 10, length: 800 }.edges();
        assert_eq!(edges.len(), 16);
        assert_eq!((edges[0].at, edges[1].at, edges[15].at), (10, 60, 760));
        assert!(edges.iter().all(|e| e.kind == FaultKind::LinkDown && e.slot == 3));
        assert!(edges[0].begins && !edges[15].begins);
    }
}
