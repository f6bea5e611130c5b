//! Writes the demo's capture, or with `--bench` the bench's:
//!
//! ```text
//! cargo run --example demo_capture -- config/demo.pcap
//! cargo run --example demo_capture -- --bench target/bench/in.pcap
//! ```

#[path = "../tests/frames/mod.rs"]
mod frames;
#[path = "../tests/demo_traffic/mod.rs"]
mod demo_traffic;

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (file, bytes) = match &arguments[..] {
        [file] if !file.starts_with('-') => (file, demo_traffic::demo()?),
        [flag, file] if flag == "--bench" => (file, demo_traffic::bench()?),
        _ => return Err("usage: demo_capture [--bench] FILE".into()),
    };
    std::fs::write(file, bytes).map_err(|error| format!("{file}: {error}"))?;
    Ok(())
}
