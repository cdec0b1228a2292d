//! Opens a file, and finds the postings of queries in it.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use tantivy::directory::OwnedBytes;
use tantivy::index::InvertedIndexReader;
use tantivy::postings::{Postings, SegmentPostings, TermInfo};
use tantivy::schema::IndexRecordOption;
use tantivy::termdict::TermStreamer;
use tantivy::{DocSet, TERMINATED};

use super::layout::{FieldHead, HEADER_BYTES, Header, Stream, decode_head};
use super::pages::{PagedFile, Pages};
use super::{Written, bundle};
use crate::schema::FieldNo;
use crate::text::error::TextError;
use crate::text::list::{List, Plain};
use crate::text::phrase;
use crate::text::prepared::{Lengths, Prepared};
use crate::text::query::{Slot, TextQuery};
use crate::vector::ReadRanges;

/// Bytes of tantivy's postings before the first list: how many tokens there are.
const TOTAL_BYTES: u64 = 8;

/// A file that is open: dictionaries and lengths are in memory, postings are read when they are asked for.
pub struct Reader {
    rows: u32,
    pages: Arc<Pages>,
    fields: BTreeMap<FieldNo, Field>,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("rows", &self.rows)
            .field("fields", &self.fields.keys())
            .finish_non_exhaustive()
    }
}

struct Field {
    lengths: Arc<Lengths>,
    counts: Vec<u32>,
    index: Arc<InvertedIndexReader>,
    terms: OwnedBytes,
    postings: Stream,
    positions: Stream,
}

impl Field {
    fn open(pages: &Arc<Pages>, head: FieldHead) -> Result<Self, TextError> {
        let FieldHead { counts, terms, postings, positions, .. } = head;
        let terms = OwnedBytes::new(terms);
        let file = |stream| Arc::new(PagedFile::new(pages, stream));
        let index = bundle::open(terms.clone(), file(&postings), file(&positions))?;
        let lengths = Arc::new(Lengths::new(counts.clone()));
        Ok(Self { lengths, counts, index, terms, postings, positions })
    }

    /// The dictionary's entries for a slot.
    fn expand(&self, slot: &Slot) -> Result<Vec<TermInfo>, TextError> {
        let terms = self.index.terms();
        let mut found = Vec::new();
        match slot {
            Slot::Term(term) => found.extend(terms.get(term.as_bytes())?),
            Slot::Prefix { prefix, word } => {
                let mut stream = terms.range().ge(prefix.as_bytes()).into_stream()?;
                while stream.advance() && stream.key().starts_with(prefix.as_bytes()) {
                    found.push(stream.value().clone());
                }
                if let Some(word) = word.as_deref().filter(|word| !word.starts_with(&**prefix)) {
                    found.extend(terms.get(word.as_bytes())?);
                }
            }
            Slot::Near { near, .. } => {
                let mut stream = terms.search(near.clone()).into_stream()?;
                while stream.advance() {
                    found.push(stream.value().clone());
                }
            }
        }
        Ok(found)
    }

    fn list(&self, infos: &[TermInfo]) -> Result<List, TextError> {
        let read = |info: &TermInfo| {
            let option = IndexRecordOption::WithFreqs;
            self.index
                .read_block_postings_from_terminfo(info, option)
                .map(|list| List::Packed(Box::new(list)))
        };
        match infos {
            [] => Ok(List::Plain(Plain::default())),
            [one] => Ok(read(one)?),
            several => {
                let lists = several.iter().map(read).collect::<Result<Vec<List>, _>>()?;
                Ok(List::Plain(Plain::union(&lists)))
            }
        }
    }

    /// The rows of a phrase: those with all words, of which the positions are looked at.
    fn phrase(&self, words: &[(usize, u32)], infos: &[Vec<TermInfo>]) -> Result<Plain, TextError> {
        let mut groups = Vec::with_capacity(words.len());
        for (slot, _) in words {
            let option = IndexRecordOption::WithFreqsAndPositions;
            let lists = infos[*slot]
                .iter()
                .map(|info| self.index.read_postings_from_terminfo(info, option));
            groups.push(lists.collect::<Result<Vec<SegmentPostings>, _>>()?);
        }
        let mut found = Plain::default();
        let (mut row, mut one) = (0, Vec::new());
        while let Some(together) = first_with_all(&mut groups, row) {
            row = together;
            let mut positions: Vec<Vec<u32>> = Vec::with_capacity(groups.len());
            for group in &mut groups {
                let mut all = Vec::new();
                for list in group.iter_mut().filter(|list| list.doc() == row) {
                    list.positions(&mut one);
                    all.extend_from_slice(&one);
                }
                all.sort_unstable();
                positions.push(all);
            }
            let with_offsets: Vec<(&[u32], u32)> =
                positions.iter().zip(words).map(|(at, (_, offset))| (&**at, *offset)).collect();
            let frequency = phrase::occurrences(&with_offsets);
            if frequency > 0 {
                found.push(row, frequency);
            }
            row += 1;
        }
        Ok(found)
    }
}

/// The first row from `row` on that every group has.
fn first_with_all(groups: &mut [Vec<SegmentPostings>], mut row: u32) -> Option<u32> {
    loop {
        let mut furthest = row;
        for group in groups.iter_mut() {
            let rows = group
                .iter_mut()
                .map(|list| if list.doc() < furthest { list.seek(furthest) } else { list.doc() });
            furthest = rows.min().filter(|row| *row != TERMINATED)?;
        }
        if furthest == row && !groups.is_empty() {
            // Every group was asked for this very row and has it.
            return Some(row);
        }
        row = furthest;
    }
}

fn range(base: u64, skip: u64, range: &Range<usize>) -> Range<u64> {
    let place = |at: usize| base.saturating_add(skip).saturating_add(at as u64);
    place(range.start)..place(range.end)
}

impl Reader {
    /// Opens the file of this identity, in one round trip when `written` is what writing it said.
    ///
    /// # Errors
    /// [`TextError::Damaged`] when the front is not what was written, [`TextError::Read`] when it cannot be read.
    pub fn open(
        reader: Arc<dyn ReadRanges>,
        identity: &[u8; 16],
        written: Written,
    ) -> Result<Self, TextError> {
        let least = HEADER_BYTES as u64;
        let known = written.head_bytes.clamp(least, written.len.max(least));
        let mut front = read(&*reader, 0..known)?;
        let first = front.get(..HEADER_BYTES).ok_or(TextError::damaged("there is no header"))?;
        let header = Header::decode(first, identity, written.len)?;
        let start = header.pages();
        if start > header.len {
            return Err(TextError::damaged("its parts do not add up to its length"));
        }
        if start > known {
            front.extend(read(&*reader, known..start)?);
        }
        let end = usize::try_from(start).map_err(|_| TextError::damaged("the head is too long"))?;
        let head = front.get(HEADER_BYTES..end).ok_or(TextError::damaged("the head is cut"))?;
        let (heads, payload) = decode_head(&header, head)?;
        let pages = Arc::new(Pages::new(reader, *identity, start, payload));
        let mut fields = BTreeMap::new();
        for head in heads {
            fields.insert(head.number, Field::open(&pages, head)?);
        }
        Ok(Self { rows: header.rows, pages, fields })
    }

    /// How many rows it has.
    #[must_use]
    pub const fn rows(&self) -> u32 {
        self.rows
    }

    /// Reads and verifies all of it.
    ///
    /// # Errors
    /// [`TextError::Damaged`] when any part is, [`TextError::Read`] when one cannot be read.
    pub fn verify(&self) -> Result<(), TextError> {
        self.pages.read(0..self.pages.payload)?;
        Ok(())
    }

    pub(in crate::text) fn fields(&self) -> Vec<FieldNo> {
        self.fields.keys().copied().collect()
    }

    /// How many tokens each row has; those after the last with any are left out.
    pub(in crate::text) fn counts(&self, field: FieldNo) -> Vec<u32> {
        self.fields.get(&field).map(|field| field.counts.clone()).unwrap_or_default()
    }

    /// All postings of a field, read at once.
    pub(super) fn whole(
        &self,
        number: FieldNo,
    ) -> Result<Option<Arc<InvertedIndexReader>>, TextError> {
        let Some(field) = self.fields.get(&number) else { return Ok(None) };
        let whole = |stream: &Stream| self.pages.read(stream.base..stream.base + stream.len);
        let (postings, positions) = (whole(&field.postings)?, whole(&field.positions)?);
        bundle::open(field.terms.clone(), Arc::new(postings), Arc::new(positions)).map(Some)
    }

    /// The query with its postings.
    pub(in crate::text) fn prepare(&self, query: &TextQuery) -> Result<Prepared, TextError> {
        let Some(field) = self.fields.get(&query.field()) else {
            let nothing = || List::Plain(Plain::default());
            let slots = query.slots().iter().map(|_| nothing()).collect();
            let phrases = query.clauses().iter().map(|_| Plain::default()).collect();
            return Ok(Prepared::new(query, self.rows, Arc::default(), slots, phrases));
        };
        let slots = query.slots().iter();
        let infos = slots.map(|slot| field.expand(slot)).collect::<Result<Vec<_>, _>>()?;
        let phrases = query.clauses().iter().filter(|clause| clause.words.len() > 1);
        let mut ranges = Vec::new();
        for info in infos.iter().flatten() {
            ranges.push(range(field.postings.base, TOTAL_BYTES, &info.postings_range));
        }
        for info in
            phrases.clone().flat_map(|clause| &clause.words).flat_map(|(slot, _)| &infos[*slot])
        {
            ranges.push(range(field.positions.base, 0, &info.positions_range));
        }
        let ahead = self.pages.read_ahead(&ranges)?;
        let lists = infos.iter().map(|infos| field.list(infos)).collect::<Result<_, _>>()?;
        let phrases = phrases.map(|clause| field.phrase(&clause.words, &infos));
        let phrases = phrases.collect::<Result<_, _>>()?;
        drop(ahead);
        Ok(Prepared::new(query, self.rows, Arc::clone(&field.lengths), lists, phrases))
    }
}

fn read(reader: &dyn ReadRanges, range: Range<u64>) -> Result<Vec<u8>, TextError> {
    let bytes = reader.read(std::slice::from_ref(&range))?.concat();
    let fits = bytes.len() as u64 == range.end - range.start;
    if fits { Ok(bytes) } else { Err(TextError::damaged("a range was not read in full")) }
}

/// The terms of a file in their order.
pub(super) struct FileTerms<'a> {
    stream: TermStreamer<'a>,
    index: &'a InvertedIndexReader,
}

impl<'a> FileTerms<'a> {
    pub(super) fn new(index: &'a InvertedIndexReader) -> Result<Self, TextError> {
        Ok(Self { stream: index.terms().stream()?, index })
    }

    /// Goes to the next term; false after the last.
    pub(super) fn advance(&mut self) -> bool {
        self.stream.advance()
    }

    pub(super) fn term(&self) -> &[u8] {
        self.stream.key()
    }

    /// Every row of the term with its positions.
    pub(super) fn each(&self, visit: &mut dyn FnMut(u32, &[u32])) -> Result<(), TextError> {
        let option = IndexRecordOption::WithFreqsAndPositions;
        let mut postings = self.index.read_postings_from_terminfo(self.stream.value(), option)?;
        let mut positions = Vec::new();
        while postings.doc() != TERMINATED {
            postings.positions(&mut positions);
            visit(postings.doc(), &positions);
            postings.advance();
        }
        Ok(())
    }
}
