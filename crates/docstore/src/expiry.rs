//! Documents whose time has come. They are hidden from the moment they expire; their deletion is a
//! write of its own, later, which the change feed shows.

use base::words::{Change, CollectionId, DocId, Lsn};
use wal::Class;

use std::sync::atomic::Ordering;

use crate::database::{Database, Inner};
use crate::error::Result;
use crate::request::Effect;
use crate::write::{Evaluated, Plan};

/// Documents deleted in one transaction, at most.
const BATCH: usize = 1000;

impl Database {
    /// Deletes documents that have expired; says how many.
    ///
    /// # Errors
    /// As [`Database::write`].
    pub fn reclaim_expired(&self) -> Result<u64> {
        self.inner.check_open()?;
        self.inner.reclaim_expired()
    }
}

impl Inner {
    pub(crate) fn reclaim_expired(&self) -> Result<u64> {
        let collections: Vec<CollectionId> = {
            let state = self.read();
            state.collections.at(self.position()).map(|(number, _)| number).collect()
        };
        let mut reclaimed = 0;
        for collection in collections {
            loop {
                let now = self.log.wall();
                let found = self.read().expired(collection, now, BATCH);
                if found.is_empty() {
                    break;
                }
                let done = self.decide(|inner| Ok(inner.plan_reclaim(collection, &found)));
                let (_, effects) = done.map_err(|refused| refused.error)?;
                reclaimed += effects.len() as u64;
                if effects.is_empty() || found.len() < BATCH {
                    break;
                }
            }
        }
        Ok(reclaimed)
    }

    /// Deletes of those documents that are still as they were found.
    fn plan_reclaim(&self, collection: CollectionId, found: &[(DocId, Lsn)]) -> Evaluated {
        let epoch = self.epoch.load(Ordering::Acquire);
        let mut plan = Plan { epoch, class: Class::Reclaim, ..Plan::default() };
        let state = self.read();
        let Some(owner) = state.collections.get(collection).filter(|c| c.dropped.is_none()) else {
            return Evaluated::Go(plan);
        };
        plan.collections.push((collection, owner.revision()));
        for (id, lsn) in found {
            if state.revision(collection, id) == *lsn {
                plan.reads.push((collection, id.clone(), *lsn));
                let (id, replaces) = (id.clone(), *lsn);
                plan.changes.push(Change::Delete { collection, id, replaces });
                plan.effects.push(Effect::Deleted);
            }
        }
        Evaluated::Go(plan)
    }
}
