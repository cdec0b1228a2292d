//! Settings from the environment.

use std::ffi::OsStr;

use super::FILE_VARIABLE;
use super::error::ConfigError;
use super::nearest::nearest;
use super::source::{Given, Origin};
use super::table::{self, Setting};
use super::value::{Raw, rule};

/// What the variables of docdb begin with.
pub(super) const PREFIX: &str = "DOCDB_";

/// Variables that a cluster sets for a service called `docdb`, about where it is: they are not the
/// user's, and no setting is called so.
const OF_A_SERVICE: &[&str] = &["DOCDB_SERVICE_", "DOCDB_PORT"];

/// Reads `environment`, whatever else is in it.
pub(super) fn read<'a>(
    environment: impl Iterator<Item = (&'a OsStr, &'a OsStr)>,
    errors: &mut Vec<ConfigError>,
) -> Vec<Given> {
    let mut given = Vec::new();
    for (variable, value) in environment {
        let variable = variable.to_string_lossy().into_owned();
        let is_ours = variable.starts_with(PREFIX)
            && variable != FILE_VARIABLE
            && !OF_A_SERVICE.iter().any(|prefix| variable.starts_with(prefix));
        if !is_ours {
            continue;
        }
        let origin = Origin::Variable(variable.clone());
        let Some(setting) = table::all().find(|setting| setting.variable() == variable) else {
            let variables = table::all().map(Setting::variable).chain([FILE_VARIABLE.to_owned()]);
            let nearest = nearest(&variable, variables).unwrap_or_default();
            errors.push(ConfigError::Unknown { name: variable, origin, nearest });
            continue;
        };
        match value.to_str() {
            Some(value) => {
                let (name, raw) = (setting.name.to_owned(), Raw::Text(value.to_owned()));
                given.push(Given { name, raw, origin });
            }
            None => errors.push(ConfigError::Value {
                name: setting.name,
                value: "(not UTF-8)".to_owned(),
                origin,
                rule: rule(setting),
            }),
        }
    }
    given
}
