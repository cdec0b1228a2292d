//! The pieces of the making of an index: finding the documents with the lowest revisions, reading them, and reading the
//! feed behind them.

use std::sync::atomic::Ordering;

use base::words::{Change, Lsn};
use search::index::Prepared;
use search::schema::Schema;

use super::super::Indexes;
use super::super::follow::of_past;
use super::{Build, BuildError, Built, Reading, Result, WINDOW};
use crate::engine::namespaces::schema_property;

/// Revisions that are looked at in one step.
const LIST_STEP: usize = 10_000;
/// Documents that are read in one step.
const READ_STEP: usize = 500;
/// Changes that are read in one step.
const CHANGES_STEP: usize = 2_000;
/// Bytes of documents that are read in one step.
const READ_BYTES: usize = 4 * 1024 * 1024;

impl Build {
    /// Does a piece.
    pub(super) fn step(&mut self, indexes: &Indexes) -> Result<Built> {
        let place = indexes.place(self.collection);
        // The index that was there before is in the middle of something.
        if indexes.shared.busy.has(&place) {
            return Ok(Built::Later);
        }
        let built = match &mut self.reading {
            Reading::Listing { .. } => self.list(indexes),
            Reading::Adding { .. } => self.add(indexes),
            Reading::Following => self.follow(indexes),
        }?;
        let status = self.rebuild.status();
        self.progress.bytes.store(status.unindexed_bytes, Ordering::Relaxed);
        if matches!(self.reading, Reading::Following) {
            self.progress.position.store(status.position.0, Ordering::Relaxed);
        }
        Ok(built)
    }

    fn list(&mut self, indexes: &Indexes) -> Result<Built> {
        let Reading::Listing { above, after, lowest, is_cut } = &mut self.reading else {
            return Ok(Built::Partly);
        };
        let page = indexes.database.revisions(self.collection, after.as_ref(), LIST_STEP)?;
        let is_last = page.len() < LIST_STEP;
        *after = page.last().map(|(id, _)| id.clone());
        for (id, revision) in page {
            if revision <= *above || revision > self.at {
                continue;
            }
            lowest.push((revision, id));
            if lowest.len() > WINDOW {
                lowest.pop();
                *is_cut = true;
            }
        }
        if is_last {
            let left = std::mem::take(lowest).into_sorted_vec().into();
            self.reading = Reading::Adding { left, is_last: !*is_cut };
        }
        Ok(Built::Partly)
    }

    fn add(&mut self, indexes: &Indexes) -> Result<Built> {
        let Reading::Adding { left, is_last } = &mut self.reading else { return Ok(Built::Partly) };
        let preparer = self.rebuild.preparer();
        let (mut documents, mut bytes, mut last) = (Vec::new(), 0, Lsn::ZERO);
        while documents.len() < READ_STEP && bytes < READ_BYTES {
            let Some((revision, id)) = left.pop_front() else { break };
            last = revision;
            // One that is gone, has expired or was written again is the feed's.
            let stored = indexes.database.get(self.collection, &id)?;
            let Some(stored) = stored.filter(|stored| stored.revision == revision) else {
                continue;
            };
            bytes += stored.document.as_bytes().len();
            let at = (revision, Lsn::ZERO);
            documents.push(Prepared::put(&preparer, &id, at, stored.expires_at, &stored.document)?);
        }
        let count = documents.len() as u64;
        if left.is_empty() {
            self.reading = match is_last {
                true => Reading::Following,
                false => Reading::listing(last),
            };
        }
        self.rebuild.add(documents)?;
        self.progress.documents.fetch_add(count, Ordering::Relaxed);
        if matches!(self.reading, Reading::Following) {
            self.rebuild.documents_end(self.at);
        }
        self.write()
    }

    /// Writes a segment when one is full, so that memory stays bounded: what a step brings is much less.
    fn write(&mut self) -> Result<Built> {
        self.rebuild.background_step()?;
        Ok(Built::Partly)
    }

    fn follow(&mut self, indexes: &Indexes) -> Result<Built> {
        let (mut changes, mut count, mut bytes) = (Vec::new(), 0, 0);
        while count < CHANGES_STEP && bytes < READ_BYTES {
            let Some(entry) = self.feed.next()? else { break };
            count += 1;
            if let Change::Put { document, .. } = &entry.change {
                bytes += document.as_bytes().len();
            }
            if !self.take(entry.lsn, &entry.change, &mut changes)? {
                return Ok(Built::ForNothing);
            }
        }
        if self.feed.has_gap() {
            return Err(Box::new(BuildError::Behind));
        }
        self.rebuild.apply(changes, self.feed.position());
        self.write()?;
        let is_near = self.feed.position() >= indexes.database.durable().min(indexes.position());
        Ok(if is_near { Built::Wholly } else { Built::Partly })
    }

    /// Takes a change; says whether the index is still needed, for this schema.
    fn take(&mut self, lsn: Lsn, change: &Change, changes: &mut Vec<Prepared>) -> Result<bool> {
        match change {
            Change::Put { collection, .. } | Change::Delete { collection, .. }
                if *collection == self.collection =>
            {
                let prepared = Prepared::of(&self.rebuild.preparer(), lsn, change);
                changes.extend(of_past(prepared, self.schema_at, lsn, change)?);
                Ok(true)
            }
            Change::DropCollection { collection } => Ok(*collection != self.collection),
            Change::SetProperty { collection, property, value }
                if *collection == self.collection && *property == schema_property() =>
            {
                let value = value.as_ref();
                let schema =
                    value.map(|value| Schema::from_stored(value.as_bytes())).transpose()?;
                Ok(self.set_schema(lsn, schema, changes))
            }
            Change::Put { .. }
            | Change::Delete { .. }
            | Change::CreateCollection { .. }
            | Change::SetProperty { .. } => Ok(true),
        }
    }

    /// The schema was changed meanwhile; says whether what was made can still be used.
    fn set_schema(
        &mut self,
        lsn: Lsn,
        schema: Option<Schema>,
        changes: &mut Vec<Prepared>,
    ) -> bool {
        if lsn <= self.schema_at {
            return true;
        }
        let Some(schema) = schema else { return false };
        if schema.needs_build(&self.schema) {
            return false;
        }
        self.rebuild.apply(std::mem::take(changes), Lsn::ZERO);
        self.rebuild.set_schema(schema.clone());
        (self.schema, self.schema_at) = (schema, lsn);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BinaryHeap;

    use base::words::DocId;

    use super::*;

    #[test]
    fn the_lowest_revisions_are_kept_in_their_order() {
        let mut lowest = BinaryHeap::new();
        for revision in [5, 3, 9, 1, 7] {
            lowest.push((Lsn(revision), DocId::U64(revision)));
            if lowest.len() > 3 {
                lowest.pop();
            }
        }
        let kept: Vec<u64> = lowest.into_sorted_vec().into_iter().map(|(lsn, _)| lsn.0).collect();
        assert_eq!(kept, [1, 3, 5]);
    }
}
