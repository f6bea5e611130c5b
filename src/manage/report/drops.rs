//! Losses by reason, as an object that holds only what is not zero, in the packet's order.

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ledger::Drops;
use crate::packet::DropReason;

/// How many were dropped for each reason that occurred.
///
/// Reasons are kept by name: a client understands the report of a newer daemon, and its sums
/// stay right, though it does not know every reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DropCounts(Vec<(String, u64)>);

impl DropCounts {
    /// Each reason that occurred and how often, in the packet's order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(name, count)| (name.as_str(), *count))
    }

    /// Drops for all reasons.
    pub fn total(&self) -> u64 {
        self.0.iter().map(|(_, count)| count).sum()
    }

    /// Drops for one reason.
    pub fn get(&self, reason: DropReason) -> u64 {
        let found = self.0.iter().find(|(name, _)| name == reason.name());
        found.map_or(0, |(_, count)| *count)
    }

    /// What was added since `base`; never less than nothing.
    pub fn minus(&self, base: &Self) -> Self {
        let before = |name: &str| base.iter().find(|(other, _)| *other == name);
        let since = self.0.iter().map(|(name, count)| {
            (name.clone(), count.saturating_sub(before(name).map_or(0, |(_, count)| count)))
        });
        Self(since.filter(|(_, count)| *count > 0).collect())
    }

    /// Whether there were none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> FromIterator<(&'a str, u64)> for DropCounts {
    fn from_iter<I: IntoIterator<Item = (&'a str, u64)>>(all: I) -> Self {
        let occurred = all.into_iter().filter(|&(_, count)| count > 0);
        Self(occurred.map(|(name, count)| (name.into(), count)).collect())
    }
}

impl From<&Drops> for DropCounts {
    fn from(drops: &Drops) -> Self {
        DropReason::ALL.iter().map(|reason| (reason.name(), drops[reason.index()])).collect()
    }
}

impl Serialize for DropCounts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, count) in &self.0 {
            map.serialize_entry(name, count)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for DropCounts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Entries)
    }
}

/// Reads the object in its own order.
struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = DropCounts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of drop reasons and counts")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<DropCounts, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(DropCounts(entries))
    }
}
