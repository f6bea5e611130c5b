//! One port, several outputs, and a reader that is slower than what is offered: it is the wire.

use std::collections::HashMap;

use punctual::packet::BURST;

use crate::binary::{Instance, named, number};
use crate::peer::{Peer, Wire, wait};
use crate::relay::{Relay, counted, dropped, frame, output, port, read};

/// By rule: weight of its output on the shared port, and bytes of payload of its frames.
const RULES: [(u64, usize); 3] = [(1, 1_400), (2, 100), (4, 700)];
/// Slots of the shared port's ring: few, for it has no fairness of its own.
const SLOTS: u64 = 1 << 5;
/// Frames of each rule that are offered at a time.
const ROUND: u32 = 32;
/// Frames that are read at a time: less than each rule offers of its share.
const READ: usize = 16;
const ROUNDS: u32 = 350;
/// Rounds until every queue holds something, several times over.
const WARM: u32 = 50;

fn rule(group: usize, weight: u64) -> String {
    format!(
        r#"
        [[rule]]
        name = "w{group}"
        input = {{ port = "feed", destination = "239.1.1.{group}" }}
        output = [
          {{ port = "slow", destination = "239.2.1.{group}", weight = {weight} }},
          {{ port = "fast", destination = "239.2.2.{group}" }},
        ]
        "#
    )
}

struct Site {
    feed: Wire,
    slow: Wire,
    fast: Wire,
    /// Rounds that were offered.
    offered: u32,
    /// Copies that were read at `slow`.
    read: u64,
    /// The last number of each group there.
    last: HashMap<u8, u32>,
}

impl Site {
    /// Offers a round, which must come to `fast`.
    fn offer(&mut self) {
        let numbers = self.offered * ROUND..(self.offered + 1) * ROUND;
        self.offered += 1;
        let of = |(group, n): (usize, u32)| frame(group as u8 + 1, n, RULES[group].1);
        let all = numbers.flat_map(|n| (0..RULES.len()).map(move |group| (group, n)));
        let frames: Vec<_> = all.map(of).collect();
        // A burst at a time, so that no queue on the way to `fast` is ever full.
        for frames in frames.chunks(ROUND as usize) {
            self.feed.send(frames);
            let copies = self.fast.read_count(frames.len());
            assert_eq!(copies.len(), frames.len(), "more than was offered");
        }
    }

    /// Reads some copies at `slow`: their groups and bytes.
    fn read(&mut self, most: usize) -> Vec<(u8, u64)> {
        let copies = self.slow.read_some(most);
        self.read += copies.len() as u64;
        let read = copies.iter().map(|copy| {
            let (group, number) = read(copy);
            let last = self.last.insert(group, number);
            assert!(last.is_none_or(|last| last < number), "out of order");
            (group, counted(copy))
        });
        read.collect()
    }

    /// Offers a round and reads [`READ`] copies at `slow`; none where the relay has said once more
    /// than `opened` times that nobody reads there, because this process got no CPU for 100 ms.
    fn round(&mut self, relay: &Relay, opened: usize) -> Option<Vec<(u8, u64)>> {
        self.offer();
        let mut copies = Vec::new();
        wait("the backlog at the slow port", || {
            copies.extend(self.read(READ - copies.len()));
            let is_open = copies.len() < READ && relay.has_said(OPEN) > opened;
            (is_open || copies.len() == READ).then_some(())
        });
        (copies.len() == READ).then_some(copies)
    }

    /// Reads on until the relay trusts the port again.
    fn recover(&mut self, relay: &Relay, opened: usize) {
        relay.says("port slow: over after", opened, || {
            self.offer();
            self.read(BURST);
        });
    }
}

/// What the relay says where it gives the port up.
const OPEN: &str = "port slow: it has taken nothing";

/// Bytes of each group that were read in [`ROUNDS`] rounds in a row, of which the first are left
/// out.
fn served(site: &mut Site, relay: &Relay) -> HashMap<u8, u64> {
    let (mut served, mut rounds, mut opened) = (HashMap::new(), 0, 0);
    while rounds < ROUNDS {
        let Some(copies) = site.round(relay, opened) else {
            opened += 1;
            site.recover(relay, opened);
            (served, rounds) = (HashMap::new(), 0);
            continue;
        };
        rounds += 1;
        for (group, bytes) in copies.into_iter().filter(|_| rounds > WARM) {
            *served.entry(group).or_default() += bytes;
        }
    }
    served
}

pub fn outputs_of_one_port_get_their_weights_where_the_reader_is_slow() {
    let instance = Instance::new();
    let wires = Peer::start().wires(&instance, 3);
    let [feed, slow, fast] = wires.try_into().unwrap_or_else(|_| panic!("three wires"));
    let text = port(&instance, "feed", 0, "client", "")
        + &port(&instance, "slow", 1, "client", &format!(",rsize={}", SLOTS.ilog2()))
        + &port(&instance, "fast", 2, "client", "")
        + "[default.output]\nqueue = { packets = 128 }\n"
        + &RULES
            .iter()
            .zip(1..)
            .map(|((weight, _), group)| rule(group, *weight))
            .collect::<String>();
    let relay = Relay::start(&instance, &text);
    [&feed, &slow, &fast].iter().for_each(|wire| wire.is_connected());

    let mut site = Site { feed, slow, fast, offered: 0, read: 0, last: HashMap::new() };
    let served = served(&mut site, &relay);
    // Nobody reads any more: what waits is given up, and does not change what was served.
    let report = relay.end(&instance);

    let total = served.values().sum::<u64>() as f64;
    let weights = RULES.iter().map(|rule| rule.0).sum::<u64>() as f64;
    let mut sent = 0;
    for (group, (weight, _)) in (1..).zip(RULES) {
        let (share, found) = (weight as f64 / weights, served[&group] as f64 / total);
        assert!((found / share - 1.0).abs() < 0.02, "w{group}: {found:.4}, not {share:.4}");
        let [at_slow, at_fast] = ["slow", "fast"].map(|p| output(&report, &format!("w{group}"), p));
        assert!(dropped(at_slow, "egress_full") > 0, "each has more than its share: {at_slow}");
        assert_eq!(number(&at_fast["sent"]), u64::from(site.offered * ROUND), "{at_fast}");
        sent += number(&at_slow["sent"]);
    }
    // What the port took was read, or lies in the ring.
    let all = site.read..=site.read + SLOTS;
    assert!(all.contains(&sent), "{sent} sent, {} read", site.read);
    assert_eq!(number(&named(&report["ports"], "fast")["breaker_opened"]), 0);
}
