//! Writes the demo's capture:
//!
//! ```text
//! cargo run --example demo_capture -- config/demo.pcap
//! ```

#[path = "../tests/frames/mod.rs"]
mod frames;
#[path = "../tests/demo_traffic/mod.rs"]
mod demo_traffic;

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file] = &arguments[..] else {
        return Err("usage: demo_capture FILE".into());
    };
    std::fs::write(file, demo_traffic::demo()?).map_err(|error| format!("{file}: {error}"))?;
    Ok(())
}
