//! Instructions a packet, counted by callgrind, against `benches/instructions.txt`: a guard for
//! speed that does not depend on what else the host does.
//!
//! `scripts/instructions.sh` runs it. It runs itself once a case under valgrind, which counts inside
//! [`measured`] only, and prints a table. It fails, with status 1, where a case takes more than
//! [`TOLERANCE`] over its baseline, or a promise does not hold. With another compiler than the
//! baseline's the counts are shown but not judged, and only the promises, which are ratios, are:
//! status 77, skipped. With `UPDATE_BASELINE=1` it writes the baseline.

mod cases;

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use cases::{Case, SCHEDULERS, reload, turn};

/// What a case may differ from its baseline.
const TOLERANCE: f64 = 0.03;
/// How the schedulers' instructions may grow from 1,000 to 100,000 flows or packets.
const GROWTH_MAX: f64 = 1.5;
/// How many times the trio's instructions the origin's way takes, at least, at each size.
const ORIGIN_MIN: f64 = 2.5;
/// The sizes that are counted and compared.
const SIZES: [usize; 2] = [1_000, 100_000];
/// Outputs of the one rule in the cases of a whole turn.
const FAN_OUTS: [usize; 3] = [1, 4, 16];
/// The one of them that is counted while everything is read, too.
const READ: usize = 4;

/// Reloads of 1,000 rules of which one has changed: the others are taken over, or all are read afresh.
const RELOADS: [&str; 2] = ["reload-1000", "reload-afresh-1000"];
/// How many times the instructions of the first the second takes, at least.
const AFRESH_MIN: f64 = 2.5;

/// The exit status of a test that did not take place.
const SKIPPED: u8 = 77;

/// The baseline, as kept in the repository.
struct Baseline {
    /// The compiler that the counts hold for.
    rustc: String,
    /// Instructions a packet, or a copy, by case.
    instructions: BTreeMap<String, f64>,
}

impl Baseline {
    /// Lines of a case and its count, behind one of `rustc` and the compiler.
    fn read(path: &Path) -> Result<Self, Box<dyn Error>> {
        let text = std::fs::read_to_string(path)
            .map_err(|e| format!("{}: {e}; UPDATE_BASELINE=1 writes it", path.display()))?;
        let mut baseline = Self { rustc: String::new(), instructions: BTreeMap::new() };
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (name, count) = line.split_once(' ').unwrap_or((line, ""));
            if name == "rustc" {
                baseline.rustc = line.into();
                continue;
            }
            let count = count
                .parse()
                .map_err(|_| format!("{}: `{line}` is not a case and its count", path.display()))?;
            baseline.instructions.insert(name.into(), count);
        }
        Ok(baseline)
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match &arguments[..] {
        [flag, name] if flag == "--case" => run_case(name),
        // So says `cargo bench`; `cargo test --benches` does not, nor does it optimise.
        [flag] if flag == "--bench" => guard(),
        _ => {
            println!("instructions: run by scripts/instructions.sh");
            return ExitCode::SUCCESS;
        }
    };
    done.unwrap_or_else(|error| {
        eprintln!("instructions: {error}");
        ExitCode::FAILURE
    })
}

/// The names of all cases with a baseline, in the packet's order. Those of [`RELOADS`] have none: most
/// of them is the allocator's. All are there for profiles: `valgrind --tool=callgrind` with `--case NAME`.
fn names() -> Vec<String> {
    let schedulers = SCHEDULERS.iter().flat_map(|scheduler| {
        ["", "origin-"]
            .into_iter()
            .flat_map(move |way| SIZES.map(|size| format!("{way}{}-{size}", scheduler.name)))
    });
    let turns = FAN_OUTS.map(|fan_out| format!("turn-{fan_out}"));
    let others = [format!("turn-read-{READ}"), "turn-ours-1".to_owned()];
    schedulers.chain(turns).chain(others).collect()
}

fn build(name: &str) -> Option<Box<dyn Case>> {
    let (way, size) = name.rsplit_once('-')?;
    let size = size.parse().ok()?;
    if way == "turn" {
        return Some(Box::new(turn::Turn::new(size)));
    }
    if way == "turn-read" {
        return Some(Box::new(turn::Turn::read(size)));
    }
    if way == "turn-ours" {
        return Some(Box::new(turn::Turn::from_ours(size)));
    }
    if way == "reload" {
        return Some(Box::new(reload::Reload::new(size)));
    }
    if way == "reload-all" {
        return Some(Box::new(reload::Reload::all(size)));
    }
    if way == "reload-afresh" {
        return Some(Box::new(reload::Reload::afresh(size)));
    }
    let named = |name: &str| SCHEDULERS.iter().find(|scheduler| scheduler.name == name);
    match way.strip_prefix("origin-") {
        Some(way) => Some((named(way)?.origin)(size)),
        None => Some((named(way)?.ours)(size)),
    }
}

/// Under valgrind: runs one case and says how many packets were counted.
fn run_case(name: &str) -> Result<ExitCode, Box<dyn Error>> {
    let mut case = build(name).ok_or_else(|| format!("no case is named {name}"))?;
    let mut packets = 0;
    while packets < case.least() {
        case.prepare();
        packets += measured(case.as_mut());
    }
    case.check();
    println!("{packets}");
    Ok(ExitCode::SUCCESS)
}

/// Callgrind counts while this runs; it goes by the name.
#[inline(never)]
fn measured(case: &mut dyn Case) -> u64 {
    case.run()
}

/// Counts all cases and judges them.
fn guard() -> Result<ExitCode, Box<dyn Error>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/instructions.txt");
    let rustc = compiler()?;
    let mut counts = BTreeMap::new();
    for name in names().into_iter().chain(RELOADS.map(str::to_owned)) {
        counts.insert(name.clone(), count(&name)?);
    }
    let held = promises(&counts);
    if std::env::var_os("UPDATE_BASELINE").is_some_and(|value| value == "1") {
        std::fs::write(&path, render(&rustc, &counts))?;
        println!("the baseline is written: say why in the commit");
        return Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let baseline = Baseline::read(&path)?;
    let comparable = baseline.rustc == rustc;
    let kept = compare(&baseline, &counts, comparable);
    if !comparable {
        println!("skipped: baseline is for {}, this is {rustc}", baseline.rustc);
    }
    Ok(match (held && kept, comparable) {
        (false, _) => ExitCode::FAILURE,
        (true, true) => ExitCode::SUCCESS,
        (true, false) => ExitCode::from(SKIPPED),
    })
}

/// The compiler and the machine that it compiles for.
fn compiler() -> Result<String, Box<dyn Error>> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let said = Command::new(rustc).arg("--version").output()?.stdout;
    Ok(format!("{} on {}", String::from_utf8(said)?.trim(), std::env::consts::ARCH))
}

/// Instructions a packet of one case.
fn count(name: &str) -> Result<f64, Box<dyn Error>> {
    let out = Scratch::new();
    let ran = Command::new("valgrind")
        .args(["--tool=callgrind", "--collect-atstart=no", "--toggle-collect=*::measured*"])
        .arg(format!("--callgrind-out-file={}", out.0.display()))
        .arg(std::env::current_exe()?)
        .args(["--case", name])
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("valgrind: {e}; scripts/setup.sh installs it"))?;
    let complaint = || format!("{name}: {}", String::from_utf8_lossy(&ran.stderr));
    if !ran.status.success() {
        return Err(complaint().into());
    }
    let packets: f64 = String::from_utf8_lossy(&ran.stdout).trim().parse()?;
    let profile = std::fs::read_to_string(&out.0)?;
    let totals = profile.lines().find_map(|line| line.strip_prefix("totals: "));
    let instructions: f64 = totals.ok_or_else(complaint)?.trim().parse()?;
    if instructions == 0.0 {
        return Err(format!("{name}: callgrind saw nothing of `measured`").into());
    }
    Ok(instructions / packets)
}

/// A file of this process that is removed in the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let name = format!("punctual-callgrind-{}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// What holds with any compiler, shown and judged.
fn promises(counts: &BTreeMap<String, f64>) -> bool {
    let [small, large] = SIZES;
    let mut held = true;
    let mut judge = |what: String, figure: f64, bound: &str, holds: bool| {
        println!("{what:<44} {figure:>6.2}  {bound}{}", if holds { "" } else { "  BROKEN" });
        held &= holds;
    };
    println!("instructions, as ratios");
    for scheduler in &SCHEDULERS {
        let name = scheduler.name;
        let growth = counts[&format!("{name}-{large}")] / counts[&format!("{name}-{small}")];
        let what = format!("{name}: growth from {small} to {large}");
        judge(what, growth, &format!("at most {GROWTH_MAX}"), growth <= GROWTH_MAX);
    }
    for size in SIZES {
        for scheduler in &SCHEDULERS {
            let name = format!("{}-{size}", scheduler.name);
            let ratio = counts[&format!("origin-{name}")] / counts[&name];
            let (bound, holds) = match scheduler.name {
                "trio" => (format!("at least {ORIGIN_MIN}"), ratio >= ORIGIN_MIN),
                _ => (String::new(), true),
            };
            judge(format!("{name}: the origin's way against ours"), ratio, &bound, holds);
        }
    }
    let ratio = counts[RELOADS[1]] / counts[RELOADS[0]];
    let bound = format!("at least {AFRESH_MIN}");
    judge("reload-1000: all read afresh".into(), ratio, &bound, ratio >= AFRESH_MIN);
    let more = counts[&format!("turn-read-{READ}")] - counts[&format!("turn-{READ}")];
    let what = format!("turn-{READ}: more where all is read");
    judge(what, more, "none", more == 0.0);
    held
}

/// Prints before, now and the difference. Where the two are `comparable`, false if a case got worse
/// or has no baseline; the origin's counts are a yardstick, not a promise.
fn compare(baseline: &Baseline, counts: &BTreeMap<String, f64>, comparable: bool) -> bool {
    let (mut kept, mut lower) = (true, false);
    println!("\n{:<28} {:>8} {:>8} {:>8}", "instructions a packet", "before", "now", "%");
    for name in names() {
        let now = counts[&name];
        let before = baseline.instructions.get(&name).copied();
        // A case without a baseline is infinitely worse.
        let change = now / before.unwrap_or(0.0) - 1.0;
        let verdict = match change {
            _ if !comparable || name.starts_with("origin-") => "",
            c if c > TOLERANCE => "WORSE",
            c if c < -TOLERANCE => "better",
            _ => "",
        };
        let before = before.map_or("none".into(), |before| format!("{before:.1}"));
        println!("{name:<28} {before:>8} {now:>8.1} {:>+8.1}  {verdict}", change * 100.0);
        kept &= verdict != "WORSE";
        lower |= verdict == "better";
    }
    if !kept {
        println!("to accept: UPDATE_BASELINE=1 scripts/instructions.sh, and say why in the commit");
    } else if lower {
        println!("to lower the baseline: UPDATE_BASELINE=1 scripts/instructions.sh");
    }
    kept
}

/// The baseline as it is kept.
fn render(rustc: &str, counts: &BTreeMap<String, f64>) -> String {
    let mut text = format!(
        "# Instructions a packet in and out, or a copy of a whole turn: scripts/instructions.sh.\n\
         {rustc}\n"
    );
    for name in names() {
        text += &format!("{name} {:.1}\n", counts[&name]);
    }
    text
}
