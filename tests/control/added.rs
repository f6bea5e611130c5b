//! A port that a reload adds, as a capture and DPDK's telemetry see it.

use serde_json::Value;

use crate::binary::number;
use crate::capture::{captured, destination, site};
use crate::telemetry;

/// It receives what the first port does, and sends one in a thousand.
const ADDED: &str = r#"
    [[port]]
    name = "new"
    device = "net_pcap9,rx_pcap=${CONFIG_DIR}/in.pcap,infinite_rx=1,tx_pcap=${CONFIG_DIR}/out.pcap"
    [[rule]]
    name = "more"
    input = { port = "new", destination = "239.1.1.1", udp_port = 5001 }
    output = [{ port = "new", destination = "239.2.2.9", sample = 1000 }]
"#;

#[test]
fn a_port_that_a_reload_adds_is_captured_and_known_to_telemetry() {
    let site = site();
    let running = site.start();
    // Its connections are from before.
    let telemetry = telemetry::Client::of(&site);
    assert_eq!(telemetry.names("/punctual/ports"), ["feed", "desks"]);
    let devices = |telemetry: &telemetry::Client| {
        let list = telemetry.ask("/ethdev/list");
        list.as_array().expect("a list").len()
    };
    let before = devices(&telemetry);
    let none = site.ask(&["capture", "-i", "new", "-w", "a.pcapng"]);
    assert!(none.code == Some(69) && none.stderr.contains("new"), "{none:?}");

    let file = site.instance.path("config.toml");
    let text = std::fs::read_to_string(&file).expect("it was written");
    std::fs::write(&file, text + ADDED).expect("it can be written");
    let said = site.ask(&["reload"]);
    assert!(said.code == Some(0) && said.stdout.contains("port new: added live"), "{said:?}");

    // All that it receives, what no rule takes too, and nothing of the others.
    let (_, ports, packets) = captured(&site, &["-i", "new", "-Q", "in", "-c", "40"]);
    assert_eq!((ports, packets.len()), (["feed", "desks", "new"].map(str::to_owned).into(), 40));
    assert!(packets.iter().all(|packet| packet.port == "new" && packet.way == Some(1)));
    let taken = packets.iter().filter(|packet| packet.comment.starts_with("rule=more")).count();
    assert!((1..40).contains(&taken), "{taken}");
    let (_, _, copies) = captured(&site, &["-i", "new", "-Q", "out", "-c", "3"]);
    assert_eq!(copies.len(), 3);
    for copy in copies {
        assert_eq!((&*copy.port, copy.way), ("new", Some(2)));
        assert!(copy.comment.starts_with("rule=more output=new/239.2.2.9"), "{}", copy.comment);
        assert_eq!(destination(&copy.bytes), "239.2.2.9:5001");
    }

    // A report is used for a moment; then the port is there, and it counts.
    let port = loop {
        let port = telemetry.ask("/punctual/port,new");
        if port["received"].as_u64() > Some(0) {
            break port;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    assert_eq!((port["link"].as_u64(), number(&port["received"]) >= 40), (Some(1), true));
    assert_eq!(telemetry.names("/punctual/ports"), ["feed", "desks", "new"]);
    assert!(number(&telemetry.ask("/punctual/rule,more")["packets"]) > 0);
    assert_eq!(devices(&telemetry), before + 1, "as DPDK itself counts");
    assert_eq!(telemetry.ask("/ethdev/info,2")["name"], Value::from("net_pcap9"));
    site.stop(running);
}
