//! Hosts that share a rule's packets, and one that vanishes.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use crate::binary::{number, sum};
use crate::neighbours::{Site, all_of, host, output, packet, udp_port};
use crate::netns::Net;
use crate::relay::{PATIENCE, until};

/// Flows that two hosts share.
const SHARED: u32 = 64;

/// Sends a packet of IPv4 from each of so many UDP ports; which of the two hosts has which.
fn shared(site: &mut Site, to: &[UdpSocket; 2]) -> [Vec<u32>; 2] {
    for flow in 0..SHARED {
        let frame = packet(flow, 4).with(|f| f.source_port = 1_000 + flow as u16);
        site.wire.send(&frame.bytes());
    }
    let (mut had, start) = ([vec![], vec![]], Instant::now());
    while had[0].len() + had[1].len() < SHARED as usize && start.elapsed() < PATIENCE {
        for (socket, had) in to.iter().zip(&mut had) {
            had.extend(all_of(socket));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    had
}

pub fn a_host_that_vanishes_hands_over_its_share() {
    let net = Net::new();
    let mut site = Site::new(&net);
    [0, 1].iter().for_each(|&port| site.appear(port, 4));
    let sockets = [0, 1].map(|port| site.receiver(port, 4));
    site.start_on_link("reachable = \"1s\"");
    // No receiver, so no breaker: it is the neighbour alone that says it.
    let member = |port: usize| {
        format!(
            "{{ port = \"out{port}\", destination = \"{}\", udp_port = {} }}",
            host(port, 4),
            udp_port(4)
        )
    };
    let rules = site.text.find("[[rule]]").expect("there are rules");
    let text = format!(
        "{}[[rule]]\nname = \"shared\"\n\
         input = {{ port = \"in\", destination = \"239.1.1.1\", udp_port = 5001 }}\n\
         balance = {{ by = \"flow\", to = [{}, {}] }}\n",
        &site.text[..rules],
        member(0),
        member(1)
    );
    site.relay.reload(&text);
    let state = |site: &Site, port: usize| site.neighbour(host(port, 4))["state"].clone();
    until("both to answer", || [0, 1].iter().all(|&port| state(&site, port) == "reachable"));
    let before = shared(&mut site, &sockets);
    assert!(before.iter().all(|had| had.len() > SHARED as usize / 4), "{before:?}");
    site.hosts[0].ip("address flush dev host");
    until("it to be silent", || state(&site, 0) == "silent");
    let without = shared(&mut site, &sockets);
    assert_eq!([without[0].len(), without[1].len()], [0, SHARED as usize], "all are the other's");
    site.appear(0, 4);
    until("it to be back", || state(&site, 0) == "reachable");
    assert_eq!(shared(&mut site, &sockets), before, "each has what it had");
    let report = site.end();
    let [gone, other] = ["out0", "out1"].map(|port| output(&report, "shared", port));
    let taken_over = [gone, other].map(|output| number(&output["taken_over"]));
    assert_eq!(taken_over, [0, before[0].len() as u64]);
    assert_eq!((&gone["balanced_by"], &gone["fair_permille"]), (&"flow".into(), &500.into()));
    assert_eq!(sum(&report["ledger"]["dropped_after"]), 0, "{}", report["ledger"]);
}
