//! The log as its owner sees it.

use std::path::Path;
use std::sync::Arc as StdArc;
use std::time::Duration;

use base::clock::{ClockRef, WallMs};
use base::io::DiskRef;
use base::words::{Change, CollectionId, DatabaseId, DocId, Lsn};

use crate::anchor::{Anchor, FileAnchor, LogState};
use crate::commit::{Committed, Completion, Observer, State, Ticket};
use crate::error::{Op, Result, WalError};
use crate::frame::Kind;
use crate::options::Options;
use crate::reader::{Frame, Reader, Upto};
use crate::recover::{self, Recovery};
use crate::reserve::Reserve;
use crate::segment::FileName;
use crate::shared::Shared;
use crate::stats::CommitStats;
use crate::sync::atomic::Ordering;
use crate::sync::{Arc, lock};
use crate::transaction::{Class, SpoolPlace, Transaction};
use crate::trim::{Hold, ReaderMark, Trimmed};

/// What a log needs of the world.
#[derive(Debug, Clone)]
pub struct Environment {
    /// Where the files are.
    pub disk: DiskRef,
    /// What time it is.
    pub clock: ClockRef,
    /// The data directory's reserve, if there is one.
    pub reserve: Option<Arc<Reserve>>,
}

impl Environment {
    /// The disk for what frees space and for opening what is there: where there is no room it may
    /// use the reserve.
    #[must_use]
    pub fn reclaiming(&self) -> DiskRef {
        self.reserve.as_ref().map_or_else(|| DiskRef::clone(&self.disk), Reserve::disk)
    }
}

/// One database's log, open for writing. Dropping it closes it.
pub struct Log {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log")
            .field("dir", &self.shared.cx.dir)
            .field("durable", &self.durable())
            .field("visible", &self.visible())
            .finish_non_exhaustive()
    }
}

/// A transaction that has its LSNs and waits to be written.
#[must_use = "what is not waited for is written, but nobody learns whether it was"]
pub struct Pending<'a> {
    log: &'a Log,
    committed: Committed,
    /// Nothing for an empty transaction, and once it has been waited for.
    ticket: Option<Ticket>,
}

impl std::fmt::Debug for Pending<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pending").field("committed", &self.committed).finish_non_exhaustive()
    }
}

impl Pending<'_> {
    /// Its place, if it succeeds.
    #[must_use]
    pub fn committed(&self) -> Committed {
        self.committed
    }

    /// Waits for the acknowledgement.
    ///
    /// # Errors
    /// As [`Log::commit`].
    pub fn wait(mut self) -> Result<Committed> {
        match self.ticket.take() {
            None => Ok(self.committed),
            Some(ticket) => self.log.shared.wait(&ticket),
        }
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = &self.ticket {
            self.log.shared.leave(ticket);
        }
    }
}

/// What a log looks like from outside.
#[derive(Debug, Clone, PartialEq)]
pub struct LogStatus {
    /// Name of the fsync mode.
    pub mode: &'static str,
    /// Newest LSN that readers see.
    pub visible: Lsn,
    /// Newest LSN that power loss cannot take.
    pub durable: Lsn,
    /// First LSN that can be read.
    pub first: Lsn,
    /// Number of segments.
    pub segments: usize,
    /// Bytes of all segment files.
    pub bytes: u64,
    /// Bytes of files claimed ahead.
    pub claimed_bytes: u64,
    /// Transactions that wait to be written, bytes.
    pub waiting_bytes: u64,
    /// What the failed call said, when a sync failed; writes are refused then.
    pub poisoned: Option<String>,
    /// LSNs acknowledged and not known to be durable; only of interest when poisoned.
    pub unsynced: Option<(Lsn, Lsn)>,
    /// Group commit.
    pub commits: CommitStats,
}

impl Log {
    /// Opens the log in `dir`, recovers it, and hands every transaction behind the checkpoint to
    /// `replay`, frame by frame, whole transactions in order. Everything handed over is durable
    /// when this returns, whatever happened to the process before.
    ///
    /// # Errors
    /// `WalCorrupt` when something is damaged that had been durable; `FileOpen` when another
    /// handle has the log; what `replay` returns; the disk's errors.
    pub fn open(
        env: &Environment,
        dir: &Path,
        anchor: StdArc<dyn Anchor>,
        options: Options,
        replay: &mut dyn FnMut(&Frame<'_>) -> Result<()>,
    ) -> Result<(Self, Recovery)> {
        let (shared, recovery) = recover::open(env, dir, anchor, options, replay)?;
        Ok((Self { shared }, recovery))
    }

    /// Makes a new log in the existing, empty directory `dir`, its manifest beside the segments.
    /// What a creation that was interrupted left there is replaced.
    ///
    /// # Errors
    /// The disk's; `FileOpen` when there is a log already, be it damaged; `Unsupported` when a
    /// setting is out of range, and then nothing was made.
    pub fn create(
        env: &Environment,
        dir: &Path,
        database: DatabaseId,
        options: Options,
    ) -> Result<Self> {
        options.validate()?;
        if is_log(&env.disk, dir)? {
            return Err(WalError::Exists(dir.to_path_buf()));
        }
        let anchor = StdArc::new(FileAnchor::create(&env.disk, dir, database)?);
        Ok(Self::open(env, dir, anchor, options, &mut |_| Ok(()))?.0)
    }

    /// Opens a log made by [`Log::create`].
    ///
    /// # Errors
    /// As [`Log::open`]; `WalCorrupt` when the manifest is missing or damaged.
    pub fn open_dir(
        env: &Environment,
        dir: &Path,
        options: Options,
        replay: &mut dyn FnMut(&Frame<'_>) -> Result<()>,
    ) -> Result<(Self, Recovery)> {
        let anchor = StdArc::new(FileAnchor::open(&env.disk, dir)?);
        Self::open(env, dir, anchor, options, replay)
    }

    /// An empty transaction for this log.
    #[must_use]
    pub fn transaction(&self) -> Transaction {
        let number = self.shared.spools.fetch_add(1, Ordering::Relaxed);
        let place = SpoolPlace {
            disk: DiskRef::clone(&self.shared.cx.disk),
            path: FileName::Spool(number).path(&self.shared.cx.dir),
        };
        Transaction::with_place(self.shared.cx.options.spool_bytes, Some(place))
    }

    /// Commits one change; see [`Log::commit`].
    ///
    /// # Errors
    /// As [`Log::commit`].
    pub fn append(&self, change: &Change) -> Result<Committed> {
        let mut tx = self.transaction();
        tx.push(change)?;
        self.commit(tx)
    }

    /// Commits a transaction and returns when it is acknowledged: durable in modes `always` and
    /// `group`, written in the others. An empty transaction is nothing to write: its LSNs are the
    /// visible one.
    ///
    /// # Errors
    /// `DiskFull`, `FileWrite`: nothing of it was applied. `DurabilityUnknown`: a sync failed
    /// while it waited; it may or may not survive. `ReadOnly`: a sync failed before; it was not
    /// tried. None may be retried blindly but `DiskFull`.
    pub fn commit(&self, tx: Transaction) -> Result<Committed> {
        if tx.is_empty() {
            return Ok(self.nothing());
        }
        self.shared.commit(tx)
    }

    fn nothing(&self) -> Committed {
        let last = self.visible();
        Committed { first: last, last, wall_ms: lock(&self.shared.queue).last_wall_ms }
    }

    /// Adds a transaction without waiting: `completion` is told what became of it. The LSNs
    /// returned are its place if it succeeds. With [`crate::Background::Manual`] the owner calls
    /// [`Log::maintain`] to have it written.
    ///
    /// # Errors
    /// When it cannot be added (`QueueFull`, `DiskFull`, `ReadOnly`): the completion is dropped.
    pub fn submit(&self, tx: Transaction, completion: Completion) -> Result<Committed> {
        if tx.is_empty() {
            let nothing = self.nothing();
            completion(Ok(nothing));
            return Ok(nothing);
        }
        let ticket = self.shared.place(tx, Some(completion))?;
        self.shared.leave(&ticket);
        Ok(ticket.committed)
    }

    /// Has `observer` told whether `lsn`, which somebody placed in `epoch`, was acknowledged: for
    /// answers that rest on a write which is still on its way. Never waits. Says false, and drops
    /// the observer, when it is acknowledged already.
    ///
    /// # Errors
    /// When it has failed: `DurabilityUnknown` after a failed sync, otherwise `TxnConflict`
    /// ([`WalError::Rewound`]). The observer is dropped.
    pub fn observe(&self, lsn: Lsn, epoch: u64, observer: Observer) -> Result<bool> {
        self.shared.observe(lsn, epoch, observer)
    }

    /// Adds a transaction and returns its place without waiting for it to be written, for owners who
    /// sequence under a lock of their own and wait outside it: [`Pending::wait`] leads the group
    /// when nobody else does. Dropping it leaves the rest to the log's own thread. In front of a
    /// full queue it waits like [`Log::commit`].
    ///
    /// # Errors
    /// As [`Log::commit`]; `TxnConflict` ([`WalError::Rewound`]) when writes failed since the epoch
    /// that the transaction names.
    pub fn place(&self, tx: Transaction) -> Result<Pending<'_>> {
        if tx.is_empty() {
            return Ok(Pending { log: self, committed: self.nothing(), ticket: None });
        }
        let ticket = self.shared.place(tx, None)?;
        Ok(Pending { log: self, committed: ticket.committed, ticket: Some(ticket) })
    }

    /// "Now" for what is decided about writes: the clock's wall time, but never less than the time
    /// in any frame, so that it does not go back when somebody sets the clock.
    #[must_use]
    pub fn wall(&self) -> WallMs {
        let newest = lock(&self.shared.queue).last_wall_ms;
        WallMs(self.shared.cx.clock.wall().0.max(newest))
    }

    /// Counts the failures after which LSNs were given again; see [`Transaction::in_epoch`].
    #[must_use]
    pub fn epoch(&self) -> u64 {
        lock(&self.shared.queue).epoch
    }

    /// The epoch that holds now, and the lowest LSN that was given again since `epoch`: whatever
    /// was placed at or behind it in that epoch has failed. None when nothing has.
    #[must_use]
    pub fn rewound_since(&self, epoch: u64) -> Option<(u64, Lsn)> {
        let queue = lock(&self.shared.queue);
        queue.rewound_since(epoch).map(|lsn| (queue.epoch, lsn))
    }

    /// Whether a sync has failed and the log takes no more writes.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        matches!(lock(&self.shared.queue).state, State::Poisoned(_))
    }

    /// Makes everything acknowledged durable; returns the durable LSN. In modes `always` and
    /// `group` that is so already.
    ///
    /// # Errors
    /// `DurabilityUnknown` when the sync fails; the log is poisoned then.
    pub fn sync(&self) -> Result<Lsn> {
        self.shared.sync()
    }

    /// Notes that everything up to `lsn` is kept elsewhere: replay starts behind it from now on,
    /// and trimming may remove what is before. Durable on return.
    ///
    /// # Errors
    /// When `lsn` is past the durable one, or as [`Log::commit`].
    pub fn checkpoint(&self, lsn: Lsn) -> Result<()> {
        self.checkpoint_with(lsn, self.transaction())
    }

    /// The same unless writes have failed since `epoch`: for owners whose memory may still have
    /// them, under LSNs that the note would take.
    ///
    /// # Errors
    /// As [`Log::checkpoint`]; `TxnConflict` ([`WalError::Rewound`]) when writes failed.
    pub fn checkpoint_in(&self, lsn: Lsn, epoch: u64) -> Result<()> {
        self.checkpoint_with(lsn, self.transaction().in_epoch(epoch))
    }

    fn checkpoint_with(&self, lsn: Lsn, tx: Transaction) -> Result<()> {
        let durable = self.sync()?;
        if lsn > durable {
            let rule = "at most the durable LSN";
            return Err(WalError::Setting { setting: "checkpoint LSN", value: lsn.0, rule });
        }
        let mut tx = tx.class(Class::Reclaim);
        tx.push_lsn(Kind::Checkpoint, lsn)?;
        self.commit(tx)?;
        let mut state = lock(&self.shared.state);
        let mut next = *state;
        next.replay_lsn = next.replay_lsn.max(lsn);
        next.durable_lsn = next.durable_lsn.max(durable);
        self.shared.anchor.store(&next)?;
        *state = next;
        drop(state);
        self.shared.replayed.fetch_max(next.replay_lsn.0, Ordering::AcqRel);
        self.shared.owe();
        Ok(())
    }

    /// Registers a reader that has read everything up to `from` and keeps the rest in the log.
    #[must_use]
    pub fn mark(&self, name: &str, hold: Hold, from: Lsn) -> ReaderMark {
        self.shared.mark(name, hold, from)
    }

    /// Removes the segments that neither the checkpoint nor a reader needs.
    ///
    /// # Errors
    /// The disk's; nothing was removed then.
    pub fn trim(&self) -> Result<Trimmed> {
        self.shared.trim()
    }

    /// Reads from `from` on.
    #[must_use]
    pub fn read(&self, from: Lsn, upto: Upto) -> Reader {
        Reader::new(Arc::clone(&self.shared), from, upto)
    }

    /// The change at `lsn`; `None` when the frame there records none or `lsn` is not visible.
    ///
    /// # Errors
    /// As [`Reader::next`].
    pub fn read_at(&self, lsn: Lsn) -> Result<Option<Change>> {
        let mut reader = self.read(lsn, Upto::Visible);
        Ok(reader.next()?.filter(|frame| frame.lsn == lsn).and_then(|frame| frame.change()))
    }

    /// The newest change of a document that the log still holds. Reads the whole log.
    ///
    /// # Errors
    /// As [`Reader::next`].
    pub fn newest_of(&self, collection: CollectionId, id: &DocId) -> Result<Option<(Lsn, Change)>> {
        let first = self.shared.cx.catalog.oldest().map_or(Lsn(1), |oldest| oldest.first_lsn);
        self.read(first, Upto::Visible).newest_of(collection, id)
    }

    /// Newest LSN that readers see: acknowledged, in whole transactions.
    #[must_use]
    pub fn visible(&self) -> Lsn {
        self.shared.visible()
    }

    /// Newest LSN that power loss cannot take.
    #[must_use]
    pub fn durable(&self) -> Lsn {
        self.shared.durable()
    }

    /// Waits until `lsn` is visible or `timeout` has passed; says whether it is.
    #[must_use]
    pub fn wait_visible(&self, lsn: Lsn, timeout: Duration) -> bool {
        self.shared.wait_visible(lsn, timeout)
    }

    /// Does what is due in the background: what waits is written, space claimed ahead, timed syncs
    /// made, hints written, idle space given back. For [`crate::Background::Manual`].
    pub fn maintain(&self) {
        self.shared.maintain();
        self.shared.claim_if_due();
    }

    /// What the log looks like from outside.
    #[must_use]
    pub fn status(&self) -> LogStatus {
        let shared = &self.shared;
        let segments = shared.cx.catalog.all();
        let (visible, durable) = (self.visible(), self.durable());
        let queue = lock(&shared.queue);
        let poisoned = match &queue.state {
            State::Poisoned(cause) => Some(cause.to_string()),
            State::Open | State::Closed => None,
        };
        LogStatus {
            mode: shared.cx.options.fsync.name(),
            visible,
            durable,
            first: segments.first().map_or(Lsn(1), |segment| segment.first_lsn),
            segments: segments.len(),
            bytes: shared.cx.catalog.bytes(),
            claimed_bytes: shared.cx.claims.capacity(),
            waiting_bytes: queue.waiting_bytes,
            poisoned,
            unsynced: (durable < visible).then(|| (durable.next(), visible)),
            commits: shared.counters.read(),
        }
    }

    /// What the manifest says.
    #[must_use]
    pub fn state(&self) -> LogState {
        *lock(&self.shared.state)
    }

    /// Writes what waits, syncs, and notes in the log that it was closed, so that the next open
    /// has nothing to recover. From its beginning on, readers that are still there answer
    /// [`WalError::Closed`].
    ///
    /// # Errors
    /// `ReadOnly` when the log was poisoned, the disk's; it is closed all the same.
    pub fn close(&self) -> Result<()> {
        self.shared.cx.catalog.let_go();
        self.shared.close()
    }
}

/// Whether `dir` holds a log: a manifest that can be read or was written by a later version, or a
/// segment. A manifest without a valid copy and without a segment was never finished.
fn is_log(disk: &DiskRef, dir: &Path) -> Result<bool> {
    let entries = disk.list(dir).map_err(|e| WalError::io(Op::Read, dir, e))?;
    let is_segment = |name: &str| matches!(FileName::parse(name), Some(FileName::Segment(_)));
    if entries.iter().any(|entry| is_segment(&entry.name)) {
        return Ok(true);
    }
    FileAnchor::is_begun(disk, dir)
}

impl Drop for Log {
    fn drop(&mut self) {
        if let Err(error) = self.close()
            && !matches!(error, WalError::Closed)
        {
            tracing::warn!(%error, "the log was not closed cleanly");
        }
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;
    use base::clock::SystemClock;
    use base::document::Document;
    use base::io::MemDisk;

    #[test]
    fn upkeep_that_panics_poisons_the_log_and_leaves_nobody_waiting() {
        let (disk, clock) = (MemDisk::shared(), SystemClock::shared());
        let env = Environment { disk, clock, reserve: None };
        let options = Options { background: crate::Background::Manual, ..Options::default() };
        let database = DatabaseId::from_bytes([3; 16]);
        let log = Log::create(&env, Path::new("/"), database, options).unwrap();
        let put = Change::Put {
            collection: CollectionId(1),
            id: DocId::U64(1),
            replaces: Lsn::ZERO,
            expires_at: None,
            document: Document::parse(b"1").unwrap(),
        };
        log.append(&put).unwrap();
        let upkeep = || log.shared.with_writer(|_| panic!("a defect"));
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(upkeep)).unwrap_err();
        assert!(matches!(log.append(&put), Err(WalError::Poisoned { .. })));
        assert_eq!(log.read_at(Lsn(1)).unwrap(), Some(put), "reads go on");
        assert!(matches!(log.close(), Err(WalError::Poisoned { .. })));
    }
}
