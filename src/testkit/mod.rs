//! What tests, the simulator and the generator stand on: packets on the heap, ports in memory or
//! in virtual time, seeded traffic, faults, captures.

mod heap_packet;
mod ports;
mod virtual_clock;
mod line_time;
pub mod traffic;
pub mod record;
mod virtual_port;
pub mod fault;
pub mod pcap;
pub mod openmetrics;
pub mod campaign;

pub use heap_packet::{HeapFrame, HeapPacket, HeapPool};
pub use line_time::wire_bits;
pub use ports::{Memory, MemoryRx, MemoryTx, StepClock};
pub use virtual_clock::{Costs, VirtualClock};
pub use virtual_port::{RxCounts, RxParts, TxParts, Virtual, VirtualRx, VirtualTx};
