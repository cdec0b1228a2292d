//! The postings of rows that are not in a segment yet.
//!
//! Rows are appended, one after the other, by one writer; readers see the rows that there were when they took
//! their [`Snapshot`], which costs nothing, and copy the postings of their words when they prepare a query. A
//! list is bytes to which each row appends its distance from the last, its frequency and its positions, all as
//! variable-length integers, so that a reader stops at the first row it must not see.
//!
//! Start with [`Memory::append`].

mod encoding;
mod terms;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::analyzer::RowTokens;
use super::error::TextError;
use super::list::{List, Plain};
use super::phrase;
use super::prepared::{Lengths, Prepared};
use super::query::{Slot, TextQuery};
use super::{QUERY_WORDS_MAX, ROWS_MAX};
use crate::schema::FieldNo;

use encoding::Postings;
pub(super) use terms::MemoryTerms;

/// What a term takes beside its bytes and those of its list: the map's entry and two allocations.
const TERM_BYTES: usize = 96;

/// Postings that grow.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    inner: Arc<RwLock<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    rows: u32,
    bytes: usize,
    fields: BTreeMap<FieldNo, Field>,
}

#[derive(Debug, Default)]
struct Field {
    terms: HashMap<Box<str>, Postings>,
    /// Tokens of each row up to the last that has any.
    counts: Vec<u32>,
}

/// The rows that a memory had at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    inner: Arc<RwLock<Inner>>,
    rows: u32,
}

fn read(inner: &RwLock<Inner>) -> RwLockReadGuard<'_, Inner> {
    // Appending does not panic halfway: a poisoned lock guards what is whole.
    inner.read().unwrap_or_else(PoisonError::into_inner)
}

fn write(inner: &RwLock<Inner>) -> RwLockWriteGuard<'_, Inner> {
    inner.write().unwrap_or_else(PoisonError::into_inner)
}

impl Memory {
    /// One without rows.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a row, also one without any text, and says its number.
    ///
    /// # Errors
    /// [`TextError::TooManyRows`] when there are [`ROWS_MAX`]; nothing was appended.
    pub fn append(&self, tokens: &RowTokens) -> Result<u32, TextError> {
        let mut inner = write(&self.inner);
        let inner = &mut *inner;
        let row = inner.rows;
        if row >= ROWS_MAX {
            return Err(TextError::TooManyRows { rows: u64::from(row) + 1 });
        }
        for tokens in &tokens.fields {
            let field = inner.fields.entry(tokens.field).or_default();
            let counts = field.counts.len();
            field.counts.resize(row as usize + 1, 0);
            field.counts[row as usize] = tokens.count;
            inner.bytes += (field.counts.len() - counts) * 4;
            for (term, positions) in &tokens.terms {
                let postings = match field.terms.get_mut(&**term) {
                    Some(postings) => postings,
                    None => {
                        inner.bytes += term.len() + TERM_BYTES;
                        field.terms.entry(term.as_str().into()).or_default()
                    }
                };
                inner.bytes += postings.append(row, positions);
            }
        }
        inner.rows += 1;
        Ok(row)
    }

    /// How many rows there are.
    #[must_use]
    pub fn rows(&self) -> u32 {
        read(&self.inner).rows
    }

    /// About how much memory it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        read(&self.inner).bytes
    }

    /// The rows that there are now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { inner: Arc::clone(&self.inner), rows: self.rows() }
    }
}

impl Snapshot {
    /// How many rows there are.
    #[must_use]
    pub const fn rows(&self) -> u32 {
        self.rows
    }

    /// The first of its rows.
    #[must_use]
    pub fn first(&self, rows: u32) -> Self {
        Self { inner: Arc::clone(&self.inner), rows: rows.min(self.rows) }
    }

    pub(super) fn fields(&self) -> Vec<FieldNo> {
        read(&self.inner).fields.keys().copied().collect()
    }

    /// How many tokens each row has; those after the last with any are left out.
    pub(super) fn counts(&self, field: FieldNo) -> Vec<u32> {
        match read(&self.inner).fields.get(&field) {
            Some(field) => {
                let len = field.counts.len().min(self.rows as usize);
                field.counts.get(..len).unwrap_or_default().to_vec()
            }
            None => Vec::new(),
        }
    }

    /// Every term with its postings, in the order of terms.
    pub(super) fn terms(&self, field: FieldNo) -> MemoryTerms {
        let inner = read(&self.inner);
        let terms = inner.fields.get(&field).map(|field| &field.terms);
        let lists =
            terms.into_iter().flatten().map(|(term, postings)| (term.clone(), postings.clone()));
        MemoryTerms::new(lists.collect(), self.rows)
    }

    /// The query with its postings.
    pub(super) fn prepare(&self, query: &TextQuery) -> Prepared {
        let lengths = Arc::new(Lengths::new(self.counts(query.field())));
        let inner = read(&self.inner);
        let terms = inner.fields.get(&query.field()).map(|field| &field.terms);
        let found: Vec<Vec<&Postings>> = query
            .slots()
            .iter()
            .map(|slot| terms.map_or_else(Vec::new, |terms| expand(slot, terms)))
            .collect();
        let slots = found.iter().map(|found| List::Plain(self.rows_of(found))).collect();
        let phrases = query.clauses().iter().filter(|clause| clause.words.len() > 1);
        let phrases = phrases.map(|clause| self.phrase(&clause.words, &found)).collect();
        Prepared::new(query, self.rows, lengths, slots, phrases)
    }

    fn rows_of(&self, found: &[&Postings]) -> Plain {
        let mut lists = Vec::with_capacity(found.len());
        for postings in found {
            let mut plain = Plain::default();
            postings.each(self.rows, |row, positions| plain.push(row, narrow(positions.len())));
            lists.push(plain);
        }
        match lists.len() {
            1 => lists.pop().unwrap_or_default(),
            _ => Plain::union(&lists.into_iter().map(List::Plain).collect::<Vec<_>>()),
        }
    }

    /// The rows of a phrase: of each row the positions of all its words.
    fn phrase(&self, words: &[(usize, u32)], found: &[Vec<&Postings>]) -> Plain {
        debug_assert!(words.len() <= QUERY_WORDS_MAX, "checked when it was compiled");
        let positions = |slot: usize| {
            let mut rows: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
            for postings in &found[slot] {
                postings.each(self.rows, |row, positions| {
                    let all = rows.entry(row).or_default();
                    all.extend_from_slice(positions);
                    all.sort_unstable();
                });
            }
            rows
        };
        let rows: Vec<BTreeMap<u32, Vec<u32>>> =
            words.iter().map(|(slot, _)| positions(*slot)).collect();
        let mut list = Plain::default();
        for row in rows.first().into_iter().flat_map(BTreeMap::keys) {
            let all = words
                .iter()
                .zip(&rows)
                .map(|((_, offset), rows)| rows.get(row).map(|positions| (&**positions, *offset)));
            if let Some(all) = all.collect::<Option<Vec<(&[u32], u32)>>>() {
                let frequency = phrase::occurrences(&all);
                if frequency > 0 {
                    list.push(*row, frequency);
                }
            }
        }
        list
    }
}

/// The lists of a slot.
fn expand<'a>(slot: &Slot, terms: &'a HashMap<Box<str>, Postings>) -> Vec<&'a Postings> {
    if let Slot::Term(term) = slot {
        return terms.get(term).into_iter().collect();
    }
    terms.iter().filter(|(term, _)| slot.has(term)).map(|(_, postings)| postings).collect()
}

fn narrow(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
