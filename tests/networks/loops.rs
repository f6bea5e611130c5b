//! Loops by way of a router: it changes the MACs of what it brings back, and takes one off its TTL.

use serde_json::Value;

use crate::binary::{named, number};
use crate::frames::{v4, v6};
use crate::netns::Net;
use crate::raw::Raw;
use crate::relay::{Relay, until};

/// Packets of each IP version.
const COUNT: u64 = 50;
/// The TTL that they come with.
const TTL: u8 = 9;

/// A source; the relay; and a router, which brings what leaves by port out back to port back. What
/// the rules have sent, by name, and how the ledger's packets and copies ended, once all is quiet.
fn runs(output: &str) -> (impl Fn(&str) -> [u64; 2], Value) {
    let net = Net::new();
    let [source, space, router] = [net.space(), net.space(), net.space()];
    for scope in ["all", "default"] {
        space.sysctl(&format!("net/ipv6/conf/{scope}/disable_ipv6"), "1");
        router.sysctl(&format!("net/ipv4/conf/{scope}/rp_filter"), "0");
    }
    source.veth("src", &space, "in");
    space.veth("out", &router, "west");
    space.veth("back", &router, "east");
    for (address, interface) in [
        ("10.1.0.2/24", "west"),
        ("fd01::2/64", "west"),
        ("10.2.0.2/24", "east"),
        ("fd02::2/64", "east"),
    ] {
        router.ip(&format!("address add {address} dev {interface}"));
    }
    router.sysctl("net/ipv4/conf/west/rp_filter", "0");
    router.sysctl("net/ipv4/ip_forward", "1");
    router.sysctl("net/ipv6/conf/all/forwarding", "1");
    let port = |name: &str, more: &str| {
        format!(
            "[[port]]\nname = \"{name}\"\ndevice = \"{name}\"\ndriver = \"af_packet\"\n{more}\n"
        )
    };
    let mut text = port("in", "join = false")
        + &port("back", "address = [\"10.2.0.1/24\", \"fd02::1/64\"]")
        + &port(
            "out",
            "address = [\"10.1.0.1/24\", \"fd01::1/64\"]\ngateway = [\"10.1.0.2\", \"fd01::2\"]",
        );
    for (name, from, to, back) in
        [("four", "in", "239.1.1.1", "10.2.0.1"), ("six", "in", "ff05::1:1", "fd02::1")]
    {
        let rule = |name: &str, from: &str, to: &str| {
            format!(
                "[[rule]]\nname = \"{name}\"\n\
                 input = {{ port = \"{from}\", destination = \"{to}\", udp_port = 5001 }}\n\
                 output = [{{ port = \"out\", destination = \"{back}\", {output} }}]\n"
            )
        };
        text += &rule(name, from, to);
        text += &rule(&format!("{name}-again"), "back", back);
    }
    let mut relay = Relay::new(&text);
    relay.start(&space);
    let answered = |row: &Value| row["state"] == "reachable";
    until("the router to answer", || {
        relay.show("neighbours").as_array().expect("a list").iter().all(answered)
    });
    let wire = Raw::open(&source, "src");
    for _ in 0..COUNT {
        for frame in [v4(), v6()] {
            wire.send(&frame.with(|f| f.ttl = TTL).bytes());
        }
    }
    // Each has ended: it is the last round that counts as dropped.
    let ended = |ledger: &Value| {
        let [address, ttl] =
            [&ledger["dropped_before"]["own_source"], &ledger["dropped_after"]["ttl"]];
        address.as_u64().unwrap_or(0) + ttl.as_u64().unwrap_or(0)
    };
    until("all to end", || ended(&relay.show("ledger")) == 2 * COUNT);
    let report = relay.stop();
    let ledger = report["ledger"].clone();
    let of = move |rule: &str| {
        let rule = named(&report["rules"], rule);
        [number(&rule["packets"]), number(&rule["outputs"][0]["sent"])]
    };
    (of, ledger)
}

pub fn an_address_of_ours_ends_a_loop() {
    let (of, ledger) = runs("source = \"port\"");
    for rule in ["four", "six"] {
        assert_eq!(of(rule), [COUNT; 2]);
        assert_eq!(of(&format!("{rule}-again")), [0; 2]);
    }
    assert_eq!(number(&ledger["dropped_before"]["own_source"]), 2 * COUNT, "{ledger}");
}

pub fn a_ttl_that_is_decremented_ends_a_loop() {
    let (of, ledger) = runs("ttl = \"decrement\"");
    // We and the router take one each: 9 leaves as 8, comes as 7, and so on until 1 comes.
    let again = u64::from(TTL / 2);
    for rule in ["four", "six"] {
        assert_eq!(of(rule), [COUNT; 2]);
        assert_eq!(of(&format!("{rule}-again")), [again * COUNT, (again - 1) * COUNT]);
    }
    assert_eq!(number(&ledger["dropped_after"]["ttl"]), 2 * COUNT, "{ledger}");
}
