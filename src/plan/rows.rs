//! The match table: exact rows of destination, UDP port and VLAN, each with the rules that may
//! apply, the most specific first. Read by the worker, never locked.
//!
//! A row is 32 bytes, two to a cache line, in open addressing at a load of at most one half.
//! "Any" is a value of its own in a row's key, so that a packet is looked up under at most four
//! keys, and only under those kinds that some rule uses.

use std::cmp::Reverse;

use foldhash::{HashMap, HashMapExt};

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

/// Candidates that lie side by side in the table: those that one input gives all its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct List {
    first: u32,
    count: u32,
}

/// A table in the making.
#[derive(Debug)]
pub(super) struct RowsInMaking {
    places: Box<[Row]>,
    candidates: Vec<Candidate>,
    /// What became of two lists that met in a row.
    joined: HashMap<(List, List), List>,
    kinds: [bool; 4],
    rows: usize,
}

impl RowsInMaking {
    /// With room for so many rows.
    pub fn with_room(rows: usize) -> Self {
        Self {
            places: vec![Row::NONE; (rows * 2).next_power_of_two()].into(),
            candidates: Vec::new(),
            joined: HashMap::new(),
            kinds: [false; 4],
            rows: 0,
        }
    }

    /// Takes candidates that rows may share; they are ordered here.
    pub fn list(&mut self, mut candidates: Vec<Candidate>) -> List {
        candidates.sort_by_key(|candidate| Reverse(candidate.rank));
        let first = self.candidates.len() as u32;
        self.candidates.extend_from_slice(&candidates);
        List { first, count: candidates.len() as u32 }
    }

    /// Gives a row these candidates, behind those of the same rank that it has.
    pub fn add(&mut self, key: &Key, list: List) {
        let mut place = place_of(key, self.places.len());
        loop {
            let row = self.places[place];
            if row.candidates == EMPTY {
                break;
            }
            if row.is(key) {
                let list = self.join(List { first: row.candidates, count: row.count }, list);
                (self.places[place].candidates, self.places[place].count) =
                    (list.first, list.count);
                return;
            }
            place = (place + 1) & (self.places.len() - 1);
        }
        let Key { destination, udp_port, vlan } = *key;
        let List { first: candidates, count } = list;
        self.places[place] = Row { destination, udp_port, vlan, candidates, count, number: 0 };
        self.kinds[usize::from(udp_port == ANY_UDP_PORT) * 2 + usize::from(vlan == ANY_VLAN)] =
            true;
        self.rows += 1;
    }

    /// The candidates of both lists; the same two are put together once.
    fn join(&mut self, one: List, other: List) -> List {
        if let Some(&list) = self.joined.get(&(one, other)) {
            return list;
        }
        let both = [one, other]
            .map(|List { first, count }| &self.candidates[first as usize..][..count as usize]);
        let list = self.list(both.concat());
        self.joined.insert((one, other), list);
        list
    }

    /// The table. `number` is asked for the row flow of each row, in an order that the keys alone
    /// decide.
    ///
    /// # Errors
    /// What `number` says.
    pub fn finish<E>(
        mut self,
        mut number: impl FnMut(&Key, &[Candidate]) -> Result<u32, E>,
    ) -> Result<RowTable, E> {
        for row in self.places.iter_mut().filter(|row| row.candidates != EMPTY) {
            let Row { destination, udp_port, vlan, candidates, count, .. } = *row;
            let candidates = &self.candidates[candidates as usize..][..count as usize];
            row.number = number(&Key { destination, udp_port, vlan }, candidates)?;
        }
        let kinds = (0..4).filter(|&i| self.kinds[i]).map(|i| (i & 2 != 0, i & 1 != 0));
        let kinds: Vec<_> = kinds.collect();
        Ok(RowTable {
            places: self.places,
            candidates: self.candidates.into(),
            exact: kinds == [(false, false)],
            kinds,
            rows: self.rows,
        })
    }
}

impl RowTable {
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
