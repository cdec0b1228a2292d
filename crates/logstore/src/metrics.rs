//! Every metric of the log store: its definition, and the handle that the store counts with.

use base::metrics::{
    COUNT_BUCKETS, Counter, DURATION_BUCKETS_NANOS, Definition, Gauge, Histogram, Kind,
    MetricError, Registry,
};

use crate::queue::Trigger;

const DURATIONS: Kind = Kind::Histogram { bounds: DURATION_BUCKETS_NANOS };
const COUNTS: Kind = Kind::Histogram { bounds: COUNT_BUCKETS };

macro_rules! definitions {
    ($($constant:ident $name:literal $kind:expr, $unit:literal, [$($label:literal),*], $help:literal;)*) => {
        $(#[doc = $help] pub const $constant: Definition = Definition {
            name: $name, kind: $kind, unit: $unit, help: $help, labels: &[$($label),*],
        };)*

        /// All of them.
        pub const ALL: &[Definition] = &[$($constant),*];
    };
}

definitions! {
    STORED "docdb_logs_stored_entries_total" Kind::Counter, "entries", [],
        "Log entries that were accepted into the queue.";
    COMMITTED "docdb_logs_committed_entries_total" Kind::Counter, "entries", [],
        "Log entries that were committed to the database.";
    DROPPED "docdb_logs_dropped_entries_total" Kind::Counter, "entries", ["reason"],
        "Log entries that were not stored: refused at the queue, by the database, or unwritten at the end.";
    MARKED "docdb_logs_marked_entries_total" Kind::Counter, "entries", ["mark"],
        "Log entries that were accepted with a mark: cut, unparsed or not UTF-8.";
    BATCHES "docdb_logs_batches_total" Kind::Counter, "batches", ["trigger"],
        "Batches that were closed, by what closed them.";
    BATCH_SIZE "docdb_logs_batch_size_entries" COUNTS, "entries", [],
        "Entries of a batch.";
    COMMIT_DURATION "docdb_logs_commit_duration_seconds" DURATIONS, "seconds", [],
        "Time of one write transaction.";
    COMMIT_DELAY "docdb_logs_commit_delay_seconds" DURATIONS, "seconds", [],
        "Time from the queue to the commit, of the oldest entry of each batch.";
    RETRIES "docdb_logs_retries_total" Kind::Counter, "retries", ["reason"],
        "Write transactions that failed and were tried again, by the kind of failure.";
    QUEUE_ENTRIES "docdb_logs_queue_entries" Kind::Gauge, "entries", [],
        "Log entries that wait to be written.";
    QUEUE_BYTES "docdb_logs_queue_bytes" Kind::Gauge, "bytes", [],
        "Bytes of log entries that wait to be written.";
    QUEUE_UTILISATION "docdb_logs_queue_utilisation_ratio" Kind::Gauge, "ratio", [],
        "How full the queue is, by entries or bytes, whichever is fuller.";
    DISK_FULL "docdb_logs_disk_full_state" Kind::Gauge, "state", [],
        "1 while writes wait for room on the disk.";
    SUBSCRIBERS "docdb_logs_tail_subscribers" Kind::Gauge, "subscribers", [],
        "Live tails that are open.";
    MISSED "docdb_logs_tail_missed_entries_total" Kind::Counter, "entries", [],
        "Log entries that passed a slow live tail by.";
    SEALED_BLOCKS "docdb_logs_sealed_blocks_total" Kind::Counter, "blocks", [],
        "Blocks that were sealed.";
    SEALED_ENTRIES "docdb_logs_sealed_entries_total" Kind::Counter, "entries", [],
        "Log entries that were sealed into blocks.";
    SEALED_TEXT "docdb_logs_sealed_text_bytes_total" Kind::Counter, "bytes", [],
        "Bytes of text before sealing.";
    SEALED_STORED "docdb_logs_sealed_stored_bytes_total" Kind::Counter, "bytes", [],
        "Bytes of sealed blocks with their filters.";
    SEAL_FAILURES "docdb_logs_seal_failures_total" Kind::Counter, "failures", [],
        "Attempts to seal that failed; the rows stay as they are.";
    PARTITIONS "docdb_logs_store_partitions" Kind::Gauge, "partitions", [],
        "Files of the log store.";
    STORE_ENTRIES "docdb_logs_store_entries" Kind::Gauge, "entries", [],
        "Log entries in all files.";
    STORE_BYTES "docdb_logs_store_bytes" Kind::Gauge, "bytes", [],
        "Bytes of all files with their write-ahead logs.";
    RETIRED "docdb_logs_retired_partitions_total" Kind::Counter, "partitions", ["reason"],
        "Files that retention dropped, by age or by size.";
    DAMAGED "docdb_logs_damaged_partitions_total" Kind::Counter, "partitions", [],
        "Files that were found damaged and put aside.";
    UNREADABLE "docdb_logs_unreadable_parts_total" Kind::Counter, "parts", [],
        "Blocks or files that a search could not read, each time it met one.";
    CLOCK_BACK "docdb_logs_clock_set_back_total" Kind::Counter, "", [],
        "Batches that came on an earlier day than the file that is being written.";
    TRUNCATIONS "docdb_logs_wal_truncations_total" Kind::Counter, "truncations", ["status"],
        "Attempts to empty a write-ahead log, and whether a reader was in the way.";
    SEARCH_DURATION "docdb_logs_search_duration_seconds" DURATIONS, "seconds", ["kind"],
        "Time of a search, by kind: page, histogram, top.";
    SEARCH_FAILURES "docdb_logs_search_failures_total" Kind::Counter, "failures", ["kind"],
        "Searches that failed or took too long.";
}

/// Why an entry was not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DropReason {
    Invalid,
    TooLarge,
    QueueFull,
    DiskFull,
    Closed,
    Refused,
    Unwritten,
}

impl DropReason {
    const ALL: [(Self, &'static str); 7] = [
        (Self::Invalid, "invalid"),
        (Self::TooLarge, "too_large"),
        (Self::QueueFull, "queue_full"),
        (Self::DiskFull, "disk_full"),
        (Self::Closed, "closed"),
        (Self::Refused, "refused"),
        (Self::Unwritten, "unwritten"),
    ];
}

/// What kind of search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Search {
    Page,
    Histogram,
    Top,
}

/// The handles.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) stored: Counter,
    pub(crate) committed: Counter,
    dropped: [Counter; 7],
    pub(crate) cut: Counter,
    pub(crate) unparsed: Counter,
    pub(crate) invalid_utf8: Counter,
    batches: [Counter; 5],
    pub(crate) batch_size: Histogram,
    pub(crate) commit_duration: Histogram,
    pub(crate) commit_delay: Histogram,
    pub(crate) retries_busy: Counter,
    pub(crate) retries_full: Counter,
    pub(crate) retries_damaged: Counter,
    pub(crate) retries_connection: Counter,
    pub(crate) retries_content: Counter,
    pub(crate) queue_entries: Gauge,
    pub(crate) queue_bytes: Gauge,
    pub(crate) queue_utilisation: Gauge,
    pub(crate) disk_full: Gauge,
    pub(crate) subscribers: Gauge,
    pub(crate) missed: Counter,
    pub(crate) sealed_blocks: Counter,
    pub(crate) sealed_entries: Counter,
    pub(crate) sealed_text: Counter,
    pub(crate) sealed_stored: Counter,
    pub(crate) seal_failures: Counter,
    pub(crate) partitions: Gauge,
    pub(crate) store_entries: Gauge,
    pub(crate) store_bytes: Gauge,
    pub(crate) retired_by_age: Counter,
    pub(crate) retired_by_size: Counter,
    pub(crate) damaged: Counter,
    pub(crate) unreadable: Counter,
    pub(crate) clock_back: Counter,
    pub(crate) truncated: Counter,
    pub(crate) truncation_blocked: Counter,
    durations: [Histogram; 3],
    failures: [Counter; 3],
}

const SEARCH_KINDS: [&str; 3] = ["page", "histogram", "top"];

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Result<Self, MetricError> {
        let counter = |of: &Definition| registry.counter(of, &[]);
        let labelled = |of: &Definition, label| registry.counter(of, &[label]);
        let gauge = |of: &Definition| registry.gauge(of, &[]);
        let histogram = |of: &Definition| registry.histogram(of, &[]);
        let duration = |kind| registry.histogram(&SEARCH_DURATION, &[kind]);
        let [page, bars, top] = SEARCH_KINDS;
        let [a, b, c, d, e, f, g] = DropReason::ALL.map(|(_, name)| labelled(&DROPPED, name));
        let [s, t, u, i, z] = Trigger::ALL.map(|trigger| labelled(&BATCHES, trigger.name()));
        Ok(Self {
            stored: counter(&STORED)?,
            committed: counter(&COMMITTED)?,
            dropped: [a?, b?, c?, d?, e?, f?, g?],
            cut: labelled(&MARKED, "cut")?,
            unparsed: labelled(&MARKED, "unparsed")?,
            invalid_utf8: labelled(&MARKED, "invalid_utf8")?,
            batches: [s?, t?, u?, i?, z?],
            batch_size: histogram(&BATCH_SIZE)?,
            commit_duration: histogram(&COMMIT_DURATION)?,
            commit_delay: histogram(&COMMIT_DELAY)?,
            retries_busy: labelled(&RETRIES, "busy")?,
            retries_full: labelled(&RETRIES, "disk_full")?,
            retries_damaged: labelled(&RETRIES, "damaged")?,
            retries_connection: labelled(&RETRIES, "connection")?,
            retries_content: labelled(&RETRIES, "content")?,
            queue_entries: gauge(&QUEUE_ENTRIES)?,
            queue_bytes: gauge(&QUEUE_BYTES)?,
            queue_utilisation: gauge(&QUEUE_UTILISATION)?,
            disk_full: gauge(&DISK_FULL)?,
            subscribers: gauge(&SUBSCRIBERS)?,
            missed: counter(&MISSED)?,
            sealed_blocks: counter(&SEALED_BLOCKS)?,
            sealed_entries: counter(&SEALED_ENTRIES)?,
            sealed_text: counter(&SEALED_TEXT)?,
            sealed_stored: counter(&SEALED_STORED)?,
            seal_failures: counter(&SEAL_FAILURES)?,
            partitions: gauge(&PARTITIONS)?,
            store_entries: gauge(&STORE_ENTRIES)?,
            store_bytes: gauge(&STORE_BYTES)?,
            retired_by_age: labelled(&RETIRED, "age")?,
            retired_by_size: labelled(&RETIRED, "size")?,
            damaged: counter(&DAMAGED)?,
            unreadable: counter(&UNREADABLE)?,
            clock_back: counter(&CLOCK_BACK)?,
            truncated: labelled(&TRUNCATIONS, "done")?,
            truncation_blocked: labelled(&TRUNCATIONS, "blocked")?,
            durations: [duration(page)?, duration(bars)?, duration(top)?],
            failures: [
                labelled(&SEARCH_FAILURES, page)?,
                labelled(&SEARCH_FAILURES, bars)?,
                labelled(&SEARCH_FAILURES, top)?,
            ],
        })
    }

    pub(crate) fn dropped(&self, reason: DropReason) -> &Counter {
        &self.dropped[reason as usize]
    }

    pub(crate) fn batches(&self, trigger: Trigger) -> &Counter {
        &self.batches[trigger as usize]
    }

    pub(crate) fn search_duration(&self, kind: Search) -> &Histogram {
        &self.durations[kind as usize]
    }

    pub(crate) fn search_failures(&self, kind: Search) -> &Counter {
        &self.failures[kind as usize]
    }

    /// Drops so far, by reason.
    pub(crate) fn drops(&self) -> Vec<(&'static str, u64)> {
        DropReason::ALL.iter().map(|(reason, name)| (*name, self.dropped(*reason).get())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_well_formed_and_has_a_handle() {
        let registry = Registry::new();
        Metrics::new(&registry).unwrap();
        let mut names: Vec<_> = ALL.iter().map(|definition| definition.name).collect();
        names.sort_unstable();
        let registered: Vec<_> = registry.inventory().iter().map(|of| of.name).collect();
        assert_eq!(registered, names);
        for definition in ALL {
            definition.check().unwrap();
        }
    }

    #[test]
    fn reasons_and_triggers_count_apart() {
        let metrics = Metrics::new(&Registry::new()).unwrap();
        for (at, (reason, _)) in DropReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, at);
        }
        for (at, trigger) in Trigger::ALL.into_iter().enumerate() {
            assert_eq!(trigger as usize, at);
        }
        metrics.dropped(DropReason::QueueFull).increment();
        assert_eq!(metrics.drops()[2], ("queue_full", 1));
    }
}
