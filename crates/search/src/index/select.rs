//! Rows without a query: those that a filter finds, by their ids, and vectors of some rows.

use base::clock::WallMs;
use base::rng::Rng;
use roaring::RoaringBitmap;

use super::error::Result;
use super::segment::Segment;
use super::snapshot::Snapshot;
use super::view::SegmentView;
use crate::attributes::{Order, Wanted};
use crate::error::SearchError;
use crate::exhaustive::words;
use crate::filter::{Compiled, Filter};
use crate::schema::{FieldNo, Vector};
use crate::value::Value;

/// The first rows that a filter finds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Selection {
    /// Their ids, in order.
    pub ids: Vec<Value>,
    /// Whether there are more.
    pub has_more: bool,
}

impl Snapshot {
    /// The first rows, by their ids, that a filter finds: no more than `most`, and whether there are more. `now`
    /// decides which documents have expired.
    ///
    /// # Errors
    /// As [`Filter::compile`]; [`super::IndexError::Segment`] when a segment cannot be read, with its name.
    pub fn select(&self, filter: &Filter, most: usize, now: WallMs) -> Result<Selection> {
        let filter = filter.compile(self.schema())?;
        let mut ids: Vec<Value> = Vec::new();
        for part in &self.view.tables {
            let rows = part.table.rows().filter(|(row, version)| {
                !part.dead.contains(*row) && version.is_visible(now) && filter.matches(&version.row)
            });
            ids.extend(rows.map(|(_, version)| version.row.id().clone()));
        }
        for part in &self.view.segments {
            let of_segment = first_ids(part, &filter, most, now);
            let name = part.segment.files().id();
            ids.extend(of_segment.map_err(|error| error.of_part(name))?);
        }
        ids.sort_unstable();
        let has_more = ids.len() > most;
        ids.truncate(most);
        Ok(Selection { ids, has_more })
    }

    /// The vectors that some rows have in a field, drawn as `rng` will: no more than `count`, and none twice. Each of the
    /// rows that are alive and have one is as likely as any other.
    ///
    /// # Errors
    /// [`super::IndexError::Segment`] when a segment cannot be read, with its name.
    pub fn sample_vectors(
        &self,
        field: FieldNo,
        count: usize,
        (rng, now): (&mut Rng, WallMs),
    ) -> Result<Vec<Vector>> {
        let tables = self.view.tables.iter().map(|part| {
            let rows = part.live(now).into_iter();
            let has_one = |row: &u32| version_vector(part.table.get(*row), field).is_some();
            rows.filter(has_one).collect::<RoaringBitmap>()
        });
        let segments = self.view.segments.iter().map(|part| {
            let live = part.segment.live(&part.dead, now);
            part.segment.vectors(field).map_or_else(RoaringBitmap::new, |rows| live & rows.rows())
        });
        let parts: Vec<RoaringBitmap> = tables.chain(segments).collect();
        let all: u64 = parts.iter().map(RoaringBitmap::len).sum();
        let chosen = draw(all, count, rng);
        let (mut vectors, mut before) = (Vec::with_capacity(chosen.len()), 0);
        for (at, rows) in parts.iter().enumerate() {
            let end = before + rows.len();
            let of_part = chosen.range(before..end).map(|number| number - before);
            let of_part: RoaringBitmap =
                of_part.filter_map(|number| rows.select(u32::try_from(number).ok()?)).collect();
            before = end;
            match at.checked_sub(self.view.tables.len()) {
                None => {
                    let table = &self.view.tables[at].table;
                    let found =
                        of_part.iter().filter_map(|row| version_vector(table.get(row), field));
                    vectors.extend(found.cloned());
                }
                Some(at) => {
                    let segment = &*self.view.segments[at].segment;
                    read_vectors(segment, field, &of_part, &mut vectors)
                        .map_err(|error| error.of_part(segment.files().id()))?;
                }
            }
        }
        Ok(vectors)
    }
}

/// So many different numbers below `all`, or all of them.
fn draw(all: u64, count: usize, rng: &mut Rng) -> std::collections::BTreeSet<u64> {
    let mut chosen = std::collections::BTreeSet::new();
    let count = all.min(count as u64);
    // Floyd's algorithm (Bentley and Floyd, CACM 1987): every set of so many is as likely.
    for last in all - count..all {
        let number = rng.below(last + 1);
        if !chosen.insert(number) {
            chosen.insert(last);
        }
    }
    chosen
}

fn version_vector(
    version: Option<&std::sync::Arc<super::Version>>,
    field: FieldNo,
) -> Option<&Vector> {
    version?.row.vector(field)
}

fn read_vectors(
    segment: &Segment,
    field: FieldNo,
    rows: &RoaringBitmap,
    out: &mut Vec<Vector>,
) -> Result<()> {
    let Some(vectors) = segment.vectors(field) else { return Ok(()) };
    vectors.raw(rows, &mut |_, bytes| {
        out.push(Vector::of_bytes(bytes));
        Ok(())
    })
}

/// The first ids of those rows of a segment that a filter finds, one more than `most`.
fn first_ids(
    part: &SegmentView,
    filter: &Compiled,
    most: usize,
    now: WallMs,
) -> Result<Vec<Value>> {
    let segment = &*part.segment;
    let live = segment.live(&part.dead, now);
    let rows = segment
        .attributes()
        .matching_with(filter, Some(&live), &|query| words(segment.text(), query))?;
    let wanted = Wanted {
        after: None,
        limit: most.saturating_add(1),
        kinds: None,
        kinds_max: 0,
        too_many: || SearchError::query("filters", "rows have no kinds here"),
    };
    let rows = segment.attributes().first_rows(&rows, Order::Columns(&[]), &wanted)?;
    Ok(rows.into_iter().map(|(position, _)| position.id).collect())
}
