//! Simulations in which things go wrong.

use crate::harness::{Feed, Site};
use crate::moved::Moved;
use crate::table::Mover;

const RULES: &str = r#"
    [[receiver]]
    name = "desk"
    port = "b"
    [[rule]]
    name = "soon"
    class = "high"
    budget = "1200us"
    late = "drop"
    queue = { packets = 64, bytes = "1MiB" }
    input = { port = "in", destination = "239.1.1.0/24", udp_port = 5001 }
    output = [{ port = "a" }, { receiver = "desk" }]
    [[rule]]
    name = "any"
    budget = "100us"
    queue = { packets = 64, bytes = "1MiB" }
    input = { port = "in", destination = "239.1.3.0/24", udp_port = 5001 }
    output = [{ port = "a" }, { receiver = "desk", queue = { packets = 16, bytes = "64KiB" } }]
"#;

fn site(rate: &str) -> Site {
    let feed = |rule| Feed::of(rule).rate(rate).sizes(&[1_000]);
    Site::new(RULES).cpu(60, 50).feed(feed("soon")).feed(feed("any"))
}

pub fn what_a_simulation_with_faults_moves() {
    let mut moved = Moved::default();
    let faults = [
        "link-flaps:a@5ms+10ms",
        "tx-refuses:b@5ms+10ms",
        "receiver-dies:desk@5ms+10ms",
        "alloc-fails:headers@5ms+2ms",
        "alloc-fails:payload@5ms+2ms",
        "worker-stalls@5ms+10ms",
    ];
    for fault in faults {
        moved.report(&site("200Mbps").fault(fault).ms(30).run().report);
    }
    // More than the CPU can serve, more than a link carries, and an end that comes too soon.
    moved.report(&site("4Gbps").cpu(4_000, 4_000).ms(20).run().report);
    moved.report(&site("400Mbps").shaped("b", "100Mbps", "4KiB").ms(20).run().report);
    let stopped = Site::new(RULES).cpu(60, 50).shaped("a", "1Mbps", "4KiB");
    let feed = Feed::of("any").rate("200Mbps").sizes(&[1_000]);
    moved.report(&stopped.feed(feed).ms(60).fault("stop@50ms").run().report);
    moved.is_as_the_table_says(Mover::Simulation);
}
