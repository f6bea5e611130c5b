//! What `punctual top` shows: a running instance, live. All of it is made from two looks at the
//! report; the terminal and the socket are the caller's.
//!
//! ```text
//! look    two reports -> what was added, and in what time
//! figure  numbers in five columns
//! table   rows of a view: their columns, order and filter
//! state   what the keys have chosen
//! screen  all of it, drawn
//! ```

mod look;
mod figure;
mod table;
mod state;
mod screen;

pub use look::Look;
pub use state::{After, INTERVAL, Top};
pub use table::View;

#[cfg(test)]
mod tests;
