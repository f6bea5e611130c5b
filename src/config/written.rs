//! Where the settings are written that cannot change while running: a refusal points there.

use super::source::{Place, Source};
use super::tree::{Entries, Value};

/// Tables and keys that need a restart, as differences name them: `[memory]`, `management.socket`.
const TABLES: [&str; 3] = ["eal", "memory", "limits"];
const KEYS: [(&str, &[&str]); 2] =
    [("instance", &["name"]), ("management", &["socket", "metrics", "detail"])];
const TOP: [&str; 2] = ["clock", "idle"];
const PORT: [&str; 6] = ["device", "driver", "mtu", "rx", "rx_queues", "bundle"];

/// The places, with the files that they are in.
#[derive(Clone, Debug, Default)]
pub(super) struct Written {
    pub sources: Vec<Source>,
    places: Vec<(String, Place)>,
}

impl Written {
    /// Looks in the trees of these files.
    pub(super) fn find<'t>(
        sources: &[Source],
        trees: impl Iterator<Item = &'t Entries<'t>>,
    ) -> Self {
        let mut places = Vec::new();
        for (file, tree) in trees.enumerate() {
            let mut note = |what: String, table: &Entries<'_>, key: &str| {
                if let Some(item) = table.get(key) {
                    places.push((what, Place::new(file, item.at.clone())));
                }
            };
            TABLES.iter().for_each(|table| note(format!("[{table}]"), tree, table));
            TOP.iter().for_each(|key| note((*key).to_owned(), tree, key));
            for (table, keys) in KEYS {
                let Some(Value::Table(inner)) = tree.get(table).map(|item| &item.value) else {
                    continue;
                };
                keys.iter().for_each(|key| note(format!("{table}.{key}"), inner, key));
            }
            let Some(Value::Array(ports)) = tree.get("port").map(|item| &item.value) else {
                continue;
            };
            for port in ports {
                let Value::Table(port) = &port.value else { continue };
                let Some(Value::String(name)) = port.get("name").map(|item| &item.value) else {
                    continue;
                };
                note(format!("port {name}"), port, "name");
                PORT.iter().for_each(|key| note(format!("port {name}: {key}"), port, key));
            }
        }
        Self { sources: sources.to_vec(), places }
    }

    /// File, line and column (from 1, in characters) of a difference: of what it names, or else of
    /// the port that it is of.
    pub(super) fn place_of(&self, difference: &str) -> Option<String> {
        let owner = difference.split_once(": ").map_or(difference, |(owner, _)| owner);
        let find = |what: &str| self.places.iter().find(|(name, _)| name == what);
        let (_, place) = find(difference).or_else(|| find(owner))?;
        let source = self.sources.get(place.file)?;
        let (line, column) = source.position(*place)?;
        Some(format!("{}:{line}:{column}", source.path.display()))
    }
}
