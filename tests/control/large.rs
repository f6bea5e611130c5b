//! What a large configuration takes: 102,400 rows of four outputs, a flow for each row.

use crate::binary::number;
use crate::readers::status_kib;
use crate::site::Site;

/// Rules of 1,024 rows, 256 groups and 4 UDP ports, with 4 outputs each.
const RULES: usize = 100;

/// KiB that it may take, its packets' buffers included, of which it has few.
const MEMORY_KIB: u64 = 1 << 20;

/// Bytes that its file may have.
const FILE: u64 = 1 << 20;

fn keys() -> String {
    let rule = |rule: usize| {
        let output = |n| format!("{{ port = \"desks\", destination = \"239.{n}.{rule}.0/24\" }}");
        let outputs = (20..24).map(output).collect::<Vec<_>>().join(", ");
        format!(
            "[[rule]]\nname = \"rule-{rule}\"\nflow = \"row\"\ninput = {{ port = \"feed\", \
             destination = \"239.10.{rule}.0/24\", udp_port = \"5000-5003\" }}\n\
             output = [{outputs}]\n"
        )
    };
    (0..RULES).map(rule).collect()
}

#[test]
fn a_hundred_thousand_rows_take_a_small_file_and_less_than_a_gibibyte() {
    let site = Site::endless_with(&keys());
    let file = std::fs::metadata(site.instance.path("config.toml")).expect("it is there").len();
    assert!(file <= FILE, "{file} bytes");
    let running = site.start();
    let plan = site.json("plan");
    assert!(number(&plan["rows"]) >= RULES as u64 * 1_024, "{}", plan["rows"]);
    assert!(number(&plan["flows"]) >= RULES as u64 * 1_024, "{}", plan["flows"]);
    let most = status_kib(running.id(), "VmHWM:");
    assert!(most <= MEMORY_KIB, "{most} KiB");
    site.stop(running);
}
