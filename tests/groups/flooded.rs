//! A wire full of queries, good, absurd and broken: counted, policed, and the streams do not notice.

use std::net::Ipv4Addr;

use crate::binary::{named, number, sum};
use crate::netns::{Net, receive};
use crate::queries::{igmp, igmp2, igmp3, mld2};
use crate::raw::Raw;
use crate::relay::Relay;

const NEAR: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const FAR: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 2);
const GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 1, 1);
const OUT: Ipv4Addr = Ipv4Addr::new(239, 101, 1, 1);
const ROUNDS: u64 = 200;

pub fn absurd_queries_do_not_touch_the_streams() {
    let net = Net::new();
    let (near, space, far) = (net.space(), net.space(), net.space());
    near.veth("near", &space, "in");
    space.veth("out", &far, "far");
    near.ip(&format!("address add {NEAR}/24 dev near"));
    far.ip(&format!("address add {FAR}/24 dev far"));
    far.sysctl("net/ipv4/conf/all/rp_filter", "0");
    far.sysctl("net/ipv4/conf/far/rp_filter", "0");
    let mut relay = Relay::new(&format!(
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
        input = {{ port = "in", destination = "{GROUP}" }}
        output = [{{ port = "out", destination = "{OUT}" }}]
        "#
    ));
    relay.start(&space);
    let (wire, receiver) = (Raw::open(&near, "near"), far.receiver(OUT, 5000, FAR));
    let sender = near.sender(NEAR);
    let all = Ipv4Addr::new(224, 0, 0, 1);
    let mut broken = igmp3(255);
    let last = broken.len() - 1;
    broken[last] = 200;
    let queries = [
        igmp3(0),
        igmp3(255),
        igmp2(255),
        igmp2(0),
        mld2(0xffff),
        igmp(vec![0x11, 1, 0, 0, 0, 0, 0, 0, 7, 255, 0, 0], all, 64),
        igmp(vec![0x11, 1, 0, 0, 10, 0, 0, 1, 7, 255, 0, 0], all, 1),
        igmp(vec![0x11, 1, 0, 0, 0, 0, 0, 0, 7, 255, 0xff, 0xff], all, 1),
        broken,
    ];
    // Once each, as many as the policer takes at once, so that each reason is seen.
    queries.iter().for_each(|query| wire.send(query));
    for round in 0..ROUNDS {
        for query in &queries {
            (0..10).for_each(|_| wire.send(query));
        }
        let text = round.to_be_bytes();
        sender.send_to(&text, (GROUP, 5000)).expect("it is sent");
        assert_eq!(receive(&receiver).map(|(bytes, _)| bytes), Some(text.to_vec()));
    }
    let report = relay.stop();
    let port = named(&report["ports"], "in");
    assert_eq!(number(&report["ledger"]["sent"]), ROUNDS);
    assert!(number(&port["group_queries"]) > 0, "{port}");
    for why in ["ttl", "group", "malformed"] {
        assert!(number(&port["group_ignored"][why]) > 0, "{why}: {port}");
    }
    // What the slow path does not take is a reason of its own, and nothing is lost to the streams.
    let dropped = &report["ledger"]["dropped_before"];
    let punt_full = dropped["punt_full"].as_u64().unwrap_or(0);
    assert!(punt_full > 0, "{dropped}");
    let own =
        dropped["own_source"].as_u64().unwrap_or(0) + dropped["no_rule"].as_u64().unwrap_or(0);
    assert_eq!(sum(dropped), punt_full + own, "{dropped}");
    // An answer takes its time, whoever asks and however often.
    assert!(number(&port["originated"]) < number(&port["group_queries"]), "{port}");
}
