//! The edge of the world: what the stages ask of ports, pools and the clock.

use std::os::fd::BorrowedFd;

use arrayvec::ArrayVec;

use super::{Burst, Packet, Ticks};

/// What one poll of a port brought besides the packets themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Frames that the port handed over, the refused ones included.
    pub frames: u32,
    /// Frames refused and freed because their buffers are not ours alone.
    pub foreign: u32,
}

/// A queue that packets are received from; owned by one worker.
pub trait RxPort {
    /// The packet that this driver carries.
    type Packet: Packet;

    /// Appends what has arrived, up to the room in `burst`; never waits.
    fn receive(&mut self, burst: &mut Burst<Self::Packet>) -> Received;

    /// A file that is readable when something has arrived, where the kernel brings it.
    fn file(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// A port that packets are sent to; owned by one worker.
pub trait TxPort {
    /// The packet that this driver carries.
    type Packet: Packet;

    /// Sends from the front of `packets` and removes what was accepted; the rest stays, in order.
    /// Returns how many were accepted.
    fn send(&mut self, packets: &mut Burst<Self::Packet>) -> usize;
}

/// A pool of empty packets: headers for fan-out, or buffers for linear copies.
pub trait PacketPool {
    /// The packet that this driver carries.
    type Packet: Packet;

    /// Appends up to `count` empty packets to `into`, as many as it has room for and the pool can
    /// give. Returns how many.
    fn take<const N: usize>(&mut self, into: &mut ArrayVec<Self::Packet, N>, count: usize)
    -> usize;

    /// Packets that the pool could give now.
    fn available(&self) -> usize;
}

/// A clock that only goes forward.
pub trait Clock {
    /// The time, in ticks.
    fn now(&self) -> Ticks;

    /// Ticks in a second.
    fn ticks_per_second(&self) -> u64;
}

/// What one worker stands on: its packet, ports, pools and clock.
pub trait Driver {
    /// The packet handle.
    type Packet: Packet;
    /// A receive queue.
    type Rx: RxPort<Packet = Self::Packet>;
    /// A send queue.
    type Tx: TxPort<Packet = Self::Packet>;
    /// A pool of empty packets.
    type Pool: PacketPool<Packet = Self::Packet>;
    /// The clock.
    type Clock: Clock;
}
