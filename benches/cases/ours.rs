//! The schedulers as the stages use them, on packets that are metadata and nothing else, all made
//! beforehand: what is measured is scheduling.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use punctual::config::{Class, QueueBound};
use punctual::packet::{Meta, Packet, Payload, Ticks};
use punctual::sched::{Drr, EarliestDeadline, Link, MemberSettings, Node};

use super::{
    BATCH, BUDGETS, CLASS_QUANTA, COPIES_WAITING, Case, FAN_OUT, LARGEST, Traffic, class_of,
};

/// A packet without bytes.
#[derive(Debug, Default)]
pub struct Light {
    meta: Meta,
}

type Slim = Box<Light>;

impl Node for Light {
    fn link_mut(&mut self) -> &mut Option<Link> {
        &mut self.meta.link
    }
}

impl Packet for Slim {
    type Payload = Nothing;

    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut Meta {
        &mut self.meta
    }

    fn frame_len(&self) -> usize {
        0
    }

    fn segments(&self) -> usize {
        1
    }

    fn head(&self) -> &[u8] {
        &[]
    }

    fn head_mut(&mut self) -> &mut [u8] {
        &mut []
    }

    fn for_each_segment(&self, _: impl FnMut(&[u8])) {}

    fn capture_time(&self) -> Option<u64> {
        None
    }

    fn truncate(&mut self, _: usize) {}

    fn replace_front(&mut self, _: usize, _: usize) -> Option<&mut [u8]> {
        None
    }

    fn copy_tail(&self, _: usize, _: &mut Self) -> bool {
        false
    }

    fn into_payload(self, _: usize, _: usize) -> Nothing {
        Nothing
    }
}

/// The payload of a packet without bytes.
pub struct Nothing;

impl Payload<Slim> for Nothing {
    fn chain_to(&mut self, _: &mut Slim) {}
}

/// DRR with its members' settings, asked for room first, as both stages do.
struct Fair {
    drr: Drr<Slim>,
    settings: [MemberSettings; 3],
}

impl Fair {
    fn new(members: usize) -> Self {
        let bound = QueueBound { packets: u32::MAX, bytes: u64::MAX };
        let settings = Class::ALL.map(|class| MemberSettings { class, quantum: LARGEST, bound });
        Self { drr: Drr::new(members, CLASS_QUANTA, LARGEST), settings }
    }

    fn enqueue(&mut self, member: u32, packet: Slim) {
        let settings = &self.settings[class_of(member)];
        assert!(self.drr.has_room(member, settings, packet.meta().bytes));
        self.drr.enqueue(member, settings, packet);
    }

    fn dequeue(&mut self) -> Slim {
        self.drr.dequeue().expect("something waits")
    }
}

/// One packet waits in each flow; it comes back to the end of its flow.
pub struct Ingress {
    fair: Fair,
    traffic: Traffic,
    flows: usize,
}

impl Ingress {
    pub fn new(flows: usize) -> Self {
        let mut traffic = Traffic::new();
        let mut fair = Fair::new(flows);
        for flow in traffic.shuffled(flows) {
            let mut packet = Slim::default();
            (packet.meta.flow, packet.meta.bytes) = (flow, traffic.bytes());
            fair.enqueue(flow, packet);
        }
        Self { fair, traffic, flows }
    }
}

impl Case for Ingress {
    fn run(&mut self) -> u64 {
        for _ in 0..BATCH {
            let mut packet = self.fair.dequeue();
            packet.meta.bytes = self.traffic.bytes();
            self.fair.enqueue(packet.meta.flow, packet);
        }
        BATCH
    }

    fn check(&mut self) {
        assert_eq!(self.fair.drr.packets(), self.flows);
    }
}

/// So many packets wait, as many of each class come; time goes on as they are served.
pub struct Edf {
    edf: EarliestDeadline<Slim>,
    traffic: Traffic,
    /// The class of the packet that came last.
    next: usize,
    waiting: usize,
}

impl Edf {
    pub fn new(waiting: usize) -> Self {
        let mut edf = EarliestDeadline::new(BUDGETS, 1_000);
        let mut traffic = Traffic::new();
        edf.advance(traffic.now());
        for number in 0..waiting {
            let mut packet = Slim::default();
            let class = class_of(number as u32);
            (packet.meta.flow, packet.meta.bytes) = (number as u32, traffic.bytes());
            (packet.meta.deadline, packet.meta.copies) = (traffic.deadline(class), 1);
            edf.push(Class::ALL[class], packet);
        }
        Self { edf, traffic, next: 0, waiting }
    }

    fn push(&mut self, class: usize, mut packet: Slim) {
        packet.meta.arrival = self.traffic.now();
        packet.meta.deadline = self.traffic.deadline(class);
        self.edf.push(Class::ALL[class], packet);
    }

    fn pop(&mut self) -> Slim {
        let packet = self.edf.pop().expect("something waits");
        self.traffic.served(packet.meta.deadline);
        packet
    }
}

impl Case for Edf {
    fn run(&mut self) -> u64 {
        self.edf.advance(self.traffic.now());
        for _ in 0..BATCH {
            let packet = self.pop();
            self.next = if self.next == 2 { 0 } else { self.next + 1 };
            self.push(self.next, packet);
        }
        BATCH
    }

    fn check(&mut self) {
        assert_eq!(self.edf.packets(), self.waiting);
    }
}

/// The same by a binary heap that nobody locks.
pub struct Heap {
    heap: BinaryHeap<Reverse<Entry>>,
    traffic: Traffic,
    next: u64,
    waiting: usize,
}

/// A packet by its deadline; ties are FIFO.
struct Entry {
    key: (Ticks, u64),
    packet: Slim,
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key.cmp(&other.key)
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Entry {}

impl Heap {
    pub fn new(waiting: usize) -> Self {
        let heap = BinaryHeap::with_capacity(waiting + 1);
        let mut case = Self { heap, traffic: Traffic::new(), next: 0, waiting };
        (0..waiting).for_each(|_| case.push(Slim::default()));
        case
    }

    fn push(&mut self, mut packet: Slim) {
        let deadline = self.traffic.deadline((self.next % 3) as usize);
        (packet.meta.arrival, packet.meta.deadline) = (self.traffic.now(), deadline);
        self.heap.push(Reverse(Entry { key: (deadline, self.next), packet }));
        self.next += 1;
    }
}

impl Case for Heap {
    fn run(&mut self) -> u64 {
        for _ in 0..BATCH {
            let packet = self.heap.pop().expect("something waits").0.packet;
            self.traffic.served(packet.meta.deadline);
            self.push(packet);
        }
        BATCH
    }

    fn check(&mut self) {
        assert_eq!(self.heap.len(), self.waiting);
    }
}

/// Two copies wait for each output on average. A packet's copies come together, all as long as it
/// is, for the outputs of one rule; the rules come in an order without a pattern.
pub struct Egress {
    fair: Fair,
    traffic: Traffic,
    rules: Vec<u32>,
    next_rule: usize,
    fan_out: usize,
}

impl Egress {
    pub fn new(outputs: usize) -> Self {
        let fan_out = FAN_OUT.min(outputs);
        let mut traffic = Traffic::new();
        let rules = traffic.shuffled(outputs / fan_out);
        let fair = Fair::new(outputs);
        let mut case = Self { fair, traffic, rules, next_rule: 0, fan_out };
        (0..case.rules.len() * COPIES_WAITING).for_each(|_| case.replicate(|_| Slim::default()));
        case
    }

    /// The copies of one packet, each made by `copy`.
    fn replicate(&mut self, copy: impl Fn(&mut Fair) -> Slim) {
        let first = self.rules[self.next_rule] * self.fan_out as u32;
        self.next_rule =
            if self.next_rule + 1 == self.rules.len() { 0 } else { self.next_rule + 1 };
        let bytes = self.traffic.bytes();
        for output in first..first + self.fan_out as u32 {
            let mut copy = copy(&mut self.fair);
            (copy.meta.output, copy.meta.bytes) = (output, bytes);
            self.fair.enqueue(output, copy);
        }
    }
}

impl Case for Egress {
    fn run(&mut self) -> u64 {
        self.replicate(Fair::dequeue);
        self.fan_out as u64
    }

    fn check(&mut self) {
        assert_eq!(self.fair.drr.packets(), self.rules.len() * self.fan_out * COPIES_WAITING);
    }
}

/// All three, one behind the other: a packet goes from ingress to EDF to egress and comes back.
pub struct Trio {
    ingress: Ingress,
    edf: Edf,
    egress: Fair,
}

impl Trio {
    pub fn new(waiting: usize) -> Self {
        let mut egress = Fair::new(waiting);
        let mut traffic = Traffic::new();
        for output in traffic.shuffled(waiting) {
            let mut copy = Slim::default();
            (copy.meta.flow, copy.meta.output) = (output, output);
            copy.meta.bytes = traffic.bytes();
            egress.enqueue(output, copy);
        }
        Self { ingress: Ingress::new(waiting), edf: Edf::new(waiting), egress }
    }
}

impl Case for Trio {
    fn run(&mut self) -> u64 {
        let Self { ingress, edf, egress } = self;
        edf.edf.advance(edf.traffic.now());
        for _ in 0..BATCH {
            let mut packet = egress.dequeue();
            packet.meta.bytes = ingress.traffic.bytes();
            ingress.fair.enqueue(packet.meta.flow, packet);
            let packet = ingress.fair.dequeue();
            edf.push(class_of(packet.meta.flow), packet);
            let mut packet = edf.pop();
            packet.meta.output = packet.meta.flow;
            egress.enqueue(packet.meta.output, packet);
        }
        BATCH
    }

    fn check(&mut self) {
        self.ingress.check();
        self.edf.check();
        assert_eq!(self.egress.drr.packets(), self.ingress.flows);
    }
}
