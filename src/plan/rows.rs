//! The match table: exact rows of destination, UDP port and VLAN, each with the rules that may
//! apply, the most specific first. Read by the worker, never locked.
//!
//! IPv4's rows have a table of their own: their key is one word, and four of them lie in a cache
//! line. "Any" is a value of its own in a row's key, so that a packet is looked up under at most
//! four keys, and only under those kinds that some rule uses.

mod places;

use std::cmp::Reverse;

use foldhash::{HashMap, HashMapExt};

use crate::config::VlanMatch;
use crate::packet::NarrowKey;
use crate::wire::Key;
use places::{EMPTY, NarrowRow, Places, Search, WideRow};

/// The UDP port of a row for any port; no datagram that matters is sent to port 0.
const ANY_UDP_PORT: u16 = 0;
/// The VLAN of a row for any VLAN; an id has 12 bits.
const ANY_VLAN: u16 = u16::MAX;
/// Bytes of tables that the near caches hold anyway.
const NEAR: usize = 128 << 10;
/// The rule of what stands behind the last candidate of a list.
const END: u32 = u32::MAX;
/// What is matched where a packet has the source address that copies of ours have: no rule's slot.
pub const OURS: u32 = u32::MAX - 1;

/// A rule that may apply to a row's packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Candidate {
    /// Slot of the rule, or [`OURS`].
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
    /// Takes what comes in by `ports` from an address of ours, whatever else the row has.
    pub fn ours(ports: u32, source: u128) -> Self {
        Self { rule: OURS, ports, source, source_mask: u128::MAX, rank: u64::MAX }
    }

    /// What stands behind the last one of a list.
    const END: Self = Self { rule: END, ports: 0, source: 0, source_mask: 0, rank: 0 };

    /// Whether it is for packets of this source.
    #[inline(always)]
    fn is_from(&self, source: impl Fn() -> u128) -> bool {
        self.source_mask == 0 || source() & self.source_mask == self.source
    }

    /// Whether the input port is one of its own.
    #[inline(always)]
    fn has(&self, port: u8) -> bool {
        self.ports >> port & 1 == 1
    }

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

/// The table.
#[derive(Debug)]
pub struct RowTable {
    narrow: Places<NarrowRow>,
    wide: Places<WideRow>,
    /// Lists, with an [`END`] behind each.
    candidates: Box<[Candidate]>,
    /// Whether the tables do not fit a near cache.
    far: bool,
    /// The kinds of keys in use, as (any UDP port, any VLAN).
    kinds: Vec<(bool, bool)>,
    /// Whether every key in use is exact.
    exact: bool,
    rows: usize,
}

/// What a packet matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match {
    /// Slot of the rule, or [`OURS`].
    pub rule: u32,
    /// The row flow, for rules with `flow = "row"`.
    pub row: u32,
}

/// What a list of candidates gives to a packet, and to the next ones of its input port that have the
/// list: the rows of an input share one.
#[derive(Clone, Copy, Debug)]
pub struct Given {
    /// Slot of the rule, or [`OURS`].
    pub rule: u32,
    /// Whether another source may get something else.
    pub by_source: bool,
}

/// What a row says.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its list: the first of its candidates.
    pub list: u32,
    /// Its row flow, where a rule with `flow = "row"` matches it.
    pub number: u32,
}

/// The rows that nearly all packets are found in.
#[derive(Clone, Copy, Debug)]
pub struct AtOnce<'a>(Search<'a, NarrowRow>);

impl AtOnce<'_> {
    /// The row of a key in a word, or one without a list; that also for a key of 0.
    #[inline(always)]
    pub fn row(&self, key: NarrowKey) -> Row {
        match self.0.find(key) {
            Some(row) => Row { list: row.candidates, number: row.number },
            None => Row { list: EMPTY, number: 0 },
        }
    }
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
    places: Places<WideRow>,
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
            places: Places::with_room(rows),
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
        self.candidates.push(Candidate::END);
        List { first, count: candidates.len() as u32 }
    }

    /// Gives a row these candidates, behind those of the same rank that it has.
    pub fn add(&mut self, key: &Key, list: List) {
        let (any_udp_port, any_vlan) = (key.udp_port == ANY_UDP_PORT, key.vlan == ANY_VLAN);
        let row = *self.places.entry(*key);
        let list = if row.candidates == EMPTY {
            self.kinds[usize::from(any_udp_port) * 2 + usize::from(any_vlan)] = true;
            self.rows += 1;
            list
        } else {
            self.join(List { first: row.candidates, count: row.count }, list)
        };
        let row = self.places.entry(*key);
        (row.candidates, row.count) = (list.first, list.count);
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
        let narrow_rows = self.places.rows().filter(|row| row.key().narrow().is_some()).count();
        let mut narrow = Places::<NarrowRow>::with_room(narrow_rows);
        let mut wide = Places::<WideRow>::with_room(self.rows - narrow_rows);
        for row in self.places.rows() {
            let (key, first) = (row.key(), row.candidates);
            let candidates = &self.candidates[first as usize..][..row.count as usize];
            let number = number(&key, candidates)?;
            if let Some(key) = key.narrow() {
                let row = narrow.entry(key);
                (row.candidates, row.number) = (first, number);
            } else {
                let row = wide.entry(key);
                (row.candidates, row.number) = (first, number);
            }
        }
        let kinds = (0..4).filter(|&i| self.kinds[i]).map(|i| (i & 2 != 0, i & 1 != 0));
        let kinds: Vec<_> = kinds.collect();
        Ok(RowTable {
            far: narrow.bytes() + wide.bytes() > NEAR,
            narrow,
            wide,
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
        (self.narrow.bytes() + self.wide.bytes() + size_of_val(&*self.candidates)) as u64
    }

    /// Asks for the row in which the key of a packet is looked for first, where the table does not fit a
    /// near cache: so early that what is far away comes while the burst is parsed.
    #[inline(always)]
    pub fn warm(&self, key: NarrowKey) {
        if self.far {
            self.narrow.ask_for(key);
        }
    }

    /// [`Self::warm`] for a key that need not be in a word.
    pub fn warm_any(&self, key: &Key) {
        match key.narrow() {
            _ if !self.far => {}
            Some(key) => self.narrow.ask_for(key),
            None => self.wide.ask_for(*key),
        }
    }

    /// The most specific rule for a packet with this key and source that came in by `port`.
    pub fn find(&self, key: &Key, source: u128, port: u8) -> Result<Match, Miss> {
        if !self.exact {
            return self.find_any(key, source, port);
        }
        let row = self.row(key).ok_or(Miss::NoRule)?;
        self.candidate(row, source, port).map(|(_, found)| found)
    }

    /// What [`Self::find`] searches for nearly all packets, those with a key in a word, where all keys
    /// in use are exact; nothing where they are not.
    #[inline(always)]
    pub fn at_once(&self) -> AtOnce<'_> {
        AtOnce(if self.exact { self.narrow.search() } else { Search::NOTHING })
    }

    /// The rule that the list of a row gives to whatever came in by `port`, where the first candidate is
    /// such a rule.
    #[inline(always)]
    pub fn first(&self, row: Row, port: u8) -> Option<u32> {
        let first = self.candidates.get(row.list as usize)?;
        (first.has(port) && first.source_mask == 0).then_some(first.rule)
    }

    /// What the list of a row gives to a packet of this source that came in by `port`; none also where
    /// there is no row. The source is asked for where it matters.
    #[inline(always)]
    pub fn give(&self, row: Row, source: impl Fn() -> u128, port: u8) -> Option<Given> {
        let mut by_source = false;
        for candidate in self.candidates.get(row.list as usize..)? {
            if candidate.rule == END {
                break;
            }
            if !candidate.has(port) {
                continue;
            }
            by_source |= candidate.source_mask != 0;
            if candidate.is_from(&source) {
                return Some(Given { rule: candidate.rule, by_source });
            }
        }
        None
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
    fn candidate(&self, row: Row, source: u128, port: u8) -> Result<(u64, Match), Miss> {
        let mut miss = Miss::NoRule;
        let list = self.candidates[row.list as usize..].iter();
        for candidate in list.take_while(|candidate| candidate.rule != END) {
            if !candidate.has(port) {
                continue;
            }
            if candidate.is_from(|| source) {
                let found = Match { rule: candidate.rule, row: row.number };
                return Ok((candidate.rank, found));
            }
            miss = Miss::Source;
        }
        Err(miss)
    }

    #[inline(always)]
    fn row(&self, key: &Key) -> Option<Row> {
        match key.narrow() {
            Some(key) => self
                .narrow
                .search()
                .find(key)
                .map(|&NarrowRow { candidates, number, .. }| Row { list: candidates, number }),
            None => self
                .wide
                .search()
                .find(*key)
                .map(|&WideRow { candidates, number, .. }| Row { list: candidates, number }),
        }
    }
}
