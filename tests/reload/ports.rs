//! Ports that come by a reload, one after the other up to the limit, under traffic that never
//! pauses; and what becomes of those that cannot come.

use punctual::manage::report::{Link, Report};

use crate::answers::{NULL, PIPE, drain, standing, start, stop, text};
use crate::binary::{Running, is_whole, named, number, sum};
use crate::peer::wait;
use crate::relay::{frame, read};
use crate::rules::{self, KEPT, STEADY, output, rule};
use crate::site::Site;
use crate::thousand::{kept, under_traffic};
use crate::traffic::Traffic;

/// Ports that an instance has at most, and those on the wires.
const PORTS: usize = 32;
const WIRES: usize = 3;
/// The group that goes to every port that was added, and the one that comes in by them.
const FAN: u8 = 3;
const BACK: u8 = 6;
/// Frames that come in by a port that was added.
const FRAMES: u32 = 100;

pub fn ports_come_under_traffic() {
    ports_come(1);
}

/// Either of which may own what was added.
pub fn and_with_two_workers() {
    ports_come(2);
}

/// Whether a port is a pair of captures, or takes all and keeps nothing.
fn is_captured(n: usize) -> bool {
    n % 2 == 1
}

/// The port with this number, among those that are added.
fn port(n: usize) -> String {
    let device = match is_captured(n) {
        true => format!(
            "net_pcap{n},rx_pcap=${{CONFIG_DIR}}/back.pcap,tx_pcap=${{CONFIG_DIR}}/out{n}.pcap"
        ),
        false => format!("net_null{n},no-rx=1"),
    };
    format!("[[port]]\nname = \"new{n}\"\ndevice = \"{device}\"\n")
}

/// A configuration with so many ports more, the newest first, and the rules that go with them. Two
/// rules stay as they are.
fn config(site: &Site, workers: usize, added: usize) -> String {
    let mut text = rules::eal(workers);
    text += "[memory]\npackets = 16384\nheaders = 4096\n[limits]\nrules = 64\noutputs = 256\n";
    text.extend((0..added).rev().map(port));
    text += &rules::wires(&site.instance);
    let high = "class = \"high\"";
    let stays = [output("a", 1, KEPT, ""), output("a", 2, KEPT, "")];
    text += &rule(KEPT, high, &stays);
    text += &rule(STEADY, "class = \"low\"", &[output("a", 1, STEADY, "")]);
    let mut fan = vec![output("b", 1, FAN, "")];
    fan.extend((0..added).map(|n| output(&format!("new{n}"), n as u8, FAN, "")));
    text += &rule(FAN, high, &fan);
    for n in (0..added).filter(|n| is_captured(*n)) {
        text += &format!(
            "[[rule]]\nname = \"back{n}\"\noutput = [{}]\n\
             input = {{ port = \"new{n}\", destination = \"239.1.1.{BACK}\" }}\n",
            output("b", 20 + n as u8, BACK, "")
        );
    }
    text
}

fn ports_come(workers: usize) {
    let site = Site::new();
    let back: Vec<_> = (0..FRAMES).map(|n| frame(BACK, n, 64)).collect();
    site.instance.capture("back.pcap", back.iter().map(|frame| (0, &frame[..])));
    site.write("config.toml", &config(&site, workers, 0));
    let (traffic, shown, ()) = under_traffic(&site, |running| add_all(&site, running, workers));
    let report = site.instance.report();
    is_whole(&report);
    let ledger = &report["ledger"];
    let offered = u64::from(traffic.offered);
    assert_eq!(kept(&shown), (offered, vec![offered; 2]));
    assert_eq!(sum(&ledger["dropped_after"]), 0, "{ledger}");
    let sent: u64 = (0..PORTS - WIRES).map(|n| judge(&site, &report, &traffic, n)).sum();
    assert_eq!(number(&ledger["sent"]), traffic.copies + sent, "{ledger}");
    println!("{} ports came while {offered} numbers passed", PORTS - WIRES);
}

/// Adds one port after the other. In between come some that must be refused, of which one opens.
fn add_all(site: &Site, running: &Running, workers: usize) {
    let mut before = kept(&site.show());
    for n in 0..PORTS - WIRES {
        let good = config(site, workers, n + 1);
        if n % 5 == 2 {
            let wrong = "[[port]]\nname = \"wrong\"\ndevice = \"net_pcap99,rx_pcap=none.pcap\"\n";
            site.write("config.toml", &format!("{good}{wrong}"));
            let error = site.reload("config.toml").expect_err("a file is missing").to_string();
            assert!(error.contains("`wrong`") && error.contains("none.pcap"), "{error}");
            assert_eq!(site.show().ports.len(), WIRES + n);
        }
        site.write("config.toml", &good);
        let reloaded = site.reload("config.toml").unwrap_or_else(|error| {
            panic!("{n}: {error}\n{}", running.stderr());
        });
        assert_eq!(reloaded.diff.added[0], format!("port new{n}: added live"));
        let report = site.show();
        assert_eq!(report.ledger.residual, 0, "{:?}", report.ledger);
        assert_eq!(report.ports.last().map(|port| &*port.name), Some(&*format!("new{n}")));
        let now = kept(&report);
        assert!(now.0 >= before.0 && now.1.iter().zip(&before.1).all(|(now, old)| now >= old));
        before = now;
    }
    site.write("full.toml", &config(site, workers, PORTS - WIRES + 1));
    let full = site.reload("full.toml").expect_err("there are 32").to_string();
    assert!(full.contains("full.toml:") && full.contains("more than 32 ports"), "{full}");
    // What came in by the last of them has gone out, too.
    let is_back = |report: &Report| {
        let back = report.rules.iter().filter(|rule| rule.name.starts_with("back"));
        back.map(|rule| rule.packets).all(|packets| packets == u64::from(FRAMES))
    };
    wait("what the new ports receive", || is_back(&site.show()).then_some(()));
}

/// Judges the copies of a port that was added; returns how many it sent.
fn judge(site: &Site, report: &serde_json::Value, traffic: &Traffic, n: usize) -> u64 {
    let sent = number(&named(&report["ports"], &format!("new{n}"))["sent"]);
    assert!(sent > 0, "new{n} got nothing");
    if is_captured(n) {
        let copies = site.instance.captured(&format!("out{n}.pcap"));
        assert_eq!(copies.len() as u64, sent, "new{n}");
        let numbers = copies.iter().map(|copy| {
            let (group, number) = read(copy);
            assert_eq!((copy[32], group), (n as u8, FAN));
            number
        });
        // From the first on, none is missing, doubled or out of order.
        assert!(numbers.eq(traffic.offered - sent as u32..traffic.offered), "new{n}");
        assert_eq!(traffic.copies_of(20 + n as u8, BACK), u64::from(FRAMES), "new{n}");
    }
    sent
}

/// The configuration with ports more.
fn with(ports: &[&str]) -> String {
    let port = |(n, device): (usize, &&str)| {
        format!("[[port]]\nname = \"new{n}\"\naddress = \"10.7.{n}.1/24\"\ndevice = \"{device}\"\n")
    };
    text(NULL, "") + &ports.iter().enumerate().map(port).collect::<String>()
}

/// Links by port.
fn links(site: &Site) -> Vec<(String, Link)> {
    site.show().ports.iter().map(|port| (port.name.clone(), port.link)).collect()
}

pub fn what_cannot_come_changes_nothing_and_can_come_later() {
    let (site, running) = start(NULL);
    let before = links(&site);
    let refused = |ports: &[&str], keys: &str, code: i32, parts: &[&str]| {
        site.write("next.toml", &(with(ports) + keys));
        let said = site.ask(&["reload", "next.toml"]);
        assert_eq!(said.code, Some(code), "{said:?}");
        for part in parts.iter().chain(&["all goes on"]) {
            assert!(said.stderr.contains(part), "`{part}`: {said:?}");
        }
        assert_eq!((links(&site), site.show().generation), (before.clone(), 1));
    };
    let endless = "net_pcap7,rx_pcap=${CONFIG_DIR}/in.pcap,infinite_rx=1";
    let missing = "net_pcap8,rx_pcap=${CONFIG_DIR}/none.pcap";
    refused(&[endless, missing], "", 69, &["new1", "none.pcap"]);
    refused(&[endless, "net_af_packet9,iface=nosuch0"], "", 69, &["new1", "nosuch0"]);
    refused(&["net_null9,no-rx=7,nosuch=1"], "", 69, &["new0", "nosuch"]);
    refused(&["0000:3b:00.0"], "", 78, &["needs a restart", "new0", "PCI"]);
    refused(&["net_null9"], "mtu = 9000\n", 78, &["needs a restart", "new0", "mtu of 9000"]);
    // There is no room for its rows: what was opened is closed again.
    let rows = "[[rule]]\nname = \"wide\"\noutput = [{ port = \"new0\" }]\n\
                input = { port = \"feed\", destination = \"239.3.0.0/16\", udp_port = \"1-99\" }\n";
    refused(&[endless], rows, 78, &["limits"]);
    // And all of them can come.
    site.write("next.toml", &with(&[endless, "net_null9,no-rx=1"]));
    let said = site.ask(&["check", "next.toml", "--against"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.stdout.contains("+ port new0: added live"), "{said:?}");
    let said = site.ask(&["reload", "next.toml"]);
    assert_eq!((said.code, said.stdout.contains("port new1: added live")), (Some(0), true));
    let report = site.show();
    assert_eq!(report.ports.len(), before.len() + 2);
    let payload = report.pools.iter().find(|pool| pool.name == "payload").expect("it is there");
    assert_eq!(payload.held, 2 * 32, "each endless source keeps its capture");
    assert!(report.pools.iter().any(|pool| pool.name == "own/new0"));
    // It tells of its address; nobody had to ask.
    wait("what is announced", || {
        let ports = site.show().ports;
        ports
            .iter()
            .filter(|port| port.name.starts_with("new"))
            .all(|port| port.originated > 0)
            .then_some(())
    });
    let shown = site.ask(&["show", "ports"]);
    assert!(shown.stdout.contains("new1"), "{shown:?}");
    // What has come does not go, or change.
    let refused = |text: &str, parts: &[&str]| {
        site.write("gone.toml", text);
        let said = site.ask(&["reload", "gone.toml"]);
        assert_eq!(said.code, Some(78), "{said:?}");
        for part in parts {
            assert!(said.stderr.contains(part), "`{part}`: {said:?}");
        }
    };
    let place = |file: &str, value: &str| {
        let text = std::fs::read_to_string(site.instance.path(file)).expect("it was written");
        let (line, found) = text.lines().enumerate().find(|(_, l)| l.contains(value)).expect(value);
        format!("{file}:{}:{}", line + 1, found.find(value).expect("it is there") + 1)
    };
    // What is gone is where it was when it came, whatever that file says since.
    let was = place("next.toml", "\"new1\"");
    site.write("next.toml", "");
    refused(&with(&[endless]), &["port new1: removed (", &format!("{was}, as it is in force)")]);
    let device = "net_null9,no-rx=1,size=99";
    site.write("gone.toml", &with(&[endless, device]));
    let is = place("gone.toml", &format!("\"{device}\""));
    refused(&with(&[endless, device]), &["port new1: device (", &format!("{is})")]);
    stop(&site, running);
}

pub fn a_port_is_not_added_while_a_worker_stands_still() {
    let config = text(PIPE, "");
    let (site, running, pipe) = standing(&config);
    let port = "[[port]]\nname = \"new\"\ndevice = \"net_null9,no-rx=1\"\n";
    site.write("config.toml", &(config + port));
    let said = site.ask(&["reload"]);
    assert_eq!(said.code, Some(69), "{said:?}");
    for part in ["has taken no turn for 1 s", "closed again", "ask again"] {
        assert!(said.stderr.contains(part), "`{part}`: {said:?}");
    }
    assert_eq!((site.show().generation, site.show().ports.len()), (1, 2));
    let reader = std::thread::spawn(move || drain(pipe));
    wait("the worker to go on", || {
        (site.show().workers[0].heartbeat_age_ns < 100_000_000).then_some(())
    });
    wait("the port", || site.reload("config.toml").ok());
    assert_eq!((site.show().generation, site.show().ports.len()), (2, 3));
    stop(&site, running);
    reader.join().expect("the pipe has ended");
}

pub fn the_next_start_has_the_ports_that_were_added() {
    let (site, mut running) = start(NULL);
    let ports = ["net_null8,no-rx=1", "net_pcap9,rx_pcap=${CONFIG_DIR}/in.pcap,infinite_rx=1"];
    for added in [1, 2] {
        site.write("config.toml", &with(&ports[..added]));
        let said = site.ask(&["reload"]);
        assert_eq!(said.code, Some(0), "{said:?}\n{}", running.stderr());
        running.signal(libc::SIGKILL);
        assert_eq!(running.end().code, None, "a signal ended it");
        running = site.begin();
        site.answers(&mut running);
        assert_eq!((site.show().generation, site.show().ports.len()), (1, 2 + added));
    }
    stop(&site, running);
}
