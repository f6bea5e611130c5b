//! What the rules want: which groups, where, with which sources.

use super::{Place, Wanted};
use crate::config::{Config, joins, names_hosts};

use super::member::Interest;

/// What a configuration wants. Where several rules match a group, all that any of them takes.
pub fn wanted(config: &Config) -> Wanted {
    let mut wanted = Wanted::new();
    for rule in &config.rules {
        let input = &rule.input;
        let interest = match names_hosts(input) {
            true => Interest::Include(input.source.iter().map(|net| net.addr()).collect()),
            false => Interest::Exclude,
        };
        for (port, vlan, group) in joins(input, &config.ports) {
            let place = Place { port, vlan, group };
            wanted.entry(place).or_insert(Interest::NONE).add(interest.clone());
        }
    }
    wanted
}
