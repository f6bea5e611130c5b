//! The difference of two reports of one run: what was counted since.
//!
//! Counts are subtracted. What tells a state (links, waiting packets, pools, ages, alerts, the
//! residual) stays as it is now; so do residence times, whose quantiles have no difference.

use std::collections::HashMap;

use super::{
    ClassReport, LedgerReport, OutputReport, PortReport, ReceiverReport, Report, RuleReport,
    WorkerReport,
};
use crate::manage::neighbours::NeighbourReport;
use crate::manage::unmatched::UnmatchedReport;

impl Report {
    /// What was counted since `base`, an earlier report of the same run.
    pub fn minus(&self, base: &Self) -> Self {
        let by_name: HashMap<_, _> = base.rules.iter().map(|r| (r.name.as_str(), r)).collect();
        let rules = self.rules.iter().map(|now| {
            by_name.get(now.name.as_str()).map_or_else(|| now.clone(), |base| rule(now, base))
        });
        let classes = self.classes.iter().map(|now| {
            let base = base.classes.iter().find(|base| base.name == now.name);
            base.map_or_else(|| now.clone(), |base| class(now, base))
        });
        let by_name: HashMap<_, _> = base.receivers.iter().map(|r| (r.name.as_str(), r)).collect();
        let receivers = self.receivers.iter().map(|now| {
            by_name.get(now.name.as_str()).map_or_else(|| now.clone(), |base| receiver(now, base))
        });
        let ports = self.ports.iter().map(|now| {
            let base = base.ports.iter().find(|base| base.name == now.name);
            base.map_or_else(|| now.clone(), |base| port(now, base))
        });
        let workers = self.workers.iter().map(|now| {
            let base = base.workers.iter().find(|base| base.lcore == now.lcore);
            base.map_or_else(|| now.clone(), |base| worker(now, base))
        });
        let neighbours = self.neighbours.iter().map(|now| {
            let base = base.neighbours.iter().find(|base| base.label() == now.label());
            base.map_or_else(|| now.clone(), |base| neighbour(now, base))
        });
        let unmatched = self.unmatched.iter().map(|now| unmatched(now, &base.unmatched));
        Self {
            ledger: ledger(&self.ledger, &base.ledger),
            rules: rules.collect(),
            classes: classes.collect(),
            receivers: receivers.collect(),
            ports: ports.collect(),
            workers: workers.collect(),
            neighbours: neighbours.collect(),
            unmatched: unmatched.collect(),
            unmatched_unseen: self.unmatched_unseen.saturating_sub(base.unmatched_unseen),
            ..self.clone()
        }
    }

    /// [`Self::minus`] for people who began to count at `base`: what waited then counts as if it
    /// had come afterwards, so that the ledger's equations hold for what is shown.
    pub fn since(&self, base: &Self) -> Self {
        let mut base = base.clone();
        let ledger = &mut base.ledger;
        ledger.offered = ledger.offered.saturating_sub(ledger.waiting_before);
        ledger.received = ledger.received.saturating_sub(ledger.waiting_before);
        ledger.copies = ledger.copies.saturating_sub(ledger.waiting_after);
        self.minus(&base)
    }
}

fn ledger(now: &LedgerReport, base: &LedgerReport) -> LedgerReport {
    LedgerReport {
        offered: now.offered.saturating_sub(base.offered),
        received: now.received.saturating_sub(base.received),
        punted: now.punted.saturating_sub(base.punted),
        admitted: now.admitted.saturating_sub(base.admitted),
        dropped_before: now.dropped_before.minus(&base.dropped_before),
        waiting_before: now.waiting_before,
        copies: now.copies.saturating_sub(base.copies),
        sent: now.sent.saturating_sub(base.sent),
        dropped_after: now.dropped_after.minus(&base.dropped_after),
        waiting_after: now.waiting_after,
        residual: now.residual,
    }
}

fn rule(now: &RuleReport, base: &RuleReport) -> RuleReport {
    let by_name: HashMap<_, _> = base.outputs.iter().map(|o| (o.name.as_str(), o)).collect();
    let outputs = now.outputs.iter().map(|now| {
        by_name.get(now.name.as_str()).map_or_else(|| now.clone(), |base| output(now, base))
    });
    RuleReport {
        packets: now.packets.saturating_sub(base.packets),
        bytes: now.bytes.saturating_sub(base.bytes),
        dropped: now.dropped.minus(&base.dropped),
        flow_overflow: now.flow_overflow.saturating_sub(base.flow_overflow),
        outputs: outputs.collect(),
        ..now.clone()
    }
}

fn output(now: &OutputReport, base: &OutputReport) -> OutputReport {
    OutputReport {
        copies: now.copies.saturating_sub(base.copies),
        sent: now.sent.saturating_sub(base.sent),
        bytes: now.bytes.saturating_sub(base.bytes),
        on_time: now.on_time.saturating_sub(base.on_time),
        late_sent: now.late_sent.saturating_sub(base.late_sent),
        late_dropped: now.late_dropped.saturating_sub(base.late_dropped),
        not_selected: now.not_selected.saturating_sub(base.not_selected),
        taken_over: now.taken_over.saturating_sub(base.taken_over),
        unreachable: now.unreachable.saturating_sub(base.unreachable),
        dropped: now.dropped.minus(&base.dropped),
        ..now.clone()
    }
}

fn class(now: &ClassReport, base: &ClassReport) -> ClassReport {
    ClassReport {
        packets: now.packets.saturating_sub(base.packets),
        bytes: now.bytes.saturating_sub(base.bytes),
        dropped_before: now.dropped_before.minus(&base.dropped_before),
        copies: now.copies.saturating_sub(base.copies),
        sent: now.sent.saturating_sub(base.sent),
        on_time: now.on_time.saturating_sub(base.on_time),
        late_sent: now.late_sent.saturating_sub(base.late_sent),
        dropped_after: now.dropped_after.minus(&base.dropped_after),
        ..now.clone()
    }
}

fn receiver(now: &ReceiverReport, base: &ReceiverReport) -> ReceiverReport {
    ReceiverReport {
        copies: now.copies.saturating_sub(base.copies),
        sent: now.sent.saturating_sub(base.sent),
        bytes: now.bytes.saturating_sub(base.bytes),
        on_time: now.on_time.saturating_sub(base.on_time),
        late_sent: now.late_sent.saturating_sub(base.late_sent),
        dropped: now.dropped.minus(&base.dropped),
        breaker_opened: now.breaker_opened.saturating_sub(base.breaker_opened),
        ..now.clone()
    }
}

fn worker(now: &WorkerReport, base: &WorkerReport) -> WorkerReport {
    WorkerReport {
        turns: now.turns.saturating_sub(base.turns),
        busy_turns: now.busy_turns.saturating_sub(base.busy_turns),
        packets_handed: now.packets_handed.saturating_sub(base.packets_handed),
        packets_taken: now.packets_taken.saturating_sub(base.packets_taken),
        copies_handed: now.copies_handed.saturating_sub(base.copies_handed),
        copies_taken: now.copies_taken.saturating_sub(base.copies_taken),
        ..now.clone()
    }
}

fn port(now: &PortReport, base: &PortReport) -> PortReport {
    PortReport {
        received: now.received.saturating_sub(base.received),
        sent: now.sent.saturating_sub(base.sent),
        bytes_received: now.bytes_received.saturating_sub(base.bytes_received),
        bytes_sent: now.bytes_sent.saturating_sub(base.bytes_sent),
        missed: now.missed.saturating_sub(base.missed),
        no_mbuf: now.no_mbuf.saturating_sub(base.no_mbuf),
        rx_errors: now.rx_errors.saturating_sub(base.rx_errors),
        tx_errors: now.tx_errors.saturating_sub(base.tx_errors),
        originated: now.originated.saturating_sub(base.originated),
        unsent: now.unsent.saturating_sub(base.unsent),
        punted: now.punted.saturating_sub(base.punted),
        punt_full: now.punt_full.saturating_sub(base.punt_full),
        malformed: now.malformed.minus(&base.malformed),
        group_queries: now.group_queries.saturating_sub(base.group_queries),
        group_others: now.group_others.saturating_sub(base.group_others),
        group_ignored: now.group_ignored.minus(&base.group_ignored),
        breaker_opened: now.breaker_opened.saturating_sub(base.breaker_opened),
        ..now.clone()
    }
}

fn neighbour(now: &NeighbourReport, base: &NeighbourReport) -> NeighbourReport {
    NeighbourReport {
        requests: now.requests.saturating_sub(base.requests),
        answers: now.answers.saturating_sub(base.answers),
        changes: now.changes.saturating_sub(base.changes),
        refused: now.refused.saturating_sub(base.refused),
        ..now.clone()
    }
}

/// Packets that were forgotten and came again may count from anew.
fn unmatched(now: &UnmatchedReport, base: &[UnmatchedReport]) -> UnmatchedReport {
    let base = base.iter().find(|base| base.is_of(now)).map_or(0, |base| base.count);
    UnmatchedReport { count: now.count.saturating_sub(base), ..now.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Ledger;
    use crate::manage::fixture::Fixture;
    use crate::packet::DropReason;

    /// Every number of a report that is a count, by its path.
    fn counts(report: &Report) -> u64 {
        let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
        let state = ["schema", "generation", "uptime_ns", "latency_ns", "pools", "residual"];
        let also = [
            "lcore",
            "busy_permille",
            "heartbeat_age_ns",
            "longest_turn_ns",
            "plan_turn_ns",
            "last_packet_ns_ago",
            "answered_ns_ago",
            "alerts",
            "groups",
        ];
        let fields = ["mtu", "vlan", "udp_port", "count_error", "fair_permille"];
        sum(&json, &[&state[..], &also, &fields].concat())
    }

    fn sum(json: &serde_json::Value, but: &[&str]) -> u64 {
        use serde_json::Value;
        match json {
            Value::Number(number) => number.as_u64().unwrap(),
            Value::Array(list) => list.iter().map(|entry| sum(entry, but)).sum(),
            Value::Object(map) => {
                let counted = map.iter().filter(|(key, value)| {
                    // A receiver says how many outputs it has.
                    let is_state = *key == "outputs" && value.is_number();
                    !is_state && !but.contains(&key.as_str())
                });
                counted.map(|(_, value)| sum(value, but)).sum()
            }
            _ => 0,
        }
    }

    #[test]
    fn no_count_is_left_of_a_report_minus_itself() {
        let report = Fixture::new().report();
        assert!(counts(&report) > 10_000);
        let nothing = report.minus(&report);
        assert_eq!(counts(&nothing), 0);
        assert_eq!(nothing.pools, report.pools);
        assert_eq!(nothing.rules[0].latency_ns, report.rules[0].latency_ns);
        let all = report.minus(&Report {
            rules: Vec::new(),
            classes: Vec::new(),
            receivers: Vec::new(),
            ports: Vec::new(),
            workers: Vec::new(),
            neighbours: Vec::new(),
            unmatched: Vec::new(),
            ..nothing
        });
        assert_eq!(all, report, "what is new is counted whole");
    }

    #[test]
    fn the_equations_hold_for_what_is_shown_since_a_moment_when_packets_waited() {
        let fixture = Fixture::new();
        let ledger = fixture.counters.ledger.read();
        let (waiting_before, waiting_after) = (30, 40);
        let then = Ledger {
            received: ledger.received + waiting_before,
            waiting_before,
            copies: ledger.copies + waiting_after,
            waiting_after,
            ..ledger
        };
        let mut now = Ledger { admitted: then.admitted + 25, sent: then.sent + 30, ..then };
        (now.waiting_before, now.waiting_after) = (5, 10);
        now.received += 2;
        now.dropped_before[DropReason::NoRule.index()] += 2;
        let reports = [then, now].map(|ledger| {
            fixture.counters.ledger.publish(&ledger);
            fixture.report_with(|inputs| inputs.at_rest = false)
        });
        let since = reports[1].since(&reports[0]).ledger;
        assert_eq!((since.received, since.copies, since.residual), (32, 40, 0));
        let before = since.dropped_before.total() + since.punted + since.admitted;
        assert_eq!(since.received, before + since.waiting_before);
        assert_eq!(since.copies, since.sent + since.dropped_after.total() + since.waiting_after);
        assert_eq!(reports[1].minus(&reports[0]).ledger.received, 2);
    }
}
