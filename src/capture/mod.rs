//! Capture: copies of packets for people to look at, taken where the worker passes and never
//! waited for.
//!
//! ```text
//! management: Tap::new -> Place -> worker: swaps it in -> copies into empty shots -> full ring
//!      reader: Well <- full ring; gives the shots back -> empty ring
//! ```
//! All memory is made before the worker has it. Where no empty shot is left a packet is missed, and
//! counted; the ledger and the packet's way know nothing of it.

mod filter;
mod place;
mod tap;

pub use filter::{Filter, What};
pub use place::Place;
pub use tap::{Fate, NOBODY, Note, SHOTS_MAX, Shot, Tap, Totals, Well};
