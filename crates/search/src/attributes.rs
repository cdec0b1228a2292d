//! `attrs.idx`: the attributes of a segment, by value and by row.
//!
//! A file has, of every filterable attribute, its different values in their order, the rows of each, and what
//! each row has; the same of ids and LSNs. It is written once and read by ranges: filters, order, scores,
//! aggregates, groups and facets are answered from it without a document. The byte tables are in
//! `docs/formats/attributes.md`.
//!
//! What it is not: it knows nothing of what has been deleted (callers say which rows are live), nor of other
//! segments, and it does not test the words of a text.
//!
//! Invariants:
//! - Whatever is answered is what [`crate::filter::Compiled`] and [`crate::exhaustive`] would answer of the same
//!   rows.
//! - A file is a function of its rows and its identity, byte by byte: merging gives what writing anew gives.
//! - Every block is checked by its checksum before it is used; whatever a file has, nothing panics.
//!
//! Start with [`Writer`], [`Reader`] and [`merge()`]; then `column.rs` and `find.rs` (values by row and by code), `evaluate.rs`
//! (filters) and `layout.rs` (the frame of a file).

mod bytes;
mod column;
mod dictionary;
mod error;
mod evaluate;
mod find;
mod ids;
mod key;
mod layout;
mod merge;
mod order;
mod packed;
mod postings;
mod read;
mod score;
mod symbols;
mod totals;
mod write;

pub use column::{ColumnReader, Statistics};
pub use error::{AttributesError, Result};
pub(crate) use evaluate::no_words;
pub use evaluate::{Estimate, Words};
pub use ids::{Ids, LsnOrder};
pub use layout::Written;
pub use merge::{Input, merge};
pub(crate) use order::{Order, Wanted};
pub use read::Reader;
pub use write::Writer;
