//! The match table: exact rows of destination, UDP port and VLAN, each with the rules that may
//! apply, the most specific first. Read by the worker, never locked.
//!
//! A row is 32 bytes, two to a cache line, in open addressing at a load of at most one half.
//! "Any" is a value of its own in a row's key, so that a packet is looked up under at most four
//! keys, and only under those kinds that some rule uses.

use std::collections::HashMap;

use crate::config::VlanMatch;
use crate::wire::Key;

/// The UDP port of a row for any port; no datagram that matters is sent to port 0.
const ANY_UDP_PORT: u16 = 0;
/// The VLAN of a row for any VLAN; an id has 12 bits.
const ANY_VLAN: u16 = u16::MAX;
/// Places of a table that the near caches hold anyway: 128 KiB.
const NEAR_ROWS: usize = 4_096;
/// A place without a row.
const EMPTY: u32 = u32::MAX;

/// A rule that may apply to a row's packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Candidate {
    /// Slot of the rule.
    pub rule: u32,
    /// Its input ports, a bit each.
    pub ports: u32,
    /// Its source prefix.
    pub source: u128,
    /// The bits of the source that must agree.
    pub source_mask: u128,
    /// More specific is greater: destination, then UDP port, then source, then VLAN.
    pub rank: u64,
}

impl Candidate {
    /// The rank of a match on prefixes of so many bits and so many UDP ports.
    pub fn rank(destination: u8, udp_ports: u32, source: u8, vlan: VlanMatch) -> u64 {
        let exact_vlan = u64::from(vlan != VlanMatch::Any);
        let narrow = u64::from(65_536 - udp_ports.min(65_536));
        u64::from(destination) << 40 | narrow << 16 | u64::from(source) << 8 | exact_vlan
    }
}

/// Why no rule applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Miss {
    /// No row, or none for this input port.
    NoRule,
    /// A row, but another source.
    Source,
}

/// A row in the table.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(32))]
struct Row {
    destination: u128,
    udp_port: u16,
    vlan: u16,
    /// First of its candidates, or [`EMPTY`].
    candidates: u32,
    /// How many.
    count: u32,
    /// Its row flow, where a rule with `flow = "row"` matches it.
    number: u32,
}

impl Row {
    const NONE: Self =
        Self { destination: 0, udp_port: 0, vlan: 0, candidates: EMPTY, count: 0, number: 0 };

    #[inline(always)]
    fn is(&self, key: &Key) -> bool {
        (self.destination == key.destination)
            & (self.udp_port == key.udp_port)
            & (self.vlan == key.vlan)
    }
}

/// The table.
#[derive(Debug)]
pub struct RowTable {
    /// A power of two of places.
    places: Box<[Row]>,
    candidates: Box<[Candidate]>,
    /// The kinds of keys in use, as (any UDP port, any VLAN).
    kinds: Vec<(bool, bool)>,
    /// Whether every key in use is exact.
    exact: bool,
    rows: usize,
}

/// What a packet matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match {
    /// Slot of the rule.
    pub rule: u32,
    /// The row flow, for rules with `flow = "row"`.
    pub row: u32,
}

impl RowTable {
    /// A table of rows; each key's candidates are ordered here. `number` is asked for the row flow
    /// of each, in the order of the keys.
    ///
    /// # Errors
    /// What `number` says.
    pub fn new<E>(
        rows: HashMap<Key, Vec<Candidate>>,
        mut number: impl FnMut(&Key, &[Candidate]) -> Result<u32, E>,
    ) -> Result<Self, E> {
        let mut places = vec![Row::NONE; (rows.len() * 2).next_power_of_two()];
        let mut candidates: Vec<Candidate> = Vec::new();
        // Rows of one rule share one list.
        let mut lists: HashMap<Vec<Candidate>, u32> = HashMap::new();
        let mut kinds = [false; 4];
        let count = rows.len();
        let mut sorted: Vec<_> = rows.into_iter().collect();
        sorted.sort_unstable_by_key(|(key, _)| (key.destination, key.udp_port, key.vlan));
        for (key, mut list) in sorted {
            let number = number(&key, &list)?;
            list.sort_by_key(|candidate| std::cmp::Reverse(candidate.rank));
            let length = list.len() as u32;
            let first = *lists.entry(list).or_insert_with_key(|list| {
                candidates.extend_from_slice(list);
                candidates.len() as u32 - length
            });
            kinds[usize::from(key.udp_port == ANY_UDP_PORT) * 2
                + usize::from(key.vlan == ANY_VLAN)] = true;
            let mut place = place_of(&key, places.len());
            while places[place].candidates != EMPTY {
                place = (place + 1) % places.len();
            }
            places[place] = Row {
                destination: key.destination,
                udp_port: key.udp_port,
                vlan: key.vlan,
                candidates: first,
                count: length,
                number,
            };
        }
        let kinds: Vec<_> =
            (0..4).filter(|&i| kinds[i]).map(|i| (i & 2 != 0, i & 1 != 0)).collect();
        Ok(Self {
            places: places.into(),
            candidates: candidates.into(),
            exact: kinds == [(false, false)],
            kinds,
            rows: count,
        })
    }

    /// The key of a row for any UDP port (`None`) or any VLAN.
    pub fn row_key(destination: u128, udp_port: Option<u16>, vlan: VlanMatch) -> Key {
        let vlan = match vlan {
            VlanMatch::Untagged => 0,
            VlanMatch::Id(id) => id,
            VlanMatch::Any => ANY_VLAN,
        };
        Key { destination, udp_port: udp_port.unwrap_or(ANY_UDP_PORT), vlan }
    }

    /// Whether there is a row with this key.
    pub fn has(&self, key: &Key) -> bool {
        self.row(key).is_some()
    }

    /// Rows in the table.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether nothing can match.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Bytes that the table takes.
    pub fn bytes(&self) -> u64 {
        (size_of_val(&*self.places) + size_of_val(&*self.candidates)) as u64
    }

    /// Loads the rows in which these keys are looked for first, where the table does not fit a
    /// near cache: what is far away comes for a whole burst at once, not packet by packet.
    pub fn warm(&self, keys: impl Iterator<Item = Key>) {
        if self.places.len() > NEAR_ROWS {
            let first = |key| self.places[place_of(&key, self.places.len())].candidates;
            std::hint::black_box(keys.fold(0, |loaded, key| loaded ^ first(key)));
        }
    }

    /// The most specific rule for a packet with this key and source that came in by `port`.
    #[inline]
    pub fn find(&self, key: &Key, source: u128, port: u8) -> Result<Match, Miss> {
        if !self.exact {
            return self.find_any(key, source, port);
        }
        let row = self.row(key).ok_or(Miss::NoRule)?;
        self.candidate(row, source, port).map(|(_, found)| found)
    }

    /// [`Self::find`] where some keys are for any UDP port or VLAN.
    #[inline(never)]
    fn find_any(&self, key: &Key, source: u128, port: u8) -> Result<Match, Miss> {
        let mut best: Result<(u64, Match), Miss> = Err(Miss::NoRule);
        for &(any_udp_port, any_vlan) in &self.kinds {
            let key = Key {
                destination: key.destination,
                udp_port: if any_udp_port { ANY_UDP_PORT } else { key.udp_port },
                vlan: if any_vlan { ANY_VLAN } else { key.vlan },
            };
            let Some(row) = self.row(&key) else { continue };
            let found = self.candidate(row, source, port);
            best = match (best, found) {
                (Ok(best), Ok(found)) => Ok(if found.0 > best.0 { found } else { best }),
                (Ok(best), Err(_)) => Ok(best),
                (Err(_), Ok(found)) => Ok(found),
                (Err(Miss::NoRule), miss) => miss,
                (miss, Err(_)) => miss,
            };
        }
        best.map(|(_, found)| found)
    }

    /// The first candidate of a row that applies, and its rank.
    #[inline(always)]
    fn candidate(&self, row: &Row, source: u128, port: u8) -> Result<(u64, Match), Miss> {
        let mut miss = Miss::NoRule;
        for candidate in self.candidates_of(row) {
            if candidate.ports >> port & 1 == 0 {
                continue;
            }
            if source & candidate.source_mask == candidate.source {
                let found = Match { rule: candidate.rule, row: row.number };
                return Ok((candidate.rank, found));
            }
            miss = Miss::Source;
        }
        Err(miss)
    }

    #[inline(always)]
    fn row(&self, key: &Key) -> Option<&Row> {
        let mut place = place_of(key, self.places.len());
        loop {
            let row = &self.places[place];
            if row.candidates == EMPTY {
                return None;
            }
            if row.is(key) {
                return Some(row);
            }
            place = (place + 1) & (self.places.len() - 1);
        }
    }

    fn candidates_of(&self, row: &Row) -> &[Candidate] {
        &self.candidates[row.candidates as usize..][..row.count as usize]
    }
}

/// Where the search for `key` begins; `places` is a power of two.
#[inline(always)]
fn place_of(key: &Key, places: usize) -> usize {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let [low, high] = [key.destination as u64, (key.destination >> 64) as u64];
    let rest = u64::from(key.udp_port) << 16 | u64::from(key.vlan);
    let mixed = (low ^ high.rotate_left(23) ^ rest.rotate_left(32)).wrapping_mul(ODD);
    (mixed ^ mixed >> 32) as usize & (places - 1)
}
