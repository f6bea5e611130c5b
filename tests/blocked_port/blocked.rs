//! Two ports, of which one is not read.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::binary::{Instance, named, number, sum};
use crate::peer::{HANG, Peer, Wire, wait};
use crate::relay::{Relay, SLOTS, dropped, frame, output, port, read};

/// Frames that are offered at a time.
const ROUND: u32 = 32;
/// Bytes of payload of each.
const PAYLOAD: usize = 200;
/// Copies that an output's queue holds.
const QUEUE: u64 = 32;

/// What one rule copies to both ports and one to the second alone, so that both kinds of packets
/// meet there: headers chained to a shared payload, and packets rewritten in place.
fn rules() -> String {
    format!(
        r#"
        [default.output]
        queue = {{ packets = {QUEUE} }}
        [[rule]]
        name = "pair"
        input = {{ port = "feed", destination = "239.1.1.1" }}
        output = [
          {{ port = "a", destination = "239.2.1.1" }},
          {{ port = "b", destination = "239.2.2.1" }},
        ]
        [[rule]]
        name = "solo"
        input = {{ port = "feed", destination = "239.1.1.2" }}
        output = [{{ port = "b", destination = "239.2.2.2" }}]
        "#
    )
}

fn ports(instance: &Instance) -> String {
    let port = |name, id| port(instance, name, id, "client", "");
    port("feed", 0) + &port("a", 1) + &port("b", 2)
}

/// Whether the number'th frame is `pair`'s: rounds of one kind and mixed ones, in no step with the
/// ring.
fn is_pair(number: u32) -> bool {
    match number / ROUND % 3 {
        0 => true,
        1 => false,
        _ => number % 7 < 5,
    }
}

/// Offers frames and reads what must come of them.
struct Site {
    feed: Wire,
    a: Wire,
    b: Wire,
    offered: u32,
    /// Numbers of `pair`'s frames that have come to `a`.
    at_a: Vec<u32>,
}

impl Site {
    fn new(instance: &Instance) -> Self {
        let wires = Peer::start().wires(instance, 3);
        let [feed, a, b] = wires.try_into().unwrap_or_else(|_| panic!("three wires"));
        Self { feed, a, b, offered: 0, at_a: vec![] }
    }

    fn start(&mut self, instance: &Instance) -> Relay {
        (self.offered, self.at_a) = (0, vec![]);
        for wire in [&self.feed, &self.a, &self.b] {
            wait("the last relay to go", || (!wire.is_up()).then_some(()));
        }
        let relay = Relay::start(instance, &(ports(instance) + &rules()));
        [&self.feed, &self.a, &self.b].iter().for_each(|wire| wire.is_connected());
        relay
    }

    /// Offers the next frames; all of them must come to `b`, whole and in order.
    fn round(&mut self) {
        let numbers = self.offered..self.offered + ROUND;
        self.offered += ROUND;
        let group = |number| if is_pair(number) { 1 } else { 2 };
        let frames = numbers.clone().map(|n| frame(group(n), n, PAYLOAD));
        self.feed.send(&frames.collect::<Vec<_>>());
        let copies = self.b.read_count(ROUND as usize);
        let of = |group| copies.iter().map(|copy| read(copy)).filter(move |copy| copy.0 == group);
        for group in [1, 2] {
            let found: Vec<u32> = of(group).map(|(_, number)| number).collect();
            let offered: Vec<u32> =
                numbers.clone().filter(|&n| is_pair(n) == (group == 1)).collect();
            assert_eq!(found, offered, "group {group} at b");
        }
        assert_eq!(copies.len(), ROUND as usize, "more than was offered");
    }

    /// Reads what has come to `a`.
    fn read_a(&mut self) {
        self.at_a.extend(self.a.read_all().iter().map(|copy| read(copy).1));
    }

    /// Reads at `a` until all of `pair`'s frames from this number on are there.
    fn read_a_from(&mut self, from: u32) {
        let expected: Vec<u32> = (from..self.offered).filter(|&n| is_pair(n)).collect();
        let start = Instant::now();
        loop {
            self.read_a();
            let first = self.at_a.partition_point(|&n| n < from);
            if self.at_a[first..] == expected[..] {
                break;
            }
            assert!(start.elapsed() < HANG, "at a: {:?}, not {expected:?}", &self.at_a[first..]);
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(self.at_a.is_sorted(), "in order, whatever was left out");
    }

    /// `b` and what it costs must be the same whatever happens to `a`.
    fn b_is_whole(&self, report: &Value) {
        let pairs = u64::from((0..self.offered).map(|n| u32::from(is_pair(n))).sum::<u32>());
        for (rule, count) in [("pair", pairs), ("solo", u64::from(self.offered) - pairs)] {
            let at_b = output(report, rule, "b");
            assert_eq!((number(&at_b["copies"]), number(&at_b["sent"])), (count, count), "{at_b}");
            assert_eq!(sum(&at_b["dropped"]), 0, "{at_b}");
        }
        let port = named(&report["ports"], "b");
        assert_eq!((&port["breaker"], number(&port["breaker_opened"])), (&"closed".into(), 0));
        let ledger = &report["ledger"];
        assert_eq!(number(&ledger["admitted"]), u64::from(self.offered), "{ledger}");
    }

    /// What a port that takes nothing may pin: its queue, what is staged, what the worker keeps
    /// aside, a burst on the way; and no more, however long it lasts.
    fn memory_is_bounded(report: &Value) {
        let pool = named(&report["pools"], "payload");
        let (most, kept_aside) = (number(&pool["in_use_max"]), 256 + 256 / 2);
        assert!(most <= QUEUE + 3 * u64::from(ROUND) + kept_aside, "{pool}");
        assert!(2 * most < number(&pool["size"]), "{pool}");
    }
}

/// Offers more than the pool holds, with `a` read or not, and returns the report; `b` has it all.
fn offer(site: &mut Site, instance: &Instance, reads: bool) -> Value {
    let relay = site.start(instance);
    for _ in 0..200 {
        site.round();
        if reads {
            site.read_a();
        }
    }
    if reads {
        site.read_a_from(0);
    }
    let report = relay.end(instance);
    site.b_is_whole(&report);
    Site::memory_is_bounded(&report);
    report
}

pub fn a_blocked_port_costs_the_other_nothing() {
    let instance = Instance::new();
    let mut site = Site::new(&instance);
    let report = offer(&mut site, &instance, true);
    let at_a = output(&report, "pair", "a");
    assert_eq!((sum(&at_a["dropped"]), number(&at_a["sent"])), (0, site.at_a.len() as u64));

    // A full queue shows that `b` went on before the breaker opened, which is 100 ms. A host that
    // gives these processes no CPU for so long gets another chance.
    let mut reports = (0..5).map(|_| offer(&mut site, &instance, false));
    let is_full = |report: &Value| dropped(output(report, "pair", "a"), "egress_full") > 0;
    let report = reports.find(is_full);
    let report = report.expect("`b` waits until the breaker of `a` opens");
    let at_a = output(&report, "pair", "a");
    assert!(number(&at_a["sent"]) <= SLOTS, "{at_a}");
    let reasons = ["egress_full", "breaker_open", "stopped"].map(|reason| dropped(at_a, reason));
    let ends = number(&at_a["sent"]) + reasons.iter().sum::<u64>();
    assert_eq!(number(&at_a["copies"]), ends, "{at_a}");
    assert!(number(&at_a["copies"]) > 2 * SLOTS, "{at_a}");
}

pub fn a_blocked_port_costs_the_other_nothing_at_full_speed() {
    let instance = Instance::new();
    let Site { a: _a, mut b, .. } = Site::new(&instance);
    let frames: Vec<_> = (0..64).map(|n| frame(1, n, PAYLOAD)).collect();
    instance.capture("in.pcap", frames.iter().map(|frame| (0, &frame[..])));
    let feed = "[[port]]\nname = \"feed\"\nrx = \"live\"\n\
                device = \"net_pcap0,rx_pcap=${CONFIG_DIR}/in.pcap,infinite_rx=1\"\n";
    let port = |name, id| port(&instance, name, id, "client", "");
    let relay =
        Relay::start(&instance, &(feed.to_owned() + &port("a", 1) + &port("b", 2) + &rules()));
    b.is_connected();
    let mut received = 0;
    let mut receive = |b: &mut Wire| {
        let copies = b.read_all();
        assert!(copies.iter().all(|copy| read(copy).0 == 1));
        received += copies.len() as u64;
        received
    };
    relay.says("port a: it has taken nothing", 1, || _ = receive(&mut b));
    let before = receive(&mut b);
    wait("the stream at b", || (receive(&mut b) > before + 50_000).then_some(()));
    // Not while the relay ends: the driver takes the ring from under its reader.
    let report = relay.end(&instance);
    let sent = |port| number(&output(&report, "pair", port)["sent"]);
    assert!(received <= sent("b") && sent("b") <= received + SLOTS, "{received} of {}", sent("b"));
    assert!(sent("a") <= SLOTS, "{}", sent("a"));
    assert!(dropped(output(&report, "pair", "a"), "breaker_open") > 50_000);
    let pool = named(&report["pools"], "payload");
    assert!(number(&pool["in_use_max"]) < number(&pool["size"]), "{pool}");
}

pub fn its_breaker_opens_and_closes_when_it_reads_again() {
    let instance = Instance::new();
    let mut site = Site::new(&instance);
    let relay = site.start(&instance);
    relay.says("port a: it has taken nothing for 100 ms", 1, || site.round());
    // It is given up: rounds that cost `a` nothing but their count.
    (0..100).for_each(|_| site.round());
    assert_eq!(relay.has_said("port a: back"), 0, "nobody has read");
    site.read_a();
    let before = site.at_a.len();
    relay.says("port a: over after", 1, || {
        site.round();
        site.read_a();
    });
    assert!(site.at_a.len() > before, "probes have come");
    // The worker looks at breakers when a turn begins: the one at hand may not know yet.
    site.round();
    let from = site.offered;
    for _ in 0..100 {
        site.round();
        site.read_a();
    }
    site.read_a_from(from);
    let report = relay.end(&instance);
    site.b_is_whole(&report);
    Site::memory_is_bounded(&report);
    let port = named(&report["ports"], "a");
    assert_eq!(
        (&port["breaker"], number(&port["breaker_opened"])),
        (&"closed".into(), 1),
        "{port}"
    );
    let at_a = output(&report, "pair", "a");
    assert_eq!(number(&at_a["sent"]), site.at_a.len() as u64, "{at_a}");
    let ends = dropped(at_a, "breaker_open") + dropped(at_a, "egress_full");
    assert_eq!(number(&at_a["copies"]), number(&at_a["sent"]) + ends, "{at_a}");
    assert!(dropped(at_a, "breaker_open") > 100 * u64::from(ROUND) / 2, "{at_a}");
}
