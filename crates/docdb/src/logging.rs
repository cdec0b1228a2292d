//! The server's own log lines: by level, for people or as one JSON object a line, on standard error.
//!
//! What is worth keeping of them is stored among the application logs too: [`events`]. Times are those of the server's clock, in
//! UTC with milliseconds. `log.level` is that of docdb's own crates; of the libraries only warnings
//! are written, because what they trace of requests may hold keys and addresses that are secrets.
//!
//! Start with [`install`].

pub mod events;

use std::fmt;

use base::clock::{ClockRef, WallMs};
use tracing::level_filters::LevelFilter;
use tracing::{Dispatch, Level};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};

use crate::config::{Log, LogFormat, LogLevel};
use events::Events;

/// What is ours.
const OURS: [&str; 6] = ["base", "docdb", "docstore", "logstore", "search", "wal"];

/// Writes log lines to standard error from now on, in every thread, and hands events to what is
/// returned. Does nothing when somebody has begun already, as a test may have.
#[must_use]
pub fn install(log: &Log, clock: &ClockRef) -> Events {
    let events = Events::new(clock);
    let dispatch = dispatch(log, clock, std::io::stderr, &events);
    if tracing::dispatcher::set_global_default(dispatch).is_err() {
        tracing::debug!("log lines are written by somebody else already");
    }
    events
}

/// What writes log lines to `writer`, and hands events on.
pub fn dispatch<W>(log: &Log, clock: &ClockRef, writer: W, events: &Events) -> Dispatch
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let level = match log.level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Trace => Level::TRACE,
    };
    let others = LevelFilter::from_level(level).min(LevelFilter::WARN);
    let targets = OURS.iter().map(|target| (*target, level));
    let filter = Targets::new().with_default(others).with_targets(targets);
    let lines = tracing_subscriber::fmt::layer()
        .with_timer(Times(ClockRef::clone(clock)))
        .with_ansi(false)
        .with_writer(writer);
    // The level of the lines is not that of the events.
    let registry = tracing_subscriber::registry().with(events.layer());
    match log.format {
        LogFormat::Text => registry.with(lines.with_filter(filter)).into(),
        LogFormat::Json => {
            registry.with(lines.json().flatten_event(true).with_filter(filter)).into()
        }
    }
}

/// The times of lines.
#[derive(Debug)]
struct Times(ClockRef);

impl FormatTime for Times {
    fn format_time(&self, out: &mut Writer<'_>) -> fmt::Result {
        write!(out, "{}", Rfc3339(self.0.wall()))
    }
}

/// A time as RFC 3339 has it, UTC with milliseconds: `2027-01-15T08:00:00.000Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rfc3339(pub WallMs);

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.0;
        let (days, rest) = (ms / 86_400_000, ms % 86_400_000);
        let (year, month, day) = civil(days);
        let (hour, minute) = (rest / 3_600_000, rest / 60_000 % 60);
        let (second, ms) = (rest / 1000 % 60, rest % 1000);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
    }
}

/// Year, month and day of the `days`-th day since 1970-01-01, by the Gregorian calendar. After
/// Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms": years begin in March, so that the
/// leap day is the last.
const fn civil(days: u64) -> (u64, u64, u64) {
    // Days since 0000-03-01, of which an era of 400 years has 146097.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day_of_month = day - (153 * month + 2) / 5 + 1;
    let is_next_year = month >= 10;
    let month = if is_next_year { month - 9 } else { month + 3 };
    (era * 400 + year + is_next_year as u64, month, day_of_month)
}

#[cfg(test)]
mod tests;
