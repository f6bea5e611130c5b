//! A scenario in a few lines, and what must hold in every one of them.
//!
//! ```ignore
//! let outcome = Site::new(r#"
//!     [[rule]]
//!     name = "feed"
//!     class = "high"
//!     input = { port = "in", destination = "239.1.1.0/24", udp_port = 5001 }
//!     output = [{ port = "a" }, { port = "b", weight = 4 }]
//! "#)
//! .cpu(60, 50)                                  // ns a packet, ns a copy; default: free
//! .link("a", "1Gbps")                           // the wire; default: 10Gbps
//! .shaped("b", "2Gbps", "64KiB")                // the worker's shaper of a port; default: none
//! .feed(Feed::of("feed").rate("500Mbps"))       // at the input, frame overhead included
//! .feed(Feed::of("feed").times(2.0, "a").sizes(&[1_400]).constant().ms(10..20))
//! .fault("tx-refuses:b@10ms+5ms")
//! .ms(100)                                      // of traffic; then it drains
//! .run();                                       // ledger whole, order kept, pools empty
//!
//! let a = outcome.output("feed", "a/keep").unwrap();
//! assert_eq!(a.offered, a.sent + a.lost_before() + a.dropped.iter().sum::<u64>());
//! let p99 = a.residence_at(0.99);               // ns
//! let rate = mbps(&a.bytes_by_slice[10..20]);   // a slice is 1 ms
//! let late = (a.late_sent, a.dropped_for(DropReason::EgressLate));
//! let missed = outcome.ports[0].rx.missed;
//! let headers = &outcome.in_use[1][10..20];      // most in use of pool `headers`, by slice
//! let opened = outcome.breakers[0];              // at (ns), of (port or receiver), state
//! let policed = outcome.rule("feed").unwrap().dropped_for(DropReason::Policed);
//! ```
//!
//! The ports are `in`, `a`, `b` and `c` (see [`PORTS`]); [`Site::whole`] takes a configuration of
//! its own. All the rest of a [`Scenario`] is at hand in `site.scenario`.

#![allow(dead_code, reason = "each proof takes a part of it")]

use std::ops::Range;
use std::path::Path;

use punctual::config::{self, Config, RateLimit};
use punctual::simulate::{Offer, Outcome, Scenario};
use punctual::testkit::Costs;
use punctual::testkit::traffic::Pattern;

/// What stands in front of the rules given to [`Site::new`].
pub const PORTS: &str = r#"
    schema = 1
    [instance]
    name = "simulation"
    [[port]]
    name = "in"
    device = "net_null0"
    [[port]]
    name = "a"
    device = "net_null1"
    address = ["10.0.0.1/24", "fd00::1/64"]
    [[port]]
    name = "b"
    device = "net_null2"
    [[port]]
    name = "c"
    device = "net_null3"
"#;

/// A millisecond in nanoseconds.
pub const MS: u64 = 1_000_000;

/// A scenario in the making.
#[derive(Clone, Debug)]
pub struct Site {
    pub scenario: Scenario,
    feeds: Vec<Feed>,
}

impl Site {
    /// Rules on the ports of [`PORTS`]; work is free, links have 10 Gbit/s.
    pub fn new(rules: &str) -> Self {
        Self::whole(&format!("{PORTS}{rules}"))
    }

    /// A whole configuration.
    pub fn whole(text: &str) -> Self {
        let mut scenario = Scenario::new(load(text));
        scenario.costs = Costs { packet: 0, copy: 0 };
        Self { scenario, feeds: Vec::new() }
    }

    /// What the CPU takes, in nanoseconds a packet and a copy.
    pub fn cpu(mut self, packet: u64, copy: u64) -> Self {
        self.scenario.costs = Costs { packet, copy };
        self
    }

    /// The rate of a port's link, as `"1Gbps"`.
    pub fn link(mut self, port: &str, rate: &str) -> Self {
        let link = (self.port(port), bits(rate));
        self.scenario.links.push(link);
        self
    }

    /// The shaper of a port: `rate` and `burst` as in the configuration.
    pub fn shaped(mut self, port: &str, rate: &str, burst: &str) -> Self {
        let slot = self.port(port);
        let burst = config::parse_bytes(burst).unwrap_or_else(|error| panic!("{burst}: {error}"));
        let shaper = RateLimit { rate: bits(rate), burst };
        self.scenario.config.ports[slot].shaper = Some(shaper);
        self
    }

    /// Adds traffic.
    pub fn feed(mut self, feed: Feed) -> Self {
        self.feeds.push(feed);
        self
    }

    /// Adds a fault, as on the command line: `"tx-refuses:a@10ms+5ms"`.
    pub fn fault(mut self, fault: &str) -> Self {
        self.scenario.faults.push(fault.parse().unwrap_or_else(|error| panic!("{error}")));
        self
    }

    /// How long traffic is offered, in milliseconds.
    pub fn ms(mut self, span: u64) -> Self {
        self.scenario.span = span * MS;
        self
    }

    /// Another seed.
    pub fn seed(mut self, seed: u64) -> Self {
        self.scenario.seed = seed;
        self
    }

    /// Keeps each copy that is sent in `outcome.trace`.
    pub fn traced(mut self) -> Self {
        self.scenario.trace = true;
        self
    }

    /// Runs it, and checks what always holds.
    pub fn run(mut self) -> Outcome {
        for feed in std::mem::take(&mut self.feeds) {
            let offer = feed.offer(&self);
            self.scenario.offers.push(offer);
        }
        let outcome = self.scenario.run().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(outcome.report.ledger.residual, 0, "the ledger");
        assert_eq!(outcome.reordered, 0, "the order of each flow at each output");
        assert_eq!(outcome.leaked, 0, "the pools");
        assert_eq!(outcome.defect(), None);
        outcome
    }

    fn port(&self, name: &str) -> usize {
        let ports = &self.scenario.config.ports;
        ports.iter().position(|port| port.name == name).unwrap_or_else(|| panic!("port {name}"))
    }
}

/// Traffic for one rule.
#[derive(Clone, Debug)]
pub struct Feed {
    rule: String,
    rate: Rate,
    offer: Offer,
}

#[derive(Clone, Debug)]
enum Rate {
    Bits(u64),
    /// So many times what a port's link carries.
    Times(f64, String),
    /// Packets a second.
    Packets(f64),
}

impl Feed {
    /// Poisson traffic of 100 Mbit/s, of mixed sizes, all the time.
    pub fn of(rule: &str) -> Self {
        Self { rule: rule.into(), rate: Rate::Bits(100_000_000), offer: Offer::of(0, 0) }
    }

    /// Bits a second at the input, frame overhead included, as `"2Gbps"`.
    pub fn rate(self, rate: &str) -> Self {
        Self { rate: Rate::Bits(bits(rate)), ..self }
    }

    /// So many times what the link of `port` carries.
    pub fn times(self, factor: f64, port: &str) -> Self {
        Self { rate: Rate::Times(factor, port.into()), ..self }
    }

    /// Packets a second.
    pub fn packets(self, rate: f64) -> Self {
        Self { rate: Rate::Packets(rate), ..self }
    }

    /// Lengths of IP packets in bytes, each as often.
    pub fn sizes(mut self, sizes: &[usize]) -> Self {
        self.offer.sizes = sizes.iter().map(|&size| (size, 1)).collect();
        self
    }

    /// Evenly spaced.
    pub fn constant(self) -> Self {
        self.pattern(Pattern::Constant)
    }

    /// Spaced as this says.
    pub fn pattern(mut self, pattern: Pattern) -> Self {
        self.offer.pattern = pattern;
        self
    }

    /// Destinations or senders, at most; as many as the rule tells apart.
    pub fn flows(mut self, flows: usize) -> Self {
        self.offer.flows = flows;
        self
    }

    /// Only in these milliseconds.
    pub fn ms(mut self, time: Range<u64>) -> Self {
        (self.offer.from, self.offer.until) = (time.start * MS, time.end * MS);
        self
    }

    fn offer(mut self, site: &Site) -> Offer {
        let rules = &site.scenario.config.rules;
        let rule = rules.iter().position(|rule| rule.name == self.rule);
        self.offer.rule = rule.unwrap_or_else(|| panic!("rule {}", self.rule));
        self.offer.rate = match &self.rate {
            Rate::Bits(rate) => *rate,
            Rate::Times(factor, port) => {
                (site.scenario.link_of(site.port(port)) as f64 * factor) as u64
            }
            Rate::Packets(rate) => {
                let sizes = &self.offer.sizes;
                let weight: u32 = sizes.iter().map(|(_, weight)| weight).sum();
                // An Ethernet header and the frame's overhead.
                let bits = sizes.iter().map(|&(size, weight)| (size + 38) as u32 * 8 * weight);
                (rate * f64::from(bits.sum::<u32>()) / f64::from(weight)) as u64
            }
        };
        self.offer
    }
}

/// Megabits a second that bytes in slices of a millisecond are.
pub fn mbps(bytes_by_slice: &[u64]) -> f64 {
    let bytes: u64 = bytes_by_slice.iter().sum();
    bytes as f64 * 8.0 / 1_000.0 / bytes_by_slice.len().max(1) as f64
}

/// Bits a second of a text.
pub fn bits(rate: &str) -> u64 {
    config::parse_rate(rate).unwrap_or_else(|error| panic!("{rate}: {error}"))
}

fn load(text: &str) -> Config {
    let bytes = text.as_bytes().to_vec();
    match config::load_bytes(Path::new("simulation.toml"), bytes, &|_| None) {
        Ok(loaded) => loaded.config,
        Err(errors) => panic!("{errors}"),
    }
}
