//! What only a driver counts: frames and copies that are lost on the other side of it.

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::files::scrape;
use crate::frames::v4;
use crate::moved::Moved;
use crate::netns::Net;
use crate::relay::Relay;
use crate::table::Mover;

/// How often a case looks for what it waits for.
const LOOKS: usize = 500;

/// Ports that take next to nothing, each with a rule: their queues keep what the pool has, and the
/// driver finds no buffer for a frame, or none for the rest of a long one.
pub fn buffers_that_a_driver_lacks() {
    const PORTS: usize = 12;
    let each = |n: usize| {
        format!(
            r#"
            [[port]]
            name = "out{n}"
            device = "net_null{n},no-rx=1"
            rate = "8kbps"
            [[rule]]
            name = "feed{n}"
            class = "high"
            input = {{ port = "in", destination = "239.1.1.{n}", udp_port = 5001 }}
            output = [{{ port = "out{n}" }}]
            "#
        )
    };
    let mut relay = Relay::unset();
    relay.instance.configure(
        "",
        &format!(
            r#"
            [eal]
            memory = "no-huge"
            [memory]
            packets = 6656
            [[port]]
            name = "in"
            rx = "live"
            device = "net_pcap0,rx_pcap=${{CONFIG_DIR}}/in.pcap"
            {}
            [management]
            metrics = "127.0.0.1:0"
            "#,
            (1..=PORTS).map(each).collect::<String>()
        ),
    );
    // Small ones, until the queues have what they may have of the pool; then long ones among them,
    // each in 30 buffers, so that now the one and now the other finds none.
    let frame = |n: usize, payload: usize| {
        v4().with(|f| {
            f.destination = [239, 1, 1, (n % PORTS) as u8 + 1].into();
            f.payload = vec![0; payload];
        })
    };
    let mut random = fastrand::Rng::with_seed(1);
    let small = (0..8_000).map(|n| frame(n, 100).bytes());
    let long = (0..1_000).map(|n| frame(n, if random.bool() { 100 } else { 60_000 }).bytes());
    let frames: Vec<_> = small.chain(long).collect();
    relay.instance.capture("in.pcap", (0..).zip(frames.iter().map(Vec::as_slice)));
    relay.start_here();
    let mut moved = Moved::default();
    for _ in 0..LOOKS {
        if moved.all(Mover::Buffers) {
            break;
        }
        moved.text(&scrape(&mut relay, |work| work()));
        std::thread::sleep(Duration::from_millis(20));
    }
    relay.stop();
    moved.is_as_the_table_says(Mover::Buffers);
}

/// Frames that come while nobody reads, and copies for an interface that is down: the driver takes
/// them, and the kernel does not.
pub fn frames_that_the_kernel_drops_or_refuses() {
    const NEAR: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
    let net = Net::new();
    let (near, space, far) = (net.space(), net.space(), net.space());
    near.veth("near", &space, "in");
    space.veth("out", &far, "far");
    near.ip(&format!("address add {NEAR}/24 dev near"));
    let mut relay = Relay::unset();
    relay.instance.configure(
        "",
        r#"
        [eal]
        memory = "no-huge"
        [memory]
        packets = 2048
        [[port]]
        name = "in"
        device = "net_pcap0,rx_iface_in=in"
        [[port]]
        name = "out"
        device = "net_af_packet1,iface=out,qdisc_bypass=1"
        [[rule]]
        name = "feed"
        input = { port = "in", destination = "239.1.1.1", udp_port = 5001 }
        output = [{ port = "out", destination = "239.2.2.2" }]
        [management]
        metrics = "127.0.0.1:0"
        "#,
    );
    relay.start(&space);
    let sender = near.sender(NEAR);
    let send = |count: usize| {
        for _ in 0..count {
            sender.send_to(&[0; 1_200], (Ipv4Addr::new(239, 1, 1, 1), 5001)).expect("it is sent");
        }
    };
    let mut moved = Moved::default();
    // As many as no buffer of the kernel holds.
    relay.running().signal(libc::SIGSTOP);
    send(20_000);
    relay.running().signal(libc::SIGCONT);
    relay.has_received(1);
    for _ in 0..LOOKS {
        if moved.all(Mover::Kernel) {
            break;
        }
        // Up again in between, lest its breaker stays open.
        space.ip("link set out down");
        send(10);
        std::thread::sleep(Duration::from_millis(20));
        moved.text(&scrape(&mut relay, |work| space.within(work)));
        space.ip("link set out up");
        std::thread::sleep(Duration::from_millis(20));
    }
    relay.stop();
    moved.is_as_the_table_says(Mover::Kernel);
}
