//! A value of a setting: how it is read from text or from TOML, and how it is shown.
//!
//! What a value may be is its row's [`Kind`]; what it says when it is refused is the rule that it
//! broke. A value is shown so that reading it again gives the same value.

mod text;

use std::collections::BTreeMap;
use std::time::Duration;

pub(super) use text::{address, networks, origins, streams, time, weights};

use super::table::{Kind, Setting};

/// What was given, before it is known what it should be.
#[derive(Debug, Clone, PartialEq)]
pub enum Raw {
    /// Text: of a flag, a variable or a TOML string.
    Text(String),
    /// A whole number of TOML.
    Integer(i64),
    /// A number of TOML with a fraction.
    Float(f64),
    /// A TOML boolean.
    Bool(bool),
    /// A TOML array of strings.
    List(Vec<String>),
    /// A TOML table of numbers.
    Numbers(BTreeMap<String, i64>),
    /// What TOML can say and no setting can be, as it is written.
    Other(String),
}

/// A value that its setting allows.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Of [`Kind::Bool`].
    Bool(bool),
    /// Of [`Kind::Count`].
    Count(u64),
    /// Of [`Kind::Ratio`].
    Ratio(f64),
    /// Of [`Kind::Bytes`].
    Bytes(u64),
    /// Of [`Kind::Time`].
    Time(Duration),
    /// Of every other kind: text in its one way of writing it.
    Text(String),
}

impl Raw {
    /// As it is named in a refusal.
    #[must_use]
    pub fn show(&self) -> String {
        match self {
            Self::Text(text) | Self::Other(text) => text.clone(),
            Self::Integer(number) => number.to_string(),
            Self::Float(number) => number.to_string(),
            Self::Bool(is) => is.to_string(),
            Self::List(items) => items.join(","),
            Self::Numbers(numbers) => {
                let items: Vec<String> = numbers.iter().map(|(k, v)| format!("{k}={v}")).collect();
                items.join(",")
            }
        }
    }

    /// Text for the kinds that are read from text. Lists and tables are those of their kinds only.
    fn text(&self, kind: Kind) -> Option<String> {
        match (self, kind) {
            (Self::Text(text), _) => Some(text.clone()),
            (Self::List(_), Kind::Origins | Kind::Streams | Kind::Networks)
            | (Self::Numbers(_), Kind::Weights) => Some(self.show()),
            (Self::Integer(_), Kind::Count { .. } | Kind::Bytes { .. } | Kind::Time { .. }) => {
                Some(self.show())
            }
            (Self::Float(_), Kind::Ratio) | (Self::Bool(_), Kind::Bool) => Some(self.show()),
            _ => None,
        }
    }
}

impl Value {
    /// Reads a value of `setting`.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn parse(setting: &Setting, raw: &Raw) -> Result<Self, String> {
        let Some(text) = raw.text(setting.kind) else { return Err(rule(setting)) };
        let value = match setting.kind {
            Kind::Bool => text.parse().ok().map(Self::Bool),
            Kind::Count { .. } => text::number(&text).map(Self::Count),
            Kind::Ratio => text.parse().ok().map(Self::Ratio),
            Kind::Bytes { unit, .. } => text::bytes(&text, unit).map(Self::Bytes),
            Kind::Time { unit, .. } => time(&text, unit).map(Self::Time),
            Kind::Choice(words) => {
                words.iter().find(|word| **word == text).map(|_| Self::Text(text))
            }
            Kind::Path | Kind::Socket => text::is_path(&text, setting).then_some(Self::Text(text)),
            Kind::Address => address(&text).map(|found| {
                Self::Text(found.map_or_else(|| text::OFF.to_owned(), |found| found.to_string()))
            }),
            Kind::Url => text::is_url(&text).then_some(Self::Text(text)),
            Kind::Origins => origins(&text).map(|found| Self::Text(found.join(","))),
            Kind::Weights => weights(&text).map(|found| Self::Text(text::show_weights(&found))),
            Kind::Streams => streams(&text).map(|found| Self::Text(found.join(","))),
            Kind::Networks => networks(&text).map(|found| Self::Text(text::show_networks(&found))),
        };
        value.filter(|value| value.is_in_range(setting)).ok_or_else(|| rule(setting))
    }

    /// The default of `setting`.
    #[must_use]
    pub fn of_default(setting: &Setting) -> Self {
        Self::parse(setting, &Raw::Text(setting.default.to_owned()))
            .expect("a test reads the default of every row")
    }

    fn is_in_range(&self, setting: &Setting) -> bool {
        let is_empty_allowed = setting.empty.is_some();
        match (self, setting.kind) {
            (Self::Count(n), Kind::Count { min, max }) => {
                (*n == 0 && is_empty_allowed) || (min..=max).contains(n)
            }
            (Self::Bytes(n), Kind::Bytes { min, max, step, .. }) => {
                (*n == 0 && is_empty_allowed) || ((min..=max).contains(n) && n % step == 0)
            }
            (Self::Time(n), Kind::Time { min, max, .. }) => {
                (n.is_zero() && is_empty_allowed) || (min..=max).contains(n)
            }
            (Self::Ratio(n), _) => *n > 0.0 && *n < 1.0,
            _ => true,
        }
    }

    /// In the one way of writing it.
    #[must_use]
    pub fn show(&self, setting: &Setting) -> String {
        match (self, setting.kind) {
            (Self::Bool(is), _) => is.to_string(),
            (Self::Count(n), _) => n.to_string(),
            (Self::Ratio(n), _) => n.to_string(),
            (Self::Bytes(n), Kind::Bytes { unit, .. }) => text::show_bytes(*n, unit),
            (Self::Bytes(n), _) => text::show_bytes(*n, 1),
            (Self::Time(n), Kind::Time { unit, .. }) => text::show_time(*n, unit),
            (Self::Time(n), _) => text::show_time(*n, Duration::from_secs(1)),
            (Self::Text(text), _) => text.clone(),
        }
    }
}

/// What `setting` may be, as a refusal and the documentation say it.
#[must_use]
pub fn rule(setting: &Setting) -> String {
    let zero = if setting.empty.is_some() { "0, or " } else { "" };
    match setting.kind {
        Kind::Bool => "true or false".to_owned(),
        Kind::Count { min, max } => {
            let zero = if min == 0 { "" } else { zero };
            format!("{zero}a whole number from {min} to {max}")
        }
        Kind::Ratio => "a number above 0 and below 1".to_owned(),
        Kind::Bytes { unit, min, max, step } => {
            let name = if unit == 1 { "bytes" } else { "MiB" };
            let step = if step == 1 { "" } else { ", a multiple of 512 bytes" };
            let (min, max) = (text::show_bytes(min, 1), text::show_bytes(max, 1));
            format!("{zero}from {min} to {max}{step}; a plain number is {name}")
        }
        Kind::Time { unit, min, max } => {
            let name = if unit.as_secs() == 1 { "seconds" } else { "milliseconds" };
            let second = Duration::from_secs(1);
            let (min, max) = (text::show_time(min, second), text::show_time(max, second));
            format!("{zero}from {min} to {max}; a plain number is {name}")
        }
        Kind::Choice(words) => format!("one of {}", words.join(", ")),
        Kind::Path if setting.default.is_empty() => "a path".to_owned(),
        Kind::Path => "a path, not empty".to_owned(),
        Kind::Socket => format!("a path of at most {} bytes, or off", text::SOCKET_BYTES_MAX),
        Kind::Address => {
            "an IP address and a port, as 127.0.0.1:7717 or [::1]:7717, or off".to_owned()
        }
        Kind::Url => "a URL that begins with http:// or https://".to_owned(),
        Kind::Origins => {
            "origins such as https://example.com with commas between them, or *".to_owned()
        }
        Kind::Networks => {
            "blocks of IP addresses as 10.0.0.0/8 or fd00::/8 with commas between them".to_owned()
        }
        Kind::Streams => "names of programs with commas between them, or *".to_owned(),
        Kind::Weights => format!(
            "names of databases with a weight from 1 to {}, as orders=4,audit=2",
            text::WEIGHT_MAX
        ),
    }
}
