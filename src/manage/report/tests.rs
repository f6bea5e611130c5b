//! The schema, field by field, and the residual that it reports.

use super::*;
use crate::config::Class;
use crate::ledger::{Counters, Ledger};
use crate::manage::fixture::{Fixture, assert_golden};
use crate::manage::neighbours;
use crate::manage::reload::Retired;
use crate::packet::DropReason;

#[test]
fn a_populated_report_is_the_schema() {
    assert_golden("report.json", &Fixture::new().report().to_json());
}

#[test]
fn a_report_reads_back_as_itself() {
    let report = Fixture::new().report();
    let back: Report = serde_json::from_str(&report.to_json()).unwrap();
    assert_eq!(back, report);
}

/// A newer daemon may have reasons and fields that this client does not know.
#[test]
fn an_unknown_reason_or_field_is_kept_or_ignored() {
    let report = Fixture::new().report();
    let newer = report.to_json().replacen("\"no_rule\"", "\"lost_in_thought\"", 1).replacen(
        "\"schema\": 1,",
        "\"schema\": 1, \"mood\": \"good\",",
        1,
    );
    let back: Report = serde_json::from_str(&newer).unwrap();
    let before = &back.ledger.dropped_before;
    assert_eq!(before.total(), report.ledger.dropped_before.total());
    assert_eq!(before.iter().next(), Some(("lost_in_thought", 20)));
    assert_eq!(before.get(DropReason::NoRule), 0);
}

#[test]
fn offered_is_what_the_ports_saw() {
    let ledger = Fixture::new().report().ledger;
    assert_eq!(ledger.offered, ledger.received + 7 + 2 + 1);
    assert_eq!(ledger.residual, 0);
}

/// Each counter that stands beside the totals is a witness: one packet more or less must show.
#[test]
fn at_rest_every_witness_must_agree() {
    let disturb: [fn(&Counters); 8] = [
        |c| c.ports[0].received.add(1),
        |c| c.ports[1].sent.add(1),
        |c| c.ports[0].punted.add(1),
        |c| c.ports[0].punt_full.add(1),
        |c| c.outputs[2].copies.add(1),
        |c| c.outputs[1].sent.add(1),
        |c| c.outputs[0].drop_one(DropReason::Mtu),
        |c| {
            let ledger = c.ledger.read();
            c.ledger.publish(&Ledger { admitted: ledger.admitted + 1, ..ledger });
        },
    ];
    for (i, disturb) in disturb.into_iter().enumerate() {
        let fixture = Fixture::new();
        disturb(&fixture.counters);
        assert_eq!(fixture.report().ledger.residual, 1, "witness {i}");
    }
    let fixture = Fixture::new();
    fixture.counters.ports[0].received.add(1);
    let running = fixture.report_with(|inputs| inputs.at_rest = false);
    assert_eq!(running.ledger.residual, 0, "a turn may be under way");
}

#[test]
fn a_class_is_the_sum_of_its_rules() {
    let mut fixture = Fixture::new();
    fixture.config.rules[1].class = Class::High;
    let report = fixture.report();
    let [high, medium, low] = &report.classes[..] else {
        panic!("three classes: {:?}", report.classes);
    };
    assert_eq!((high.name.as_str(), high.packets, high.bytes), ("high", 975, 1_230_000));
    assert_eq!((high.copies, high.sent, high.late_sent), (1_052, 1_044, 7));
    assert_eq!(high.on_time + high.late_sent, high.sent);
    assert_eq!((high.dropped_before.total(), high.dropped_after.total()), (12, 8));
    let [itch, syslog] = [&report.rules[0], &report.rules[1]].map(|rule| rule.latency_ns);
    assert_eq!(high.latency_ns.count, itch.count + syslog.count);
    // 75 of 1,044 are the slow ones: in the last hundredth, not in the first half.
    assert_eq!((high.latency_ns.max, high.latency_ns.p99), (syslog.max, syslog.p99));
    assert!(high.latency_ns.p50 < itch.p99);
    for idle in [medium, low] {
        assert_eq!((idle.packets, idle.latency_ns), (0, LatencyReport::default()));
    }
}

#[test]
fn one_worker_cannot_hide_what_another_lost() {
    let fixture = Fixture::new();
    let (more, less) = (Counters::new(2, 3, 2), Counters::new(2, 3, 2));
    let received = Ledger { received: 1, ..Ledger::default() };
    let punted = Ledger { punted: 1, ..Ledger::default() };
    more.ledger.publish(&received);
    less.ledger.publish(&punted);
    let workers = [&more, &less].map(|counters| WorkerView { lcore: 1, counters });
    let inputs = Inputs {
        config: &fixture.config,
        plan: &fixture.plan,
        workers: &workers,
        places: &[],
        ports: &fixture.ports,
        retired: &Retired::default(),
        breakers: &fixture.breakers,
        pools: &[],
        unmatched: &fixture.unmatched,
        groups: &fixture.groups,
        neighbours: &neighbours::Shown::default(),
        malformed: &Default::default(),
        alerts: &[],
        now: None,
        uptime: std::time::Duration::ZERO,
        dpdk: "22.11.11",
        at_rest: false,
    };
    assert_eq!(Report::gather(&inputs).ledger.residual, 2);
}

#[test]
fn without_a_clock_ages_count_from_the_last_heartbeat() {
    let report = Fixture::new().report_with(|inputs| inputs.now = None);
    assert_eq!(report.workers[0].heartbeat_age_ns, 0);
    assert_eq!(report.rules[0].last_packet_ns_ago, 1_499_000);
}

#[test]
fn a_rule_without_packets_has_no_last_one() {
    let fixture = Fixture::new();
    let counters = Counters::new(2, 3, 2);
    let report = fixture.report_with(|_| {});
    assert_eq!(report.rules[1].last_packet_ns_ago, 10_000_000_000);
    let workers = [WorkerView { lcore: 1, counters: &counters }];
    let idle = Inputs {
        config: &fixture.config,
        plan: &fixture.plan,
        workers: &workers,
        places: &[],
        ports: &fixture.ports,
        retired: &Retired::default(),
        breakers: &fixture.breakers,
        pools: &[],
        unmatched: &fixture.unmatched,
        groups: &fixture.groups,
        neighbours: &neighbours::Shown::default(),
        malformed: &Default::default(),
        alerts: &[],
        now: Some(1_000_000),
        uptime: std::time::Duration::ZERO,
        dpdk: "22.11.11",
        at_rest: true,
    };
    let report = Report::gather(&idle);
    assert_eq!(report.rules[1].last_packet_ns_ago, 0);
    assert!(report.rules[0].dropped.is_empty());
}
