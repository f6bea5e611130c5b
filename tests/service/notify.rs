//! What the service manager hears.

use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use crate::binary::{Running, number};
use crate::site::Site;

/// A service manager's end of the notification socket.
pub struct Manager(UnixDatagram);

impl Manager {
    /// A socket among the site's files, and the environment that names it. The manager wants to
    /// hear from the service each `patience` microseconds.
    pub fn of(site: &Site, patience: u64) -> (Self, Command) {
        let path = site.instance.path("notify.sock");
        let socket = UnixDatagram::bind(&path).expect("the socket can be made");
        // Against hanging only.
        socket.set_read_timeout(Some(Duration::from_secs(60))).expect("it has timeouts");
        let mut command = site.command();
        command.env("NOTIFY_SOCKET", path).env("WATCHDOG_USEC", patience.to_string());
        command.env_remove("WATCHDOG_PID");
        (Self(socket), command)
    }

    /// What is told next.
    pub fn hear(&self) -> String {
        let mut text = [0; 4_096];
        let length = self.0.recv(&mut text).expect("something is told");
        String::from_utf8_lossy(&text[..length]).into_owned()
    }

    /// Everything up to what has `wanted` among its lines, which is the last.
    pub fn until(&self, wanted: &str) -> Vec<String> {
        let mut heard = Vec::new();
        loop {
            heard.push(self.hear());
            if heard.last().is_some_and(|last| last.lines().any(|line| line == wanted)) {
                return heard;
            }
        }
    }

    /// What has been told and not been heard yet.
    pub fn waiting(&self) -> Vec<String> {
        self.0.set_nonblocking(true).expect("it can be asked");
        let mut text = [0; 4_096];
        let each = std::iter::from_fn(|| {
            self.0
                .recv(&mut text)
                .ok()
                .map(|length| String::from_utf8_lossy(&text[..length]).into_owned())
        });
        let heard = each.collect();
        self.0.set_nonblocking(false).expect("it can wait");
        heard
    }
}

/// Starts a site's instance in this environment.
pub fn run(site: &Site, command: &mut Command, more: &[&str]) -> Running {
    let args = [&["run", "config.toml", "--report", "report.json"], more].concat();
    site.instance.spawn(&args, command)
}

/// Waits until it relays.
pub fn relays(site: &Site, running: &mut Running) {
    let show = ["show", "ledger", "--json"];
    let sent = |text: &str| {
        let ledger: Option<serde_json::Value> = serde_json::from_str(text).ok();
        ledger.is_some_and(|ledger| number(&ledger["sent"]) > 1_000)
    };
    while !sent(&site.ask(&show).stdout) {
        assert!(running.is_running(), "{}", running.stderr());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn the_service_manager_hears_of_start_reload_health_and_end() {
    let site = Site::endless();
    let (manager, mut command) = Manager::of(&site, 200_000);
    let mut running = run(&site, &mut command, &[]);
    assert_eq!(manager.hear(), "READY=1\n", "nothing is told before all is ready");
    relays(&site, &mut running);
    manager.until("WATCHDOG=1");
    manager.until("WATCHDOG=1");
    let mut heard = Vec::new();
    while !heard.iter().any(|text: &String| text.starts_with("STATUS=received ")) {
        heard.push(manager.hear());
    }

    running.signal(libc::SIGHUP);
    let heard = manager.until("RELOADING=1");
    assert!(heard.last().is_some_and(|text| text.contains("\nMONOTONIC_USEC=")), "{heard:?}");
    manager.until("READY=1");
    manager.until("WATCHDOG=1");

    running.signal(libc::SIGTERM);
    let heard = manager.until("STOPPING=1");
    assert!(!heard.iter().any(|text| text.contains("READY=1")), "{heard:?}");
    site.has_ended(running);
}

#[test]
fn without_a_service_manager_all_goes_on() {
    let site = Site::endless();
    let mut command = site.command();
    command.env("NOTIFY_SOCKET", site.instance.path("nobody.sock"));
    let mut running = run(&site, &mut command, &[]);
    relays(&site, &mut running);
    running.signal(libc::SIGTERM);
    site.has_ended(running);
}
