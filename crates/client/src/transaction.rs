//! Interactive transactions.

use std::ops::{Bound, RangeBounds};

use crate::database::{found, only, written};
use crate::error::Result;
use crate::scan::Scan;
use crate::surface::{OpenTransaction, Range};
use crate::values::{Document, Id, Written};
use crate::wire::{self, Op};

/// Documents of a page of a scan.
const PAGE_DOCUMENTS: u32 = 1000;

/// A transaction: reads see the state it began with and what it wrote itself, and nobody sees its
/// writes before the commit. Dropped without one it has done nothing.
///
/// The server ends it after 30 seconds, and when the connection is lost.
#[derive(Debug)]
pub struct Transaction {
    open: Box<dyn OpenTransaction>,
    is_ended: bool,
}

impl Transaction {
    pub(crate) fn new(open: Box<dyn OpenTransaction>) -> Self {
        Self { open, is_ended: false }
    }

    /// Reads a document; none when there is none.
    ///
    /// # Errors
    /// `TxnNotFound` when the transaction is over; `CollectionNotFound`; `DocCorrupt`.
    pub fn get<'a>(
        &self,
        collection: &str,
        id: impl Into<wire::Id<'a>>,
    ) -> Result<Option<Document>> {
        let id = id.into();
        found(only(self.open.execute(&[Op::read(collection, &id)])?))
    }

    /// Does one write, which only this transaction sees. One that is refused has done nothing, and
    /// the transaction goes on.
    ///
    /// # Errors
    /// What it was refused for; `TxnNotFound` when the transaction is over.
    pub fn write(&self, op: Op<'_>) -> Result<Written> {
        written(only(self.open.execute(&[op])?))
    }

    /// The documents of a range of ids.
    #[must_use]
    pub fn scan_range(&self, collection: &str, ids: impl RangeBounds<Id>) -> Scan<'_> {
        let bound = |bound: Bound<&Id>| bound.cloned();
        let (from, to) = (bound(ids.start_bound()), bound(ids.end_bound()));
        let range = Range { from, to, page: PAGE_DOCUMENTS };
        let (open, collection) = (&self.open, collection.to_owned());
        Scan::new(range, move |range, next| open.scan(&collection, range, next))
    }

    /// Commits: everything or nothing. Answers what became of each write, in order.
    ///
    /// # Errors
    /// `TxnConflict` when something that it read has changed: nothing was written, run it again.
    /// `TxnNotFound` when it was over before.
    pub fn commit(mut self) -> Result<Vec<Written>> {
        self.is_ended = true;
        self.open.commit()
    }

    /// Ends it without a trace. Dropping it does the same.
    pub fn rollback(self) {}
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if !self.is_ended {
            // When it cannot be sent the connection is lost, and the transaction with it.
            let _ = self.open.rollback();
        }
    }
}
