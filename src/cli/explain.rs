//! `punctual explain`.

use std::path::PathBuf;

use clap::Args;

use super::exit::{self, Exit};
use crate::explain::{ExplainError, FORM, PacketText, explain, render};
use crate::manage::text::Style;

/// The arguments of `punctual explain`.
#[derive(Clone, Debug, Args)]
#[command(after_help = format!("A packet is {FORM}"))]
pub struct ExplainArgs {
    /// The configuration
    file: PathBuf,
    /// The packet, as in 'in vlan=200 10.9.1.1:4000 > 239.1.1.1:5001'
    #[arg(long, value_name = "PACKET")]
    packet: PacketText,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Tells what becomes of the packet.
pub fn run(args: &ExplainArgs) -> Exit {
    let loaded = match super::load::load(&args.file) {
        Ok(loaded) => loaded,
        Err(rendered) => return super::fail_as_rendered(exit::CONFIG, &rendered),
    };
    match explain(&loaded.config, &args.packet) {
        Ok(told) if args.json => {
            let json = serde_json::to_string_pretty(&told)
                .unwrap_or_else(|error| unreachable!("plain data: {error}"));
            super::print(&(json + "\n"));
            exit::OK
        }
        Ok(told) => {
            super::print(&render(&told, Style::of(&std::io::stdout())));
            exit::OK
        }
        Err(error @ ExplainError::Port { .. }) => super::fail(exit::USAGE, &error.to_string()),
        Err(error @ ExplainError::Plan(_)) => super::fail(exit::CONFIG, &error.to_string()),
    }
}
