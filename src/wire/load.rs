//! Loads of a constant size: one bounds check for a whole header, none for its fields.

/// The `N` bytes at `at`; zeros where `bytes` does not hold them all, so that no input can panic.
///
/// On a fixed array with a constant `at` it is one load without a check.
#[inline(always)]
pub(super) fn load<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let end = at.saturating_add(N);
    match bytes.get(at..end).and_then(|part| part.first_chunk()) {
        Some(chunk) => *chunk,
        None => [0; N],
    }
}

/// The 16-bit number at `at`, as [`load`].
#[inline(always)]
pub(super) fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(load(bytes, at))
}

/// The 32-bit number at `at`, as [`load`].
#[inline(always)]
pub(super) fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(load(bytes, at))
}

/// The 128-bit number at `at`, as [`load`].
#[inline(always)]
pub(super) fn be128(bytes: &[u8], at: usize) -> u128 {
    u128::from_be_bytes(load(bytes, at))
}
