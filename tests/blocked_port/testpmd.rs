//! A reader that is killed, and another in its place: DPDK's own dpdk-testpmd, which shares no
//! code with the relay. The relay is the server of that port: it is what stays.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::binary::{Instance, named, number, sum};
use crate::common::{dies_with_us, runtime_directory, skip};
use crate::peer::{Peer, Wire, cpus, device, wait};
use crate::relay::{Relay, dropped, frame, output, port, read};

/// Frames that are offered at a time.
const ROUND: u32 = 32;
/// Frames that a reader must get.
const STREAM: u64 = 1_000;

/// dpdk-testpmd, reading from one port; it is killed where it is dropped.
struct Testpmd {
    child: Child,
    name: String,
    output: PathBuf,
}

impl Testpmd {
    /// Starts one that connects to wire `id`; it ends with its standard input, at the latest with
    /// the test.
    fn start(instance: &Instance, id: usize) -> Self {
        let (_, cpu) = cpus();
        let name = format!("{}-testpmd", instance.name);
        let output = instance.path("testpmd.out");
        let file = File::create(&output).expect("its output can be made");
        // It says what it counts line by line, not when a buffer is full.
        let child = dies_with_us(&mut Command::new("stdbuf"))
            .args(["-oL", "dpdk-testpmd"])
            .args(["--no-huge", "-m", "128", "--no-pci", "--file-prefix", &name])
            .args(["--lcores", &format!("0@{cpu},1@{cpu}")])
            .args(["--vdev", &device(instance, id, "client"), "--", "-i", "--auto-start"])
            .args(["--forward-mode=rxonly", "--total-num-mbufs=2048", "--disable-link-check"])
            .args(["--no-lsc-interrupt"])
            .stdin(Stdio::piped())
            .stdout(file.try_clone().expect("a second handle"))
            .stderr(file)
            .spawn()
            .expect("it starts");
        Self { child, name, output }
    }

    fn said(&self) -> String {
        let bytes = std::fs::read(&self.output).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Frames that it has received, as it counts them itself.
    fn received(&mut self) -> u64 {
        let asked = self.said().len();
        let input = self.child.stdin.as_mut().expect("it is a pipe");
        input.write_all(b"show port stats 0\n").expect("it listens");
        wait("dpdk-testpmd to answer", || {
            let said = self.said();
            assert!(!said.contains("Fail to start port"), "{said}");
            let (_, count) = said.get(asked..)?.split_once("RX-packets: ")?;
            count.split_once(' ')?.0.parse().ok()
        })
    }
}

impl Drop for Testpmd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(runtime_directory(&self.name));
    }
}

/// Offers a round, all of which must come to `b`.
fn round(feed: &mut Wire, b: &mut Wire, offered: &mut u32) {
    let numbers = *offered..*offered + ROUND;
    *offered += ROUND;
    feed.send(&numbers.clone().map(|n| frame(1, n, 200)).collect::<Vec<_>>());
    let copies = b.read_count(ROUND as usize);
    assert!(copies.iter().map(|copy| read(copy).1).eq(numbers), "b has it all, in order");
}

pub fn a_killed_reader_opens_the_breaker_and_a_new_one_gets_the_stream() {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if !std::env::split_paths(&path).any(|directory| directory.join("dpdk-testpmd").is_file()) {
        skip("there is no dpdk-testpmd; Debian has it in dpdk-dev");
    }
    let instance = Instance::new();
    let [mut feed, _, mut b] =
        Peer::start().wires(&instance, 3).try_into().unwrap_or_else(|_| panic!("three wires"));
    let text = port(&instance, "feed", 0, "client", "")
        + &port(&instance, "a", 3, "server", "")
        + &port(&instance, "b", 2, "client", "")
        + r#"
        [[rule]]
        name = "pair"
        input = { port = "feed", destination = "239.1.1.1" }
        output = [
          { port = "a", destination = "239.2.1.1" },
          { port = "b", destination = "239.2.2.1" },
        ]
        "#;
    let relay = Relay::start(&instance, &text);
    let mut offered = 0;
    wait("the relay's socket", || {
        let socket = std::fs::metadata(instance.path("3.sock")).ok()?;
        socket.file_type().is_socket().then_some(())
    });
    b.is_connected();
    // The relay may start before its reader: the breaker is open until there is one.
    relay.says("port a: the link is down", 1, || ());
    let mut read = 0;
    for lives in 1..=2 {
        let mut reader = Testpmd::start(&instance, 3);
        relay.says("port a: over after", lives, || round(&mut feed, &mut b, &mut offered));
        let before = reader.received();
        wait("the stream at a", || {
            round(&mut feed, &mut b, &mut offered);
            (reader.received() >= before + STREAM).then_some(())
        });
        read += reader.received();
        // Nothing is on its way: the driver takes the ring from under who writes to it.
        drop(reader);
        relay.says("port a: the link is down", lives + 1, || ());
        for _ in 0..100 {
            round(&mut feed, &mut b, &mut offered);
        }
    }
    let report = relay.end(&instance);
    let [at_a, at_b] = ["a", "b"].map(|port| output(&report, "pair", port));
    assert_eq!(number(&at_b["sent"]), u64::from(offered), "{at_b}");
    assert_eq!(sum(&at_b["dropped"]), 0, "{at_b}");
    assert!(read >= 2 * STREAM && number(&at_a["sent"]) >= read, "{read} read: {at_a}");
    assert!(dropped(at_a, "breaker_open") > 0, "{at_a}");
    let port = named(&report["ports"], "a");
    assert_eq!((&port["breaker"], number(&port["breaker_opened"])), (&"open".into(), 3), "{port}");
    assert_eq!(port["link"], "down", "{port}");
    let port = named(&report["ports"], "b");
    assert_eq!((&port["link"], number(&port["breaker_opened"])), (&"up".into(), 0), "{port}");
}
