//! What tests, the simulator and the generator stand on: packets on the heap, ports in memory,
//! captures.

mod heap_packet;
mod ports;
pub mod pcap;

pub use heap_packet::{HeapFrame, HeapPacket, HeapPool};
pub use ports::{Memory, MemoryRx, MemoryTx, StepClock};
