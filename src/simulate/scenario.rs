//! What is simulated: a configuration, what is offered to it, what the host is like, and what
//! goes wrong.
//!
//! ```
//! use std::path::Path;
//! use punctual::simulate::{Offer, Scenario};
//!
//! let text = r#"
//!     schema = 1
//!     instance = { name = "doc" }
//!     port = [{ name = "in", device = "net_null0" }, { name = "out", device = "net_null1" }]
//!     [[rule]]
//!     name = "feed"
//!     input = { port = "in", destination = "239.1.1.1", udp_port = 5001 }
//!     output = [{ port = "out" }]
//! "#;
//! let loaded = punctual::config::load_bytes(Path::new("doc"), text.into(), &|_| None).unwrap();
//! let mut scenario = Scenario::new(loaded.config);
//! scenario.span = 50_000_000; // 50 ms
//! scenario.link = 1_000_000_000;
//! scenario.offers.push(Offer { sizes: vec![(1_000, 1)], ..Offer::of(0, 2_000_000_000) });
//! let outcome = scenario.run().unwrap();
//! assert_eq!(outcome.defect(), None);
//! assert!(outcome.outputs[0].sent < outcome.outputs[0].offered, "half of it at most fits");
//! ```

use std::time::Duration;

use super::world;
use super::{Outcome, SimulateError};
use crate::config::Config;
use crate::packet::Ticks;
use crate::testkit::Costs;
use crate::testkit::fault::FaultSpec;
use crate::testkit::traffic::{Frame, Pattern};

/// What a packet costs, in nanoseconds. `docs/journey.md` measures 192 ns for 1 -> 4 and 656 ns for
/// 1 -> 16: about 40 a packet and 39 a copy. That is with warm caches and drivers that do nothing,
/// so the defaults are half as much again for the one and a quarter more for the other.
pub const NANOS_PER_PACKET: u64 = 60;
/// What each copy costs.
pub const NANOS_PER_COPY: u64 = 50;
/// Bits a second of a link, where nothing else is said.
pub const LINK: u64 = 10_000_000_000;
/// Descriptors of a receive ring.
pub const RX_DESCRIPTORS: usize = 1_024;
/// Descriptors of a send ring.
pub const TX_DESCRIPTORS: usize = 512;
/// The longest time that traffic is offered for.
pub const SPAN_MAX: Duration = Duration::from_secs(86_400);
/// The most packets that are simulated.
pub const PACKETS_MAX: u64 = 50_000_000;
/// The most copies: some minutes of the host's time.
pub const COPIES_MAX: u64 = 200_000_000;
/// Sizes of IP packets and how often each: the simple Internet mix, of 64, 576 and 1,400 bytes.
pub const SIZES: [(usize, u32); 3] = [(64, 7), (576, 4), (1_400, 1)];

/// A simulation, before it runs.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The configuration; its `clock`, `idle` and `rx` do not count, for time is virtual and a
    /// card never waits.
    pub config: Config,
    /// What everything random follows from.
    pub seed: u64,
    /// How long traffic is offered, in nanoseconds.
    pub span: Ticks,
    /// What the CPU takes.
    pub costs: Costs,
    /// Bits a second of every link that has no rate of its own.
    pub link: u64,
    /// Links of their own: port slot, bits a second.
    pub links: Vec<(usize, u64)>,
    /// Descriptors of each receive ring.
    pub rx_descriptors: usize,
    /// Descriptors of each send ring.
    pub tx_descriptors: usize,
    /// Traffic made for rules.
    pub offers: Vec<Offer>,
    /// Traffic that was captured.
    pub replays: Vec<Replay>,
    /// What goes wrong.
    pub faults: Vec<FaultSpec>,
    /// Whether each copy that is sent is kept in [`Outcome::trace`].
    pub trace: bool,
}

/// Traffic for one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Slot of the rule.
    pub rule: usize,
    /// Bits a second at the input, frame overhead included.
    pub rate: u64,
    /// How it lies in time.
    pub pattern: Pattern,
    /// Lengths of IP packets in bytes and how often each; what does not fit the MTU of the ports
    /// is cut to it.
    pub sizes: Vec<(usize, u32)>,
    /// Destinations or senders that it has, at most; as many as the rule distinguishes.
    pub flows: usize,
    /// When it begins, in nanoseconds.
    pub from: Ticks,
    /// When it ends, where that is before the span's end.
    pub until: Ticks,
}

impl Offer {
    /// Poisson traffic of mixed sizes, all the time.
    pub fn of(rule: usize, rate: u64) -> Self {
        let pattern = Pattern::Poisson;
        Self { rule, rate, pattern, sizes: SIZES.into(), flows: 16, from: 0, until: Ticks::MAX }
    }
}

/// Captured traffic for one port.
#[derive(Clone, Debug)]
pub struct Replay {
    /// Slot of the port.
    pub port: usize,
    /// The frames.
    pub frames: Vec<Frame>,
    /// When each comes, in nanoseconds.
    pub times: Vec<Ticks>,
}

impl Scenario {
    /// Nothing offered yet; a second's span, links of [`LINK`], the costs of `docs/journey.md`.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            seed: 1,
            span: 1_000_000_000,
            costs: Costs { packet: NANOS_PER_PACKET, copy: NANOS_PER_COPY },
            link: LINK,
            links: Vec::new(),
            rx_descriptors: RX_DESCRIPTORS,
            tx_descriptors: TX_DESCRIPTORS,
            offers: Vec::new(),
            replays: Vec::new(),
            faults: Vec::new(),
            trace: false,
        }
    }

    /// Bits a second of a port's link.
    pub fn link_of(&self, port: usize) -> u64 {
        let own = self.links.iter().rfind(|(slot, _)| *slot == port);
        own.map_or(self.link, |(_, rate)| *rate).max(1)
    }

    /// Runs it to the end.
    ///
    /// # Errors
    /// Where it cannot run: what it asks for is impossible or too much.
    pub fn run(&self) -> Result<Outcome, SimulateError> {
        world::run(self)
    }
}
