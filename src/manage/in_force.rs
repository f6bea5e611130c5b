//! The configuration in force: the file that it came from, and how another takes its place.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::control::{Refusal, Reloaded, code};
use super::engine::Engine;
use super::metrics;
use super::reload::ReloadError;
use crate::config::{Config, ConfigErrors, Known};

/// What the instance goes by.
#[derive(Debug)]
pub struct InForce {
    /// The configuration.
    pub config: Arc<Config>,
    /// The file that it was read from.
    pub file: PathBuf,
    /// What the next reading of it need not read again.
    known: Known,
    /// What was in force and known before, until it is let go.
    before: Option<(Arc<Config>, Known)>,
}

impl InForce {
    /// Goes by `config`, which was read from `file`; `known` is what was read there.
    pub fn new(config: Config, file: PathBuf, mut known: Known) -> Self {
        known.settle(Known::default(), &config.rules);
        Self { config: Arc::new(config), file, known, before: None }
    }

    /// Lets go what was in force before the last reload. Who asked for that is answered first.
    pub fn settle(&mut self) {
        if let Some((_, known)) = self.before.take() {
            self.known.settle(known, &self.config.rules);
        }
    }

    /// Reads `file`, or the one in force again, and goes by it; the workers take it up at their next
    /// turn. `now` is since the start. How long it took is not known yet.
    ///
    /// # Errors
    /// What is wrong with it, for people; then nothing has changed.
    pub fn reload(
        &mut self,
        file: Option<&Path>,
        engine: &mut Engine,
        now: Duration,
    ) -> Result<Reloaded, Refusal> {
        self.settle();
        let file = file.map_or_else(|| self.file.clone(), |file| self.spelled_alike(file));
        let wrong = |errors: ConfigErrors| {
            Refusal::new(code::CONFIG, errors.diagnostics().render(false).trim_end())
        };
        let mut loaded = self.known.load(&file).map_err(wrong)?;
        metrics::check_loaded(&loaded).map_err(wrong)?;
        loaded.order_ports_as(&self.config);
        let diff = engine.reload(&self.config, &loaded.config, now).map_err(|error| {
            let code = match error {
                ReloadError::NeedsRestart(_) => code::RESTART,
                ReloadError::Plan(_) => code::CONFIG,
                ReloadError::Port(_) => code::DEVICE,
                ReloadError::Stalled => code::BUSY,
            };
            let error = self.with_places(error, &loaded.known);
            Refusal::new(code, format!("{}: {error}", file.display()))
        })?;
        let config = std::mem::replace(&mut self.config, Arc::new(loaded.config));
        self.before = Some((config, std::mem::replace(&mut self.known, loaded.known)));
        self.file = file;
        Ok(Reloaded {
            file: self.file.display().to_string(),
            generation: engine.plan.generation,
            diff,
            warnings: loaded.warnings.render(false).trim_end().to_owned(),
            took_ns: 0,
            plan_turn_ns: 0,
            longest_turn_ns: 0,
        })
    }

    /// What needs a restart, with where it is written: in the new files, or where they do not have
    /// it, in those in force as they were read.
    fn with_places(&self, error: ReloadError, new: &Known) -> ReloadError {
        let ReloadError::NeedsRestart(mut list) = error else {
            return error;
        };
        for difference in &mut list {
            if let Some(place) = new.place_of(difference) {
                difference.push_str(&format!(" ({place})"));
            } else if let Some(place) = self.known.place_of(difference) {
                difference.push_str(&format!(" ({place}, as it is in force)"));
            }
        }
        ReloadError::NeedsRestart(list)
    }

    /// A file in the directory of the one in force is named by the same path to it: devices that
    /// `${CONFIG_DIR}` is part of would seem to be others.
    fn spelled_alike(&self, file: &Path) -> PathBuf {
        let real = |file: &Path| file.parent().map(directory)?.canonicalize().ok();
        match (file.file_name(), self.file.parent()) {
            (Some(name), Some(parent))
                if real(file).is_some_and(|d| Some(d) == real(&self.file)) =>
            {
                parent.join(name)
            }
            _ => file.to_owned(),
        }
    }
}

/// The directory that a path means; the empty one means this.
fn directory(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}
