//! Getting to a position: whoever asks for it reads what is missing himself.

use std::sync::PoisonError;

use base::words::{CollectionId, Lsn};

use super::super::Indexes;
use crate::engine::error::Result;

impl Indexes {
    /// Applies everything up to a position to the index of a collection that has a search schema; says whether that
    /// was possible. Where nothing is followed yet, it begins.
    pub(in super::super) fn reach(
        &self,
        to: Lsn,
        wanted: CollectionId,
        go_on: &dyn Fn() -> Result<()>,
    ) -> Result<bool> {
        let mut is_synced = false;
        loop {
            go_on()?;
            if self.is_closed() {
                return Ok(false);
            }
            // Most often somebody has read that far. The position is never before that of an index which is shown.
            if self.position() >= to && self.live(wanted).is_some() {
                return Ok(true);
            }
            let mut following = self.following.lock().unwrap_or_else(PoisonError::into_inner);
            if self.is_closed() {
                return Ok(false);
            }
            if following.is_resting() && following.entries.contains_key(&wanted) {
                return Ok(true);
            }
            match following.try_advance(self, to) {
                None => return Ok(false),
                Some(true) => {}
                Some(false) if following.is_resting() => return Ok(true),
                Some(false) if following.position() >= to => return Ok(true),
                Some(false) if is_synced => return Ok(false),
                // What is visible and not durable is not in the feed.
                Some(false) => {
                    drop(following);
                    is_synced = true;
                    if self.database.durable() < to && self.database.sync().is_err() {
                        return Ok(false);
                    }
                }
            }
        }
    }
}
