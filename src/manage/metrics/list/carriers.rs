//! What carries the packets: ports, the groups and neighbours behind them, workers and pools.

use crate::config::Detail;
use crate::manage::groups::GroupReport;
use crate::manage::metrics::metric::{
    Group, Kind, Metric, Read, breaker, counter, drops, gauge, info,
};
use crate::manage::neighbours::NeighbourReport;
use crate::manage::report::{Link, PoolStatus, PortReport, WorkerReport};

/// Each port.
pub static PORTS: Group<PortReport> = Group {
    place: "ports",
    labels: &["port"],
    detail: Detail::Ports,
    metrics: &[
        info("punctual_port", "The port's driver, and how copies are handed to it.", |p| {
            vec![("tx_chain", p.tx_chain.name().into()), ("driver", p.driver.clone())]
        }),
        gauge("punctual_port_mtu_bytes", &["mtu"], "The longest IP packet that it carries.", |p| {
            p.mtu
        }),
        gauge(
            "punctual_port_promiscuous",
            &["promiscuous"],
            "1 where it hears unicast frames for others, too.",
            |p| p.promiscuous.into(),
        ),
        gauge("punctual_port_up", &["link"], "1 where the link is up.", |p| {
            (p.link == Link::Up).into()
        }),
        counter("punctual_port_received_packets", &["received"], "Taken from it.", |p| p.received),
        counter("punctual_port_sent_copies", &["sent"], "Accepted by it.", |p| p.sent),
        counter(
            "punctual_port_received_bytes",
            &["bytes_received"],
            "Bytes of the received packets, without frame overhead.",
            |p| p.bytes_received,
        ),
        counter(
            "punctual_port_sent_bytes",
            &["bytes_sent"],
            "Bytes of the sent copies, without frame overhead.",
            |p| p.bytes_sent,
        ),
        counter(
            "punctual_port_missed_packets",
            &["missed"],
            "Dropped by the device because its ring was full.",
            |p| p.missed,
        ),
        counter(
            "punctual_port_no_mbuf_packets",
            &["no_mbuf"],
            "Dropped by the driver because the payload pool was empty.",
            |p| p.no_mbuf,
        ),
        counter(
            "punctual_port_rx_errors",
            &["rx_errors"],
            "Refused by the device: bad FCS, too long.",
            |p| p.rx_errors,
        ),
        counter(
            "punctual_port_tx_errors",
            &["tx_errors"],
            "Accepted by the driver, and not sent.",
            |p| p.tx_errors,
        ),
        counter(
            "punctual_port_originated_packets",
            &["originated"],
            "Our own that it sent: ARP, ND, ICMP, IGMP.",
            |p| p.originated,
        ),
        counter(
            "punctual_port_unsent_packets",
            &["unsent"],
            "Our own that found no buffer, or no room at the port.",
            |p| p.unsent,
        ),
        counter("punctual_port_punted_packets", &["punted"], "The slow path's.", |p| p.punted),
        counter(
            "punctual_port_punt_full_packets",
            &["punt_full"],
            "The slow path's, that it did not take.",
            |p| p.punt_full,
        ),
        Metric {
            name: "punctual_port_malformed_packets",
            kind: Kind::Counter,
            help: "For the slow path, and not what their headers say, by protocol.",
            from: &["malformed"],
            read: Read::Protocols(|p| &p.malformed),
        },
        counter(
            "punctual_port_group_queries",
            &["group_queries"],
            "IGMP and MLD queries that it brought.",
            |p| p.group_queries,
        ),
        counter(
            "punctual_port_group_others",
            &["group_others"],
            "Reports and leaves of others.",
            |p| p.group_others,
        ),
        drops(
            "punctual_port_group_ignored_packets",
            &["group_ignored"],
            "IGMP and MLD messages that were ignored, by reason.",
            |p| &p.group_ignored,
        ),
        breaker("punctual_port_breaker", |p| p.breaker),
        counter(
            "punctual_port_breaker_openings",
            &["breaker_opened"],
            "How often the breaker has opened; failed probes are not counted.",
            |p| p.breaker_opened,
        ),
    ],
};

/// Each group that is joined.
pub static GROUPS: Group<GroupReport> = Group {
    place: "groups",
    labels: &["port", "vlan", "group"],
    detail: Detail::Rules,
    metrics: &[
        info("punctual_group", "A group that is joined: by which protocol, for whom.", |g| {
            vec![("protocol", g.version.clone()), ("mode", g.mode.clone())]
        }),
        Metric {
            name: "punctual_group_query_age_seconds",
            kind: Kind::Gauge,
            help: "Since a querier asked last on its network.",
            from: &["last_query_ns_ago"],
            read: Read::Known(|g| Some(g.last_query_ns_ago).filter(|&age| age > 0)),
        },
        gauge(
            "punctual_group_report_age_seconds",
            &["last_report_ns_ago"],
            "Since it was reported last.",
            |g| g.last_report_ns_ago,
        ),
    ],
};

/// Each neighbour that unicast copies go to.
pub static NEIGHBOURS: Group<NeighbourReport> = Group {
    place: "neighbours",
    labels: &["port", "vlan", "address"],
    detail: Detail::Rules,
    metrics: &[
        gauge(
            "punctual_neighbour_known",
            &["mac"],
            "1 where its MAC is known, so that copies are sent to it.",
            |n| n.mac.is_some().into(),
        ),
        Metric {
            name: "punctual_neighbour_answer_age_seconds",
            kind: Kind::Gauge,
            help: "Since it answered last.",
            from: &["answered_ns_ago"],
            read: Read::Known(|n| n.answered_ns_ago),
        },
        counter("punctual_neighbour_requests", &["requests"], "Requests sent to it.", |n| {
            n.requests
        }),
        counter(
            "punctual_neighbour_answers",
            &["answers"],
            "Its answers that were believed.",
            |n| n.answers,
        ),
        counter(
            "punctual_neighbour_changes",
            &["changes"],
            "Times that its MAC became another.",
            |n| n.changes,
        ),
        counter(
            "punctual_neighbour_refused_claims",
            &["refused"],
            "Claims of another MAC that were not believed.",
            |n| n.refused,
        ),
    ],
};

/// Each worker.
pub static WORKERS: Group<WorkerReport> = Group {
    place: "workers",
    labels: &["lcore"],
    detail: Detail::Ports,
    metrics: &[
        counter("punctual_worker_turns", &["turns"], "Turns since the start.", |w| w.turns),
        counter(
            "punctual_worker_busy_turns",
            &["busy_turns"],
            "Of the turns, those that moved a packet.",
            |w| w.busy_turns,
        ),
        gauge(
            "punctual_worker_busy_ratio",
            &["busy_permille"],
            "Of all turns since the start, those that moved a packet.",
            |w| w.busy_permille,
        ),
        gauge(
            "punctual_worker_heartbeat_age_seconds",
            &["heartbeat_age_ns"],
            "Since the end of its last turn.",
            |w| w.heartbeat_age_ns,
        ),
        gauge(
            "punctual_worker_longest_turn_seconds",
            &["longest_turn_ns"],
            "From the end of a turn to that of the next: the most since the start.",
            |w| w.longest_turn_ns,
        ),
        gauge(
            "punctual_worker_plan_turn_seconds",
            &["plan_turn_ns"],
            "The same of the turn that took up the plan; 0 by the first plan.",
            |w| w.plan_turn_ns,
        ),
        counter(
            "punctual_worker_packets_handed",
            &["packets_handed"],
            "Packets that it received and handed to the workers that keep their flows.",
            |w| w.packets_handed,
        ),
        counter(
            "punctual_worker_packets_taken",
            &["packets_taken"],
            "Packets of its flows that others received.",
            |w| w.packets_taken,
        ),
        counter(
            "punctual_worker_copies_handed",
            &["copies_handed"],
            "Copies that it made and handed to the workers that send to their ports.",
            |w| w.copies_handed,
        ),
        counter(
            "punctual_worker_copies_taken",
            &["copies_taken"],
            "Copies for its ports that others made.",
            |w| w.copies_taken,
        ),
        gauge("punctual_worker_generation", &["generation"], "The plan that it goes by.", |w| {
            w.generation
        }),
    ],
};

/// Each pool.
pub static POOLS: Group<PoolStatus> = Group {
    place: "pools",
    labels: &["pool"],
    detail: Detail::Ports,
    metrics: &[
        gauge("punctual_pool_size", &["size"], "Buffers in all.", |p| p.size),
        gauge("punctual_pool_in_use", &["in_use"], "Buffers that are not free.", |p| p.in_use),
        gauge(
            "punctual_pool_in_use_max",
            &["in_use_max"],
            "The most that were in use at once, as far as was seen.",
            |p| p.in_use_max,
        ),
        gauge("punctual_pool_held", &["held"], "Of those in use: in the rings of drivers.", |p| {
            p.held
        }),
    ],
};
