//! The nine stages of a packet's way, one file each, in the packet's order, and what stands beside
//! it: where a packet leaves it for the slow path, and where the slow path's own frames come in.
//!
//! Every file opens with its contract: what it expects, what it leaves, what it drops, which
//! settings it goes by and what bounds it. No stage allocates, locks, reads a clock or calls the
//! kernel; time is an argument.

mod rx;
mod parse;
mod punt;
mod classify;
mod police;
mod ingress_drr;
mod edf;
mod breaker;
mod neighbours;
mod fanout;
mod egress_drr;
mod originate;
mod tx;
mod flows;
mod tally;

pub use breaker::{BreakerState, BreakerWords, Breakers, PROBES};
pub use classify::Classify;
pub use edf::{Edf, TURN_COPIES, TURN_PACKETS};
pub use egress_drr::EgressDrr;
pub use fanout::{Egress, Fanout};
pub use flows::Flows;
pub use ingress_drr::IngressDrr;
pub use neighbours::{HOP_COPIES, Known, NeighbourWords, Neighbours};
pub use originate::{OWN_FRAMES, Originate};
pub use parse::Parse;
pub use police::Police;
pub use punt::{FRAMES, PUNTS_A_SECOND, PUNTS_AT_ONCE, Punt};
pub use rx::{Rx, RxSource};
pub use tally::Tally;
pub use tx::Tx;
