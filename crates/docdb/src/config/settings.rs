//! The settings in effect: every row of the table with its value and where that came from.

use std::path::PathBuf;

use base::io::DiskRef;

use super::error::{ConfigError, ConfigErrors};
use super::nearest::nearest;
use super::source::{Given, Origin, Sources};
use super::table::{self, Only, Setting};
use super::value::{Value, address};
use super::{FILE_VARIABLE, environment, file};

/// What is shown in place of a secret.
const HIDDEN: &str = "(hidden)";

/// One setting in effect.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its row.
    pub setting: &'static Setting,
    /// Where its value came from.
    pub origin: Origin,
    value: Held,
}

/// A value whose `Debug` shows no secret.
#[derive(Clone)]
struct Held {
    value: Value,
    is_secret: bool,
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.is_secret { f.write_str(HIDDEN) } else { self.value.fmt(f) }
    }
}

impl Entry {
    fn new(setting: &'static Setting, value: Value, origin: Origin) -> Self {
        Self { setting, origin, value: Held { value, is_secret: setting.secret } }
    }

    /// The value itself, a secret too.
    #[must_use]
    pub fn value(&self) -> &Value {
        &self.value.value
    }

    /// The value in its one way of writing it; of a secret that is set, that it is.
    #[must_use]
    pub fn shown(&self) -> String {
        let shown = self.value().show(self.setting);
        if self.setting.secret && !shown.is_empty() { HIDDEN.to_owned() } else { shown }
    }

    /// Whether somebody gave it.
    #[must_use]
    pub fn is_given(&self) -> bool {
        self.origin != Origin::Default
    }
}

/// Every setting with its value, consistent in itself.
#[derive(Debug, Clone)]
pub struct Settings {
    entries: Vec<Entry>,
    file: Option<PathBuf>,
}

impl Settings {
    /// Reads the file, the environment and the flags, and checks everything that they say.
    ///
    /// # Errors
    /// Everything that is wrong, each with where it was said.
    pub fn gather(sources: &Sources, disk: &DiskRef) -> Result<Self, ConfigErrors> {
        let mut errors = Vec::new();
        let variable = sources.environment.iter().find(|(name, _)| name == FILE_VARIABLE);
        let named = variable.map(|(_, path)| PathBuf::from(path));
        let path = sources.file.clone().or(named.filter(|path| !path.as_os_str().is_empty()));
        let mut given = match &path {
            Some(path) => file::read(disk, path, &mut errors),
            None => Vec::new(),
        };
        given.extend(given_elsewhere(sources, &mut errors));
        Self::of(given, path, errors)
    }

    /// As [`Settings::gather`], with the text of the file instead of its path.
    ///
    /// # Errors
    /// As there.
    pub fn of_text(text: &str, sources: &Sources) -> Result<Self, ConfigErrors> {
        let mut errors = Vec::new();
        let path = sources.file.clone().unwrap_or_else(|| PathBuf::from("docdb.toml"));
        let mut given = file::parse(text, &path, &mut errors);
        given.extend(given_elsewhere(sources, &mut errors));
        Self::of(given, Some(path), errors)
    }

    /// The defaults alone.
    #[must_use]
    pub fn defaults() -> Self {
        let entry = |setting| Entry::new(setting, Value::of_default(setting), Origin::Default);
        Self { entries: table::all().map(entry).collect(), file: None }
    }

    /// Takes what was given, the later over the earlier.
    fn of(
        given: Vec<Given>,
        file: Option<PathBuf>,
        mut errors: Vec<ConfigError>,
    ) -> Result<Self, ConfigErrors> {
        let mut settings = Self { file, ..Self::defaults() };
        for given in given {
            if let Err(error) = settings.take(given) {
                errors.push(error);
            }
        }
        // What the values mean together can be said only of those that stand.
        if errors.is_empty() {
            settings.check(&mut errors);
        }
        if errors.is_empty() { Ok(settings) } else { Err(ConfigErrors(errors)) }
    }

    fn take(&mut self, given: Given) -> Result<(), ConfigError> {
        let Given { name, raw, origin } = given;
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.setting.name == name) else {
            return Err(unknown(name, origin));
        };
        let setting = entry.setting;
        let value = Value::parse(setting, &raw).map_err(|rule| {
            let value = if setting.secret { HIDDEN.to_owned() } else { raw.show() };
            ConfigError::Value { name: setting.name, value, origin: origin.clone(), rule }
        })?;
        *entry = Entry::new(setting, value, origin);
        Ok(())
    }

    /// Every setting, in the order of the table.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// The file that was read, if one was.
    #[must_use]
    pub fn file(&self) -> Option<&std::path::Path> {
        self.file.as_deref()
    }

    /// The setting called `name`.
    ///
    /// # Panics
    /// When the table has no such row: names are written in this program only.
    #[must_use]
    pub fn entry(&self, name: &str) -> &Entry {
        let found = self.entries.iter().find(|entry| entry.setting.name == name);
        found.unwrap_or_else(|| panic!("the table of settings has no row {name}"))
    }

    /// The conditions of `setting` that do not hold.
    #[must_use]
    pub fn unmet(&self, setting: &Setting) -> Option<Only> {
        let holds = |only: &&Only| {
            let other = self.entry(only.other().0);
            !only.holds(&other.value().show(other.setting))
        };
        setting.only.iter().find(holds).copied()
    }

    /// Who may send syslog is said wherever others than this machine reach it, and only there where
    /// it is taken at all.
    fn check_syslog(
        &self,
        errors: &mut Vec<ConfigError>,
        conflict: impl Fn(&'static str, &'static str) -> ConfigError,
    ) {
        const ALLOW: &str = "logs.syslog.allow";
        let is_given = |name: &str| !self.entry(name).shown().is_empty();
        let listens = |name: &str| address(&self.entry(name).shown()).flatten();
        let (tcp, udp, tls) = ("logs.syslog.tcp", "logs.syslog.udp", "logs.syslog.tls");
        if is_given(ALLOW) && [tcp, udp, tls].iter().all(|name| listens(name).is_none()) {
            errors.push(conflict(ALLOW, "only with logs.syslog.tcp, udp or tls"));
        }
        for name in [tcp, udp, tls] {
            let is_beyond = listens(name).is_some_and(|address| !address.ip().is_loopback());
            let has_mutual = name == tls && is_given("logs.syslog.tls_client_ca");
            if is_beyond && !is_given(ALLOW) && !has_mutual {
                let rule = "beyond loopback only with logs.syslog.allow, or for tls with \
                            logs.syslog.tls_client_ca";
                errors.push(conflict(name, rule));
            }
        }
        let has_files = is_given("logs.syslog.tls_cert") && is_given("logs.syslog.tls_key");
        if listens(tls).is_some() && !has_files {
            errors.push(conflict(tls, "only with logs.syslog.tls_cert and logs.syslog.tls_key"));
        }
    }

    fn check(&self, errors: &mut Vec<ConfigError>) {
        for entry in self.entries.iter().filter(|entry| entry.is_given()) {
            // A template's empty variable asks for nothing.
            let asks = !entry.shown().is_empty();
            if let Some(only) = self.unmet(entry.setting).filter(|_| asks) {
                let (name, value, origin) =
                    (entry.setting.name, entry.shown(), entry.origin.clone());
                errors.push(ConfigError::Meaningless { name, value, origin, only });
            }
        }
        let conflict = |name: &'static str, rule| {
            let entry = self.entry(name);
            let (value, origin) = (entry.shown(), entry.origin.clone());
            ConfigError::Conflict { name, value, origin, rule }
        };
        let listens = |name: &str| self.entry(name).shown() != "off";
        if !listens("http.listen") && !listens("ipc.socket") {
            errors.push(conflict("http.listen", "not off together with ipc.socket"));
        }
        let is_local = address(&self.entry("http.listen").shown())
            .flatten()
            .is_some_and(|address| address.ip().is_loopback());
        if *self.entry("http.insecure").value() == Value::Bool(true) && is_local {
            let rule = "true means something only when http.listen is beyond loopback";
            errors.push(conflict("http.insecure", rule));
        }
        let bytes = |name: &str| {
            let Value::Bytes(n) = self.entry(name).value() else { return None };
            Some(*n).filter(|n| *n > 0)
        };
        if let (Some(one), Some(all)) = (bytes("db.memory_mb"), bytes("memory.total_mb"))
            && one > all
        {
            errors.push(conflict("db.memory_mb", "at most memory.total_mb"));
        }
        let count = |name: &str| {
            let Value::Count(n) = self.entry(name).value() else { return 0 };
            *n
        };
        if count("logs.queue_size") < count("logs.batch_size") {
            errors.push(conflict("logs.queue_size", "at least logs.batch_size"));
        }
        self.check_syslog(errors, conflict);
    }
}

fn given_elsewhere(sources: &Sources, errors: &mut Vec<ConfigError>) -> Vec<Given> {
    let variables = sources.environment.iter();
    let variables = variables.map(|(name, value)| (name.as_os_str(), value.as_os_str()));
    let mut given = environment::read(variables, errors);
    given.extend(sources.flags.iter().map(|(name, value)| Given {
        name: name.clone(),
        raw: super::value::Raw::Text(value.clone()),
        origin: Origin::Flag(name.clone()),
    }));
    given
}

fn unknown(name: String, origin: Origin) -> ConfigError {
    let prefix = format!("{name}.");
    if let Some(first) = table::all().find(|setting| setting.name.starts_with(&prefix)) {
        return ConfigError::Group { name, origin, first: first.name };
    }
    let names = table::all().map(|setting| setting.name.to_owned());
    let nearest = nearest(&name, names).unwrap_or_default();
    ConfigError::Unknown { name: shorten(name), origin, nearest }
}

/// A name that is shown whole only as long as it is a name.
fn shorten(mut name: String) -> String {
    name.truncate(name.floor_char_boundary(128));
    name
}

#[cfg(test)]
mod tests;
