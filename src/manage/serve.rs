//! `punctual run`: start, look after the instance until it is to stop, drain, report.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};

use super::control::{Ended, Order, Place, PlaceError, Service, Who};
use super::engine::Engine;
use super::live::{Live, Totals};
use super::report::Report;
use super::run::{Activity, Stop, StopPolicy};
use super::text::Style;
use super::view::View;
use super::{breaker, table, wall};
use crate::config::Config;
use crate::dpdk;
use crate::packet::DropReason;
use crate::plan::PlanError;

/// How often management looks after things.
const TICK: Duration = Duration::from_millis(1);
/// The lcore of the only worker; 0 is management.
const WORKER_LCORE: u32 = 1;

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The host lacks something, or DPDK refused.
    #[error(transparent)]
    Dpdk(#[from] dpdk::DpdkError),
    /// The configuration cannot be planned.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// There is no control socket.
    #[error(transparent)]
    Control(#[from] PlaceError),
    /// There is no thread to answer.
    #[error("cannot start the control socket's thread: {0}")]
    Thread(std::io::Error),
    /// The report cannot be written.
    #[error("cannot write the report to {path}: {error}; choose a writable place for --report")]
    Report {
        /// Where it was to go.
        path: PathBuf,
        /// What the file system says.
        error: std::io::Error,
    },
    /// Signals cannot be caught.
    #[error("cannot catch signals: {0}")]
    Signals(std::io::Error),
    /// The worker panicked: a bug.
    #[error(transparent)]
    Worker(#[from] dpdk::WorkerPanicked),
    /// The ledger does not add up: a bug.
    #[error("the ledger is off by {0}: this is a bug, please report it with the table above")]
    Residual(u64),
}

/// Runs `config` until `policy` or a signal ends it, then prints the table, and writes the report
/// where `report` says.
///
/// # Errors
/// Where the instance cannot start or report, or its ledger does not add up.
pub fn serve(config: &Config, policy: StopPolicy, report: Option<&Path>) -> Result<(), RunError> {
    let signalled = catch_signals().map_err(RunError::Signals)?;
    let mut report_file = report.map(ReportFile::create).transpose()?;
    let mut engine = Engine::start(config)?;
    let config = Arc::new(config.clone());
    let mut service = serve_control(&config, &engine)?;
    let uptime = watch(&config, &mut engine, policy, &signalled, service.as_ref());
    engine.join()?;
    let report = view(&config, &engine, uptime).report(true);
    if let Some(service) = &mut service {
        service.end(ended(&report));
    }
    let stdout = std::io::stdout();
    let text = table::render(&report, Style::of(&stdout));
    // A reader that went away is no reason to fail.
    let _ = stdout.lock().write_all(text.as_bytes());
    if let Some(file) = &mut report_file {
        file.write(&report)?;
    }
    // Those who asked for the end see it when the name is free again.
    drop(engine);
    drop(service);
    match report.ledger.residual {
        0 => Ok(()),
        residual => Err(RunError::Residual(residual)),
    }
}

/// A flag that SIGINT and SIGTERM raise.
fn catch_signals() -> std::io::Result<Arc<AtomicBool>> {
    let signalled = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&signalled))?;
    }
    Ok(signalled)
}

/// Opens the control socket, which the name's lock makes ours.
fn serve_control(config: &Config, engine: &Engine) -> Result<Option<Service>, RunError> {
    let Some(made) = Place::make(&config.socket, &config.instance)? else {
        return Ok(None);
    };
    let who = Who {
        name: config.instance.clone(),
        process: std::process::id(),
        started_unix_ms: wall::unix_ms(),
    };
    Service::start(made, who, &engine.service_cpus).map(Some).map_err(RunError::Thread)
}

/// Ticks until the worker has ended; returns how long that took.
fn watch(
    config: &Arc<Config>,
    engine: &mut Engine,
    policy: StopPolicy,
    signalled: &AtomicBool,
    service: Option<&Service>,
) -> Duration {
    let start = wall::now();
    let mut stop = Stop::new(policy);
    let mut activity = Activity::default();
    let mut live = Live::stderr();
    let mut asked = false;
    while !engine.has_ended() {
        let now = start.elapsed();
        for order in service.into_iter().flat_map(Service::orders) {
            match order {
                // Who asked may have gone meanwhile.
                Order::View(reply) => drop(reply.try_send(view(config, engine, now))),
                Order::Stop => asked = true,
            }
        }
        let last_activity = activity.observe(&engine.counters.ledger.read(), now);
        let ends = asked || signalled.load(Ordering::Relaxed);
        engine.set_phase(stop.decide(now, last_activity, ends));
        engine.watch(now, |of, change| {
            live.erase();
            // A reader that went away is no reason to stop relaying.
            let _ = writeln!(std::io::stderr(), "{}", breaker::message(config, of, change));
        });
        live.tick(now, || Totals::read(std::iter::once(&*engine.counters)));
        std::thread::sleep(TICK);
    }
    live.erase();
    start.elapsed()
}

/// The instance as it is now.
fn view(config: &Arc<Config>, engine: &Engine, uptime: Duration) -> View {
    View {
        config: Arc::clone(config),
        plan: Arc::clone(&engine.plan),
        workers: vec![(WORKER_LCORE, Arc::clone(&engine.counters))],
        ports: engine.port_status(),
        retired: *engine.reloader.retired(),
        breakers: engine.breakers.clone(),
        pools: engine.pool_status(),
        now: engine.now(),
        uptime,
        dpdk: dpdk::version().trim_start_matches("DPDK ").to_owned(),
    }
}

/// What those who asked for the end are told.
fn ended(report: &Report) -> Ended {
    let ledger = report.ledger.clone();
    let dropped = [&ledger.dropped_before, &ledger.dropped_after];
    let stopped = dropped.map(|dropped| dropped.get(DropReason::Stopped));
    Ended { stopped: stopped.iter().sum(), uptime_ns: report.uptime_ns, ledger }
}

/// The report's file, opened before the run so that a wrong path is found at once.
struct ReportFile {
    path: PathBuf,
    file: File,
}

impl ReportFile {
    fn create(path: &Path) -> Result<Self, RunError> {
        let file = File::create(path)
            .map_err(|error| RunError::Report { path: path.to_owned(), error })?;
        Ok(Self { path: path.to_owned(), file })
    }

    fn write(&mut self, report: &Report) -> Result<(), RunError> {
        let written = self.file.write_all(report.to_json().as_bytes());
        written.map_err(|error| RunError::Report { path: self.path.clone(), error })
    }
}
