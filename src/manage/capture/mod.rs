//! Capture, beside the workers: who asks for what, how it begins and ends, what the file holds.
//!
//! ```text
//! wanted     the request: names to slots, or why not
//! captures   management's: hands taps to the workers and takes them back
//! feed       the reader's: from the workers' shots to the client's file
//! pcapng     the file's blocks
//! ```

mod captures;
mod feed;
mod pcapng;
mod wanted;

pub use captures::{Captures, Scene, Watch};
pub use feed::{End, Feed};
pub use wanted::{ANY, Direction, Wanted};
