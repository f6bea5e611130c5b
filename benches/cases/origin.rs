//! The origin's way, as a yardstick: a mutex taken for every packet in and out, every packet an
//! allocation of its own, flows in a hash map, deadlines in a binary heap.
//!
//! A compact reconstruction, and a kind one: nobody else wants the locks, no condition variable is
//! signalled, flows stay in the map, the hash has fixed keys, the rounds are O(1) as ours are, and
//! a packet is 64 bytes, allocated and filled once on its way. It draws the same traffic.

use std::cmp::Ordering;
use std::collections::hash_map::DefaultHasher;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::hash::BuildHasherDefault;
use std::sync::atomic::{AtomicBool, Ordering as Memory};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use punctual::packet::Ticks;

use super::{BATCH, CLASS_QUANTA, COPIES_WAITING, Case, FAN_OUT, LARGEST, Traffic, class_of};

/// What was received, before it is anybody's.
const FRAME: [u8; 64] = [0x5a; 64];

/// A packet: a buffer of its own, and what is known of it.
struct Datagram {
    data: Vec<u8>,
    flow: u32,
    bytes: u32,
    deadline: Ticks,
    number: u64,
}

impl Datagram {
    fn new(flow: u32, bytes: u32) -> Self {
        let data = std::hint::black_box(&FRAME).to_vec();
        Self { data, flow, bytes, deadline: 0, number: 0 }
    }
}

/// The greatest is the one whose deadline is earliest; ties are FIFO.
impl Ord for Datagram {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.deadline, other.number).cmp(&(self.deadline, self.number))
    }
}

impl PartialOrd for Datagram {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Datagram {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Datagram {}

/// Deficit round robin behind a lock.
#[derive(Default)]
struct Fair(Mutex<Rounds>);

#[derive(Default)]
struct Rounds {
    flows: HashMap<u32, Flow, BuildHasherDefault<DefaultHasher>>,
    /// By class: the flows that have packets, in the order of their visits.
    active: [VecDeque<u32>; 3],
    deficits: [u32; 3],
    class: usize,
    visiting: bool,
    packets: usize,
}

#[derive(Default)]
struct Flow {
    queue: VecDeque<Datagram>,
    deficit: u32,
    visiting: bool,
}

impl Fair {
    fn enqueue(&self, packet: Datagram) {
        let mut rounds = self.0.lock().expect("nobody panics");
        rounds.packets += 1;
        let slot = packet.flow;
        let flow = rounds.flows.entry(slot).or_default();
        flow.queue.push_back(packet);
        if flow.queue.len() == 1 {
            rounds.active[class_of(slot)].push_back(slot);
        }
    }

    fn dequeue(&self) -> Option<Datagram> {
        let mut rounds = self.0.lock().expect("nobody panics");
        (rounds.packets > 0).then(|| rounds.next())
    }

    fn packets(&self) -> usize {
        self.0.lock().expect("nobody panics").packets
    }
}

impl Rounds {
    fn next(&mut self) -> Datagram {
        loop {
            let class = self.class;
            if let Some(&slot) = self.active[class].front() {
                if !self.visiting {
                    self.deficits[class] += CLASS_QUANTA[class];
                    self.visiting = true;
                }
                let flow = self.flows.get_mut(&slot).expect("an active flow is in the map");
                if !flow.visiting {
                    flow.deficit += LARGEST;
                    flow.visiting = true;
                }
                let bytes = flow.queue.front().map_or(0, |packet| packet.bytes);
                if bytes > flow.deficit {
                    flow.visiting = false;
                    self.active[class].rotate_left(1);
                    continue;
                }
                if bytes <= self.deficits[class] {
                    return self.serve(slot, bytes);
                }
            }
            self.next_class();
        }
    }

    fn serve(&mut self, slot: u32, bytes: u32) -> Datagram {
        let flow = self.flows.get_mut(&slot).expect("an active flow is in the map");
        let packet = flow.queue.pop_front().expect("an active flow has a packet");
        flow.deficit -= bytes;
        self.deficits[self.class] -= bytes;
        self.packets -= 1;
        if flow.queue.is_empty() {
            (flow.deficit, flow.visiting) = (0, false);
            self.active[self.class].pop_front();
            if self.active[self.class].is_empty() {
                self.deficits[self.class] = 0;
                self.next_class();
            }
        }
        packet
    }

    fn next_class(&mut self) {
        self.class = (self.class + 1) % 3;
        self.visiting = false;
    }
}

/// Deadlines behind a lock.
#[derive(Default)]
struct Deadlines(Mutex<BinaryHeap<Datagram>>);

impl Deadlines {
    fn push(&self, packet: Datagram) {
        self.0.lock().expect("nobody panics").push(packet);
    }

    fn pop(&self) -> Option<Datagram> {
        self.0.lock().expect("nobody panics").pop()
    }

    fn packets(&self) -> usize {
        self.0.lock().expect("nobody panics").len()
    }
}

/// As ours: one packet waits in each flow.
pub struct Ingress {
    fair: Fair,
    traffic: Traffic,
    flows: usize,
}

impl Ingress {
    pub fn new(flows: usize) -> Self {
        let (fair, mut traffic) = (Fair::default(), Traffic::new());
        for flow in traffic.shuffled(flows) {
            fair.enqueue(Datagram::new(flow, traffic.bytes()));
        }
        Self { fair, traffic, flows }
    }
}

impl Case for Ingress {
    fn run(&mut self) -> u64 {
        for _ in 0..BATCH {
            let flow = sent(self.fair.dequeue());
            self.fair.enqueue(Datagram::new(flow, self.traffic.bytes()));
        }
        BATCH
    }

    fn check(&mut self) {
        assert_eq!(self.fair.packets(), self.flows);
    }
}

/// The end of a packet: it is freed; its flow has a new one.
fn sent(packet: Option<Datagram>) -> u32 {
    let packet = packet.expect("something waits");
    std::hint::black_box(&packet.data);
    packet.flow
}

/// As ours: so many packets wait, as many of each class come.
pub struct Edf {
    deadlines: Deadlines,
    traffic: Traffic,
    next: u64,
    waiting: usize,
}

impl Edf {
    pub fn new(waiting: usize) -> Self {
        let deadlines = Deadlines::default();
        let mut case = Self { deadlines, traffic: Traffic::new(), next: 0, waiting };
        for number in 0..waiting as u32 {
            let bytes = case.traffic.bytes();
            case.push(class_of(number), Datagram::new(number, bytes));
        }
        case
    }

    fn push(&mut self, class: usize, mut packet: Datagram) {
        packet.deadline = self.traffic.deadline(class);
        packet.number = self.next;
        self.next += 1;
        self.deadlines.push(packet);
    }

    fn pop(&mut self) -> Option<Datagram> {
        let packet = self.deadlines.pop()?;
        self.traffic.served(packet.deadline);
        Some(packet)
    }
}

impl Case for Edf {
    fn run(&mut self) -> u64 {
        for _ in 0..BATCH {
            let flow = sent(self.pop());
            let class = (self.next % 3) as usize;
            self.push(class, Datagram::new(flow, 84));
        }
        BATCH
    }

    fn check(&mut self) {
        assert_eq!(self.deadlines.packets(), self.waiting);
    }
}

/// As ours: two copies wait for each output; here each copy is a copy of the bytes.
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
        let mut case = Self { fair: Fair::default(), traffic, rules, next_rule: 0, fan_out };
        (0..case.rules.len() * COPIES_WAITING).for_each(|_| case.replicate(|_| ()));
        case
    }

    fn replicate(&mut self, before_each: impl Fn(&mut Fair)) {
        let first = self.rules[self.next_rule] * self.fan_out as u32;
        self.next_rule =
            if self.next_rule + 1 == self.rules.len() { 0 } else { self.next_rule + 1 };
        let bytes = self.traffic.bytes();
        for output in first..first + self.fan_out as u32 {
            before_each(&mut self.fair);
            self.fair.enqueue(Datagram::new(output, bytes));
        }
    }
}

impl Case for Egress {
    fn run(&mut self) -> u64 {
        self.replicate(|fair| _ = sent(fair.dequeue()));
        self.fan_out as u64
    }

    fn check(&mut self) {
        assert_eq!(self.fair.packets(), self.rules.len() * self.fan_out * COPIES_WAITING);
    }
}

/// All three; a packet is allocated once, before ingress, and freed behind egress.
pub struct Trio {
    ingress: Ingress,
    edf: Edf,
    egress: Fair,
}

impl Trio {
    pub fn new(waiting: usize) -> Self {
        let (egress, mut traffic) = (Fair::default(), Traffic::new());
        for output in traffic.shuffled(waiting) {
            egress.enqueue(Datagram::new(output, traffic.bytes()));
        }
        Self { ingress: Ingress::new(waiting), edf: Edf::new(waiting), egress }
    }
}

impl Case for Trio {
    fn run(&mut self) -> u64 {
        let Self { ingress, edf, egress } = self;
        for _ in 0..BATCH {
            let flow = sent(egress.dequeue());
            ingress.fair.enqueue(Datagram::new(flow, ingress.traffic.bytes()));
            let packet = ingress.fair.dequeue().expect("something waits");
            edf.push(class_of(packet.flow), packet);
            egress.enqueue(edf.pop().expect("something waits"));
        }
        BATCH
    }

    fn check(&mut self) {
        self.ingress.check();
        self.edf.check();
        assert_eq!(self.egress.packets(), self.ingress.flows);
    }
}

/// All three, fed by a thread that receives: it allocates and enqueues as long as fewer than
/// `waiting` packets wait in ingress. The other thread takes them through EDF and egress and frees
/// them. As in the origin, both go through the same lock for each packet.
pub struct Pipeline {
    ingress: Arc<Fair>,
    edf: Edf,
    egress: Fair,
    waiting: usize,
    stop: Arc<AtomicBool>,
    feeder: Option<JoinHandle<()>>,
}

impl Pipeline {
    pub fn new(waiting: usize) -> Self {
        let Trio { ingress, edf, egress } = Trio::new(waiting);
        let Ingress { fair, mut traffic, flows } = ingress;
        let (ingress, stop) = (Arc::new(fair), Arc::new(AtomicBool::new(false)));
        let (fed, stopped) = (Arc::clone(&ingress), Arc::clone(&stop));
        let feeder = std::thread::spawn(move || {
            let mut order = traffic.shuffled(flows).into_iter().cycle();
            while !stopped.load(Memory::Relaxed) {
                if fed.packets() < waiting {
                    let flow = order.next().unwrap_or(0);
                    fed.enqueue(Datagram::new(flow, traffic.bytes()));
                } else {
                    std::thread::yield_now();
                }
            }
        });
        Self { ingress, edf, egress, waiting, stop, feeder: Some(feeder) }
    }
}

impl Case for Pipeline {
    fn run(&mut self) -> u64 {
        for _ in 0..BATCH {
            let packet = loop {
                match self.ingress.dequeue() {
                    Some(packet) => break packet,
                    None => std::thread::yield_now(),
                }
            };
            self.edf.push(class_of(packet.flow), packet);
            sent(self.egress.dequeue());
            self.egress.enqueue(self.edf.pop().expect("something waits"));
        }
        BATCH
    }

    fn check(&mut self) {
        assert_eq!(self.egress.packets(), self.waiting);
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        self.stop.store(true, Memory::Relaxed);
        if let Some(feeder) = self.feeder.take() {
            let _ = feeder.join();
        }
    }
}
