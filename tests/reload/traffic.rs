//! Traffic that never pauses, and a judge of every copy. The source sends as fast as the relay
//! takes it, with so few frames on their way that no ring is ever full: what is missing was lost
//! by the relay.

use std::collections::{HashMap, VecDeque};

use crate::binary::Instance;
use crate::peer::{HANG, Peer, Wire, wait};
use crate::relay::{frame, read};
use crate::rules::{GROUPS, KEPT, STEADY};

/// Numbers on their way at most. Each is a frame to every group, and these are at most 15 copies
/// on one port, whose ring takes 1,023.
const WINDOW: u32 = 64;
/// Numbers offered at a time.
const ROUND: u32 = 16;
/// Bytes of payload.
const PAYLOAD: usize = 64;

/// The wires and what was seen on them.
pub struct Traffic {
    feed: Wire,
    a: Wire,
    b: Wire,
    /// Numbers that were offered.
    pub offered: u32,
    /// By output and group on port `a`: the next number. Each must come, once and in order.
    next: HashMap<(u8, u8), u32>,
    /// By output and group on port `b`: the last number, and copies.
    last: HashMap<(u8, u8), (u32, u64)>,
    /// Copies on both ports.
    pub copies: u64,
    waiting: VecDeque<Vec<u8>>,
}

impl Traffic {
    /// Listens; the relay connects.
    pub fn new(instance: &Instance) -> Self {
        let wires = Peer::start().wires(instance, 3);
        let [feed, a, b] = wires.try_into().unwrap_or_else(|_| panic!("three wires"));
        let next = [(1, KEPT), (2, KEPT), (1, STEADY)].map(|output| (output, 0)).into();
        let last = HashMap::new();
        Self { feed, a, b, offered: 0, next, last, copies: 0, waiting: VecDeque::new() }
    }

    /// Keeps the relay busy until `is_over` says so, then waits for what is on its way.
    pub fn flow(&mut self, mut is_over: impl FnMut() -> bool) {
        let wires = [&self.feed, &self.a, &self.b];
        wait("the relay to connect", || {
            (is_over() || wires.iter().all(|wire| wire.is_up())).then_some(())
        });
        let mut moved = std::time::Instant::now();
        loop {
            let over = is_over();
            let behind = self.offered - self.next.values().min().expect("some output stays");
            // Where the operator gave up, the relay is gone.
            if over && (behind == 0 || !self.a.is_up()) {
                break;
            }
            if !over && behind + ROUND <= WINDOW {
                self.offer();
            }
            if self.judge() > 0 {
                moved = std::time::Instant::now();
            }
            assert!(moved.elapsed() < HANG, "nothing comes: {behind} behind, {:?}", self.next);
        }
    }

    fn offer(&mut self) {
        let numbers = self.offered..self.offered + ROUND;
        self.offered += ROUND;
        let each = numbers.flat_map(|n| (1..=GROUPS).map(move |group| (group, n)));
        let frames: Vec<_> = each.map(|(group, n)| frame(group, n, PAYLOAD)).collect();
        self.feed.send(&frames);
    }

    /// Looks at all that has come; returns how much that was.
    fn judge(&mut self) -> usize {
        self.waiting.extend(self.a.read());
        let on_a = self.waiting.len();
        self.waiting.extend(self.b.read());
        let count = self.waiting.len();
        self.copies += count as u64;
        for (i, copy) in self.waiting.drain(..).enumerate() {
            let (group, number) = read(&copy);
            let output = copy[32];
            if i < on_a {
                let next = self.next.get_mut(&(output, group)).expect("port a has no other");
                assert_eq!(number, *next, "output {output} of group {group}: lost or doubled");
                *next += 1;
            } else {
                let (last, copies) = self.last.entry((output, group)).or_insert((number, 0));
                assert!(*copies == 0 || *last < number, "{output}, {group}: {last}, then {number}");
                (*last, *copies) = (number, *copies + 1);
            }
        }
        count
    }

    /// Reads what may still come of the rules that changed; once nothing more is offered.
    pub fn rest(&mut self, mut is_over: impl FnMut() -> bool) {
        loop {
            // Asked first: what came until then is read.
            let over = is_over();
            if self.judge() == 0 && over {
                break;
            }
        }
    }

    /// Copies of a group that came by an output on port `b`.
    pub fn copies_of(&self, output: u8, group: u8) -> u64 {
        self.last.get(&(output, group)).map_or(0, |(_, copies)| *copies)
    }

    /// Outputs on port `b` that got something.
    pub fn seen(&self) -> usize {
        self.last.len()
    }
}
