//! Parse - headers to offsets; what cannot be relayed ends here.
//!
//! Expects:  frames as received, their first segment holding the headers.
//! Leaves:   UDP packets, trimmed to their datagram, `headers` and `bytes` set; fragments of one
//!           where their rule relays them. Where their rows are far away, these are on their way.
//! Drops:    `truncated` to `udp_checksum`, as `wire::parse` says; the slow path's are punted, or
//!           `punt_full`.
//! Config:   `port.rx_checksum`, `rule.input.fragments`.
//! Bounds:   O(1) a packet; with `rx_checksum = "complete"` it reads the payload.

use crate::config::RxChecksum;
use crate::packet::{Burst, DropReason, FRAME_OVERHEAD, Headers, Meta, Packet, Part, keep};
use crate::plan::Plan;
use crate::wire::{self, Key, Plain, SegmentSum, Verdict};

use super::{Punt, Tally};

/// The stage.
#[derive(Debug, Default)]
pub struct Parse {
    /// Where the slow path's packets go; without it they end here, counted all the same.
    punt: Option<Punt>,
}

impl Parse {
    /// A stage that leaves the slow path's packets to `punt`.
    pub fn new(punt: Option<Punt>) -> Self {
        Self { punt }
    }

    /// Parses a burst; what stays in it is UDP.
    pub fn inspect<P: Packet>(&mut self, burst: &mut Burst<P>, plan: &Plan, tally: &mut Tally) {
        if find_plain(burst, plan) < burst.len() {
            keep(burst, |packet| is_plain(packet) || self.inspect_other(packet, plan, tally));
        }
        if plan.completes {
            complete(burst, plan);
        }
    }

    /// Whether a packet that is not plain stays.
    #[inline(never)]
    fn inspect_other<P: Packet>(&mut self, packet: &mut P, plan: &Plan, tally: &mut Tally) -> bool {
        // What the buffer's last packet left there is nothing to go by.
        let Meta { arrival, headers: Headers { port, .. }, .. } = *packet.meta();
        let headers = Headers { port, ..Headers::default() };
        *packet.meta_mut() = Meta { arrival, headers, ..Meta::default() };
        match wire::parse_other(packet.head(), packet.frame_len(), &plan.own_macs) {
            Verdict::Udp { headers, frame_len } => {
                found(packet, headers, frame_len);
                plan.rows.warm_any(&Key::of(packet));
                true
            }
            Verdict::Punt => {
                self.leave(packet, plan, tally);
                false
            }
            Verdict::Drop(DropReason::Fragment) if plan.forwards_fragments => {
                admit_fragment(packet, plan, tally)
            }
            Verdict::Drop(reason) => {
                tally.drop_unmatched(reason, packet, plan);
                false
            }
        }
    }

    /// Leaves a packet to the slow path.
    #[cold]
    fn leave(&mut self, packet: &impl Packet, plan: &Plan, tally: &mut Tally) {
        let port = &tally.counters.ports[usize::from(packet.meta().headers.port)];
        if self.punt.as_mut().is_none_or(|punt| punt.take(packet)) {
            port.punted.add(1);
            tally.punt(packet, plan);
        } else {
            port.punt_full.add(1);
            tally.drop_unmatched(DropReason::PuntFull, packet, plan);
        }
    }
}

/// Parses the packets that are plain, and returns how many those are. A call, so that the loop has all
/// registers.
#[inline(never)]
fn find_plain<P: Packet>(packets: &mut [P], plan: &Plan) -> usize {
    let mut plain = 0;
    for packet in packets {
        let found_plain = wire::parse_plain(packet.head(), packet.frame_len(), &plan.own_macs);
        if let Some(Plain { frame_len, key }) = found_plain {
            plan.rows.warm(key);
            found(packet, Headers::PLAIN, frame_len);
            packet.meta_mut().key = key;
            plain += 1;
        }
    }
    plain
}

/// Notes where the headers of a packet are, and cuts off what is behind its datagram.
#[inline(always)]
fn found<P: Packet>(packet: &mut P, headers: Headers, frame_len: usize) {
    packet.truncate(frame_len);
    let meta = packet.meta_mut();
    meta.headers = Headers { port: meta.headers.port, ..headers };
    meta.bytes = frame_len as u32 + FRAME_OVERHEAD;
}

/// Whether it is found to be plain: rx leaves no key.
fn is_plain(packet: &impl Packet) -> bool {
    packet.meta().key != 0
}

/// Whether a fragment goes on: its rule, found by addresses alone, relays them.
#[cold]
fn admit_fragment<P: Packet>(packet: &mut P, plan: &Plan, tally: &mut Tally) -> bool {
    let port = packet.meta().headers.port;
    let rule_of = |headers: &Headers| {
        let (key, source) =
            (Key::read(packet.head(), headers), wire::source(packet.head(), headers));
        plan.rows.find(&key, source, port).ok()
    };
    // Classify will say that it is ours, where it is no rule's.
    let forwards = |(headers, _): &(Headers, usize)| {
        let rule = rule_of(headers).map(|found| plan.rules.get(found.rule as usize));
        rule.is_some_and(|rule| rule.is_none_or(|rule| rule.forwards_fragments))
    };
    let Some((headers, frame_len)) = wire::parse_fragment(packet.head()).filter(forwards) else {
        tally.drop_unmatched(DropReason::Fragment, packet, plan);
        return false;
    };
    found(packet, headers, frame_len);
    true
}

/// Finishes the UDP checksums of packets from ports where the sender's offload left them so.
#[cold]
fn complete<P: Packet>(burst: &mut Burst<P>, plan: &Plan) {
    for packet in burst {
        let Headers { port, part, .. } = packet.meta().headers;
        // A kernel finishes a datagram before it cuts it up.
        if part == Part::Whole && plan.ports[usize::from(port)].rx_checksum == RxChecksum::Complete
        {
            complete_checksum(packet);
        }
    }
}

/// Finishes the UDP checksum that the sender's offload left unfinished.
fn complete_checksum<P: Packet>(packet: &mut P) {
    let headers = packet.meta().headers;
    let mut payload = SegmentSum::default();
    let mut skip = headers.payload();
    packet.for_each_segment(|segment| {
        payload.add(&segment[skip.min(segment.len())..]);
        skip = 0;
    });
    wire::complete_udp_checksum(packet.head_mut(), &headers, payload.sum());
}
