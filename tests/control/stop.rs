//! The end that somebody asks for, and which instance is asked.

use crate::binary::number;
use crate::metrics::{KEYS, address, scrape};
use crate::site::Site;

#[test]
fn stop_drains_and_returns_when_all_has_ended() {
    let site = Site::endless();
    for _ in 0..2 {
        let running = site.start();
        while number(&site.json("ledger")["sent"]) < 1_000 {}
        let said = site.told(&["stop"]);
        assert!(said.contains("drained; received") && said.contains("residual 0"), "{said}");
        // The name is free already, and the report written: the next start meets nobody.
        assert!(!site.instance.path(&format!("run/{}.lock", site.instance.name)).exists());
        let report = site.instance.report();
        assert_eq!(number(&report["ledger"]["residual"]), 0);
        site.has_ended(running);
    }
}

#[test]
fn of_several_instances_one_is_chosen_by_name() {
    let (site, other) = (Site::endless(), Site::finite());
    let none = site.ask(&["show", "ledger"]);
    assert_eq!(none.code, Some(69), "{none:?}");
    let run = site.instance.path("run");
    let (run, name) = (run.to_str().expect("a path"), site.instance.name.as_str());
    assert!(none.stderr.contains(run) && none.stderr.contains("punctual run"), "{}", none.stderr);

    let running = site.start();
    // The other one runs in the same directory.
    let mut command = other.command();
    command.env("RUNTIME_DIRECTORY", run);
    let args = ["run", "config.toml", "--report", "report.json"];
    let mut second = other.instance.spawn(&args, &mut command);
    let both = ["show", "rules", "--instance", &other.instance.name];
    while site.ask(&both).code != Some(0) {
        assert!(second.is_running(), "{}", second.stderr());
    }
    for args in [&["show", "ledger"][..], &["stop"], &["reset"]] {
        let ended = site.ask(args);
        assert_eq!(ended.code, Some(69), "{ended:?}");
        for part in [name, &other.instance.name, "--instance NAME"] {
            assert!(ended.stderr.contains(part), "`{part}`: {}", ended.stderr);
        }
    }
    assert!(site.told(&["show", "rules", "--instance", name]).starts_with(name));
    let nobody = site.ask(&["show", "rules", "--instance", "nobody"]);
    assert_eq!(nobody.code, Some(69));
    assert!(nobody.stderr.contains(name), "{}", nobody.stderr);

    site.told(&["stop", "--instance", &other.instance.name]);
    other.has_ended(second);
    // Now it is the only one.
    site.stop(running);
}

#[test]
fn a_run_that_is_stopped_by_two_tells_both() {
    let site = Site::endless();
    let running = site.start();
    let ask = || site.instance.spawn(&["stop"], &mut site.command());
    let (one, two) = (ask(), ask());
    site.has_ended(running);
    let ended = [one.end(), two.end()];
    // One may come when the other has ended it already.
    assert!(ended.iter().any(|ended| ended.code == Some(0)), "{ended:?}");
    for ended in ended {
        match ended.code {
            Some(0) => assert!(ended.stdout.contains("drained"), "{ended:?}"),
            code => assert_eq!(code, Some(69), "{ended:?}"),
        }
    }
}

/// The threads of a process by name, each with the CPUs that it may use.
fn threads(process: i32) -> Vec<(String, String)> {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).expect("it runs");
    let each = tasks.flatten().filter_map(|task| {
        let name = std::fs::read_to_string(task.path().join("comm")).ok()?;
        let status = std::fs::read_to_string(task.path().join("status")).ok()?;
        let cpus = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
        Some((name.trim().to_owned(), cpus.trim().to_owned()))
    });
    each.collect()
}

/// Management shares the worker's CPU, and threads inherit where their maker is pinned: so this
/// shows that the service thread was moved.
#[test]
fn the_service_stays_off_the_worker_s_cpu() {
    let cpus = punctual::dpdk::allowed_cpus();
    let [cpu, _, ..] = cpus[..] else {
        eprintln!("not shown: there is one CPU");
        return;
    };
    let lcores = format!("lcores = {{ management = {cpu}, workers = [{cpu}] }}");
    let site = Site::finite_of(&lcores, KEYS);
    let mut running = site.start();
    let cpu = cpu.to_string();
    // Who answers has moved.
    site.told(&["show", "workers"]);
    scrape(address(&mut running));
    let threads = threads(running.id());
    let cpus = |part: &str| {
        let found = threads.iter().find(|(name, _)| name.contains(part));
        found.unwrap_or_else(|| panic!("no {part} in {threads:?}")).1.as_str()
    };
    assert_eq!(cpus("worker"), cpu, "{threads:?}");
    for service in ["control", "metrics"] {
        assert!(!cpus(service).split([',', '-']).any(|other| other == cpu), "{threads:?}");
    }
    site.stop(running);
}

#[test]
fn without_a_socket_nobody_can_ask() {
    let site = Site::endless_with("[management]\nsocket = \"off\"");
    let mut running = site.begin();
    running.has_started();
    assert!(!site.socket().exists());
    let ended = site.ask(&["show", "ledger"]);
    assert_eq!(ended.code, Some(69), "{ended:?}");
    running.signal(libc::SIGTERM);
    site.has_ended(running);
}
