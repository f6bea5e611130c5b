//! `punctual run`: start, look after the instance until it is to stop, drain, report.

use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::alerts::Alerts;
use super::capture::{Captures, Scene};
use super::control::{Ended, Order, Place, PlaceError, Service, Who};
use super::engine::Engine;
use super::in_force::InForce;
use super::logs::{self, Logs};
use super::metrics::{self, Http, Telemetry, TooManySeries};
use super::pace::{Pace, TICK};
use super::reloads::Reloads;
use super::report::Report;
use super::run::{Activity, Stop, StopPolicy};
use super::text::Style;
use super::told::Told;
use super::view::View;
use super::{table, wall};
use crate::config::{Config, Known};
use crate::dpdk;
use crate::packet::DropReason;
use crate::plan::PlanError;
use crate::worker::Phase;

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
    /// Metrics cannot be answered.
    #[error("cannot listen at {address}: {error}; choose another address for [management] metrics")]
    Metrics {
        /// Where it was to be.
        address: SocketAddr,
        /// What the system says.
        error: std::io::Error,
    },
    /// There would be more metrics than are allowed.
    #[error(transparent)]
    Series(#[from] TooManySeries),
    /// The report cannot be written.
    #[error("cannot write the report to {path}: {error}; choose a writable place for --report")]
    Report {
        /// Where it was to go.
        path: PathBuf,
        /// What the file system says.
        error: std::io::Error,
    },
    /// The kernel does not tell of its interfaces.
    #[error("the kernel does not tell of the ports' interfaces (rtnetlink): {0}")]
    Interfaces(std::io::Error),
    /// Signals cannot be caught.
    #[error("cannot catch signals: {0}")]
    Signals(std::io::Error),
    /// A worker panicked: a bug.
    #[error(transparent)]
    Worker(#[from] dpdk::WorkerPanicked),
    /// The ledger does not add up: a bug.
    #[error("the ledger is off by {0}: this is a bug, please report it with the table above")]
    Residual(u64),
}

/// Runs `config`, which was read from `file` (what is known of it is `known`), until `policy` or a signal ends it, then prints the table, and writes the report
/// where `report` says.
///
/// # Errors
/// Where the instance cannot start or report, or its ledger does not add up.
pub fn serve(
    (config, known, warnings): (&Config, Known, &str),
    file: &Path,
    policy: StopPolicy,
    report: Option<&Path>,
    (format, least): (logs::Format, logs::Least),
) -> Result<(), RunError> {
    let signals = Signals::catch().map_err(RunError::Signals)?;
    metrics::check(config)?;
    let mut report_file = report.map(ReportFile::create).transpose()?;
    let mut engine = Engine::start(config)?;
    let mut in_force = InForce::new(config.clone(), file.to_owned(), known);
    // Who is answered by the control socket is answered by telemetry, too.
    let telemetry = Telemetry::start(engine.eal())?;
    let mut service = serve_control(config, &engine)?;
    let http = serve_metrics(config, &engine)?;
    let desks = Desks { service: service.as_ref(), http: http.as_ref(), telemetry: &telemetry };
    // Its thread runs on the management CPU, as this one has since EAL has started.
    let mut told = Told::new(Logs::start(format, least));
    if !warnings.is_empty() {
        tracing::warn!("{warnings}");
    }
    let mut captures = Captures::default();
    let looked_after = (&mut engine, &mut captures);
    let uptime = watch(&mut in_force, looked_after, policy, &signals, &desks, &mut told);
    drop(telemetry);
    drop(http);
    engine.join(uptime)?;
    captures.finish();
    let report = view(&in_force, &engine, &told.alerts, uptime).report(true);
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

/// Those who ask management.
struct Desks<'a> {
    service: Option<&'a Service>,
    http: Option<&'a Http>,
    telemetry: &'a Telemetry,
}

impl Desks<'_> {
    /// What is asked for now; never blocks.
    fn orders(&self) -> impl Iterator<Item = Order> {
        let service = self.service.into_iter().flat_map(Service::orders);
        let http = self.http.into_iter().flat_map(Http::orders);
        service.chain(http).chain(self.telemetry.orders())
    }
}

/// Flags that signals raise.
struct Signals {
    /// SIGINT and SIGTERM.
    stop: Arc<AtomicBool>,
    /// SIGHUP.
    reload: Arc<AtomicBool>,
}

impl Signals {
    fn catch() -> std::io::Result<Self> {
        let (stop, reload) = (Arc::default(), Arc::default());
        for (signal, flag) in [(SIGINT, &stop), (SIGTERM, &stop), (SIGHUP, &reload)] {
            signal_hook::flag::register(signal, Arc::clone(flag))?;
        }
        Ok(Self { stop, reload })
    }
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

/// Listens for those who read metrics, and says where.
fn serve_metrics(config: &Config, engine: &Engine) -> Result<Option<Http>, RunError> {
    let Some(address) = config.metrics else {
        return Ok(None);
    };
    let detail = metrics::check(config)?;
    let http = Http::start(address, detail, &engine.service_cpus)
        .map_err(|error| RunError::Metrics { address, error })?;
    // A reader that went away is no reason not to start.
    let _ = writeln!(std::io::stderr(), "metrics: http://{}/metrics", http.address());
    Ok(Some(http))
}

/// Ticks until the workers have ended; returns how long that took.
fn watch(
    in_force: &mut InForce,
    (engine, captures): (&mut Engine, &mut Captures),
    policy: StopPolicy,
    signals: &Signals,
    desks: &Desks<'_>,
    told: &mut Told,
) -> Duration {
    let start = wall::now();
    let mut stop = Stop::new(policy);
    let mut activity = Activity::default();
    told.ready(&in_force.config, engine);
    let mut asked = false;
    let mut reloads = Reloads::default();
    let mut pace = Pace::default();
    while !engine.has_ended() {
        let now = start.elapsed();
        for order in desks.orders() {
            match order {
                // Who asked may have gone meanwhile.
                Order::View(reply) => {
                    drop(reply.try_send(view(in_force, engine, &told.alerts, now)))
                }
                Order::Reload(file, reply) => reloads.ask(file, Some(reply), now),
                Order::Capture(wanted, reply) => {
                    captures.ask(*wanted, reply, &scene(in_force, engine));
                }
                Order::Stop => asked = true,
            }
        }
        captures.tick(&scene(in_force, engine), now);
        let turns = engine.counters.iter().map(|counters| counters.worker.turns.get());
        let last_activity = activity.observe(&engine.totals().ledger, turns, now);
        if signals.reload.swap(false, Ordering::Relaxed) {
            reloads.ask(None, None, now);
        }
        if reloads.advance(now, in_force, engine, told) {
            std::thread::park_timeout(TICK);
            // An order that has ended this is not waited with again below.
            std::thread::current().unpark();
        }
        let ends = asked || signals.stop.load(Ordering::Relaxed);
        let phase = match stop.decide(now, last_activity, ends) {
            Phase::Drain if engine.is_leaving(now) => Phase::Run,
            phase => phase,
        };
        engine.set_phase(phase);
        if let Some(http) = desks.http {
            http.set_draining(phase != Phase::Run);
        }
        told.phase(phase);
        let is_calm = told.tick(now, &in_force.config, engine);
        let is_calm = is_calm && phase == Phase::Run && reloads.is_calm() && captures.is_calm();
        std::thread::park_timeout(pace.sleep(now, is_calm));
    }
    told.end();
    start.elapsed()
}

/// What a capture would be of.
fn scene<'a>(in_force: &'a InForce, engine: &'a Engine) -> Scene<'a> {
    Scene {
        config: &in_force.config,
        plan: &engine.plan,
        workers: &engine.counters,
        control: &engine.control,
        now: engine.now(),
    }
}

/// The instance as it is now.
fn view(in_force: &InForce, engine: &Engine, alerts: &Alerts, uptime: Duration) -> View {
    View {
        config: Arc::clone(&in_force.config),
        plan: Arc::clone(&engine.plan),
        workers: engine.workers().collect(),
        places: Arc::clone(&engine.places),
        ports: engine.port_status(),
        retired: *engine.reloader.retired(),
        breakers: engine.breakers.clone(),
        pools: engine.pool_status(),
        unmatched: engine.unmatched.clone(),
        groups: engine.slow_path.protocols.groups.state(uptime),
        neighbours: engine.slow_path.protocols.neighbours.shown(uptime),
        malformed: engine.slow_path.protocols.counts.malformed.clone(),
        alerts: alerts.list(),
        now: engine.now(),
        uptime,
        dumpcap: engine.dumpcap(),
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
