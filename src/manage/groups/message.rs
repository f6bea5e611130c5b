//! What hosts and queriers say to each other, apart from its bytes.

use std::net::IpAddr;
use std::time::Duration;

/// The protocol: IGMP where groups are IPv4's, MLD where they are IPv6's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IGMP.
    V4,
    /// MLD.
    V6,
}

impl Family {
    /// The family of a group.
    pub const fn of(group: IpAddr) -> Self {
        match group {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// What is spoken where no older querier was heard.
    pub const fn newest(self) -> Version {
        match self {
            Self::V4 => Version::Igmp3,
            Self::V6 => Version::Mld2,
        }
    }
}

/// A version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// RFC 1112: no leaves, queries without a time.
    Igmp1,
    /// RFC 2236.
    Igmp2,
    /// RFC 3376: source lists.
    Igmp3,
    /// RFC 2710: as IGMPv2.
    Mld1,
    /// RFC 3810: as IGMPv3.
    Mld2,
}

impl Version {
    /// As reports write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Igmp1 => "igmpv1",
            Self::Igmp2 => "igmpv2",
            Self::Igmp3 => "igmpv3",
            Self::Mld1 => "mldv1",
            Self::Mld2 => "mldv2",
        }
    }

    /// Whether reports name sources, and many groups in one.
    pub const fn has_sources(self) -> bool {
        matches!(self, Self::Igmp3 | Self::Mld2)
    }
}

/// A question for members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// The version of its form.
    pub version: Version,
    /// The group it asks for; `None` asks for all.
    pub group: Option<IpAddr>,
    /// The sources it asks for; none asks for all of the group.
    pub sources: Vec<IpAddr>,
    /// How long an answer may take.
    pub max_response: Duration,
    /// The querier's robustness variable, 1 to 7, where it says one.
    pub robustness: Option<u8>,
    /// The querier's query interval, where it says one.
    pub interval: Option<Duration>,
    /// Who asks; unspecified for a switch without an address.
    pub querier: IpAddr,
}

/// A good message, as far as it concerns a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A question.
    Query(Query),
    /// Another host is a member of this group, in a version without source lists.
    Report(IpAddr),
    /// For queriers only: leaves, and reports with source lists.
    Other,
}

/// What a record of a report says of its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// It takes the sources named, and has.
    IsInclude = 1,
    /// It takes all sources but those named, and has.
    IsExclude = 2,
    /// From now on it takes the sources named.
    ToInclude = 3,
    /// From now on it takes all sources but those named.
    ToExclude = 4,
    /// It takes these sources too, from now on.
    Allow = 5,
    /// It takes these sources no more.
    Block = 6,
}

/// A group in a report with source lists (RFC 3376, section 4.2.4; RFC 3810, section 5.2.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What it says.
    pub kind: Kind,
    /// Of this group.
    pub group: IpAddr,
    /// With these sources.
    pub sources: Vec<IpAddr>,
}

/// What a host has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Say {
    /// In a report with others, as many as fit.
    Record(Record),
    /// A report of this group alone, in a version without source lists.
    Report(Version, IpAddr),
    /// It leaves this group, in a version without source lists.
    Leave(IpAddr),
}
