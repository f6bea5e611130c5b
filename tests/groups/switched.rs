//! Behind a switch that snoops: the kernel's bridge, which is the querier, too. What it says of its
//! members is the judge.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::binary::{named, number};
use crate::common::skip;
use crate::netns::{Net, Space, receive};
use crate::relay::{Relay, until};

const NEAR: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const STRANGER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 3);
const FAR: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 2);
const OUT: Ipv4Addr = Ipv4Addr::new(239, 101, 1, 1);
/// How long a membership lasts where it must be kept: five queries, so that a busy host may be
/// late for some.
const LASTS: Duration = Duration::from_secs(5);

/// A bridge between a sender, `near`, and the relay, whose other port leads to a receiver, `far`.
struct Site {
    switch: Space,
    relay: Space,
    near: Space,
    far: Space,
}

/// A bridge in the namespace that asks once a second; what else it is told.
fn bridge(switch: &Space, name: &str, told: &str) {
    let add = ["link", "add", name, "type", "bridge", "mcast_snooping", "1"];
    let added = switch.command("ip").args(add).output().expect("there is `ip`");
    if !added.status.success() {
        skip(&format!("no bridge that snoops: {}", String::from_utf8_lossy(&added.stderr)));
    }
    switch.ip(&format!(
        "link set {name} type bridge mcast_query_interval 100 mcast_query_response_interval 50 \
         mcast_startup_query_interval 100 mcast_startup_query_count 2 \
         mcast_last_member_interval 20 mcast_last_member_count 2 {told}"
    ));
    switch.ip(&format!("link set {name} up"));
    switch.ip(&format!("link set {name} type bridge mcast_querier 1"));
}

impl Site {
    fn new(net: &Net, told: &str) -> Self {
        let site =
            Self { switch: net.space(), relay: net.space(), near: net.space(), far: net.space() };
        bridge(&site.switch, "br0", told);
        for (name, other, peer) in [("relay", &site.relay, "in"), ("near", &site.near, "near")] {
            site.switch.veth(name, other, peer);
            site.switch.ip(&format!("link set {name} master br0"));
        }
        site.relay.veth("out", &site.far, "far");
        site.near.ip(&format!("address add {NEAR}/24 dev near"));
        site.near.ip(&format!("address add {STRANGER}/24 dev near"));
        site.far.ip(&format!("address add {FAR}/24 dev far"));
        site.far.sysctl("net/ipv4/conf/all/rp_filter", "0");
        site.far.sysctl("net/ipv4/conf/far/rp_filter", "0");
        site
    }

    /// Sends a datagram to a group from one of the sender's addresses.
    fn send(&self, from: Ipv4Addr, group: Ipv4Addr, text: &[u8]) {
        self.near.sender(from).send_to(text, (group, 5000)).expect("it is sent");
    }
}

/// The bridge's entry for a group behind a port of its.
fn member(switch: &Space, bridge: &str, port: &str, group: &str) -> Option<Value> {
    let said = switch.run("bridge", &["-j", "-d", "mdb", "show", "dev", bridge]);
    let said: Value = serde_json::from_str(&said).expect("`bridge -j` prints JSON");
    let tables = said.as_array().into_iter().flatten();
    let entries = tables.flat_map(|table| table["mdb"].as_array().into_iter().flatten());
    // A port of several sources has an entry for each, besides the group's own.
    let its =
        |entry: &&Value| entry["port"] == port && entry["grp"] == group && entry["src"].is_null();
    entries.clone().find(its).cloned()
}

/// A relay of one rule, whose copies go to [`OUT`].
fn config(input: &str) -> String {
    format!(
        r#"
        [[port]]
        name = "in"
        device = "net_af_packet0,iface=in,qdisc_bypass=1"
        rx_checksum = "complete"
        [[port]]
        name = "out"
        device = "net_af_packet1,iface=out,qdisc_bypass=1"
        [[rule]]
        name = "feed"
        input = {{ port = "in", {input} }}
        output = [{{ port = "out", destination = "{OUT}" }}]
        "#
    )
}

pub fn members_stay_while_a_querier_asks() {
    let net = Net::new();
    let (switch, space) = (net.space(), net.space());
    // One bridge asks by the newest versions, one by those before.
    let lasts = LASTS.as_millis() / 10;
    for (version, port) in [((3, 2), "new"), ((2, 1), "old")] {
        let (igmp, mld) = version;
        let told = format!(
            "mcast_igmp_version {igmp} mcast_mld_version {mld} mcast_membership_interval {lasts}"
        );
        bridge(&switch, &format!("br-{port}"), &told);
        switch.veth(&format!("to-{port}"), &space, port);
        switch.ip(&format!("link set to-{port} master br-{port}"));
    }
    let mut relay = Relay::new(
        r#"
        [[port]]
        name = "new"
        device = "net_af_packet0,iface=new,qdisc_bypass=1"
        [[port]]
        name = "old"
        device = "net_af_packet1,iface=old,qdisc_bypass=1"
        [[rule]]
        name = "four"
        input = { port = ["new", "old"], destination = ["239.1.1.1", "239.1.1.2"] }
        output = [{ port = "new", destination = "239.101.1.1" }]
        [[rule]]
        name = "six"
        input = { port = ["new", "old"], destination = "ff15::1" }
        output = [{ port = "new", destination = "ff15::101" }]
        "#,
    );
    relay.start(&space);
    let groups = ["239.1.1.1", "239.1.1.2", "ff15::1"];
    let all = || {
        let of = |port: &str, group| {
            member(&switch, &format!("br-{port}"), &format!("to-{port}"), group).is_some()
        };
        ["new", "old"].iter().all(|port| groups.iter().all(|group| of(port, group)))
    };
    until("the bridges to know all members", all);
    let start = Instant::now();
    while start.elapsed() < LASTS * 3 {
        assert!(all(), "a membership ended after {:?}", start.elapsed());
        std::thread::sleep(Duration::from_millis(100));
    }
    let shown = relay.show("groups");
    let rows = shown.as_array().expect("a list");
    assert_eq!(rows.len(), 6, "{shown}");
    for row in rows {
        let spoken = match (row["port"].as_str(), row["group"].as_str()) {
            (Some("new"), Some("ff15::1")) => "mldv2",
            (Some("new"), _) => "igmpv3",
            (_, Some("ff15::1")) => "mldv1",
            _ => "igmpv2",
        };
        assert_eq!(row["version"], spoken, "{row}");
        assert!(number(&row["last_query_ns_ago"]) > 0, "{row}");
        assert!(number(&row["last_report_ns_ago"]) > 0, "{row}");
    }
    let report = relay.stop();
    for port in ["new", "old"] {
        let port = named(&report["ports"], port);
        assert!(number(&port["group_queries"]) >= 10, "{port}");
        assert!(number(&port["originated"]) >= 10, "{port}");
    }
}

pub fn a_reload_joins_and_leaves() {
    joins_and_leaves(1);
}

/// The first hears the querier, the second says what is joined: its is the port `in`, for who sends
/// to `out` is the first.
pub fn two_workers_join_and_leave() {
    joins_and_leaves(2);
}

fn joins_and_leaves(workers: usize) {
    let net = Net::new();
    // A membership lasts for minutes: only a leave ends it in time.
    let site = Site::new(&net, "mcast_igmp_version 3 mcast_membership_interval 26000");
    let is = |group: &str| member(&site.switch, "br0", "relay", group).is_some();
    let mut relay = Relay::by(workers, &config("destination = \"239.1.1.1\""));
    relay.start(&site.relay);
    until("the first group to be joined", || is("239.1.1.1"));
    relay.reload(&config("destination = \"239.1.1.2\""));
    let joined = until("the second group to be joined", || is("239.1.1.2"));
    let left = until("the first group to be left", || !is("239.1.1.1"));
    println!("joined after {joined:?}, left after {:?}", joined + left);
    // An answer to a query: it went through the first worker's ring, and back by the second's.
    let asked = || number(&relay.show("ports")[0]["group_queries"]) > 0;
    until("a query to be heard", asked);
    relay.stop();
    let stopped = until("all groups to be left", || !is("239.1.1.2"));
    println!("left {stopped:?} after the stop");
}

pub fn an_unjoined_group_stays_outside() {
    let net = Net::new();
    let site = Site::new(&net, "mcast_igmp_version 3");
    let mut relay = Relay::new(&config("destination = \"239.1.1.1\""));
    relay.start(&site.relay);
    until("the group to be joined", || member(&site.switch, "br0", "relay", "239.1.1.1").is_some());
    let receiver = site.far.receiver(OUT, 5000, FAR);
    // Until the bridge has waited for members of others, it floods what nobody has joined.
    std::thread::sleep(Duration::from_secs(2));
    for _ in 0..50 {
        site.send(NEAR, Ipv4Addr::new(239, 9, 9, 9), b"nobody's");
        site.send(NEAR, Ipv4Addr::new(239, 1, 1, 1), b"ours");
        assert_eq!(receive(&receiver).map(|(bytes, _)| bytes), Some(b"ours".to_vec()));
    }
    let unmatched = relay.show("unmatched");
    let report = relay.stop();
    let strange = unmatched.as_array().into_iter().flatten();
    assert_eq!(strange.filter(|row| row["destination"] == "239.9.9.9").count(), 0, "{unmatched}");
    assert_eq!(number(&report["ledger"]["sent"]), 50);
}

pub fn a_wrong_source_is_kept_out_and_counted() {
    let net = Net::new();
    let site = Site::new(&net, "mcast_igmp_version 3");
    let group = Ipv4Addr::new(232, 1, 1, 1);
    let mut relay = Relay::new(&config(&format!("destination = \"{group}\", source = \"{NEAR}\"")));
    relay.start(&site.relay);
    let entry = || member(&site.switch, "br0", "relay", "232.1.1.1");
    until("the group to be joined", || entry().is_some());
    let known = entry().expect("it was just there");
    assert_eq!(known["filter_mode"], "include", "{known}");
    assert_eq!(known["source_list"][0]["address"], NEAR.to_string(), "{known}");
    let receiver = site.far.receiver(OUT, 5000, FAR);
    std::thread::sleep(Duration::from_secs(2));
    let sends = || {
        for _ in 0..20 {
            site.send(STRANGER, group, b"wrong");
            site.send(NEAR, group, b"right");
            assert_eq!(receive(&receiver).map(|(bytes, _)| bytes), Some(b"right".to_vec()));
        }
    };
    let wrong = |ledger: &Value| ledger["dropped_before"]["source"].as_u64().unwrap_or(0);
    sends();
    assert_eq!(wrong(&relay.show("ledger")), 0, "the switch knows the source");
    // A switch that knows nothing of sources, or nothing at all.
    site.switch.ip("link set br0 type bridge mcast_snooping 0");
    sends();
    let report = relay.stop();
    assert_eq!(wrong(&report["ledger"]), 20, "{report}");
    assert_eq!(number(&report["ledger"]["sent"]), 40);
}
