//! What is shown of groups: `punctual show groups`, and of messages about them by port.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Heeded, Ignored, Row};
use crate::config::Config;
use crate::manage::report::DropCounts;

/// A group that is joined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupReport {
    /// Its port.
    pub port: String,
    /// Its VLAN id; 0 is untagged.
    pub vlan: u16,
    /// The group.
    pub group: IpAddr,
    /// `include` where it is joined for some sources, `exclude` where it is for all but none.
    pub mode: String,
    /// The sources of `include`.
    pub sources: Vec<IpAddr>,
    /// The version that is spoken: `igmpv1` to `igmpv3`, `mldv1`, `mldv2`.
    pub version: String,
    /// Who asked last on its network; null where nobody has.
    pub querier: Option<IpAddr>,
    /// Nanoseconds since then; 0 where nobody has.
    pub last_query_ns_ago: u64,
    /// Nanoseconds since it was reported last; 0 where it was not yet.
    pub last_report_ns_ago: u64,
}

impl GroupReport {
    /// Its port, VLAN and group, as DPDK's telemetry names it.
    pub fn label(&self) -> String {
        format!("{},{},{}", self.port, self.vlan, self.group)
    }
}

/// All that is shown of groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Those that are joined.
    pub rows: Vec<Row>,
    /// What was heard, by port slot.
    pub heeded: Vec<Heeded>,
}

impl State {
    /// The groups, by the names of a configuration.
    pub fn report(&self, config: &Config) -> Vec<GroupReport> {
        let nanos = |age: Duration| u64::try_from(age.as_nanos()).unwrap_or(u64::MAX).max(1);
        let rows = self.rows.iter().filter_map(|row| {
            let (querier, asked) = row.query.unzip();
            Some(GroupReport {
                port: config.ports.get(row.place.port)?.name.clone(),
                vlan: row.place.vlan,
                group: row.place.group,
                mode: if row.sources.is_some() { "include" } else { "exclude" }.into(),
                sources: row.sources.clone().unwrap_or_default(),
                version: row.version.name().into(),
                querier,
                last_query_ns_ago: asked.map_or(0, nanos),
                last_report_ns_ago: row.reported.map_or(0, nanos),
            })
        });
        rows.collect()
    }

    /// What was heard at the port with this slot.
    pub fn heeded(&self, port: usize) -> Heeded {
        self.heeded.get(port).copied().unwrap_or_default()
    }
}

impl Heeded {
    /// The messages that were ignored, by reason.
    pub fn ignored(&self) -> DropCounts {
        Ignored::ALL.iter().map(|&why| (why.name(), self.ignored[why as usize])).collect()
    }
}
