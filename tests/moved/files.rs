//! The binary on capture files: what it tells of itself while it runs.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::frames::{v4, vectors};
use crate::moved::Moved;
use crate::relay::Relay;
use crate::table::Mover;

/// What is done elsewhere, such as in a namespace.
type Work<'a> = dyn Fn() -> TcpStream + Send + Sync + 'a;

/// The metrics of a running instance; `within` runs what must be done where it listens.
pub fn scrape(relay: &mut Relay, within: impl Fn(&Work<'_>) -> TcpStream) -> String {
    let address = loop {
        let said = relay.running().stderr();
        let rest = said.split_once("metrics: http://").map(|(_, rest)| rest);
        if let Some((address, _)) = rest.and_then(|rest| rest.split_once("/metrics\n")) {
            break address.to_owned();
        }
        relay.still_runs();
        std::thread::sleep(Duration::from_millis(5));
    };
    let mut stream = within(&|| TcpStream::connect(&address).expect("it listens"));
    write!(stream, "GET /metrics HTTP/1.1\r\n\r\n").expect("it takes a request");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    text.split_once("\r\n\r\n").expect("a body").1.to_owned()
}

pub fn what_a_running_instance_moves() {
    let mut moved = Moved::default();
    finite(&mut moved);
    endless(&mut moved);
    moved.is_as_the_table_says(Mover::Relay);
}

/// Every malformed frame and some good ones, by the capture's clock; then a rule is silent.
fn finite(moved: &mut Moved) {
    let mut relay = Relay::unset();
    relay.instance.configure(
        "clock = \"capture\"",
        r#"
        [eal]
        memory = "no-huge"
        [memory]
        packets = 2048
        [[port]]
        name = "in"
        device = "net_pcap0,rx_pcap=${CONFIG_DIR}/in.pcap"
        [[port]]
        name = "out"
        device = "net_pcap1,tx_pcap=${CONFIG_DIR}/out.pcap"
        [[receiver]]
        name = "desk"
        port = "out"
        [[rule]]
        name = "feed"
        expect = { min = "1000pps", within = "1s" }
        input = { port = "in", destination = "239.1.1.1", udp_port = 5001 }
        output = [
          { receiver = "desk", destination = "239.2.2.1" },
          { receiver = "desk", destination = "239.2.2.2", sample = 3 },
        ]
        [management]
        metrics = "127.0.0.1:0"
        "#,
    );
    let good = std::iter::repeat_n(v4().bytes(), 60);
    let frames: Vec<_> =
        vectors::all().into_iter().map(|(_, bytes, _)| bytes).chain(good).collect();
    let times = (0..).map(|n: u64| 1_700_000_000_000_000_000 + n * 1_000);
    relay.instance.capture("in.pcap", times.zip(frames.iter().map(Vec::as_slice)));
    relay.start_here();
    relay.has_received(frames.len() as u64);
    loop {
        let text = scrape(&mut relay, |work| work());
        moved.text(&text);
        if !text.contains("\npunctual_alerts_active 0\n") {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    relay.stop();
}

/// The same frame for ever, by the processor's clock; the driver holds the capture in buffers. A
/// reload brings a rule that takes unicast.
fn endless(moved: &mut Moved) {
    let mut relay = Relay::unset();
    let configure = |relay: &Relay, more: &str| {
        let rest = r#"
        [eal]
        memory = "no-huge"
        [memory]
        packets = 2048
        [[port]]
        name = "in"
        device = "net_pcap0,rx_pcap=${CONFIG_DIR}/in.pcap,infinite_rx=1"
        [[port]]
        name = "out"
        device = "net_null1,no-rx=1"
        [[rule]]
        name = "feed"
        input = { port = "in", destination = "239.1.1.1", udp_port = 5001 }
        output = [{ port = "out", destination = "239.2.2.1" }]
        [management]
        metrics = "127.0.0.1:0"
        "#;
        relay.instance.configure("", &format!("{rest}{more}"));
    };
    configure(&relay, "");
    let frame = v4().bytes();
    relay.instance.capture("in.pcap", (0..32).map(|n| (n, &frame[..])));
    relay.start_here();
    relay.has_received(1_000);
    configure(
        &relay,
        r#"
        [[rule]]
        name = "one"
        input = { port = "in", destination = "10.0.0.9", udp_port = 5001 }
        output = [{ port = "out", destination = "239.2.2.2" }]
        "#,
    );
    relay.running().signal(libc::SIGHUP);
    while !relay.running().stderr().contains("reloaded config.toml") {
        relay.still_runs();
        std::thread::sleep(Duration::from_millis(5));
    }
    moved.text(&scrape(&mut relay, |work| work()));
    // The worker has ended by then: only now is all of it some time ago for sure.
    moved.report(&serde_json::from_value(relay.stop()).expect("a report"));
}
