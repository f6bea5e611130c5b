//! Packets of one rule, one behind the other, that are copied together: an output at a time.
//!
//! Only for rules whose outputs ask for no choice by packet ([`PlainOutputs`]). What is not fit for
//! every output goes alone, in its turn, so that the order at each output is kept.

use arrayvec::ArrayVec;

use super::{Egress, Fanout, rewrite};
use crate::packet::{BURST, Burst, DropReason, FRAME_OVERHEAD, Meta, Packet, PacketPool, Payload};
use crate::plan::{OnlyOutput, OutputPlan, PlainOutputs, Plan};
use crate::stages::Tally;
use crate::wire::{self, Origin, PLAIN_HEADER};

/// What the copies of a packet are made of.
struct Original<P: Packet> {
    /// Its metadata, in no queue; of a plain origin with the bytes of a plain copy.
    meta: Meta,
    origin: Origin,
    payload: P::Payload,
}

impl<P: Packet> Original<P> {
    /// That of a packet whose headers need not be plain, for so many copies.
    #[inline(never)]
    fn of(packet: P, mut meta: Meta, origin: Origin, copies: usize) -> Self {
        let strip = meta.headers.payload();
        if origin.is_plain() {
            meta.bytes = meta.bytes - strip as u32 + PLAIN_HEADER as u32;
        }
        Self { meta, origin, payload: packet.into_payload(strip, copies) }
    }

    /// Makes a fresh header its copy for an output; false where there is no room in it.
    #[inline(always)]
    fn copy_to(
        &mut self,
        copy: &mut P,
        (slot, output): (u32, &OutputPlan),
        by_words: bool,
    ) -> bool {
        let Self { meta, origin, payload } = self;
        if by_words && origin.is_plain() {
            let Some(room) = payload.chain_behind(copy) else {
                return false;
            };
            output.template.write_plain(origin, room);
            // Whole, then what differs: its parts took more stores.
            let its = copy.meta_mut();
            *its = *meta;
            its.output = slot;
            return true;
        }
        let done = rewrite(copy, 0, output, origin);
        if done {
            payload.chain_to(copy);
            let bytes = copy.frame_len() as u32 + FRAME_OVERHEAD;
            *copy.meta_mut() = Meta { output: slot, bytes, ..*meta };
        }
        done
    }
}

impl<O: PacketPool> Fanout<O> {
    /// Rewrites packets in place, from the first one on, as long as each has one output alone, which
    /// it is fit for, on a port that they have in common. Returns its slot, and how many.
    pub(super) fn pass(
        &self,
        packets: &mut [O::Packet],
        plan: &Plan,
        tally: &mut Tally,
    ) -> (u32, usize) {
        let (mut port, mut passed) = (0, 0);
        if !self.breakers.all_closed() {
            return (port, passed);
        }
        while let Some(first) = packets.get(passed) {
            let rule = first.meta().rule;
            let Some(plain @ PlainOutputs { only: Some(only), .. }) =
                plan.rules[rule as usize].plain
            else {
                break;
            };
            if passed > 0 && u32::from(only.port) != port {
                break;
            }
            port = only.port.into();
            let output = &plan.outputs[only.slot as usize];
            let run = rewrite_run(&mut packets[passed..], rule, only, plain, output);
            if run == 0 {
                break;
            }
            tally.counters.rules[rule as usize].admitted.add(run as u64);
            tally.counters.outputs[only.slot as usize].copies.add(run as u64);
            passed += run;
        }
        tally.ledger.admitted += passed as u64;
        tally.ledger.copies += passed as u64;
        (port, passed)
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
            let meta = Meta { link: None, ..*packet.meta() };
            let long = meta.bytes - FRAME_OVERHEAD >= plan.copy_below;
            // Each way pushes for itself, so that nothing is put together twice.
            if let Some(head) = wire::plain_head(&packet).filter(|_| long) {
                let origin = Origin::read_plain(head);
                if plain.suit_plain(&origin, meta.bytes) {
                    let payload = packet.into_payload(PLAIN_HEADER, outputs.len());
                    originals.push(Original { meta, origin, payload });
                    continue;
                }
            }
            let origin = Origin::read(packet.head(), &meta.headers);
            if long && plain.suit(&origin, first) {
                originals.push(Original::of(packet, meta, origin, outputs.len()));
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
            let pairs = copies.iter_mut().zip(originals.iter_mut());
            let mut made = 0;
            for (copy, original) in pairs {
                if !original.copy_to(copy, (slot, output), by_words) {
                    break;
                }
                made += 1;
            }
            copies.truncate(made);
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

/// Replaces the headers of packets by those of their only output, from the first one on, as long as
/// they are of one rule and fit for it; returns how many.
#[inline(always)]
fn rewrite_run<P: Packet>(
    packets: &mut [P],
    rule: u32,
    only: OnlyOutput,
    plain: PlainOutputs,
    output: &OutputPlan,
) -> usize {
    let by_words = output.template.is_plain();
    let mut done = 0;
    for packet in packets {
        let Meta { rule: its, bytes, .. } = *packet.meta();
        if its != rule || !(only.chained || packet.segments() == 1) {
            break;
        }
        let rewritten = match wire::plain_head_mut(packet) {
            Some(head) if by_words => rewrite_plain(head, bytes, plain, output),
            _ => rewrite_any(packet, plain, output),
        };
        if !rewritten {
            break;
        }
        packet.meta_mut().output = only.slot;
        done += 1;
    }
    done
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

/// [`rewrite_any`] where packet and copy are plain: one header takes the other's place.
#[inline(always)]
fn rewrite_plain(
    head: &mut [u8; PLAIN_HEADER],
    bytes: u32,
    plain: PlainOutputs,
    output: &OutputPlan,
) -> bool {
    let origin = Origin::read_plain(head);
    let fits = plain.suit_plain(&origin, bytes);
    if fits {
        output.template.write_plain(&origin, head);
    }
    fits
}

/// Counts packets of a rule that come to fan-out.
#[inline(always)]
pub(super) fn count_admitted(packets: usize, rule: u32, tally: &mut Tally) {
    tally.ledger.admitted += packets as u64;
    tally.counters.rules[rule as usize].admitted.add(packets as u64);
}

/// Counts copies that were made for the output with this slot.
#[inline(always)]
fn count(copies: u64, slot: u32, tally: &mut Tally) {
    tally.ledger.copies += copies;
    tally.counters.outputs[slot as usize].copies.add(copies);
}
