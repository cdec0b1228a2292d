//! Questions about application logs, the same for every surface: what is asked in names and text
//! values, checked and lowered to the log store's words, and the answers as JSON.
//!
//! | name | asks for |
//! |---|---|
//! | `text` | words, phrases, `OR`, `-`: see [`logstore::TextQuery`]; nothing typed is an error |
//! | `severity_max` | entries as bad as this or worse: a number of syslog or a name |
//! | `hostname`, `app_name`, `proc_id`, `msg_id`, `source`, `facility`, `severity` | one of several values, with commas between them; with `!` before them, none of them |
//! | `sd` | values in the structured data: see [`conditions()`] |
//! | `from`, `to` | times: RFC 3339, or nanoseconds since 1970; both ends belong to it |
//! | `order` | `newest` first, or `oldest` |
//! | `limit`, `cursor`, `back` | a page: so many, behind a place, or before it |
//!
//! Start with [`filter`], [`Search::parse`].

mod answer;
mod conditions;
mod line;

use std::time::Duration;

use base::error::Code;
use logstore::{
    Cursor, Field, FieldIs, Filter, Order, PAGE_MAX, Polarity, Query, Severity, SeveritySet,
    TOP_MAX, TextQuery, UnixNanos,
};

use answer::{histogram, page, top};
pub use conditions::conditions;
pub use line::line_of;

use crate::engine::{EngineError, Logs, Result};
use crate::ingest::{fields, time};

/// Names that a filter has.
pub const FILTER: [&str; 12] = [
    "text",
    "severity_max",
    "hostname",
    "app_name",
    "proc_id",
    "msg_id",
    "source",
    "facility",
    "severity",
    "sd",
    "from",
    "to",
];
/// Entries of a page unless asked otherwise.
pub const LIMIT_DEFAULT: usize = 100;
/// Most entries of a page that a surface answers.
pub const LIMIT_MAX: usize = 1000;
/// Bytes of a page after which it ends, whatever its limit.
const PAGE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bars of a histogram unless asked otherwise, about.
const BARS_DEFAULT: i64 = 60;
/// How far back a histogram reaches unless asked otherwise.
const HISTOGRAM_SPAN: Duration = Duration::from_secs(3600);

const _: () = assert!(LIMIT_MAX <= PAGE_MAX);

/// Finds a value by its name.
pub type Asked<'a> = &'a dyn Fn(&str) -> Option<&'a str>;

fn wrong(what: impl Into<Box<str>>) -> EngineError {
    EngineError::new(Code::InvalidQuery, what)
}

/// Which entries are wanted.
///
/// # Errors
/// `InvalidQuery` when a value is none of its name.
pub fn filter(asked: Asked<'_>) -> Result<Filter> {
    let mut filter = Filter::default();
    if let Some(text) = asked("text") {
        filter.text = TextQuery::parse(text);
    }
    if let Some(text) = asked("severity_max") {
        filter.severities = SeveritySet::at_least(severity("severity_max", text)?);
    }
    for field in Field::ALL {
        if let Some(values) = asked(field.name()) {
            filter.fields.push(field_is(field, values)?);
        }
    }
    if let Some(text) = asked("sd") {
        filter.json = conditions(text)?;
    }
    if let Some(text) = asked("from") {
        filter.time.from = at("from", text)?;
    }
    if let Some(text) = asked("to") {
        filter.time.to = at("to", text)?;
    }
    filter.check()?;
    Ok(filter)
}

fn severity(name: &str, text: &str) -> Result<Severity> {
    let number = text.parse().ok().and_then(Severity::from_number);
    number.or_else(|| fields::severity(text)).ok_or_else(|| {
        wrong(format!(
            "{name} is a severity: 0 to 7, or emerg, alert, crit, err, warning, notice, info, debug"
        ))
    })
}

fn field_is(field: Field, text: &str) -> Result<FieldIs> {
    let (polarity, values) = match text.strip_prefix('!') {
        Some(values) => (Polarity::IsNot, values),
        None => (Polarity::Is, text),
    };
    let mut values: Vec<String> = values.split(',').map(str::to_owned).collect();
    if field == Field::Severity {
        for value in &mut values {
            severity(field.name(), value)?.name().clone_into(value);
        }
    }
    Ok(FieldIs { field, values, polarity })
}

/// A time: RFC 3339, or nanoseconds since 1970.
fn at(name: &str, text: &str) -> Result<UnixNanos> {
    let number = || text.parse().ok().map(UnixNanos);
    time::rfc3339(text).or_else(number).ok_or_else(|| {
        wrong(format!("{name} is a time of RFC 3339, or nanoseconds since 1970: {text:?} is none"))
    })
}

fn number(name: &str, text: &str, range: std::ops::RangeInclusive<u64>) -> Result<u64> {
    let number = text.parse().ok().filter(|number| range.contains(number));
    let (from, to) = range.into_inner();
    number.ok_or_else(|| wrong(format!("{name} is an integer from {from} to {to}")))
}

/// Which way a page is read from its cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// What comes behind it.
    On,
    /// What comes before it, in the same order.
    Back,
}

/// A search for a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    query: Query,
    way: Way,
}

impl Search {
    /// What is asked.
    ///
    /// # Errors
    /// `InvalidQuery` when a value is none of its name.
    pub fn parse(asked: Asked<'_>) -> Result<Self> {
        let order = match asked("order") {
            None | Some("newest") => Order::NewestFirst,
            Some("oldest") => Order::OldestFirst,
            Some(_) => return Err(wrong("order is newest or oldest")),
        };
        let limit = asked("limit").map(|text| number("limit", text, 1..=LIMIT_MAX as u64));
        let limit = limit.transpose()?.map_or(Ok(LIMIT_DEFAULT), usize::try_from);
        let after = asked("cursor").map(str::parse::<Cursor>).transpose()?;
        let way = match asked("back") {
            None | Some("false") => Way::On,
            Some("true") if after.is_some() => Way::Back,
            Some("true") => return Err(wrong("back needs a cursor")),
            Some(_) => return Err(wrong("back is true or false")),
        };
        let limit = limit.unwrap_or(LIMIT_DEFAULT);
        Ok(Self { query: Query { filter: filter(asked)?, order, limit, after }, way })
    }

    /// Has it answered. Reads files.
    ///
    /// # Errors
    /// `Timeout`; the store's.
    pub fn run(&self, logs: &Logs) -> Result<Vec<u8>> {
        use logstore::LogStorage as _;
        let mut query = self.query.clone();
        if self.way == Way::Back {
            query.order = query.order.reversed();
        }
        let mut found = logs.store().search(&query)?;
        let mut bytes = 0;
        let fits = found.entries.iter().take_while(|stored| {
            bytes += stored.entry.cost_bytes();
            bytes <= PAGE_BYTES_MAX
        });
        // One entry always fits, so that whoever turns pages gets on.
        let count = fits.count().max(1);
        if count < found.entries.len() {
            found.entries.truncate(count);
            found.next = found.entries.last().map(Cursor::of);
        }
        let first = found.entries.first().map(Cursor::of);
        let last = found.entries.last().map(Cursor::of);
        let (next, previous) = match self.way {
            Way::On => (found.next, first.filter(|_| query.after.is_some())),
            Way::Back => (first, found.next.and(last)),
        };
        if self.way == Way::Back {
            found.entries.reverse();
        }
        Ok(page(&found, next, previous, query.filter.text.is_cut()))
    }
}

/// Counts over time: the answer to what is asked.
///
/// # Errors
/// `InvalidQuery` when a value is none of its name or there would be too many bars; `Timeout`.
pub fn counts(logs: &Logs, asked: Asked<'_>, now: UnixNanos) -> Result<Vec<u8>> {
    let mut filter = filter(asked)?;
    if asked("to").is_none() {
        filter.time.to = now;
    }
    if asked("from").is_none() {
        let span = i64::try_from(HISTOGRAM_SPAN.as_nanos()).unwrap_or(i64::MAX);
        filter.time.from = UnixNanos(filter.time.to.0.saturating_sub(span));
    }
    if filter.time.from > filter.time.to {
        return Err(wrong("from is later than to"));
    }
    let width = match asked("width_ms") {
        Some(text) => Duration::from_millis(number("width_ms", text, 1..=31_536_000_000)?),
        None => width_of(filter.time.to.0.abs_diff(filter.time.from.0)),
    };
    let found = logs.store().histogram(&filter, width)?;
    Ok(histogram(&found, &filter, width))
}

/// A width that gives about [`BARS_DEFAULT`] bars and that people count in.
fn width_of(span_nanos: u64) -> Duration {
    const SECONDS: [u64; 12] =
        [1, 5, 15, 60, 300, 900, 3600, 10_800, 43_200, 86_400, 604_800, 2_592_000];
    let wanted = span_nanos / 1_000_000_000 / BARS_DEFAULT.unsigned_abs();
    let found = SECONDS.into_iter().find(|seconds| *seconds >= wanted);
    Duration::from_secs(found.unwrap_or(31_536_000))
}

/// The most frequent values of a field: the answer to what is asked.
///
/// # Errors
/// `InvalidQuery` when a value is none of its name; `Timeout`.
pub fn top_values(logs: &Logs, asked: Asked<'_>) -> Result<Vec<u8>> {
    let names = || Field::ALL.map(Field::name).join(", ");
    let field = asked("field").and_then(Field::from_name);
    let field = field.ok_or_else(|| wrong(format!("field is one of {}", names())))?;
    let limit = asked("limit").map(|text| number("limit", text, 1..=TOP_MAX as u64));
    let limit = limit.transpose()?.map_or(Ok(10), usize::try_from).unwrap_or(10);
    let found = logs.store().top_values(&filter(asked)?, field, limit)?;
    Ok(top(&found, field))
}

#[cfg(test)]
mod tests;
