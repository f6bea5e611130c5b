//! The configuration in force: the file that it came from, and how another takes its place.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::control::{Refusal, Reloaded, code};
use super::engine::Engine;
use super::reload::ReloadError;
use super::{metrics, wall};
use crate::config::{self, Config};

/// What the instance goes by.
#[derive(Debug)]
pub struct InForce {
    /// The configuration.
    pub config: Arc<Config>,
    /// The file that it was read from.
    pub file: PathBuf,
}

impl InForce {
    /// Reads `file`, or the one in force again, and goes by it. `now` is since the start.
    ///
    /// # Errors
    /// What is wrong with it, for people; then nothing has changed.
    pub fn reload(
        &mut self,
        file: Option<&Path>,
        engine: &mut Engine,
        now: Duration,
    ) -> Result<Reloaded, Refusal> {
        let start = wall::now();
        let file = file.unwrap_or(&self.file).to_owned();
        let loaded = config::load(&file).map_err(|errors| {
            Refusal::new(code::CONFIG, errors.diagnostics().render(false).trim_end())
        })?;
        metrics::check(&loaded.config)
            .map_err(|error| Refusal::new(code::CONFIG, format!("{}: {error}", file.display())))?;
        let diff = engine.reload(&self.config, &loaded.config, now).map_err(|error| {
            let code = match error {
                ReloadError::NeedsRestart(_) => code::RESTART,
                ReloadError::Stalled => code::BUSY,
                ReloadError::Plan(_) => code::CONFIG,
            };
            Refusal::new(code, format!("{}: {error}", file.display()))
        })?;
        self.config = Arc::new(loaded.config);
        self.file = file;
        Ok(Reloaded {
            file: self.file.display().to_string(),
            generation: engine.plan.generation,
            diff,
            warnings: loaded.warnings.render(false).trim_end().to_owned(),
            took_ns: u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX),
        })
    }
}
