//! What the mailbox is made of: the standard library's, or loom's in `tests/mailbox_model`.

pub use std::sync::atomic::{AtomicU64, Ordering};
pub use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
