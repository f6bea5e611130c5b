//! Announcements: at the start, and when a reload adds an address, the neighbours are told whose it
//! is, so that none keeps sending to who had it before (RFC 5227, section 2.3; RFC 4861, section
//! 7.2.6). Twice, two seconds apart, in frames without a tag.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use etherparse::{ArpEthIpv4Packet, ArpOperation, EtherType};

use super::{Host, Link, Outbox, nd};
use crate::wire::MacAddr;

/// From one announcement to the next.
const AGAIN_AFTER: Duration = Duration::from_secs(2);

/// What is still to be announced, the earliest first.
#[derive(Debug, Default)]
pub struct Announcements {
    due: VecDeque<Announcement>,
}

#[derive(Clone, Copy, Debug)]
struct Announcement {
    port: usize,
    address: IpAddr,
    at: Duration,
    is_last: bool,
}

impl Announcements {
    /// Announces an address of the port with this slot from `now` on.
    pub fn add(&mut self, port: usize, address: IpAddr, now: Duration) {
        self.due.push_front(Announcement { port, address, at: now, is_last: false });
    }

    /// Says what is due; addresses that are no longer ours are not told.
    pub fn tick(&mut self, hosts: &[Host], now: Duration, out: &mut Outbox) {
        while self.due.front().is_some_and(|next| next.at <= now)
            && let Some(next) = self.due.pop_front()
        {
            let host = &hosts[next.port];
            if !host.owns(next.address) {
                continue;
            }
            out.send(next.port, frame(host.mac, next.address));
            if !next.is_last {
                self.due.push_back(Announcement { at: now + AGAIN_AFTER, is_last: true, ..next });
            }
        }
    }
}

/// Tells everyone on the link that `address` is at `mac`.
fn frame(mac: MacAddr, address: IpAddr) -> Vec<u8> {
    let link = |destination| Link { source: mac, destination, tags: vec![] };
    match address {
        IpAddr::V4(address) => {
            let announcement = ArpEthIpv4Packet {
                operation: ArpOperation::REQUEST,
                sender_mac: mac.0,
                sender_ipv4: address.octets(),
                target_mac: [0; 6],
                target_ipv4: address.octets(),
            };
            link(MacAddr([0xff; 6])).frame(EtherType::ARP, &announcement.to_bytes())
        }
        IpAddr::V6(address) => {
            let all = MacAddr::from_group_v6(nd::ALL_NODES);
            nd::advertisement(&link(all), address, nd::ALL_NODES, false)
        }
    }
}
