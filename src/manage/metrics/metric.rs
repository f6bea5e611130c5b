//! What a metric is: its name and kind, and how it is read from the report.

use super::text::{BOUNDS, STATES};
use crate::config::Detail;
use crate::manage::report::{Breaker, DropCounts, LatencyReport};
use crate::packet::DropReason;
use crate::wire::PuntProtocol;

/// What a metric is, in the words of OpenMetrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows; its sample ends in `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Text in labels; its value is 1.
    Info,
    /// One of some states is 1.
    StateSet,
    /// Counts by size.
    Histogram,
}

impl Kind {
    /// The word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Info => "info",
            Self::StateSet => "stateset",
            Self::Histogram => "histogram",
        }
    }
}

/// How a metric is read.
#[derive(Debug)]
pub enum Read<T: 'static> {
    /// A number, in the report's unit: nanoseconds where the metric is in seconds, thousandths
    /// where it is a ratio.
    Number(fn(&T) -> u64),
    /// The same where there is one.
    Known(fn(&T) -> Option<u64>),
    /// By `reason`: those that occurred, and always those that are listed.
    Drops(fn(&T) -> &DropCounts, &'static [DropReason]),
    /// By `protocol`: those that occurred.
    Protocols(fn(&T) -> &DropCounts),
    /// A circuit breaker.
    State(fn(&T) -> Breaker),
    /// The residence times: all of them where they are a histogram, else what the report says.
    Times(fn(&T) -> LatencyReport),
    /// Labels.
    Labels(fn(&T) -> Vec<(&'static str, String)>),
}

/// One metric of things of a kind.
#[derive(Debug)]
pub struct Metric<T: 'static> {
    /// The family's name, without the suffixes of samples.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// For people.
    pub help: &'static str,
    /// Where it is in the report: the fields below the thing's own place.
    pub from: &'static [&'static str],
    /// How it is read.
    pub read: Read<T>,
}

/// The unit that a name ends in; empty where it counts things.
pub fn unit(name: &str) -> &'static str {
    let units = ["seconds", "bytes", "ratio"];
    units.into_iter().find(|unit| name.ends_with(&format!("_{unit}"))).unwrap_or_default()
}

/// All metrics of things of a kind.
#[derive(Debug)]
pub struct Group<T: 'static> {
    /// The place of these things in the report.
    pub place: &'static str,
    /// Labels that tell them apart.
    pub labels: &'static [&'static str],
    /// From which detail on they are told.
    pub detail: Detail,
    /// Their metrics.
    pub metrics: &'static [Metric<T>],
}

/// Where a metric is in the report.
type Place = &'static [&'static str];

pub(super) const fn counter<T>(
    name: &'static str,
    from: Place,
    help: &'static str,
    read: fn(&T) -> u64,
) -> Metric<T> {
    Metric { name, kind: Kind::Counter, help, from, read: Read::Number(read) }
}

pub(super) const fn gauge<T>(
    name: &'static str,
    from: Place,
    help: &'static str,
    read: fn(&T) -> u64,
) -> Metric<T> {
    Metric { name, kind: Kind::Gauge, help, from, read: Read::Number(read) }
}

pub(super) const fn drops<T>(
    name: &'static str,
    from: Place,
    help: &'static str,
    read: fn(&T) -> &DropCounts,
) -> Metric<T> {
    Metric { name, kind: Kind::Counter, help, from, read: Read::Drops(read, &[]) }
}

pub(super) const fn breaker<T>(name: &'static str, read: fn(&T) -> Breaker) -> Metric<T> {
    let help = "State of the circuit breaker: copies are made only while it is not open.";
    Metric { name, kind: Kind::StateSet, help, from: &["breaker"], read: Read::State(read) }
}

pub(super) const fn times<T>(name: &'static str, read: fn(&T) -> LatencyReport) -> Metric<T> {
    let help = "From receive burst to send burst. A time is counted in the first bucket that is \
                surely above it; the sum is at most an eighth too long.";
    let from = &["latency_ns.count", "latency_ns.p50", "latency_ns.p99", "latency_ns.p999"];
    Metric { name, kind: Kind::Histogram, help, from, read: Read::Times(read) }
}

pub(super) const fn info<T>(
    name: &'static str,
    help: &'static str,
    read: fn(&T) -> Vec<(&'static str, String)>,
) -> Metric<T> {
    Metric { name, kind: Kind::Info, help, from: &[], read: Read::Labels(read) }
}

/// Reasons that end copies; the others end packets. TTL, `handoff_full`, `removed` and `stopped` do
/// both.
pub const AFTER: [DropReason; 10] = [
    DropReason::Ttl,
    DropReason::HandoffFull,
    DropReason::BreakerOpen,
    DropReason::Unresolved,
    DropReason::HeaderAlloc,
    DropReason::Mtu,
    DropReason::EgressFull,
    DropReason::EgressLate,
    DropReason::Removed,
    DropReason::Stopped,
];

/// Reasons that end packets.
pub const BEFORE: [DropReason; 24] = [
    DropReason::Foreign,
    DropReason::Segmented,
    DropReason::Truncated,
    DropReason::OwnSource,
    DropReason::NotIp,
    DropReason::IpHeader,
    DropReason::IpLength,
    DropReason::IpChecksum,
    DropReason::Martian,
    DropReason::Ttl,
    DropReason::NotUdp,
    DropReason::Fragment,
    DropReason::UdpLength,
    DropReason::UdpChecksum,
    DropReason::PuntFull,
    DropReason::NoRule,
    DropReason::Source,
    DropReason::HandoffFull,
    DropReason::Policed,
    DropReason::PoolPressure,
    DropReason::IngressFull,
    DropReason::Late,
    DropReason::Removed,
    DropReason::Stopped,
];

/// A metric without how it is read.
#[derive(Clone, Copy, Debug)]
pub struct Described {
    /// The place of its things in the report.
    pub place: &'static str,
    /// Labels that tell its things apart.
    pub labels: &'static [&'static str],
    /// From which detail on it is told.
    pub detail: Detail,
    /// The family's name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// For people.
    pub help: &'static str,
    /// Where it is in the report, below the place.
    pub from: &'static [&'static str],
    /// A label besides: which reason, state or bucket.
    pub also: Option<&'static str>,
    /// Most samples that one thing has.
    pub samples: u64,
}

impl<T> Group<T> {
    /// Its metrics without how they are read.
    pub fn describe(&self) -> impl Iterator<Item = Described> {
        let Self { place, labels, detail, metrics } = *self;
        metrics.iter().map(move |metric| {
            let Metric { name, kind, help, from, ref read } = *metric;
            let (also, samples) = match read {
                // Packets and copies end for other reasons: `_copies` tells which.
                Read::Drops(..) if name.ends_with("copies") => (Some("reason"), AFTER.len()),
                Read::Drops(..) => (Some("reason"), BEFORE.len()),
                Read::Protocols(_) => (Some("protocol"), PuntProtocol::ALL.len()),
                Read::State(_) => (Some(name), STATES.len()),
                Read::Times(_) => (Some("le"), BOUNDS + 3),
                _ => (None, 1),
            };
            let samples = samples as u64;
            Described { place, labels, detail, name, kind, help, from, also, samples }
        })
    }
}
