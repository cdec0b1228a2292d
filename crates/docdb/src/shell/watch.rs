//! `.watch`: the change feed, a line for each change, until Ctrl-C or for as many as were asked for.

use std::time::Duration;

use client::{Change, Event};

use super::fault::Fault;
use super::id::id_text;
use super::session::{Result, Session};

/// How long one request waits for a change, which is also how long Ctrl-C may take.
const WAIT: Duration = Duration::from_millis(250);

impl Session<'_> {
    pub(super) fn watch(&mut self, after: Option<u64>, count: Option<u64>) -> Result {
        let (after, ahead_of) = match after {
            Some(after) => (after, self.newest().ok().filter(|newest| *newest < after)),
            None => (self.newest()?, None),
        };
        let interrupt = self.interrupt.clone();
        let following = interrupt.following();
        let mut changes = self.database.changes(after);
        let mut seen = 0_u64;
        // The first request tells whether the position is still there.
        let mut change = changes.poll(Duration::ZERO)?;
        self.out.ok(&format!("database={} after={after}", self.database.name()))?;
        if let Some(newest) = ahead_of {
            // It may be a slip, or the position of another server or of a database that was
            // restored: then nothing would come for a long time, and nobody would know why.
            self.out.line(&format!(
                "note: that is beyond the newest change, lsn={newest}; what is written up to {after} is \
                 not shown"
            ))?;
        }
        self.out.flush()?;
        loop {
            if let Some(change) = change {
                if count.is_some_and(|count| seen >= count) {
                    break;
                }
                self.change(&change)?;
                seen += 1;
            }
            if count.is_some_and(|count| seen >= count) || following.is_over() {
                break;
            }
            change = changes.poll(WAIT)?;
            if change.is_none() {
                self.out.flush()?;
            }
        }
        if following.is_over() && self.is_terminal {
            // Behind the `^C` that the terminal shows.
            self.out.line("")?;
        }
        Ok(self.out.line(&format!("changes={seen}"))?)
    }

    fn newest(&self) -> Result<u64> {
        let stats = self.database.stats()?;
        let newest =
            super::report::part(&stats, &["log", "visible"]).and_then(client::Value::as_u64);
        let unknown = || {
            let message = "the server does not say where its feed is; --after says where to begin";
            Fault::coded(client::ErrorCode::Unsupported, message)
        };
        Ok(newest.ok_or_else(unknown)?)
    }

    fn change(&mut self, change: &Change) -> Result {
        let of_collection = |what: &str| {
            let collection =
                if change.collection.is_empty() { "(dropped)" } else { &change.collection };
            format!("lsn={} op={what} collection={collection}", change.lsn)
        };
        match &change.event {
            Event::Put(document) => {
                let details = format!("{} id={}", of_collection("put"), id_text(&document.id));
                self.out.entry(&details, &document.bytes)?;
            }
            Event::Deleted(id) => {
                self.out.line(&format!("{} id={}", of_collection("delete"), id_text(id)))?;
            }
            Event::CollectionCreated => self.out.line(&of_collection("create-collection"))?,
            Event::CollectionDropped => self.out.line(&of_collection("drop-collection"))?,
            Event::PropertySet { property, value } => {
                let details = format!("{} property={property}", of_collection("set-property"));
                match value {
                    Some(value) => self.out.entry(&details, value)?,
                    None => self.out.line(&format!("{details} removed"))?,
                }
            }
        }
        Ok(())
    }
}
