//! A process that is killed at any moment leaves nothing that the next start trips over.

use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::answers::{NULL, stop, text};
use crate::binary::Running;
use crate::frames::v4;
use crate::peer::wait;
use crate::site::{Site, is_long};

/// Kills of the short and the long form.
const KILLS: (u32, u32) = (10, 100);

/// Starts it; returns how long it took until it answered.
fn start(site: &Site) -> (Running, Duration) {
    let start = Instant::now();
    let mut running = site.begin();
    site.answers(&mut running);
    (running, start.elapsed())
}

/// One in three under traffic, one while a reload is under way, one during the start.
pub fn the_next_start_works_whenever_the_last_was_killed() {
    let site = Site::new();
    let frame = v4().bytes();
    site.instance.capture("in.pcap", (0..32).map(|n| (n, &frame[..])));
    let write = |n: u32| {
        let class = ["high", "medium"][n as usize % 2];
        site.write("config.toml", &text(NULL, &format!("class = \"{class}\"")));
    };
    write(0);
    let mut rng = Rng::with_seed(3);
    let (mut running, mut longest) = start(&site);
    let kills = if is_long() { KILLS.1 } else { KILLS.0 };
    for n in 1..=kills {
        match n % 3 {
            0 => wait("packets", || (site.show().ledger.received > 0).then_some(())),
            1 => {
                write(n);
                running.signal(libc::SIGHUP);
                std::thread::sleep(Duration::from_micros(rng.u64(..3_000)));
            }
            _ => {
                running.signal(libc::SIGKILL);
                assert_eq!(running.end().code, None);
                running = site.begin();
                std::thread::sleep(Duration::from_millis(rng.u64(..200)));
            }
        }
        running.signal(libc::SIGKILL);
        assert_eq!(running.end().code, None, "{n}: a signal ended it");
        let took;
        (running, took) = start(&site);
        longest = longest.max(took);
    }
    println!("{kills} kills; the longest start took {} ms", longest.as_millis());
    stop(&site, running);
    assert!(!site.socket().exists());
    let left = std::fs::read_dir(site.instance.path("run")).expect("it was made").flatten();
    let left: Vec<_> = left.map(|entry| entry.file_name()).filter(|name| name != "dpdk").collect();
    assert!(left.is_empty(), "{left:?}");
    let name = site.instance.path(&format!("run/dpdk/{}", site.instance.name));
    assert!(!name.exists(), "{}", name.display());
}
