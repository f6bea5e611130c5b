//! The slow path and the kernel: who it takes us for, and what it hears from us.

use std::net::Ipv4Addr;

use crate::binary::{named, number};
use crate::netns::{Net, Space};
use crate::relay::Relay;

const KERNEL: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const OURS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

/// A running instance whose port `wire` leads to the kernel, and with two workers a port `other`,
/// which is sent to. Then the first receives from both, and the second sends to `wire`.
fn beside_the_kernel(net: &Net, workers: usize) -> (Relay, Space) {
    let (kernel, space) = (net.space(), net.space());
    kernel.veth("near", &space, "wire");
    kernel.ip(&format!("address add {KERNEL}/24 dev near"));
    kernel.ip("address add fd00::2/64 dev near nodad");
    let other = r#"
        [[port]]
        name = "other"
        device = "net_null0,no-rx=1"
        [[rule]]
        name = "all"
        input = { port = "wire", destination = "239.1.1.1", join = false }
        output = [{ port = "other" }]
        "#;
    let wire = r#"
        [[port]]
        name = "wire"
        device = "net_af_packet0,iface=wire,qdisc_bypass=1"
        address = ["10.0.0.1/24", "fd00::1/64"]
        rx_checksum = "complete"
        "#;
    let other = if workers > 1 { other } else { "" };
    let mut relay = Relay::by(workers, &format!("{wire}{other}"));
    relay.start(&space);
    (relay, kernel)
}

pub fn a_kernel_finds_and_pings_the_port() {
    is_found_and_pinged(1);
}

pub fn a_kernel_finds_and_pings_the_port_of_two_workers() {
    is_found_and_pinged(2);
}

fn is_found_and_pinged(workers: usize) {
    let net = Net::new();
    net.needs("ping");
    let (mut relay, kernel) = beside_the_kernel(&net, workers);
    let ours = OURS.to_string();
    for (size, address) in [("0", &*ours), ("1472", &ours), ("0", "fd00::1"), ("1452", "fd00::1")] {
        kernel.ping(&["-s", size, address]);
        let neighbour = kernel.ip(&format!("neighbour show {address} dev near"));
        assert!(neighbour.contains("lladdr"), "{neighbour}");
    }
    let report = relay.stop();
    assert_eq!(report["workers"].as_array().map(Vec::len), Some(workers));
    let port = named(&report["ports"], "wire");
    // Two announcements, an answer to ARP and ND each, and twelve to the pings, at least.
    assert!(number(&port["originated"]) >= 16, "{port}");
    assert_eq!((number(&port["unsent"]), number(&report["ledger"]["copies"])), (0, 0));
}
