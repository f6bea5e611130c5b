//! Buffers of a pool, a burst taken and given back at a time: ours by handles, each of which gives its
//! buffer back when it is dropped, beside `rte_pktmbuf_alloc_bulk` and `rte_pktmbuf_free_bulk`.
//!
//! The pool is the same, and so is its cache. What ours takes is reset in the same way, but one by one
//! when it is dropped: so end packets that a stage drops. What is sent goes back by the driver.

use arrayvec::ArrayVec;
use punctual::dpdk::{DEFAULT_CACHE, Eal, HEADROOM, Mbuf, Pool, PoolConfig};
use punctual::packet::{BURST, PacketPool};

use crate::duel::{Answer, Contest, Names};
use crate::theirs::cycle_of_pool;

const BUFFERS: u32 = 8192;

/// The contest.
pub struct Buffers {
    /// Says to the rival which pool it is; dropped in front of it.
    one: Option<Mbuf>,
    pool: Pool,
}

impl Buffers {
    /// A pool of 8,192.
    pub fn new(eal: &Eal) -> Self {
        let config = PoolConfig {
            name: "buffers",
            packets: BUFFERS,
            data_room: HEADROOM + 2048,
            cache: DEFAULT_CACHE,
        };
        let mut pool = Pool::new(eal, &config).expect("there is memory for the buffers");
        Self { one: pool.take_one(), pool }
    }
}

impl Contest for Buffers {
    fn names(&self) -> Names {
        Names {
            stage: "buffers",
            ours: "Pool::take, drop",
            rival: "rte_pktmbuf_alloc_bulk, _free_bulk",
            size: BUFFERS as usize,
            drawn: "32 at a time",
        }
    }

    fn ours(&mut self, packets: u64) -> Answer {
        let mut answer = Answer::default();
        while answer.count < packets {
            let mut burst = ArrayVec::<Mbuf, BURST>::new();
            answer.count += self.pool.take(&mut burst, BURST) as u64;
            drop(std::hint::black_box(burst));
        }
        answer
    }

    fn theirs(&mut self, packets: u64) -> Answer {
        let one = self.one.take().expect("it is kept");
        let (one, answer) = cycle_of_pool(one, packets);
        self.one = Some(one);
        answer
    }

    fn end(&mut self) {
        assert_eq!(self.pool.in_use(), 1, "all but one are back");
    }
}
