//! The server's own log lines: what is traced anywhere in docdb, to standard error, as text for
//! people or as one JSON object a line.
//!
//! Not the application logs that docdb may one day store. Times are those of the server's clock, in
//! UTC with milliseconds. Only docdb's own crates trace; what libraries write by the crate `log` is
//! not collected, because an HTTP library's lines may hold addresses that are secrets.
//!
//! Start with [`install`].

use std::fmt;

use base::clock::{ClockRef, WallMs};
use tracing::Dispatch;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

use crate::config::{Log, LogFormat, LogLevel};

/// Writes log lines to standard error from now on, in every thread.
///
/// # Errors
/// When that was done before.
pub fn install(
    log: &Log,
    clock: &ClockRef,
) -> Result<(), tracing::dispatcher::SetGlobalDefaultError> {
    tracing::dispatcher::set_global_default(dispatch(log, clock, std::io::stderr))
}

/// What writes log lines to `writer`.
pub fn dispatch<W>(log: &Log, clock: &ClockRef, writer: W) -> Dispatch
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let level = match log.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let builder = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_timer(Times(ClockRef::clone(clock)))
        .with_ansi(false)
        .with_writer(writer);
    match log.format {
        LogFormat::Text => builder.finish().into(),
        LogFormat::Json => builder.json().flatten_event(true).finish().into(),
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
