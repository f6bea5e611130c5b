//! One populated instance for the tests of this room: two ports, two rules, three outputs, counts
//! in every field, and a ledger without a residual.

use std::sync::Arc;
use std::time::Duration;

use super::alerts::{Alert, Level};
use super::breaker::{Breakers, News};
use super::groups;
use super::neighbours;
use super::placement::Place;
use super::reload::Retired;
use super::report::{Inputs, Link, PoolStatus, PortStatus, Report, TxChain, WorkerView};
use super::slow_path::Malformed;
use super::unmatched::Unmatched;
use super::view::View;
use crate::config::*;
use crate::ledger::{Counters, Ledger, Missed, Residence};
use crate::packet::DropReason;
use crate::plan::{Miss, Plan, PortFacts};
use crate::stages::BreakerWords;
use crate::wire::{Key, MacAddr, PuntProtocol};

/// A clock of half nanoseconds, so that a forgotten conversion shows.
pub const TICKS_PER_SECOND: u64 = 2_000_000_000;

/// All that a report borrows.
pub struct Fixture {
    pub config: Config,
    pub plan: Plan,
    pub counters: Counters,
    pub ports: Vec<PortStatus>,
    pub breakers: Breakers,
    pub pools: Vec<PoolStatus>,
    pub unmatched: Unmatched,
    pub groups: groups::State,
    pub neighbours: neighbours::Shown,
    pub malformed: Malformed,
    pub alerts: Vec<Alert>,
}

impl Fixture {
    /// After a run that moved 1,000 packets.
    pub fn new() -> Self {
        let config = config();
        let plan = plan(&config);
        let counters = Counters::new(2, 3, 2);
        count(&counters);
        let breakers = breakers(&plan, &counters);
        Self {
            config,
            plan,
            counters,
            ports: ports(),
            breakers,
            pools: pools(),
            unmatched: unmatched(),
            groups: joined(),
            neighbours: neighbours::Shown { rows: asked(), unreachable: vec![0, 7] },
            malformed: malformed(),
            alerts: alerts(),
        }
    }

    /// The report at rest.
    pub fn report(&self) -> Report {
        self.report_with(|_| {})
    }

    /// The report with other inputs.
    pub fn report_with(&self, change: impl FnOnce(&mut Inputs<'_>)) -> Report {
        let workers = [WorkerView { lcore: 1, counters: &self.counters }];
        let mut inputs = Inputs {
            config: &self.config,
            plan: &self.plan,
            workers: &workers,
            places: &places(),
            ports: &self.ports,
            retired: &Retired::default(),
            breakers: &self.breakers,
            pools: &self.pools,
            unmatched: &self.unmatched,
            groups: &self.groups,
            neighbours: &self.neighbours,
            malformed: &self.malformed,
            alerts: &self.alerts,
            now: Some(12 * TICKS_PER_SECOND),
            uptime: Duration::from_millis(12_345),
            dpdk: "22.11.11",
            at_rest: true,
        };
        change(&mut inputs);
        Report::gather(&inputs)
    }
}

/// Where its worker is.
fn places() -> [Place; 1] {
    let misplaced = "workers 0 and 1 share CPU 3".into();
    [Place { cpu: 3, node: Some(1), misplaced: vec![misplaced] }]
}

/// What management shows of it.
pub fn view(fixture: Fixture) -> View {
    View {
        config: Arc::new(fixture.config),
        plan: Arc::new(fixture.plan),
        workers: vec![(1, Arc::new(fixture.counters))],
        places: places().into(),
        ports: fixture.ports,
        retired: Retired::default(),
        breakers: fixture.breakers,
        pools: fixture.pools,
        unmatched: fixture.unmatched,
        groups: fixture.groups,
        neighbours: fixture.neighbours,
        malformed: fixture.malformed,
        alerts: fixture.alerts,
        now: Some(12 * TICKS_PER_SECOND),
        uptime: Duration::from_millis(12_345),
        dumpcap: "no: this is a test".into(),
        dpdk: "22.11.11".into(),
    }
}

/// The plan of a configuration, on ports that send chains.
pub fn plan(config: &Config) -> Plan {
    let facts =
        |slot| PortFacts { mac: MacAddr([2, 0, 0, 0, 0, slot]), mtu: 9_978, sends_chains: true };
    let facts: Vec<_> = (0..config.ports.len() as u8).map(facts).collect();
    match Plan::build(config, &facts, TICKS_PER_SECOND, 1) {
        Ok(plan) => plan,
        Err(error) => panic!("{error}"),
    }
}

pub fn config() -> Config {
    Config {
        instance: "demo".into(),
        clock: ClockSource::Capture,
        idle: Idle::Auto,
        eal: Eal { memory: EalMemory::NoHuge, lcores: None, extra: Vec::new() },
        memory: Memory { packets: 65_536, headers: 65_536 },
        ports: vec![
            port("in", "net_pcap0,rx_pcap=demo.pcap", RxMode::Lossless, &[]),
            port(
                "out",
                "net_pcap1,tx_pcap=target/demo/out.pcap",
                RxMode::Live,
                &["10.0.0.1/24", "fd00::1/64"],
            ),
        ],
        classes: [(1, 16), (10, 4), (100, 1)]
            .map(|(ms, weight)| ClassConfig { budget: Duration::from_millis(ms), weight }),
        receivers: vec![Receiver { name: "desk-eq".into(), port: 1 }],
        rules: vec![itch(), syslog()],
        edf_window: 1024,
        copy_below: 0,
        limits: Limits {
            ports: 32,
            rules: 4_096,
            outputs: 65_536,
            rows: 1_048_576,
            sources: 65_536,
            groups: 4_096,
            neighbours: 1_024,
            unresolved: 16,
        },
        alerts: AlertLimits::default(),
        socket: ControlSocket::Auto,
        metrics: None,
        detail: None,
    }
}

fn port(name: &str, device: &str, rx: RxMode, address: &[&str]) -> Port {
    Port {
        name: name.into(),
        device: device.into(),
        driver: None,
        address: address.iter().map(|a| a.parse().unwrap()).collect(),
        mtu: 1_500,
        rx,
        rx_queues: None,
        rx_checksum: RxChecksum::Trust,
        join: false,
        bundle: false,
        gateway: Vec::new(),
        routes: Vec::new(),
        neighbours: Vec::new(),
        reachable: Duration::from_secs(30),
        shaper: (!address.is_empty()).then_some(RateLimit { rate: 10_000_000_000, burst: 250_000 }),
    }
}

fn queue() -> QueueBound {
    QueueBound { packets: 1_024, bytes: 2 << 20 }
}

fn output(name: &str) -> Output {
    Output {
        name: name.into(),
        receiver: None,
        port: 1,
        destination: None,
        udp_port: UdpPortRewrite::Keep,
        source: None,
        source_port: SourcePortRewrite::Keep,
        vlan: VlanRewrite::Keep,
        ttl: TtlRewrite::Decrement,
        dscp: None,
        mac: None,
        next_hop: None,
        sample: 1,
        weight: 1,
        queue: queue(),
    }
}

fn itch() -> Rule {
    let desk = Output {
        receiver: Some(0),
        destination: Some("239.101.0.0/24".parse().unwrap()),
        udp_port: UdpPortRewrite::Shift(1_000),
        vlan: VlanRewrite::Id(200),
        ttl: TtlRewrite::Set(16),
        weight: 4,
        ..output("desk-eq/239.101.0.0/24")
    };
    let host = Output {
        destination: Some("10.0.0.77/32".parse().unwrap()),
        udp_port: UdpPortRewrite::Fixed(6_002),
        source: Some("10.0.0.1".parse().unwrap()),
        source_port: SourcePortRewrite::Destination,
        ttl: TtlRewrite::Set(3),
        dscp: Some(46),
        mac: Some(MacAddr([2, 0, 0x5e, 0x10, 0, 1])),
        sample: 10,
        ..output("out/10.0.0.77")
    };
    Rule {
        name: "itch".into(),
        input: Input {
            ports: vec![0],
            destination: vec!["239.1.0.0/24".parse().unwrap()],
            udp_port: Some(PortRange { first: 5_000, last: 5_007 }),
            vlan: VlanMatch::Untagged,
            source: vec!["10.9.0.0/16".parse().unwrap()],
            join: true,
            fragments: Fragments::Drop,
        },
        class: Class::High,
        budget: Duration::from_micros(500),
        weight: 1,
        late: Late::Drop,
        flow: FlowKind::Rule,
        police: Some(RateLimit { rate: 2_000_000_000, burst: 256 << 10 }),
        queue: queue(),
        expect: None,
        outputs: vec![desk, host],
        balance: None,
    }
}

fn syslog() -> Rule {
    Rule {
        name: "syslog".into(),
        input: Input {
            ports: vec![0, 1],
            destination: vec!["10.0.0.1/32".parse().unwrap()],
            udp_port: None,
            vlan: VlanMatch::Any,
            source: Vec::new(),
            join: true,
            fragments: Fragments::Drop,
        },
        class: Class::Low,
        budget: Duration::from_millis(100),
        weight: 2,
        late: Late::Send,
        flow: FlowKind::Source,
        police: None,
        queue: queue(),
        expect: None,
        outputs: vec![output("out/keep")],
        balance: None,
    }
}

/// 1,000 received: 20 match nothing, 5 are punted; 900 are the first rule's, of which 10 are
/// policed and 2 late; 75 are the second's.
fn count(counters: &Counters) {
    let mut ledger = Ledger {
        received: 1_000,
        punted: 5,
        admitted: 963,
        copies: 888 + 89 + 75,
        sent: 880 + 89 + 75,
        ..Ledger::default()
    };
    for (reason, count) in
        [(DropReason::NoRule, 20), (DropReason::Policed, 10), (DropReason::Late, 2)]
    {
        ledger.dropped_before[reason.index()] = count;
    }
    ledger.dropped_after[DropReason::EgressFull.index()] = 5;
    ledger.dropped_after[DropReason::EgressLate.index()] = 3;
    assert_eq!(ledger.residual(), 0);
    counters.ledger.publish(&ledger);
    count_rules(counters);
    count_outputs(counters);
    counters.ports[0].received.add(1_000);
    counters.ports[0].bytes_received.add(1_234_567);
    counters.ports[0].punted.add(5);
    counters.ports[1].originated.add(6);
    counters.ports[1].unsent.add(1);
    counters.ports[1].sent.add(1_044);
    counters.ports[1].bytes_sent.add(1_345_678);
    counters.worker.turns.add(8_000);
    counters.worker.busy_turns.add(1_000);
    counters.worker.heartbeat.set(12 * TICKS_PER_SECOND - 2_000);
    counters.worker.longest_turn.raise_to(90_000);
    counters.worker.plan_turn.set(7_000);
    counters.worker.generation.set(1);
}

fn count_rules(counters: &Counters) {
    let itch = &counters.rules[0];
    itch.packets.add(900);
    itch.bytes.add(1_200_000);
    itch.last_packet.set(12 * TICKS_PER_SECOND - 3_000_000);
    (0..10).for_each(|_| itch.drop_one(DropReason::Policed));
    (0..2).for_each(|_| itch.drop_one(DropReason::Late));
    (0..969_u64).for_each(|i| itch.latency.record(Residence::of(20_000 + i * 100), 1));
    let syslog = &counters.rules[1];
    syslog.packets.add(75);
    syslog.bytes.add(30_000);
    syslog.flow_overflow.add(4);
    syslog.last_packet.set(2 * TICKS_PER_SECOND);
    (0..75).for_each(|_| syslog.latency.record(Residence::of(4_000_000), 1));
}

fn count_outputs(counters: &Counters) {
    let numbers = [(888, 880, 878, 2, 0), (89, 89, 89, 0, 799), (75, 75, 70, 5, 0)];
    for (output, (copies, sent, on_time, late, skipped)) in counters.outputs.iter().zip(numbers) {
        output.copies.add(copies);
        output.sent.add(sent);
        output.bytes.add(sent * 1_333);
        output.on_time.add(on_time);
        output.late_sent.add(late);
        output.not_selected.add(skipped);
    }
    (0..5).for_each(|_| counters.outputs[0].drop_one(DropReason::EgressFull));
    (0..3).for_each(|_| counters.outputs[0].drop_one(DropReason::EgressLate));
}

fn ports() -> Vec<PortStatus> {
    let input = PortStatus {
        link: Link::Up,
        missed: 7,
        no_mbuf: 2,
        rx_errors: 1,
        tx_chain: TxChain::Native,
        driver: "net_af_packet",
        mtu: 1_500,
        promiscuous: true,
        ..PortStatus::default()
    };
    let output = PortStatus {
        link: Link::Up,
        tx_errors: 1,
        tx_chain: TxChain::Linear,
        driver: "net_af_xdp",
        mtu: 1_500,
        ..PortStatus::default()
    };
    vec![input, output]
}

/// The output port lost its link once, and its only receiver was reported gone.
fn breakers(plan: &Plan, counters: &Counters) -> Breakers {
    let words = BreakerWords::new(2, 1);
    let mut breakers = Breakers::new(plan);
    for (millis, link, unreachable) in [(1, false, &[][..]), (2, true, &[0])] {
        let news = News { links: &[true, link], unreachable, unresolved: &[] };
        let now = Duration::from_millis(millis);
        breakers.look(now, plan, &[counters], &news, &words, |_, _| {});
    }
    breakers
}

fn pools() -> Vec<PoolStatus> {
    let payload = PoolStatus {
        name: "payload".into(),
        size: 65_536,
        in_use: 512,
        in_use_max: 1_999,
        held: 512,
    };
    let headers =
        PoolStatus { name: "headers".into(), size: 65_536, in_use: 0, in_use_max: 640, held: 0 };
    vec![payload, headers]
}

/// The 20 that match nothing: a stream in the wrong VLAN, and one by IPv6 that nobody knows.
fn unmatched() -> Unmatched {
    let v4 = |last: u8| 0xffff_0000_0000 | u128::from(u32::from_be_bytes([239, 1, 0, last]));
    let itch = Key { destination: v4(7), udp_port: 5_001, vlan: 200 };
    let source = 0xffff_0a09_0101;
    let six = Key { destination: 0xff15 << 112 | 0x514, udp_port: 514, vlan: 0 };
    let mut unmatched = Unmatched::default();
    unmatched.add(Missed { port: 0, key: itch, source, miss: Miss::NoRule }, 17);
    let source = 0xfd00 << 112 | 9;
    unmatched.add(Missed { port: 1, key: six, source, miss: Miss::NoRule }, 3);
    unmatched
}

/// One neighbour that answers, and one that does not.
fn malformed() -> Malformed {
    let mut malformed = Malformed::default();
    let counts = [(PuntProtocol::Arp, 3), (PuntProtocol::Mld, 2)];
    counts
        .iter()
        .for_each(|&(protocol, count)| (0..count).for_each(|_| malformed.add(0, protocol)));
    malformed
}

fn asked() -> Vec<neighbours::Row> {
    let who = |vlan, address: &str| Neighbour { port: 1, vlan, address: address.parse().unwrap() };
    let here = neighbours::Row {
        who: who(0, "10.0.0.77"),
        mac: Some(MacAddr([2, 0, 0, 0, 0, 77])),
        state: neighbours::State::Reachable,
        answered: Some(Duration::from_millis(1_500)),
        requests: 3,
        answers: 2,
        changes: 1,
        refused: 4,
    };
    let silent = neighbours::Row {
        who: who(200, "fd00::77"),
        mac: None,
        state: neighbours::State::Silent,
        answered: None,
        requests: 5,
        answers: 0,
        changes: 0,
        refused: 0,
    };
    vec![here, silent]
}

/// Two groups, one of them for one source, on a VLAN where nobody has asked yet.
fn joined() -> groups::State {
    let place = |vlan, group: &str| groups::Place { port: 0, vlan, group: group.parse().unwrap() };
    let itch = groups::Row {
        place: place(0, "239.1.0.7"),
        sources: None,
        version: groups::Version::Igmp2,
        query: Some(("10.9.0.254".parse().unwrap(), Duration::from_secs(3))),
        reported: Some(Duration::from_millis(1_500)),
    };
    let six = groups::Row {
        place: place(12, "ff35::7"),
        sources: Some(vec!["fd00::9".parse().unwrap()]),
        version: groups::Version::Mld2,
        query: None,
        reported: Some(Duration::from_millis(9_500)),
    };
    let mut heeded = groups::Heeded { queries: 4, others: 2, ..groups::Heeded::default() };
    heeded.ignored[groups::Ignored::Ttl as usize] = 3;
    heeded.ignored[groups::Ignored::Checksum as usize] = 1;
    groups::State { rows: vec![itch, six], heeded: vec![heeded] }
}

/// One that is over, and one that is not.
fn alerts() -> Vec<Alert> {
    let missed = Alert {
        since_ns: 1_000_000_000,
        kind: "missed".into(),
        level: Level::Info,
        subject: "in".into(),
        count: 7,
        text: "7 frames a second that a device dropped because its ring was full".into(),
        remedy: "relay less".into(),
        active: false,
    };
    let silent = Alert {
        since_ns: 9_000_000_000,
        kind: "silent".into(),
        level: Level::Warning,
        subject: "syslog".into(),
        count: 0,
        text: "0 packets in 5s, and it expects at least 1pps".into(),
        remedy: "look at the sender".into(),
        active: true,
    };
    vec![missed, silent]
}

/// Compares `text` with a reviewed file beside this one; `UPDATE_GOLDEN=1` writes it anew.
pub fn assert_golden(name: &str, text: &str) {
    let path =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/manage/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(text == expected, "{name} has changed (UPDATE_GOLDEN=1 accepts it); it is now\n{text}");
}
