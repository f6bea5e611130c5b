//! The host's part against a querier of the tests' own, in virtual time, by the bytes of frames.

mod any_bytes;
mod hosts;
mod membership;
mod packing;
mod router;
mod wire;

use super::*;

/// So many milliseconds.
const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// So many seconds.
const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A speaker with the port's MAC address 02:00:00:00:00:01 and IPv4 address 10.0.0.1.
fn speaker(mtu: usize) -> Speaker {
    let mac = "02:00:00:00:00:01".parse().unwrap();
    Speaker::new(mac, [ip("10.0.0.1")], mtu)
}

/// Wants of untagged port 0: a group, and its sources; none is all.
fn wants(groups: &[(&str, &[&str])]) -> Wanted {
    let wants = groups.iter().map(|(group, sources)| {
        let interest = match sources {
            [] => Interest::Exclude,
            sources => Interest::Include(sources.iter().map(|s| ip(s)).collect()),
        };
        (Place { port: 0, vlan: 0, group: ip(group) }, interest)
    });
    wants.collect()
}

/// When something is due next.
fn due(groups: &Groups) -> Option<Duration> {
    groups.hosts.values().filter_map(Host::due).min()
}

/// All frames that are to be sent at `now`.
fn said(groups: &mut Groups, now: Duration) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| groups.next(now)).map(|outgoing| outgoing.frame).collect()
}
