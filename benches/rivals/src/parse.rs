//! Parse beside `rte_net_get_ptype`, DPDK's own parser, with the checks that it leaves to its caller: the
//! IPv4 header's checksum, TTL and lengths. 1,024 good frames in bursts of 32, in the first cache.
//!
//! What is not equal: ours also judges addresses (martians, our own), cuts off what is behind the
//! datagram, and leaves offsets and key in the packet's metadata, which rx has made empty for it: that
//! is counted here, too. `rte_net_get_ptype` knows tunnels and protocols that a relay does not ask for.

use std::sync::Arc;

use etherparse::PacketBuilder;
use punctual::dpdk::{DEFAULT_CACHE, Eal, HEADROOM, Mbuf, Pool, PoolConfig};
use punctual::ledger::Counters;
use punctual::packet::{BURST, Burst, Meta, Packet};
use punctual::plan::Plan;
use punctual::stages::{self, Tally};

use crate::duel::{Answer, Contest, Names};
use crate::plan;
use crate::theirs;

const FRAMES: usize = 1024;
/// One frame in so many has a VLAN tag, where some have.
const TAGGED: usize = 8;

/// The contest.
pub struct Parse {
    stage: stages::Parse,
    plan: Plan,
    tally: Tally,
    /// Dropped in front of their pool.
    bursts: Vec<Burst<Mbuf>>,
    next: [usize; 2],
    tagged: bool,
    _pool: Pool,
}

fn frame(number: usize, tagged: bool) -> Vec<u8> {
    let [high, low] = [(number >> 8) as u8, number as u8];
    let to = [1, 0, 0x5e, 1, high, low];
    let link = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 9], to);
    let ip = ([10, 0, 0, 1], [239, 1, high, low], 16);
    let udp = if tagged && number % TAGGED == number / BURST % TAGGED {
        let vlan = 200.try_into().expect("a VLAN id");
        link.single_vlan(vlan).ipv4(ip.0, ip.1, ip.2).udp(4000, 5000)
    } else {
        link.ipv4(ip.0, ip.1, ip.2).udp(4000, 5000)
    };
    let mut bytes = vec![];
    udp.write(&mut bytes, &[0; 18]).expect("memory takes it");
    bytes
}

impl Parse {
    /// Plain frames, or some of them `tagged`.
    pub fn new(eal: &Eal, tagged: bool) -> Self {
        let config = PoolConfig {
            name: "parse",
            packets: 4 * FRAMES as u32,
            data_room: HEADROOM + 2048,
            cache: DEFAULT_CACHE,
        };
        let mut pool = Pool::new(eal, &config).expect("there is memory for the packets");
        let mut packet = |number| {
            let (bytes, mut packet) = (frame(number, tagged), pool.take_one().expect("a buffer"));
            packet.replace_front(0, bytes.len()).expect("a frame fits").copy_from_slice(&bytes);
            packet
        };
        let bursts = (0..FRAMES / BURST)
            .map(|burst| (0..BURST).map(|i| packet(burst * BURST + i)).collect())
            .collect();
        let plan = plan::of_sources(64);
        let tally = Tally::new(Arc::new(Counters::for_plan(&plan)));
        Self { stage: Default::default(), plan, tally, bursts, next: [0; 2], tagged, _pool: pool }
    }
}

impl Contest for Parse {
    fn names(&self) -> Names {
        Names {
            stage: "parse",
            ours: "Parse",
            rival: "rte_net_get_ptype",
            size: FRAMES,
            drawn: if self.tagged { "1 in 8 tagged" } else { "plain" },
        }
    }

    fn ours(&mut self, packets: u64) -> Answer {
        let Self { stage, plan, tally, bursts, next: [next, _], .. } = self;
        let mut answer = Answer::default();
        for _ in 0..packets / BURST as u64 {
            let burst = &mut bursts[*next];
            *next = (*next + 1) % (FRAMES / BURST);
            burst.iter_mut().for_each(|packet| *packet.meta_mut() = Meta::default());
            stage.inspect(burst, plan, tally);
            for packet in burst.iter() {
                answer.count += 1;
                answer.sum += u64::from(packet.meta().headers.udp);
            }
        }
        answer
    }

    fn theirs(&mut self, packets: u64) -> Answer {
        let Self { bursts, next: [_, next], .. } = self;
        let mut answer = Answer::default();
        for _ in 0..packets / BURST as u64 {
            let found = theirs::parse(&bursts[*next]);
            *next = (*next + 1) % (FRAMES / BURST);
            answer.count += found.count;
            answer.sum += found.sum;
        }
        answer
    }
}
