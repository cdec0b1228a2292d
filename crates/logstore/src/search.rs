//! Search: pages, counts over time, and the values of fields, over all files.
//!
//! A search opens the files whose times overlap, and in each looks at the plain rows and at the
//! blocks that its bounds and filters do not rule out. Files and blocks are taken in the order of
//! their times, so that a page ends as soon as nothing left can be in it.

mod best;
mod blocks;
mod counts;
mod full_text;
mod tail;

use std::time::Duration;

use base::clock::{ClockRef, Instant};
use rusqlite::Connection;

use crate::error::{Fault, LogError, Result};
use crate::filter::Filter;
use crate::metrics::Search;
use crate::partition::Partition;
use crate::query::{Order, Page, Query, Unreadable, Work};
use crate::shared::{Shared, lock};
use crate::stored_block::ReadError;

use best::Best;
pub use counts::{BARS_MAX, Bar, DISTINCT_MAX, Histogram, TOP_MAX, TopValues};
pub(crate) use counts::{histogram, top_values};

/// What may be said of parts that could not be read; further ones are only counted.
const UNREADABLE_MAX: usize = 100;

/// Finds a page.
pub(crate) fn page(shared: &Shared, query: &Query) -> Result<Page> {
    timed(shared, Search::Page, || {
        query.check()?;
        let filter = narrowed(query);
        let mut best = Best::new(query);
        let mut run = Run::new(shared);
        for partition in in_order(shared, &filter, query.order) {
            let bounds = partition.bounds();
            if !best.wants_between(bounds.min_time, bounds.max_time) {
                break;
            }
            run.partition(&partition, |run, connection| {
                page_of(run, connection, &filter, &mut best)
            })?;
        }
        let (entries, next) = best.finish();
        Ok(Page { entries, next, unreadable: run.unreadable, work: run.work })
    })
}

/// Looks at one file for a page.
fn page_of(
    run: &mut Run<'_>,
    connection: &Connection,
    filter: &Filter,
    best: &mut Best,
) -> std::result::Result<(), ReadError> {
    let hits = full_text::candidates(connection, filter)?;
    run.work.used_full_text |= hits.is_some();
    tail::each_wanted(run, connection, filter, hits.as_deref(), Some(best.order()), |entry| {
        if !best.wants(entry.time, entry.id) {
            return best.wants_beyond(entry.time);
        }
        best.admit(entry.to_stored());
        true
    })?;
    let order = Some(best.order());
    let mut asked = blocks::Asked { filter, hits: hits.as_deref(), order };
    blocks::each_block(run, connection, &mut asked, |meta, found| {
        if !best.wants_between(meta.min_time, meta.max_time) {
            return Ok(false);
        }
        let Some((columns, rows)) = found()? else { return Ok(true) };
        let mut places = Vec::with_capacity(rows.len());
        for row in rows.iter() {
            let (time, id) = columns.place(row)?;
            if best.wants(time, id) {
                places.push((time, id, row));
            }
        }
        places.sort_unstable();
        if best.order() == Order::NewestFirst {
            places.reverse();
        }
        for (time, id, row) in places {
            if !best.wants(time, id) {
                break;
            }
            best.admit(columns.row(row)?.to_stored());
        }
        Ok(true)
    })
}

/// The filter of a query, with what its cursor rules out.
fn narrowed(query: &Query) -> Filter {
    let mut filter = query.filter.clone();
    if let Some(after) = query.after {
        match query.order {
            Order::NewestFirst => filter.time.to = filter.time.to.min(after.time),
            Order::OldestFirst => filter.time.from = filter.time.from.max(after.time),
        }
    }
    filter
}

/// The files that may have something, the ones to look at first first.
fn in_order(shared: &Shared, filter: &Filter, order: Order) -> Vec<std::sync::Arc<Partition>> {
    let mut partitions: Vec<_> = shared
        .partitions
        .all()
        .into_iter()
        .map(|partition| (partition.bounds(), partition))
        .filter(|(bounds, _)| {
            bounds.rows > 0 && filter.time.overlaps(bounds.min_time, bounds.max_time)
        })
        .collect();
    match order {
        Order::NewestFirst => {
            partitions.sort_by_key(|(bounds, _)| std::cmp::Reverse(bounds.max_time));
        }
        Order::OldestFirst => partitions.sort_by_key(|(bounds, _)| bounds.min_time),
    }
    partitions.into_iter().map(|(_, partition)| partition).collect()
}

/// Runs a search, and counts how long it took or that it failed.
fn timed<T>(shared: &Shared, kind: Search, search: impl FnOnce() -> Result<T>) -> Result<T> {
    let began = shared.clock.now();
    let found = search();
    shared.metrics.search_duration(kind).observe_duration(shared.clock.now().since(began));
    if found.is_err() {
        shared.metrics.search_failures(kind).increment();
    }
    found
}

/// One search in progress.
pub(crate) struct Run<'s> {
    shared: &'s Shared,
    deadline: Deadline,
    partition: String,
    pub(crate) work: Work,
    pub(crate) unreadable: Vec<Unreadable>,
}

impl<'s> Run<'s> {
    fn new(shared: &'s Shared) -> Self {
        let deadline = Deadline::new(shared.clock.clone(), shared.options.query_timeout);
        Self {
            shared,
            deadline,
            partition: String::new(),
            work: Work::default(),
            unreadable: Vec::new(),
        }
    }

    /// Reads one file. What is damaged is noted, and no error.
    fn partition(
        &mut self,
        partition: &std::sync::Arc<Partition>,
        read: impl FnOnce(&mut Self, &Connection) -> std::result::Result<(), ReadError>,
    ) -> Result<()> {
        self.deadline.check().map_err(|error| error.at(&partition.path))?;
        self.partition = partition.key.to_string();
        self.work.partitions += 1;
        let reader = self.shared.partitions.reader(partition, &self.shared.options);
        let done = match reader {
            // Retention has dropped it meanwhile.
            Ok(None) => return Ok(()),
            Ok(Some(reader)) => reader.read(|connection| {
                read(self, connection).map_err(|error| error.at(&partition.path))
            }),
            Err(error) => Err(error),
        };
        match done {
            Err(error) if is_damage(&error) => {
                self.note_unreadable(None, &error.to_string());
                lock(&self.shared.suspects).push(partition.key);
                self.shared.queue.nudge();
                Ok(())
            }
            other => other,
        }
    }

    /// Notes what is missing from the answer.
    fn note_unreadable(
        &mut self,
        entries: Option<(crate::entry::EntryId, crate::entry::EntryId)>,
        what: &str,
    ) {
        self.shared.metrics.unreadable.increment();
        tracing::error!(partition = self.partition, what, "a part of the logs cannot be read");
        if self.unreadable.len() < UNREADABLE_MAX {
            let (partition, what) = (self.partition.clone(), what.to_owned());
            self.unreadable.push(Unreadable { partition, entries, what });
        }
    }
}

fn is_damage(error: &LogError) -> bool {
    matches!(error, LogError::Damaged { .. }) || error.fault() == Some(Fault::Damaged)
}

/// When a search is over, whether or not it is finished.
struct Deadline {
    clock: ClockRef,
    at: Instant,
}

impl Deadline {
    fn new(clock: ClockRef, timeout: Duration) -> Self {
        let at = clock.now().after(timeout);
        Self { clock, at }
    }

    fn check(&self) -> std::result::Result<(), ReadError> {
        if self.clock.now() > self.at {
            return Err(ReadError::Stopped(LogError::Timeout { what: "a search" }));
        }
        Ok(())
    }
}
