//! The commands that ask a running instance: `show`, `stop` and `reset`.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::Value;

use super::exit::{self, Exit};
use super::load::Loaded;
use super::{duration, fail, print, warn};
use crate::config;
use crate::manage::control::{
    Client, ClientError, Command, Planned, Reloaded, Shown, Stopped, Timed, Which, code,
};
use crate::manage::reload::diff;
use crate::manage::report::Report;
use crate::manage::run::DRAIN_MAX;
use crate::manage::show::baseline::{self, Baseline, BaselineError};
use crate::manage::show::{self, Arrange, Part, SortError, What};
use crate::manage::text::{Paint, Style, grouped, is_dumb, span};
use crate::manage::view::RuleLatency;
use crate::manage::wall;

/// How long an instance may take for an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a drain may take, and what comes behind it: ports and EAL are closed.
const STOP_PATIENCE: Duration = DRAIN_MAX.saturating_add(PATIENCE);
/// The shortest `--watch`.
const WATCH_MIN: Duration = Duration::from_millis(100);
/// Cursor to the top left, erase the screen.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Which instance is asked.
#[derive(Clone, Debug, Args)]
pub struct Target {
    /// The instance's name; by default the only one that runs
    #[arg(long, value_name = "NAME", conflicts_with = "socket")]
    instance: Option<String>,
    /// The instance's control socket, where its configuration sets one
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

impl Target {
    /// As the client takes it.
    pub(super) fn which(&self) -> Which {
        match (&self.instance, &self.socket) {
            (_, Some(path)) => Which::At(path.clone()),
            (Some(name), None) => Which::Named(name.clone()),
            (None, None) => Which::Only,
        }
    }
}

/// The arguments of `punctual show`.
#[derive(Clone, Debug, Args)]
pub struct ShowArgs {
    /// What to show
    #[arg(value_enum)]
    what: What,
    /// As JSON: that part of the report; with --watch a line each time
    #[arg(long)]
    json: bool,
    /// Again and again, with rates beside the totals
    #[arg(long, value_name = "INTERVAL", num_args = 0..=1, default_missing_value = "1s",
          value_parser = interval)]
    watch: Option<Duration>,
    /// By this field of the JSON, as in `latency_ns.p99`; numbers from the greatest
    #[arg(long, value_name = "FIELD")]
    sort: Option<String>,
    /// The first N rows only
    #[arg(long, value_name = "N")]
    top: Option<usize>,
    /// Since the start, whatever `punctual reset` said
    #[arg(long)]
    total: bool,
    /// Of `latency`: the percentile text of HdrHistogram, in microseconds; with DIR a file
    /// RULE.hgrm in it for each rule
    #[arg(long, value_name = "DIR", num_args = 0..=1)]
    hgrm: Option<Option<PathBuf>>,
    #[command(flatten)]
    target: Target,
}

/// The arguments of `punctual reload`.
#[derive(Clone, Debug, Args)]
pub struct ReloadArgs {
    /// Another configuration; by default the one in force is read again
    file: Option<PathBuf>,
    #[command(flatten)]
    target: Target,
}

/// The arguments of `punctual stop`.
#[derive(Clone, Debug, Args)]
pub struct StopArgs {
    #[command(flatten)]
    target: Target,
}

/// The arguments of `punctual reset`.
#[derive(Clone, Debug, Args)]
pub struct ResetArgs {
    /// Count from the instance's start again
    #[arg(long)]
    clear: bool,
    #[command(flatten)]
    target: Target,
}

/// A duration that is no haste.
pub(super) fn interval(text: &str) -> Result<Duration, String> {
    let interval = duration(text)?;
    if interval < WATCH_MIN {
        return Err(format!("at least {} ms", WATCH_MIN.as_millis()));
    }
    Ok(interval)
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Baseline(#[from] BaselineError),
    #[error(transparent)]
    Sort(#[from] SortError),
    #[error("--watch, --sort and --top are not for the plan or latency")]
    Plan,
    #[error("--hgrm is for `show latency`, without --json")]
    Hgrm,
    #[error("cannot write {}: {error}; choose a directory that is writable", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the file system says.
        error: std::io::Error,
    },
    #[error("{0}")]
    File(String),
    #[error("a reload would refuse this: it needs a restart")]
    NeedsRestart,
    /// The new configuration is wrong, or cannot be had while running.
    #[error("not reloaded, all goes on as it was:\n{0}")]
    NotReloaded(String),
    /// The host does not give what a new port needs.
    #[error("not reloaded, all goes on as it was:\n{0}")]
    NotOpened(String),
    /// The instance has a defect.
    #[error("the ledger is off by {}: this is a bug, please report it", grouped(*.0))]
    Residual(u64),
}

impl AskError {
    fn exit(&self) -> Exit {
        match self {
            Self::Client(_) | Self::Baseline(_) => exit::UNAVAILABLE,
            Self::Write { .. } | Self::NotOpened(_) => exit::UNAVAILABLE,
            Self::Sort(_) | Self::Plan | Self::Hgrm => exit::USAGE,
            Self::File(_) | Self::NeedsRestart | Self::NotReloaded(_) => exit::CONFIG,
            Self::Residual(_) => exit::INTERNAL,
        }
    }
}

fn ended(result: Result<(), AskError>) -> Exit {
    match result {
        Ok(()) => exit::OK,
        Err(error) => fail(error.exit(), &error.to_string()),
    }
}

/// Shows a part of what an instance says.
pub fn show(args: &ShowArgs) -> Exit {
    ended(match args.what {
        What::Latency => show_latency(args),
        _ if args.hgrm.is_some() => Err(AskError::Hgrm),
        What::Plan => show_plan(args),
        _ => show_report(args),
    })
}

/// Has an instance go by another configuration.
pub fn reload(args: &ReloadArgs) -> Exit {
    ended(reload_it(args))
}

/// Says what differs between a configuration and the one that an instance goes by.
pub fn against(loaded: &Loaded, target: &Target) -> Exit {
    ended(compare(loaded, target))
}

/// Asks an instance to drain and stop, and waits until it has.
pub fn stop(args: &StopArgs) -> Exit {
    ended(stop_it(&args.target))
}

/// Begins to count anew, for this user.
pub fn reset(args: &ResetArgs) -> Exit {
    ended(reset_it(args))
}

fn show_plan(args: &ShowArgs) -> Result<(), AskError> {
    if args.watch.is_some() || args.sort.is_some() || args.top.is_some() {
        return Err(AskError::Plan);
    }
    let mut client = Client::connect(&args.target.which())?;
    let Planned { instance, plan } = client.ask(Command::Plan, PATIENCE)?;
    if args.json {
        let json = serde_json::to_value(&plan).unwrap_or(Value::Null);
        print(&format!("{json:#}\n"));
    } else {
        let style = Style::of(&std::io::stdout());
        let head = format!("{}: generation {}\n\n", instance.name, plan.generation);
        print(&(head + &show::plan(&plan, style)));
    }
    Ok(())
}

fn show_latency(args: &ShowArgs) -> Result<(), AskError> {
    if args.watch.is_some() || args.sort.is_some() || args.top.is_some() {
        return Err(AskError::Plan);
    }
    if args.json && args.hgrm.is_some() {
        return Err(AskError::Hgrm);
    }
    let mut client = Client::connect(&args.target.which())?;
    let Timed { instance, rules } = client.ask(Command::Latency, PATIENCE)?;
    match &args.hgrm {
        None if args.json => {
            let json = serde_json::to_value(&rules).unwrap_or(Value::Null);
            print(&format!("{json:#}\n"));
        }
        None => {
            let style = Style::of(&std::io::stdout());
            print(&format!("{}\n\n{}", instance.name, show::latency(&rules, style)));
        }
        Some(None) => {
            // A comment tells where a rule begins; plotters pass it over.
            let text = |rule: &RuleLatency| {
                format!("# rule {}, in microseconds\n{}\n", rule.rule, show::hgrm(&rule.times))
            };
            print(&rules.iter().map(text).collect::<String>());
        }
        Some(Some(directory)) => {
            for rule in &rules {
                // A name has no slash; should an instance say so all the same, it stays inside.
                let path = directory.join(format!("{}.hgrm", rule.rule.replace('/', "_")));
                std::fs::create_dir_all(directory)
                    .and_then(|()| std::fs::write(&path, show::hgrm(&rule.times)))
                    .map_err(|error| AskError::Write { path: path.clone(), error })?;
                print(&format!("{}\n", path.display()));
            }
        }
    }
    Ok(())
}

fn show_report(args: &ShowArgs) -> Result<(), AskError> {
    let which = args.target.which();
    let mut watch = Watch::default();
    loop {
        // Anew each time: an instance keeps no connection that is silent for long.
        let shown = Client::connect(&which)?.ask(Command::Show, PATIENCE)?;
        let text = watch.text(args, &shown, wall::now())?;
        let mut stdout = std::io::stdout().lock();
        let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
        match args.watch {
            // A reader that left early (`| head`) is no error.
            Some(interval) if written.is_ok() => std::thread::sleep(interval),
            _ => return Ok(()),
        }
    }
}

/// What was shown before, so that rates can be told.
#[derive(Default)]
struct Watch {
    before: Option<(Report, Instant)>,
    warned: bool,
}

impl Watch {
    /// One showing.
    fn text(&mut self, args: &ShowArgs, shown: &Shown, now: Instant) -> Result<String, AskError> {
        let Shown { instance, report } = shown;
        let baseline = if args.total { None } else { self.baseline(shown) };
        let view = baseline.as_ref().map_or_else(|| report.clone(), |b| report.since(&b.report));
        let before = self.before.take();
        let added = before.as_ref().map(|(before, _)| report.minus(before));
        let elapsed = before.map_or(Duration::ZERO, |(_, then)| now.duration_since(then));
        let since = baseline.map(|baseline| {
            let ago = wall::unix_ms().saturating_sub(baseline.taken_unix_ms);
            format!("since reset {} ago", span(ago.saturating_mul(1_000_000)))
        });
        if args.watch.is_some() {
            self.before = Some((report.clone(), now));
        }
        let Some(mut part) = Part::new(args.what, &view, added.as_ref()) else {
            return Err(AskError::Plan);
        };
        part.arrange(&Arrange { sort: args.sort.clone(), top: args.top })?;
        if args.json {
            if let (Some(since), false) = (since, self.warned) {
                warn(&format!("{since}; --total shows all"));
                self.warned = true;
            }
            let json = part.to_json();
            return Ok(if args.watch.is_some() {
                format!("{json}\n")
            } else {
                format!("{json:#}\n")
            });
        }
        let stdout = std::io::stdout();
        let screen = args.watch.is_some() && stdout.is_terminal() && !is_dumb();
        let since = since.map_or(String::new(), |since| format!(", {since} (--total shows all)"));
        Ok(format!(
            "{}{}: up {}, generation {}{since}\n\n{}{}",
            if screen { CLEAR } else { "" },
            instance.name,
            span(report.uptime_ns),
            report.generation,
            part.render(elapsed, Style::of(&stdout)),
            if args.watch.is_some() && !screen { "\n" } else { "" },
        ))
    }

    /// The caller's baseline of this run; what is wrong with it is told once, and no reason to
    /// show nothing.
    fn baseline(&mut self, shown: &Shown) -> Option<Baseline> {
        let found = match baseline::path(&shown.instance.name) {
            Ok(path) => Baseline::load(&path, &shown.instance),
            // Without a home there was no reset.
            Err(_) => Ok(None),
        };
        found.unwrap_or_else(|error| {
            if !self.warned {
                warn(&error.to_string());
                self.warned = true;
            }
            None
        })
    }
}

fn reload_it(args: &ReloadArgs) -> Result<(), AskError> {
    let file = args.file.as_ref().map(std::path::absolute).transpose();
    let file = file.map_err(|error| AskError::File(error.to_string()))?;
    let mut client = Client::connect(&args.target.which())?;
    let reloaded: Reloaded = match client.ask(Command::Reload(file), PATIENCE) {
        Err(ClientError::Refused(refusal))
            if [code::CONFIG, code::RESTART].contains(&&*refusal.code) =>
        {
            return Err(AskError::NotReloaded(refusal.message));
        }
        Err(ClientError::Refused(refusal)) if refusal.code == code::DEVICE => {
            return Err(AskError::NotOpened(refusal.message));
        }
        answer => answer?,
    };
    if !reloaded.warnings.is_empty() {
        warn(&reloaded.warnings);
    }
    let (diff, took) = (&reloaded.diff, span(reloaded.took_ns));
    print(&format!(
        "{diff}reloaded {} in {took}: {}; generation {}\n",
        reloaded.file,
        diff.summary(),
        reloaded.generation
    ));
    if reloaded.plan_turn_ns > 0 {
        let [turn, longest] = [reloaded.plan_turn_ns, reloaded.longest_turn_ns].map(span);
        print(&format!("the worker took it up in a turn of {turn}; its longest was {longest}\n"));
    }
    Ok(())
}

fn compare(loaded: &Loaded, target: &Target) -> Result<(), AskError> {
    let mut client = Client::connect(&target.which())?;
    let Planned { instance, plan } = client.ask(Command::Plan, PATIENCE)?;
    let path = Path::new("the configuration in force");
    let running = config::load_bytes(path, plan.settings.into_bytes(), &|_| None);
    let running = running.map_err(|errors| AskError::File(errors.to_string()))?;
    let mut next = loaded.config.clone();
    next.order_ports_as(&running.config);
    let mut diff = diff(&running.config, &next);
    for difference in &mut diff.needs_restart {
        if let Some(place) = loaded.known.place_of(difference) {
            difference.push_str(&format!(" ({place})"));
        }
    }
    print(&format!("against {}:\n{diff}", instance.name));
    match diff.needs_restart.is_empty() {
        true => Ok(()),
        false => Err(AskError::NeedsRestart),
    }
}

fn stop_it(target: &Target) -> Result<(), AskError> {
    let mut client = Client::connect(&target.which())?;
    let Stopped { instance, ended } = client.ask(Command::Stop, STOP_PATIENCE)?;
    client.wait_for_end(PATIENCE);
    let ledger = &ended.ledger;
    let how = match ended.stopped {
        0 => "drained".to_owned(),
        stopped => format!(
            "not drained within {} s: {} dropped as `stopped`",
            DRAIN_MAX.as_secs(),
            grouped(stopped)
        ),
    };
    let style = Style::of(&std::io::stdout());
    let paint = if ended.stopped == 0 { Paint::Good } else { Paint::Loss };
    print(&format!(
        "{} has ended after {}: {}; received {}, sent {}, residual {}\n",
        instance.name,
        span(ended.uptime_ns),
        style.paint(paint, &how),
        grouped(ledger.received),
        grouped(ledger.sent),
        grouped(ledger.residual),
    ));
    match ledger.residual {
        0 => Ok(()),
        residual => Err(AskError::Residual(residual)),
    }
}

fn reset_it(args: &ResetArgs) -> Result<(), AskError> {
    let mut client = Client::connect(&args.target.which())?;
    let Shown { instance, report } = client.ask(Command::Show, PATIENCE)?;
    let path = baseline::path(&instance.name)?;
    let name = instance.name.clone();
    if args.clear {
        Baseline::remove(&path)?;
        print(&format!("{name}: shown since its start again\n"));
        return Ok(());
    }
    Baseline { instance, taken_unix_ms: wall::unix_ms(), report }.save(&path)?;
    print(&format!(
        "{name}: shown from now on, to this user alone; --total shows all, reset --clear undoes it\n"
    ));
    Ok(())
}
