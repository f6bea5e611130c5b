//! A querier of the tests' own: keeps membership timers as RFC 3376, section 6 (and RFC 2236,
//! section 7; RFC 3810, section 7) says a router does, and asks as often as it must.

use std::collections::{BTreeMap, BTreeSet};

use super::wire::{Asks, Said};
use super::*;

/// What a querier is told to be.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub version: Version,
    pub robustness: u8,
    /// Seconds from query to query; as a code below 128.
    pub interval: u8,
    /// How long an answer may take, in tenths of a second.
    pub response: u8,
    /// As [`Self::response`], to what is asked because somebody left.
    pub last_member: u8,
}

impl Settings {
    fn tenths(&self, tenths: u8) -> Duration {
        ms(100) * tenths.into()
    }

    /// How long a membership lasts without a report.
    pub fn membership(&self) -> Duration {
        s(self.interval.into()) * self.robustness.into() + self.tenths(self.response)
    }

    /// How long one lasts whose last member may have left.
    pub fn last_member_time(&self) -> Duration {
        self.tenths(self.last_member) * self.robustness.into()
    }

    fn code(&self, tenths: u8) -> u16 {
        match self.version {
            Version::Igmp1 => 0,
            Version::Igmp2 | Version::Igmp3 => tenths.into(),
            Version::Mld1 | Version::Mld2 => u16::from(tenths) * 100,
        }
    }

    fn asks(&self, tenths: u8) -> Asks {
        Asks {
            version: self.version,
            group: None,
            sources: vec![],
            code: self.code(tenths),
            robustness: self.robustness,
            interval: self.interval,
        }
    }
}

/// A group as the querier knows it.
#[derive(Clone, Debug, Default)]
struct Known {
    /// Until when all sources are forwarded; `None` is INCLUDE mode.
    all_until: Option<Duration>,
    /// Until when these are forwarded.
    sources: BTreeMap<IpAddr, Duration>,
}

/// The querier.
#[derive(Debug)]
pub struct Router {
    settings: Settings,
    known: BTreeMap<IpAddr, Known>,
    general_at: Duration,
    /// Queries because of a leave: when, for which group and sources, how many more.
    specific: Vec<(Duration, IpAddr, BTreeSet<IpAddr>, u8)>,
}

impl Router {
    pub fn new(settings: Settings, now: Duration) -> Self {
        Self { settings, known: BTreeMap::new(), general_at: now, specific: Vec::new() }
    }

    /// Whether packets of this source to this group are forwarded.
    pub fn forwards(&self, group: IpAddr, source: IpAddr) -> bool {
        self.known
            .get(&group)
            .is_some_and(|known| known.all_until.is_some() || known.sources.contains_key(&source))
    }

    /// When it asks next.
    pub fn due(&self) -> Duration {
        self.specific.iter().map(|(at, ..)| *at).chain([self.general_at]).min().unwrap()
    }

    /// Lets time pass, and asks what is due; says whether a general query is among it.
    pub fn ask(&mut self, now: Duration) -> (Vec<Vec<u8>>, bool) {
        self.known.retain(|_, known| {
            known.sources.retain(|_, until| *until > now);
            known.all_until = known.all_until.filter(|until| *until > now);
            known.all_until.is_some() || !known.sources.is_empty()
        });
        let mut frames = Vec::new();
        let general = self.general_at <= now;
        if general {
            frames.push(self.settings.asks(self.settings.response).frame());
            self.general_at = now + s(self.settings.interval.into());
        }
        let settings = self.settings;
        for (at, group, sources, left) in &mut self.specific {
            if *at <= now {
                let query = settings.asks(settings.last_member);
                let sources = sources.iter().copied().collect();
                frames.push(Asks { group: Some(*group), sources, ..query }.frame());
                (*at, *left) = (now + settings.tenths(settings.last_member), *left - 1);
            }
        }
        self.specific.retain(|(.., left)| *left > 0);
        (frames, general)
    }

    /// Asks for a group, or sources of it, whether anybody is left (RFC 3376, section 6.6.3).
    fn doubt(&mut self, group: IpAddr, sources: BTreeSet<IpAddr>, now: Duration) {
        let until = now + self.settings.last_member_time();
        let Some(known) = self.known.get_mut(&group) else { return };
        if sources.is_empty() {
            known.all_until = known.all_until.map(|at| at.min(until));
        }
        for source in &sources {
            if let Some(at) = known.sources.get_mut(source) {
                *at = (*at).min(until);
            }
        }
        self.specific.push((now, group, sources, self.settings.robustness));
    }

    /// Hears a host.
    pub fn hears(&mut self, said: Said, now: Duration) {
        let until = now + self.settings.membership();
        match said {
            Said::Report(_, group) => self.known.entry(group).or_default().all_until = Some(until),
            Said::Leave(group) if self.settings.version != Version::Igmp1 => {
                self.doubt(group, BTreeSet::new(), now);
            }
            // A querier without source lists does not know these messages.
            Said::Record(kind, group, sources) if self.settings.version.has_sources() => {
                self.hears_record(kind, group, sources.into_iter().collect(), now);
            }
            Said::Leave(_) | Said::Record(..) => {}
        }
    }

    fn hears_record(&mut self, kind: u8, group: IpAddr, named: BTreeSet<IpAddr>, now: Duration) {
        let until = now + self.settings.membership();
        let known = self.known.entry(group).or_default();
        let before: BTreeSet<_> = known.sources.keys().copied().collect();
        let adds = |known: &mut Known| {
            known.sources.extend(named.iter().map(|&source| (source, until)));
        };
        match kind {
            1 | 5 => adds(known),
            2 | 4 => {
                assert!(named.is_empty(), "a relay excludes nothing");
                *known = Known { all_until: Some(until), sources: BTreeMap::new() };
            }
            3 => {
                adds(known);
                let all = known.all_until.is_some();
                let gone: BTreeSet<_> = before.difference(&named).copied().collect();
                if !gone.is_empty() {
                    self.doubt(group, gone, now);
                }
                if all {
                    self.doubt(group, BTreeSet::new(), now);
                }
            }
            6 if known.all_until.is_none() => {
                let gone: BTreeSet<_> = before.intersection(&named).copied().collect();
                if !gone.is_empty() {
                    self.doubt(group, gone, now);
                }
            }
            // All are forwarded, and these are asked for.
            6 => {
                let all_until = known.all_until.unwrap_or(until);
                let new = named.iter().map(|&s| (s, *known.sources.get(&s).unwrap_or(&all_until)));
                let new: Vec<_> = new.collect();
                known.sources.extend(new);
                self.doubt(group, named, now);
            }
            other => panic!("record type {other}"),
        }
    }
}
