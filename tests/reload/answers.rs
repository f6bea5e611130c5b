//! What those who ask for a reload are told.

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

use crate::binary::{Ended, Running, is_whole};
use crate::frames::v4;
use crate::peer::wait;
use crate::site::Site;

/// An endless source, one rule with these keys, and a port that is `device`.
pub fn text(device: &str, keys: &str) -> String {
    format!(
        r#"
        [eal]
        memory = "no-huge"
        [memory]
        packets = 2048
        [[port]]
        name = "feed"
        device = "net_pcap0,rx_pcap=${{CONFIG_DIR}}/in.pcap,infinite_rx=1"
        [[port]]
        name = "desks"
        device = "{device}"
        [[rule]]
        name = "itch"
        {keys}
        input = {{ port = "feed", destination = "239.1.1.1", udp_port = 5001 }}
        output = [{{ port = "desks", destination = "239.2.2.1" }}]
        "#
    )
}

/// A port that takes all and keeps nothing.
pub const NULL: &str = "net_null1,no-rx=1";

/// Starts an instance with this port.
pub fn start(device: &str) -> (Site, Running) {
    let site = Site::new();
    let frame = v4().bytes();
    site.instance.capture("in.pcap", (0..32).map(|n| (n, &frame[..])));
    site.write("config.toml", &text(device, ""));
    let mut running = site.begin();
    site.answers(&mut running);
    (site, running)
}

/// It ends well.
pub fn stop(site: &Site, running: Running) {
    running.signal(libc::SIGTERM);
    let ended = running.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    is_whole(&site.instance.report());
}

/// Something more has been received.
fn goes_on(site: &Site) {
    let before = site.show().ledger.received;
    wait("packets", || (site.show().ledger.received > before).then_some(()));
}

fn refused(ended: &Ended, parts: &[&str]) {
    assert_eq!(ended.code, Some(78), "{ended:?}");
    for part in parts {
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert!(said.contains(part), "`{part}`: {said}");
    }
}

pub fn what_is_wrong_is_told_with_its_place_and_all_goes_on() {
    let (site, running) = start(NULL);
    site.write("bad.toml", &text(NULL, "class = \"hihg\""));
    let written = fs::read_to_string(site.instance.path("bad.toml")).expect("it was written");
    let line = 1 + written.lines().position(|line| line.contains("hihg")).expect("it has one");
    let column = 1 + written.lines().nth(line - 1).and_then(|l| l.find('"')).expect("a quote");
    let place = format!("bad.toml:{line}:{column}");
    refused(&site.ask(&["reload", "bad.toml"]), &[&place, "hihg", "high", "all goes on"]);
    refused(&site.ask(&["reload", "none.toml"]), &["none.toml", "all goes on"]);

    site.write("restart.toml", &text(NULL, "").replace("2048", "1024"));
    let parts = ["needs a restart", "[memory] (restart.toml:8:9)"];
    refused(&site.ask(&["reload", "restart.toml"]), &parts);
    refused(&site.ask(&["check", "restart.toml", "--against"]), &parts);
    site.write("good.toml", &text(NULL, "class = \"low\""));
    let said = site.ask(&["check", "good.toml", "--against"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.stdout.contains("~ rule itch: class"), "{said:?}");
    let said = site.ask(&["check", "config.toml", "--against"]);
    assert_eq!((said.code, said.stdout.contains("nothing differs")), (Some(0), true), "{said:?}");
    // Another way to the same file is no other device.
    let spelled = text(NULL, "").replace("${CONFIG_DIR}/in", "${CONFIG_DIR}/./run/../in");
    site.write("spelled.toml", &spelled);
    let said = site.ask(&["check", "spelled.toml", "--against"]);
    assert_eq!((said.code, said.stdout.contains("nothing differs")), (Some(0), true), "{said:?}");
    site.write("other.pcap", "");
    site.write("other.toml", &text(NULL, "").replace("/in.pcap", "/other.pcap"));
    refused(&site.ask(&["check", "other.toml", "--against"]), &["port feed: device"]);
    goes_on(&site);
    assert_eq!(site.show().generation, 1, "nothing has changed");

    // The file in force breaks, and is mended.
    site.write("config.toml", &text(NULL, "class = \"hihg\""));
    running.signal(libc::SIGHUP);
    let place = format!("config.toml:{line}:{column}");
    wait("the refusal", || running.stderr().contains(&place).then_some(()));
    goes_on(&site);
    site.write("config.toml", &text(NULL, "class = \"low\""));
    running.signal(libc::SIGHUP);
    wait("the reload", || running.stderr().contains("generation=2").then_some(()));
    goes_on(&site);
    stop(&site, running);
}

pub fn who_asks_while_another_reload_is_under_way_is_served_behind_it() {
    let (site, running) = start(NULL);
    let classes = ["low", "medium", "high"];
    for class in classes {
        site.write(&format!("{class}.toml"), &text(NULL, &format!("class = \"{class}\"")));
    }
    let generations = std::thread::scope(|scope| {
        let ask = |class| {
            let site = &site;
            scope.spawn(move || {
                let reload = || site.reload(&format!("{class}.toml")).expect("it is served");
                (0..10).map(|_| reload().generation).collect::<Vec<_>>()
            })
        };
        let threads = classes.map(ask);
        threads.map(|thread| thread.join().expect("all are served"))
    });
    for generations in &generations {
        assert!(generations.is_sorted(), "{generations:?}");
    }
    let last = generations.iter().flatten().max().expect("thirty");
    assert_eq!(site.show().generation, *last);
    stop(&site, running);
}

/// A pipe as long as it is.
pub fn drain(mut pipe: File) {
    let mut bytes = vec![0; 1 << 16];
    loop {
        match pipe.read(&mut bytes) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// A device that writes to the pipe of [`standing`].
pub const PIPE: &str = "net_pcap1,tx_pcap=${CONFIG_DIR}/pipe";

/// A relay of `config` whose worker stands still: [`PIPE`], which it sends to, is not read.
pub fn standing(config: &str) -> (Site, Running, File) {
    let site = Site::new();
    let path = site.instance.path("pipe");
    let mkfifo = std::process::Command::new("mkfifo").arg(&path).status().expect("it is there");
    assert!(mkfifo.success());
    let mut options = OpenOptions::new();
    let pipe = options.read(true).custom_flags(libc::O_NONBLOCK).open(&path).expect("it opens");
    let frame = v4().bytes();
    site.instance.capture("in.pcap", (0..32).map(|n| (n, &frame[..])));
    site.write("config.toml", config);
    let mut running = site.begin();
    site.answers(&mut running);
    wait("the worker to stand still", || {
        let heartbeat = site.show().workers[0].heartbeat_age_ns;
        (heartbeat > 1_000_000_000).then_some(())
    });
    (site, running, pipe)
}

pub fn a_worker_that_stands_still_is_told_and_takes_the_plan_up_later() {
    let with = |keys: &str| text(PIPE, keys);
    let (site, running, pipe) = standing(&with(""));
    site.write("config.toml", &with("class = \"low\""));
    let said = site.ask(&["reload"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.stderr.contains("generation 2 is in force, but a worker has not"), "{said:?}");
    assert!(said.stdout.contains("generation 2"), "{said:?}");
    // The next one waits for its turn, in vain; others are answered meanwhile.
    site.write("config.toml", &with("class = \"medium\""));
    let (said, shown) = std::thread::scope(|scope| {
        let waits = scope.spawn(|| site.ask(&["reload"]));
        let mut shown = 0;
        while !waits.is_finished() {
            assert_eq!(site.show().generation, 2);
            shown += 1;
        }
        (waits.join().expect("it was asked"), shown)
    });
    assert!(shown > 5, "{shown} views while it waited for 5 s");
    assert_eq!(said.code, Some(69), "{said:?}");
    for part in ["has not taken up generation 2 for 5 s", "ask again when it runs"] {
        assert!(said.stderr.contains(part), "`{part}`: {said:?}");
    }
    let workers = site.show().workers;
    assert_eq!((site.show().generation, workers[0].generation), (2, 1));

    // One that waits when the worker goes on is served, behind the one before it.
    let (reader, said) = std::thread::scope(|scope| {
        let waits = scope.spawn(|| site.ask(&["reload"]));
        std::thread::sleep(Duration::from_millis(300));
        let reader = std::thread::spawn(move || drain(pipe));
        (reader, waits.join().expect("it was asked"))
    });
    assert_eq!((said.code, said.stdout.contains("generation 3")), (Some(0), true), "{said:?}");
    assert!(said.stdout.contains("the worker took it up in a turn of"), "{said:?}");
    let worker = site.show().workers[0].clone();
    assert_eq!(worker.generation, 3);
    assert!((1..=worker.longest_turn_ns).contains(&worker.plan_turn_ns), "{worker:?}");
    assert!(worker.longest_turn_ns > 1_000_000_000, "it stood still: {worker:?}");
    stop(&site, running);
    reader.join().expect("the pipe has ended");
}
