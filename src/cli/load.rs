//! The configuration as the commands use it: loaded, with its texts rendered.

use std::path::Path;

use crate::config::Config;

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
    match std::fs::read(path) {
        Ok(_) => Err("error: this build reads no configuration".into()),
        Err(error) => Err(format!("error: {}: {error}", path.display())),
    }
}
