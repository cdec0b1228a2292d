//! Full-text search: words of attributes, found and ranked by BM25.
//!
//! A namespace is made of *parts*: the [`Memory`] that new rows go to, and files of segments, each opened by
//! a [`Reader`]. Every part has its rows, numbered from 0, and knows nothing of which of them are alive: whoever
//! asks says so by a bitmap. A query is answered in four steps, of which the first may read from far away
//! and the others do not read at all:
//!
//! 1. [`TextMatch::compile`] makes tokens of what was asked, and [`Part::prepare`] finds their postings.
//! 2. [`Prepared::statistics`] of every part, added up, are those of all live documents.
//! 3. [`TextQuery::weigh`] makes weights of them.
//! 4. [`search()`], [`Prepared::scores`] and [`Prepared::matches`] answer from each part.
//!
//! Invariant: a score depends on the live documents alone, never on the parts that they are in, nor on
//! dead rows: statistics count live rows exactly, and every part calculates by the same code, in the same
//! order ([`crate::exhaustive`] too). The length of a text enters a score rounded as tantivy rounds it; the
//! average length is of exact counts.
//!
//! What it is not: it holds no documents, deletes nothing, and touches no files: [`merge`] makes bytes, and
//! a reader asks a [`crate::vector::ReadRanges`]. tantivy's dictionary, posting codec and stemmers are used;
//! its index writer, deletes, merge policies and scorers are not.
//!
//! Start with `analyzer.rs` (how a text becomes tokens), `query.rs`, `memory.rs` and `file.rs`
//! (`docs/formats/text.md`).

mod analyzer;
mod bm25;
mod boolean;
mod error;
mod file;
mod fuzzy;
mod highlight;
mod list;
mod matching;
mod memory;
mod part;
mod phrase;
mod prepared;
mod query;
mod search;
mod single;
mod stop_words;
mod words;

pub use analyzer::{Analyzer, RowTokens, Texts, Token};
pub use bm25::{Statistics, Weights};
pub use error::TextError;
pub use file::{DROPPED, Input, Reader, Written, merge};
pub use highlight::{Fragment, Highlight, highlight, spans};
pub use matching::{Mode, TextMatch};
pub(crate) use matching::{texts, write_texts};
pub use memory::{Memory, Snapshot};
pub use part::Part;
pub use prepared::Prepared;
pub use query::TextQuery;
pub use search::{Hit, Lead, Leaf, search, search_along};
pub use single::Features;

/// Most rows of a part: tantivy's posting lists end with the number after.
pub const ROWS_MAX: u32 = i32::MAX.cast_unsigned() - 1;
/// Longest text of a query, in bytes, all its strings together.
pub const QUERY_BYTES_MAX: usize = 16 * 1024;
/// Most words of a query.
pub const QUERY_WORDS_MAX: usize = 1024;
