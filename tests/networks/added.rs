//! A port on an interface that a reload adds: the kernel finds it, hears it, and pulls its cable.

use std::net::Ipv4Addr;

use crate::binary::{named, number};
use crate::netns::{Net, receive};
use crate::raw::Raw;
use crate::relay::{PATIENCE, Relay, until};

const GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 1, 1);
/// Taken by the port that is added.
const JOINED: Ipv4Addr = Ipv4Addr::new(239, 7, 7, 7);
const NEAR: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const OURS: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);
const FAR: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 2);
/// IGMP's number, and ARP's type.
const IGMP: u8 = 2;
const ARP: [u8; 2] = [0x08, 0x06];

/// The configuration without the port, or with it by this driver.
fn text(driver: Option<&str>) -> String {
    let head = "[eal]\nmemory = \"no-huge\"\n[memory]\npackets = 16384\nheaders = 4096\n\
                [[port]]\nname = \"in\"\ndevice = \"in\"\ndriver = \"af_packet\"\n\
                rx_checksum = \"complete\"\n[[port]]\nname = \"sink\"\ndevice = \"net_null9,no-rx=1\"\n";
    let rule = |name: &str, from: &str, group: Ipv4Addr, to: &str| {
        format!(
            "[[rule]]\nname = \"{name}\"\noutput = [{{ port = \"sink\" }}{to}]\n\
             input = {{ port = \"{from}\", destination = \"{group}\", udp_port = 5000 }}\n"
        )
    };
    let Some(driver) = driver else {
        return head.to_owned() + &rule("all", "in", GROUP, "");
    };
    let port = format!(
        "[[port]]\nname = \"out\"\ndevice = \"out\"\ndriver = \"{driver}\"\naddress = \"{OURS}/24\"\n"
    );
    let all = rule("all", "in", GROUP, ", { port = \"out\", source = \"port\" }");
    head.to_owned() + &port + &all + &rule("back", "out", JOINED, "")
}

fn a_port_comes(driver: &str) {
    let net = Net::new();
    net.needs("ping");
    let (near, space, far) = (net.space(), net.space(), net.space());
    near.veth("near", &space, "in");
    space.veth("out", &far, "far");
    near.ip(&format!("address add {NEAR}/24 dev near"));
    far.ip(&format!("address add {FAR}/24 dev far"));
    far.sysctl("net/ipv4/conf/all/rp_filter", "0");
    let sender = near.sender(NEAR);
    sender.set_multicast_ttl_v4(2).expect("a socket has a TTL");
    let mut relay = Relay::unset();
    relay.instance.configure("", &text(None));
    relay.start(&space);
    let heard = Raw::open(&far, "far");
    relay.instance.configure("", &text(Some(driver)));
    let said = relay.ask(&["reload"]);
    if said.stderr.contains("(net_af_xdp)") {
        crate::common::skip(&format!("af_xdp: {}", said.stderr.trim()));
    }
    assert_eq!(
        (said.code, said.stdout.contains("+ port out: added live")),
        (Some(0), true),
        "{said:?}"
    );

    // It joins and tells of its address at once.
    let joins = |bytes: &[u8]| bytes[23] == IGMP && bytes.windows(4).any(|w| w == JOINED.octets());
    heard.find(PATIENCE, |seen| joins(&seen.bytes)).expect("it joins");
    heard.find(PATIENCE, |seen| seen.bytes[12..14] == ARP).expect("it announces its address");
    let receiver = far.receiver(GROUP, 5000, FAR);
    for number in 0..100_u8 {
        sender.send_to(&[number; 100], (GROUP, 5000)).expect("it is sent");
        let (bytes, from) = receive(&receiver).expect("it arrives");
        assert_eq!((bytes, from), (vec![number; 100], OURS.into()));
    }
    far.sender(FAR).send_to(b"back", (JOINED, 5000)).expect("it is sent");
    until("what comes in by it", || number(&named(&relay.show("rules"), "back")["packets"]) == 1);
    far.ping(&[&OURS.to_string()]);

    // Its link is watched as the others' are.
    for (state, breaker) in [("down", "open"), ("up", "closed")] {
        far.ip(&format!("link set far {state}"));
        until("its breaker", || named(&relay.show("ports"), "out")["breaker"] == breaker);
    }
    let report = relay.stop();
    assert_eq!(number(&named(&report["ports"], "out")["breaker_opened"]), 1);
    assert_eq!(number(&report["ledger"]["residual"]), 0);
}

pub fn over_af_packet() {
    a_port_comes("af_packet");
}

pub fn over_af_xdp() {
    a_port_comes("af_xdp");
}
