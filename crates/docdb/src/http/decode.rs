//! The decoders of this surface without a server around them: what bodies, URLs and headers are
//! made into before the engine sees anything. For `fuzz/`, which feeds them any bytes whatever.
//!
//! Invariant: these are the very functions that requests go through; nothing is decoded here.

use std::ops::Bound;

use base::clock::WallMs;
use base::document::Document;
use base::words::{DocId, Lsn, Name};
use bytes::Bytes;

use super::error::Failure;
use super::id::{self, IdType};
use super::parameters::Query;
use super::rows::Include;
use super::{
    batch, bulk, databases, documents, namespaces, operations, scan, search, time, transactions,
};
use crate::engine::namespaces::{NamespaceWrite, RowOp, SchemaChange};
use crate::engine::{EngineError, Op};

pub use super::operations::HealAsked;

/// A request that is refused: its status, and the body of its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The status.
    pub status: u16,
    /// JSON.
    pub body: Vec<u8>,
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self { status: failure.status.as_u16(), body: failure.body("none") }
    }
}

/// What a decoder comes to.
pub type Result<T> = std::result::Result<T, Refused>;

/// A range of ids.
pub type Range = (Bound<DocId>, Bound<DocId>);

/// The body of a batch, and of operations within a transaction.
///
/// # Errors
/// The answer to a body that is none.
pub fn operations(body: &Bytes) -> Result<Vec<Op>> {
    Ok(batch::operations(body)?)
}

/// What an import makes of its body, which comes in pieces: operations, and the lines it refuses.
#[must_use]
pub fn import(pieces: &[&[u8]], collection: &Name) -> (Vec<Op>, Vec<(u64, EngineError)>) {
    bulk::read_pieces(pieces, collection)
}

/// The name in a body that makes something.
///
/// # Errors
/// The answer to a body that is none.
pub fn new_name(body: &[u8]) -> Result<Name> {
    Ok(databases::name_in(body)?)
}

/// The documents that a write of a namespace brings, in either of its shapes, and whether it patches,
/// deletes or copies besides.
///
/// # Errors
/// The answers to a body that is none, for each shape.
pub fn namespace_writes(body: &[u8]) -> [Result<(Vec<Document>, usize)>; 3] {
    let brought = |write: NamespaceWrite| {
        let all = write.ops.len();
        let documents = write.ops.into_iter().filter_map(|row| match row.op {
            RowOp::Upsert(document) => Some(document),
            RowOp::Patch(_) | RowOp::Delete => None,
        });
        let documents: Vec<Document> = documents.collect();
        let others = all - documents.len();
        (documents, others)
    };
    [
        namespaces::write::read(body).map(|read| brought(read.write)).map_err(Refused::from),
        namespaces::v1::rows_of(body).map(brought).map_err(Refused::from),
        namespaces::v1::deletion_of(body).map(|read| brought(read.write)).map_err(Refused::from),
    ]
}

/// How many queries a body has, in either shape.
///
/// # Errors
/// The answers to a body that is none, for each shape.
pub fn queries(body: &[u8]) -> [Result<usize>; 2] {
    let shown = namespaces::query::read(body, &Include::Everything);
    [shown, namespaces::v1::query_of(body)]
        .map(|read| read.map(|body| body.queries.len()).map_err(Refused::from))
}

/// Whether a body changes a search schema, or adds an index.
///
/// # Errors
/// The answers to a body that does not.
pub fn schema_changes(body: &[u8]) -> [Result<SchemaChange>; 2] {
    [search::change_of(body), search::index_of(body)].map(|read| read.map_err(Refused::from))
}

/// What a body asks of healing.
///
/// # Errors
/// The answer to a body that is none.
pub fn heal(body: &[u8]) -> Result<(Name, DocId, HealAsked)> {
    Ok(operations::heal_asked(body)?)
}

/// The query of a scan: its range, and how many documents a page has.
///
/// # Errors
/// The answer to a query that is none.
pub fn scan_query(query: &str) -> Result<(Range, usize)> {
    let takes = scan::ROUTES.iter().flat_map(|route| route.takes).copied().collect::<Vec<_>>();
    let query = Query::parse(Some(query), &takes)?;
    query.id_form()?;
    Ok((scan::range(&query)?, scan::limit(&query)?))
}

/// Where a scan within a transaction goes on.
///
/// # Errors
/// The answer to a cursor that is none.
pub fn transaction_cursor(cursor: &str) -> Result<Range> {
    Ok(transactions::read_cursor(cursor)?)
}

/// The cursor that goes on behind `last` up to `to`.
#[must_use]
pub fn write_transaction_cursor(last: &DocId, to: &Bound<DocId>) -> String {
    transactions::write_cursor(last, to)
}

/// The bytes of a scan's cursor without its seal, decoded and encoded again; none when they are
/// none.
#[must_use]
pub fn cursor_again(bytes: &[u8]) -> Option<Vec<u8>> {
    crate::engine::cursor_again(bytes)
}

/// Whether the header `If-Match` lets a document of this revision pass.
///
/// # Errors
/// The answer to a header that is none.
pub fn if_match(header: &str, revision: Lsn) -> Result<bool> {
    Ok(documents::Tags::parse(header)?.has(revision))
}

/// A time as RFC 3339 writes it.
#[must_use]
pub fn parse_time(text: &str) -> Option<WallMs> {
    time::parse(text)
}

/// The id in a path, and what is said of its type.
///
/// # Errors
/// The answer to an id that is none.
pub fn path_id(text: &str, id_type: Option<&str>) -> Result<DocId> {
    let id_type = id_type.map(IdType::parse).transpose()?;
    Ok(id::from_url(text, id_type)?)
}
