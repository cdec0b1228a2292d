//! What happens behind the queue: batches, tries, and upkeep between them.
//!
//! A [`Batcher`] is a state machine that is given turns, by its thread or by a test. It never
//! sleeps: a wait is a point in time that [`Batcher::turn`] returns. What it has taken from the
//! queue it keeps until it is committed, is a dead letter, or the store is closed past its deadline.

mod pieces;
mod upkeep;

use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use base::clock::Instant;
use base::io::{Disk, Open};
use base::retry::{Policy, Waits};
use base::rng::Rng;

use crate::completion::Outcome;
use crate::damage::{Finding, put_aside};
use crate::entry::EntryId;
use crate::error::{Fault, LogError, Result};
use crate::metrics::DropReason;
use crate::partition::PartitionKey;
use crate::queue::{Due, Queued, Trigger};
use crate::shared::Shared;
use crate::writer::Writer;

pub(crate) use pieces::Piece;
use pieces::{by_day, halves};

/// What a turn leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// There may be more to do.
    Again,
    /// Nothing to do before this point, unless something comes.
    At(Instant),
    /// Never anything more.
    Done,
}

#[derive(Debug)]
pub(crate) struct Batcher {
    shared: Arc<Shared>,
    writer: Option<Writer>,
    /// Taken from the queue and not settled.
    pieces: VecDeque<Piece>,
    waits: Option<Waits>,
    retry_at: Option<Instant>,
    rng: Rng,
    last_flush: Option<Instant>,
    /// The file that was opened last, or that could not be.
    target: Option<PartitionKey>,
    /// Files up to this one take no entries: they are damaged.
    burned: Option<PartitionKey>,
    upkeep: upkeep::Schedule,
    is_done: bool,
}

impl Batcher {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let rng = Rng::new(shared.options.backoff_seed);
        let upkeep = upkeep::Schedule::new(&shared);
        Self {
            shared,
            writer: None,
            pieces: VecDeque::new(),
            waits: None,
            retry_at: None,
            rng,
            last_flush: None,
            target: None,
            burned: None,
            upkeep,
            is_done: false,
        }
    }

    /// Does the next thing that is due.
    pub(crate) fn turn(&mut self) -> Turn {
        if self.is_done {
            return Turn::Done;
        }
        let now = self.shared.clock.now();
        if self.shared.is_abandoned.load(Ordering::Acquire) {
            self.abandon();
            return Turn::Done;
        }
        if self.is_upkeep_due(now) {
            self.regular_upkeep(now);
            return Turn::Again;
        }
        if let Some(at) = self.retry_at {
            if now < at {
                return Turn::At(at.min(self.upkeep.next()));
            }
            self.retry_at = None;
        }
        if let Some(piece) = self.pieces.pop_front() {
            self.attempt(piece);
            return Turn::Again;
        }
        if self.seal_if_full(now) {
            return Turn::Again;
        }
        match self.shared.queue.take(now, self.last_flush) {
            Due::Batch(batch, trigger) => {
                self.accept(batch, trigger);
                Turn::Again
            }
            Due::At(at) => Turn::At(at.min(self.upkeep.next())),
            Due::Empty => Turn::At(self.upkeep.next()),
            Due::Closed => {
                self.finish();
                Turn::Done
            }
        }
    }

    fn accept(&mut self, batch: Vec<Queued>, trigger: Trigger) {
        let metrics = &self.shared.metrics;
        metrics.batches(trigger).increment();
        metrics.batch_size.observe(batch.len() as u64);
        let (pieces, was_set_back) = by_day(batch, self.current_day());
        if was_set_back {
            metrics.clock_back.increment();
        }
        self.pieces.extend(pieces);
    }

    /// The day of the newest file: nothing goes to an older one, whatever the clock says.
    fn current_day(&self) -> i64 {
        let newest = self.shared.partitions.last().map(|partition| partition.key);
        newest.max(self.burned).map_or(i64::MIN, |key| key.day)
    }

    /// Writes a piece, or sees to it that it is tried again.
    fn attempt(&mut self, mut piece: Piece) {
        let began = self.shared.clock.now();
        let written = self.write(&mut piece);
        let now = self.shared.clock.now();
        match written {
            Ok(()) => {
                self.shared.metrics.commit_duration.observe_duration(now.since(began));
                if let Some(oldest) = piece.entries.first() {
                    let delay = now.since(oldest.queued_at);
                    self.shared.metrics.commit_delay.observe_duration(delay);
                }
                self.waits = None;
                self.last_flush = Some(now);
                self.shared.set_disk_full(false);
                self.settle(piece);
            }
            Err(error) => self.failed(piece, &error, now),
        }
    }

    fn write(&mut self, piece: &mut Piece) -> Result<()> {
        if let Some(key) = piece.doubt {
            // The last try failed without saying whether it was written.
            self.target = Some(key);
            let present = self.present(key, piece)?;
            piece.doubt = None;
            self.settle(piece.take(&present));
            if piece.entries.is_empty() {
                return Ok(());
            }
        }
        let writer = self.writer_for(piece.day)?;
        let path = writer.partition.path.clone();
        let sqlite = |error| LogError::sqlite(&path, error);
        let Some(reason) = &piece.refusal else {
            let sealed = writer.write(&piece.entries).map_err(sqlite)?;
            self.count_sealed(sealed.as_slice());
            return Ok(());
        };
        // A refused piece is one entry.
        piece
            .entries
            .iter()
            .try_for_each(|queued| writer.dead_letter(queued, reason))
            .map_err(sqlite)
    }

    /// Which entries of a piece are in a file already, and safely so.
    fn present(&self, key: PartitionKey, piece: &Piece) -> Result<BTreeSet<EntryId>> {
        let all = self.shared.partitions.all();
        let partition = all.iter().find(|partition| partition.key == key);
        let ends = (piece.entries.first(), piece.entries.last());
        let (Some(partition), (Some(first), Some(last))) = (partition, ends) else {
            // What was put aside holds nothing that can be found.
            return Ok(BTreeSet::new());
        };
        let mut writer = Writer::open(partition, &self.shared.options)?;
        writer.make_sure().map_err(|error| LogError::sqlite(&partition.path, error))?;
        writer.present(first.id, last.id)
    }

    /// The writer of the file that takes entries of this day.
    fn writer_for(&mut self, day: i64) -> Result<&mut Writer> {
        let limit = self.shared.options.partition_bytes;
        if let Some(writer) = &self.writer {
            let is_over = writer.partition.key.day < day
                || writer.file_bytes().is_ok_and(|bytes| bytes >= limit);
            if is_over {
                self.end_file();
            }
        }
        if self.writer.is_none() {
            self.writer = Some(self.open_file(day)?);
        }
        self.writer.as_mut().ok_or(LogError::Closed)
    }

    fn open_file(&mut self, day: i64) -> Result<Writer> {
        let shared = Arc::clone(&self.shared);
        let newest = shared.partitions.last();
        let open = newest.filter(|newest| newest.key.day >= day && Some(newest.key) > self.burned);
        if let Some(partition) = open {
            self.target = Some(partition.key);
            let writer = Writer::open(&partition, &shared.options)?;
            let bytes = writer.file_bytes();
            let bytes = bytes.map_err(|error| LogError::sqlite(&partition.path, error))?;
            if bytes < shared.options.partition_bytes {
                return Ok(writer);
            }
        }
        let newest = shared.partitions.last().map(|newest| newest.key).max(self.burned);
        self.finish_previous();
        let key = match newest {
            Some(newest) if newest.day >= day => {
                PartitionKey { day: newest.day, part: newest.part + 1 }
            }
            _ => PartitionKey { day, part: 1 },
        };
        self.target = Some(key);
        make_private(&*shared.disk, &shared.dir.join(key.to_string()))?;
        let writer = Writer::create(&shared.dir, key, &shared.options)?;
        let synced = shared.disk.sync_dir(&shared.dir);
        synced.map_err(|error| LogError::io("syncing", &shared.dir, error))?;
        shared.partitions.add(Arc::clone(&writer.partition));
        Ok(writer)
    }

    /// Finishes the file before the one that is about to be made: a store that was closed has left
    /// its tail as it was.
    fn finish_previous(&mut self) {
        let newest = self.shared.partitions.last();
        let Some(partition) = newest.filter(|newest| Some(newest.key) > self.burned) else {
            return;
        };
        match Writer::open(&partition, &self.shared.options) {
            Ok(writer) => {
                self.writer = Some(writer);
                self.end_file();
            }
            Err(error) => {
                tracing::warn!(%error, partition = %partition.key, "a file was not finished");
            }
        }
    }

    /// Decides what becomes of a piece that could not be written.
    fn failed(&mut self, mut piece: Piece, error: &LogError, now: Instant) {
        let metrics = &self.shared.metrics;
        let fault = fault_of(error);
        match fault {
            Fault::Busy => metrics.retries_busy.increment(),
            Fault::Full => {
                metrics.retries_full.increment();
                self.shared.set_disk_full(true);
            }
            Fault::Damaged => {
                metrics.retries_damaged.increment();
                self.put_writer_aside(&error.to_string());
            }
            Fault::Connection => {
                metrics.retries_connection.increment();
                let tried = self.writer.take().map(|writer| writer.partition.key);
                piece.doubt = tried.or(piece.doubt);
            }
            Fault::Content => {
                metrics.retries_content.increment();
                self.refuse(piece, error);
                return;
            }
        }
        tracing::warn!(%error, entries = piece.entries.len(), "log entries wait to be written");
        self.pieces.push_front(piece);
        self.back_off(now);
    }

    fn back_off(&mut self, now: Instant) {
        let endless = Policy { tries: u32::MAX, ..self.shared.options.backoff };
        let rng = &mut self.rng;
        let waits = self.waits.get_or_insert_with(|| endless.waits(rng.fork()));
        let wait = waits.next().unwrap_or(endless.longest);
        self.retry_at = Some(now.after(wait));
    }

    /// Finds the entry that the database will not take: by halves, and at last alone.
    fn refuse(&mut self, mut piece: Piece, error: &LogError) {
        if piece.entries.len() > 1 {
            let (first, second) = halves(piece);
            self.pieces.push_front(second);
            self.pieces.push_front(first);
            return;
        }
        if piece.refusal.is_none() {
            piece.refusal = Some(error.to_string());
            self.pieces.push_front(piece);
            return;
        }
        // Not even as a dead letter: its sender is told, and the operator.
        for queued in &piece.entries {
            tracing::error!(id = %queued.id, %error, "a log entry cannot be kept at all");
        }
        self.settle(piece);
    }

    fn settle(&self, piece: Piece) {
        let metrics = &self.shared.metrics;
        let count = piece.entries.len() as u64;
        let outcome = match piece.refusal {
            None => {
                metrics.committed.add(count);
                Outcome::Committed
            }
            Some(reason) => {
                metrics.dropped(DropReason::Refused).add(count);
                tracing::warn!(reason, "a log entry was refused and is a dead letter");
                Outcome::Refused(reason.into())
            }
        };
        settle_all(piece.entries, &outcome);
    }

    /// Takes the file that is being written out of use, because it is damaged.
    fn put_writer_aside(&mut self, reason: &str) {
        let shared = Arc::clone(&self.shared);
        self.writer = None;
        let Some(key) = self.target else { return };
        self.burned = self.burned.max(Some(key));
        let bounds = shared.partitions.remove(key).map(|partition| partition.bounds());
        let at = shared.clock.wall();
        let finding = Finding { reason, at, bounds, next_id: shared.queue.next_id() };
        shared.metrics.damaged.increment();
        match put_aside(&*shared.disk, &shared.dir, key, &finding) {
            Ok(aside) => {
                tracing::error!(partition = %key, reason, aside = %aside.display(), "put aside");
            }
            Err(error) => tracing::error!(partition = %key, reason, %error, "cannot put aside"),
        }
    }

    /// Gives up whatever is not written.
    pub(crate) fn abandon(&mut self) {
        let mut lost = 0;
        for piece in std::mem::take(&mut self.pieces) {
            lost += piece.entries.len();
            settle_all(piece.entries, &Outcome::Unwritten);
        }
        let queued = self.shared.queue.abandon();
        lost += queued.len();
        settle_all(queued, &Outcome::Unwritten);
        self.shared.metrics.dropped(DropReason::Unwritten).add(lost as u64);
        if lost > 0 {
            tracing::error!(entries = lost, "the log store was closed before all was written");
        }
        self.finish();
    }

    /// Closes the file in order. Its tail stays as rows: the day may go on after a restart.
    fn finish(&mut self) {
        self.is_done = true;
        self.shared.partitions.close_idle();
        if let Some(writer) = self.writer.take() {
            self.truncate_wal(&writer);
        }
        self.shared.set_done();
    }
}

/// Makes an empty file that is its user's alone, as every file that `base` makes: SQLite would make
/// one for everybody to read. What SQLite makes beside it gets the same mode.
pub(crate) fn make_private(disk: &dyn Disk, path: &Path) -> Result<()> {
    match disk.open(path, Open::CreateNew) {
        Ok(_) => Ok(()),
        // Left by a process that ended before there was anything in it.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(LogError::io("making a file", path, error)),
    }
}

fn settle_all(entries: Vec<Queued>, outcome: &Outcome) {
    for queued in entries {
        queued.settle(outcome.clone());
    }
}

fn fault_of(error: &LogError) -> Fault {
    if let Some(fault) = error.fault() {
        return fault;
    }
    if let LogError::Io { source, .. } = error
        && source.kind() == std::io::ErrorKind::StorageFull
    {
        return Fault::Full;
    }
    if matches!(error, LogError::Damaged { .. }) { Fault::Damaged } else { Fault::Connection }
}
