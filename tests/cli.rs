//! The real binary: what it says of itself, and its exit codes.

use std::process::{Command, Output};

fn punctual(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_punctual"));
    command.args(args).env_remove("NO_COLOR");
    command.output().unwrap_or_else(|error| panic!("{error}"))
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_version_names_revision_and_dpdk() {
    let output = punctual(&["--version"]);
    assert_eq!(output.status.code(), Some(0));
    let text = stdout(&output);
    let version = text.strip_prefix("punctual 0.1.0 (").unwrap_or_default();
    let version = version.strip_suffix(")\n").unwrap_or_default();
    let (revision, dpdk) = version.split_once(", DPDK ").unwrap_or_default();
    assert!(!revision.is_empty(), "{text}");
    let said = dpdk.split_once(", ").map_or(dpdk, |(_, linking)| linking);
    let linking = match (cfg!(feature = "static"), cfg!(feature = "dpdk")) {
        (true, _) => "static",
        (false, true) => "shared",
        (false, false) => "none",
    };
    assert_eq!(said, linking, "{text}");
}

#[test]
fn help_is_no_error() {
    let commands = [&["--help"][..], &["help"], &["run", "--help"], &["check", "--help"]];
    for args in commands.into_iter().chain([&["explain", "--help"][..]]) {
        let output = punctual(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert!(stdout(&output).contains("Usage: punctual"), "{args:?}");
    }
}

#[test]
fn usage_errors_end_with_64() {
    let wrong = [
        &[][..],
        &["fly"],
        &["run"],
        &["check"],
        &["run", "x.toml", "--stop-after", "soon"],
        &["check", "x.toml", "--colour"],
    ];
    for args in wrong {
        let output = punctual(args);
        assert_eq!(output.status.code(), Some(64), "{args:?}");
        let text = stderr(&output);
        assert!(text.contains("Usage: punctual") || text.contains("--help"), "{text}");
        assert!(output.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn a_missing_configuration_ends_with_78_and_is_named() {
    let output = punctual(&["check", "no/such/file.toml"]);
    assert_eq!(output.status.code(), Some(78));
    let text = stderr(&output);
    assert!(text.starts_with("error"), "{text}");
    assert!(text.contains("no/such/file.toml"), "{text}");
    assert!(output.stdout.is_empty());
}

#[test]
fn top_without_a_terminal_says_what_to_use_instead() {
    let output = punctual(&["top"]);
    assert_eq!(output.status.code(), Some(69));
    let text = stderr(&output);
    assert!(text.contains("terminal") && text.contains("punctual show rules --watch"), "{text}");
    assert!(output.stdout.is_empty());
}

#[test]
fn where_nothing_runs_there_is_nobody_to_ask() {
    // A directory that is not there: whatever runs on this host is not found.
    let nowhere = std::env::temp_dir().join(format!("punctual-nowhere-{}", std::process::id()));
    for args in [&["show", "ledger"][..], &["stop"], &["reset"], &["stop", "--instance", "x"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_punctual"));
        let output = command.args(args).env("RUNTIME_DIRECTORY", &nowhere).output().unwrap();
        assert_eq!(output.status.code(), Some(69), "{args:?}");
        let text = stderr(&output);
        assert!(text.contains(nowhere.to_str().unwrap()), "{text}");
        assert!(output.stdout.is_empty());
    }
    assert!(!nowhere.exists());
}

#[cfg(not(feature = "dpdk"))]
#[test]
fn without_a_data_plane_run_says_what_is_missing() {
    let output = punctual(&["run", "no/such/file.toml"]);
    assert_eq!(output.status.code(), Some(69));
    assert!(stderr(&output).contains("feature `dpdk`"));
}
