//! What can be wrong with a configuration. All that is wrong is said at once, a line for each.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::source::Origin;
use super::table::Only;

/// One thing that is wrong.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration cannot be read, file={} error={error}", .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        error: Arc<std::io::Error>,
    },
    /// The file is no TOML.
    #[error("the configuration is not TOML, at={origin} error={message}")]
    Toml {
        /// Where it stops being TOML.
        origin: Origin,
        /// What is wrong there.
        message: String,
    },
    /// There is no such setting.
    #[error("there is no setting {name}, origin={origin} nearest={nearest}")]
    Unknown {
        /// What was given.
        name: String,
        /// Where.
        origin: Origin,
        /// The nearest name that there is.
        nearest: String,
    },
    /// A group of settings was given a value.
    #[error("{name} is a group of settings, not a setting, origin={origin} first={first}")]
    Group {
        /// The group.
        name: String,
        /// Where.
        origin: Origin,
        /// A setting of it.
        first: &'static str,
    },
    /// The value is not one that the setting may have.
    #[error("{name} cannot be this, value={value} origin={origin} rule={rule}")]
    Value {
        /// The setting.
        name: &'static str,
        /// What was given; not shown when it is secret.
        value: String,
        /// Where.
        origin: Origin,
        /// What it may be.
        rule: String,
    },
    /// The setting means nothing beside the others.
    #[error("{name} means nothing here, value={value} origin={origin} rule={only}")]
    Meaningless {
        /// The setting.
        name: &'static str,
        /// What was given; not shown when it is secret.
        value: String,
        /// Where.
        origin: Origin,
        /// When it would mean something.
        only: Only,
    },
    /// Two settings contradict each other.
    #[error("{name} does not fit the rest, value={value} origin={origin} rule={rule}")]
    Conflict {
        /// The setting.
        name: &'static str,
        /// Its value.
        value: String,
        /// Where it came from.
        origin: Origin,
        /// What must hold.
        rule: &'static str,
    },
}

/// Everything that is wrong; never empty.
#[derive(Debug, Clone)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.0.iter().enumerate() {
            let end = if i == 0 { "" } else { "\n" };
            write!(f, "{end}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        Self(vec![error])
    }
}
