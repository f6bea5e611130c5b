//! Places of rows in open addressing, at a load of at most one half: a row is found by its key in
//! the place that the key says, or in one behind it.

use prefetch_index::prefetch_index;

use crate::packet::NarrowKey;
use crate::wire::Key;

/// A place without a row, where the first candidate would be.
pub const EMPTY: u32 = u32::MAX;

/// What lies in a place.
pub trait Place: Copy {
    /// What it is found by.
    type Key: Copy;
    /// No row.
    const NONE: Self;

    /// The row of a key, without candidates as yet.
    fn of(key: Self::Key) -> Self;

    /// A hash of the key, whose low bits are good.
    fn hash(key: Self::Key) -> u64;

    /// Whether it is the row of `key`.
    fn is(&self, key: Self::Key) -> bool;

    /// The first of its candidates, or [`EMPTY`].
    fn candidates(&self) -> u32;
}

/// A row of any key; two to a cache line.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(32))]
pub struct WideRow {
    destination: u128,
    udp_port: u16,
    vlan: u16,
    /// First of its candidates, or [`EMPTY`].
    pub candidates: u32,
    /// How many, while the table is in the making.
    pub count: u32,
    /// Its row flow, where a rule with `flow = "row"` matches it.
    pub number: u32,
}

impl WideRow {
    /// What it is found by.
    pub fn key(&self) -> Key {
        Key { destination: self.destination, udp_port: self.udp_port, vlan: self.vlan }
    }
}

impl Place for WideRow {
    type Key = Key;
    const NONE: Self =
        Self { destination: 0, udp_port: 0, vlan: 0, candidates: EMPTY, count: 0, number: 0 };

    fn of(Key { destination, udp_port, vlan }: Key) -> Self {
        Self { destination, udp_port, vlan, ..Self::NONE }
    }

    #[inline(always)]
    fn hash(key: Key) -> u64 {
        let [low, high] = [key.destination as u64, (key.destination >> 64) as u64];
        let rest = u64::from(key.udp_port) << 16 | u64::from(key.vlan);
        mix(low ^ high.rotate_left(23) ^ rest.rotate_left(32))
    }

    #[inline(always)]
    fn is(&self, key: Key) -> bool {
        (self.destination == key.destination)
            & (self.udp_port == key.udp_port)
            & (self.vlan == key.vlan)
    }

    #[inline(always)]
    fn candidates(&self) -> u32 {
        self.candidates
    }
}

/// A row of an IPv4 destination; four to a cache line.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(16))]
pub struct NarrowRow {
    key: NarrowKey,
    /// First of its candidates, or [`EMPTY`].
    pub candidates: u32,
    /// As [`WideRow::number`].
    pub number: u32,
}

impl Place for NarrowRow {
    type Key = NarrowKey;
    const NONE: Self = Self { key: 0, candidates: EMPTY, number: 0 };

    fn of(key: NarrowKey) -> Self {
        Self { key, ..Self::NONE }
    }

    #[inline(always)]
    fn hash(key: NarrowKey) -> u64 {
        mix(key)
    }

    #[inline(always)]
    fn is(&self, key: NarrowKey) -> bool {
        self.key == key
    }

    #[inline(always)]
    fn candidates(&self) -> u32 {
        self.candidates
    }
}

/// Spreads what keys differ in over all bits.
#[inline(always)]
fn mix(word: u64) -> u64 {
    let mixed = word.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ mixed >> 32
}

/// A power of two of places.
#[derive(Debug)]
pub struct Places<R>(Box<[R]>);

impl<R: Place> Places<R> {
    /// With room for so many rows.
    pub fn with_room(rows: usize) -> Self {
        // One at least stays free: there a search ends.
        Self(vec![R::NONE; (rows * 2).next_power_of_two()].into())
    }

    /// The row of `key`.
    #[inline(always)]
    pub fn find(&self, key: R::Key) -> Option<&R> {
        let mut at = self.first(key);
        loop {
            let row = &self.0[at];
            if row.candidates() == EMPTY {
                return None;
            }
            if row.is(key) {
                return Some(row);
            }
            at = self.behind(at);
        }
    }

    /// The row of `key`, made where there is none; there is room for it.
    pub fn entry(&mut self, key: R::Key) -> &mut R {
        let mut at = self.first(key);
        while self.0[at].candidates() != EMPTY && !self.0[at].is(key) {
            at = self.behind(at);
        }
        let row = &mut self.0[at];
        if row.candidates() == EMPTY {
            *row = R::of(key);
        }
        row
    }

    /// Asks the cache for the place in which `key` is looked for first. A load would wait for it, and
    /// hold up what comes behind.
    #[inline(always)]
    pub fn ask_for(&self, key: R::Key) {
        prefetch_index(&self.0, self.first(key));
    }

    /// All rows, in an order that the keys and the room alone decide.
    pub fn rows(&mut self) -> impl Iterator<Item = &mut R> {
        self.0.iter_mut().filter(|row| row.candidates() != EMPTY)
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.0)
    }

    #[inline(always)]
    fn first(&self, key: R::Key) -> usize {
        R::hash(key) as usize & (self.0.len() - 1)
    }

    #[inline(always)]
    fn behind(&self, at: usize) -> usize {
        (at + 1) & (self.0.len() - 1)
    }
}
