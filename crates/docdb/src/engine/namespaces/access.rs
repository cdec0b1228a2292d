//! How an answer was found: by the index of a collection, or by looking at its documents, and why.

use std::fmt;

use base::words::Lsn;
use search::index::Performance;
use search::storage::cache::Counters;

use super::super::indexes::IndexState;

/// How the answers of one request were found.
#[derive(Debug, Clone)]
pub enum AccessPath {
    /// By the index.
    Index(IndexUse),
    /// By looking at the documents, one by one.
    Scan(WhyScan),
}

/// What the index was asked and did.
#[derive(Debug, Clone)]
pub struct IndexUse {
    /// The last change that the answers know of.
    pub position: Lsn,
    /// The facts of each query, in the order of queries.
    pub queries: Vec<Performance>,
}

/// Why the index was not asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WhyScan {
    /// The collection has no search schema, so nothing is indexed.
    NoSchema,
    /// The index does not answer now, and what is known of it; nothing of one that there is not yet.
    NotReady(Option<IndexState>),
    /// The index could not be read; what it said.
    Broken(Box<str>),
}

impl AccessPath {
    /// Its name in answers.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Index(_) => "index",
            Self::Scan(_) => "scan",
        }
    }
}

impl IndexUse {
    /// One of the facts, of all queries together.
    #[must_use]
    pub fn sum(&self, fact: fn(&Performance) -> u64) -> u64 {
        self.queries.iter().map(fact).sum()
    }

    /// What was read of segments, and where it was.
    #[must_use]
    pub fn cache(&self) -> Counters {
        self.queries.iter().fold(Counters::default(), |sum, query| sum.and(query.cache))
    }
}

impl fmt::Display for WhyScan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSchema => f.write_str("the collection has no search schema"),
            Self::NotReady(state) => match state {
                None => f.write_str("there is no index of the collection yet"),
                Some(IndexState::Opening) => f.write_str("its index is being opened"),
                Some(IndexState::Ready) => f.write_str("its index could not get so far at once"),
                Some(IndexState::Building { documents, of, why }) => {
                    write!(f, "its index is being made, {documents} of {of} documents: {why}")
                }
                Some(IndexState::Failed { why }) => write!(f, "its index failed: {why}"),
            },
            Self::Broken(why) => write!(f, "the index could not be read: {why}"),
        }
    }
}
