//! DPDK's telemetry socket: our commands on it, asked by a client of our own and by DPDK's.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketType, connect, recv, send, socket,
};
use serde_json::Value;

use crate::binary::number;
use crate::site::{FRAMES, Site};

/// Where DPDK's own client is, if the package `dpdk` is there.
const SCRIPT: &str = "dpdk-telemetry.py";

/// A client: one packet is one command, one packet its answer.
pub struct Client(rustix::fd::OwnedFd);

impl Client {
    /// Connects to a started instance.
    pub fn of(site: &Site) -> Self {
        let name = &site.instance.name;
        let path = site.instance.path(&format!("run/dpdk/{name}/dpdk_telemetry.v2"));
        let client = socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).expect("a socket");
        let address = SocketAddrUnix::new(&path).expect("a path that is short enough");
        connect(&client, &address).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let client = Self(client);
        let hello = client.packet();
        assert!(hello["max_output_len"].as_u64() >= Some(16_384), "{hello}");
        client
    }

    fn packet(&self) -> Value {
        let mut bytes = vec![0; 16_384];
        let (length, _) = recv(&self.0, &mut bytes[..], RecvFlags::empty()).expect("an answer");
        let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// The answer to a command; null where there is none.
    pub fn ask(&self, command: &str) -> Value {
        send(&self.0, command.as_bytes(), SendFlags::empty()).expect("it takes a command");
        let name = command.split(',').next().unwrap_or_default();
        self.packet().get_mut(name).unwrap_or_else(|| panic!("no answer to {command}")).take()
    }

    /// A list of names.
    pub fn names(&self, command: &str) -> Vec<String> {
        let list = self.ask(command);
        let names = list.as_array().unwrap_or_else(|| panic!("{command}: no list: {list}"));
        names.iter().map(|name| name.as_str().expect("a name").to_owned()).collect()
    }
}

#[test]
fn dpdk_s_own_client_is_answered() {
    let site = Site::finite();
    let running = site.start();
    site.drained();
    let commands = "/punctual/ledger\n/punctual/rule,itch\n/punctual/rules\n/punctual/rule,none\n";
    let script = Command::new(SCRIPT)
        .args(["-f", &site.instance.name])
        .env("RUNTIME_DIRECTORY", site.instance.path("run"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut script = match script {
        Ok(script) => script,
        Err(error) => {
            eprintln!("skipped: {SCRIPT}: {error}");
            site.stop(running);
            return;
        }
    };
    let mut input = script.stdin.take().expect("it is a pipe");
    input.write_all(commands.as_bytes()).expect("it takes commands");
    drop(input);
    let ended = script.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert!(ended.status.success(), "{said}");
    let answers: Vec<Value> =
        said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let of = |name: &str, nth: usize| {
        let found = answers.iter().filter_map(|answer| answer.get(name)).nth(nth);
        found.unwrap_or_else(|| panic!("no {name} in {said}"))
    };
    let all = FRAMES.iter().sum::<usize>() as u64;
    assert_eq!(number(&of("/punctual/ledger", 0)["received"]), all);
    assert_eq!(number(&of("/punctual/rule", 0)["packets"]), FRAMES[0] as u64);
    assert_eq!(of("/punctual/rules", 0), &serde_json::json!(["itch", "news"]));
    assert_eq!(of("/punctual/rule", 1), &Value::Null, "as DPDK answers what there is not");
    site.stop(running);
}

#[test]
fn commands_are_listed_explained_and_answered_while_it_relays() {
    let site = Site::endless();
    let running = site.start();
    let client = Client::of(&site);
    let commands = client.names("/");
    let ours: Vec<_> = commands.iter().filter(|name| name.starts_with("/punctual/")).collect();
    assert!(ours.len() >= 21, "{commands:?}");
    let documented = std::fs::read_to_string("docs/metrics.md").expect("it is there");
    for command in ours {
        let help = client.ask(&format!("/help,{command}")).to_string();
        assert!(help.contains('.'), "{command}: {help}");
        let is = |end: char| documented.contains(&format!("`{command}{end}"));
        assert!(is('`') || is(',') || is('['), "{command} is not documented");
    }
    // Ten clients are all that DPDK takes; each gets its answers, and none the worker.
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let client = Client::of(&site);
            std::thread::spawn(move || {
                let mut last = 0;
                for _ in 0..50 {
                    let ledger = client.ask("/punctual/ledger");
                    assert_eq!(number(&ledger["residual"]), 0);
                    let received = number(&ledger["received"]);
                    assert!(received >= last, "{received} after {last}");
                    last = received;
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("all is well"));
    for wrong in ["/punctual/none", "/punctual/rule", "/punctual/port,none", "/punctual/info,x"] {
        assert_eq!(client.ask(wrong), Value::Null, "{wrong}");
    }
    // A packet that is no command at all, and one that is far too long.
    assert_eq!(client.ask(&format!("/punctual/rule,{}", "x".repeat(900))), Value::Null);
    site.stop(running);
}

/// Whether this host has hugepages that are free.
fn has_hugepages() -> bool {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("HugePages_Free:"));
    // A pool of 2,048 packets and what EAL takes for itself are below 100 pages of 2 MiB.
    line.and_then(|line| line.trim().parse::<u64>().ok()).is_some_and(|free| free >= 100)
}

#[test]
fn it_is_answered_in_every_memory_mode() {
    for memory in ["no-huge", "in-memory", "hugepages"] {
        if memory != "no-huge" && !has_hugepages() {
            eprintln!("skipped: {memory}: no hugepages are free");
            continue;
        }
        let site = Site::finite();
        let path: PathBuf = site.instance.path("config.toml");
        let text = std::fs::read_to_string(&path).expect("it is there");
        let text = text.replace("\"no-huge\"", &format!("\"{memory}\""));
        std::fs::write(&path, text).expect("it can be written");
        let running = site.start();
        site.drained();
        let client = Client::of(&site);
        assert_eq!(number(&client.ask("/punctual/ledger")["residual"]), 0, "{memory}");
        assert_eq!(client.ask("/punctual/info")["generation"], 1, "{memory}");
        site.stop(running);
    }
}
