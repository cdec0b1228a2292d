//! Settings from a TOML file: tables and dotted keys, as they come.
//!
//! A table of the file is a group of settings unless a setting has its name. The reader of TOML
//! bounds how deep tables may be.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use base::io::{DiskRef, EntryKind, Open, read_full_at};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::ConfigError;
use super::source::{Given, Origin};
use super::table;
use super::value::Raw;

/// Largest file: many times what all settings need.
const FILE_BYTES_MAX: usize = 1024 * 1024;

/// Reads the file at `path`.
pub(super) fn read(disk: &DiskRef, path: &Path, errors: &mut Vec<ConfigError>) -> Vec<Given> {
    match content(disk, path) {
        Ok(text) => parse(&text, path, errors),
        Err(error) => {
            errors.push(ConfigError::Read { path: path.to_path_buf(), error: Arc::new(error) });
            Vec::new()
        }
    }
}

fn content(disk: &DiskRef, path: &Path) -> std::io::Result<String> {
    let other = |text: &str| Err(std::io::Error::other(text.to_owned()));
    if disk.stat(path)?.is_some_and(|stat| stat.kind == EntryKind::Directory) {
        return other("it is a directory");
    }
    let file = disk.open(path, Open::Read)?;
    let mut bytes = vec![0; FILE_BYTES_MAX + 1];
    let len = read_full_at(file.as_ref(), &mut bytes, 0)?;
    bytes.truncate(len);
    if len > FILE_BYTES_MAX {
        return other("it is larger than 1 MiB");
    }
    String::from_utf8(bytes).or_else(|_| other("it is not UTF-8"))
}

/// Reads the text of a file that is called `path`.
pub(super) fn parse(text: &str, path: &Path, errors: &mut Vec<ConfigError>) -> Vec<Given> {
    let mut reading = Reading { text, path: Arc::from(path), given: Vec::new(), errors };
    match DeTable::parse(text) {
        Ok(table) => reading.table("", table.get_ref()),
        Err(error) => {
            let at = error.span().map_or(0, |span| span.start);
            let (origin, message) = (reading.origin(at), error.message().to_owned());
            reading.errors.push(ConfigError::Toml { origin, message });
        }
    }
    reading.given
}

struct Reading<'a> {
    text: &'a str,
    path: Arc<Path>,
    given: Vec<Given>,
    errors: &'a mut Vec<ConfigError>,
}

impl Reading<'_> {
    fn origin(&self, at: usize) -> Origin {
        let before = self.text.get(..at).unwrap_or(self.text);
        Origin::File(Arc::clone(&self.path), 1 + before.matches('\n').count())
    }

    fn table(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let name = format!("{prefix}{}", key.get_ref());
            if let DeValue::Table(inner) = value.get_ref()
                && table::find(&name).is_none()
            {
                self.table(&format!("{name}."), inner);
            } else {
                self.value(name, key.span().start, value);
            }
        }
    }

    fn value(&mut self, name: String, at: usize, value: &Spanned<DeValue<'_>>) {
        let origin = self.origin(at);
        let raw = raw(value.get_ref()).unwrap_or_else(|| {
            Raw::Other(self.text.get(value.span()).unwrap_or_default().to_owned())
        });
        self.given.push(Given { name, raw, origin });
    }
}

/// A value of TOML, if some setting can be one of its kind.
fn raw(value: &DeValue<'_>) -> Option<Raw> {
    match value {
        DeValue::String(text) => Some(Raw::Text(text.to_string())),
        DeValue::Integer(_) => integer(value).map(Raw::Integer),
        DeValue::Float(float) => float.as_str().parse().ok().map(Raw::Float),
        DeValue::Boolean(is) => Some(Raw::Bool(*is)),
        DeValue::Datetime(_) => None,
        DeValue::Array(items) => {
            let text = |item: &Spanned<DeValue<'_>>| item.get_ref().as_str().map(str::to_owned);
            items.iter().map(text).collect::<Option<Vec<_>>>().map(Raw::List)
        }
        DeValue::Table(table) => {
            let number = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
                let key: &std::borrow::Cow<'_, str> = key.get_ref();
                integer(value.get_ref()).map(|number| (key.to_string(), number))
            };
            table.iter().map(number).collect::<Option<BTreeMap<_, _>>>().map(Raw::Numbers)
        }
    }
}

fn integer(value: &DeValue<'_>) -> Option<i64> {
    let number = value.as_integer()?;
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}
