//! Everyone that is told of a run while it runs: the log, the terminal, the service manager, and
//! those who look at the alerts.

use std::time::Duration;

use tracing_appender::non_blocking::NonBlocking;

use super::alerts::{Alert, Alerts, Drivers, Seen};
use super::control::{Refusal, Reloaded};
use super::engine::Engine;
use super::live::{Live, Totals};
use super::logs::{self, Logs};
use super::notify::Notify;
use super::report::WorkerView;
use super::text::{grouped, span};
use crate::config::Config;
use crate::dpdk;
use crate::worker::Phase;

/// Those who are told, and what is known already.
pub struct Told {
    /// What the operator should know.
    pub alerts: Alerts,
    live: Live<NonBlocking>,
    notify: Notify,
    /// Up to where DPDK's own log has been passed on.
    dpdk_log: usize,
    phase: Phase,
    logs: Logs,
}

impl Told {
    /// Nothing has been told yet.
    pub fn new(logs: Logs) -> Self {
        Self {
            alerts: Alerts::default(),
            live: Live::new(logs.terminal()),
            notify: Notify::from_environment(),
            dpdk_log: 0,
            phase: Phase::Run,
            logs,
        }
    }

    /// It relays.
    pub fn ready(&mut self, config: &Config, engine: &Engine) {
        let (lines, mark) = dpdk::log_after(self.dpdk_log);
        lines.iter().for_each(|line| tracing::debug!(dpdk = line.as_str()));
        self.dpdk_log = mark;
        let misplaced = engine.places.iter().flat_map(|place| &place.misplaced);
        misplaced.for_each(|line| tracing::warn!("{line}"));
        let (ports, rules) = (config.ports.len(), config.rules.len());
        let workers = engine.counters.len();
        tracing::info!(instance = config.instance, workers, ports, rules, "ready");
        self.notify.ready();
    }

    /// What the workers are asked for now.
    pub fn phase(&mut self, phase: Phase) {
        if phase != self.phase {
            self.phase = phase;
            self.live.erase();
            match phase {
                Phase::Run => {}
                Phase::Drain => {
                    tracing::info!("draining");
                    self.notify.stopping();
                }
                Phase::Abort => tracing::warn!("the drain took too long: what waits is dropped"),
            }
        }
    }

    /// Begins a reload; [`Self::reloaded`] ends it.
    pub fn reloading(&self) {
        self.notify.reloading();
    }

    /// How a reload ended. What was refused changed nothing, and all goes on.
    pub fn reloaded(&mut self, reloaded: &Result<Reloaded, Refusal>) {
        self.live.erase();
        match reloaded {
            Ok(reloaded) => {
                let (file, generation) = (&reloaded.file, reloaded.generation);
                let (diff, took) = (reloaded.diff.summary(), span(reloaded.took_ns));
                tracing::info!(generation, "reloaded {file} in {took}: {diff}");
                if !reloaded.warnings.is_empty() {
                    tracing::warn!("{}", reloaded.warnings);
                }
            }
            Err(refusal) => {
                tracing::error!("not reloaded, all goes on as it was:\n{}", refusal.message);
            }
        }
        self.notify.ready();
    }

    /// Ends what is told while it runs.
    pub fn end(&mut self) {
        self.live.erase();
    }

    /// Looks at the instance, once a tick, and tells what is new. Returns whether there was nothing
    /// that is to be followed closely.
    pub fn tick(&mut self, now: Duration, config: &Config, engine: &mut Engine) -> bool {
        let Self { alerts, live, notify, logs, .. } = self;
        let mut changes = Vec::new();
        let is_calm = engine.watch(now, |of, change| changes.push((of, change)));
        let mut tell = |alert: &Alert| {
            live.erase();
            logs::alert(alert, u64::try_from(now.as_nanos()).unwrap_or(u64::MAX));
        };
        changes.into_iter().for_each(|change| alerts.breaker(now, config, change, &mut tell));
        let workers: Vec<_> = engine.workers().collect();
        let workers =
            workers.iter().map(|(lcore, counters)| WorkerView { lcore: *lcore, counters });
        let workers: Vec<_> = workers.collect();
        let seen = Seen { config, plan: &engine.plan, workers: &workers };
        let drivers = || Drivers {
            ports: engine.port_status(),
            pools: engine.pool_status(),
            log_dropped: logs.dropped(),
            unreachable: engine.slow_path.protocols.neighbours.unreachable.total(),
        };
        alerts.tick(now, &seen, drivers, tell);
        let (lines, mark) = dpdk::log_after(self.dpdk_log);
        if !lines.is_empty() {
            live.erase();
            lines.iter().for_each(|line| tracing::info!(dpdk = line.as_str()));
        }
        self.dpdk_log = mark;
        let totals = || engine.totals();
        notify.tick(now, alerts.all_advance(), || {
            let Totals { ledger, .. } = totals();
            let [received, sent] = [ledger.received, ledger.sent].map(grouped);
            format!("received {received}, sent {sent}, {} alerts", alerts.active())
        });
        live.tick(now, totals);
        is_calm
    }
}
