//! Compaction: neighbours become one segment without the rows that are dead.
//!
//! Decided by [`super::policy`]; made here from the files of the inputs, outside of every lock that changes or
//! queries take; published like a flush. Rows that died after the durable position stay, for a durable state has
//! exactly what was alive at its position.

use std::sync::Arc;

use roaring::RoaringBitmap;

use super::error::Result;
use super::files::NewSegment;
use super::policy::{Candidate, Limits, Patience, decide};
use super::publish::Edit;
use super::segment::{Build, Segment, merge};
use super::{Index, Step, lock};
use crate::schema::Schema;
use crate::storage::Ulid;

/// What is merged.
#[derive(Debug)]
struct MergeJob {
    schema: Arc<Schema>,
    /// Each input, and the rows of it that stay.
    inputs: Vec<(Arc<Segment>, RoaringBitmap)>,
}

impl Index {
    /// Merges some segments, if that is due.
    ///
    /// # Errors
    /// When the store fails or an input is damaged; nothing has changed then.
    pub fn compact_step(&self) -> Result<Step> {
        let _only = lock(&self.compacting);
        let Some(job) = self.merge_job() else { return Ok(Step::Idle) };
        let started = self.clock.now();
        let result = self.merge(&job);
        self.metrics.merged(self.clock.now().since(started), result.is_ok());
        result.map(|()| Step::Done)
    }

    fn merge_job(&self) -> Option<MergeJob> {
        let now = self.clock.now();
        let mut last = lock(&self.compacted);
        let is_time = now.since(*last) >= self.options.compact_every;
        let patience = if is_time { Patience::Spent } else { Patience::Left };
        let core = lock(&self.core);
        let candidates: Vec<Candidate> = core
            .segments
            .iter()
            .map(|part| Candidate {
                bytes: part.segment.bytes(),
                dead_ratio: ratio(part.dead.as_of(core.applied).len(), part.segment.len()),
            })
            .collect();
        let limits = Limits {
            segments_max: self.options.segments_max,
            segment_bytes_min: self.options.segment_bytes_min,
            merge_bytes_max: self.options.merge_bytes_max,
            dead_ratio_max: self.options.dead_ratio_max,
        };
        let Some(range) = decide(&candidates, &limits, patience) else {
            if is_time {
                *last = now;
            }
            return None;
        };
        let parts = core.segments.get(range)?.iter();
        let inputs = parts.map(|part| {
            let mut rows = RoaringBitmap::new();
            rows.insert_range(0..part.segment.len());
            (Arc::clone(&part.segment), rows - part.dead.as_of(core.applied))
        });
        Some(MergeJob { schema: Arc::clone(&core.schema), inputs: inputs.collect() })
    }

    fn merge(&self, job: &MergeJob) -> Result<()> {
        // One of which nothing stays is not read: it goes, even when it is damaged.
        let live: Vec<_> =
            job.inputs.iter().filter(|(_, rows)| !rows.is_empty()).cloned().collect();
        let segment = if live.is_empty() {
            None
        } else {
            Some(self.write_segment(&job.schema, |build| merge_or_name(build, &live))?)
        };
        let inputs: Vec<Ulid> = job.inputs.iter().map(|(input, _)| input.files().id()).collect();
        let output = segment.as_ref().map(|segment| segment.files().id());
        let published = self.publish(&Edit::Merged(inputs, segment));
        if let (Err(_), Some(output)) = (&published, output) {
            // The next merge makes another. Should this publication come to be after all, a manifest names it.
            lock(&self.in_work).remove(&output);
        }
        published
    }
}

/// Merges; when that fails, the error names the input that it was about. Which one it was, many do not say: each is
/// merged alone then, and the first that cannot be is the one.
fn merge_or_name(
    build: &Build<'_>,
    inputs: &[(Arc<Segment>, RoaringBitmap)],
) -> Result<NewSegment> {
    merge(build, inputs).map_err(|error| {
        let failed = inputs.iter().find_map(|input| {
            let error = merge(build, std::slice::from_ref(input)).err()?;
            Some(error.of_segment(input.0.files().id()))
        });
        failed.unwrap_or(error)
    })
}

fn ratio(dead: u64, rows: u32) -> f64 {
    if rows == 0 {
        return 0.0;
    }
    #[expect(clippy::cast_precision_loss, reason = "a ratio, of numbers of 32 bits")]
    let dead = dead as f64;
    dead / f64::from(rows)
}
