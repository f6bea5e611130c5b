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

    /// A hash of the key, whose high bits are good.
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

/// Spreads what keys differ in over the high bits (multiplicative hashing: Knuth, The Art of Computer
/// Programming, volume 3, section 6.4). The golden ratio, which is the usual factor, brings prefixes
/// of groups together; what this one does with them, and with ranges of ports, is tested.
#[inline(always)]
fn mix(word: u64) -> u64 {
    word.wrapping_mul(0xd6e8_feb8_6659_fd93)
}

/// A power of two of places.
#[derive(Debug)]
pub struct Places<R> {
    places: Box<[R]>,
    /// Low bits of a hash that say no place.
    spare_bits: u32,
}

impl<R: Place> Places<R> {
    /// With room for so many rows.
    pub fn with_room(rows: usize) -> Self {
        // One at least stays free: there a search ends. And one bit at least says the place, for no
        // word is shifted by all its bits.
        let places = (rows * 2).next_power_of_two().max(2);
        Self { places: vec![R::NONE; places].into(), spare_bits: u64::BITS - places.ilog2() }
    }

    /// Itself, to be searched.
    #[inline(always)]
    pub fn search(&self) -> Search<'_, R> {
        Search { places: &self.places, spare_bits: self.spare_bits }
    }

    /// The row of `key`, made where there is none; there is room for it.
    pub fn entry(&mut self, key: R::Key) -> &mut R {
        let search = self.search();
        let mut at = search.first(key);
        while self.places[at].candidates() != EMPTY && !self.places[at].is(key) {
            at = (at + 1) & (self.places.len() - 1);
        }
        let row = &mut self.places[at];
        if row.candidates() == EMPTY {
            *row = R::of(key);
        }
        row
    }

    /// Asks the cache for the place in which `key` is looked for first. A load would wait for it, and
    /// hold up what comes behind.
    #[inline(always)]
    pub fn ask_for(&self, key: R::Key) {
        prefetch_index(&self.places, self.search().first(key));
    }

    /// All rows, in an order that the keys and the room alone decide.
    pub fn rows(&mut self) -> impl Iterator<Item = &mut R> {
        self.places.iter_mut().filter(|row| row.candidates() != EMPTY)
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.places)
    }
}

/// Places to be searched, in two registers and a half.
#[derive(Clone, Copy, Debug)]
pub struct Search<'a, R> {
    places: &'a [R],
    spare_bits: u32,
}

impl Search<'static, NarrowRow> {
    /// No rows.
    pub const NOTHING: Self = Self { places: &[NarrowRow::NONE; 2], spare_bits: u64::BITS - 1 };
}

impl<'a, R: Place> Search<'a, R> {
    /// The row of `key`. For what is [`Place::NONE`]'s key it may be a place without a row.
    #[inline(always)]
    pub fn find(&self, key: R::Key) -> Option<&'a R> {
        let mut at = self.first(key);
        loop {
            let row = &self.places[at];
            if row.is(key) {
                return Some(row);
            }
            if row.candidates() == EMPTY {
                return None;
            }
            at = (at + 1) & (self.places.len() - 1);
        }
    }

    #[inline(always)]
    fn first(&self, key: R::Key) -> usize {
        (R::hash(key) >> self.spare_bits) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Key;

    /// Places that are looked at for a row, on average, where these are all: `groups` many `spaced`
    /// ones from 239.1.0.0 on, with so many UDP ports each.
    fn looks(groups: u32, spaced: u32, udp_ports: u16) -> f64 {
        let group = |i| u128::from(0xffff_ef01_0000_u64 + u64::from(i * spaced));
        let key = |(i, port)| Key { destination: group(i), udp_port: 5000 + port, vlan: 0 };
        let keys: Vec<NarrowKey> = (0..groups)
            .flat_map(|i| (0..udp_ports).map(move |port| (i, port)))
            .map(|row| key(row).narrow().expect("an IPv4 key"))
            .collect();
        let mut places = Places::<NarrowRow>::with_room(keys.len());
        for &key in &keys {
            places.entry(key).candidates = 0;
        }
        let search = places.search();
        let looked = |&key: &NarrowKey| {
            let first = search.first(key);
            let behind = |at: &usize| !places.places[(first + at) % places.places.len()].is(key);
            1 + (0..places.places.len()).take_while(behind).count()
        };
        keys.iter().map(looked).sum::<usize>() as f64 / keys.len() as f64
    }

    /// At a load of a half, a hash by chance would look at 1.5 places.
    #[test]
    fn rows_of_prefixes_and_ranges_are_found_in_their_first_places() {
        let sites =
            [(256, 1, 1), (65_536, 1, 1), (65_536, 256, 1), (25_600, 1, 4), (100, 1, 1_024)];
        for (groups, spaced, udp_ports) in sites {
            let looks = looks(groups, spaced, udp_ports);
            let site = format!("{groups} groups, every {spaced}, with {udp_ports} ports");
            assert!(looks <= 1.5, "{site}: {looks} places a row");
        }
    }
}
