//! Where values come from.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::value::Raw;

/// What was given on the command line and in the environment.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The file that `--config` names.
    pub file: Option<PathBuf>,
    /// The variables of the environment, all of them.
    pub environment: Vec<(OsString, OsString)>,
    /// The flags: names of settings with their values.
    pub flags: Vec<(String, String)>,
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody gave it.
    Default,
    /// A line of the file, counted from 1.
    File(Arc<Path>, usize),
    /// A variable.
    Variable(String),
    /// A flag, by the name of its setting.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(name) => write!(f, "--{name}"),
        }
    }
}

/// One value as it was given.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) name: String,
    pub(super) raw: Raw,
    pub(super) origin: Origin,
}
