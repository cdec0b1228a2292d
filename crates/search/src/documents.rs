//! `docs.parquet`: the rows of a segment as an open copy, which any reader of Apache Parquet understands.
//!
//! It has the id and LSN of every row, its attributes with their types, and its vectors; `docs/formats/documents.md`
//! says how each is spelled. It is for export and for those who want the data without us: no query reads it.
//! What it is not: it is not the documents, which the document store has; members that the schema does not
//! declare are not in it.
//!
//! Invariants: a file that is opened is byte by byte the one that was written (its checksum is kept by whoever
//! keeps its name); rows that are written are read back as they were. Start with [`DocumentsWriter`] and
//! [`Documents`].

mod columns;
mod error;
mod read;
mod write;

pub use error::{DocumentsError, Result};
pub use read::{Documents, StoredRow, StoredRows};
pub use write::{DocumentsWriter, DocumentsWritten};
