//! What comes over the socket and is no request, and who may not ask.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;

use crate::site::{Site, refused, send};

/// The user `nobody`.
const NOBODY: u32 = 65_534;

/// Whether this process is root; says that a test shows nothing where it is not.
pub fn is_root() -> bool {
    // SAFETY: it cannot fail.
    let root = unsafe { libc::getuid() } == 0;
    if !root {
        eprintln!("not shown: only root can be somebody else");
    }
    root
}

#[test]
fn what_is_no_request_is_refused_and_the_instance_runs_on() {
    let site = Site::endless();
    let running = site.start();
    let requests: [(&[u8], &str); 6] = [
        (b"\x00\xff garbage", "request"),
        (b"null", "request"),
        (b"{\"command\": \"show\"}", "request"),
        (b"{\"version\": 1, \"command\": \"show\", \"quietly\": 1}", "request"),
        (b"{\"version\": 99, \"command\": \"show\"}", "version"),
        (b"{\"version\": 1, \"command\": \"fly\"}", "command"),
    ];
    for (json, code) in requests {
        let mut stream = site.stream();
        send(&mut stream, json);
        assert_eq!(refused(stream), code, "{}", String::from_utf8_lossy(json));
    }
    let frames: [(&[u8], &str); 4] = [
        (b"GET /metrics HTTP/1.1\r\n\r\n", "too_long"),
        (&[0, 1, 0, 1, b'{'], "too_long"),
        (&[0, 0], "truncated"),
        (&[0, 0, 0, 50, b'{'], "truncated"),
    ];
    for (bytes, code) in frames {
        let mut stream = site.stream();
        stream.write_all(bytes).expect("it takes some bytes");
        stream.shutdown(std::net::Shutdown::Write).expect("it can be ended");
        assert_eq!(refused(stream), code, "{bytes:?}");
    }
    // Half a frame and silence: refused when its time is over.
    let mut silent = site.stream();
    silent.write_all(&[0, 0, 0, 50, b'{']).expect("it takes some bytes");
    // One that is gone before its answer is.
    send(&mut site.stream(), b"{\"version\": 1, \"command\": \"show\"}");
    assert!(site.told(&["show", "ledger"]).contains("residual 0"));
    assert_eq!(refused(silent), "timeout");
    site.stop(running);
}

#[test]
fn a_hundred_connections_are_sixteen_and_an_error_each() {
    let site = Site::endless();
    let running = site.start();
    // Those that came to see whether it answers are gone, once it answers anew.
    site.told(&["show", "ledger"]);
    let streams: Vec<_> = (0..100).map(|_| site.stream()).collect();
    let mut streams = streams.into_iter();
    let kept: Vec<_> = streams.by_ref().take(16).collect();
    let codes: Vec<String> = streams.map(refused).collect();
    assert_eq!(codes.len(), 84);
    // On a host that stood still for 5 s the first are gone, and some of the others let in.
    assert!(codes.iter().all(|code| code == "busy" || code == "timeout"), "{codes:?}");
    assert!(codes.iter().any(|code| code == "busy"), "{codes:?}");
    drop(kept);
    while site.ask(&["show", "ledger"]).code != Some(0) {}
    site.stop(running);
}

#[test]
fn another_user_is_not_answered() {
    if !is_root() {
        return;
    }
    let site = Site::endless();
    let running = site.start();
    // Everybody may reach the socket, and the program: who they are is all that is in the way.
    let (socket, program) = (site.socket(), site.instance.path("punctual"));
    fs::copy(env!("CARGO_BIN_EXE_punctual"), &program).expect("it can be copied");
    let open = |path, mode| fs::set_permissions(path, Permissions::from_mode(mode));
    open(site.instance.path("run"), 0o755).expect("it is ours");
    open(socket.clone(), 0o666).expect("it is ours");
    let socket = socket.to_str().expect("a path");
    for args in [&["show", "ledger", "--socket", socket][..], &["stop", "--socket", socket]] {
        let mut command = std::process::Command::new(&program);
        command.uid(NOBODY).gid(NOBODY);
        let ended = site.instance.spawn(args, &mut command).end();
        assert_eq!(ended.code, Some(69), "{ended:?}");
        assert!(ended.stderr.contains("denied"), "{}", ended.stderr);
    }
    assert!(site.told(&["show", "ledger", "--socket", socket]).contains("residual 0"));
    site.stop(running);
}
