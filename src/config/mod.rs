//! Configuration: one TOML file (and its includes) -> validated [`Config`] -> plan.
//!
//! [`load`] reads and validates; what it returns can be built into a plan without further
//! questions about single values. Every mistake of all files is reported in one run.
//!
//! ```text
//! source, include   bytes of bounded files
//! tree              what a text holds, and where
//! known             what stands there as it did, which is taken over
//! reader, keys      typed tables by the one list of keys; every mistake is collected
//! read_*            sections -> values with their places
//! check_output, conflicts   what only holds together
//! joins, next_hop           groups that are joined, neighbours that are asked
//! canonical, expand         every setting in force; rows
//! written                   where a refusal to change it while running points
//! ```

mod types;
mod alert_kind;
mod units;
mod keys;
mod source;
mod tree;
mod include;
mod known;
mod report;
mod reader;
mod names;
mod read_site;
mod read_alerts;
mod read_port;
mod read_input;
mod read_rule;
mod read_output;
mod check_output;
mod conflicts;
mod canonical;
mod expand;
mod joins;
mod next_hop;
mod reference;
mod port_order;
mod written;

pub use alert_kind::{AlertKind, AlertLimits, Threshold};
pub use canonical::canonical;
pub use expand::{address_count, addresses, rows};
pub use joins::{joins, names_hosts};
pub use known::Known;
pub use next_hop::{neighbours, vlan_of};
pub use reference::reference;
pub use report::{ConfigErrors, Diagnostic, Diagnostics, Severity};
pub use source::FILE_BYTES_MAX;
pub use types::*;
pub use units::{
    UnitError, parse_bytes, parse_duration, parse_packet_rate, parse_rate, show_bytes,
    show_duration, show_packet_rate, show_rate,
};

use std::path::{Path, PathBuf};

use known::Rest;
use names::Names;
pub use names::instead_of;
use read_output::{Layers, Settings, read_receivers, read_settings};
use read_rule::{RuleSettings, Site, read_rule_settings, read_rules};
use reader::{Context, Table};
use source::{Place, Source};
use written::Written;

/// A configuration that can be used.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Every setting in force; [`canonical`] shows it.
    pub config: Config,
    /// What is allowed and yet deserves a look.
    pub warnings: Diagnostics,
    /// The files it came from, the main one first.
    pub files: Vec<PathBuf>,
    /// What the next reading need not read again ([`Known::load`]).
    pub known: Known,
    /// What asks for metrics: `detail`, else `metrics`.
    metrics_at: Option<Place>,
}

impl Loaded {
    /// [`Config::order_ports_as`].
    pub fn order_ports_as(&mut self, old: &Config) {
        if !self.config.has_ports_as(old) {
            self.known.keep(&self.config.rules);
            self.config.order_ports_as(old);
        }
    }

    /// A mistake in what is asked of metrics, which only those who know all metrics can find.
    pub fn refuse_metrics(
        &self,
        found: impl Into<String>,
        allowed: impl Into<String>,
    ) -> ConfigErrors {
        let diagnostic = match self.metrics_at {
            Some(at) => Diagnostic::error(at, found).label(allowed),
            None => Diagnostic::file(found).label(allowed),
        };
        ConfigErrors(self.warnings.with(diagnostic))
    }
}

/// Reads a file, what it includes, and the environment variables it names.
///
/// # Errors
/// Every mistake of all files.
pub fn load(path: &Path) -> Result<Loaded, ConfigErrors> {
    Known::default().load(path)
}

/// [`load`] with its own environment.
///
/// # Errors
/// Every mistake of all files.
pub fn load_with(
    path: &Path,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Loaded, ConfigErrors> {
    Known::default().load_with(path, variable)
}

/// [`load_with`] where the main file's bytes are at hand; `path` says what they are called and
/// where their includes are.
///
/// # Errors
/// Every mistake of all files.
pub fn load_bytes(
    path: &Path,
    bytes: Vec<u8>,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Loaded, ConfigErrors> {
    Known::default().load_bytes(path, bytes, variable)
}

impl Known {
    /// [`load`], by what is known; what it returns is the same.
    ///
    /// # Errors
    /// Every mistake of all files.
    pub fn load(&self, path: &Path) -> Result<Loaded, ConfigErrors> {
        self.load_with(path, &|name| std::env::var(name).ok())
    }

    /// [`load_with`], by what is known.
    ///
    /// # Errors
    /// Every mistake of all files.
    pub fn load_with(
        &self,
        path: &Path,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Loaded, ConfigErrors> {
        match source::read_bounded(path, false) {
            Ok(bytes) => self.load_bytes(path, bytes, variable),
            Err(error) => Err(ConfigErrors::of_file(error.message(path))),
        }
    }

    /// [`load_bytes`], by what is known.
    ///
    /// # Errors
    /// Every mistake of all files.
    pub fn load_bytes(
        &self,
        path: &Path,
        bytes: Vec<u8>,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Loaded, ConfigErrors> {
        if bytes.len() > FILE_BYTES_MAX {
            return Err(ConfigErrors::of_file(source::ReadError::TooLong.message(path)));
        }
        let (text, bad) = source::decode(bytes);
        let main = Source { path: path.to_owned(), text };
        if !self.is_empty()
            && bad.is_none()
            && let Ok(loaded) = load_source(main.clone(), bad, variable, self)
        {
            return Ok(loaded);
        }
        load_source(main, bad, variable, &Self::default())
    }
}

/// Reads the main file, which is UTF-8 up to the offset of `bad`, and all others. Where what is
/// `known` does not hold for them, that is an error without a mistake.
fn load_source(
    main: Source,
    bad: Option<usize>,
    variable: &dyn Fn(&str) -> Option<String>,
    known: &Known,
) -> Result<Loaded, ConfigErrors> {
    let mut undecodable: Vec<_> = bad.map(|offset| (0, offset)).into_iter().collect();
    let mut sources = vec![main];
    // To parse is most of the work: it is done once where nothing can be included. A key may be
    // written with escapes.
    let may_include = sources[0].text.contains("include") || sources[0].text.contains('\\');
    let (includes, mut list) = if may_include {
        let cx = Context::new(&sources, variable);
        let rest = known.rest(&sources[0].text);
        let tree = tree::parse(&rest.text, |_, _| ());
        let top = Table::unchecked(&cx, &keys::TOP, &tree, Place::new(0, 0..0));
        let mut note = |file, offset| undecodable.push((file, offset));
        let includes = include::read_includes(&top, &sources[0].path, &mut note);
        (includes, cx.into_list())
    } else {
        (Vec::new(), Vec::new())
    };
    sources.extend(includes);
    let cx = Context::new(&sources, variable);
    let read = read(&cx, &undecodable, known);
    let errors = cx.errors();
    list.extend(cx.into_list());
    let (mut warnings, mut mistakes) = (Vec::new(), Vec::new());
    for diagnostic in list {
        match diagnostic.severity() {
            Severity::Warning => warnings.push(diagnostic),
            Severity::Error => mistakes.push(diagnostic),
        }
    }
    let files = sources.iter().map(|s| s.path.clone()).collect();
    match read {
        Some(Read { config, metrics_at, known }) if errors == 0 && mistakes.is_empty() => {
            Ok(Loaded {
                config,
                warnings: Diagnostics::new(sources, warnings),
                files,
                known,
                metrics_at,
            })
        }
        _ => Err(ConfigErrors(Diagnostics::new(sources, mistakes))),
    }
}

/// What was read; it counts only where no error was reported.
struct Read {
    config: Config,
    metrics_at: Option<Place>,
    known: Known,
}

/// Reads all files; `None` where what is `known` does not hold.
fn read(cx: &Context<'_>, undecodable: &[(usize, usize)], known: &Known) -> Option<Read> {
    let rests: Vec<_> = cx
        .sources
        .iter()
        .enumerate()
        .map(|(file, source)| match undecodable.iter().find(|(bad, _)| *bad == file) {
            Some((_, offset)) => {
                let at = Place::new(file, *offset..offset + 1);
                cx.syntax(at, "the file is not UTF-8 from here on");
                Rest::whole("")
            }
            None => known.rest(&source.text),
        })
        .collect();
    let trees: Vec<_> = rests
        .iter()
        .enumerate()
        .map(|(file, rest)| {
            tree::parse(&rest.text, |at, message| cx.syntax(Place::new(file, at), message))
        })
        .collect();
    if rests.iter().zip(&trees).any(|(rest, tree)| !rest.is_found(tree)) {
        return None;
    }
    let tops: Vec<_> = trees
        .iter()
        .enumerate()
        .map(|(file, tree)| {
            let section = if file == 0 { &keys::TOP } else { &keys::INCLUDED };
            Table::root(cx, section, tree, Place::new(file, 0..0))
        })
        .collect();
    let metrics_at = read_site::metrics_place(&tops[0]);
    let (config, mut known) = read_tables(cx, &tops, &rests, known)?;
    known.written = Written::find(cx.sources, trees.iter());
    Some(Read { config, metrics_at, known })
}

fn read_tables(
    cx: &Context<'_>,
    tops: &[Table<'_>],
    rests: &[Rest<'_>],
    known: &Known,
) -> Option<(Config, Known)> {
    let main = &tops[0];
    let (clock, idle) = read_site::read_top(main);
    for included in &tops[1..] {
        included.number("schema");
    }
    let classes = read_site::read_classes(tops);
    let (memory, memory_at) = read_site::read_memory(main);
    let limits = read_site::read_limits(main);
    let (ports, port_names) = read_port::read_ports(tops, clock, limits.ports);
    read_site::check_memory(cx, memory, memory_at, &ports);
    let mut layers = Layers {
        ports: port_names,
        receivers: Vec::new(),
        receiver_names: Names::new("receiver"),
        default_receiver: Settings::default(),
        default_output: Settings::default(),
    };
    let default = |name: &str, section| {
        let (cx, node) = read_site::once(tops, "default", &keys::DEFAULTS, name)?;
        Table::new(cx, section, node)
    };
    if let Some(table) = default("output", &keys::DEFAULT_OUTPUT) {
        layers.default_output = read_settings(&table, &layers.ports);
    }
    if let Some(table) = default("receiver", &keys::DEFAULT_RECEIVER) {
        layers.default_receiver = read_settings(&table, &layers.ports);
    }
    let default_rule = default("rule", &keys::DEFAULT_RULE);
    let default_rule = default_rule.map_or_else(RuleSettings::default, |t| read_rule_settings(&t));
    read_receivers(tops, &mut layers);
    let site = Site { ports: &ports, classes: &classes, layers: &layers, default_rule, clock };
    if !known.holds_for(&site) {
        return None;
    }
    let rules = read_rules(tops, rests, &site);
    let edf_window = read_site::read_edf_window(main);
    conflicts::check_rules(cx, &rules, &limits, edf_window);
    joins::check_joins(cx, &rules, &ports, &limits);
    next_hop::check_neighbours(cx, &rules, &limits);
    let (rules, places) = rules.into_iter().map(|read| (read.rule, read.places)).unzip();
    // Nobody asks for what is known of files with a mistake.
    let known = if cx.errors() > 0 { Known::default() } else { Known::read(&site, places) };
    let (socket, metrics, detail) = read_site::read_management(main);
    let config = Config {
        instance: read_site::read_instance(main),
        clock,
        idle,
        eal: read_site::read_eal(main, clock),
        memory,
        classes,
        rules,
        edf_window,
        copy_below: read_site::read_copy_below(main),
        limits,
        alerts: read_alerts::read_alerts(main),
        socket,
        metrics,
        detail,
        receivers: layers.receivers.into_iter().map(|r| r.receiver).collect(),
        ports,
    };
    Some((config, known))
}
