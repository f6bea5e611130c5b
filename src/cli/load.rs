//! The configuration as the commands use it: loaded, with its texts rendered.

use std::io::{stderr, stdout};
use std::path::Path;

use crate::config::{self, Config, ConfigErrors};
use crate::manage::metrics;
use crate::manage::text::Style;

/// What a command needs of a file.
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Every setting in force, as text.
    pub settings: String,
    /// The warnings, as text.
    pub warnings: String,
    /// What a reload need not read again, and where things are written.
    pub known: config::Known,
    /// The warnings without colours.
    #[cfg(feature = "dpdk")]
    pub plain_warnings: String,
}

/// Reads and validates a file.
///
/// # Errors
/// Every mistake, rendered.
pub fn load(path: &Path) -> Result<Loaded, String> {
    config::load(path).map(Loaded::from).map_err(rendered)
}

/// [`load`] for an instance, which is asked for its metrics too.
///
/// # Errors
/// Every mistake, rendered.
pub fn load_instance(path: &Path) -> Result<Loaded, String> {
    let loaded = config::load(path).map_err(rendered)?;
    metrics::check_loaded(&loaded).map_err(rendered)?;
    Ok(loaded.into())
}

impl From<config::Loaded> for Loaded {
    fn from(loaded: config::Loaded) -> Self {
        Self {
            settings: config::canonical(&loaded.config),
            warnings: loaded.warnings.render(Style::of(&stdout()).is_coloured()),
            #[cfg(feature = "dpdk")]
            plain_warnings: loaded.warnings.render(false),
            known: loaded.known,
            config: loaded.config,
        }
    }
}

fn rendered(errors: ConfigErrors) -> String {
    errors.diagnostics().render(Style::of(&stderr()).is_coloured())
}
