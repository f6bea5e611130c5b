//! The host's part of IGMP or MLD on one network: says what is joined and left, answers queries.
//!
//! Pure: time and chance are arguments, what it has to say is a value. It speaks the newest version
//! until an older querier is heard, and again when that has been silent for long enough
//! (RFC 3376, section 7.2; RFC 3810, section 8.2).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use fastrand::Rng;

use super::member::{Interest, Member};
use super::message::{Family, Query, Say, Version};

/// What RFC 3376, section 8, says where no querier has said otherwise.
const ROBUSTNESS: u8 = 2;
const QUERY_INTERVAL: Duration = Duration::from_secs(125);
/// Changes are said again within so long.
const REPEAT_WITHIN: Duration = Duration::from_secs(1);
/// As [`REPEAT_WITHIN`], in versions without source lists (RFC 2236, section 8.10).
const REPEAT_WITHIN_OLDER: Duration = Duration::from_secs(10);
/// Answers are drawn so much earlier than they must be there: a tick of management and more.
const MARGIN: Duration = Duration::from_millis(10);
/// A flood of queries is answered no more often than this, for each group and in general.
const ANSWERS_APART: Duration = Duration::from_millis(50);
/// A querier's word for how long its version is to be kept is not believed beyond this.
const OLDER_MAX: Duration = Duration::from_secs(3_600);

/// What is known of the queriers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Querier {
    /// The version that was spoken last because of them.
    version: Version,
    /// When one was heard last.
    pub last_query: Option<Duration>,
    /// Who that was.
    pub address: Option<IpAddr>,
    robustness: u8,
    interval: Duration,
    /// Until when the first version of IGMP is spoken.
    oldest_until: Duration,
    /// Until when the version before the newest is spoken.
    older_until: Duration,
}

/// The host on one network.
#[derive(Clone, Debug)]
pub struct Host {
    family: Family,
    querier: Querier,
    members: BTreeMap<IpAddr, Member>,
    /// When changes are to be said, again or at once.
    changes_at: Option<Duration>,
    /// When a general query is to be answered.
    general_at: Option<Duration>,
    /// When one was answered last.
    answered: Option<Duration>,
    /// No earlier than this is anything due.
    due: Option<Duration>,
    /// Whether the port stops, and what is to be said again is said at once.
    hurries: bool,
}

impl Host {
    /// A member of nothing.
    pub fn new(family: Family) -> Self {
        Self {
            family,
            querier: Querier {
                version: family.newest(),
                last_query: None,
                address: None,
                robustness: ROBUSTNESS,
                interval: QUERY_INTERVAL,
                oldest_until: Duration::ZERO,
                older_until: Duration::ZERO,
            },
            members: BTreeMap::new(),
            changes_at: None,
            general_at: None,
            answered: None,
            due: None,
            hurries: false,
        }
    }

    /// What is known of the queriers.
    pub fn querier(&self) -> &Querier {
        &self.querier
    }

    /// The version that is spoken: that of the oldest querier that is present.
    pub fn version(&self, now: Duration) -> Version {
        match self.family {
            Family::V4 if now < self.querier.oldest_until => Version::Igmp1,
            Family::V4 if now < self.querier.older_until => Version::Igmp2,
            Family::V6 if now < self.querier.older_until => Version::Mld1,
            family => family.newest(),
        }
    }

    /// The groups that are joined, and those that are being left.
    pub fn members(&self) -> &BTreeMap<IpAddr, Member> {
        &self.members
    }

    /// Whether nothing is joined, nothing is left to be said, and no older querier is to be
    /// remembered, so that a new host would do as well.
    pub fn is_idle(&self, now: Duration) -> bool {
        self.members.is_empty() && self.version(now) == self.family.newest()
    }

    /// Wants these groups from now on, and no others.
    pub fn set(&mut self, wanted: &BTreeMap<IpAddr, Interest>, now: Duration) {
        let robustness = self.querier.robustness;
        let mut changes = false;
        for (group, member) in &mut self.members {
            if !wanted.contains_key(group) {
                changes |= member.set(Interest::NONE, robustness);
            }
        }
        for (&group, interest) in wanted {
            let member = self.members.entry(group).or_insert_with(|| Member::new(group));
            changes |= member.set(interest.clone(), robustness);
        }
        if changes {
            self.changes_at = Some(now);
            self.schedule(now);
        }
    }

    /// Leaves all groups, and says so at once as often as is to be said.
    pub fn leave(&mut self, now: Duration) {
        self.hurries = true;
        self.set(&BTreeMap::new(), now);
    }

    /// Another host on the network is a member of `group`, so that one report is enough: in versions
    /// without source lists a querier counts networks, not hosts (RFC 2236, section 3).
    pub fn heard_report(&mut self, group: IpAddr) {
        if let (false, Some(member)) =
            (self.querier.version.has_sources(), self.members.get_mut(&group))
        {
            member.forget_answer();
        }
    }

    /// Hears a query, at `now`.
    pub fn heard_query(&mut self, query: &Query, now: Duration, rng: &mut Rng) {
        self.learn(query, now);
        let time = query.max_response.saturating_sub(MARGIN).as_nanos();
        let draw = |rng: &mut Rng| {
            let time = u64::try_from(time).unwrap_or(u64::MAX - 1);
            now + Duration::from_nanos(rng.u64(0..=time))
        };
        let lists = self.querier.version.has_sources();
        match query.group {
            None if lists => {
                let spaced = self.answered.map_or(Duration::ZERO, |at| at + ANSWERS_APART);
                let at = draw(rng).max(spaced);
                // What is due earlier answers this query, too.
                self.general_at = Some(self.general_at.map_or(at, |pending| pending.min(at)));
                self.schedule(at);
            }
            None => {
                let mut first: Option<Duration> = None;
                for member in self.members.values_mut() {
                    let at = draw(rng).max(spaced(member));
                    first = Some(first.map_or(at, |first| first.min(at)));
                    ask(member, at, &[]);
                }
                first.into_iter().for_each(|at| self.schedule(at));
            }
            Some(group) => {
                let at = draw(rng);
                // What is said in general says it of this group, too.
                if lists && self.general_at.is_some_and(|general| general <= at) {
                    return;
                }
                let Some(member) = self.members.get_mut(&group) else { return };
                let at = at.max(spaced(member));
                ask(member, at, if lists { &query.sources } else { &[] });
                self.schedule(at);
            }
        }
    }

    /// No earlier than this is anything to be said.
    pub fn due(&self) -> Option<Duration> {
        self.due
    }

    /// Says what is due.
    pub fn poll(&mut self, now: Duration, rng: &mut Rng) -> Vec<Say> {
        let mut said = Vec::new();
        if self.due.is_none_or(|due| due > now) {
            return said;
        }
        self.choose_version(now);
        if self.changes_at.is_some_and(|at| at <= now) {
            self.say_changes(now, rng, &mut said);
        }
        if self.general_at.is_some_and(|at| at <= now) {
            (self.general_at, self.answered) = (None, Some(now));
            for member in self.members.values_mut().filter(|m| !m.interest().is_none()) {
                member.last_report = Some(now);
                said.push(Say::Record(member.current()));
            }
        }
        for (&group, member) in &mut self.members {
            if member.answer_at().is_none_or(|at| at > now) {
                continue;
            }
            let answer = member.take_answer();
            let say = match self.querier.version {
                version if version.has_sources() => answer.map(Say::Record),
                version => Some(Say::Report(version, group)),
            };
            if let Some(say) = say {
                member.last_report = Some(now);
                said.push(say);
            }
        }
        let answers = self.members.values().filter_map(Member::answer_at);
        self.due = answers.chain(self.changes_at).chain(self.general_at).min();
        said
    }

    /// Says what has changed, and plans to say it again.
    fn say_changes(&mut self, now: Duration, rng: &mut Rng, said: &mut Vec<Say>) {
        let version = self.querier.version;
        for (&group, member) in self.members.iter_mut().filter(|(_, m)| m.is_changing()) {
            let records = member.take_change();
            if version.has_sources() {
                said.extend(records.into_iter().map(Say::Record));
            } else if !member.interest().is_none() {
                said.push(Say::Report(version, group));
            } else {
                // The querier asks again by itself.
                member.forget_changes();
                if version != Version::Igmp1 {
                    said.push(Say::Leave(group));
                }
            }
            member.last_report = Some(now);
        }
        self.members.retain(|_, m| m.is_changing() || !m.interest().is_none());
        let within = match version {
            _ if self.hurries => Duration::ZERO,
            version if version.has_sources() => REPEAT_WITHIN,
            _ => REPEAT_WITHIN_OLDER,
        };
        let again = self.members.values().any(Member::is_changing);
        let at = now + Duration::from_nanos(rng.u64(0..=within.as_nanos() as u64));
        self.changes_at = again.then_some(at);
    }

    /// Adopts what a query says of its querier.
    fn learn(&mut self, query: &Query, now: Duration) {
        let querier = &mut self.querier;
        (querier.last_query, querier.address) = (Some(now), Some(query.querier));
        if query.version.has_sources() {
            querier.robustness = query.robustness.unwrap_or(ROBUSTNESS);
            querier.interval = query.interval.unwrap_or(QUERY_INTERVAL);
        }
        let present = querier.interval * querier.robustness.into() + query.max_response;
        let until = now + present.min(OLDER_MAX);
        match query.version {
            Version::Igmp1 => querier.oldest_until = until,
            Version::Igmp2 | Version::Mld1 if query.group.is_none() => querier.older_until = until,
            _ => {}
        }
        self.choose_version(now);
    }

    /// Goes over to the version that is to be spoken. What was asked in another is void.
    fn choose_version(&mut self, now: Duration) {
        let version = self.version(now);
        if version != self.querier.version {
            self.querier.version = version;
            self.general_at = None;
            self.members.values_mut().for_each(Member::forget_answer);
            // Changes are still said, in the version's words: a leave must not get lost.
        }
    }

    fn schedule(&mut self, at: Duration) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }
}

/// Before this a group is not reported again because of a query.
fn spaced(member: &Member) -> Duration {
    member.last_report.map_or(Duration::ZERO, |at| at + ANSWERS_APART)
}

/// Asks a member that is not being left.
fn ask(member: &mut Member, at: Duration, sources: &[IpAddr]) {
    if !member.interest().is_none() {
        member.ask(at, sources);
    }
}
