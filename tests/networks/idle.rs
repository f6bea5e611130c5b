//! An adaptive worker on interfaces of the kernel: it sleeps while nothing comes, takes few looks at
//! a slow stream, and is there when something comes.

use std::time::Duration;

use crate::binary::number;
use crate::netns::Net;
use crate::site::{Desk, GROUP, SOURCE, Site, UDP_PORT};
use crate::site::{must_receive, payload, relay_address};

/// Datagrams, each of which finds the worker asleep.
const COUNT: u32 = 100;
/// How long it is between two of them.
const PAUSE: Duration = Duration::from_millis(10);
/// Turns for each millisecond at most; with naps alone there would be nine or ten.
const TURNS_MAX: u64 = 2;
/// Turns for a frame at most: it is found, and all queues are looked at.
const TURNS_FRAME: u64 = 4;

fn a_worker_sleeps(driver: &str) {
    let net = Net::new();
    let mut site = Site::new(&net, 2);
    let to = [0, 1].map(|port| Desk { port, group: 0 });
    let receivers = to.map(|desk| (desk, site.receiver(desk)));
    site.start(driver, &to, "rx_checksum = \"complete\"", "");
    let sender = site.source.sender(SOURCE);
    for n in 0..COUNT {
        std::thread::sleep(PAUSE);
        sender.send_to(&payload(n), (GROUP, UDP_PORT)).expect("it is sent");
        let from = |desk: &Desk| relay_address(desk.port);
        receivers.iter().for_each(|(desk, socket)| must_receive(socket, n, from(desk)));
    }
    let report = site.end();
    let millis = number(&report["uptime_ns"]) / 1_000_000;
    let frames = number(&report["ledger"]["received"]);
    let turns = number(&report["workers"][0]["turns"]);
    println!("{turns} turns in {millis} ms, {frames} frames");
    assert!(turns <= TURNS_MAX * millis + TURNS_FRAME * frames, "{turns} turns in {millis} ms");
}

pub fn a_worker_sleeps_over_af_packet() {
    a_worker_sleeps("af_packet");
}

pub fn a_worker_sleeps_over_af_xdp() {
    a_worker_sleeps("af_xdp");
}
