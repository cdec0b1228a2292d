//! Flush: the oldest memtable that waits becomes a segment.
//!
//! Changes come from the feed, which has durable ones only, so nothing here can be ahead of the log. When anything
//! fails the memtable stays and is searched; the next step begins where this one failed.

use std::sync::Arc;

use super::core::FlushJob;
use super::error::Result;
use super::publish::Edit;
use super::segment::{Segment, build};
use super::{Index, Step, lock};
use crate::text::{Input, Part as TextPart};

impl Index {
    /// Flushes one memtable, if one is due: larger or older than the options allow.
    ///
    /// # Errors
    /// When the store fails; nothing is lost, and another step tries again.
    pub fn flush_step(&self) -> Result<Step> {
        let _only = lock(&self.flushing);
        {
            let mut core = lock(&self.core);
            if core.frozen.is_empty() && self.is_due(core.active()) {
                core.freeze();
            }
        }
        self.flush_oldest()
    }

    /// Flushes everything that there is, due or not: afterwards a start has nothing to replay.
    ///
    /// # Errors
    /// As [`Index::flush_step`].
    pub fn flush_all(&self) -> Result<()> {
        let _only = lock(&self.flushing);
        lock(&self.core).freeze();
        while self.flush_oldest()? == Step::Done {}
        Ok(())
    }

    fn is_due(&self, (bytes, since): (usize, Option<base::clock::Instant>)) -> bool {
        let age = since.map(|since| self.clock.now().since(since));
        bytes >= self.options.memtable_bytes
            || age.is_some_and(|age| age >= self.options.flush_after)
    }

    fn flush_oldest(&self) -> Result<Step> {
        let Some(job) = lock(&self.core).flush_job() else { return Ok(Step::Idle) };
        let started = self.clock.now();
        let result = self.flush(&job);
        self.metrics.flushed(self.clock.now().since(started), result.is_ok());
        result.map(|()| Step::Done)
    }

    fn flush(&self, job: &FlushJob) -> Result<()> {
        let segment = match &job.written {
            Some(segment) => Some(segment.clone()),
            None => self.write_versions(job)?,
        };
        if let Some(frozen) = lock(&self.core).frozen.front_mut() {
            frozen.written.clone_from(&segment);
        }
        self.publish(&Edit::Flushed(segment))
    }

    fn write_versions(&self, job: &FlushJob) -> Result<Option<Arc<Segment>>> {
        let versions = job.versions();
        if versions.is_empty() {
            return Ok(None);
        }
        let (words, numbers) = job.words();
        let words = Input { part: TextPart::Memory(words), to: &numbers };
        self.write_segment(&job.schema, |how| build(how, &versions, words)).map(Some)
    }
}
