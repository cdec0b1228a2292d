//! Pages of collections, outside and inside of transactions.
//!
//! Outside, a cursor is the engine's. Inside of a transaction it is only the place where the page
//! before ended and where the range does, because the transaction itself holds the position:
//!
//! | bytes | field |
//! |---|---|
//! | 1 and so many | the last id that was answered, as the log has it |
//! | 1 | end of the range: 0 none, 1 included, 2 excluded |
//! | … | its id, to the end |

use std::ops::Bound;
use std::sync::Arc;

use base::error::Code;
use base::words::{DocId, Name};
use client::wire::{Answer, Cursor, Document, Id, Page, ScanCall};
use docstore::Stored;

use super::databases::transaction;
use super::dispatch::{Asked, doc_id, wire_id};
use super::execute::found;
use crate::engine::{EngineError, How, Result, Scan, ScanPage, Served};

/// Most documents of a page.
const PAGE_DOCUMENTS_MAX: usize = docstore::PAGE_DOCUMENTS_MAX;
/// A page inside of a transaction ends before its documents exceed this many bytes.
const PAGE_BYTES: usize = 8 * 1024 * 1024;

type Range = (Bound<DocId>, Bound<DocId>);

pub(super) fn scan(asked: Asked, served: &Arc<Served>, number: u64, call: &ScanCall<'_>) {
    let name = match Name::new(call.collection) {
        Ok(name) => name,
        Err(error) => return asked.refuse(&error.into()),
    };
    let limit = usize::try_from(call.limit).unwrap_or(usize::MAX).min(PAGE_DOCUMENTS_MAX);
    if limit == 0 {
        let what = "a page has at least one document limit=0";
        return asked.refuse(&EngineError::new(Code::InvalidQuery, what));
    }
    let asking = match number {
        0 => outside(call, name, limit).map(Asking::Outside),
        number => transaction(&asked.shared, served, number)
            .and_then(|id| Ok(Asking::Inside(id, name, inside(&call.cursor)?))),
    };
    let engine = Arc::clone(&asked.shared.surface.engine);
    match asking {
        Err(error) => asked.refuse(&error),
        Ok(Asking::Outside(scan)) => {
            let reply = asked.reply(|asked, page: ScanPage| {
                let next = page.next.as_deref().unwrap_or_default().as_bytes();
                answer(asked, page.position.0, next, &page.documents);
            });
            engine.scan(served, scan, How::default(), reply);
        }
        Ok(Asking::Inside(id, name, range)) => {
            let to = range.1.clone();
            let reply = asked.reply(move |asked, mut documents: Vec<(DocId, Stored)>| {
                let more = documents.len() == limit || cut(&mut documents);
                let last = documents.last().filter(|_| more).map(|(last, _)| last);
                let next = last.map(|last| cursor(last, &to)).unwrap_or_default();
                answer(asked, 0, &next, &documents);
            });
            engine.scan_in(id, name, range, limit, None, reply);
        }
    }
}

enum Asking {
    Outside(Scan),
    Inside(crate::engine::TransactionId, Name, Range),
}

fn answer(asked: Asked, position: u64, next: &[u8], documents: &[(DocId, Stored)]) {
    let documents = documents.iter();
    let documents =
        documents.map(|(id, stored)| Document { id: wire_id(id), found: found(stored) }).collect();
    asked.answer(Answer::Page(Page { position, next, documents }));
}

/// Leaves so many that they fit a frame; says whether it left some out.
fn cut(documents: &mut Vec<(DocId, Stored)>) -> bool {
    let mut bytes = 0_usize;
    let fits = documents.iter().take_while(|(_, stored)| {
        let is_first = bytes == 0;
        bytes += stored.document.as_bytes().len().max(1);
        is_first || bytes <= PAGE_BYTES
    });
    let count = fits.count();
    let is_cut = count < documents.len();
    documents.truncate(count);
    is_cut
}

fn bound(id: Option<&Id<'_>>, is_outside: bool) -> Result<Bound<DocId>> {
    Ok(match id {
        None => Bound::Unbounded,
        Some(id) if is_outside => Bound::Excluded(doc_id(id)?),
        Some(id) => Bound::Included(doc_id(id)?),
    })
}

fn outside(call: &ScanCall<'_>, collection: Name, limit: usize) -> Result<Scan> {
    let ((from, to), cursor) = match &call.cursor {
        Cursor::Range { from, after, to, before } => {
            ((bound(from.as_ref(), *after)?, bound(to.as_ref(), *before)?), None)
        }
        Cursor::Next(cursor) => {
            let text = std::str::from_utf8(cursor).map_err(|_| no_cursor())?;
            ((Bound::Unbounded, Bound::Unbounded), Some(text.into()))
        }
    };
    Ok(Scan { collection, from, to, limit, cursor })
}

fn inside(cursor: &Cursor<'_>) -> Result<Range> {
    match cursor {
        Cursor::Range { from, after, to, before } => {
            Ok((bound(from.as_ref(), *after)?, bound(to.as_ref(), *before)?))
        }
        Cursor::Next(cursor) => range_of(cursor).ok_or_else(no_cursor),
    }
}

fn no_cursor() -> EngineError {
    EngineError::new(Code::InvalidQuery, "the cursor is none of this server; begin the scan anew")
}

fn cursor(last: &DocId, to: &Bound<DocId>) -> Vec<u8> {
    let mut bytes = vec![u8::try_from(last.encoded_len()).unwrap_or(u8::MAX)];
    last.encode(&mut bytes);
    match to {
        Bound::Unbounded => bytes.push(0),
        Bound::Included(to) => {
            bytes.push(1);
            to.encode(&mut bytes);
        }
        Bound::Excluded(to) => {
            bytes.push(2);
            to.encode(&mut bytes);
        }
    }
    bytes
}

fn range_of(cursor: &[u8]) -> Option<Range> {
    let (len, rest) = cursor.split_first()?;
    let (last, rest) = rest.split_at_checked(usize::from(*len))?;
    let (kind, to) = rest.split_first()?;
    let to = match kind {
        0 if to.is_empty() => Bound::Unbounded,
        1 => Bound::Included(DocId::decode(to).ok()?),
        2 => Bound::Excluded(DocId::decode(to).ok()?),
        _ => return None,
    };
    Some((Bound::Excluded(DocId::decode(last).ok()?), to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_of_a_transaction_says_where_to_go_on_and_where_to_end() {
        let last = DocId::string("last").unwrap();
        for to in [Bound::Unbounded, Bound::Included(DocId::U64(9)), Bound::Excluded(last.clone())]
        {
            let expect = (Bound::Excluded(last.clone()), to.clone());
            assert_eq!(range_of(&cursor(&last, &to)), Some(expect));
        }
        for bad in [&b""[..], b"\x09", b"\x02\x01\x01\x00", b"\x02\x03a\x00x", b"\x02\x03a\x07"] {
            assert_eq!(range_of(bad), None, "{bad:?}");
        }
    }
}
