//! Searches: pairs beside the lean design at a million entries, and ours alone at a million and at ten,
//! with nothing beside it and while entries come.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base::clock::{Clock as _, SystemClock};
use base::retry::{InterruptibleWaiter, Waiter as _};
use base::workers;
use benches::writers::Latencies;
use benches::{Bench, Case};
use logstore::{
    BatchedSqliteStorage, Filter, LogError, LogStorage as _, Query, Severity, UnixNanos,
};

use super::lines::{Lines, STEP_NANOS};
use super::plain::{Design, Plain};
use super::{failed, groups, open, per, resident, size, store, tell};

const PAIRED_ROWS: u64 = 1_000_000;
const ALONE: [(&str, u64); 2] = [("1M", 1_000_000), ("10M", 10_000_000)];
const BATCH: u64 = 4096;
const HOUR: i64 = 3_600_000_000_000;

/// A word, within the last hour or any time, of some severity.
#[derive(Clone, Copy)]
struct Question {
    name: &'static str,
    word: &'static str,
    hours: Option<i64>,
    severity: Severity,
}

const QUESTIONS: [Question; 7] = [
    Question { name: "rare-hour", word: "panicked", hours: Some(1), severity: Severity::Debug },
    Question { name: "mid-hour", word: "timeout", hours: Some(1), severity: Severity::Debug },
    Question { name: "mid-hour-bad", word: "timeout", hours: Some(1), severity: Severity::Warning },
    Question { name: "common-hour", word: "GET", hours: Some(1), severity: Severity::Debug },
    Question { name: "rare-ever", word: "panicked", hours: None, severity: Severity::Debug },
    Question { name: "mid-ever", word: "timeout", hours: None, severity: Severity::Debug },
    Question {
        name: "absent-ever",
        word: "nothinglikethis",
        hours: None,
        severity: Severity::Debug,
    },
];

impl Question {
    fn from(&self, now: UnixNanos) -> UnixNanos {
        self.hours.map_or(UnixNanos::MIN, |hours| UnixNanos(now.0 - hours * HOUR))
    }

    fn ask(&self, logs: &BatchedSqliteStorage, now: UnixNanos) -> io::Result<usize> {
        let filter = Filter::default().text(self.word).at_least(self.severity);
        let query = Query::new(filter.between(self.from(now), now));
        Ok(logs.search(&query).map_err(failed)?.entries.len())
    }
}

pub(crate) fn run(bench: &mut Bench) -> io::Result<()> {
    paired(bench)?;
    ALONE.into_iter().try_for_each(|(name, rows)| alone(bench, name, rows))
}

fn paired(bench: &mut Bench) -> io::Result<()> {
    let rows = bench.amount(PAIRED_ROWS);
    let logs = open(bench, "search")?;
    let mut peer = Plain::create(&bench.scratch().path("search-peer"), Design::Lean)?;
    let now = fill(&logs, rows)?;
    let mut lines = Lines::new(3);
    let mut left = rows;
    while left > 0 {
        let count = left.min(BATCH);
        let entries: Vec<_> = (0..count).map(|_| lines.entry()).collect();
        peer.store(&entries)?;
        left -= count;
    }
    for question in QUESTIONS {
        let (ours, theirs) = (
            question.ask(&logs, now)?,
            peer.search(question.word, question.from(now), now, question.severity.number())?,
        );
        if ours != theirs {
            return Err(io::Error::other(format!("{}: {ours} and {theirs}", question.name)));
        }
        let asked = bench.amount(20);
        bench.case(
            Case {
                name: &format!("search-{}", question.name),
                operation: "the newest 100 of a million",
                peer: Design::Lean.name(),
                aim: None,
            },
            |stopwatch| {
                stopwatch
                    .time(asked, || (0..asked).try_for_each(|_| question.ask(&logs, now).map(drop)))
            },
            |stopwatch| {
                let (from, severity) = (question.from(now), question.severity.number());
                stopwatch.time(asked, || {
                    (0..asked)
                        .try_for_each(|_| peer.search(question.word, from, now, severity).map(drop))
                })
            },
        )?;
    }
    let width = bar(rows);
    bench.case(
        Case {
            name: "histogram",
            operation: "a hundred bars over a million",
            peer: Design::Lean.name(),
            aim: None,
        },
        |stopwatch| stopwatch.time(1, || bars(&logs, width).map(drop)),
        |stopwatch| stopwatch.time(1, || peer.histogram(width).map(drop)),
    )
}

/// Fills a store; the time of its last entry.
fn fill(logs: &BatchedSqliteStorage, rows: u64) -> io::Result<UnixNanos> {
    let mut lines = Lines::new(3);
    let mut left = rows;
    while left > 0 {
        // Not all at once: ten million entries are two gigabytes.
        let part = left.min(64 * BATCH);
        store(logs, groups(&mut lines, part, BATCH.min(part)))?;
        left -= part;
    }
    Ok(lines.now())
}

fn bar(rows: u64) -> i64 {
    let span = i64::try_from(rows).unwrap_or(i64::MAX).saturating_mul(STEP_NANOS);
    (span / 100).max(1)
}

fn bars(logs: &BatchedSqliteStorage, width: i64) -> io::Result<usize> {
    let width = Duration::from_nanos(width.unsigned_abs());
    Ok(logs.histogram(&Filter::default(), width).map_err(failed)?.bars.len())
}

/// How long ours takes at so many, first with nothing beside it, then while entries come.
fn alone(bench: &Bench, name: &str, rows: u64) -> io::Result<()> {
    let rows = bench.amount(rows);
    let logs = Arc::new(open(bench, name)?);
    let clock = SystemClock::new();
    let began = clock.now();
    let now = fill(&logs, rows)?;
    let took = clock.now().since(began);
    let (bytes, entries) = size(&logs)?;
    tell(&format!(
        "{name}: {entries} entries in {took:.1?} with making them, {:.1} bytes per entry, {}",
        per(bytes, entries),
        resident()
    ))?;
    let times = bench.amount(30);
    measure_all(&logs, name, times, rows, now)?;
    let is_over = Arc::new(AtomicBool::new(false));
    let writer = {
        let (logs, is_over) = (Arc::clone(&logs), Arc::clone(&is_over));
        workers::spawn("writes", move || write_steadily(&logs, &is_over, now))?
    };
    let measured = measure_all(&logs, &format!("{name} while writing"), times, rows, now);
    is_over.store(true, Ordering::Release);
    let written = writer.join().map_err(|_| io::Error::other("the writer panicked"))??;
    tell(&format!("{name} while writing: {written} entries came"))?;
    measured
}

/// Stores ten entries a millisecond, later than what is asked for, until told to stop.
fn write_steadily(
    logs: &BatchedSqliteStorage,
    is_over: &AtomicBool,
    after: UnixNanos,
) -> io::Result<u64> {
    let mut lines = Lines::new(5);
    let waiter = InterruptibleWaiter::new();
    let mut written = 0;
    while !is_over.load(Ordering::Acquire) {
        for _ in 0..10 {
            let mut entry = lines.entry();
            entry.time = UnixNanos(after.0 + entry.time.0 % HOUR);
            match logs.store(entry) {
                Ok(completion) => drop(completion),
                Err(LogError::QueueFull { .. }) => break,
                Err(error) => return Err(failed(error)),
            }
            written += 1;
        }
        waiter.wait(Duration::from_millis(1));
    }
    Ok(written)
}

fn measure_all(
    logs: &BatchedSqliteStorage,
    when: &str,
    times: u64,
    rows: u64,
    now: UnixNanos,
) -> io::Result<()> {
    let clock = SystemClock::new();
    let measure = |name: &str, ask: &dyn Fn() -> io::Result<usize>| -> io::Result<()> {
        let mut found = 0;
        let mut took = Vec::new();
        for _ in 0..times {
            let start = clock.now();
            found = ask()?;
            took.push(clock.now().since(start));
        }
        tell(&format!("{when}: {name}: {found} found, {}", Latencies::of(took)))
    };
    measure("recent", &|| Ok(logs.recent(100).map_err(failed)?.len()))?;
    let middle = UnixNanos(now.0 - i64::try_from(rows).unwrap_or(i64::MAX) / 2 * STEP_NANOS);
    let minute = Filter::default().between(middle, UnixNanos(middle.0 + HOUR / 60));
    let minute = Query::new(minute);
    measure("range", &|| Ok(logs.search(&minute).map_err(failed)?.entries.len()))?;
    for question in QUESTIONS {
        measure(question.name, &|| question.ask(logs, now))?;
    }
    let width = bar(rows);
    measure("histogram", &|| bars(logs, width))?;
    let top = |filter: &Filter| logs.top_values(filter, logstore::Field::AppName, 10);
    measure("top-app", &|| Ok(top(&Filter::default()).map_err(failed)?.values.len()))
}
