//! Fan-out - one packet, N owners: a new header for each output, the payload never copied.
//!
//! Expects:  packets in EDF's order, direct and with one owner.
//! Leaves:   copies in the egress queues of their outputs.
//! Drops:    per copy `ttl`, `mtu`, `breaker_open`, `unresolved`, `header_alloc`.
//! Config:   `rule.output`, `rule.balance`, `fanout.copy_below`, `port.mtu`.
//! Bounds:   O(1) a copy; header buffers are taken in bulk, by way of a stock of [`STOCK`].
//!
//! Packets of a rule whose outputs are all alike to it are replicated by the run, an output at a
//! time: its template and its counters are at hand then, and its headers are those that the port
//! has just given back. The others go one by one.
//!
//! One copy is rewritten in place. For more, each gets a header buffer with the rewritten
//! Ethernet, VLAN, IP and UDP headers, chained to the shared payload, whose owner count is set
//! once to the number of headers that were built. A port that cannot send chains gets one
//! linear buffer a copy, from a pool of its own. A copy that finds no buffer is missing alone.

mod balance;
mod run;

use arrayvec::{ArrayVec, IntoIter};

use crate::config::OUTPUTS_MAX;
use crate::packet::{BURST, Burst, DropReason, FRAME_OVERHEAD, Meta, Packet, PacketPool};
use crate::plan::{OutputPlan, PlainOutputs, Plan};
use crate::wire::Origin;

use super::{BreakerWords, Breakers, Neighbours, Tally};
use run::count_admitted;

/// Header buffers kept at hand between packets.
const STOCK: usize = BURST;

/// Where copies go: the last two stages of each port.
pub trait Egress<P: Packet> {
    /// Takes all of these finished copies, whose port has this slot; those of an output in order.
    fn take(&mut self, port: u32, copies: &mut Burst<P>, plan: &Plan, tally: &mut Tally);
}

/// The stage: its buffers and its scratch space.
#[derive(Debug)]
pub struct Fanout<O: PacketPool> {
    headers: O,
    stock: ArrayVec<O::Packet, STOCK>,
    /// By port slot: buffers for linear copies, where the port may need them.
    linear: Vec<Option<O>>,
    /// Which ports and receivers copies are made for.
    pub breakers: Breakers,
    /// Where unicast copies go, and those that wait for that.
    pub neighbours: Neighbours<O::Packet>,
    /// Packets left out since the last one sampled, by output slot.
    skipped: Box<[u32]>,
    /// Outputs that the packet at hand is copied for.
    chosen: Vec<u32>,
    /// Header buffers built for the packet at hand.
    built: Vec<O::Packet>,
}

impl<O: PacketPool> Fanout<O> {
    /// A stage that takes headers from `headers` and linear copies from the pool of their port.
    pub fn new(headers: O, linear: Vec<Option<O>>, plan: &Plan, breakers: &BreakerWords) -> Self {
        Self {
            headers,
            stock: ArrayVec::new(),
            linear: with_room(linear, plan.capacity.ports as usize),
            breakers: Breakers::new(breakers),
            neighbours: Neighbours::new(plan),
            skipped: vec![0; plan.capacity.outputs as usize].into(),
            chosen: Vec::with_capacity(OUTPUTS_MAX),
            built: Vec::with_capacity(OUTPUTS_MAX),
        }
    }

    /// Takes linear copies for the next port from `linear`.
    pub fn add_port(&mut self, linear: Option<O>) {
        self.linear.push(linear);
    }

    /// Header buffers that are to be had, the stock included.
    pub fn headers_available(&self) -> usize {
        self.headers.available() + self.stock.len()
    }

    /// Gives the stock back to its pool.
    pub fn release(&mut self) {
        self.stock.clear();
    }

    /// Makes the copies of a burst's packets and queues them.
    pub fn replicate(
        &mut self,
        burst: &mut Burst<O::Packet>,
        plan: &Plan,
        egress: &mut impl Egress<O::Packet>,
        tally: &mut Tally,
    ) {
        let (mut port, mut passed) = self.pass(burst, plan, tally);
        if passed == burst.len() {
            // Nearly always so with one output a rule: nothing is moved.
            egress.take(port, burst, plan, tally);
            return;
        }
        let mut packets = std::mem::take(burst).into_iter();
        while !packets.as_slice().is_empty() {
            if passed > 0 {
                let mut copies = packets.by_ref().take(passed).collect();
                egress.take(port, &mut copies, plan, tally);
            }
            self.replicate_run(&mut packets, plan, egress, tally);
            (port, passed) = self.pass(packets.as_mut_slice(), plan, tally);
        }
    }

    /// Makes the copies of the packets in front that are of one rule, or of the first one alone
    /// where its rule has one output that it is not fit for.
    fn replicate_run(
        &mut self,
        packets: &mut IntoIter<O::Packet, BURST>,
        plan: &Plan,
        egress: &mut impl Egress<O::Packet>,
        tally: &mut Tally,
    ) {
        let Some(rule) = packets.as_slice().first().map(|packet| packet.meta().rule) else {
            return;
        };
        let (outputs, plain) = (plan.outputs_of(rule), self.plain(rule, plan));
        let one = |packet: &&O::Packet| packet.meta().rule == rule;
        let count = match (outputs, plain) {
            ([_], Some(_)) => 1,
            _ => packets.as_slice().iter().take_while(one).count(),
        };
        count_admitted(count, rule, tally);
        let run = packets.by_ref().take(count);
        match plain {
            Some(plain)
                if outputs.len() > 1 && self.headers_available() >= outputs.len() * count =>
            {
                self.multiply(run, outputs, plain, plan, egress, tally);
            }
            _ => run.for_each(|packet| self.replicate_one(packet, plan, egress, tally)),
        }
    }

    /// What holds for all outputs of a rule, where none of them asks for a choice by packet now.
    fn plain(&self, rule: u32, plan: &Plan) -> Option<PlainOutputs> {
        plan.rules[rule as usize].plain.filter(|_| self.breakers.all_closed())
    }

    /// Makes the copies of one packet, each output by itself, and queues them.
    fn replicate_one(
        &mut self,
        mut packet: O::Packet,
        plan: &Plan,
        egress: &mut impl Egress<O::Packet>,
        tally: &mut Tally,
    ) {
        let headers = packet.meta().headers;
        let origin = Origin::read(packet.head(), &headers);
        self.choose(&packet, &origin, plan, tally);
        let strip = headers.payload();
        if let [slot] = self.chosen[..] {
            let output = &plan.outputs[slot as usize];
            let chained = plan.ports[output.port as usize].sends_chains;
            if (chained || packet.segments() == 1) && rewrite(&mut packet, strip, output, &origin) {
                packet.meta_mut().output = slot;
                self.send(packet, output, &origin, plan, egress, tally);
                return;
            }
        }
        let meta = *packet.meta();
        for i in 0..self.chosen.len() {
            let slot = self.chosen[i];
            let output = &plan.outputs[slot as usize];
            match self.copy(&packet, &meta, slot, output, &origin, plan) {
                Some((copy, true)) => self.built.push(copy),
                Some((copy, false)) => self.send(copy, output, &origin, plan, egress, tally),
                None => tally.drop_unmade(DropReason::HeaderAlloc, slot, &packet, plan),
            }
        }
        packet.share(strip, &mut self.built);
        let mut built = std::mem::take(&mut self.built);
        for copy in built.drain(..) {
            let output = &plan.outputs[copy.meta().output as usize];
            self.send(copy, output, &origin, plan, egress, tally);
        }
        self.built = built;
    }

    /// Queues a finished copy at its port, or lets it wait for its neighbour.
    #[inline(always)]
    fn send(
        &mut self,
        mut copy: O::Packet,
        output: &OutputPlan,
        origin: &Origin,
        plan: &Plan,
        egress: &mut impl Egress<O::Packet>,
        tally: &mut Tally,
    ) {
        copy.meta_mut().bytes = copy.frame_len() as u32 + FRAME_OVERHEAD;
        if let Some(slot) = output.neighbour(origin) {
            match self.neighbours.pass(slot, copy) {
                Some(known) => copy = known,
                None => return,
            }
        }
        let mut copies = Burst::new();
        copies.push(copy);
        egress.take(output.port, &mut copies, plan, tally);
    }

    /// Finds the outputs that get a copy; those that cannot are counted.
    fn choose(&mut self, packet: &O::Packet, origin: &Origin, plan: &Plan, tally: &mut Tally) {
        self.chosen.clear();
        let outputs = plan.outputs_of(packet.meta().rule);
        let passed_over = self.passed_over(packet, origin, outputs, plan, tally);
        for (place, &slot) in outputs.iter().enumerate() {
            let output = &plan.outputs[slot as usize];
            let counters = &tally.counters.outputs[slot as usize];
            if passed_over.holds(place) {
                counters.not_selected.add(1);
                continue;
            }
            if output.sample > 1 {
                let skipped = &mut self.skipped[slot as usize];
                *skipped = (*skipped + 1) % output.sample;
                if *skipped != 1 {
                    counters.not_selected.add(1);
                    continue;
                }
            }
            counters.copies.add(1);
            tally.ledger.copies += 1;
            if output.template.ttl_expired(origin) {
                tally.drop_unmade(DropReason::Ttl, slot, packet, plan);
            } else if output.template.ip_len(origin) > plan.ports[output.port as usize].mtu as usize
            {
                tally.drop_unmade(DropReason::Mtu, slot, packet, plan);
            } else if !self.breakers.admits(output.port, output.receiver) {
                tally.drop_unmade(DropReason::BreakerOpen, slot, packet, plan);
            } else if output
                .neighbour(origin)
                .is_some_and(|neighbour| !self.neighbours.admit(neighbour, slot, plan))
            {
                tally.drop_unmade(DropReason::Unresolved, slot, packet, plan);
            } else {
                self.chosen.push(slot);
            }
        }
    }

    /// A copy of `packet` for one output, and whether the payload is still to be chained to it.
    fn copy(
        &mut self,
        packet: &O::Packet,
        meta: &Meta,
        slot: u32,
        output: &OutputPlan,
        origin: &Origin,
        plan: &Plan,
    ) -> Option<(O::Packet, bool)> {
        let small = meta.bytes - FRAME_OVERHEAD < plan.copy_below;
        let chained = plan.ports[output.port as usize].sends_chains && !small;
        let mut copy = if chained {
            self.header()?
        } else {
            let mut one = ArrayVec::<_, 1>::new();
            self.linear[output.port as usize].as_mut()?.take(&mut one, 1);
            one.pop()?
        };
        if !rewrite(&mut copy, 0, output, origin) {
            return None;
        }
        if !chained && !packet.copy_tail(meta.headers.payload(), &mut copy) {
            return None;
        }
        let kept = copy.meta_mut();
        *kept = Meta { link: None, output: slot, ..*meta };
        Some((copy, chained))
    }

    /// A header buffer, from the stock.
    fn header(&mut self) -> Option<O::Packet> {
        if self.stock.is_empty() {
            self.headers.take(&mut self.stock, STOCK);
        }
        self.stock.pop()
    }
}

/// Replaces the first `strip` bytes of `packet` by the output's headers.
#[inline(never)]
fn rewrite<P: Packet>(packet: &mut P, strip: usize, output: &OutputPlan, origin: &Origin) -> bool {
    if origin.is_fragment() {
        return rewrite_fragment(packet, strip, output, origin);
    }
    let len = output.template.header_len(origin);
    let Some(room) = packet.replace_front(strip, len) else {
        return false;
    };
    output.template.write(origin, room);
    true
}

/// A list with room for `count` in all.
fn with_room<T>(mut list: Vec<T>, count: usize) -> Vec<T> {
    list.reserve_exact(count.saturating_sub(list.len()));
    list
}

/// [`rewrite`] of a fragment.
#[cold]
fn rewrite_fragment<P: Packet>(
    packet: &mut P,
    strip: usize,
    output: &OutputPlan,
    origin: &Origin,
) -> bool {
    let len = output.template.fragment_header_len(origin);
    let Some(room) = packet.replace_front(strip, len) else {
        return false;
    };
    output.template.write_fragment(origin, room);
    true
}
