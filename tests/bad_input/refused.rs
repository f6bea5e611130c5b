//! What does not start.

use crate::binary::{Ended, Instance};
use crate::common::runtime_directory;
use crate::site;

const QUIET: &str = "net_null0,no-rx=1";
const SINK: &str = "net_null1";

/// Runs the instance's configuration, which must end with `code`, say all of `parts` and nothing
/// on its standard output, and leave nothing of EAL's.
fn refuses(instance: &Instance, args: &[&str], code: i32, parts: &[&str]) -> Ended {
    let ended = instance.run(args);
    says(&ended, code, parts);
    let left = runtime_directory(&instance.name);
    assert!(!left.exists(), "{} is left", left.display());
    ended
}

fn says(ended: &Ended, code: i32, parts: &[&str]) {
    assert_eq!(ended.code, Some(code), "{ended:?}");
    assert_eq!(ended.stdout, "", "errors go to the standard error stream");
    for part in parts {
        assert!(ended.stderr.contains(part), "`{part}` is not said: {}", ended.stderr);
    }
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
}

#[test]
fn every_mistake_of_a_configuration_has_its_place() {
    let instance = Instance::new();
    let text = include_str!("../bad_config/five_mistakes.toml");
    std::fs::write(instance.path("config.toml"), text).expect("it can be written");
    let mistakes = [
        ("`mtu` is 40", "config.toml:7:7", "68 to 9978"),
        ("unknown key `adress`", "config.toml:12:1", "`address`"),
        ("`budget` is \"500 parsecs\"", "config.toml:15:10", "ns, us, ms, s"),
        ("`destination` is \"239.1.0.5/24\"", "config.toml:19:38", "239.1.0.0/24"),
        ("no port is named `uot`", "config.toml:20:20", "`out`"),
    ];
    for command in ["run", "check"] {
        let ended = refuses(&instance, &[command, "config.toml"], 78, &[]);
        for (what, place, allowed) in mistakes {
            // A mistake, its place and what is allowed belong together.
            let from = ended.stderr.find(what);
            let from = from.unwrap_or_else(|| panic!("`{what}` is not said: {}", ended.stderr));
            let text = &ended.stderr[from..];
            let text = text.find("\nerror: ").map_or(text, |end| &text[..end]);
            assert!(text.contains(place) && text.contains(allowed), "{text}");
        }
        assert_eq!(ended.stderr.matches("error: ").count(), mistakes.len(), "{}", ended.stderr);
    }
}

#[test]
fn a_configuration_that_is_not_there() {
    let instance = Instance::new();
    for command in ["run", "check"] {
        refuses(&instance, &[command, "none.toml"], 78, &["none.toml", "No such file"]);
        refuses(&instance, &[command, "."], 78, &["`.`"]);
    }
}

#[test]
fn a_command_line_that_is_not_understood() {
    let instance = Instance::new();
    instance.configure("", &site("no-huge", 4_096, QUIET, SINK));
    for (args, parts) in [
        (&[][..], &["Usage", "run", "check"][..]),
        (&["fly"], &["fly"]),
        (&["run"], &["FILE"]),
        (&["run", "config.toml", "--stop-after", "5"], &["--stop-after", "no unit"]),
        (&["run", "config.toml", "--stop-after-idle", "1h"], &["--stop-after-idle"]),
        (&["run", "config.toml", "--color"], &["--color"]),
        (&["run", "config.toml", "another.toml"], &["another.toml"]),
    ] {
        refuses(&instance, args, 64, parts);
    }
}

#[test]
fn a_capture_that_is_not_there_or_none() {
    let instance = Instance::new();
    let run = ["run", "config.toml", "--stop-after", "100ms"];
    for (source, sink, parts) in [
        (
            "net_pcap0,rx_pcap=/nowhere/in.pcap",
            SINK,
            ["`feed`", "/nowhere/in.pcap", "No such file"],
        ),
        (
            QUIET,
            "net_pcap1,tx_pcap=/nowhere/out.pcap",
            ["`desks`", "/nowhere/out.pcap", "No such file"],
        ),
        ("net_pcap0,rx_pcap=config.toml", SINK, ["`feed`", "config.toml", "format"]),
    ] {
        instance.configure("", &site("no-huge", 4_096, source, sink));
        refuses(&instance, &run, 69, &parts);
    }
}

#[test]
fn a_device_that_no_driver_takes() {
    let instance = Instance::new();
    let run = ["run", "config.toml", "--stop-after", "100ms"];
    for (source, parts) in [
        ("net_nosuch0", ["`feed`", "net_nosuch0", "a driver that there is: net_pcap"]),
        ("0000:ff:1f.7", ["`feed`", "0000:ff:1f.7", "dpdk-devbind.py"]),
        ("net_pcap0,colour=blue", ["`feed`", "colour", "correct its arguments"]),
    ] {
        instance.configure("", &site("no-huge", 4_096, source, SINK));
        refuses(&instance, &run, 69, &parts);
    }
}

/// Hosts are as large as they are: the process is given less than it asks for.
#[test]
fn too_little_ordinary_memory() {
    let instance = Instance::new();
    instance.configure("", &site("no-huge", 1 << 20, QUIET, SINK));
    let ended = instance.run_within(2 << 30, &["run", "config.toml", "--stop-after", "100ms"]);
    says(&ended, 69, &["MiB", "lower [memory] packets"]);
    // The bound is not what it fails on.
    instance.configure("", &site("no-huge", 4_096, QUIET, SINK));
    let ended = instance.run_within(2 << 30, &["run", "config.toml", "--stop-after", "100ms"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

/// The kernel promises more than it has; who then touches it is killed, or kills another. The
/// bound keeps a program that does not look first from trying.
#[test]
fn more_ordinary_memory_than_the_host_has() {
    let instance = Instance::new();
    instance.configure("", &site("no-huge", 1 << 24, QUIET, SINK));
    let ended = instance.run_within(8 << 30, &["run", "config.toml", "--stop-after", "100ms"]);
    says(&ended, 69, &["MiB", "lower [memory] packets"]);
    let meminfo = std::fs::read_to_string("/proc/meminfo").expect("Linux has it");
    let kibibytes = |name: &str| -> u64 {
        let line = meminfo.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
    };
    // 16 Mi buffers of more than 2 KiB.
    if kibibytes("MemAvailable:") + kibibytes("SwapFree:") < 32 << 20 {
        says(&ended, 69, &["MiB are available"]);
    }
}

/// No host has so many reserved.
#[test]
fn too_few_hugepages() {
    let instance = Instance::new();
    for memory in ["hugepages", "in-memory"] {
        instance.configure("", &site(memory, 1 << 24, QUIET, SINK));
        let ended =
            instance.run_within(512 << 30, &["run", "config.toml", "--stop-after", "100ms"]);
        says(&ended, 69, &["hugepages", "dpdk-hugepages.py --"]);
        assert!(!runtime_directory(&instance.name).exists());
    }
}

#[test]
fn a_cpu_that_is_not_there() {
    let instance = Instance::new();
    let text = site("no-huge", 4_096, QUIET, SINK);
    let lcores = "[eal]\nlcores = { management = 0, workers = [1023] }";
    instance.configure("", &text.replacen("[eal]", lcores, 1));
    refuses(&instance, &["run", "config.toml"], 69, &["CPU 1023", "[eal] lcores"]);
}

#[test]
fn a_report_that_cannot_be_written() {
    let instance = Instance::new();
    instance.configure("", &site("no-huge", 4_096, QUIET, SINK));
    let args = ["run", "config.toml", "--report", "/nowhere/report.json"];
    refuses(&instance, &args, 69, &["/nowhere/report.json", "--report"]);
}

#[test]
fn a_name_that_is_taken() {
    let instance = Instance::new();
    instance.configure("", &site("no-huge", 4_096, QUIET, SINK));
    let mut first = instance.start(&["run", "config.toml"]);
    first.has_started();
    let second = instance.run(&["run", "config.toml", "--stop-after", "100ms"]);
    let id = first.id().to_string();
    says(&second, 69, &[&instance.name, &id, "[instance] name"]);
    assert!(first.is_running(), "the first notices nothing");
    assert!(runtime_directory(&instance.name).exists(), "and keeps what is its own");
    first.signal(libc::SIGTERM);
    assert_eq!(first.end().code, Some(0));
}
