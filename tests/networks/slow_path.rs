//! The slow path and the kernel: who it takes us for, and what it hears from us.

use std::net::Ipv4Addr;

use crate::binary::{Instance, Running, is_whole, named, number};
use crate::netns::{Net, Space};

const KERNEL: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const OURS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

/// A running instance with one port, `wire`, whose other end is the kernel's.
fn beside_the_kernel(net: &Net) -> (Instance, Running, Space) {
    let (kernel, relay) = (net.space(), net.space());
    kernel.veth("near", &relay, "wire");
    kernel.ip(&format!("address add {KERNEL}/24 dev near"));
    let instance = Instance::new();
    instance.configure(
        "",
        r#"
        [eal]
        memory = "no-huge"
        [memory]
        packets = 4096
        [[port]]
        name = "wire"
        device = "net_af_packet0,iface=wire,qdisc_bypass=1"
        address = ["10.0.0.1/24"]
        rx_checksum = "complete"
        "#,
    );
    let args = ["run", "config.toml", "--stop-after", "50s", "--report", "report.json"];
    let program = env!("CARGO_BIN_EXE_punctual");
    let mut running = instance.spawn(&args, &mut relay.command(program));
    running.has_started();
    (instance, running, kernel)
}

pub fn a_kernel_finds_and_pings_the_port() {
    let net = Net::new();
    net.needs("ping");
    let (instance, running, kernel) = beside_the_kernel(&net);
    let ours = OURS.to_string();
    for size in ["0", "56", "1472"] {
        let said = kernel.run("ping", &["-c", "3", "-i", "0.05", "-W", "5", "-s", size, &ours]);
        assert!(said.contains(" 0% packet loss"), "{said}");
    }
    let neighbours = kernel.ip("neighbour show dev near");
    assert!(neighbours.contains(&ours) && neighbours.contains("lladdr"), "{neighbours}");
    running.signal(libc::SIGTERM);
    let ended = running.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let report = instance.report();
    is_whole(&report);
    let port = named(&report["ports"], "wire");
    // An ARP answer and nine to the pings, at least.
    assert!(number(&port["originated"]) >= 10, "{port}");
    assert_eq!((number(&port["unsent"]), number(&report["ledger"]["copies"])), (0, 0));
}
