//! `include`: which other files belong to the configuration.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use glob::Pattern;

use super::reader::Table;
use super::report::Diagnostic;
use super::source::{ReadError, Source, decode, read_bounded};

/// Most included files.
const FILES_MAX: usize = 256;

/// Reads what the main file includes, sorted by path within each pattern, each file once.
/// The first unreadable byte of a file that is not UTF-8 is told through `undecodable`.
pub(super) fn read_includes(
    top: &Table<'_>,
    main: &Path,
    undecodable: &mut dyn FnMut(usize, usize),
) -> Vec<Source> {
    let cx = top.cx;
    let mut sources = Vec::new();
    let mut seen: HashSet<PathBuf> = main.canonicalize().into_iter().collect();
    for pattern in top.texts("include") {
        let report = |message: String| {
            let label = format!("allowed: {}", top.key("include").kind.allowed());
            cx.report(Diagnostic::error(pattern.at, message).label(label));
        };
        let paths = match matches(pattern.value, main) {
            Ok(paths) => paths,
            Err(reason) => {
                report(reason);
                continue;
            }
        };
        if paths.is_empty() {
            let message = format!("no file matches `{}`", pattern.value.escape_debug());
            cx.report(Diagnostic::warning(pattern.at, message).label("nothing is included"));
        }
        for path in paths {
            if !path.canonicalize().is_ok_and(|real| seen.insert(real)) && path.exists() {
                continue; // Already there, under this or another name.
            }
            if sources.len() == FILES_MAX {
                report(format!("more than {FILES_MAX} files are included"));
                return sources;
            }
            match read_bounded(&path, true) {
                Ok(bytes) => {
                    let (text, bad) = decode(bytes);
                    if let Some(offset) = bad {
                        undecodable(sources.len() + 1, offset);
                    }
                    sources.push(Source { path, text });
                }
                Err(error @ ReadError::NotAFile) if pattern.value.contains('*') => {
                    cx.report(Diagnostic::warning(pattern.at, error.message(&path)));
                }
                Err(error) => report(error.message(&path)),
            }
        }
    }
    sources
}

fn matches(pattern: &str, main: &Path) -> Result<Vec<PathBuf>, String> {
    let refuse = |reason: &str| Err(format!("`include` is {pattern:?}: {reason}"));
    if pattern.is_empty() || pattern.contains('\0') {
        return refuse("no file name");
    }
    if pattern.contains("**") {
        return refuse("`**` would walk whole trees");
    }
    let directory = main.parent().unwrap_or(Path::new(""));
    if !pattern.contains(['*', '?', '[']) {
        return Ok(vec![directory.join(pattern)]);
    }
    let Some(directory) = directory.to_str() else {
        return refuse("the directory of this file is not UTF-8");
    };
    let escaped = PathBuf::from(Pattern::escape(directory)).join(pattern);
    let Ok(paths) = glob::glob(&escaped.to_string_lossy()) else {
        return refuse("not a pattern");
    };
    // What cannot be looked into does not match; more than the bound is refused below.
    let paths: Vec<_> = paths.filter_map(Result::ok).take(FILES_MAX + 1).collect();
    if paths.len() > FILES_MAX {
        return refuse("more than 256 files match");
    }
    Ok(paths)
}
