//! The one list of metrics. The exposition, `docs/metrics.md` and the dashboard are made from it,
//! so that they cannot disagree; a test holds it against the report, number by number.

mod carriers;

pub use carriers::*;

use super::metric::{
    AFTER, BEFORE, Described, Group, Kind, Metric, Read, breaker, counter, drops, gauge, info,
    times,
};
use super::text::STATES;
use crate::config::Detail;
use crate::manage::report::{
    ClassReport, LedgerReport, OutputReport, ReceiverReport, Report, RuleReport,
};
use crate::packet::DropReason;

/// The instance itself.
pub static INSTANCE: Group<Report> = Group {
    place: "",
    labels: &[],
    detail: Detail::Ports,
    metrics: &[
        info("punctual", "The versions of the program and of DPDK.", |r| {
            vec![("version", r.punctual.clone()), ("dpdk", r.dpdk.clone())]
        }),
        gauge("punctual_report_schema", &["schema"], "Version of the report's schema.", |r| {
            r.schema.into()
        }),
        gauge("punctual_generation", &["generation"], "The plan in force, counted from 1.", |r| {
            r.generation
        }),
        gauge("punctual_uptime_seconds", &["uptime_ns"], "Since the start.", |r| r.uptime_ns),
        counter(
            "punctual_unmatched_unseen_packets",
            &["unmatched_unseen"],
            "No rule took them, and they came too fast to be sampled for `show unmatched`.",
            |r| r.unmatched_unseen,
        ),
        gauge(
            "punctual_alerts_active",
            &["alerts.count"],
            "Alerts that are not over; `punctual show alerts` tells which.",
            |r| r.alerts.iter().filter(|alert| alert.active).count() as u64,
        ),
    ],
};

/// Where every packet and every copy is.
pub static LEDGER: Group<LedgerReport> = Group {
    place: "ledger",
    labels: &[],
    detail: Detail::Ports,
    metrics: &[
        counter(
            "punctual_ledger_offered_packets",
            &["offered"],
            "Came to the ports: received, missed, no_mbuf and rx_errors.",
            |l| l.offered,
        ),
        counter("punctual_ledger_received_packets", &["received"], "Taken from the ports.", |l| {
            l.received
        }),
        counter("punctual_ledger_punted_packets", &["punted"], "The slow path's.", |l| l.punted),
        counter("punctual_ledger_admitted_packets", &["admitted"], "Reached fan-out.", |l| {
            l.admitted
        }),
        Metric {
            name: "punctual_ledger_dropped_packets",
            kind: Kind::Counter,
            help: "Dropped before fan-out, by reason.",
            from: &["dropped_before"],
            read: Read::Drops(|l| &l.dropped_before, &BEFORE),
        },
        gauge("punctual_ledger_waiting_packets", &["waiting_before"], "Wait for fan-out.", |l| {
            l.waiting_before
        }),
        counter(
            "punctual_ledger_copies",
            &["copies"],
            "Copies that the admitted packets were to become.",
            |l| l.copies,
        ),
        counter("punctual_ledger_sent_copies", &["sent"], "Accepted by the drivers.", |l| l.sent),
        Metric {
            name: "punctual_ledger_dropped_copies",
            kind: Kind::Counter,
            help: "Dropped behind fan-out, by reason.",
            from: &["dropped_after"],
            read: Read::Drops(|l| &l.dropped_after, &AFTER),
        },
        gauge("punctual_ledger_waiting_copies", &["waiting_after"], "Wait for their port.", |l| {
            l.waiting_after
        }),
        gauge("punctual_ledger_residual", &["residual"], "Unaccounted for: 0, always.", |l| {
            l.residual
        }),
    ],
};

/// Each class.
pub static CLASSES: Group<ClassReport> = Group {
    place: "classes",
    labels: &["class"],
    detail: Detail::Ports,
    metrics: &[
        counter("punctual_class_packets", &["packets"], "Matched its rules.", |c| c.packets),
        counter(
            "punctual_class_bytes",
            &["bytes"],
            "Bytes of these packets, frame overhead included.",
            |c| c.bytes,
        ),
        drops(
            "punctual_class_dropped_packets",
            &["dropped_before"],
            "Dropped before fan-out, by reason.",
            |c| &c.dropped_before,
        ),
        counter("punctual_class_copies", &["copies"], "Its outputs were selected for.", |c| {
            c.copies
        }),
        counter("punctual_class_sent_copies", &["sent"], "Accepted by the drivers.", |c| c.sent),
        counter(
            "punctual_class_on_time_copies",
            &["on_time"],
            "Of the sent: accepted by the deadline.",
            |c| c.on_time,
        ),
        counter(
            "punctual_class_late_sent_copies",
            &["late_sent"],
            "Of the sent: accepted behind the deadline.",
            |c| c.late_sent,
        ),
        drops(
            "punctual_class_dropped_copies",
            &["dropped_after"],
            "Dropped behind fan-out, by reason.",
            |c| &c.dropped_after,
        ),
        times("punctual_class_latency_seconds", |c| c.latency_ns),
        gauge(
            "punctual_class_latency_max_seconds",
            &["latency_ns.max"],
            "The longest time, exact.",
            |c| c.latency_ns.max,
        ),
    ],
};

/// Each rule.
pub static RULES: Group<RuleReport> = Group {
    place: "rules",
    labels: &["rule"],
    detail: Detail::Rules,
    metrics: &[
        info("punctual_rule", "The rule's class.", |r| vec![("class", r.class.clone())]),
        counter("punctual_rule_packets", &["packets"], "Matched the rule.", |r| r.packets),
        counter(
            "punctual_rule_bytes",
            &["bytes"],
            "Bytes of these packets, frame overhead included.",
            |r| r.bytes,
        ),
        drops(
            "punctual_rule_dropped_packets",
            &["dropped"],
            "Dropped before fan-out, by reason.",
            |r| &r.dropped,
        ),
        counter(
            "punctual_rule_flow_overflow_packets",
            &["flow_overflow"],
            "Shared the rule's overflow flow because the table of sources was full.",
            |r| r.flow_overflow,
        ),
        Metric {
            name: "punctual_rule_last_packet_age_seconds",
            kind: Kind::Gauge,
            help: "Since its last packet; absent where there was none.",
            from: &["last_packet_ns_ago"],
            read: Read::Known(|r| (r.packets > 0).then_some(r.last_packet_ns_ago)),
        },
        times("punctual_rule_latency_seconds", |r| r.latency_ns),
        gauge(
            "punctual_rule_latency_max_seconds",
            &["latency_ns.max"],
            "The longest time, exact.",
            |r| r.latency_ns.max,
        ),
    ],
};

/// Each output of each rule.
pub static OUTPUTS: Group<OutputReport> = Group {
    place: "rules.outputs",
    labels: &["rule", "output"],
    detail: Detail::Outputs,
    metrics: &[
        info("punctual_output", "Where the output's copies go.", |o| {
            vec![
                ("receiver", o.receiver.clone().unwrap_or_default()),
                ("port", o.port.clone()),
                ("destination", o.destination.clone()),
                ("udp_port", o.udp_port.clone()),
                ("balanced_by", o.balanced_by.clone().unwrap_or_default()),
            ]
        }),
        counter("punctual_output_copies", &["copies"], "The output was selected for.", |o| {
            o.copies
        }),
        counter("punctual_output_sent_copies", &["sent"], "Accepted by the driver.", |o| o.sent),
        counter(
            "punctual_output_sent_bytes",
            &["bytes"],
            "Bytes of the sent copies, frame overhead included.",
            |o| o.bytes,
        ),
        counter(
            "punctual_output_on_time_copies",
            &["on_time"],
            "Of the sent: accepted by the deadline.",
            |o| o.on_time,
        ),
        counter(
            "punctual_output_late_sent_copies",
            &["late_sent"],
            "Of the sent: accepted behind the deadline.",
            |o| o.late_sent,
        ),
        counter(
            "punctual_output_late_dropped_copies",
            &["late_dropped"],
            "Of the dropped: egress_late.",
            |o| o.late_dropped,
        ),
        counter(
            "punctual_output_not_selected_packets",
            &["not_selected"],
            "Left out by sampling or for another balanced output; not part of the copies.",
            |o| o.not_selected,
        ),
        gauge(
            "punctual_output_fair_share_ratio",
            &["fair_permille"],
            "Its part of the rule's packets by weight: 1 where it is not balanced.",
            |o| o.fair_permille,
        ),
        counter(
            "punctual_output_taken_over_copies",
            &["taken_over"],
            "Of the copies: those of balanced outputs that did not take theirs.",
            |o| o.taken_over,
        ),
        counter(
            "punctual_output_unreachable_messages",
            &["unreachable"],
            "Messages of others that copies did not arrive.",
            |o| o.unreachable,
        ),
        drops("punctual_output_dropped_copies", &["dropped"], "Not sent, by reason.", |o| {
            &o.dropped
        }),
    ],
};

/// Each receiver.
pub static RECEIVERS: Group<ReceiverReport> = Group {
    place: "receivers",
    labels: &["receiver"],
    detail: Detail::Ports,
    metrics: &[
        info("punctual_receiver", "The receiver's port.", |r| vec![("port", r.port.clone())]),
        gauge("punctual_receiver_outputs", &["outputs"], "How many outputs are its.", |r| {
            r.outputs
        }),
        counter("punctual_receiver_copies", &["copies"], "Its outputs were selected for.", |r| {
            r.copies
        }),
        counter("punctual_receiver_sent_copies", &["sent"], "Accepted by the driver.", |r| r.sent),
        counter(
            "punctual_receiver_sent_bytes",
            &["bytes"],
            "Bytes of the sent copies, frame overhead included.",
            |r| r.bytes,
        ),
        counter(
            "punctual_receiver_on_time_copies",
            &["on_time"],
            "Of the sent: accepted by the deadline.",
            |r| r.on_time,
        ),
        counter(
            "punctual_receiver_late_sent_copies",
            &["late_sent"],
            "Of the sent: accepted behind the deadline.",
            |r| r.late_sent,
        ),
        drops("punctual_receiver_dropped_copies", &["dropped"], "Not sent, by reason.", |r| {
            &r.dropped
        }),
        breaker("punctual_receiver_breaker", |r| r.breaker),
        counter(
            "punctual_receiver_breaker_openings",
            &["breaker_opened"],
            "How often the breaker has opened; failed probes are not counted.",
            |r| r.breaker_opened,
        ),
    ],
};

/// Every metric, in the order of the exposition.
pub fn all() -> Vec<Described> {
    let mut all: Vec<_> = INSTANCE.describe().chain(LEDGER.describe()).collect();
    all.extend(CLASSES.describe().chain(RULES.describe()).chain(OUTPUTS.describe()));
    all.extend(RECEIVERS.describe().chain(PORTS.describe()));
    all.extend(GROUPS.describe().chain(NEIGHBOURS.describe()));
    all.extend(WORKERS.describe().chain(POOLS.describe()));
    all
}

/// Everything that is counted or measured, as `name`, or `name{state}` and `name{reason}` where
/// the reasons are the ledger's: whoever proves that all of it moves goes by this.
pub fn counters() -> Vec<String> {
    let numbers = all().into_iter().filter(|metric| metric.kind != Kind::Info);
    let each = numbers.flat_map(|metric| {
        let name = metric.name;
        let of: Vec<&str> = match (metric.kind, metric.from) {
            (Kind::StateSet, _) => STATES.iter().map(|state| state.name()).collect(),
            (_, ["dropped_before"]) if metric.place == "ledger" => names(&BEFORE),
            (_, ["dropped_after"]) if metric.place == "ledger" => names(&AFTER),
            _ => return vec![name.to_owned()],
        };
        of.iter().map(|of| format!("{name}{{{of}}}")).collect()
    });
    each.collect()
}

fn names(reasons: &[DropReason]) -> Vec<&'static str> {
    reasons.iter().map(|reason| reason.name()).collect()
}
