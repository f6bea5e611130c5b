//! The neighbours as reports show them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Row;
use crate::config::Config;

/// A neighbour that unicast copies go to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NeighbourReport {
    /// Name of its port.
    pub port: String,
    /// VLAN id; 0 is untagged.
    pub vlan: u16,
    /// Its address.
    pub address: String,
    /// Its MAC; null where it is not known.
    pub mac: Option<String>,
    /// `asked`, `reachable`, `probed`, `searched`, `silent`, `static` or `no_host`.
    pub state: String,
    /// How long ago it answered last, in nanoseconds; null before.
    pub answered_ns_ago: Option<u64>,
    /// Requests sent.
    pub requests: u64,
    /// Answers believed.
    pub answers: u64,
    /// Times that its MAC became another.
    pub changes: u64,
    /// Claims of another MAC that were not believed.
    pub refused: u64,
}

impl NeighbourReport {
    /// Its port, VLAN and address, as DPDK's telemetry names it.
    pub fn label(&self) -> String {
        format!("{},{},{}", self.port, self.vlan, self.address)
    }

    /// The report of a neighbour of `config`.
    pub fn of(row: &Row, config: &Config) -> Self {
        let nanos = |age: Duration| u64::try_from(age.as_nanos()).unwrap_or(u64::MAX);
        Self {
            port: config.ports.get(row.who.port).map_or_else(String::new, |p| p.name.clone()),
            vlan: row.who.vlan,
            address: row.who.address.to_string(),
            mac: row.mac.map(|mac| mac.to_string()),
            state: row.state.name().into(),
            answered_ns_ago: row.answered.map(nanos),
            requests: row.requests,
            answers: row.answers,
            changes: row.changes,
            refused: row.refused,
        }
    }
}
