//! Plans as a configuration makes them, for tables of the size that is wanted.

use std::path::Path;

use punctual::config;
use punctual::plan::{Plan, PortFacts};
use punctual::wire::MacAddr;

/// Rows of a rule: 256 groups x 4 UDP ports, as in `scripts/bench.sh --case rows-100k`.
pub const ROWS_OF_A_RULE: usize = 1024;

const SITE: &str = r#"
schema = 1
[instance]
name = "rivals"
[[port]]
name = "in"
device = "net_null0"
[[port]]
name = "out"
device = "net_null1"
"#;

/// So many rows, each of a flow of its own.
pub fn of_rows(rows: usize) -> Plan {
    let rule = |number: usize| {
        let [high, low] = [number >> 8, number & 255];
        format!(
            "[[rule]]\nname = \"r{number}\"\nflow = \"row\"\n\
             input = {{ port = \"in\", destination = \"239.{high}.{low}.0/24\", \
             udp_port = \"5000-5003\" }}\n\
             output = [{{ port = \"out\", destination = \"235.{high}.{low}.0/24\" }}]\n"
        )
    };
    build((0..rows / ROWS_OF_A_RULE).map(rule).collect())
}

/// One rule with room for so many sources.
pub fn of_sources(sources: usize) -> Plan {
    build(format!(
        "[limits]\nsources = {sources}\n[[rule]]\nname = \"all\"\nflow = \"source\"\n\
         input = {{ port = \"in\", destination = \"239.1.0.0/32\", udp_port = 5000 }}\n\
         output = [{{ port = \"out\", destination = \"239.101.0.0/32\" }}]\n"
    ))
}

fn build(rules: String) -> Plan {
    let text = format!("{SITE}{rules}");
    let config = match config::load_bytes(Path::new("rivals.toml"), text.into(), &|_| None) {
        Ok(loaded) => loaded.config,
        Err(errors) => panic!("{errors}"),
    };
    let facts = [1, 2].map(|last| PortFacts {
        mac: MacAddr([2, 0, 0, 0, 1, last]),
        mtu: 1500,
        sends_chains: true,
    });
    Plan::build(&config, &facts, 1_000_000_000, 1).expect("the plan is built")
}
