//! Egress DRR beside `rte_sched`: mbufs of a pool, one of which waits for each output; 32 are taken out
//! and put back behind the others of their outputs.
//!
//! What is equal: outputs in three classes, a bounded queue each, 24 bytes of overhead a packet. What is
//! not: `rte_sched` shapes on four levels (its rates are set so high that they hold nothing up), knows
//! 13 traffic classes a pipe and serves them by strict priority, and pipes in turn; ours has shares by
//! weight between classes and between outputs, to the byte. So the order is not the same, only that each
//! packet comes out, and as often.

use arrayvec::ArrayVec;
use fastrand::Rng;
use punctual::config::{Class, QueueBound};
use punctual::dpdk::{DEFAULT_CACHE, Eal, HEADROOM, Mbuf, Pool, PoolConfig, log_after};
use punctual::packet::{BURST, FRAME_OVERHEAD, Packet};
use punctual::sched::{Drr, MemberSettings};

use crate::duel::{Answer, Contest, Names};
use crate::theirs::Sched;

/// The largest frame, overhead counted.
const LARGEST: u32 = 1514 + FRAME_OVERHEAD;
/// Frames, by chance.
const LENGTHS: [usize; 4] = [60, 570, 60, 1514];
/// As many as a queue of the rival takes.
const BOUND: QueueBound = QueueBound { packets: 8, bytes: 8 * LARGEST as u64 };

/// The contest.
pub struct Egress<'a> {
    drr: Drr<Mbuf>,
    settings: [MemberSettings; 3],
    sched: Sched<'a>,
    /// Outputs, and bytes of the packets that wait for each.
    lengths: Vec<u32>,
    /// Last: its packets are in the schedulers.
    _pool: Pool,
}

fn class_of(output: u32) -> usize {
    output as usize % 3
}

fn packet(pool: &mut Pool, output: u32, length: usize) -> Mbuf {
    let mut packet = pool.take_one().expect("the pool is large enough");
    packet.replace_front(0, length).expect("a frame fits").fill(0);
    let meta = packet.meta_mut();
    *meta = Default::default();
    (meta.output, meta.bytes) = (output, length as u32 + FRAME_OVERHEAD);
    packet
}

impl<'a> Egress<'a> {
    /// So many outputs, a power of two.
    pub fn new(eal: &'a Eal, outputs: usize) -> Self {
        let config = PoolConfig {
            name: "egress",
            packets: (outputs * 2).next_power_of_two() as u32 + 1024,
            data_room: HEADROOM + 2048,
            cache: DEFAULT_CACHE,
        };
        let mut pool = Pool::new(eal, &config).expect("there is memory for the packets");
        let mark = log_after(0).1;
        let mut sched = Sched::new(eal, outputs).unwrap_or_else(|| {
            panic!("rte_sched does not take {outputs} pipes: {}", log_after(mark).0.join("; "))
        });
        let quanta = [16 * LARGEST, 4 * LARGEST, LARGEST];
        let mut drr = Drr::new(outputs, quanta, LARGEST);
        let settings =
            Class::ALL.map(|class| MemberSettings { class, quantum: LARGEST, bound: BOUND });
        let mut random = Rng::with_seed(4);
        let mut order: Vec<u32> = (0..outputs as u32).collect();
        random.shuffle(&mut order);
        let mut lengths = vec![0; outputs];
        for output in order {
            let length = LENGTHS[random.usize(..LENGTHS.len())];
            lengths[output as usize] = length as u32 + FRAME_OVERHEAD;
            let class = class_of(output);
            drr.enqueue(output, &settings[class], packet(&mut pool, output, length));
            let put = sched.put(packet(&mut pool, output, length), output, class as u32);
            assert!(put, "rte_sched takes a packet");
        }
        Self { drr, settings, sched, lengths, _pool: pool }
    }
}

impl Contest for Egress<'_> {
    fn names(&self) -> Names {
        Names {
            stage: "egress DRR",
            ours: "Drr",
            rival: "rte_sched_port_enqueue, _dequeue",
            size: self.lengths.len(),
            drawn: "all wait",
        }
    }

    fn ours(&mut self, packets: u64) -> Answer {
        let Self { drr, settings, .. } = self;
        let mut answer = Answer::default();
        while answer.count < packets {
            let mut burst = ArrayVec::<Mbuf, BURST>::new();
            while !burst.is_full()
                && let Some(packet) = drr.dequeue()
            {
                burst.push(packet);
            }
            answer.count += burst.len() as u64;
            for packet in burst {
                let (output, bytes) = (packet.meta().output, packet.meta().bytes);
                let settings = &settings[class_of(output)];
                if drr.has_room(output, settings, bytes) {
                    drr.enqueue(output, settings, packet);
                    answer.sum += 1;
                }
            }
        }
        answer
    }

    fn theirs(&mut self, packets: u64) -> Answer {
        self.sched.cycle(packets)
    }

    /// Each output's packet comes out of both, as long as it went in.
    fn end(&mut self) {
        let mut ours = vec![0; self.lengths.len()];
        while let Some(packet) = self.drr.dequeue() {
            ours[packet.meta().output as usize] += packet.frame_len() as u32 + FRAME_OVERHEAD;
        }
        let mut theirs = vec![0; self.lengths.len()];
        for _ in 0..self.lengths.len() {
            let Some((packet, pipe)) = self.sched.take() else { break };
            theirs[pipe as usize] += packet.frame_len() as u32 + FRAME_OVERHEAD;
        }
        assert_eq!(ours, self.lengths, "what came out of egress DRR");
        assert_eq!(theirs, self.lengths, "what came out of rte_sched");
    }
}
