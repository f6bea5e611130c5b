//! The worker: all stages of the packet's way, composed in one turn.
//!
//! A worker owns its receive queues, schedulers, queues and counters alone; it shares nothing but
//! counters that others read, one word by which management asks it to stop and, where there are
//! several workers, rings by which they hand over what is another's.

mod added;
mod control;
mod egress;
mod handoff;
mod idle;
mod mailbox;
mod sync;

pub use added::{AddedPort, PortParts, PortSink, PortSource, QUEUES_MAX, port_ring};
pub use control::{Control, Left, Phase, Word};
pub use handoff::Handoff;
pub use mailbox::Mailbox;

use std::sync::Arc;

use crate::ledger::Counters;
use crate::packet::{BURST, Burst, Driver, DropReason, PacketPool, Ticks};
use crate::plan::Plan;
use crate::sched::Pressure;
use crate::stages::{
    Classify, Edf, Fanout, Flows, IngressDrr, Originate, Parse, Police, Punt, Rx, RxSource,
    TURN_COPIES, TURN_PACKETS, Tally,
};

use egress::{EgressPorts, Exit};
use idle::{Idle, Turn};

/// What a worker is made of besides its plan.
pub struct Parts<D: Driver> {
    /// The receive queues that it owns.
    pub rx: Vec<RxSource<D::Rx>>,
    /// The send queue of each port that it sends to, in port slot order.
    pub tx: Vec<D::Tx>,
    /// Buffers that received packets lie in.
    pub payload: D::Pool,
    /// Buffers for the headers of copies.
    pub headers: D::Pool,
    /// By port slot: buffers for linear copies, where the port may need them.
    pub linear: Vec<Option<D::Pool>>,
    /// The clock; none for the capture's.
    pub clock: Option<D::Clock>,
    /// The way to the slow path and back; without one its packets are counted and freed.
    pub slow_path: Option<(Punt, Originate<D::Pool>)>,
}

/// One worker: the packet's way from its receive queues to its ports.
pub struct Worker<D: Driver> {
    plan: Arc<Plan>,
    /// Its number.
    me: usize,
    rx: Rx<D::Rx, D::Clock>,
    parse: Parse,
    classify: Classify,
    police: Police,
    ingress_drr: IngressDrr<D::Packet>,
    edf: Edf<D::Packet>,
    fanout: Fanout<D::Pool>,
    egress: EgressPorts<D>,
    originate: Option<Originate<D::Pool>>,
    flows: Flows,
    payload: D::Pool,
    /// Buffers of `payload` that there are besides those that drivers hold.
    capacity: usize,
    pressure: Pressure,
    control: Arc<Control>,
    /// Where ports come from that a plan adds.
    added: Option<PortSource<D>>,
    tally: Tally,
    /// Whether ports are still polled.
    receiving: bool,
    /// Packets that the last turn received, its own and handed over.
    received: usize,
    /// Packets that the last turn took through fan-out.
    served: usize,
    /// Header buffers that a burst may need.
    burst_headers: usize,
    /// Header buffers that there are.
    header_capacity: usize,
    /// When the turn before ended, in ticks; 0 before the first.
    ended: Ticks,
    /// Captures that it has seen begin and end.
    captures: u32,
}

/// Buffers that are to be had.
struct Free {
    payload: usize,
    headers: usize,
}

impl Free {
    #[inline(always)]
    fn now<P: PacketPool>(payload: &P, fanout: &Fanout<P>) -> Self {
        Self { payload: payload.available(), headers: fanout.headers_available() }
    }
}

impl<D: Driver> Worker<D> {
    /// The only worker, at rest. Everything it will ever hold is allocated here.
    pub fn new(
        plan: Arc<Plan>,
        parts: Parts<D>,
        counters: Arc<Counters>,
        control: Arc<Control>,
    ) -> Self {
        Self::among(plan, parts, counters, control, None)
    }

    /// A worker at rest, one of several where it has a [`Handoff`].
    pub fn among(
        plan: Arc<Plan>,
        parts: Parts<D>,
        counters: Arc<Counters>,
        control: Arc<Control>,
        handoff: Option<Handoff<D::Packet>>,
    ) -> Self {
        let (me, workers) = handoff.as_ref().map_or((0, 1), |h| (h.me(), h.workers()));
        let header_capacity = parts.headers.available();
        let (punt, originate) = parts.slow_path.unzip();
        Self {
            me,
            rx: Rx::new(parts.rx, parts.clock),
            parse: Parse::new(punt),
            classify: Classify,
            police: Police,
            ingress_drr: IngressDrr::new(&plan),
            edf: Edf::new(&plan),
            fanout: Fanout::new(parts.headers, parts.linear, &plan, &control.breakers),
            egress: EgressPorts::new(&plan, parts.tx, handoff),
            originate,
            flows: Flows::of_worker(&plan, me, workers),
            capacity: parts.payload.available(),
            payload: parts.payload,
            pressure: Pressure::default(),
            control,
            added: None,
            tally: Tally::new(counters),
            receiving: true,
            received: 0,
            served: 0,
            ended: 0,
            captures: 0,
            burst_headers: burst_headers(&plan, header_capacity),
            header_capacity,
            plan,
        }
    }

    /// Keeps room for the ports that come by `added`, each with the plan that has it.
    pub fn with_ports_from(mut self, added: PortSource<D>) -> Self {
        self.rx.reserve(added.buffer().capacity() * QUEUES_MAX);
        self.added = Some(added);
        self
    }

    /// Goes by the plan in the mailbox from now on, where there is a new one. The old one is left
    /// there: management frees it.
    fn adopt(&mut self) {
        if !self.control.mailbox.swap(self.me, &mut self.plan) {
            return;
        }
        self.add_ports();
        let Self { plan, rx, ingress_drr, edf, fanout, egress, flows, tally, .. } = self;
        for &rule in &plan.cleared.rules {
            tally.counters.rules[rule as usize].clear();
        }
        for &output in &plan.cleared.outputs {
            tally.counters.outputs[output as usize].clear();
        }
        plan.cleared.flows.iter().for_each(|&flow| flows.clear(flow));
        ingress_drr.adopt(plan);
        if plan.reorders {
            edf.adopt(plan, rx.now());
        }
        egress.adopt(plan);
        fanout.neighbours.adopt(plan, tally);
        self.burst_headers = burst_headers(plan, self.header_capacity);
    }

    /// Takes in the ports that the plan has added.
    #[cold]
    fn add_ports(&mut self) {
        let Some(added) = &mut self.added else {
            return;
        };
        let ports = self.plan.ports.len();
        while added.peek().is_ok_and(|port| port.slot < ports)
            && let Ok(AddedPort { slot, rx, exit, linear, own, held }) = added.pop()
        {
            rx.into_iter().for_each(|source| self.rx.add(source));
            self.fanout.add_port(linear);
            self.egress.add_port(exit);
            if let (Some(originate), Some(own)) = (&mut self.originate, own) {
                originate.add_port(slot, own);
            }
            self.capacity = self.capacity.saturating_sub(held);
        }
    }

    /// Looks at management's words and at how much memory is free, once a turn.
    #[inline(always)]
    fn look(&mut self) -> Free {
        let Self { plan, rx, fanout, egress, payload, pressure, tally, .. } = self;
        fanout.breakers.refresh(&self.control.breakers);
        let free = Free::now(payload, fanout);
        pressure.update(self.capacity.saturating_sub(free.payload), self.capacity);
        egress.free = free.payload.min(free.headers);
        let (words, least) = (&self.control.neighbours, egress.free);
        fanout.neighbours.refresh(words, least, plan, &mut Exit { egress, clock: rx }, tally);
        free
    }

    /// Takes packets one turn further along their way; returns how many moved.
    pub fn turn(&mut self) -> usize {
        // Before the plan: what others hand over was matched by this one or one before it.
        self.egress.look();
        self.adopt();
        let mut free = self.look();
        let Self { plan, rx, parse, classify, police, ingress_drr, edf, fanout, .. } = self;
        let Self { egress, originate, flows, payload, pressure, tally, .. } = self;
        let served = std::mem::take(&mut self.served);
        // By a capture's clock each burst has a turn of its own.
        let share = if rx.is_capture() { 1 } else { BURST.max(2 * served) };
        let enough = tally.ledger.copies + TURN_COPIES;
        let is_idle = ingress_drr.packets() + edf.packets() == 0;
        let handed = egress.take_handed(is_idle, plan, rx, tally);
        let mut received = 0;
        let mut served_from = rx.now();
        while received < share {
            let (mut burst, before) = (Burst::new(), received);
            if received > 0 {
                free = Free::now(payload, fanout);
            }
            let room = ingress_drr.packets() + edf.packets() == 0
                && pressure.is_none()
                && egress.has_room(plan)
                && free.payload >= 2 * BURST
                && free.headers >= self.burst_headers;
            if egress.receive(&mut burst, room || !plan.lossless, tally) {
                served_from = rx.read_clock();
                classify.adopt(&mut burst, plan, flows, ingress_drr, served_from, tally);
                received += burst.len();
            } else {
                rx.receive(&mut burst, room && egress.can_spread(), self.receiving, tally);
                served_from = rx.now();
                if burst.is_empty() {
                    break;
                }
                received += burst.len();
                parse.inspect(&mut burst, plan, tally);
                classify.inspect(&mut burst, plan, flows, ingress_drr, rx.now(), tally);
                tally.show_matched(&burst, plan);
                egress.spread(&mut burst, plan, tally);
            }
            police.inspect(&mut burst, plan, flows, tally);
            ingress_drr.shed(&mut burst, *pressure, plan, tally);
            // A port that waits loses nothing, so that shares have nothing to decide; one that has
            // been read empty has nothing more to come.
            let complete = plan.lossless || received - before < BURST;
            if ingress_drr.passes(&mut burst, complete, edf, plan, flows) {
                self.served += burst.len();
                fanout.replicate(&mut burst, plan, &mut Exit { egress, clock: rx }, tally);
                // Behind a full burst there may be another.
                if received - before < BURST || !has_time(self.served, tally, enough) {
                    break;
                }
                continue;
            }
            ingress_drr.enqueue(&mut burst, plan, flows, tally);
        }

        edf.fill(ingress_drr, plan, served_from, tally);
        while edf.packets() > 0 {
            let room = (TURN_PACKETS - self.served, enough.saturating_sub(tally.ledger.copies));
            let mut burst = edf.serve(room, ingress_drr, plan, served_from, tally);
            if burst.is_empty() {
                break;
            }
            self.served += burst.len();
            fanout.replicate(&mut burst, plan, &mut Exit { egress, clock: rx }, tally);
        }

        if self.served > 0 {
            rx.read_clock();
        }
        let mut moved = handed + received + self.served;
        moved += send_own(originate, egress, tally);
        moved += egress.flush(&fanout.breakers, plan, rx, tally);
        edf.note(rx.now() - served_from);
        self.received = received;
        self.publish(moved)
    }

    /// Turns until management asks for the end; an `adaptive` worker sleeps while little comes.
    pub fn run(&mut self, adaptive: bool) {
        let mut idle = Idle::new(adaptive);
        while let Some(moved) = self.step() {
            let ledger = &self.tally.ledger;
            let waits = ledger.waiting_before + ledger.waiting_after > 0;
            let alone = !waits && self.egress.handoff.is_none();
            let turn = Turn { moved, received: self.received, alone };
            idle.rest(turn, &self.plan, &mut self.rx);
        }
    }

    /// One turn, where management does not ask for the end; returns how many packets moved.
    /// Without a turn the worker has ended, and keeps nothing.
    pub fn step(&mut self) -> Option<usize> {
        let word = self.control.word();
        if word.captures != self.captures && self.tally.swap_tap(word.captures % 2 == 1) {
            self.captures = word.captures;
        }
        let ended = match word.phase {
            Phase::Run => false,
            Phase::Drain => {
                let ended = self.is_quiet();
                self.receiving = false;
                // Who answers now is not heard any more.
                self.fanout.neighbours.discard(&self.plan, &mut self.tally);
                self.leave();
                ended
            }
            Phase::Abort => {
                self.discard();
                self.control.leave(self.me, Left::Copying);
                if !self.is_alone() {
                    return Some(0);
                }
                true
            }
        };
        if !ended {
            return Some(self.turn());
        }
        self.fanout.release();
        self.publish(0);
        None
    }

    /// Which classes are admitted, as of the last turn.
    pub fn pressure(&self) -> Pressure {
        self.pressure
    }

    /// Whether nothing waits anywhere, and nothing will come.
    pub fn is_quiet(&self) -> bool {
        !self.receiving
            && self.tally.ledger.is_quiet()
            && self.originate.as_ref().is_none_or(Originate::is_quiet)
            && self.is_alone()
    }

    /// Whether no other worker has handed, or will hand, anything over.
    fn is_alone(&self) -> bool {
        let Some(handoff) = &self.egress.handoff else {
            return true;
        };
        self.control.all_left(Left::Copying) && !handoff.has_packets() && !handoff.has_copies()
    }

    /// Says what this worker will not hand to others any more: no packets once it has stopped to
    /// receive, no copies once it can get no packets either.
    fn leave(&self) {
        let Some(handoff) = &self.egress.handoff else {
            return;
        };
        if self.rx.packets() > 0 {
            return;
        }
        let done = self.control.all_left(Left::Receiving)
            && !handoff.has_packets()
            && self.tally.ledger.waiting_before == 0;
        self.control.leave(self.me, if done { Left::Copying } else { Left::Receiving });
    }

    /// Ends a turn: what waits is counted, and others may see the totals.
    fn publish(&mut self, moved: usize) -> usize {
        let ledger = &mut self.tally.ledger;
        let before = self.rx.packets() + self.ingress_drr.packets() + self.edf.packets();
        let after = self.egress.packets() + self.fanout.neighbours.packets();
        let waiting = (before as u64, after as u64);
        // What was dropped late while it waited has moved too.
        let changed = moved > 0 || waiting != (ledger.waiting_before, ledger.waiting_after);
        (ledger.waiting_before, ledger.waiting_after) = waiting;
        let counters = &self.tally.counters;
        if changed {
            counters.ledger.publish(ledger);
            counters.worker.busy_turns.add(1);
        }
        let now = self.rx.now();
        if self.ended > 0 {
            let turn = now - self.ended;
            counters.worker.longest_turn.raise_to(turn);
            if counters.worker.generation.get() != self.plan.generation {
                counters.worker.plan_turn.set(turn);
            }
        }
        self.ended = now;
        counters.worker.turns.add(1);
        counters.worker.heartbeat.set(now);
        counters.worker.generation.release(self.plan.generation);
        moved
    }

    /// Drops all that waits, as `stopped`.
    fn discard(&mut self) {
        let (plan, tally) = (&*self.plan, &mut self.tally);
        self.rx.discard(|packet| tally.drop_unmatched(DropReason::Stopped, packet, plan));
        self.originate.iter_mut().for_each(Originate::discard);
        while let Some(packet) = self.ingress_drr.dequeue(|_| true).or_else(|| self.edf.take()) {
            tally.drop_before(DropReason::Stopped, &packet, plan);
        }
        self.fanout.neighbours.discard(plan, tally);
        self.egress.discard(plan, tally);
        self.publish(1);
    }
}

/// Whether another burst like those before is no more than a turn may serve, which has served so many
/// packets, and for which so many copies are `enough`.
#[inline(always)]
fn has_time(served: usize, tally: &Tally, enough: u64) -> bool {
    let left = enough.saturating_sub(tally.ledger.copies);
    served + BURST <= TURN_PACKETS && 2 * left >= TURN_COPIES
}

/// Sends the frames of our own that wait; returns how many.
#[inline(always)]
fn send_own<D: Driver>(
    originate: &mut Option<Originate<D::Pool>>,
    egress: &mut EgressPorts<D>,
    tally: &Tally,
) -> usize {
    let Some(originate) = originate.as_mut().filter(|originate| !originate.is_idle()) else {
        return 0;
    };
    originate.flush(tally, |slot, frames| egress.originate(slot, frames, tally))
}

/// Header buffers that a burst may need; a pool that has fewer is asked for all it has.
fn burst_headers(plan: &Plan, capacity: usize) -> usize {
    let widest = plan.rules.iter().map(|rule| rule.fan_out() as usize).max().unwrap_or(0);
    (BURST * widest).min(capacity)
}
