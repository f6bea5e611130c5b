//! What the real binary says of the demo's packets, and how it ends.

use std::path::Path;
use std::process::{Command, Output};

/// One for each thing that can become of a packet.
const PACKETS: [&str; 14] = [
    "in 10.9.1.1:4000 > 239.1.0.3:5002",
    "in ttl=1 10.9.1.1:4000 > 239.1.0.3:5002",
    "in vlan=110 size=1400 10.9.1.1:4000 > 239.2.0.1:20000",
    "in [fd00::9]:4000 > [ff15::514]:514",
    "in vlan=200 10.9.1.1:4000 > 239.1.0.3:5002",
    "in 10.8.1.1:4000 > 239.1.0.3:5002",
    "in 10.9.1.1:4000 > 239.1.0.3:5008",
    "in 10.9.1.1:4000 > 239.1.1.3:5002",
    "out-a 10.9.1.1:4000 > 239.1.0.3:5002",
    "out-b vlan=7 10.8.1.1:4000 > 239.1.0.3:6000",
    "in [fd00::9]:4000 > [ff15::515]:515",
    "in 127.0.0.1:4000 > 239.1.0.3:5002",
    "in ttl=0 10.9.1.1:4000 > 239.1.0.3:5002",
    "in 10.40.0.1:4000 > 239.1.0.3:5002",
];

fn explain(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_punctual"));
    command.arg("explain").args(args).env("NO_COLOR", "1");
    command.output().unwrap_or_else(|error| panic!("{error}"))
}

fn told(args: &[&str]) -> String {
    let output = explain(args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(0) && stderr.is_empty(), "{args:?}: {stderr}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Compares with a kept text; `UPDATE_SNAPSHOTS=1` writes it anew.
fn compare(name: &str, actual: &str) {
    let path = Path::new("tests/explain").join(name);
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, actual).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == actual, "{name} differs (UPDATE_SNAPSHOTS=1 writes it); it is now\n{actual}");
}

#[test]
fn the_demo_s_packets_are_explained_as_reviewed() {
    let all = PACKETS.map(|packet| told(&["config/demo.toml", "--packet", packet]));
    compare("demo.txt", &all.join("\n"));
}

#[test]
fn the_json_is_as_reviewed() {
    let packets = [PACKETS[2], PACKETS[9]];
    let all = packets.map(|packet| told(&["config/demo.toml", "--json", "--packet", packet]));
    for text in &all {
        let json: serde_json::Value = serde_json::from_str(text).expect("JSON");
        assert_eq!(json["schema"], 1);
    }
    compare("demo.json.txt", &all.join("\n"));
}

#[test]
fn what_cannot_be_explained_says_what_can() {
    for (file, packet, code, part) in [
        ("config/demo.toml", "in 10.9.1.1 > 239.1.0.3:5002", 64, "no address and UDP port; write"),
        ("config/demo.toml", "in", 64, "not one source > destination; write PORT"),
        ("config/demo.toml", "up 10.9.1.1:1 > 239.1.0.3:5002", 64, "one of: in, out-a, out-b"),
        ("tests/bad_config/five_mistakes.toml", "in 10.9.1.1:1 > 239.1.0.3:5", 78, "error"),
        ("no/such/file.toml", "in 10.9.1.1:1 > 239.1.0.3:5", 78, "no/such/file.toml"),
    ] {
        let output = explain(&[file, "--packet", packet]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{packet}: {stderr}");
        assert!(stderr.contains(part), "{packet}: {stderr}");
        assert!(output.stdout.is_empty(), "{packet}");
    }
    assert_eq!(explain(&["config/demo.toml"]).status.code(), Some(64));
}
