//! Lines as they are written, by level and format.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::clock::{Clock, Instant};

use super::*;

#[derive(Debug)]
struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Instant {
        Instant(0)
    }

    fn wall(&self) -> WallMs {
        WallMs(1_800_000_000_123)
    }
}

/// Keeps what is written.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The lines of one event of each level.
fn lines(level: LogLevel, format: LogFormat) -> Vec<String> {
    let kept = Kept::default();
    let writer = kept.clone();
    let clock: ClockRef = Arc::new(Fixed);
    let events = Events::new(&clock);
    let log = Log { level, format, slow_after: Duration::ZERO };
    let dispatch = dispatch(&log, &clock, move || writer.clone(), &events);
    tracing::dispatcher::with_default(&dispatch, || {
        tracing::error!("one");
        tracing::warn!("two");
        tracing::info!(database = "orders", n = 3, "three");
        tracing::debug!("four");
        tracing::trace!("five");
    });
    let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn the_level_lets_graver_lines_through() {
    for (level, count) in [
        (LogLevel::Error, 1),
        (LogLevel::Warn, 2),
        (LogLevel::Info, 3),
        (LogLevel::Debug, 4),
        (LogLevel::Trace, 5),
    ] {
        for format in [LogFormat::Text, LogFormat::Json] {
            assert_eq!(lines(level, format).len(), count, "{level:?} {format:?}");
        }
    }
}

#[test]
fn a_line_of_text_is_for_people() {
    let text = lines(LogLevel::Info, LogFormat::Text);
    assert_eq!(
        text[2],
        "2027-01-15T08:00:00.123Z  INFO docdb::logging::tests: three database=\"orders\" n=3"
    );
}

#[test]
fn a_line_of_json_is_one_object() {
    let text = lines(LogLevel::Info, LogFormat::Json);
    let json: serde_json::Value = serde_json::from_str(&text[2]).unwrap();
    assert_eq!(
        json,
        serde_json::json!({
            "timestamp": "2027-01-15T08:00:00.123Z",
            "level": "INFO",
            "target": "docdb::logging::tests",
            "message": "three",
            "database": "orders",
            "n": 3,
        })
    );
}

#[test]
fn of_libraries_only_warnings_are_written_whatever_the_level() {
    let kept = Kept::default();
    let writer = kept.clone();
    let clock: ClockRef = Arc::new(Fixed);
    let (level, format) = (LogLevel::Trace, LogFormat::Text);
    let log = Log { level, format, slow_after: Duration::ZERO };
    let events = Events::new(&clock);
    let dispatch = dispatch(&log, &clock, move || writer.clone(), &events);
    tracing::dispatcher::with_default(&dispatch, || {
        tracing::trace!(target: "h2::codec", "authorization: Bearer docdb_s3cr3t");
        tracing::info!(target: "hyper", "authorization: Bearer docdb_s3cr3t");
        tracing::warn!(target: "hyper", "a warning");
        tracing::trace!(target: "docstore::read", "ours");
    });
    let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
    assert!(!text.contains("s3cr3t"), "{text}");
    assert_eq!(text.lines().count(), 2, "{text}");
}

#[test]
fn days_are_those_of_the_calendar() {
    for (days, expected) in [
        (0, (1970, 1, 1)),
        (58, (1970, 2, 28)),
        (59, (1970, 3, 1)),
        (789, (1972, 2, 29)),
        (790, (1972, 3, 1)),
        (11_016, (2000, 2, 29)),
        (47_540, (2100, 2, 28)),
        (47_541, (2100, 3, 1)),
        (2_932_896, (9999, 12, 31)),
    ] {
        assert_eq!(civil(days), expected, "{days}");
    }
}
