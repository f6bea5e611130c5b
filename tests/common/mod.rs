//! A process per case: EAL starts once in a process, so each case runs in a child of its own.
//!
//! A test file with `harness = false` calls [`run`] from `main` with a list of named functions.
//! Run without arguments it starts itself once per case (`--case NAME`) and fails if a case fails,
//! hangs, or leaves EAL's runtime directory behind. It takes a name filter, `--exact` and `--list`
//! as the usual harness does, so cargo test and nextest both work.

#![allow(dead_code, clippy::disallowed_methods)]

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

/// A name and what runs under it; it fails by panicking. With `_` in front it runs only by
/// `--case`: a second process of another case.
pub type Case = (&'static str, fn());

/// A list of cases from the paths of their functions; `_` in front of one hides it.
#[allow(unused_macros)]
macro_rules! cases {
    (@one [$($done:tt)*]) => { [$($done)*] };
    (@one [$($done:tt)*] _ $head:ident $(:: $tail:ident)*, $($rest:tt)*) => {
        $crate::common::cases!(@one
            [$($done)* (
                concat!("_", stringify!($head) $(, "::", stringify!($tail))*),
                $head $(:: $tail)* as fn(),
            ),] $($rest)*)
    };
    (@one [$($done:tt)*] $head:ident $(:: $tail:ident)*, $($rest:tt)*) => {
        $crate::common::cases!(@one
            [$($done)* (
                concat!(stringify!($head) $(, "::", stringify!($tail))*),
                $head $(:: $tail)* as fn(),
            ),] $($rest)*)
    };
    ($($all:tt)*) => { $crate::common::cases!(@one [] $($all)*) };
}
#[allow(unused_imports)]
pub(crate) use cases;

/// What a case that cannot run here exits with.
const SKIPPED: i32 = 77;

/// Ends the case as skipped, where the host lacks what it needs; EAL must have ended before.
pub fn skip(why: &str) -> ! {
    println!("skipped: {why}");
    std::process::exit(SKIPPED)
}

/// Longest that a case may take.
const CASE_MAX: Duration = Duration::from_secs(60);
/// The same where the long forms are asked for.
const LONG_CASE_MAX: Duration = Duration::from_secs(900);

/// The instance name of this process, unique among those that run.
pub fn instance_name() -> String {
    name_of(std::process::id())
}

fn name_of(process: u32) -> String {
    format!("punctual-test-{process}")
}

/// A directory for this process's files; the parent removes it after the case.
pub fn scratch() -> PathBuf {
    let path = std::env::temp_dir().join(instance_name());
    std::fs::create_dir_all(&path).expect("the scratch directory can be made");
    path
}

/// Where EAL keeps the runtime directory of an instance of that name.
pub fn runtime_directory(name: &str) -> PathBuf {
    // SAFETY: `getuid` cannot fail.
    let root = unsafe { libc::getuid() } == 0;
    let base = match (std::env::var_os("RUNTIME_DIRECTORY"), std::env::var_os("XDG_RUNTIME_DIR")) {
        (Some(base), _) => base.into(),
        _ if root => PathBuf::from("/var/run"),
        (_, Some(base)) => base.into(),
        _ => "/tmp".into(),
    };
    base.join("dpdk").join(name)
}

/// Has the kernel kill what this command starts when the thread that starts it ends, so that a case
/// that hangs and is killed leaves nothing running.
pub fn dies_with_us(command: &mut Command) -> &mut Command {
    // SAFETY: between fork and exec it makes one system call, which is allowed there.
    unsafe {
        command.pre_exec(|| {
            rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
            Ok(())
        })
    }
}

/// Removes what instances of a case that was killed have left.
pub fn remove_instances(process: u32) {
    let ours = format!("punctual-e2e-{process}-");
    let files = std::fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten();
    let names = files.filter_map(|file| file.file_name().into_string().ok());
    for name in names.filter(|name| name.starts_with(&ours)) {
        let _ = std::fs::remove_dir_all(std::env::temp_dir().join(&name));
        let _ = std::fs::remove_dir_all(runtime_directory(&name));
        remove_lock(&name);
    }
}

/// Removes the files that a killed instance of that name leaves: the lock itself is gone, and
/// nobody answers on the socket.
pub fn remove_lock(name: &str) {
    // SAFETY: `getuid` cannot fail.
    let user = unsafe { libc::getuid() };
    let directory =
        match (std::env::var_os("RUNTIME_DIRECTORY"), std::env::var_os("XDG_RUNTIME_DIR")) {
            (Some(base), _) => base.into(),
            _ if user == 0 => PathBuf::from("/run/punctual"),
            (_, Some(base)) => PathBuf::from(base).join("punctual"),
            _ => format!("/tmp/punctual-{user}").into(),
        };
    for kind in ["lock", "sock"] {
        let _ = std::fs::remove_file(directory.join(format!("{name}.{kind}")));
    }
}

/// Runs the cases that the arguments name; the whole of a test file's `main`.
pub fn run(cases: &[Case]) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let flag = |name: &str| arguments.iter().any(|argument| argument == name);
    let filters: Vec<&String> = arguments.iter().filter(|a| !a.starts_with('-')).collect();
    if flag("--case") {
        let (_, case) = cases.iter().find(|(name, _)| filters.iter().any(|f| f == name)).unwrap();
        case();
        return ExitCode::SUCCESS;
    }
    let chosen = |name: &str| {
        let matches = |filter: &&&String| {
            if flag("--exact") { name == **filter } else { name.contains(filter.as_str()) }
        };
        // nextest asks for ignored tests apart; there are none.
        !flag("--ignored")
            && !name.starts_with('_')
            && (filters.is_empty() || filters.iter().any(|f| matches(&f)))
    };
    let chosen: Vec<&Case> = cases.iter().filter(|(name, _)| chosen(name)).collect();
    if flag("--list") {
        chosen.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    println!("\nrunning {} tests", chosen.len());
    let (mut failed, mut skipped) = (0, 0);
    for (name, _) in &chosen {
        match in_a_process(name) {
            Ok(None) => println!("test {name} ... ok"),
            Ok(Some(why)) => {
                skipped += 1;
                println!("test {name} ... {why}");
            }
            Err(why) => {
                failed += 1;
                println!("test {name} ... FAILED\n---- {name} ----\n{why}");
            }
        }
    }
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    let passed = chosen.len() - failed - skipped;
    println!("\ntest result: {verdict}. {passed} passed; {failed} failed; {skipped} skipped");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs one case in a child; says why where it failed, or else where it was skipped.
fn in_a_process(name: &str) -> Result<Option<String>, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = std::env::temp_dir().join(format!("punctual-test-{}.log", std::process::id()));
    let log = std::fs::File::create(&output).map_err(|error| error.to_string())?;
    let mut child = Command::new(program)
        .args(["--case", name])
        .stdin(Stdio::null())
        .stdout(log.try_clone().map_err(|error| error.to_string())?)
        .stderr(log)
        .spawn()
        .map_err(|error| error.to_string())?;
    let is_long = std::env::var_os("PUNCTUAL_LONG").is_some();
    let case_max = if is_long { LONG_CASE_MAX } else { CASE_MAX };
    let deadline = Instant::now() + case_max;
    let mut verdict = loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => break Ok(None),
            Ok(Some(status)) if status.code() == Some(SKIPPED) => break Ok(Some(())),
            Ok(Some(status)) => break Err(status.to_string()),
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(5)),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                remove_instances(child.id());
                break Err(format!("still running after {} s", case_max.as_secs()));
            }
        }
    };
    let instance = name_of(child.id());
    let directory = runtime_directory(&instance);
    if directory.exists() {
        let left = format!("{} was left behind", directory.display());
        verdict = verdict.and(Err(left));
        let _ = std::fs::remove_dir_all(directory);
    }
    remove_lock(&instance);
    let _ = std::fs::remove_dir_all(std::env::temp_dir().join(instance));
    let said = std::fs::read_to_string(&output).unwrap_or_default();
    let _ = std::fs::remove_file(output);
    let last = || said.lines().last().unwrap_or("skipped").to_owned();
    verdict.map(|is_skipped| is_skipped.map(|()| last())).map_err(|why| format!("{said}{why}"))
}
