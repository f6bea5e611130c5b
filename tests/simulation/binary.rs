//! `punctual simulate` as a user meets it: what it prints, writes and refuses.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use punctual::testkit::pcap::Writer;

/// A directory of one test, removed behind it.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("punctual-simulate-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.0.join(name);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn simulate(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_punctual"));
    command.arg("simulate").args(args).output().unwrap_or_else(|error| panic!("{error}"))
}

fn refused(code: i32, args: &[&str]) -> String {
    let output = simulate(args);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{args:?}\n{text}");
    assert!(output.stdout.is_empty(), "{args:?}");
    assert!(text.starts_with("error"), "{text}");
    text
}

const DEMO: &str = "config/demo.toml";

#[test]
fn the_same_seed_gives_the_same_bytes_in_two_processes() {
    let place = Place::new();
    let run = |name: &str, seed: &str| {
        let [report, plot] = ["json", "svg"].map(|end| place.path(&format!("{name}.{end}")));
        let faults = ["--fault", "tx-partial:out-b@200us+4ms", "--fault", "link-flaps"];
        let args = [DEMO, "--traffic", seed, "--duration", "5ms", "--model", "microburst"];
        let files = ["--load", "1.5", "--report", &report, "--plot", &plot];
        let output = simulate(&[&args[..], &faults, &files].concat());
        assert_eq!(output.status.code(), Some(0));
        (output.stdout, fs::read(report).unwrap(), fs::read(plot).unwrap())
    };
    let (first, second, other) = (run("a", "seed:7"), run("b", "seed:7"), run("c", "seed:8"));
    assert!(first == second);
    assert!(!first.0.is_empty() && first.0 != other.0 && first.1 != other.1 && first.2 != other.2);
}

#[test]
fn nonsense_is_usage() {
    let base = [DEMO, "--traffic", "seed:1", "--duration", "1ms"];
    let wrong: [(&[&str], &str); 17] = [
        (&["--load", "0"], "0.01 to 100"),
        (&["--load", "lots"], "0.01 to 100"),
        (&["--model", "gremlins"], "constant, poisson, bursts"),
        (&["--link", "0bps"], "1kbps to 1Tbps"),
        (&["--link", "9999999Tbps"], "1kbps to 1Tbps"),
        (&["--link", "fast"], "no number"),
        (&["--cpu-ns-per-packet", "-1"], "-1"),
        (&["--cpu-ns-per-copy", "1000000001"], "1000000001"),
        (&["--fault", "gremlin"], "rx-gap, tx-refuses"),
        (&["--fault", "tx-refuses:in"], "the output ports are: out-a, out-b"),
        (&["--fault", "rx-gap:nowhere"], "the input ports are: in"),
        (&["--fault", "alloc-fails:swimming"], "payload, headers"),
        (&["--fault", "receiver-dies:nobody"], "desk-1, desk-2"),
        (&["--fault", "stop:in"], "takes no place"),
        (&["--fault", "stop@yesterday"], "is no time"),
        (&["--traffic", "seed:2"], "one seed:N alone"),
        (&["--colour"], "--colour"),
    ];
    for (args, says) in wrong {
        let text = refused(64, &[&base[..], args].concat());
        assert!(text.contains(says), "{args:?}: {text}");
    }
    for duration in ["0s", "1ns", "86401s", "soon", "99999999999s"] {
        refused(64, &[DEMO, "--traffic", "seed:1", "--duration", duration]);
    }
    for traffic in ["seed:", "seed:-1", "seed:18446744073709551616", ""] {
        refused(64, &[DEMO, "--traffic", traffic]);
    }
    refused(64, &[DEMO]);
    let text = refused(64, &[DEMO, "--traffic", "nowhere=config/demo.pcap"]);
    assert!(text.contains("there is no port `nowhere`; the ports are in, out-a, out-b"), "{text}");
    refused(64, &[DEMO, "--traffic", "config/demo.pcap", "--model", "poisson"]);
    let text = refused(64, &[DEMO, "--traffic", "seed:1", "--duration", "3600s"]);
    assert!(text.contains("are too many"), "{text}");
}

#[test]
fn a_capture_that_cannot_be_played_is_data() {
    let place = Place::new();
    let good = fs::read("config/demo.pcap").unwrap();
    let cut = place.file("cut.pcap", &good[..good.len() - 7]);
    let cases = [
        ("no/such.pcap".to_owned(), "No such file"),
        (place.file("empty.pcap", b""), "has no frames"),
        (place.file("header.pcap", &good[..24]), "has no frames"),
        (place.file("text.pcap", b"not a capture at all, this is text"), "not a pcap file"),
        (cut, "the file ends inside the record at offset"),
        (place.0.to_str().unwrap().to_owned(), "cannot read"),
    ];
    for (path, says) in &cases {
        let text = refused(65, &[DEMO, "--traffic", path]);
        assert!(text.contains(says) && text.contains(path.as_str()), "{text}");
    }
    let far = {
        let mut writer = Writer::new(Vec::new()).unwrap();
        writer.write(1_000, &[0; 60]).unwrap();
        writer.write(4_000_000_000_000_000_000, &[0; 60]).unwrap();
        writer.finish().unwrap()
    };
    let text = refused(65, &[DEMO, "--traffic", &place.file("far.pcap", &far)]);
    assert!(text.contains("frame 2") && text.contains("more than a day"), "{text}");
}

#[test]
fn a_capture_for_nobody_is_a_warning() {
    let place = Place::new();
    let mut writer = Writer::new(Vec::new()).unwrap();
    for at in [5, 3, 9] {
        writer.write(at, &[0xff; 60]).unwrap();
    }
    let path = place.file("other.pcap", &writer.finish().unwrap());
    let output = simulate(&[DEMO, "--traffic", &path]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("no rule takes any of its 3 frames"), "{text}");
    assert!(text.contains("1 frames go back in time"), "{text}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("= received 3 + missed 0"));
}

#[test]
fn a_file_with_several_workers_is_simulated_as_one_and_says_so() {
    let place = Place::new();
    let site = |workers: &str| {
        format!(
            "schema = 1\n[instance]\nname = \"many\"\n\
             [eal]\nlcores = {{ management = 0, workers = [{workers}] }}\n\
             [[port]]\nname = \"in\"\ndevice = \"net_null0\"\n\
             [[port]]\nname = \"out\"\ndevice = \"net_null1\"\n\
             [[rule]]\nname = \"all\"\nclass = \"high\"\n\
             input = {{ port = \"in\", destination = \"239.1.1.1\", udp_port = 5000 }}\n\
             output = [{{ port = \"out\", ttl = 8 }}]\n"
        )
    };
    let run = |name: &str, workers: &str| {
        let file = place.file(name, site(workers).as_bytes());
        let output = simulate(&[&file, "--traffic", "seed:1", "--duration", "2ms"]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{text}");
        (text, output.stdout)
    };
    let (of_one, by_one) = run("one.toml", "1");
    let (of_two, by_two) = run("two.toml", "1, 2");
    assert!(of_two.contains("the file has 2 workers, simulated is one"), "{of_two}");
    assert!(!of_one.contains("simulated is one"), "{of_one}");
    assert!(by_one == by_two, "it is simulated otherwise");
}

#[test]
fn a_bad_configuration_and_an_unwritable_report_have_their_codes() {
    refused(78, &["tests/bad_config/syntax.toml", "--traffic", "seed:1"]);
    refused(78, &["no/such.toml", "--traffic", "seed:1"]);
    for flag in ["--report", "--plot"] {
        let text = refused(69, &[DEMO, "--traffic", "seed:1", flag, "no/such/place"]);
        assert!(text.contains("no/such/place"), "{text}");
    }
}

/// Three outputs share a rule's senders; the JSON says who has how many, and who has them for another.
#[test]
fn balanced_outputs_are_simulated_with_their_shares() {
    let place = Place::new();
    let config = place.file(
        "site.toml",
        br#"
        schema = 1
        [[port]]
        name = "in"
        device = "net_null0"
        [[port]]
        name = "a"
        device = "net_null1"
        [[port]]
        name = "b"
        device = "net_null2"
        [[rule]]
        name = "shared"
        flow = "source"
        input = { port = "in", destination = "239.1.0.0/24", udp_port = 5000 }
        balance = { by = "flow", to = [
          { port = "a", destination = "239.2.0.1" },
          { port = "b", destination = "239.2.0.2" },
          { port = "b", destination = "239.2.0.3", weight = 2 },
        ] }
        "#,
    );
    let outputs = |name: &str, more: &[&str]| {
        let report = place.path(name);
        let args = [&config, "--traffic", "seed:3", "--duration", "20ms", "--report", &report];
        let output = simulate(&[&args[..], more].concat());
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        let json: serde_json::Value =
            serde_json::from_slice(&fs::read(report).unwrap()).expect("it is JSON");
        let rule = json["report"]["rules"][0].clone();
        let count = |key: &str| {
            let outputs = rule["outputs"].as_array().expect("a list").iter();
            outputs.map(|output| output[key].as_u64().expect("a number")).collect::<Vec<_>>()
        };
        let packets = rule["packets"].as_u64().expect("a number");
        (packets, count("copies"), count("fair_permille"), count("taken_over"))
    };
    let (packets, copies, fair, taken_over) = outputs("whole.json", &[]);
    assert_eq!(fair, [250, 250, 500]);
    assert_eq!(copies.iter().sum::<u64>(), packets);
    for (copies, fair) in copies.iter().zip(fair) {
        let share = copies * 1_000 / packets;
        assert!(share.abs_diff(fair) < 80, "{share} of 1000, by weight {fair}");
    }
    assert_eq!(taken_over, [0; 3]);
    let (packets, copies, _, taken_over) =
        outputs("down.json", &["--fault", "link-down:a@5ms+10ms"]);
    assert_eq!(copies.iter().sum::<u64>(), packets);
    assert!(taken_over[0] == 0 && taken_over[1] > 0 && taken_over[2] > taken_over[1]);
}
