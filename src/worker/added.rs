//! A port that comes while the worker runs.
//!
//! Management makes whole what a worker needs of it, and puts that into the worker's ring before the
//! plan that has the port goes into the mailbox. The worker takes it out with that plan and moves
//! it to where room was kept for it since the start: it neither allocates nor frees nor waits.

use std::fmt;

use arrayvec::ArrayVec;
use rtrb::{Consumer, Producer, RingBuffer};

use crate::packet::Driver;
use crate::plan::Plan;
use crate::stages::RxSource;

use super::egress::Whose;

/// Receive queues of a port at most.
pub const QUEUES_MAX: usize = 32;

/// What one worker gets of a port that is added.
pub struct AddedPort<D: Driver> {
    /// Its slot: the next one.
    pub(super) slot: usize,
    pub(super) rx: ArrayVec<RxSource<D::Rx>, QUEUES_MAX>,
    pub(super) exit: Whose<D>,
    pub(super) linear: Option<D::Pool>,
    pub(super) own: Option<D::Pool>,
    pub(super) held: usize,
}

/// What it is made of.
pub struct PortParts<D: Driver> {
    /// The receive queues that the worker owns.
    pub rx: ArrayVec<RxSource<D::Rx>, QUEUES_MAX>,
    /// The send queue, or the worker that has it.
    pub tx: Result<D::Tx, usize>,
    /// Buffers for linear copies, where the port may need them.
    pub linear: Option<D::Pool>,
    /// Buffers for frames of our own, where there is a slow path.
    pub own: Option<D::Pool>,
    /// Buffers of the payload pool that its driver keeps.
    pub held: usize,
}

/// Management's end of a worker's ring.
pub type PortSink<D> = Producer<AddedPort<D>>;
/// The worker's end.
pub type PortSource<D> = Consumer<AddedPort<D>>;

/// A ring for all ports that `plan` has room for.
pub fn port_ring<D: Driver>(plan: &Plan) -> (PortSink<D>, PortSource<D>) {
    RingBuffer::new(plan.capacity.ports as usize - plan.ports.len())
}

impl<D: Driver> AddedPort<D> {
    /// The port with this slot of `plan`.
    pub fn new(plan: &Plan, slot: usize, parts: PortParts<D>) -> Self {
        let PortParts { rx, tx, linear, own, held } = parts;
        let exit = tx.map_or_else(Whose::Other, |tx| Whose::own(tx, plan, slot));
        Self { slot, rx, exit, linear, own, held }
    }
}

impl<D: Driver> fmt::Debug for AddedPort<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AddedPort").field("slot", &self.slot).finish_non_exhaustive()
    }
}
