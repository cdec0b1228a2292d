//! A snapshot: queries on one state of the index, whatever happens to it meanwhile.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base::clock::{ClockRef, WallMs};
use base::words::Lsn;

use super::error::{IndexError, Result};
use super::execute::{Asked, Executed, execute};
use super::plan::{PartPlan, Plan, Way};
use super::view::View;

use crate::exhaustive::{Answer, Found};
use crate::fusion::{Fusion, List};
use crate::metrics::Metrics;
use crate::order::Direction;
use crate::query::Query;
use crate::schema::Schema;
use crate::storage::cache::{Counters, warm};

/// One state of an index. It costs nothing but the memory of what has been replaced since; let go of it soon: files
/// that no manifest names any more are deleted after a grace.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub(super) view: Arc<View>,
    pub(super) recall: f32,
    pub(super) clock: ClockRef,
    pub(super) metrics: Arc<Metrics>,
}

/// The answer to a query, and how it was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Results {
    /// The rows, numbers, facets and cursor.
    pub answer: Answer,
    /// Which way the numbers of the rows go, the best first, when they have some.
    pub direction: Option<Direction>,
    /// The last change that the answer knows of.
    pub position: Lsn,
    /// How it was found.
    pub performance: Performance,
}

/// The facts of a query.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Performance {
    /// Rows that are alive in the index.
    pub rows: u64,
    /// Rows whose values, codes or vectors were read.
    pub scanned: u64,
    /// Rows that the filter let through.
    pub matched: u64,
    /// Rows of memtables that were looked at one by one.
    pub in_memory: u64,
    /// Clusters of vectors that were looked at.
    pub clusters: u64,
    /// What was read of segments, and where it was. What other queries read of the same segments meanwhile counts
    /// too.
    pub cache: Counters,
    /// How long it took.
    pub took: Duration,
    /// How each part was asked.
    pub plans: Vec<PartPlan>,
}

impl Performance {
    /// The segments in which damage was found and got around, so that the answer is right all the same: lists of vectors
    /// whose rows were compared one by one. The index should be made again.
    pub fn damaged(&self) -> impl Iterator<Item = &str> {
        self.plans.iter().filter(|plan| plan.vectors.damaged > 0).map(|plan| plan.part.as_str())
    }
}

impl fmt::Display for Performance {
    /// What `explain` answers: the facts, and a line for each part.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rows, scanned, matched, .. } = self;
        write!(f, "rows={rows} scanned={scanned} matched={matched}")?;
        self.plans.iter().try_for_each(|plan| write!(f, "\n{plan}"))
    }
}

impl Snapshot {
    /// The last change that it has.
    #[must_use]
    pub fn position(&self) -> Lsn {
        self.view.position
    }

    /// The schema that queries are checked against.
    #[must_use]
    pub fn schema(&self) -> &Arc<Schema> {
        &self.view.schema
    }

    /// Rows that are alive; those that have expired and are not yet reclaimed count.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.view.alive()
    }

    /// Answers a query. `now` decides which documents have expired.
    ///
    /// # Errors
    /// As [`crate::exhaustive::Exhaustive::new`] and `add`; [`IndexError::Segment`] when a segment cannot be read, with its
    /// name.
    pub fn query(&self, query: &Query, now: WallMs) -> Result<Results> {
        let answered = self.query_while(query, now, &|| true)?;
        Ok(answered.expect("it goes on to the end"))
    }

    /// Answers a query, for as long as `go_on` says so, which is asked before every part of the index: none when it does
    /// not.
    ///
    /// # Errors
    /// As [`Snapshot::query`].
    pub fn query_while(
        &self,
        query: &Query,
        now: WallMs,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Option<Results>> {
        self.run(Asked { query, now, recall: self.recall, go_on, way: Way::Planned })
    }

    /// Answers a query by one of the ways to the same answer, to measure what each of them costs.
    ///
    /// # Errors
    /// As [`Snapshot::query`].
    ///
    /// # Panics
    /// Never.
    pub fn query_by(&self, way: Way, query: &Query, now: WallMs) -> Result<Results> {
        let asked = Asked { query, now, recall: self.recall, go_on: &|| true, way };
        Ok(self.run(asked)?.expect("it goes on to the end"))
    }

    fn run(&self, asked: Asked<'_>) -> Result<Option<Results>> {
        let started = self.clock.now();
        let before = self.counters();
        let result = execute(&self.view, asked);
        let took = self.clock.now().since(started);
        self.metrics.queried(took, matches!(result, Ok(Some(_))));
        let Some(Executed { answer, plans, direction }) = result? else { return Ok(None) };
        let sum = |plan: Plan, count: fn(&PartPlan) -> u64| -> u64 {
            plans.iter().filter(|part| part.plan == plan).map(count).sum()
        };
        let performance = Performance {
            rows: self.view.alive(),
            scanned: answer.work.scanned,
            matched: answer.work.matched,
            in_memory: sum(Plan::Memtable, |part| part.rows),
            clusters: plans.iter().map(|part| part.vectors.clusters as u64).sum(),
            cache: self.counters().since(&before),
            took,
            plans,
        };
        Ok(Some(Results { answer, direction, position: self.view.position, performance }))
    }

    /// Fetches into the cache what queries read and is not there yet, until `bytes_max` bytes were fetched; how many
    /// were.
    ///
    /// # Errors
    /// [`IndexError::Segment`] when the store fails; what was fetched before stays.
    pub fn warm(&self, bytes_max: u64) -> Result<u64> {
        let mut fetched = 0;
        for part in &self.view.segments {
            let segment = &*part.segment;
            let of_segment = warm(segment.cached(), bytes_max - fetched);
            fetched += of_segment
                .map_err(|error| IndexError::read(error).of_segment(segment.files().id()))?;
        }
        Ok(fetched)
    }

    fn counters(&self) -> Counters {
        let segments = self.view.segments.iter();
        segments.map(|part| part.segment.counters()).fold(Counters::default(), Counters::and)
    }

    /// Answers several queries.
    ///
    /// # Errors
    /// As [`Snapshot::query`], of the first that fails.
    pub fn multi_query(&self, queries: &[Query], now: WallMs) -> Result<Vec<Results>> {
        queries.iter().map(|query| self.query(query, now)).collect()
    }

    /// Answers several queries by one list: each row that one of them finds, by all of their ranks or scores. Also the
    /// answers that it was made of.
    ///
    /// # Errors
    /// As [`Snapshot::query`], and as [`Fusion::fuse`].
    pub fn fused(
        &self,
        queries: &[Query],
        fusion: &Fusion,
        (limit, offset): (usize, usize),
        now: WallMs,
    ) -> Result<(Vec<Found>, Vec<Results>)> {
        let results = self.multi_query(queries, now)?;
        let lists: Vec<List<'_>> = results
            .iter()
            .map(|results| List { rows: &results.answer.rows, direction: results.direction })
            .collect();
        let mut fused = fusion.fuse(&lists)?;
        fused.drain(..offset.min(fused.len()));
        fused.truncate(limit);
        Ok((fused, results))
    }
}
