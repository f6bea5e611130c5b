//! The real binary where something is wrong: it says what, where and how to mend it, ends with the
//! right code, and leaves nothing behind. And its end on a signal.

#[path = "../common/binary.rs"]
mod binary;
#[path = "../common/mod.rs"]
mod common;
#[path = "../frames/mod.rs"]
mod frames;

mod refused;
mod signals;

/// A configuration with a source and a sink, and these keys.
fn site(memory: &str, packets: u32, source: &str, sink: &str) -> String {
    format!(
        r#"
        [eal]
        memory = "{memory}"
        [memory]
        packets = {packets}
        [[port]]
        name = "feed"
        device = "{source}"
        [[port]]
        name = "desks"
        device = "{sink}"
        [[rule]]
        name = "itch"
        input = {{ port = "feed", destination = "239.1.1.1", udp_port = 5001 }}
        output = [
          {{ port = "desks", destination = "239.2.2.1" }},
          {{ port = "desks", destination = "239.2.2.2" }},
          {{ port = "desks", destination = "239.2.2.3" }},
          {{ port = "desks", destination = "239.2.2.4" }},
        ]
        "#
    )
}
