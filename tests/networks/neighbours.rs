//! Unicast to hosts whose MAC is asked for: kernels answer, fall silent, and forward; liars and
//! floods change nothing.

use std::net::{IpAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::binary::{named, number, sum};
use crate::forged::{self, Claim};
use crate::frames::{Frame, v4, v6};
use crate::netns::{Net, SILENCE, Space, set};
use crate::raw::Raw;
use crate::relay::{PATIENCE, Relay, until};

/// How long behind its answer a receiver waits for its stream at most, and how often that is tried.
const LATE_MAX: Duration = Duration::from_millis(100);
const LATE_TRIES: usize = 3;
/// Packets of each IP version that are sent before the answers are read.
const ROUND: u32 = 8;

/// Bytes that a receiver's socket may hold: some seconds of packets.
const RECEIVE_BUFFER: i32 = 16 << 20;

/// A source, the relay, and hosts on two of its ports; each in a namespace.
pub struct Site {
    pub relay: Relay,
    space: Space,
    pub hosts: [Space; 2],
    /// The source's.
    pub wire: Raw,
    /// The number of the next packet.
    next: u32,
    /// The configuration.
    pub text: String,
    _source: Space,
}

/// The address of the host at a port, of this IP version.
pub fn host(port: usize, version: u8) -> IpAddr {
    let text = if version == 4 { format!("10.1.{port}.2") } else { format!("fd01:{port}::2") };
    text.parse().expect("an address")
}

/// The UDP port that copies of this IP version go to.
pub fn udp_port(version: u8) -> u16 {
    6_000 + u16::from(version)
}

pub fn packet(number: u32, version: u8) -> Frame {
    let frame = if version == 4 { v4() } else { v6() };
    frame.with(|f| f.payload = [number.to_be_bytes(), [7; 4], [7; 4], [7; 4], [7; 4]].concat())
}

impl Site {
    /// Nothing runs, and the hosts have no address.
    pub fn new(net: &Net) -> Self {
        let (source, space) = (net.space(), net.space());
        // Nothing of the kernel's own between us and the hosts.
        for scope in ["all", "default"] {
            space.sysctl(&format!("net/ipv6/conf/{scope}/disable_ipv6"), "1");
        }
        source.veth("src", &space, "in");
        let hosts = [0, 1].map(|port| {
            let host = net.space();
            space.veth(&format!("out{port}"), &host, "host");
            host
        });
        let wire = Raw::open(&source, "src");
        let (relay, text) = (Relay::unset(), String::new());
        Self { relay, space, hosts, wire, next: 0, text, _source: source }
    }

    /// Starts the relay; by port, a destination of each IP version and more keys.
    fn start(&mut self, destinations: [[IpAddr; 2]; 2], more: [&str; 2]) {
        let device = |name: &str| {
            format!("[[port]]\nname = \"{name}\"\ndevice = \"{name}\"\ndriver = \"af_packet\"\n")
        };
        let mut text = device("in");
        for (port, more) in more.iter().enumerate() {
            text += &device(&format!("out{port}"));
            text += &format!("address = [\"10.1.{port}.1/24\", \"fd01:{port}::1/64\"]\n");
            text += &format!("{more}\n[[receiver]]\nname = \"host{port}\"\nport = \"out{port}\"\n");
        }
        for (name, version, group) in [("four", 4, "239.1.1.1"), ("six", 6, "ff05::1:1")] {
            let output = |port: usize| {
                let destination = destinations[port][usize::from(version == 6)];
                format!(
                    "{{ receiver = \"host{port}\", destination = \"{destination}\", source = \"port\", \
                     udp_port = {} }},\n",
                    udp_port(version)
                )
            };
            text += &format!(
                "[[rule]]\nname = \"{name}\"\n\
                 input = {{ port = \"in\", destination = \"{group}\", udp_port = 5001 }}\n\
                 output = [{}{}]\n",
                output(0),
                output(1)
            );
        }
        self.relay.configure(&text);
        self.relay.start(&self.space);
        self.text = text;
    }

    /// As [`Site::start`], to the hosts on the link.
    pub fn start_on_link(&mut self, more: &str) {
        self.start([0, 1].map(|port| [4, 6].map(|version| host(port, version))), [more; 2]);
    }

    pub fn appear(&self, port: usize, version: u8) {
        let (address, len) = (host(port, version), if version == 4 { 24 } else { 64 });
        let nodad = if version == 4 { "" } else { " nodad" };
        self.hosts[port].ip(&format!("address add {address}/{len} dev host{nodad}"));
    }

    /// The address of the relay's port.
    fn address(&self, port: usize, version: u8) -> IpAddr {
        let text = if version == 4 { format!("10.1.{port}.1") } else { format!("fd01:{port}::1") };
        text.parse().expect("an address")
    }

    /// A socket at a host, whether it has an address or not.
    pub fn receiver(&self, port: usize, version: u8) -> UdpSocket {
        receiver(&self.hosts[port], version)
    }

    /// Sends a packet of each IP version.
    fn send(&mut self) {
        [4, 6].iter().for_each(|&version| self.wire.send(&packet(self.next, version).bytes()));
        self.next += 1;
    }

    /// Sends a round, which must come to these.
    fn round(&mut self, to: &[UdpSocket]) {
        let first = self.next;
        (0..ROUND).for_each(|_| self.send());
        for (socket, n) in to.iter().flat_map(|socket| (first..self.next).map(move |n| (socket, n)))
        {
            assert_eq!(received(socket), Some(n), "lost, doubled or out of order");
        }
    }

    /// What is shown of a neighbour.
    pub fn neighbour(&self, address: IpAddr) -> Value {
        let shown = self.relay.show("neighbours");
        let rows = shown.as_array().expect("a list").iter();
        let is_it = |row: &&Value| row["address"] == address.to_string();
        rows.clone().find(is_it).unwrap_or_else(|| panic!("no {address} in {shown}")).clone()
    }

    /// Waits until all these are in this state, and sends rounds to those that are there meanwhile.
    fn until(&mut self, state: &str, of: [IpAddr; 2], there: &[UdpSocket]) {
        let start = Instant::now();
        while of.iter().any(|&address| self.neighbour(address)["state"] != state) {
            assert!(start.elapsed() < PATIENCE, "not {state}: {}", self.relay.show("neighbours"));
            self.round(there);
        }
    }

    /// Ends it; returns its report.
    pub fn end(&mut self) -> Value {
        self.relay.stop()
    }
}

fn receiver(space: &Space, version: u8) -> UdpSocket {
    let any = if version == 4 { "0.0.0.0" } else { "::" };
    let address = (any.parse::<IpAddr>().expect("an address"), udp_port(version));
    let socket = space.within(|| UdpSocket::bind(address).expect("nobody else is here"));
    set(&socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &RECEIVE_BUFFER);
    socket.set_read_timeout(Some(SILENCE)).expect("it is not zero");
    socket
}

/// The number of the next datagram; none where none comes.
fn received(socket: &UdpSocket) -> Option<u32> {
    let mut bytes = [0; 2_048];
    let len = socket.recv(&mut bytes).ok()?;
    assert_eq!(bytes[4..len], [7; 16], "it is not what was sent");
    bytes.first_chunk().map(|number| u32::from_be_bytes(*number))
}

/// What is there.
pub fn all_of(socket: &UdpSocket) -> Vec<u32> {
    socket.set_nonblocking(true).expect("a socket");
    std::iter::from_fn(|| received(socket)).collect()
}

/// The output of a rule to a port.
pub fn output<'a>(report: &'a Value, rule: &str, port: &str) -> &'a Value {
    let outputs = named(&report["rules"], rule)["outputs"].as_array().expect("a list");
    outputs.iter().find(|output| output["port"] == port).expect("it is there")
}

/// Copies that were not sent because nobody was there; none for anything else.
fn not_there(output: &Value) -> u64 {
    let dropped = output["dropped"].as_object().expect("by reason");
    let known = ["unresolved", "breaker_open"];
    assert!(dropped.keys().all(|reason| known.contains(&&**reason)), "{output}");
    sum(&output["dropped"])
}

/// All of a port's copies were sent.
fn lost_nothing(report: &Value, port: &str, packets: u32) {
    for rule in ["four", "six"] {
        let output = output(report, rule, port);
        let counts = ["copies", "sent"].map(|key| number(&output[key]));
        assert_eq!(counts, [u64::from(packets); 2], "{output}");
    }
}

pub fn a_receiver_that_comes_late_gets_its_stream() {
    // A host at work may hold up anyone once; what waits by itself does so each time.
    let mut took = vec![];
    while took.len() < LATE_TRIES && took.iter().all(|took| *took > LATE_MAX) {
        took.push(a_receiver_comes_late());
    }
    assert!(took.iter().any(|took| *took <= LATE_MAX), "never within {LATE_MAX:?}: {took:?}");
}

/// Returns how long behind its answer it got its stream, of both IP versions the longer.
fn a_receiver_comes_late() -> Duration {
    let mut longest = Duration::ZERO;
    let net = Net::new();
    let mut site = Site::new(&net);
    [4, 6].iter().for_each(|&version| site.appear(1, version));
    let there = [4, 6].map(|version| site.receiver(1, version));
    let late = [4, 6].map(|version| site.receiver(0, version));
    let mac = Value::from(site.hosts[0].mac("host"));
    site.start_on_link("");
    site.until("silent", [4, 6].map(|version| host(0, version)), &there);
    for (at, version) in [4, 6].into_iter().enumerate() {
        let heard = Raw::open(&site.space, "out0");
        let done = AtomicBool::new(false);
        let (answered, came) = std::thread::scope(|scope| {
            let answered = scope.spawn(|| {
                let is_answer = |bytes: &[u8]| forged::answers_for(bytes, host(0, version));
                heard.find(PATIENCE, |seen| is_answer(&seen.bytes)).expect("it answers");
                Instant::now()
            });
            let came = scope.spawn(|| {
                late[at].set_read_timeout(Some(PATIENCE)).expect("it is not zero");
                let first = received(&late[at]).expect("the stream comes");
                done.store(true, Ordering::Relaxed);
                (first, Instant::now())
            });
            site.appear(0, version);
            while !done.load(Ordering::Relaxed) && !came.is_finished() {
                site.send();
                std::thread::sleep(Duration::from_millis(2));
            }
            (answered.join().expect("it ends"), came.join().expect("it ends"))
        });
        let (first, came) = came;
        let took = came.saturating_duration_since(answered);
        println!("IPv{version}: {} us behind the answer", took.as_micros());
        longest = longest.max(took);
        let last = site.next - 1;
        for n in first + 1..=last {
            assert_eq!(received(&late[at]), Some(n), "lost, doubled or out of order");
        }
        // The others' copies of meanwhile.
        there.iter().for_each(|socket| while received(socket).expect("it comes") < last {});
    }
    for version in [4, 6] {
        let row = site.neighbour(host(0, version));
        assert_eq!((&row["state"], &row["mac"]), (&"reachable".into(), &mac), "{row}");
    }
    let report = site.end();
    lost_nothing(&report, "out1", site.next);
    for (rule, version) in [("four", 4), ("six", 6)] {
        let output = output(&report, rule, "out0");
        let [copies, sent] = ["copies", "sent"].map(|key| number(&output[key]));
        // What did not come is counted.
        let dropped = not_there(output);
        assert_eq!((copies, sent + dropped), (site.next.into(), copies), "IPv{version}");
        assert!(dropped > 0 && sent > 0, "{output}");
    }
    longest
}

pub fn a_receiver_that_vanishes_costs_the_others_nothing() {
    let net = Net::new();
    let mut site = Site::new(&net);
    let each = || [0, 1].into_iter().flat_map(|port| [4, 6].map(|version| (port, version)));
    each().for_each(|(port, version)| site.appear(port, version));
    let sockets: Vec<_> = each().map(|(port, version)| site.receiver(port, version)).collect();
    let (goes, stays) = sockets.split_at(2);
    site.start_on_link("reachable = \"1s\"");
    site.round(&sockets);
    // Longer than an answer is believed: it is asked again, and notices nothing.
    let asked = |site: &Site| number(&site.neighbour(host(0, 4))["answers"]);
    let start = Instant::now();
    while asked(&site) < 3 {
        assert!(start.elapsed() < PATIENCE, "it is not asked again");
        site.round(&sockets);
    }
    site.hosts[0].ip("address flush dev host");
    let gone = [4, 6].map(|version| host(0, version));
    site.until("silent", gone, stays);
    let breaker =
        |site: &Site, host: &str| named(&site.relay.show("receivers"), host)["breaker"].clone();
    until("the breaker to open", || breaker(&site, "host0") == "open");
    assert_eq!(breaker(&site, "host1"), "closed");
    site.round(stays);
    goes.iter().for_each(|socket| drop(all_of(socket)));
    [4, 6].iter().for_each(|&version| site.appear(0, version));
    site.until("reachable", gone, stays);
    let start = Instant::now();
    // From some moment on everything comes again.
    for socket in goes {
        socket.set_nonblocking(false).expect("a socket");
        while received(socket).is_none() {
            assert!(start.elapsed() < PATIENCE, "it does not come back");
            site.round(stays);
        }
    }
    goes.iter().for_each(|socket| drop(all_of(socket)));
    goes.iter().for_each(|socket| socket.set_nonblocking(false).expect("a socket"));
    site.round(&sockets);
    assert_eq!(breaker(&site, "host0"), "closed");
    let report = site.end();
    lost_nothing(&report, "out1", site.next);
    let opened = |host: &str| number(&named(&report["receivers"], host)["breaker_opened"]);
    assert_eq!(["host0", "host1"].map(opened), [1, 0]);
    for rule in ["four", "six"] {
        let output = output(&report, rule, "out0");
        assert!(not_there(output) > 0, "{output}");
    }
}

pub fn what_is_not_on_the_link_goes_by_way_of_a_router() {
    let net = Net::new();
    let mut site = Site::new(&net);
    let far = net.space();
    let router = &site.hosts[0];
    router.veth("far", &far, "far");
    router.sysctl("net/ipv4/ip_forward", "1");
    router.sysctl("net/ipv6/conf/all/forwarding", "1");
    // The gateway of IPv4, who a route goes by, and the gateway of IPv6.
    for address in ["10.1.0.254/24", "10.1.0.253/24", "fd01:0::fe/64"] {
        router.ip(&format!("address add {address} dev host"));
    }
    for (near, there) in [("10.8.0.1/24", "10.8.0.2/24"), ("fd08::1/64", "fd08::2/64")] {
        router.ip(&format!("address add {near} dev far"));
        far.ip(&format!("address add {there} dev far"));
    }
    far.ip("address add 10.9.0.2/32 dev far");
    router.ip("route add 10.9.0.2/32 dev far");
    far.ip("route add 10.1.0.0/24 via 10.8.0.1");
    far.ip("-6 route add fd01:0::/64 via fd08::1");
    [4, 6].iter().for_each(|&version| site.appear(1, version));
    let sockets = [receiver(&far, 4), receiver(&far, 6), site.receiver(1, 4), site.receiver(1, 6)];
    let to = |text: &str| text.parse::<IpAddr>().expect("an address");
    let ways = "gateway = [\"10.1.0.254\", \"fd01:0::fe\"]\n\
                route = [{ to = \"10.8.0.0/16\", via = \"10.1.0.253\" }]";
    let near = [host(1, 4), host(1, 6)];
    site.start([[to("10.8.0.2"), to("fd08::2")], near], [ways, ""]);
    site.round(&sockets);
    let known = |site: &Site, address: &str| site.neighbour(to(address))["state"] == "reachable";
    assert!(known(&site, "10.1.0.253") && known(&site, "fd01::fe"));
    // Another destination, which the route does not hold: by way of the gateway.
    let text = site.text.replace("10.8.0.2", "10.9.0.2");
    site.relay.reload(&text);
    site.round(&sockets);
    assert!(known(&site, "10.1.0.254"));
    let report = site.end();
    lost_nothing(&report, "out1", site.next);
    assert_eq!(sum(&report["ledger"]["dropped_after"]), 0, "{}", report["ledger"]);
}

pub fn liars_and_floods_change_nothing() {
    let net = Net::new();
    let mut site = Site::new(&net);
    let each = || [0, 1].into_iter().flat_map(|port| [4, 6].map(|version| (port, version)));
    each().for_each(|(port, version)| site.appear(port, version));
    let sockets: Vec<_> = each().map(|(port, version)| site.receiver(port, version)).collect();
    let mac = site.hosts[0].mac("host");
    let entry = |version| format!("{{ address = \"{}\", mac = \"{mac}\" }}", host(0, version));
    // The first port's are written, those of the other are asked.
    let more = format!("reachable = \"1s\"\nneighbour = [{}, {}]", entry(4), entry(6));
    site.start_on_link(&more);
    site.round(&sockets);
    let ours = [0, 1].map(|port| forged::mac(&site.space.mac(&format!("out{port}"))));
    let wires = [0, 1].map(|port| Raw::open(&site.hosts[port], "host"));
    for version in [4, 6] {
        let claim = Claim { to: ours[0], address: host(0, version), port: 0 };
        until("the lie to be heard", || {
            claim.all().iter().for_each(|frame| wires[0].send(frame));
            number(&site.neighbour(host(0, version))["refused"]) > 0
        });
    }
    for round in 0..150 {
        for (port, wire) in wires.iter().enumerate() {
            let claim = |address| Claim { to: ours[port], address, port };
            // Who is not what its headers say, and strangers, more than are taken.
            for n in 0..32_u8 {
                let stranger = [format!("10.1.{port}.{}", 100 + n), format!("fd01:{port}::{n}00")];
                for address in stranger {
                    let address = address.parse().expect("an address");
                    claim(address).all().iter().for_each(|frame| wire.send(frame));
                }
            }
            for version in [4, 6] {
                let broken = claim(host(port, version)).broken();
                wire.send(&broken[round % broken.len()]);
            }
        }
        site.round(&sockets);
        std::thread::sleep(Duration::from_millis(20));
    }
    for version in [4, 6] {
        let [fixed, asked] = [0, 1].map(|port| site.neighbour(host(port, version)));
        assert_eq!((&fixed["state"], &fixed["mac"]), (&"static".into(), &mac.clone().into()));
        assert_eq!(asked["mac"], site.hosts[1].mac("host"), "{asked}");
        assert_ne!(asked["state"], "silent");
        assert_eq!(number(&asked["changes"]), 0, "{asked}");
    }
    assert_eq!(site.relay.show("neighbours").as_array().map(Vec::len), Some(4), "strangers");
    let report = site.end();
    for port in 0..2 {
        lost_nothing(&report, &format!("out{port}"), site.next);
        let shown = named(&report["ports"], &format!("out{port}"));
        assert!(number(&shown["punt_full"]) > 0, "{shown}");
    }
}

pub fn a_receiver_that_refuses_is_told_of() {
    let net = Net::new();
    let mut site = Site::new(&net);
    let each = || [0, 1].into_iter().flat_map(|port| [4, 6].map(|version| (port, version)));
    each().for_each(|(port, version)| site.appear(port, version));
    // Nobody has a socket at the first: its kernel says so.
    let there = [4, 6].map(|version| site.receiver(1, version));
    site.start_on_link("");
    let told = |site: &Site, port: &str| {
        let report = serde_json::json!({ "rules": site.relay.show("rules") });
        ["four", "six"].map(|rule| number(&output(&report, rule, port)["unreachable"]))
    };
    let start = Instant::now();
    while told(&site, "out0").contains(&0) {
        assert!(start.elapsed() < PATIENCE, "no word of it: {}", site.relay.show("ports"));
        site.round(&there);
    }
    // What quotes nothing of ours, and what is broken, says nothing of the other.
    let ours = [0, 1].map(|port| forged::mac(&site.space.mac(&format!("out{port}"))));
    let wires = [0, 1].map(|port| Raw::open(&site.hosts[port], "host"));
    for version in [4, 6] {
        let refusal = |port: usize| forged::Refusal {
            to: ours[port],
            host: host(1, version),
            relay: site.address(1, version),
            udp_port: udp_port(version),
        };
        refusal(1).lies().iter().for_each(|frame| wires[1].send(frame));
        // As it would be true, but where that output does not send.
        wires[0].send(&refusal(0).frame());
    }
    site.round(&there);
    let is_told = |site: &Site| {
        let alerts = site.relay.show("alerts");
        let alerts = alerts.as_array().expect("a list").clone();
        alerts.iter().any(|alert| alert["kind"] == "unreachable")
    };
    until("the alert", || is_told(&site));
    assert_eq!(told(&site, "out1"), [0; 2]);
    // And a true one, so that the lies were not refused for something else.
    for version in [4, 6] {
        let refusal = forged::Refusal {
            to: ours[1],
            host: host(1, version),
            relay: site.address(1, version),
            udp_port: udp_port(version),
        };
        wires[1].send(&refusal.frame());
    }
    until("it to be heard", || told(&site, "out1") == [1; 2]);
    let report = site.end();
    ["out0", "out1"].iter().for_each(|port| lost_nothing(&report, port, site.next));
}
