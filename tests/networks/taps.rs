//! net_tap: interfaces that DPDK makes, with the kernel of the same namespace at the other end.

use std::net::Ipv4Addr;

use crate::binary::{named, number};
use crate::common::skip;
use crate::netns::{Net, receive};
use crate::relay::{Relay, until};

const NEAR: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const FAR: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 2);
const GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 1, 1);
const OUT: Ipv4Addr = Ipv4Addr::new(239, 101, 1, 1);
const COUNT: u64 = 200;

pub fn the_kernel_sends_and_receives_by_taps() {
    if !std::path::Path::new("/dev/net/tun").exists() {
        skip("no /dev/net/tun: `modprobe tun`");
    }
    let net = Net::new();
    net.needs("ping");
    let space = net.space();
    let mut relay = Relay::new(&format!(
        r#"
        [[port]]
        name = "in"
        device = "net_tap0,iface=tin"
        rx_checksum = "complete"
        [[port]]
        name = "out"
        device = "net_tap1,iface=tout"
        address = "10.1.0.1/24"
        [[rule]]
        name = "all"
        input = {{ port = "in", destination = "{GROUP}" }}
        output = [{{ port = "out", destination = "{OUT}", source = "port" }}]
        "#
    ));
    relay.start(&space);
    // The kernel's end has the port's MAC at first, and its frames would be taken for a loop.
    for (interface, mac, address) in
        [("tin", "02:00:00:00:00:77", NEAR), ("tout", "02:00:00:00:00:78", FAR)]
    {
        space.ip(&format!("link set {interface} address {mac}"));
        space.ip(&format!("address add {address}/24 dev {interface}"));
    }
    let (sender, receiver) = (space.sender(NEAR), space.receiver(OUT, 5000, FAR));
    for number in 0..COUNT {
        let text = number.to_be_bytes();
        sender.send_to(&text, (GROUP, 5000)).expect("it is sent");
        let from = Ipv4Addr::new(10, 1, 0, 1);
        assert_eq!(receive(&receiver), Some((text.to_vec(), from.into())));
    }
    space.ping(&["-I", "tout", "10.1.0.1"]);
    let report = relay.stop();
    assert_eq!(number(&report["ledger"]["sent"]), COUNT);
    assert_eq!(named(&report["ports"], "in")["driver"], "net_tap");
    until("the interfaces to be gone", || !space.ip("-o link show").contains("tin"));
}
