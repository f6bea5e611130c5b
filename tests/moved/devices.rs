//! What only a driver counts: frames and copies that are lost on the other side of it.

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::binary::Instance;
use crate::frames::v4;
use crate::moved::Moved;
use crate::netns::Net;
use crate::relay::{ARGS, end, scrape};
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
    let instance = Instance::new();
    instance.configure(
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
    instance.capture("in.pcap", (0..).zip(frames.iter().map(Vec::as_slice)));
    let mut running = instance.start(&ARGS);
    let mut moved = Moved::default();
    for _ in 0..LOOKS {
        if moved.all(Mover::Buffers) {
            break;
        }
        assert!(running.is_running(), "{}", running.stderr());
        moved.text(&scrape(&mut running, |work| work()));
        std::thread::sleep(Duration::from_millis(20));
    }
    end(&instance, running);
    moved.is_as_the_table_says(Mover::Buffers);
}

/// Frames that come while nobody reads, and copies for an interface that is down: the driver takes
/// them, and the kernel does not.
pub fn frames_that_the_kernel_drops_or_refuses() {
    const NEAR: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
    let net = Net::new();
    let (near, relay, far) = (net.space(), net.space(), net.space());
    near.veth("near", &relay, "in");
    relay.veth("out", &far, "far");
    near.ip(&format!("address add {NEAR}/24 dev near"));
    let instance = Instance::new();
    instance.configure(
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
    let mut running = instance.spawn(&ARGS, &mut relay.command(env!("CARGO_BIN_EXE_punctual")));
    running.has_started();
    let sender = near.sender(NEAR);
    let send = |count: usize| {
        for _ in 0..count {
            sender.send_to(&[0; 1_200], (Ipv4Addr::new(239, 1, 1, 1), 5001)).expect("it is sent");
        }
    };
    let mut moved = Moved::default();
    // As many as no buffer of the kernel holds.
    running.signal(libc::SIGSTOP);
    send(20_000);
    running.signal(libc::SIGCONT);
    instance.has_received(&mut running, 1);
    for _ in 0..LOOKS {
        if moved.all(Mover::Kernel) {
            break;
        }
        assert!(running.is_running(), "{}", running.stderr());
        // Up again in between, lest its breaker stays open.
        relay.ip("link set out down");
        send(10);
        std::thread::sleep(Duration::from_millis(20));
        moved.text(&scrape(&mut running, |work| relay.within(work)));
        relay.ip("link set out up");
        std::thread::sleep(Duration::from_millis(20));
    }
    end(&instance, running);
    moved.is_as_the_table_says(Mover::Kernel);
}
