//! Every example loads, and every bad configuration is refused with exactly its written message.

use std::fs;
use std::path::{Path, PathBuf};

use punctual::config::{canonical, load, load_bytes, reference, rows};
use punctual::manage::metrics;

/// Longest example, in lines.
const EXAMPLE_LINES_MAX: usize = 60;

fn toml_files(directory: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no file in {directory}");
    files
}

/// Compares with a kept text; `UPDATE_SNAPSHOTS=1` writes it anew.
fn compare(path: &Path, actual: &str) {
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(path, actual).unwrap();
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    assert_eq!(expected, actual, "{} (UPDATE_SNAPSHOTS=1 writes it)", path.display());
}

#[test]
fn every_example_loads_and_what_is_printed_loads_as_the_same() {
    for path in toml_files("config/examples") {
        let loaded = load(&path).unwrap_or_else(|errors| panic!("{errors}"));
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.lines().count() < EXAMPLE_LINES_MAX, "{} is too long", path.display());
        let groups: u64 = loaded.config.rules.iter().map(rows).sum();
        assert!(groups >= 200, "{}: {groups} rows", path.display());

        let printed = canonical(&loaded.config);
        let again = load_bytes(Path::new("printed.toml"), printed.clone().into_bytes(), &|_| None)
            .unwrap_or_else(|errors| panic!("{printed}\n{errors}"));
        assert_eq!(loaded.config, again.config, "{}", path.display());
    }
}

#[test]
fn every_bad_configuration_is_refused_with_its_message() {
    for path in toml_files("tests/bad_config") {
        let errors = load(&path).expect_err(&path.display().to_string());
        compare(&path.with_extension("txt"), &format!("{errors}\n"));
    }
}

#[test]
fn five_mistakes_are_five_reports() {
    let errors = load(Path::new("tests/bad_config/five_mistakes.toml")).unwrap_err();
    let all = errors.diagnostics();
    let places: Vec<_> = all.iter().map(|d| all.position(d).unwrap()).collect();
    let lines: Vec<_> = places.iter().map(|(_, line, column)| (*line, *column)).collect();
    assert_eq!(lines, [(7, 7), (12, 1), (15, 10), (19, 38), (20, 20)]);
}

#[test]
fn the_reference_lists_every_key() {
    let path = Path::new("docs/config.md");
    let text = fs::read_to_string(path).unwrap();
    let mark = "<!-- Generated from the key list: UPDATE_SNAPSHOTS=1 cargo test -->\n";
    let (before, _) = text.split_once(mark).expect("the mark of the generated part");
    compare(path, &format!("{before}{mark}\n{}\n", reference().trim_end()));
}

#[test]
fn the_metrics_are_documented_and_on_the_dashboard() {
    let path = Path::new("docs/metrics.md");
    let text = fs::read_to_string(path).unwrap();
    let mark = "<!-- Generated from the list of metrics: UPDATE_SNAPSHOTS=1 cargo test -->\n";
    let (before, _) = text.split_once(mark).expect("the mark of the generated part");
    compare(path, &format!("{before}{mark}\n{}\n", metrics::reference().trim_end()));
    compare(Path::new("config/grafana.json"), &metrics::dashboard());
}

#[test]
fn what_is_allowed_and_odd_is_warned_of() {
    let loaded = load(Path::new("tests/warned_config/odd.toml")).unwrap();
    let warnings = format!("{}\n", loaded.warnings.render(false));
    compare(Path::new("tests/warned_config/odd.txt"), &warnings);
}
