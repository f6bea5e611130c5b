//! Bundles (`bundle = true`), judged by the kernel that cuts them: every datagram arrives as it was
//! sent, whatever is long or wrong goes alone.

use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::ops::Range;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::binary::{named, number};
use crate::common::dies_with_us;
use crate::frames::{Checksum, Frame, v4};
use crate::netns::{Net, receive};
use crate::raw::{Raw, Seen};
use crate::relay::{PATIENCE, until};
use crate::site::{Desk, GROUP, SOURCE, Site, UDP_PORT, relay_address};

/// Datagrams that are under way at once.
const WINDOW: u32 = 64;
/// The longest frame of an interface with an MTU of 1,500.
const FRAME_MAX: usize = 1_514;
/// Times that a port announces its address.
const ANNOUNCED: u64 = 2;

/// The number, and bytes that follow from it: runs of one length, now and then another.
fn payload(number: u32) -> Vec<u8> {
    let len = match number % 23 {
        7 => 1_472,
        8 => 4,
        15 => 150,
        _ => 200,
    };
    let mut bytes = number.to_be_bytes().to_vec();
    bytes.resize(len, number as u8);
    bytes
}

/// A source, a relay and two desks, and what they have seen.
struct Feed {
    site: Site,
    sender: UdpSocket,
    receivers: [(Desk, UdpSocket); 2],
    wires: [Raw; 2],
    /// The number of the next datagram.
    next: u32,
    /// The longest frame that each desk's interface has seen, in bytes.
    longest: [usize; 2],
}

impl Feed {
    /// Both ports out bundle; `prepare` sees the site before the relay starts.
    fn start(net: &Net, driver: &str, prepare: impl FnOnce(&Site)) -> Self {
        let mut site = Site::new(net, 2);
        prepare(&site);
        site.outs = "bundle = true\n";
        let desks = [0, 1].map(|port| Desk { port, group: 0 });
        let receivers = desks.map(|desk| (desk, site.receiver(desk)));
        site.start(driver, &desks, "rx_checksum = \"complete\"", "");
        let wires = [0, 1].map(|desk| Raw::open(&site.desks[desk], "desk"));
        let sender = site.source.sender(SOURCE);
        Self { site, sender, receivers, wires, next: 0, longest: [0; 2] }
    }

    /// Sends so many datagrams as are under way at once.
    fn send(&mut self) -> Range<u32> {
        let numbers = self.next..self.next + WINDOW;
        self.next = numbers.end;
        for n in numbers.clone() {
            self.sender.send_to(&payload(n), (GROUP, UDP_PORT)).expect("it is sent");
        }
        numbers
    }

    /// All of them must come, in order and as they were.
    fn receive(&mut self, numbers: Range<u32>) {
        for (desk, receiver) in &self.receivers {
            for n in numbers.clone() {
                let (bytes, from) = receive(receiver).expect("it arrives");
                assert_eq!((bytes, from), (payload(n), relay_address(desk.port).into()), "{n}");
            }
        }
        for (wire, longest) in self.wires.iter().zip(&mut self.longest) {
            let seen = std::iter::from_fn(|| wire.receive(Duration::ZERO));
            *longest = seen.map(|seen| seen.bytes.len()).max().unwrap_or_default().max(*longest);
        }
    }

    /// Sends windows until one came in a bundle to `desk`, and 16 at least.
    fn relay_until_bundled(&mut self, desk: usize) {
        let start = Instant::now();
        // How many come together is for the host to say.
        while self.next < 16 * WINDOW || self.longest[desk] <= FRAME_MAX {
            assert!(start.elapsed() < PATIENCE, "nothing was bundled: {}", self.site.show("ports"));
            let numbers = self.send();
            self.receive(numbers);
        }
    }

    /// Ends the relay: nothing was lost, nothing wrong, and nothing was heard that it sent itself.
    fn end(&mut self) {
        for desk in &self.site.desks {
            let counters = ["InErrors", "InCsumErrors"].map(|counter| desk.counted("Udp", counter));
            assert_eq!((counters, desk.counted("Ip", "InHdrErrors")), ([0; 2], 0));
        }
        let report = self.site.end();
        assert_eq!(report["ledger"]["dropped_before"]["own_source"].as_u64().unwrap_or(0), 0);
        for port in ["out0", "out1"] {
            let port = named(&report["ports"], port);
            let found = ["sent", "tx_errors"].map(|key| number(&port[key]));
            assert_eq!((found, &port["tx_chain"]), ([self.next.into(), 0], &"native".into()));
        }
    }
}

fn every_datagram_arrives(driver: &str) {
    let net = Net::new();
    net.needs("ethtool");
    // One interface cannot cut: the kernel does it in front of it.
    let prepare = |site: &Site| {
        site.relay.run("ethtool", &["-K", "out1", "tx-udp-segmentation", "off"]);
    };
    let mut feed = Feed::start(&net, driver, prepare);
    feed.relay_until_bundled(0);
    assert!(feed.longest[1] <= FRAME_MAX, "{:?}", feed.longest);
    feed.end();
}

pub fn every_datagram_arrives_over_af_packet() {
    every_datagram_arrives("af_packet");
}

pub fn every_datagram_arrives_over_af_xdp() {
    every_datagram_arrives("af_xdp");
}

/// A kernel that does not know how to cut (Linux before 6.2) refuses the first bundle of a port:
/// it is sent one by one, and so is all that comes later. Other ports go on as they are.
pub fn a_kernel_that_refuses_bundles_gets_each_by_itself() {
    let net = Net::new();
    net.needs("strace");
    let mut feed = Feed::start(&net, "af_packet", |_| {});
    // What ports say of themselves is out of the way: it goes by the same socket.
    let announced = |feed: &Feed, port| {
        number(&named(&feed.site.show("ports"), port)["originated"]) >= ANNOUNCED
    };
    until("announcements", || ["out0", "out1"].iter().all(|port| announced(&feed, port)));
    let process = feed.site.punctual.running().id();
    let log = feed.site.punctual.instance.path("strace");
    let mut refuser = refuse_next(process, &log);
    // All of a window is there when the worker goes on, so that what it sends first is a bundle.
    feed.site.punctual.running().signal(libc::SIGSTOP);
    let numbers = feed.send();
    feed.site.punctual.running().signal(libc::SIGCONT);
    feed.receive(numbers);
    feed.relay_until_bundled(1);
    assert!(feed.longest[0] <= FRAME_MAX, "{:?}", feed.longest);
    feed.end();
    refuser.wait().expect("it ends with the relay");
    let log = std::fs::read_to_string(log).expect("it was written");
    let refused = log.lines().filter(|line| line.contains("EINVAL")).collect::<Vec<_>>();
    assert!(refused.len() == 1 && refused[0].contains("INJECTED"), "{refused:?}");
}

/// Has the kernel refuse the worker's next call to send, as one that does not know bundles.
fn refuse_next(process: i32, log: &Path) -> Child {
    let tasks = format!("/proc/{process}/task");
    let task = std::fs::read_dir(tasks).expect("it runs").flatten().find(|task| {
        let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        name.starts_with("rte-worker")
    });
    let task = task.expect("it has a worker").file_name();
    let mut refuser = Command::new("strace");
    let refuser = dies_with_us(&mut refuser)
        .args(["-e", "trace=sendmmsg", "-e", "inject=sendmmsg:error=EINVAL:when=1", "-o"])
        .args([log.as_os_str(), "-p".as_ref(), &task])
        .stderr(Stdio::piped());
    let mut refuser = refuser.spawn().expect("it is there");
    let mut said = String::new();
    let stderr = refuser.stderr.as_mut().expect("it is a pipe");
    BufReader::new(stderr).read_line(&mut said).expect("it says something");
    assert!(said.contains("attached"), "{said}");
    refuser
}

/// A wrong checksum stays wrong and none stays none, in the midst of others.
pub fn a_checksum_stays_what_it_is() {
    let net = Net::new();
    let mut site = Site::new(&net, 1);
    site.outs = "bundle = true\n";
    let desk = Desk { port: 0, group: 0 };
    let receiver = site.receiver(desk);
    site.start("af_packet", &[desk], "", "");
    let (source, wire) = (Raw::open(&site.source, "src"), Raw::open(&site.desks[0], "desk"));
    let checksum = |n: u32| match n % 8 {
        3 => Checksum::Off(1),
        5 => Checksum::Zero,
        _ => Checksum::Right,
    };
    let frame = |n: u32| {
        v4().with(|f: &mut Frame| {
            (f.source, f.destination) = (SOURCE.into(), GROUP.into());
            (f.udp_port, f.id, f.checksum) = (UDP_PORT, n as u16, checksum(n));
            f.payload = [&n.to_be_bytes()[..], &[7; 100]].concat();
        })
    };
    (0..256).for_each(|n| source.send(&frame(n).bytes()));
    for n in (0..256).filter(|n| n % 8 != 3) {
        let (bytes, _) = receive(&receiver).expect("it arrives");
        assert_eq!(bytes, frame(n).payload);
    }
    assert_eq!(site.desks[0].counted("Udp", "InCsumErrors"), 32);
    let has_none = |seen: &Seen| seen.bytes.get(34..).is_some_and(|udp| udp[8..12] == [0, 0, 0, 5]);
    let seen = wire.find(PATIENCE, has_none).expect("it was seen");
    assert_eq!(seen.bytes[40..42], [0, 0]);
    site.end();
}
