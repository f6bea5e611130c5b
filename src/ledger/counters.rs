//! Counters with one writer: the worker adds by plain load and store, management reads at will.

use std::mem::offset_of;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Drops, LatencyCounts, MissRing, Published};
use crate::capture::Place;
use crate::packet::DropReason;
use crate::plan::{Capacity, Plan};

/// A number that one thread writes and any thread reads.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds; only by the owning worker, so no read-modify-write is needed.
    pub fn add(&self, count: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
    }

    /// Overwrites; only by the owning worker.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Overwrites by a greater value; only by the owning worker.
    pub fn raise_to(&self, value: u64) {
        if value > self.get() {
            self.set(value);
        }
    }

    /// Overwrites; only by the owning worker. Who sees it by [`Self::acquire`] sees all that was
    /// counted before.
    pub fn release(&self, value: u64) {
        self.0.store(value, Ordering::Release);
    }

    /// The number now, and with it all that was counted before it was [released](Self::release).
    pub fn acquire(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counters by drop reason.
#[derive(Debug)]
struct DropCounters([Counter; DropReason::COUNT]);

impl Default for DropCounters {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Counter::default()))
    }
}

impl DropCounters {
    fn totals(&self) -> Drops {
        std::array::from_fn(|i| self.0[i].get())
    }
}

/// What is counted for each rule. What each packet moves lies in one cache line.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct RuleCounters {
    /// Packets that matched it.
    pub packets: Counter,
    /// Their bytes, frame overhead included.
    pub bytes: Counter,
    /// When the last one arrived, in ticks; 0 before the first.
    pub last_packet: Counter,
    /// Packets that reached fan-out.
    pub admitted: Counter,
    /// Packets that took the overflow flow because the source table was full.
    pub flow_overflow: Counter,
    /// Residence times of its copies.
    pub latency: LatencyCounts,
    dropped: DropCounters,
}

const _: () = assert!(offset_of!(RuleCounters, dropped) <= 64, "one cache line in front of it");

impl RuleCounters {
    /// Begins anew, for another rule with the same slot; only by the owning worker.
    pub fn clear(&self) {
        let Self { packets, bytes, last_packet, admitted, flow_overflow, dropped, latency } = self;
        let counters = [packets, bytes, last_packet, admitted, flow_overflow];
        counters.into_iter().chain(&dropped.0).for_each(|counter| counter.set(0));
        latency.clear();
    }

    /// Packets whose wait for fan-out is over.
    fn ended(&self) -> u64 {
        self.admitted.get() + self.dropped().iter().sum::<u64>()
    }

    /// Counts a packet of this rule that ended before fan-out.
    pub fn drop_one(&self, reason: DropReason) {
        self.dropped.0[reason.index()].add(1);
    }

    /// Packets dropped before fan-out, by reason.
    pub fn dropped(&self) -> Drops {
        self.dropped.totals()
    }
}

/// What is counted for each output of a rule; laid out as [`RuleCounters`].
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct OutputCounters {
    /// Copies it was selected for.
    pub copies: Counter,
    /// Packets that sampling left out, or that went to another balanced output.
    pub not_selected: Counter,
    /// Of the copies: balanced ones that were another's, which would not have been sent there.
    pub taken_over: Counter,
    /// Copies that the port accepted.
    pub sent: Counter,
    /// Their bytes, frame overhead included.
    pub bytes: Counter,
    /// Copies sent by their deadline.
    pub on_time: Counter,
    /// Copies sent after it.
    pub late_sent: Counter,
    dropped: DropCounters,
}

const _: () = assert!(offset_of!(OutputCounters, dropped) <= 64, "one cache line in front of it");

impl OutputCounters {
    /// Begins anew, for another output with the same slot; only by the owning worker.
    pub fn clear(&self) {
        let Self { copies, not_selected, taken_over, sent, bytes, on_time, late_sent, dropped } =
            self;
        let counters = [copies, not_selected, taken_over, sent, bytes, on_time, late_sent];
        counters.into_iter().chain(&dropped.0).for_each(|counter| counter.set(0));
    }

    /// Copies whose wait for their port is over.
    fn ended(&self) -> u64 {
        self.sent.get() + self.dropped().iter().sum::<u64>()
    }

    /// Counts a copy for this output that was not sent.
    pub fn drop_one(&self, reason: DropReason) {
        self.dropped.0[reason.index()].add(1);
    }

    /// Copies not sent, by reason.
    pub fn dropped(&self) -> Drops {
        self.dropped.totals()
    }
}

/// What the worker counts for each port.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct PortCounters {
    /// Packets received.
    pub received: Counter,
    /// Their bytes, without frame overhead.
    pub bytes_received: Counter,
    /// Copies that the port accepted.
    pub sent: Counter,
    /// Their bytes, without frame overhead.
    pub bytes_sent: Counter,
    /// Packets that went to the slow path.
    pub punted: Counter,
    /// Packets that it did not take.
    pub punt_full: Counter,
    /// Frames of our own that the port accepted.
    pub originated: Counter,
    /// Frames of our own that found no buffer, or no room at the port.
    pub unsent: Counter,
    /// Times that the port refused a part of what was handed to it.
    pub tx_refused: Counter,
    /// When it began to take nothing at all, in ticks; 0 where it took something last.
    pub refused_from: Counter,
    /// When it was last asked and took nothing; 0 where it took something last.
    pub refused_until: Counter,
}

/// What the worker counts of itself.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct WorkerCounters {
    /// Turns.
    pub turns: Counter,
    /// Turns that moved a packet.
    pub busy_turns: Counter,
    /// The time at the end of the last turn, in ticks.
    pub heartbeat: Counter,
    /// The generation of the plan that the last turn ran by.
    pub generation: Counter,
    /// The longest time from the end of a turn to that of the next, in ticks.
    pub longest_turn: Counter,
    /// The same of the turn that took up the plan, in ticks; 0 by the first plan.
    pub plan_turn: Counter,
}

/// All counters of one worker.
#[derive(Debug)]
pub struct Counters {
    /// The totals, as of the last turn.
    pub ledger: Published,
    /// By rule slot.
    pub rules: Box<[RuleCounters]>,
    /// By output slot.
    pub outputs: Box<[OutputCounters]>,
    /// By port slot.
    pub ports: Box<[PortCounters]>,
    /// The worker itself.
    pub worker: WorkerCounters,
    /// Samples of the packets that no rule took.
    pub misses: MissRing,
    /// Where a capture's tap comes to the worker, and goes back.
    pub capture: Place,
}

/// Packets of the rule with slot `rule` that wait for fan-out, on whichever of `workers`.
pub fn rule_waiting(workers: &[&Counters], rule: u32) -> u64 {
    let each = || workers.iter().map(|worker| &worker.rules[rule as usize]);
    // Read first: what ends meanwhile is then taken to wait still, never the other way round.
    let ended: u64 = each().map(RuleCounters::ended).sum();
    each().map(|rule| rule.packets.get()).sum::<u64>().saturating_sub(ended)
}

/// Copies for the output with slot `output` that wait for their port, on whichever of `workers`.
pub fn output_waiting(workers: &[&Counters], output: u32) -> u64 {
    let each = || workers.iter().map(|worker| &worker.outputs[output as usize]);
    let ended: u64 = each().map(OutputCounters::ended).sum();
    each().map(|output| output.copies.get()).sum::<u64>().saturating_sub(ended)
}

impl Counters {
    /// Counters at zero for every slot that `plan` has room for.
    pub fn for_plan(plan: &Plan) -> Self {
        let Capacity { ports, rules, outputs, .. } = plan.capacity;
        Self::new(rules as usize, outputs as usize, ports as usize)
    }

    /// Counters at zero for so many slots of each kind.
    pub fn new(rules: usize, outputs: usize, ports: usize) -> Self {
        fn zero<T: Default>(count: usize) -> Box<[T]> {
            std::iter::repeat_with(T::default).take(count).collect()
        }
        Self {
            ledger: Published::default(),
            rules: zero(rules),
            outputs: zero(outputs),
            ports: zero(ports),
            worker: WorkerCounters::default(),
            misses: MissRing::default(),
            capture: Place::default(),
        }
    }
}
