//! A query on one snapshot: memtables exactly, segments by their indexes, one answer.
//!
//! The parts hand their rows to one [`Exhaustive`], which orders, counts and cuts them as it does when it looks at
//! every document: that is why the split of the rows into parts cannot be seen in an answer.
//!
//! A segment is asked in this order: which rows are alive, which of those match the filter, which of those may be
//! among the first; only these are read.

use base::clock::WallMs;
use roaring::RoaringBitmap;

use super::error::Result;
use super::nearest::Best;
use super::plan::{self, Known, PartPlan, Plan, Way};
use super::segment::{Segment, VectorRows};
use super::texts::{self, Texts};
use super::view::{SegmentView, TableView, View};
use crate::exhaustive::{Answer, Exhaustive};
use crate::order::Direction;
use crate::query::{Nearest, Query, RankBy, Search};
use crate::schema::Vector;
use crate::vector::Work;

/// What a query came to.
#[derive(Debug)]
pub(super) struct Executed {
    pub(super) answer: Answer,
    pub(super) plans: Vec<PartPlan>,
    /// Which way the numbers of its rows go, when they have some.
    pub(super) direction: Option<Direction>,
}

/// How a query is asked, whatever it asks for.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) query: &'a Query,
    /// When.
    pub(super) now: WallMs,
    /// The recall that vectors are found at.
    pub(super) recall: f32,
    /// Whether to go on: asked before every part.
    pub(super) go_on: &'a dyn Fn() -> bool,
    /// Which way it takes, where there is a choice.
    pub(super) way: Way,
}

/// Answers a query; none when it was not to go on.
pub(super) fn execute(view: &View, asked: Asked<'_>) -> Result<Option<Executed>> {
    let answer = Exhaustive::new(&view.schema, asked.query)?;
    if let Some(texts) = Texts::of(&answer) {
        let ranked = texts::execute(view, asked, answer, texts)?;
        return Ok(ranked.map(|(answer, plans)| Executed::of(answer, plans)));
    }
    let Asked { query, now, recall, go_on, way } = asked;
    let mut execution = Execution { query, now, recall, way, answer, plans: Vec::new() };
    for part in &view.tables {
        if !go_on() {
            return Ok(None);
        }
        execution.table(part)?;
    }
    for part in &view.segments {
        if !go_on() {
            return Ok(None);
        }
        let name = part.segment.files().id();
        execution.segment(part).map_err(|error| error.of_part(name))?;
    }
    Ok(Some(Executed::of(execution.answer, execution.plans)))
}

impl Executed {
    fn of(answer: Exhaustive, plans: Vec<PartPlan>) -> Self {
        let direction = answer.score_direction();
        Self { answer: answer.finish(), plans, direction }
    }
}

#[derive(Debug)]
struct Execution<'a> {
    query: &'a Query,
    now: WallMs,
    recall: f32,
    way: Way,
    answer: Exhaustive,
    plans: Vec<PartPlan>,
}

impl Execution<'_> {
    fn table(&mut self, part: &TableView) -> Result<()> {
        let before = self.answer.matched();
        for (row, version) in part.table.rows() {
            if !part.dead.contains(row) && version.is_visible(self.now) {
                self.answer.add(&version.row)?;
            }
        }
        let matching = self.answer.matched() - before;
        self.plans.push(PartPlan::of_memtable(part.table.len(), matching));
        Ok(())
    }

    fn segment(&mut self, part: &SegmentView) -> Result<()> {
        let segment = &*part.segment;
        let live = segment.live(&part.dead, self.now);
        let matching =
            self.answer.add_segment_with_text(segment.attributes(), segment.text(), &live)?;
        let query = self.query;
        let (plan, vectors) = match &query.rank_by {
            Some(RankBy::Nearest(nearest)) => self.nearest(segment, nearest, &matching)?,
            Some(RankBy::Score(_) | RankBy::Order(_)) | None if matching.is_empty() => {
                (Plan::Nothing, Work::default())
            }
            Some(RankBy::Score(_) | RankBy::Order(_)) | None => (Plan::Scan, Work::default()),
        };
        self.plans.push(PartPlan {
            part: segment.files().id().to_string(),
            plan,
            rows: u64::from(segment.len()),
            matching: matching.len(),
            vectors,
        });
        Ok(())
    }

    /// Finds the rows that are nearest among those that match.
    fn nearest(
        &mut self,
        segment: &Segment,
        nearest: &Nearest,
        matching: &RoaringBitmap,
    ) -> Result<(Plan, Work)> {
        let vectors = self.answer.vector_field().and_then(|field| segment.vectors(field));
        let Some(vectors) = vectors.filter(|_| self.answer.has_rows()) else {
            return Ok((Plan::Nothing, Work::default()));
        };
        let candidates = matching & vectors.rows();
        let k = self.query.limit + self.query.offset + 1;
        let known = Known {
            rows: vectors.rows().len(),
            matching: candidates.len(),
            k,
            compares_all: !self.answer.is_plain() || nearest.search == Search::Exact,
            way: self.way,
        };
        let plan = plan::of_vectors(&known);
        let (rows, work) = match plan {
            Plan::VectorOnly => vectors.nearest(&nearest.vector, (k, self.recall), None)?,
            Plan::FilteredVector => {
                vectors.nearest(&nearest.vector, (k, self.recall), Some(&candidates))?
            }
            Plan::FilterFirst => (candidates, Work::default()),
            Plan::Nothing
            | Plan::Memtable
            | Plan::Scan
            | Plan::FullTextOnly
            | Plan::FilteredText => return Ok((plan, Work::default())),
        };
        self.answer.note_scanned(rows.len().max(work.scanned as u64));
        self.compare(segment, vectors, &rows)?;
        Ok((plan, work))
    }

    /// Compares vectors exactly, and puts the nearest in their places.
    fn compare(
        &mut self,
        segment: &Segment,
        vectors: &VectorRows,
        rows: &RoaringBitmap,
    ) -> Result<()> {
        let answer = &mut self.answer;
        let direction = answer.score_direction().unwrap_or(Direction::Ascending);
        let mut best = Best::new(direction, answer.first());
        vectors.raw(rows, &mut |row, bytes| {
            if let Some(distance) = answer.distance(&Vector::of_bytes(bytes)) {
                best.add(distance, row);
            }
            Ok(())
        })?;
        let distances: Vec<(u32, f64)> =
            best.finish().into_iter().map(|(distance, row)| (row, distance)).collect();
        Ok(answer.add_distances(segment.attributes(), &distances)?)
    }
}
