//! A query with its postings in one part: all that is read of the part.

use std::fmt;
use std::sync::Arc;

use roaring::RoaringBitmap;

use super::bm25::{self, Statistics, Weights};
use super::list::{Cursor, END, List, Plain};
use super::query::{Occur, TextQuery};
use super::search::{self, Scan};

/// How many tokens each row of a part has in an attribute.
#[derive(Debug, Clone, Default)]
pub(super) struct Lengths {
    counts: Vec<u32>,
    /// As scores round them.
    codes: Vec<u8>,
    total: u64,
}

impl Lengths {
    /// Rows beyond the end have none.
    pub(super) fn new(counts: Vec<u32>) -> Self {
        let codes = counts.iter().map(|count| bm25::length_code(*count)).collect();
        let total = counts.iter().map(|count| u64::from(*count)).sum();
        Self { counts, codes, total }
    }

    pub(super) fn count(&self, row: u32) -> u32 {
        self.counts.get(row as usize).copied().unwrap_or_default()
    }

    #[inline]
    pub(super) fn code(&self, row: u32) -> u8 {
        self.codes.get(row as usize).copied().unwrap_or_default()
    }
}

/// Where the rows of a clause are.
#[derive(Debug, Clone, Copy)]
enum Place {
    Slot(usize),
    Phrase(usize),
}

/// A query with its postings in one part; made by [`Part::prepare`](super::Part::prepare).
pub struct Prepared {
    rows: u32,
    lengths: Arc<Lengths>,
    slots: Vec<List>,
    phrases: Vec<List>,
    clauses: Vec<(Occur, Place)>,
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared")
            .field("rows", &self.rows)
            .field("clauses", &self.clauses)
            .field("postings", &self.postings())
            .finish_non_exhaustive()
    }
}

impl Prepared {
    /// `phrases` are those of the clauses of more than one word, in their order.
    pub(super) fn new(
        query: &TextQuery,
        rows: u32,
        lengths: Arc<Lengths>,
        slots: Vec<List>,
        phrases: Vec<Plain>,
    ) -> Self {
        let mut phrase = 0;
        let places = query.clauses().iter().map(|clause| {
            let place = match clause.words.as_slice() {
                [(slot, _)] => Place::Slot(*slot),
                _ => {
                    phrase += 1;
                    Place::Phrase(phrase - 1)
                }
            };
            (clause.occur, place)
        });
        let clauses = places.collect();
        let phrases = phrases.into_iter().map(List::Plain).collect();
        Self { rows, lengths, slots, phrases, clauses }
    }

    /// What the part adds to the statistics. Without `live` every row is alive; rows of it that the part does
    /// not have are not counted.
    #[must_use]
    pub fn statistics(&self, live: Option<&RoaringBitmap>) -> Statistics {
        let lens = self.slots.iter().map(|slot| slot.len() as u64);
        let Some(live) = live else {
            let (docs, tokens) = (u64::from(self.rows), self.lengths.total);
            return Statistics { docs, tokens, df: lens.collect() };
        };
        let mut dead = RoaringBitmap::new();
        dead.insert_range(0..self.rows);
        dead -= live;
        let gone: u64 = dead.iter().map(|row| u64::from(self.lengths.count(row))).sum();
        Statistics {
            docs: u64::from(self.rows).saturating_sub(dead.len()),
            tokens: self.lengths.total.saturating_sub(gone),
            df: self
                .slots
                .iter()
                .zip(lens)
                .map(|(slot, len)| len.saturating_sub(slot.count_of(&dead)))
                .collect(),
        }
    }

    /// Every row that matches, dead or alive.
    #[must_use]
    pub fn matches(&self) -> RoaringBitmap {
        search::matches(self)
    }

    /// The scores of some rows, given ascending; none for those that do not match.
    #[must_use]
    pub fn scores(
        &self,
        weights: &Weights,
        rows: impl IntoIterator<Item = u32>,
    ) -> Vec<Option<f32>> {
        let mut scan = Scan::new(self);
        rows.into_iter().map(|row| scan.score(row, weights)).collect()
    }

    /// How many entries its lists have: about how much work a search of all of it is.
    #[must_use]
    pub fn postings(&self) -> u64 {
        self.clauses.iter().map(|(_, place)| self.list(*place).len() as u64).sum()
    }

    /// How many rows the part has.
    #[must_use]
    pub const fn rows(&self) -> u32 {
        self.rows
    }

    #[inline]
    pub(super) fn length_code(&self, row: u32) -> u8 {
        self.lengths.code(row)
    }

    fn list(&self, place: Place) -> &List {
        match place {
            Place::Slot(slot) => &self.slots[slot],
            Place::Phrase(phrase) => &self.phrases[phrase],
        }
    }

    /// How many entries the list of a clause has.
    pub(super) fn clause_len(&self, clause: usize) -> usize {
        self.clauses.get(clause).map_or(0, |(_, place)| self.list(*place).len())
    }

    /// A cursor for each clause.
    pub(super) fn cursors(&self) -> Vec<(Occur, Cursor<'_>)> {
        self.clauses.iter().map(|(occur, place)| (*occur, self.list(*place).cursor())).collect()
    }

    /// The lowest row that is left in any cursor that can find one.
    pub(super) fn first_row(cursors: &[(Occur, Cursor<'_>)]) -> u32 {
        let finding = cursors.iter().filter(|(occur, _)| *occur != Occur::MustNot);
        finding.map(|(_, cursor)| cursor.row()).min().unwrap_or(END)
    }
}
