//! What tests, the simulator and the generator stand on: packets on the heap and ports in memory.

mod heap_packet;
mod ports;

pub use heap_packet::{HeapFrame, HeapPacket, HeapPool};
pub use ports::{Memory, MemoryRx, MemoryTx, StepClock};
