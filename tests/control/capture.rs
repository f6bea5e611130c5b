//! Captures of a running instance: what is in the file, as others' readers and judges see it, how
//! they end, and that they cost nobody else anything.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use etherparse::{SlicedPacket, TransportSlice};
use pcap_parser::traits::PcapNGPacketBlock;
use pcap_parser::{Block, parse_block_le};

use crate::binary::{Ended, Running, number};
use crate::frames::{Frame, v4, v6};
use crate::site::Site;

/// A packet of a capture file.
#[derive(Debug)]
pub struct Packet {
    pub port: String,
    pub bytes: Vec<u8>,
    len: u32,
    pub comment: String,
    /// 1 is in, 2 is out.
    pub way: Option<u8>,
}

/// The ports and packets of a file, by a parser that is not ours.
fn read(path: &Path) -> (Vec<String>, Vec<Packet>) {
    let file = std::fs::read(path).expect("there is a file");
    let (mut rest, mut ports, mut packets) = (&file[..], Vec::new(), Vec::new());
    while !rest.is_empty() {
        let (behind, block) = parse_block_le(rest).expect("a whole block");
        rest = behind;
        match block {
            Block::SectionHeader(_) => {}
            Block::InterfaceDescription(port) => {
                ports.push(port.if_name().expect("a name").expect("a text").to_owned());
            }
            Block::EnhancedPacket(packet) => {
                let option = |code| {
                    let found = packet.options.iter().find(|option| option.code.0 == code)?;
                    Some(found.value[..found.len.into()].to_vec())
                };
                packets.push(Packet {
                    port: ports[packet.if_id as usize].clone(),
                    bytes: packet.packet_data().to_vec(),
                    len: packet.origlen,
                    comment: String::from_utf8(option(1).unwrap_or_default()).expect("a text"),
                    way: option(2).map(|flags| flags[0]),
                });
            }
            other => panic!("{other:?}"),
        }
    }
    (ports, packets)
}

/// The frames that the instance receives for ever.
struct Frames {
    itch: Frame,
    news: Frame,
    stray: Frame,
    wrong: Vec<u8>,
}

fn frames() -> Frames {
    let mut wrong = v4().bytes();
    wrong[24] ^= 1;
    let news = v4().with(|f| {
        f.destination = [239, 1, 1, 2].into();
        f.payload = vec![7; 900];
    });
    Frames { itch: v4(), news, stray: v6(), wrong }
}

pub fn site() -> Site {
    site_with("")
}

fn site_with(keys: &str) -> Site {
    let site = Site::endless_with(keys);
    let Frames { itch, news, stray, wrong } = frames();
    let all = [itch.bytes(), news.bytes(), stray.bytes(), wrong];
    site.instance.capture("in.pcap", (0..32).map(|n| (n, &all[n as usize % 4][..])));
    site
}

/// Captures into `a.pcapng`.
pub fn captured(site: &Site, args: &[&str]) -> (Ended, Vec<String>, Vec<Packet>) {
    let ended = site.ask(&[&["capture", "-w", "a.pcapng"], args].concat());
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let (ports, packets) = read(&site.instance.path("a.pcapng"));
    (ended, ports, packets)
}

/// What tcpdump makes of a file, line by line; none where it is not installed.
fn tcpdump(path: &Path) -> Option<Vec<String>> {
    let said = Command::new("tcpdump").args(["-nr"]).arg(path).output().ok()?;
    assert!(said.status.success(), "{said:?}");
    Some(String::from_utf8_lossy(&said.stdout).lines().map(str::to_owned).collect())
}

/// Checks that IP and UDP checksums are right, and says where the datagram goes.
pub fn destination(bytes: &[u8]) -> String {
    let sliced = SlicedPacket::from_ethernet(bytes).expect("a frame");
    let Some(etherparse::NetSlice::Ipv4(ip)) = &sliced.net else { panic!("no IPv4") };
    let header = ip.header().to_header();
    assert_eq!(header.header_checksum, header.calc_header_checksum());
    let Some(TransportSlice::Udp(udp)) = &sliced.transport else { panic!("no UDP") };
    let sum = udp.to_header().calc_checksum_ipv4(&header, udp.payload()).expect("it is short");
    assert_eq!(udp.checksum(), sum);
    format!("{}:{}", header.destination.map(|b| b.to_string()).join("."), udp.destination_port())
}

#[test]
fn what_a_rule_takes_is_in_the_file_as_it_came_and_its_copies_as_they_went() {
    let site = site();
    let running = site.start();
    let Frames { itch, .. } = frames();
    let (ended, ports, packets) = captured(&site, &["--rule", "itch", "--count", "20"]);
    assert_eq!((ports, packets.len()), (vec!["feed".to_owned(), "desks".to_owned()], 20));
    assert!(ended.stderr.contains("20 packets captured"), "{}", ended.stderr);
    for packet in &packets {
        assert_eq!((&*packet.port, &*packet.comment, packet.way), ("feed", "rule=itch", Some(1)));
        assert_eq!((&packet.bytes, packet.len as usize), (&itch.bytes(), itch.bytes().len()));
    }
    match tcpdump(&site.instance.path("a.pcapng")) {
        Some(lines) => {
            assert_eq!(lines.len(), 20, "{lines:?}");
            assert!(lines.iter().all(|line| line.contains("> 239.1.1.1.5001: UDP")), "{lines:?}");
        }
        None => eprintln!("not judged by tcpdump: it is not installed"),
    }
    let (_, _, copies) = captured(&site, &["--receiver", "desk", "--rule", "itch", "-c", "30"]);
    assert_eq!(copies.len(), 30);
    for copy in &copies {
        assert_eq!((&*copy.port, copy.way), ("desks", Some(2)));
        assert_eq!(destination(&copy.bytes), "239.2.2.1:5001");
        let begins = "rule=itch output=desk/239.2.2.1 waited_ns=";
        assert!(copy.comment.starts_with(begins), "{}", copy.comment);
    }
    // Both rules' copies, each once in a while.
    let (_, _, copies) = captured(&site, &["--receiver", "desk", "-c", "400"]);
    for wanted in ["239.2.2.1:5001", "239.2.2.3:5001"] {
        assert!(copies.iter().any(|copy| destination(&copy.bytes) == wanted), "{wanted}");
    }
    site.stop(running);
}

#[test]
fn what_ends_early_is_in_the_file_with_its_reason() {
    let site = site();
    let running = site.start();
    let Frames { stray, wrong, .. } = frames();
    let (_, _, packets) = captured(&site, &["--dropped", "no_rule,ip_checksum", "-c", "100"]);
    let of = |reason: &str| -> Vec<_> {
        packets.iter().filter(|p| p.comment == format!("dropped={reason}")).collect()
    };
    let (no_rule, ip_checksum) = (of("no_rule"), of("ip_checksum"));
    assert_eq!(no_rule.len() + ip_checksum.len(), 100);
    assert!(no_rule.len() > 10 && no_rule.iter().all(|p| p.bytes == stray.bytes()));
    assert!(ip_checksum.len() > 10 && ip_checksum.iter().all(|p| p.bytes == wrong));
    // All that must hold holds: nothing that ends so has a rule.
    let args = ["--dropped", "no_rule", "--rule", "itch", "--for", "300ms"];
    let (ended, _, packets) = captured(&site, &args);
    assert!(packets.is_empty() && ended.stderr.contains("0 packets captured"), "{ended:?}");
    assert!(ended.stderr.contains("as long as was asked for"), "{ended:?}");
    site.stop(running);
}

#[test]
fn a_sample_and_a_snap_are_what_was_asked_for() {
    let site = site();
    let running = site.start();
    let args = ["-i", "feed", "-Q", "in", "-s", "60", "--sample", "16", "-c", "50"];
    let (ended, _, packets) = captured(&site, &args);
    assert_eq!(packets.len(), 50);
    for packet in &packets {
        assert_eq!(packet.bytes.len(), 60.min(packet.len as usize));
        assert_eq!((&*packet.port, packet.way), ("feed", Some(1)));
    }
    assert!(ended.stderr.contains("(one in 16 taken)"), "{}", ended.stderr);
    let matched = ended.stderr.split(" matched").next().and_then(|said| said.rsplit(' ').next());
    let matched: u64 = matched.unwrap_or("").replace(',', "").parse().expect("a number");
    assert!(matched > 49 * 16, "{}", ended.stderr);
    site.stop(running);
}

/// `sh` runs a pipe of the binary and tcpdump.
#[test]
fn tcpdump_reads_the_stream_as_it_comes() {
    if Command::new("tcpdump").arg("--version").output().is_err() {
        eprintln!("skipped: tcpdump is not installed");
        return;
    }
    let site = site();
    let running = site.start();
    let binary = env!("CARGO_BIN_EXE_punctual");
    let pipe = |capture: &str, tcpdump: &str| {
        let script = format!("{binary} capture -w - {capture} | tcpdump -nr - {tcpdump}");
        let ended = site.instance.spawn(
            &["-c", &script],
            Command::new("sh")
                .envs(site.command().get_envs().filter_map(|(key, value)| Some((key, value?)))),
        );
        ended.end()
    };
    let ended = pipe("--rule itch -c 25", "");
    assert_eq!((ended.code, ended.stdout.lines().count()), (Some(0), 25), "{ended:?}");
    // Who has seen enough ends it: nothing else would for a minute.
    let ended = pipe("--for 60s", "-c 5");
    assert_eq!((ended.code, ended.stdout.lines().count()), (Some(0), 5), "{ended:?}");
    // A file in its place for the next one.
    assert_eq!(captured(&site, &["-c", "3"]).2.len(), 3);
    site.stop(running);
}

/// Waits until a capture has begun, as its client says.
fn begun(client: &mut Running) {
    while !client.stderr().contains("capturing on") {
        assert!(client.is_running(), "{}", client.stderr());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_signal_ends_it_whole_and_a_client_that_vanishes_ends_it_too() {
    let site = site();
    let running = site.start();
    let args = ["capture", "--sample", "50", "-w", "a.pcapng", "--for", "60s"];
    let start = || {
        let mut client = site.instance.spawn(&args, &mut site.command());
        begun(&mut client);
        client
    };
    let client = start();
    let busy = site.ask(&["capture", "-w", "b.pcapng"]);
    assert_eq!(busy.code, Some(69), "{busy:?}");
    assert!(busy.stderr.contains("under way (everything, one in 50)"), "{busy:?}");
    assert!(!site.instance.path("b.pcapng").exists());
    while std::fs::metadata(site.instance.path("a.pcapng")).map_or(0, |file| file.len()) < 9_000 {}
    client.signal(libc::SIGINT);
    let ended = client.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr.contains("its client has had enough"), "{ended:?}");
    let (_, packets) = read(&site.instance.path("a.pcapng"));
    let said = ended.stderr.lines().last().expect("a line").replace(',', "");
    assert!(said.starts_with(&format!("{} packets captured", packets.len())), "{said}");

    let client = start();
    client.signal(libc::SIGKILL);
    assert_eq!(client.end().code, None);
    // One that begins, and reads nothing: its capture ends with it.
    let mut silent = site.stream();
    let request = br#"{"version": 1, "command": "capture"}"#;
    silent.write_all(&(request.len() as u32).to_be_bytes()).expect("it takes a frame");
    silent.write_all(request).expect("it takes a frame");
    let before = number(&site.json("ledger")["sent"]);
    while number(&site.json("ledger")["sent"]) < before + 50_000 {}
    for pool in site.json("pools").as_array().expect("a list") {
        assert!(number(&pool["in_use"]) <= number(&pool["held"]) + 1_024, "{pool}");
    }
    let busy = site.ask(&["capture", "-w", "b.pcapng"]);
    assert_eq!(busy.code, Some(69), "{busy:?}");
    let mut header = [0; 4];
    silent.read_exact(&mut header).expect("an answer");
    drop::<UnixStream>(silent);
    assert_eq!(captured(&site, &["-c", "3"]).2.len(), 3);
    site.stop(running);
}

#[test]
fn a_reload_goes_on_unless_it_takes_the_rule_away() {
    let site = site();
    let running = site.start();
    let start = |rule: &str, file: &str| {
        let args = ["capture", "--rule", rule, "-w", file, "--for", "60s", "--sample", "99"];
        let mut client = site.instance.spawn(&args, &mut site.command());
        begun(&mut client);
        client
    };
    // Its warnings are not for this test.
    let reload = || assert_eq!(site.ask(&["reload"]).code, Some(0));
    let config = site.instance.path("config.toml");
    let text = std::fs::read_to_string(&config).expect("there is one");
    let rule = text.find("[[rule]]\n                name = \"news\"").expect("it has the rule");
    let client = start("itch", "a.pcapng");
    std::fs::write(&config, &text[..rule]).expect("it can be written");
    reload();
    let size = || std::fs::metadata(site.instance.path("a.pcapng")).map_or(0, |file| file.len());
    let before = size();
    while size() < before + 9_000 {}
    client.signal(libc::SIGTERM);
    assert_eq!(client.end().code, Some(0));
    std::fs::write(&config, &text).expect("it can be written");
    reload();
    let client = start("news", "b.pcapng");
    std::fs::write(&config, &text[..rule]).expect("it can be written");
    reload();
    let ended = client.end();
    assert_eq!(ended.code, Some(69), "{ended:?}");
    assert!(ended.stderr.contains("rule `news` was removed by a reload"), "{ended:?}");
    let (_, packets) = read(&site.instance.path("b.pcapng"));
    assert!(packets.iter().all(|packet| packet.comment == "rule=news"));
    site.stop(running);
}

#[test]
fn what_cannot_be_captured_is_told_and_the_end_of_the_instance_ends_it() {
    let site = site();
    let none = site.ask(&["capture", "-w", "a.pcapng"]);
    assert_eq!(none.code, Some(69), "{none:?}");
    let mut running = site.start();
    for (args, code, part) in [
        (&["--rule", "itsh", "-w", "a"][..], 69, "did you mean `itch`?"),
        (&["--receiver", "desks", "-w", "a"], 69, "did you mean `desk`?"),
        (&["--port", "fed", "-w", "a"], 69, "did you mean `feed`?"),
        (&["--dropped", "no_rul", "-w", "a"], 69, "did you mean `no_rule`?"),
        (&["--receiver", "desk", "-Q", "in", "-w", "a"], 69, "ask for its copies"),
        (&["-w", "no/such/place"], 69, "choose a writable place"),
        (&["--rule", "itch"], 64, "--write"),
        (&["-Q", "in", "--dropped", "any", "-w", "a"], 64, "cannot be used with"),
    ] {
        let ended = site.ask(&[&["capture"], args].concat());
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert!(ended.stderr.contains(part), "{part}: {ended:?}");
        assert!(!site.instance.path("a").exists(), "{args:?} leaves a file");
    }
    assert!(running.is_running());
    let args = ["capture", "--rule", "news", "-w", "c.pcapng", "--for", "60s", "--sample", "9"];
    let mut client = site.instance.spawn(&args, &mut site.command());
    begun(&mut client);
    site.stop(running);
    let ended = client.end();
    assert_eq!(ended.code, Some(69), "{ended:?}");
    assert!(ended.stderr.contains("the instance has ended"), "{ended:?}");
    let (_, packets) = read(&site.instance.path("c.pcapng"));
    assert!(packets.iter().all(|packet| packet.bytes == frames().news.bytes()));
}
