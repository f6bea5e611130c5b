//! The command line: arguments -> one call each -> an exit code.

pub mod exit;
mod load;
mod run;
mod ask;
mod capture;
mod top;
mod simulate;
mod explain;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::config;
use crate::manage::check::{self, Check};
use crate::manage::logs::{Format, Least};
#[cfg(feature = "dpdk")]
use crate::manage::probe::{self, Finding};
use crate::manage::run::StopPolicy;
use crate::manage::text::{Paint, Style};
use crate::plan::Plan;
use exit::Exit;

/// `0.1.0 (REVISION, DPDK 22.11.11)`, as the build stamped it.
pub const VERSION: &str = env!("PUNCTUAL_VERSION");

/// Delivers UDP streams on time, to everyone, and accounts for every packet.
#[derive(Debug, Parser)]
#[command(name = "punctual", version = VERSION, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Relay until a signal asks for the end; then drain and print the ledger
    Run(RunArgs),
    /// Validate a configuration and print the plan, every default and the memory it needs
    Check(CheckArgs),
    /// Play traffic through a configuration in virtual time, without devices
    ///
    /// The stages and the worker's turn are those of `run`; ports, links and the CPU are made up,
    /// and everything follows from the traffic and its seed. So a configuration shows what it
    /// does under load and under faults before anyone deploys it.
    Simulate(simulate::SimulateArgs),
    /// Tell what becomes of one packet, stage by stage, without running anything
    ///
    /// The packet goes through the stages of `run`: which rule takes it and why, or which it just
    /// misses and by what; then each output's copy, or why there is none. What depends on other
    /// packets (rates, queues, deadlines) is told as the limits that hold.
    Explain(explain::ExplainArgs),
    /// Show what a running instance counts
    Show(ask::ShowArgs),
    /// Show a running instance live, in a terminal
    Top(top::TopArgs),
    /// Capture packets of a running instance into a file that tcpdump and Wireshark read
    ///
    /// Without a filter: all that is received and all that is sent. With several, all must hold.
    /// The file is pcapng: each packet has its port, its direction and a comment that says the
    /// rule, the output or why it was dropped. Packets are copied, never held: what cannot be
    /// copied in time is counted as missed, and relayed all the same.
    Capture(capture::CaptureArgs),
    /// Have a running instance go by its configuration file as it is now, or by another
    ///
    /// No packet is lost or delayed because of it. What is wrong or needs a restart is said, and
    /// then nothing changes.
    Reload(ask::ReloadArgs),
    /// Ask a running instance to drain and stop; wait until it has
    Stop(ask::StopArgs),
    /// Count from now on in what `show` shows you; the instance's counters stay as they are
    Reset(ask::ResetArgs),
}

/// The arguments of `punctual run`.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// The configuration
    pub file: PathBuf,
    /// End after so long without any packet, as in `500ms`
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub stop_after_idle: Option<Duration>,
    /// End after so long, as in `10s`
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub stop_after: Option<Duration>,
    /// Write the final report to this file, as JSON
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// How the lines of the log look, on the standard error stream
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub log_format: Format,
    /// The least that is logged
    #[arg(long, value_name = "LEVEL", value_enum, default_value_t)]
    pub log_level: Least,
}

impl RunArgs {
    /// How, and from what level on, is logged.
    pub fn log(&self) -> (Format, Least) {
        (self.log_format, self.log_level)
    }

    /// When the run ends by itself.
    pub fn stop_policy(&self) -> StopPolicy {
        StopPolicy { idle: self.stop_after_idle, after: self.stop_after }
    }
}

/// A duration as the configuration writes it.
fn duration(text: &str) -> Result<Duration, String> {
    let nanos = config::parse_duration(text).map_err(|error| error.to_string())?;
    Ok(Duration::from_nanos(nanos))
}

#[derive(Debug, Args)]
struct CheckArgs {
    /// The configuration
    file: PathBuf,
    /// Say what differs from the running instance, and whether a reload would do
    #[arg(long)]
    against: bool,
    /// Look at this host, too: devices, memory, CPUs. A running instance notices nothing
    #[arg(long, conflicts_with = "against")]
    probe: bool,
    #[command(flatten)]
    target: ask::Target,
}

/// Does what the arguments ask for, the program's name first.
pub fn main(args: impl IntoIterator<Item = OsString>) -> Exit {
    match Cli::try_parse_from(args) {
        Ok(Cli { command }) => match command {
            Command::Run(args) => run::run(&args),
            Command::Check(args) => check(&args),
            Command::Simulate(args) => simulate::run(&args),
            Command::Explain(args) => explain::run(&args),
            Command::Show(args) => ask::show(&args),
            Command::Top(args) => top::top(&args),
            Command::Capture(args) => capture::capture(&args),
            Command::Reload(args) => ask::reload(&args),
            Command::Stop(args) => ask::stop(&args),
            Command::Reset(args) => ask::reset(&args),
        },
        Err(error) => {
            // Where even that cannot be written there is nobody to tell.
            let _ = error.print();
            if error.use_stderr() { exit::USAGE } else { exit::OK }
        }
    }
}

fn check(args: &CheckArgs) -> Exit {
    let path = &args.file;
    let loaded = match load::load_instance(path) {
        Ok(loaded) => loaded,
        Err(rendered) => return fail_as_rendered(exit::CONFIG, &rendered),
    };
    let plan = match check::plan(&loaded.config) {
        Ok(plan) => plan,
        Err(error) => return fail(exit::CONFIG, &error.to_string()),
    };
    if args.against {
        return ask::against(&loaded, &args.target);
    }
    let check = Check {
        path,
        config: &loaded.config,
        plan: &plan,
        settings: &loaded.settings,
        warnings: &loaded.warnings,
    };
    let style = Style::of(&std::io::stdout());
    print(&check.render(style));
    if args.probe { probe(&loaded.config, &plan, style) } else { exit::OK }
}

#[cfg(feature = "dpdk")]
fn probe(config: &config::Config, plan: &Plan, style: Style) -> Exit {
    let findings = probe::probe(config, plan);
    print(&probe::render(&findings, style));
    let is_missing = |finding: &Finding| matches!(finding, Finding::Missing(_));
    match findings.iter().filter(|finding| is_missing(finding)).count() {
        0 => exit::OK,
        1 => fail(exit::UNAVAILABLE, "this host lacks one thing; the line above says what to do"),
        n => fail(
            exit::UNAVAILABLE,
            &format!("this host lacks {n} things; the lines above say what to do"),
        ),
    }
}

/// Without DPDK nothing would run here.
#[cfg(not(feature = "dpdk"))]
fn probe(_: &config::Config, _: &Plan, _: Style) -> Exit {
    fail(exit::UNAVAILABLE, "this build has no data plane; build it with the feature `dpdk`")
}

/// Writes to the standard output; a reader that left early (`| head`) is no error.
fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// Writes warnings to the standard error stream.
fn warn(rendered: &str) {
    // Where even that cannot be written there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{}", rendered.trim_end());
}

/// Says on the standard error stream what went wrong, and ends with `exit`.
fn fail(exit: Exit, message: &str) -> Exit {
    let head = Style::of(&std::io::stderr()).paint(Paint::Bad, "error:");
    fail_as_rendered(exit, &format!("{head} {message}"))
}

/// [`fail`] with a text that calls itself an error already.
fn fail_as_rendered(exit: Exit, text: &str) -> Exit {
    // Where even that cannot be written there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{}", text.trim_end());
    exit
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::CommandFactory;

    use super::*;

    fn parse(args: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once("punctual").chain(args.iter().copied()))
    }

    #[test]
    fn the_command_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn run_takes_its_ends_and_its_report() {
        let args = ["run", "a.toml", "--stop-after-idle", "500ms", "--stop-after", "10s"];
        let Ok(Cli { command: Command::Run(args) }) = parse(&args) else {
            panic!("it does not parse");
        };
        assert_eq!(args.file, Path::new("a.toml"));
        let policy = args.stop_policy();
        assert_eq!(policy.idle, Some(Duration::from_millis(500)));
        assert_eq!(policy.after, Some(Duration::from_secs(10)));
        assert_eq!(args.report, None);
    }

    #[test]
    fn show_takes_its_part_and_how_to_show_it() {
        for args in [
            &["show", "ledger"][..],
            &["show", "rules", "--watch", "--json"],
            &["show", "outputs", "--watch", "250ms", "--sort", "sent", "--top", "3"],
            &["show", "plan", "--instance", "a", "--total"],
            &["show", "latency", "--hgrm"],
            &["show", "latency", "--hgrm", "out"],
            &["top", "--interval", "250ms", "--instance", "a"],
            &["stop", "--socket", "/run/a.sock"],
            &["capture", "--rule", "itch", "--count", "5", "-w", "a.pcapng"],
            &["capture", "-i", "in", "-c", "9", "-s", "0", "-Q", "in", "-w", "-"],
            &["capture", "--dropped", "late,mtu", "--for", "10s", "--sample", "8", "-w", "-"],
            &["reset", "--clear"],
        ] {
            assert!(parse(args).is_ok(), "{args:?}");
        }
    }

    #[test]
    fn what_is_not_asked_for_rightly_is_usage() {
        for args in [
            &[][..],
            &["run"],
            &["fly", "a.toml"],
            &["run", "a.toml", "--stop-after", "10"],
            &["check", "a.toml", "b.toml"],
            &["show"],
            &["show", "everything"],
            &["show", "rules", "--watch", "1ms"],
            &["show", "rules", "--top", "some"],
            &["top", "--interval", "1ms"],
            &["show", "rules", "--instance", "a", "--socket", "/b"],
            &["stop", "a"],
            &["capture"],
            &["capture", "-w", "a", "--count", "0"],
            &["capture", "-w", "a", "--sample", "0"],
            &["capture", "-w", "a", "--for", "0s"],
            &["capture", "-w", "a", "-Q", "up"],
            &["capture", "-w", "a", "-Q", "in", "--dropped", "any"],
        ] {
            let error = parse(args).unwrap_err();
            assert!(error.use_stderr(), "{args:?}");
        }
    }
}
