//! The live view in a terminal of its own, which `script` of util-linux makes.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Stdio};
use std::time::Duration;

use crate::site::Site;

/// The terminal's screen is taken, and given back.
const TAKEN: &str = "\x1b[?1049h";
const GIVEN_BACK: &str = "\x1b[?1049l";

/// `punctual top` in a terminal.
struct Terminal {
    script: Child,
    keys: ChildStdin,
    screen: PathBuf,
}

impl Terminal {
    /// One of 80 columns and 24 lines; its first line is the process it becomes.
    fn of(site: &Site, file: &str) -> Self {
        let program = env!("CARGO_BIN_EXE_punctual");
        let inner = format!("echo \"process=$$.\"; stty rows 24 cols 80; exec '{program}' top");
        let top = format!("{inner} --interval 100ms");
        let screen = site.instance.path(file);
        let mut command = std::process::Command::new("script");
        // The directories are the site's, as for every other command.
        for (key, value) in site.command().get_envs() {
            command.env(key, value.expect("nothing is taken from the environment"));
        }
        let mut script = command
            .args(["-qec", &top, "/dev/null"])
            .env("SHELL", "/bin/sh")
            .env("TERM", "xterm")
            .stdin(Stdio::piped())
            .stdout(File::create(&screen).expect("the screen can be kept"))
            .stderr(Stdio::null())
            .spawn()
            .expect("script of util-linux is there");
        let keys = script.stdin.take().expect("it is a pipe");
        Self { script, keys, screen }
    }

    fn screen(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.screen).unwrap_or_default()).into_owned()
    }

    /// Waits until this was drawn.
    fn shows(&mut self, text: &str) {
        // Against hanging only.
        for _ in 0..12_000 {
            if self.screen().contains(text) {
                return;
            }
            assert!(matches!(self.script.try_wait(), Ok(None)), "{:?}", self.screen());
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("no `{text}` in {:?}", self.screen());
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("it takes keys");
    }

    /// It has ended well, and the terminal is as it was.
    fn has_ended(mut self) {
        let status = (0..12_000).find_map(|_| {
            std::thread::sleep(Duration::from_millis(5));
            self.script.try_wait().expect("it can be waited for")
        });
        let screen = self.screen();
        assert_eq!(status.and_then(|status| status.code()), Some(0), "{screen:?}");
        let (taken, given_back) = (screen.rfind(TAKEN), screen.rfind(GIVEN_BACK));
        assert!(taken.is_some() && given_back > taken, "{screen:?}");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

#[test]
fn top_shows_the_instance_until_it_is_asked_to_end() {
    let site = Site::endless();
    let running = site.start();
    let mut terminal = Terminal::of(&site, "quit.screen");
    terminal.shows(&site.instance.name);
    terminal.shows("itch");
    terminal.press("q");
    terminal.has_ended();

    // A signal that asks for the end leaves no broken terminal either.
    let mut terminal = Terminal::of(&site, "signal.screen");
    terminal.shows(&site.instance.name);
    let screen = terminal.screen();
    let (_, process) = screen.split_once("process=").expect("it says its process");
    let (process, _) = process.split_once('.').expect("a number and a full stop");
    // SAFETY: the process was started by this test and still shows its screen.
    let code = unsafe { libc::kill(process.parse().expect("a number"), libc::SIGTERM) };
    assert_eq!(code, 0);
    terminal.has_ended();
    site.stop(running);
}

#[test]
fn top_outlives_its_instance_and_says_so() {
    let site = Site::endless();
    let running = site.start();
    let mut terminal = Terminal::of(&site, "end.screen");
    terminal.shows(&site.instance.name);
    site.stop(running);
    terminal.shows("instance");
    terminal.press("q");
    terminal.has_ended();
}
