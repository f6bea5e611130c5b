//! The baseline: the report at which a user began to count. It is kept with the user, so that the
//! instance's counters stay everybody's.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::manage::control::Who;
use crate::manage::report::Report;

/// What `punctual reset` keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    /// Which run of which instance.
    pub instance: Who,
    /// When, in milliseconds since 1970.
    pub taken_unix_ms: u64,
    /// The report then.
    pub report: Report,
}

/// Why there is no baseline to be had. The caller exits with code 69.
#[derive(Debug, thiserror::Error)]
pub enum BaselineError {
    /// Nobody says where.
    #[error("no place for the baseline: set HOME, or XDG_STATE_HOME to an absolute path")]
    NoPlace,
    /// An instance's name that is no file's.
    #[error("the instance calls itself `{}`, which is no instance's name", .0.escape_debug())]
    Name(String),
    /// The file system refuses.
    #[error("baseline {}: {source}; make it writable, or set XDG_STATE_HOME", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("baseline {} cannot be read ({why}); `punctual reset` makes it anew", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

/// Where this user's baseline of an instance is kept.
///
/// # Errors
/// Where the environment names no place, or the instance has no name that a file can have.
pub fn path(instance: &str) -> Result<PathBuf, BaselineError> {
    let named = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if instance.is_empty() || instance.len() > 32 || !instance.chars().all(named) {
        return Err(BaselineError::Name(instance.to_owned()));
    }
    let variable = |name| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let state = variable("XDG_STATE_HOME");
    let state = state.or_else(|| Some(variable("HOME")?.join(".local/state")));
    let state = state.ok_or(BaselineError::NoPlace)?;
    Ok(state.join("punctual").join(format!("{instance}.json")))
}

impl Baseline {
    /// Keeps it, in place of an earlier one.
    ///
    /// # Errors
    /// Where the file system refuses.
    pub fn save(&self, path: &Path) -> Result<(), BaselineError> {
        let write = || {
            let directory = path.parent().unwrap_or(Path::new("/"));
            fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
            // Beside it, then renamed: a reader finds the old one or the new one, whole.
            let fresh = path.with_extension(format!("{}.tmp", std::process::id()));
            let mut options = fs::OpenOptions::new();
            options.write(true).create(true).truncate(true).mode(0o600);
            let written = options.open(&fresh).and_then(|mut file| {
                file.write_all(&serde_json::to_vec(self)?)?;
                fs::rename(&fresh, path)
            });
            if written.is_err() {
                let _ = fs::remove_file(&fresh);
            }
            written
        };
        write().map_err(|source| BaselineError::File { path: path.to_owned(), source })
    }

    /// The one that is kept, if there is one and it is of this very run.
    ///
    /// # Errors
    /// Where there is a file that cannot be read.
    pub fn load(path: &Path, instance: &Who) -> Result<Option<Self>, BaselineError> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(BaselineError::File { path: path.to_owned(), source }),
        };
        let found: Self = serde_json::from_slice(&bytes).map_err(|error| {
            BaselineError::Broken { path: path.to_owned(), why: error.to_string() }
        })?;
        // Counters of another process have nothing to do with these.
        Ok((found.instance == *instance).then_some(found))
    }

    /// Gives it up; true where there was one.
    ///
    /// # Errors
    /// Where the file system refuses.
    pub fn remove(path: &Path) -> Result<bool, BaselineError> {
        match fs::remove_file(path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(BaselineError::File { path: path.to_owned(), source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manage::control::tests::Scratch;
    use crate::manage::fixture::Fixture;

    fn who(process: u32) -> Who {
        Who { name: "demo".into(), process, started_unix_ms: 5 }
    }

    #[test]
    fn a_baseline_is_of_one_run_only() {
        let scratch = Scratch::new();
        let path = scratch.path("state/punctual/demo.json");
        assert_eq!(Baseline::load(&path, &who(7)).unwrap(), None);
        let report = Fixture::new().report();
        let baseline = Baseline { instance: who(7), taken_unix_ms: 6, report };
        baseline.save(&path).unwrap();
        baseline.save(&path).unwrap();
        assert_eq!(Baseline::load(&path, &who(7)).unwrap().as_ref(), Some(&baseline));
        assert_eq!(Baseline::load(&path, &who(8)).unwrap(), None);
        let later = Who { started_unix_ms: 6, ..who(7) };
        assert_eq!(Baseline::load(&path, &later).unwrap(), None);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        assert!(Baseline::remove(&path).unwrap() && !Baseline::remove(&path).unwrap());
    }

    #[test]
    fn what_is_no_baseline_is_told() {
        let scratch = Scratch::new();
        let path = scratch.path("demo.json");
        fs::write(&path, "{").unwrap();
        let error = Baseline::load(&path, &who(7)).unwrap_err().to_string();
        assert!(error.contains("demo.json") && error.contains("punctual reset"), "{error}");
    }

    #[test]
    fn only_an_instance_s_name_becomes_a_file_s() {
        for name in ["", "../demo", "a/b", ".", "x y", &"x".repeat(33)] {
            assert!(matches!(super::path(name), Err(BaselineError::Name(_))), "{name}");
        }
    }
}
