//! Packets of one rule, one behind the other, that are copied together: an output at a time.
//!
//! Only for rules whose outputs ask for no choice by packet ([`PlainOutputs`]). What is not fit for
//! every output goes alone, in its turn, so that the order at each output is kept.

use arrayvec::ArrayVec;

use super::{Egress, Fanout, rewrite};
use crate::packet::{
    BURST, Burst, DropReason, FRAME_OVERHEAD, Meta, Packet, PacketPool, Payload, keep,
};
use crate::plan::{OutputPlan, PlainOutputs, Plan};
use crate::stages::Tally;
use crate::wire::{self, Origin, PLAIN_HEADER};

/// What the copies of a packet are made of.
struct Original<P: Packet> {
    meta: Meta,
    origin: Origin,
    payload: P::Payload,
}

/// Packets that were rewritten in place, of one rule or of several, on their way to one port.
pub(super) struct Passed<P> {
    port: u32,
    copies: Burst<P>,
}

impl<P: Packet> Passed<P> {
    /// None so far.
    pub fn new() -> Self {
        Self { port: 0, copies: Burst::new() }
    }

    /// Queues them at their port.
    pub fn hand_on(&mut self, plan: &Plan, egress: &mut impl Egress<P>, tally: &mut Tally) {
        if !self.copies.is_empty() {
            egress.take(self.port, &mut self.copies, plan, tally);
        }
    }
}

impl<O: PacketPool> Fanout<O> {
    /// Rewrites the packets of a run in place, for their only output.
    pub(super) fn pass(
        &mut self,
        run: impl Iterator<Item = O::Packet>,
        (slot, plain): (u32, PlainOutputs),
        passed: &mut Passed<O::Packet>,
        plan: &Plan,
        egress: &mut impl Egress<O::Packet>,
        tally: &mut Tally,
    ) {
        let output = &plan.outputs[slot as usize];
        if output.port != passed.port {
            passed.hand_on(plan, egress, tally);
            passed.port = output.port;
        }
        let chained = plan.ports[output.port as usize].sends_chains;
        let by_words = output.template.is_plain();
        let mut made = 0;
        for mut packet in run {
            let headers = packet.meta().headers;
            let fits = chained || packet.segments() == 1;
            let done = match wire::plain(packet.head(), &headers) {
                Some(head) if fits && by_words => {
                    let origin = Origin::read_plain(head);
                    plain.suit(&origin, output)
                        && rewrite_plain(&mut packet, PLAIN_HEADER, output, &origin)
                }
                _ => fits && rewrite_any(&mut packet, plain, output),
            };
            if done {
                packet.meta_mut().output = slot;
                passed.copies.push(packet);
                made += 1;
            } else {
                count(std::mem::take(&mut made), slot, tally);
                passed.hand_on(plan, egress, tally);
                self.replicate_one(packet, plan, egress, tally);
            }
        }
        count(made, slot, tally);
    }

    /// Copies the packets of a run for each of `outputs`; there are headers enough.
    pub(super) fn multiply(
        &mut self,
        run: impl Iterator<Item = O::Packet>,
        outputs: &[u32],
        plain: PlainOutputs,
        plan: &Plan,
        egress: &mut impl Egress<O::Packet>,
        tally: &mut Tally,
    ) {
        let Some(&first) = outputs.first() else {
            return;
        };
        let first = &plan.outputs[first as usize];
        let mut originals = ArrayVec::<_, BURST>::new();
        for packet in run {
            let meta = *packet.meta();
            let origin = match wire::plain(packet.head(), &meta.headers) {
                Some(head) => Origin::read_plain(head),
                None => Origin::read(packet.head(), &meta.headers),
            };
            if meta.bytes - FRAME_OVERHEAD >= plan.copy_below && plain.suit(&origin, first) {
                let payload = packet.into_payload(meta.headers.payload(), outputs.len());
                originals.push(Original { meta, origin, payload });
            } else {
                self.copy_all(&mut originals, outputs, plan, egress, tally);
                self.replicate_one(packet, plan, egress, tally);
            }
        }
        self.copy_all(&mut originals, outputs, plan, egress, tally);
    }

    /// Takes so many headers from the pool, and of the stock only what it lacks.
    fn take_headers(&mut self, into: &mut Burst<O::Packet>, count: usize) {
        self.headers.take(into, count);
        let missing = self.stock.len().min(count - into.len());
        into.extend(self.stock.drain(..missing));
    }

    /// Copies `originals` for each of `outputs`, an output at a time.
    fn copy_all(
        &mut self,
        originals: &mut ArrayVec<Original<O::Packet>, BURST>,
        outputs: &[u32],
        plan: &Plan,
        egress: &mut impl Egress<O::Packet>,
        tally: &mut Tally,
    ) {
        for &slot in outputs {
            let output = &plan.outputs[slot as usize];
            let by_words = output.template.is_plain();
            let mut copies = Burst::new();
            self.take_headers(&mut copies, originals.len());
            let mut rest = originals.iter_mut();
            keep(&mut copies, |copy| {
                let Some(Original { meta, origin, payload }) = rest.next() else {
                    return false;
                };
                let done = match by_words && origin.is_plain() {
                    true => rewrite_plain(copy, 0, output, origin),
                    false => rewrite(copy, 0, output, origin),
                };
                if done {
                    payload.chain_to(copy);
                    let bytes = copy.frame_len() as u32 + FRAME_OVERHEAD;
                    *copy.meta_mut() = Meta { link: None, output: slot, bytes, ..*meta };
                }
                done
            });
            count(originals.len() as u64, slot, tally);
            // Whoever shares the pool was faster.
            for _ in copies.len()..originals.len() {
                tally.count_after(DropReason::HeaderAlloc, slot);
            }
            egress.take(output.port, &mut copies, plan, tally);
        }
        originals.clear();
    }
}

/// Replaces the headers of a packet by those of its only output, where it is fit for it.
#[inline(never)]
fn rewrite_any<P: Packet>(packet: &mut P, plain: PlainOutputs, output: &OutputPlan) -> bool {
    let headers = packet.meta().headers;
    let origin = Origin::read(packet.head(), &headers);
    let done = plain.suit(&origin, output) && rewrite(packet, headers.payload(), output, &origin);
    packet.meta_mut().bytes = packet.frame_len() as u32 + FRAME_OVERHEAD;
    done
}

/// [`rewrite`] where packet and copy are IPv4 without tags.
#[inline(always)]
fn rewrite_plain<P: Packet>(
    packet: &mut P,
    strip: usize,
    output: &OutputPlan,
    origin: &Origin,
) -> bool {
    let room = packet.replace_front(strip, PLAIN_HEADER);
    let Some(room) = room.and_then(|room| room.first_chunk_mut()) else {
        return false;
    };
    output.template.write_plain(origin, room);
    true
}

/// Counts copies that were made for the output with this slot.
#[inline(always)]
fn count(copies: u64, slot: u32, tally: &mut Tally) {
    tally.ledger.copies += copies;
    tally.counters.outputs[slot as usize].copies.add(copies);
}
