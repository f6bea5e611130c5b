//! The last two stages of each port that this worker sends to, and the way to those that others
//! send to.

use crate::packet::{BURST, Burst, Clock, Driver, DropReason, Packet, RxPort, TxPort};
use crate::plan::Plan;
use crate::stages::{Breakers, Egress, EgressDrr, Rx, TURN_COPIES, Tally, Tx};

use super::Handoff;
use super::handoff::burst_copies;

/// Who sends to a port.
// A few dozen of them, made at the start: the larger one is what is used.
#[allow(clippy::large_enum_variant)]
pub(super) enum Whose<D: Driver> {
    /// This worker, by the last two stages.
    Own(EgressDrr<D::Packet>, Tx<D::Tx>),
    /// The worker with this number.
    Other(usize),
}

impl<D: Driver> Whose<D> {
    /// This worker, with empty queues in front of `tx`.
    pub fn own(tx: D::Tx, plan: &Plan, slot: usize) -> Self {
        Self::Own(EgressDrr::new(plan, slot), Tx::new(tx, slot))
    }
}

/// All ports, by slot.
pub(super) struct EgressPorts<D: Driver> {
    ports: Vec<Whose<D>>,
    /// Buffers that were free when the turn began.
    pub free: usize,
    /// Copies that a burst may become.
    burst_copies: usize,
    /// What is shared with other workers, where there are any.
    pub handoff: Option<Box<Handoff<D::Packet>>>,
}

impl<D: Driver> EgressPorts<D> {
    /// Empty queues in front of `tx`, the send queues of the worker's ports.
    pub fn new(plan: &Plan, tx: Vec<D::Tx>, handoff: Option<Handoff<D::Packet>>) -> Self {
        let mut tx = tx.into_iter();
        let exit = |slot| match &handoff {
            Some(handoff) if handoff.sends(slot) != handoff.me() => {
                Some(Whose::Other(handoff.sends(slot)))
            }
            _ => tx.next().map(|tx| Whose::own(tx, plan, slot)),
        };
        let mut ports = Vec::with_capacity(plan.capacity.ports as usize);
        ports.extend((0..plan.ports.len()).map_while(exit));
        let handoff = handoff.map(Box::new);
        Self { ports, free: 0, burst_copies: burst_copies(plan), handoff }
    }

    /// Sends to the next port so from now on, in room that was kept for it.
    pub fn add_port(&mut self, exit: Whose<D>) {
        self.ports.push(exit);
    }

    /// Goes by another plan from now on.
    pub fn adopt(&mut self, plan: &Plan) {
        self.burst_copies = burst_copies(plan);
        for (slot, exit) in self.ports.iter_mut().enumerate() {
            if let Whose::Own(drr, _) = exit {
                drr.adopt(plan, slot);
            }
        }
    }

    /// Whether every output could take another burst.
    pub fn has_room(&self, plan: &Plan) -> bool {
        let hands_over = |handoff: &Handoff<_>| handoff.has_room(self.burst_copies);
        self.own_have_room(plan) && self.handoff.as_deref().is_none_or(hands_over)
    }

    /// Whether every output of a port that this worker sends to could take another burst.
    fn own_have_room(&self, plan: &Plan) -> bool {
        let mut ports = self.ports.iter().zip(&plan.ports);
        ports.all(|(exit, plan)| match exit {
            Whose::Own(drr, _) => drr.has_room(self.free, plan.lanes),
            Whose::Other(_) => true,
        })
    }

    /// Whether a burst could be handed over, whoever keeps its flows.
    pub fn can_spread(&self) -> bool {
        self.handoff.as_deref().is_none_or(Handoff::can_spread)
    }

    /// Looks at what other workers have handed over; before the turn takes up its plan.
    pub fn look(&mut self) {
        if let Some(handoff) = &mut self.handoff {
            handoff.look();
        }
    }

    /// Queues the copies that other workers have handed over; returns how many. Where all inputs
    /// are lossless they wait in their rings, a burst at a time, for room in the queues and until
    /// the worker has served its own: `is_idle` says whether nothing of it waits for fan-out.
    pub fn take_handed(
        &mut self,
        is_idle: bool,
        plan: &Plan,
        clock: &mut Rx<D::Rx, D::Clock>,
        tally: &mut Tally,
    ) -> usize {
        let Some(handoff) = &self.handoff else {
            return 0;
        };
        if !plan.lossless {
            return self.take_copies(handoff.copies_a_turn(), plan, clock, tally);
        }
        let each = (BURST / (handoff.workers() - 1)).max(1);
        let mut taken = 0;
        // Whether others have room must not matter here, or two workers could wait for each other.
        while is_idle && taken < TURN_COPIES as usize && self.own_have_room(plan) {
            match self.take_copies(each, plan, clock, tally) {
                0 => break,
                count => taken += count,
            }
        }
        taken
    }

    /// Takes up to `count` copies of each of the other workers; returns how many those were.
    fn take_copies(
        &mut self,
        count: usize,
        plan: &Plan,
        clock: &mut Rx<D::Rx, D::Clock>,
        tally: &mut Tally,
    ) -> usize {
        let Self { ports, free, handoff: Some(handoff), .. } = self else {
            return 0;
        };
        let port_of = |copy: &D::Packet| plan.outputs[copy.meta().output as usize].port as usize;
        let mut run = Burst::new();
        let mut queue = |run: &mut Burst<D::Packet>, tally: &mut Tally| {
            if let Some(Whose::Own(drr, tx)) = run.first().map(|first| &mut ports[port_of(first)]) {
                queue(drr, tx, run, *free, plan, clock, tally);
            }
        };
        let taken = handoff.take_copies(count, tally, |copy, tally| {
            let continues = |last: &D::Packet| port_of(last) == port_of(&copy);
            if run.is_full() || !run.last().is_none_or(continues) {
                queue(&mut run, tally);
            }
            run.push(copy);
        });
        queue(&mut run, tally);
        taken
    }

    /// Fills an empty burst with packets that others have handed over, where there is `room`; says
    /// whether there are any. Every second call is for the worker's own queues.
    pub fn receive(&mut self, burst: &mut Burst<D::Packet>, room: bool, tally: &mut Tally) -> bool {
        match &mut self.handoff {
            Some(handoff) if room => handoff.receive(burst, tally),
            _ => false,
        }
    }

    /// Hands over the packets of a burst whose flows others keep.
    pub fn spread(&mut self, burst: &mut Burst<D::Packet>, plan: &Plan, tally: &mut Tally) {
        if let Some(handoff) = &mut self.handoff {
            handoff.spread(burst, plan, tally);
        }
    }

    /// Sends frames of our own; what the port refuses stays in `frames`.
    pub fn originate(
        &mut self,
        slot: usize,
        frames: &mut Burst<D::Packet>,
        tally: &Tally,
    ) -> usize {
        match &mut self.ports[slot] {
            Whose::Own(_, tx) => tx.originate(frames, tally),
            Whose::Other(_) => 0,
        }
    }

    /// Sends what waits; gives up what waits for a port whose breaker is open. Returns how many
    /// copies moved.
    pub fn flush(
        &mut self,
        breakers: &Breakers,
        plan: &Plan,
        clock: &mut Rx<D::Rx, D::Clock>,
        tally: &mut Tally,
    ) -> usize {
        if let Some(handoff) = &mut self.handoff {
            handoff.flush(plan, tally);
        }
        let mut moved = 0;
        for (slot, exit) in self.ports.iter_mut().enumerate() {
            if let Whose::Own(drr, tx) = exit {
                if breakers.is_open(slot) {
                    moved += tx.give_up(drr, plan, tally);
                }
                moved += tx.flush(drr, plan, clock, tally);
            }
        }
        moved
    }

    /// Copies that wait.
    pub fn packets(&self) -> usize {
        let each = self.ports.iter().map(|exit| match exit {
            Whose::Own(drr, tx) => drr.packets() + tx.packets(),
            Whose::Other(_) => 0,
        });
        each.sum()
    }

    /// Drops all that waits, as `stopped`.
    pub fn discard(&mut self, plan: &Plan, tally: &mut Tally) {
        for exit in &mut self.ports {
            if let Whose::Own(drr, tx) = exit {
                tx.discard(plan, tally);
                while let Some(copy) = drr.take() {
                    tally.drop_after(DropReason::Stopped, &copy, plan);
                }
            }
        }
        if let Some(handoff) = &mut self.handoff {
            handoff.discard(plan, tally);
        }
    }
}

/// The way out of a turn: the ports, and the clock that is read behind each burst.
pub(super) struct Exit<'a, D: Driver> {
    pub egress: &'a mut EgressPorts<D>,
    pub clock: &'a mut Rx<D::Rx, D::Clock>,
}

impl<D: Driver> Egress<D::Packet> for Exit<'_, D> {
    fn take(&mut self, port: u32, copies: &mut Burst<D::Packet>, plan: &Plan, tally: &mut Tally) {
        let EgressPorts { ports, free, handoff, .. } = self.egress;
        match &mut ports[port as usize] {
            Whose::Own(drr, tx) => queue(drr, tx, copies, *free, plan, self.clock, tally),
            Whose::Other(worker) => {
                if let Some(handoff) = handoff {
                    handoff.hand(*worker, copies, plan, tally);
                }
            }
        }
    }
}

/// Queues copies for their port.
#[inline(always)]
fn queue<T: TxPort, R: RxPort, C: Clock>(
    drr: &mut EgressDrr<T::Packet>,
    tx: &mut Tx<T>,
    copies: &mut Burst<T::Packet>,
    free: usize,
    plan: &Plan,
    clock: &mut Rx<R, C>,
    tally: &mut Tally,
) {
    // Where nothing waits there is nothing to be fair between: copies go on as they come, and
    // a full burst to the port.
    while drr.passes() && !tx.is_full() && !copies.is_empty() {
        tx.stage(copies);
        if tx.is_full() {
            tx.send_early(drr, plan, clock, tally);
        }
    }
    for copy in copies.drain(..) {
        drr.enqueue(copy, free, plan, tally);
    }
}
