//! The configuration as the commands use it: loaded, with its texts rendered.

use std::io::{stderr, stdout};
use std::path::Path;

use crate::config::{self, Config};
use crate::manage::text::Style;

/// What a command needs of a file.
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Every setting in force, as text.
    pub settings: String,
    /// The warnings, as text.
    pub warnings: String,
}

/// Reads and validates a file.
///
/// # Errors
/// Every mistake, rendered.
pub fn load(path: &Path) -> Result<Loaded, String> {
    match config::load(path) {
        Ok(loaded) => Ok(Loaded {
            settings: config::canonical(&loaded.config),
            warnings: loaded.warnings.render(Style::of(&stdout()).is_coloured()),
            config: loaded.config,
        }),
        Err(errors) => {
            let styled = Style::of(&stderr()).is_coloured();
            Err(errors.diagnostics().render(styled))
        }
    }
}
