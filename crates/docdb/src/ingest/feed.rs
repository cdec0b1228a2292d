//! The entries of one request on their way into the log store: in pieces that its queue can take,
//! until all are committed.
//!
//! When there is no room for the first piece, nothing is stored and the client is told so at once.
//! Later ones wait for room, because a client that is told "no" sends everything again: so a request
//! is stored twice only when it fails in its middle, which no protocol of these can tell its sender.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use base::clock::ClockRef;
use logstore::{Entry, EntryId, GroupCompletion, LogError, Receipt};

use crate::engine::{EngineError, Logs};

/// How often it is looked whether there is room again.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Pieces that wait for their commit, at most.
const PENDING_MAX: usize = 64;

type Result<T> = std::result::Result<T, EngineError>;

/// What became of a request's entries.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    /// How many were committed.
    pub(crate) entries: u64,
    /// Those that the database refused; they are dead letters.
    pub(crate) refused: Vec<(EntryId, Arc<str>)>,
    /// Runs of numbers: the first of each, and how many.
    pub(crate) runs: Vec<(EntryId, u64)>,
}

/// Entries under way.
pub(crate) struct Feed {
    logs: Arc<Logs>,
    clock: ClockRef,
    /// How long a piece may wait for room.
    patience: Duration,
    piece: Vec<Entry>,
    piece_bytes: usize,
    pending: VecDeque<GroupCompletion>,
    has_begun: bool,
    stored: Stored,
}

impl Feed {
    pub(crate) fn new(logs: Arc<Logs>, clock: ClockRef, patience: Duration) -> Self {
        Self {
            logs,
            clock,
            patience,
            piece: Vec::new(),
            piece_bytes: 0,
            pending: VecDeque::new(),
            has_begun: false,
            stored: Stored::default(),
        }
    }

    /// Adds entries; waits when there is no room for them.
    pub(crate) async fn add(&mut self, entries: Vec<Entry>) -> Result<()> {
        let (entries_max, bytes_max) = self.logs.piece_max();
        for entry in entries {
            let bytes = entry.cost_bytes();
            let is_full = self.piece.len() >= entries_max || self.piece_bytes + bytes > bytes_max;
            if is_full && !self.piece.is_empty() {
                self.offer().await?;
            }
            self.piece_bytes += bytes;
            self.piece.push(entry);
        }
        Ok(())
    }

    /// Waits until everything is committed.
    pub(crate) async fn finish(mut self) -> Result<Stored> {
        if !self.piece.is_empty() {
            self.offer().await?;
        }
        while let Some(pending) = self.pending.pop_front() {
            self.settle(pending.await?);
        }
        Ok(self.stored)
    }

    async fn offer(&mut self) -> Result<()> {
        let since = self.clock.now();
        loop {
            let error = match self.logs.store().offer_durable(&mut self.piece) {
                Ok(pending) => {
                    self.pending.push_back(pending);
                    break;
                }
                Err(error) => error,
            };
            let is_late = self.clock.now().since(since) >= self.patience;
            let has_no_room =
                matches!(error, LogError::QueueFull { .. } | LogError::DiskFull { .. });
            if !has_no_room || !self.has_begun || is_late {
                self.logs.store().give_up(&self.piece, &error);
                return Err(error.into());
            }
            match self.pending.pop_front() {
                Some(pending) => self.settle(pending.await?),
                None => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
        self.has_begun = true;
        self.piece_bytes = 0;
        if self.pending.len() > PENDING_MAX
            && let Some(pending) = self.pending.pop_front()
        {
            self.settle(pending.await?);
        }
        Ok(())
    }

    fn settle(&mut self, receipt: Receipt) {
        self.stored.entries += receipt.entries - receipt.refused.len() as u64;
        self.stored.runs.push((receipt.first, receipt.entries));
        self.stored.refused.extend(receipt.refused);
    }
}
