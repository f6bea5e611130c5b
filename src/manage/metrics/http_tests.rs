//! The HTTP service and its clients over real sockets, with a management that the test plays.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::PollFlags;

use super::connection::{Answer, Connection, Status};
use super::service::Http;
use crate::config::Detail;
use crate::manage::control::Order;
use crate::manage::fixture::{Fixture, TICKS_PER_SECOND, view};
use crate::manage::view::View;
use crate::manage::wall;

/// Against hanging only.
const LONG: Duration = Duration::from_secs(60);

fn start() -> Http {
    Http::start("127.0.0.1:0".parse().unwrap(), Detail::Outputs, &[0]).unwrap()
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream
}

/// All that is answered to a request.
fn answer(mut stream: TcpStream, request: &str) -> String {
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// Asks while management shows what `view` makes.
fn ask(http: &Http, path: &str, view: &dyn Fn() -> View) -> String {
    let (address, request) = (http.address(), format!("GET {path} HTTP/1.1\r\n\r\n"));
    let asker = std::thread::spawn(move || answer(connect(address), &request));
    while !asker.is_finished() {
        for order in http.orders() {
            match order {
                Order::View(reply) => reply.send(view()).unwrap(),
                other => panic!("{other:?}"),
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    asker.join().unwrap()
}

/// An instance whose worker has not turned for so many milliseconds.
fn silent(millis: u64) -> View {
    let mut view = view(Fixture::new());
    let heartbeat = view.workers[0].1.worker.heartbeat.get();
    view.now = Some(heartbeat + millis * TICKS_PER_SECOND / 1_000);
    view
}

#[test]
fn a_worker_that_stands_still_is_not_healthy() {
    let http = start();
    assert!(ask(&http, "/healthz", &|| silent(100)).starts_with("HTTP/1.1 200 OK\r\n"));
    let text = ask(&http, "/healthz", &|| silent(101));
    assert!(text.starts_with("HTTP/1.1 503 "), "{text}");
    assert!(text.ends_with("lcore 1 has stood still for 101 ms; allowed: 100 ms\n"), "{text}");
}

#[test]
fn who_drains_or_has_not_taken_up_the_plan_is_not_ready() {
    let http = start();
    let ready = || {
        let view = silent(0);
        view.workers[0].1.worker.generation.set(view.plan.generation);
        view
    };
    assert!(ask(&http, "/readyz", &ready).starts_with("HTTP/1.1 200 OK\r\n"));
    let late = || {
        let view = ready();
        view.workers[0].1.worker.generation.set(view.plan.generation + 1);
        view
    };
    assert!(ask(&http, "/readyz", &late).starts_with("HTTP/1.1 503 "));
    http.set_draining(true);
    let text = ask(&http, "/readyz", &ready);
    assert!(text.starts_with("HTTP/1.1 503 ") && text.ends_with("it drains\n"), "{text}");
    // Its numbers are of use as long as there are any.
    assert!(ask(&http, "/metrics", &ready).ends_with("\n# EOF\n"));
}

#[test]
fn a_management_that_does_not_answer_is_told_as_such() {
    let http = start();
    for path in ["/metrics", "/healthz", "/readyz"] {
        let text = answer(connect(http.address()), &format!("GET {path} HTTP/1.1\r\n\r\n"));
        assert!(text.starts_with("HTTP/1.1 503 "), "{text}");
        assert!(text.contains("management has not answered"), "{text}");
        http.orders().for_each(drop);
    }
    assert!(answer(connect(http.address()), "GET / HTTP/1.1\r\n\r\n").contains(" 404 "));
}

#[test]
fn sixteen_that_say_nothing_give_way_and_are_told() {
    let http = start();
    let mut silent: Vec<_> = (0..16).map(|_| connect(http.address())).collect();
    for _ in 0..3 {
        assert!(answer(connect(http.address()), "GET / HTTP/1.1\r\n\r\n").contains(" 404 "));
    }
    // The first gave way; an answered one, which lingers, before any other. On a host that stood
    // still for 5 s their time was over.
    let mut text = String::new();
    silent.remove(0).read_to_string(&mut text).unwrap();
    assert!(text.is_empty() || text.contains("16 connections are open"), "{text}");
    let mut last = silent.pop().unwrap();
    if last.write_all(b"GET / HTTP/1.1\r\n\r\n").is_ok() {
        let mut text = String::new();
        let _ = last.read_to_string(&mut text);
        assert!(text.is_empty() || text.contains(" 404 "), "{text}");
    }
}

#[test]
fn the_end_closes_every_connection() {
    let http = start();
    let address = http.address();
    let mut open = connect(address);
    let asked = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut asker = connect(address);
            asker.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
            asked.store(true, Ordering::Relaxed);
            let mut text = String::new();
            let _ = asker.read_to_string(&mut text);
            assert!(!text.contains("200 OK"), "{text}");
        });
        while !asked.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
        drop(http);
    });
    assert!(!matches!(open.read(&mut [0]), Ok(1..)));
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn a_taken_address_is_an_error() {
    let http = start();
    assert!(Http::start(http.address(), Detail::Ports, &[0]).is_err());
}

#[test]
fn a_reader_that_has_stopped_for_a_second_gives_way() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut reader = connect(listener.local_addr().unwrap());
    let (stream, _) = listener.accept().unwrap();
    stream.set_nonblocking(true).unwrap();
    let start = wall::now();
    let later = |millis| start + Duration::from_millis(millis);
    let mut client = Connection::new(stream, start);
    assert_eq!(client.gives_way(start), Some((1, start)));
    // More than both ends' buffers hold.
    client.answer(&Answer::line(Status::Ok, &"x".repeat(64 << 20)), start);
    assert_eq!(client.gives_way(later(999)), None);
    assert_eq!(client.gives_way(later(1_000)), Some((2, start)));
    // It reads on: that counts from the beginning.
    reader.set_nonblocking(true).unwrap();
    let mut some = vec![0; 1 << 20];
    while client.gives_way(later(2_000)).is_some() {
        while reader.read(&mut some).is_ok() {}
        client.advance(PollFlags::OUT, later(2_000));
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(client.gives_way(later(2_999)), None);
    assert_eq!(client.gives_way(later(3_000)), Some((2, later(2_000))));
    client.advance(PollFlags::empty(), later(5_000));
    assert!(client.is_closed(), "an answer has 5 s in all");
}
