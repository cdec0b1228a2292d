//! A text query against a schema: tokens instead of words, and which rows match.
//!
//! It has *slots* (each a token, the tokens with a prefix, or those near to one) and *clauses* of them: one slot,
//! or several as a phrase. To the statistics a slot is one word: its document frequency is the number of
//! documents that have any of its tokens, and its frequency in a document that of all of them together. So
//! a score does not depend on which tokens a part happens to have.

use super::analyzer::Analyzer;
use super::bm25::{Statistics, Weights};
use super::boolean;
use super::fuzzy::{self, Near};
use super::matching::{Mode, TextMatch};
use super::{QUERY_BYTES_MAX, QUERY_WORDS_MAX};
use crate::error::{Result, SearchError};
use crate::place::Place;
use crate::schema::{FieldNo, Schema, Tokenizer};

/// A text query that has been checked against a schema; made by [`TextMatch::compile`].
#[derive(Debug, Clone)]
pub struct TextQuery {
    field: FieldNo,
    analyzer: Analyzer,
    slots: Vec<Slot>,
    clauses: Vec<Clause>,
}

/// Tokens that count as one word.
#[derive(Debug, Clone)]
pub(super) enum Slot {
    /// This one.
    Term(Box<str>),
    /// All that begin so, and the stem of the word so far.
    Prefix { prefix: Box<str>, word: Option<Box<str>> },
    /// All that are near.
    Near { word: Box<str>, edits: u8, near: Near },
}

impl Slot {
    /// Whether a token is one of its.
    pub(super) fn has(&self, token: &str) -> bool {
        match self {
            Self::Term(term) => **term == *token,
            Self::Prefix { prefix, word } => {
                token.starts_with(&**prefix) || word.as_deref() == Some(token)
            }
            Self::Near { near, .. } => near.has(token),
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Term(a), Self::Term(b)) => a == b,
            (
                Self::Prefix { prefix: a, word: a_word },
                Self::Prefix { prefix: b, word: b_word },
            ) => a == b && a_word == b_word,
            (
                Self::Near { word: a, edits: a_edits, .. },
                Self::Near { word: b, edits: b_edits, .. },
            ) => a == b && a_edits == b_edits,
            _ => false,
        }
    }
}

/// How a clause decides about a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Occur {
    /// It may match.
    Should,
    /// It must match.
    Must,
    /// It must not match.
    MustNot,
}

/// One word, or several as a phrase.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Clause {
    pub(super) occur: Occur,
    /// Slots, and how many words after the first each stands.
    pub(super) words: Vec<(usize, u32)>,
    /// How often it was asked for.
    pub(super) times: f32,
}

impl TextMatch {
    /// Makes tokens of the words.
    ///
    /// # Errors
    /// [`SearchError::Query`] for an attribute that the schema does not have or that has no
    /// `full_text_search`, and for too many words.
    pub fn compile(&self, schema: &Schema) -> Result<TextQuery> {
        self.compile_at(schema, &Place::Member("rank_by"))
    }

    pub(crate) fn compile_at(&self, schema: &Schema, place: &Place<'_>) -> Result<TextQuery> {
        let path = &self.path;
        let Some((field, attribute)) = schema.attribute(path) else {
            let reason = format!("the schema has no attribute `{path}`");
            return Err(SearchError::query(place.at(0), reason));
        };
        let Some(full_text) = &attribute.full_text else {
            let reason = format!("`{path}` has no full_text_search; add it to the schema");
            return Err(SearchError::query(place.at(0), reason));
        };
        if self.texts.iter().map(|text| text.len()).sum::<usize>() > QUERY_BYTES_MAX {
            let reason = format!("the text of a query has at most {QUERY_BYTES_MAX} bytes");
            return Err(SearchError::query(place.at(2), reason));
        }
        let analyzer = Analyzer::new(full_text);
        let mut query = TextQuery { field, analyzer, slots: Vec::new(), clauses: Vec::new() };
        if self.mode == Mode::Boolean {
            for piece in self.texts.iter().flat_map(|text| boolean::pieces(text)) {
                let texts = [Box::from(piece.text)];
                let words = query.words(&texts, piece.is_prefix, piece.edits);
                query.add(piece.occur, words);
            }
        } else {
            let words = query.words(&self.texts, self.last_as_prefix, self.edits);
            match self.mode {
                Mode::Phrase => query.add(Occur::Must, words),
                Mode::All => words.into_iter().for_each(|word| query.add(Occur::Must, vec![word])),
                Mode::Any | Mode::Boolean => {
                    words.into_iter().for_each(|word| query.add(Occur::Should, vec![word]));
                }
            }
        }
        if query.clauses.iter().map(|clause| clause.words.len()).sum::<usize>() > QUERY_WORDS_MAX {
            let reason = format!("a text query has at most {QUERY_WORDS_MAX} words");
            return Err(SearchError::query(place.at(2), reason));
        }
        Ok(query)
    }
}

impl TextQuery {
    /// Of which attribute.
    #[must_use]
    pub const fn field(&self) -> FieldNo {
        self.field
    }

    /// The weights that live documents give its words.
    #[must_use]
    pub fn weigh(&self, statistics: &Statistics) -> Weights {
        Weights::new(self, statistics)
    }

    pub(super) const fn analyzer(&self) -> &Analyzer {
        &self.analyzer
    }

    pub(super) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    pub(super) fn clauses(&self) -> &[Clause] {
        &self.clauses
    }

    /// k1 and b.
    #[expect(clippy::cast_possible_truncation, reason = "numbers of a schema, at most 100")]
    pub(super) fn parameters(&self) -> (f32, f32) {
        let options = self.analyzer.options();
        (options.k1 as f32, options.b as f32)
    }

    /// Whether a row matches of which it is known which clauses do.
    pub(super) fn is_matched(&self, met: impl Fn(usize) -> bool) -> bool {
        let of = |occur| {
            let clauses = self.clauses.iter().enumerate();
            clauses.filter(move |(_, clause)| clause.occur == occur).map(|(index, _)| index)
        };
        let has_musts = of(Occur::Must).next().is_some();
        !of(Occur::MustNot).any(&met)
            && of(Occur::Must).all(&met)
            && (has_musts || of(Occur::Should).any(&met))
    }

    /// The words of texts with their positions.
    fn words(&self, texts: &[Box<str>], last_as_prefix: bool, edits: u8) -> Vec<(Slot, u32)> {
        let mut words = Vec::new();
        let mut base = 0;
        for (index, text) in texts.iter().enumerate() {
            let is_last = last_as_prefix && index + 1 == texts.len();
            let last = if is_last { self.analyzer.last_word(text) } else { None };
            let mut tokens = self.analyzer.tokens(text);
            let whole =
                last.as_ref().and_then(|last| tokens.pop_if(|token| token.range == last.range));
            let mut next = base;
            for token in tokens {
                let position = base + token.position;
                words.push((exact_or_near(token.text, edits), position));
                next = position + 1;
            }
            if let Some(last) = last {
                let prefix = last.text.into();
                let word = whole.map(|token| token.text.into());
                words.push((Slot::Prefix { prefix, word }, base + last.position));
                next = base + last.position + 1;
            }
            let is_pre_tokenized =
                self.analyzer.options().tokenizer == Tokenizer::PreTokenizedArray;
            base = if is_pre_tokenized { base + 1 } else { next };
        }
        words
    }

    fn add(&mut self, occur: Occur, words: Vec<(Slot, u32)>) {
        let Some((_, first)) = words.first() else { return };
        let first = *first;
        let words =
            words.into_iter().map(|(slot, position)| (self.slot(slot), position - first)).collect();
        let same =
            self.clauses.iter_mut().find(|clause| clause.occur == occur && clause.words == words);
        match same {
            Some(clause) => clause.times += 1.0,
            None => self.clauses.push(Clause { occur, words, times: 1.0 }),
        }
    }

    fn slot(&mut self, slot: Slot) -> usize {
        if let Some(known) = self.slots.iter().position(|known| known.is_same(&slot)) {
            return known;
        }
        self.slots.push(slot);
        self.slots.len() - 1
    }
}

fn exact_or_near(token: String, edits: u8) -> Slot {
    match fuzzy::edits_of(&token, edits) {
        0 => Slot::Term(token.into()),
        edits => Slot::Near { near: Near::new(&token, edits), word: token.into(), edits },
    }
}
