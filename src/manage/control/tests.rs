//! The service and its clients over real sockets, with a management that the test plays.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::place::Place;
use super::*;
use crate::config::ControlSocket;
use crate::manage::fixture::{Fixture, view};
use crate::manage::report::Report;
use crate::manage::view::View;

/// Against hanging only.
const LONG: Duration = Duration::from_secs(60);

/// A directory of a test's own.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("punctual-control-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A service without an instance.
struct Site {
    service: Service,
    scratch: Scratch,
    fixture: Fixture,
}

impl Site {
    fn new() -> Self {
        let scratch = Scratch::new();
        let wanted = ControlSocket::At(scratch.path("x.sock"));
        let made = Place::make(&wanted, "x").unwrap().unwrap();
        let who = Who { name: "x".into(), process: 7, started_unix_ms: 8 };
        let service = Service::start(made, who, &[0]).unwrap();
        Self { service, scratch, fixture: Fixture::new() }
    }

    fn stream(&self) -> UnixStream {
        let stream = UnixStream::connect(self.scratch.path("x.sock")).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream
    }

    fn client(&self) -> Client {
        Client::connect(&Which::At(self.scratch.path("x.sock"))).unwrap()
    }

    fn view(&self) -> View {
        view(Fixture::new())
    }

    /// Does what management does in a tick, until `wanted` orders are done; counts the stops.
    fn manage(&self, wanted: usize) -> usize {
        let (mut done, mut stops) = (0, 0);
        while done < wanted {
            for order in self.service.orders() {
                match order {
                    Order::View(reply) => reply.send(self.view()).unwrap(),
                    Order::Reload(file, reply) => {
                        let message = format!("{file:?} is not for this test");
                        reply.send(Err(Refusal::new(code::CONFIG, message))).unwrap();
                    }
                    Order::Capture(_, reply) => {
                        let refusal = Refusal::new(code::FILTER, "this is not for this test");
                        reply.send(Err(refusal)).unwrap();
                    }
                    Order::Stop => stops += 1,
                }
                done += 1;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        stops
    }

    fn ended(&self) -> Ended {
        Ended { stopped: 0, uptime_ns: 9, ledger: self.fixture.report().ledger }
    }
}

fn send(stream: &mut UnixStream, json: &[u8]) {
    stream.write_all(&(json.len() as u32).to_be_bytes()).unwrap();
    stream.write_all(json).unwrap();
}

fn receive(stream: &mut UnixStream) -> Value {
    let mut header = [0; 4];
    stream.read_exact(&mut header).unwrap();
    let mut json = vec![0; u32::from_be_bytes(header) as usize];
    stream.read_exact(&mut json).unwrap();
    serde_json::from_slice(&json).unwrap()
}

/// The error's code, and that the connection then ends.
fn refused(mut stream: UnixStream) -> String {
    let answer = receive(&mut stream);
    assert_eq!(answer["version"], 1);
    assert!(answer["error"]["message"].as_str().unwrap().len() > 10, "{answer}");
    // What was sent and not read is told as a reset.
    assert!(!matches!(stream.read(&mut [0]), Ok(1..)), "it goes on");
    answer["error"]["code"].as_str().unwrap().to_owned()
}

#[test]
fn show_is_the_report_and_a_connection_may_ask_again() {
    let site = Site::new();
    let mut client = site.client();
    let asker = std::thread::spawn(move || {
        let first: Shown = client.ask(Command::Show, LONG).unwrap();
        let plan: Planned = client.ask(Command::Plan, LONG).unwrap();
        (first, plan)
    });
    site.manage(2);
    let (shown, planned) = asker.join().unwrap();
    assert_eq!(shown.report, site.fixture.report());
    assert_eq!((shown.instance.name.as_str(), shown.instance.process), ("x", 7));
    let plan = planned.plan;
    assert_eq!((plan.generation, plan.outputs, plan.rules.len()), (1, 3, 2));
    assert_eq!((plan.rules[0].rows, plan.rules[0].budget_ns), (2_048, 500_000));
    assert!(plan.settings.contains("[[rule]]\nname = \"syslog\""));
}

#[test]
fn what_is_no_request_is_refused_with_its_reason() {
    let site = Site::new();
    let long = format!("{{\"version\": 1, \"command\": \"{}\"}}", "x".repeat(60_000));
    let wrong: [(&[u8], &str); 11] = [
        (b"", code::REQUEST),
        (b"\xff\xfe", code::REQUEST),
        (b"[1]", code::REQUEST),
        (b"{}", code::REQUEST),
        (b"{\"version\": \"1\", \"command\": \"show\"}", code::REQUEST),
        (b"{\"version\": 1}", code::REQUEST),
        (b"{\"version\": 1, \"command\": \"stop\", \"dry\": true}", code::REQUEST),
        (&[b'['; 60_000], code::REQUEST),
        (b"{\"version\": 2, \"command\": \"show\"}", code::VERSION),
        (b"{\"version\": 1, \"command\": \"fly\"}", code::COMMAND),
        (long.as_bytes(), code::COMMAND),
    ];
    for (json, code) in wrong {
        let mut stream = site.stream();
        send(&mut stream, json);
        assert_eq!(
            refused(stream),
            code,
            "{}",
            String::from_utf8_lossy(&json[..json.len().min(80)])
        );
    }
    // It lives.
    let mut client = site.client();
    let asker = std::thread::spawn(move || client.ask::<Shown>(Command::Show, LONG).map(|_| ()));
    site.manage(1);
    asker.join().unwrap().unwrap();
}

#[test]
fn what_is_no_frame_is_refused_with_its_reason() {
    let site = Site::new();
    let mut stream = site.stream();
    stream.write_all(&(REQUEST_BYTES_MAX as u32 + 1).to_be_bytes()).unwrap();
    assert_eq!(refused(stream), code::TOO_LONG);
    for part in [&[0, 0][..], &[0, 0, 0, 9, b'{']] {
        let mut stream = site.stream();
        stream.write_all(part).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(refused(stream), code::TRUNCATED);
    }
    let mut slow = site.stream();
    slow.write_all(&[0, 0, 0, 9]).unwrap();
    assert_eq!(refused(slow), code::TIMEOUT);
    // Who comes and goes without a word is no error.
    drop(site.stream());
    let mut whole = Command::Plan.frame();
    let mut stream = site.stream();
    let rest = whole.split_off(7);
    stream.write_all(&whole).unwrap();
    std::thread::sleep(Duration::from_millis(20));
    stream.write_all(&rest).unwrap();
    site.manage(1);
    assert_eq!(receive(&mut stream)["ok"]["plan"]["generation"], json!(1));
}

#[test]
fn the_seventeenth_connection_is_told_so() {
    let site = Site::new();
    // More than once only on a host that stood still until the first had timed out.
    let is_busy = (0..3).any(|_| {
        let _kept: Vec<_> = (0..CONNECTIONS_MAX).map(|_| site.stream()).collect();
        refused(site.stream()) == code::BUSY
    });
    assert!(is_busy);
    // Their places are free as soon as the thread has seen them go.
    let mut client = site.client();
    let answered = (0..).find_map(|_| {
        client = site.client();
        std::thread::scope(|scope| {
            let asker = scope.spawn(|| client.ask::<Planned>(Command::Plan, LONG));
            while !asker.is_finished() {
                site.service.orders().for_each(|order| {
                    if let Order::View(reply) = order {
                        reply.send(site.view()).unwrap();
                    }
                });
                std::thread::sleep(Duration::from_millis(1));
            }
            asker.join().unwrap().ok()
        })
    });
    assert!(answered.is_some());
}

#[test]
fn a_full_mailbox_is_an_error_and_no_wait() {
    let site = Site::new();
    // Management does not tick; eight orders fit.
    let mut waiting: Vec<_> = (0..8).map(|_| site.stream()).collect();
    waiting.iter_mut().for_each(|stream| stream.write_all(&Command::Stop.frame()).unwrap());
    let refusal = (0..).find_map(|_| {
        let mut stream = site.stream();
        stream.write_all(&Command::Stop.frame()).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        // One that came before the eight is not refused, but waits with them.
        let mut header = [0; 4];
        stream.read_exact(&mut header).ok().map(|()| {
            let mut json = vec![0; u32::from_be_bytes(header) as usize];
            stream.read_exact(&mut json).unwrap();
            serde_json::from_slice::<Value>(&json).unwrap()
        })
    });
    assert_eq!(refusal.unwrap()["error"]["code"], code::BUSY);
}

#[test]
fn a_management_that_does_not_answer_is_told_as_such() {
    let site = Site::new();
    let error = site.client().ask::<Shown>(Command::Show, LONG).unwrap_err();
    assert!(
        matches!(&error, ClientError::Refused(refusal) if refusal.code == code::BUSY),
        "{error}"
    );
}

#[test]
fn who_asks_for_the_end_learns_how_it_came_and_when_all_is_over() {
    let mut site = Site::new();
    let askers: Vec<_> = (0..3)
        .map(|_| {
            let mut client = site.client();
            std::thread::spawn(move || {
                let stopped: Stopped = client.ask(Command::Stop, LONG).unwrap();
                client.wait_for_end(LONG);
                stopped
            })
        })
        .collect();
    assert_eq!(site.manage(3), 3);
    let (path, ended) = (site.scratch.path("x.sock"), site.ended());
    assert!(path.exists());
    site.service.end(ended.clone());
    assert!(!path.exists());
    std::thread::sleep(Duration::from_millis(100));
    assert!(!askers.iter().any(|asker| asker.is_finished()), "it closed before all had ended");
    let Site { service, scratch: _scratch, .. } = site;
    drop(service);
    for asker in askers {
        assert_eq!(asker.join().unwrap().ended, ended);
    }
}

#[test]
fn behind_the_end_nothing_is_answered() {
    let mut site = Site::new();
    let mut early = site.client();
    let asker = std::thread::spawn(move || early.ask::<Shown>(Command::Show, LONG));
    // Its order waits, or comes later: management takes it no more either way.
    std::thread::sleep(Duration::from_millis(20));
    site.service.end(site.ended());
    let error = asker.join().unwrap().unwrap_err();
    assert!(
        matches!(&error, ClientError::Refused(refusal) if refusal.code == code::ENDING),
        "{error}"
    );
}

#[test]
fn who_waits_for_a_reload_keeps_nobody_waiting() {
    let site = Site::new();
    let order = |wanted: &str| loop {
        if let Some(order) = site.service.orders().next() {
            assert!(format!("{order:?}").starts_with(wanted), "{order:?}");
            return order;
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    let mut first = site.client();
    let reloads = std::thread::spawn(move || {
        let first: Result<Reloaded, _> = first.ask(Command::Reload(None), LONG);
        first.unwrap_err()
    });
    let Order::Reload(_, reload) = order("Reload") else { unreachable!() };
    let mut second = site.client();
    let shows = std::thread::spawn(move || second.ask::<Shown>(Command::Show, LONG).map(|_| ()));
    let Order::View(view) = order("View") else { unreachable!() };
    view.send(site.view()).unwrap();
    shows.join().unwrap().expect("it is answered while the reload is under way");
    assert!(!reloads.is_finished());
    reload.send(Err(Refusal::new(code::CONFIG, "as said"))).unwrap();
    let error = reloads.join().unwrap();
    assert!(error.to_string().contains("as said"), "{error}");

    // Who goes meanwhile is let go, and who waits when all ends is told.
    let mut gone = site.stream();
    send(&mut gone, json!({"version": 1, "command": "reload"}).to_string().as_bytes());
    let Order::Reload(_, unheard) = order("Reload") else { unreachable!() };
    drop(gone);
    let mut last = site.stream();
    send(&mut last, json!({"version": 1, "command": "reload"}).to_string().as_bytes());
    drop(order("Reload"));
    assert_eq!(refused(last), code::ENDING);
    drop(unheard);
}

/// Where nothing else wakes management, an order for a reload does.
#[test]
fn who_asks_for_a_reload_wakes_management() {
    let (ready, is_ready) = std::sync::mpsc::channel();
    let (taken, is_taken) = std::sync::mpsc::channel();
    let management = std::thread::spawn(move || {
        let site = Site::new();
        assert!(site.service.orders().next().is_none());
        ready.send(site.client()).unwrap();
        let reply = loop {
            std::thread::park();
            if let Some(Order::Reload(_, reply)) = site.service.orders().next() {
                break reply;
            }
        };
        reply.send(Err(Refusal::new(code::CONFIG, "as said"))).unwrap();
        taken.send(()).unwrap();
    });
    let mut client = is_ready.recv_timeout(LONG).unwrap();
    let asker = std::thread::spawn(move || client.ask::<Reloaded>(Command::Reload(None), LONG));
    is_taken.recv_timeout(LONG).expect("it sleeps on");
    management.join().unwrap();
    assert!(asker.join().unwrap().is_err());
}

#[test]
fn an_answer_of_another_version_or_of_none_is_told() {
    let answer = |json: Value| protocol::parse_answer::<Report>(json.to_string().as_bytes());
    let error = answer(json!({"version": 2, "ok": {}})).unwrap_err();
    assert!(error.contains("version 2"), "{error}");
    for none in [json!({}), json!(7), json!({"version": 1}), json!({"version": 1, "ok": 3})] {
        assert!(answer(none).is_err());
    }
    let later = json!({"version": 1, "error": {"code": "tired", "message": "later"}});
    assert_eq!(answer(later).unwrap().unwrap_err().code, "tired");
}

/// A reload that would leave the socket where it is says so.
#[test]
fn another_socket_needs_a_restart() {
    let old = Fixture::new().config;
    let new = crate::config::Config { socket: ControlSocket::Off, ..old.clone() };
    let diff = crate::manage::reload::diff(&old, &new);
    assert_eq!(diff.needs_restart, ["management.socket"]);
}

/// Whatever a client sends is a command, which reads as itself again, or a refusal in bounds.
#[test]
fn campaign_against_requests_and_answers() {
    let good = [
        json!({"version": 1, "command": "show"}),
        json!({"version": 1, "command": "reload", "file": "/etc/punctual.toml"}),
        json!({"version": 1, "command": "capture", "rule": "itch", "count": 10}),
        json!({"version": 1, "error": {"code": "tired", "message": "later"}}),
        json!({"version": 1, "ok": {"instance": {"name": "a", "process": 1}}}),
    ];
    let good = good.map(|json| json.to_string().into_bytes());
    crate::testkit::campaign::campaign(&good, |bytes| {
        match Command::parse(bytes) {
            Ok(command) => {
                let frame = command.frame();
                assert_eq!(Command::parse(&frame[4..]).expect("it is one"), command);
            }
            Err(refusal) => {
                let raw = |c: char| c.is_control();
                assert!(!refusal.message.contains(raw), "{:?}", refusal.message);
                assert!(refusal.message.len() < 4_000, "{}", refusal.message.len());
            }
        }
        let _ = protocol::parse_answer::<Report>(bytes);
    });
}
