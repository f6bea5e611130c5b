//! Where the socket is: behind a dead instance, and where something else is in the way.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use crate::site::Site;
use crate::strangers::is_root;

/// A run that must not start, because of what is at its socket's place.
fn refuses(site: &Site, parts: &[&str]) {
    let ended = site.begin().end();
    assert_eq!(ended.code, Some(69), "{ended:?}");
    for part in parts.iter().chain(&["[management] socket"]) {
        assert!(ended.stderr.contains(part), "`{part}`: {}", ended.stderr);
    }
}

fn make_directory(site: &Site) {
    let run = site.instance.path("run");
    fs::create_dir_all(&run).expect("it can be made");
    fs::set_permissions(run, fs::Permissions::from_mode(0o700)).expect("it is ours");
}

#[test]
fn the_socket_is_for_its_user_alone_and_gone_at_the_end() {
    let site = Site::endless();
    let running = site.start();
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!((mode(&site.socket()), mode(&site.instance.path("run"))), (0o600, 0o700));
    running.signal(libc::SIGTERM);
    site.has_ended(running);
}

#[test]
fn what_a_killed_instance_left_is_replaced() {
    let site = Site::endless();
    let running = site.start();
    running.signal(libc::SIGKILL);
    assert_eq!(running.end().code, None);
    assert!(site.socket().exists(), "nobody could tidy up");
    let ended = site.ask(&["show", "ledger"]);
    assert_eq!(ended.code, Some(69), "{ended:?}");
    assert!(ended.stderr.contains("no instance"), "{}", ended.stderr);
    let running = site.start();
    assert!(site.told(&["show", "ledger"]).contains("residual 0"));
    site.stop(running);
}

#[test]
fn what_is_not_a_dead_socket_of_ours_stays() {
    let site = Site::endless();
    make_directory(&site);
    let path = site.socket();
    fs::write(&path, "kept").expect("it can be written");
    refuses(&site, &["not a socket", "remove it"]);
    assert_eq!(fs::read_to_string(&path).expect("it is there"), "kept");
    fs::remove_file(&path).expect("it can be removed");

    let listener = UnixListener::bind(&path).expect("it can be bound");
    refuses(&site, &["another process answers on it"]);
    drop(listener);
    if is_root() {
        std::os::unix::fs::chown(&path, Some(65_534), None).expect("root may");
        refuses(&site, &["it belongs to user 65534"]);
        fs::remove_file(&path).expect("it can be removed");
    }
    let running = site.start();
    site.stop(running);
}

#[test]
fn a_path_of_its_own_is_asked_by_its_path() {
    let directory = std::env::temp_dir().join(format!("punctual-path-{}", std::process::id()));
    fs::create_dir_all(&directory).expect("it can be made");
    let path = directory.join("own.sock");
    let text = path.to_str().expect("a path");
    let site = Site::endless_with(&format!("[management]\nsocket = \"{text}\""));
    let mut running = site.begin();
    while UnixStream::connect(&path).is_err() {
        assert!(running.is_running(), "{}", running.stderr());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(!site.socket().exists());
    assert_eq!(site.ask(&["show", "ledger"]).code, Some(69));
    assert!(site.told(&["show", "ledger", "--socket", text]).contains("residual 0"));
    site.told(&["stop", "--socket", text]);
    assert!(!path.exists());
    site.has_ended(running);
    let gone = site.ask(&["show", "ledger", "--socket", text]);
    assert_eq!(gone.code, Some(69), "{gone:?}");
    assert!(gone.stderr.contains("does not answer"), "{}", gone.stderr);
    fs::remove_dir_all(&directory).expect("it is empty");

    let site = Site::endless_with("[management]\nsocket = \"/proc/none/x.sock\"");
    refuses(&site, &["/proc/none/x.sock", "cannot be made"]);
}
