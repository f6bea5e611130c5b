//! Header views and rewriting: bytes in, verdicts and new headers out. Knows no packet handle.

mod mac;

pub use mac::MacAddr;
