//! EAL's life, its names, its lcores.

use std::process::{Command, Stdio};

use punctual::config::EalMemory;
use punctual::dpdk::{DpdkError, Eal, EalConfig, TscClock, launch};
use punctual::packet::{Clock, Packet};

use crate::common::{instance_name, runtime_directory};
use crate::support::{config, eal, frame, pool};

pub fn eal_leaves_nothing_behind() {
    let eal = eal();
    let directory = runtime_directory(eal.name());
    assert!(eal.runtime_directory().exists() && directory.exists(), "{}", directory.display());
    assert!(TscClock::new(&eal).ticks_per_second() > 1_000_000);
    let clock = TscClock::new(&eal);
    assert!(clock.now() < clock.now());
    drop(eal);
    assert!(!directory.exists(), "{} is left", directory.display());
}

pub fn eal_starts_once_in_a_process() {
    let first = eal();
    drop(first);
    assert!(matches!(Eal::start(&config()), Err(DpdkError::StartedBefore)));
}

/// A second process under the name in PUNCTUAL_TEST_NAME; says so and waits to be killed.
pub fn hold_a_name() {
    let name = std::env::var("PUNCTUAL_TEST_NAME").unwrap();
    let _eal = Eal::start(&EalConfig { name, ..config() }).expect("EAL starts");
    println!("held");
    std::thread::sleep(std::time::Duration::from_secs(50));
}

fn holder_of(case: &str, name: &str) -> std::process::Child {
    use std::io::{BufRead, BufReader};
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--case", case])
        .env("PUNCTUAL_TEST_NAME", name)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line == "held"), "the other process starts");
    child
}

pub fn a_busy_name_is_refused_and_harms_nobody() {
    let mut other = holder_of("_eal::hold_a_name", &instance_name());
    let error = Eal::start(&config()).unwrap_err();
    assert!(matches!(error, DpdkError::NameBusy { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains(&instance_name()) && text.contains(&other.id().to_string()), "{text}");
    let theirs = runtime_directory(&instance_name());
    assert!(theirs.join("config").exists(), "the other instance keeps its directory");
    other.kill().unwrap();
    other.wait().unwrap();
    drop(eal());
}

pub fn a_killed_process_frees_its_name() {
    let mut other = holder_of("_eal::hold_a_name", &instance_name());
    other.kill().unwrap();
    other.wait().unwrap();
    drop(eal());
    assert!(!runtime_directory(&instance_name()).exists());
}

pub fn a_failed_start_says_why_and_tidies_up() {
    let name = "no/slash".to_owned();
    let error = Eal::start(&EalConfig { name, ..config() }).unwrap_err();
    assert!(matches!(error, DpdkError::InvalidName { .. }), "{error}");
    let error = Eal::start(&EalConfig { worker_cpus: vec![0, 4095], ..config() }).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("CPU 4095") && text.contains("[eal] lcores"), "{text}");
    let extra = vec!["--no-such-thing".to_owned()];
    let error = Eal::start(&EalConfig { extra, ..config() }).unwrap_err();
    let text = error.to_string();
    println!("{text}");
    assert!(text.contains(&instance_name()) && text.contains("[eal] extra"), "{text}");
    assert!(!runtime_directory(&instance_name()).exists());
}

/// Starts where the host has hugepages; where not, the error says how to get them.
fn starts_or_explains(memory: EalMemory) {
    match Eal::start(&EalConfig { memory, ..config() }) {
        Ok(eal) => {
            let mut pool = pool(&eal, "payload", 4096);
            assert_eq!(frame(&mut pool, &[1; 60]).frame_len(), 60);
            assert_eq!(pool.in_use(), 0);
        }
        Err(error) => {
            let text = error.to_string();
            println!("{text}");
            assert!(text.contains("dpdk-hugepages.py --"), "{text}");
        }
    }
    assert!(!runtime_directory(&instance_name()).exists());
}

pub fn in_memory_starts_or_is_explained() {
    starts_or_explains(EalMemory::InMemory);
}

pub fn hugepages_start_or_are_explained() {
    starts_or_explains(EalMemory::Hugepages);
}

/// Holds EAL's own lock under the name in PUNCTUAL_TEST_NAME, as any other DPDK program does.
pub fn hold_eal_config() {
    let directory = runtime_directory(&std::env::var("PUNCTUAL_TEST_NAME").unwrap());
    std::fs::create_dir_all(&directory).unwrap();
    let file = std::fs::File::create(directory.join("config")).unwrap();
    file.set_len(1 << 20).unwrap();
    // SAFETY: all zero is a valid `flock`, and the descriptor is open.
    let code = unsafe {
        let mut lock: libc::flock = std::mem::zeroed();
        lock.l_type = libc::F_WRLCK as _;
        libc::fcntl(std::os::fd::AsRawFd::as_raw_fd(&file), libc::F_SETLK, &lock)
    };
    assert_eq!(code, 0);
    println!("held");
    std::thread::sleep(std::time::Duration::from_secs(50));
}

pub fn another_program_keeps_its_directory() {
    let mut other = holder_of("_eal::hold_eal_config", &instance_name());
    let error = Eal::start(&config()).unwrap_err();
    let text = error.to_string();
    println!("{text}");
    assert!(matches!(error, DpdkError::NameBusy { .. }), "{text}");
    assert!(text.contains(&other.id().to_string()), "{text}");
    assert!(runtime_directory(&instance_name()).join("config").exists());
    other.kill().unwrap();
    other.wait().unwrap();
    std::fs::remove_dir_all(runtime_directory(&instance_name())).unwrap();
}

pub fn workers_return_and_panic_apart() {
    let eal = eal();
    let mut payload = pool(&eal, "payload", 64);
    let packet = frame(&mut payload, &[9; 60]);
    let worker = launch(&eal, 0, move || (punctual::dpdk::lcore_id(), packet.head()[0]));
    assert_eq!(worker.unwrap().join(), Ok((Some(1), 9)));
    assert_eq!(payload.in_use(), 0, "what a worker drops is back");
    let worker = launch(&eal, 0, || panic!("on purpose")).unwrap();
    let error: Result<(), _> = worker.join();
    assert_eq!(error.unwrap_err().to_string(), "worker 0 panicked");
    assert_eq!(launch(&eal, 0, || 1).unwrap().join(), Ok(1));
    let text = launch(&eal, 1, || ()).unwrap_err().to_string();
    assert!(text.contains("worker 1"), "{text}");
}

pub fn outstanding_packets_survive_their_pool() {
    let eal = eal();
    let mut payload = pool(&eal, "payload", 64);
    let packet = frame(&mut payload, &[9; 60]);
    drop((payload, eal));
    assert!(!runtime_directory(&instance_name()).exists());
    assert_eq!(packet.head(), [9; 60]);
    drop(packet);
}
