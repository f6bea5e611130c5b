//! What the other tests here stand on: the kernel's verdicts, and that nothing is left behind.

use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::binary::number;
use crate::common::{dies_with_us, remove_instances};
use crate::frames::{Checksum, v4};
use crate::netns::{Net, Space, receive};
use crate::raw::Raw;
use crate::relay::{Relay, until};

const GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 1, 1);
const NEAR: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const FAR: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
/// Long enough for a veth pair, however busy the host is.
const PATIENCE: Duration = Duration::from_secs(5);

/// Two namespaces with a veth pair between them, an address at each end.
fn pair(net: &Net) -> (Space, Space) {
    let (near, far) = (net.space(), net.space());
    near.veth("near", &far, "far");
    near.ip(&format!("address add {NEAR}/24 dev near"));
    far.ip(&format!("address add {FAR}/24 dev far"));
    (near, far)
}

pub fn the_kernel_judges_checksums_and_shows_tags() {
    let (near, far) = pair(&Net::new());
    let (wire, heard) = (Raw::open(&near, "near"), Raw::open(&far, "far"));
    let receiver = far.receiver(GROUP, 5000, FAR);
    let frame = |checksum, payload: &[u8]| {
        v4().with(|f| {
            (f.source, f.destination, f.udp_port) = (NEAR.into(), GROUP.into(), 5000);
            (f.checksum, f.payload) = (checksum, payload.to_vec());
        })
    };
    wire.send(&frame(Checksum::Off(1), b"wrong").bytes());
    wire.send(&frame(Checksum::Right, b"right").bytes());
    assert_eq!(receive(&receiver), Some((b"right".to_vec(), NEAR.into())));
    assert_eq!(far.counted("Udp", "InCsumErrors"), 1);

    let tagged = frame(Checksum::Right, b"tagged").with(|f| f.tags = vec![(0x8100, 0x6064)]);
    wire.send(&tagged.bytes());
    let seen = heard.find(PATIENCE, |seen| seen.bytes.ends_with(b"tagged")).expect("it arrives");
    assert_eq!(seen.bytes, tagged.bytes());
}

pub fn an_offloaded_checksum_is_not_finished() {
    let net = Net::new();
    net.needs("ethtool");
    let (near, far) = pair(&net);
    let (sender, heard) = (near.sender(NEAR), Raw::open(&far, "far"));
    for (offload, text) in [(true, b"offload on!"), (false, b"offload off")] {
        near.checksum_offload("near", offload);
        sender.send_to(text, (GROUP, 5000)).expect("it is sent");
        let seen = heard.find(PATIENCE, |seen| seen.bytes.ends_with(text)).expect("it arrives");
        assert_eq!(seen.is_unfinished, offload);
    }
}

pub fn a_program_in_a_namespace_relays_between_two_others() {
    let net = Net::new();
    let (near, space, far) = (net.space(), net.space(), net.space());
    near.veth("near", &space, "in");
    space.veth("out", &far, "far");
    near.ip(&format!("address add {NEAR}/24 dev near"));
    far.ip(&format!("address add {FAR}/24 dev far"));
    far.sysctl("net/ipv4/conf/all/rp_filter", "0");
    let (sender, receiver) = (near.sender(NEAR), far.receiver(GROUP, 5000, FAR));

    let mut relay = Relay::new(
        r#"
        [[port]]
        name = "in"
        device = "net_af_packet0,iface=in,qdisc_bypass=1"
        rx_checksum = "complete"
        [[port]]
        name = "out"
        device = "net_af_packet1,iface=out,qdisc_bypass=1"
        [[rule]]
        name = "all"
        input = { port = "in", destination = "239.1.1.1" }
        output = [{ port = "out" }]
        "#,
    );
    // TTL 1, as hosts send by default, is not for a relay that keeps the destination.
    sender.set_multicast_ttl_v4(2).expect("a socket has a TTL");
    relay.start(&space);
    for number in 0..100_u8 {
        sender.send_to(&[number; 100], (GROUP, 5000)).expect("it is sent");
        let (bytes, from) = receive(&receiver).expect("it arrives");
        assert_eq!((bytes, from), (vec![number; 100], NEAR.into()));
    }
    let report = relay.stop();
    assert_eq!(number(&report["ledger"]["sent"]), 100);
}

/// Starts a relay, says its process, and hangs.
pub fn hangs() {
    let mut relay = Relay::new("[[port]]\nname = \"out\"\ndevice = \"net_null0,no-rx=1\"\n");
    relay.start_here();
    println!("{}", relay.running().id());
    std::thread::sleep(PATIENCE * 10);
}

pub fn a_case_that_is_killed_leaves_nothing_behind() {
    let mut case = Command::new(std::env::current_exe().expect("there is /proc"));
    let mut case = dies_with_us(&mut case)
        .args(["--case", "_harness::hangs"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut said = String::new();
    let stdout = case.stdout.take().expect("it is a pipe");
    BufReader::new(stdout).read_line(&mut said).expect("it says something");
    let program = format!("/proc/{}/exe", said.trim());
    assert!(std::fs::read_link(&program).is_ok(), "{said} is no process");
    case.kill().expect("it is ours");
    case.wait().expect("it is ours");
    // A dead process that nobody has waited for has no program.
    until("the relay to end", || std::fs::read_link(&program).is_err());
    remove_instances(case.id());
    let ours = format!("punctual-e2e-{}-", case.id());
    let files = std::fs::read_dir(std::env::temp_dir()).expect("there is one").flatten();
    let is_ours = |name: &std::ffi::OsString| name.to_string_lossy().starts_with(&ours);
    assert_eq!(files.map(|file| file.file_name()).find(is_ours), None);
}

pub fn a_network_is_gone_after_a_panic() {
    let net = Net::new();
    let stays = net.space();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let goes = net.space();
        goes.veth("goes", &stays, "stays");
        assert_eq!(stays.interface("stays")["operstate"], "UP");
        panic!("a test that fails");
    }));
    assert!(panicked.is_err());
    // The kernel takes a namespace apart in the background, and a pair with either end.
    let start = Instant::now();
    while stays.ip("-o link show").contains("stays") {
        assert!(start.elapsed() < PATIENCE, "the other end is still there");
        std::thread::sleep(Duration::from_millis(5));
    }
}
