//! Entries as lines of text: JSON or CSV.

use serde_json::Value;

use crate::entry::{Marks, StoredEntry};
use crate::error::Result;
use crate::filter::EntryRef;
use crate::query::{Order, Page, Query};

/// How a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportFormat {
    /// One JSON object a line.
    NdJson,
    /// Comma-separated values as in RFC 4180, after a line with the names.
    Csv,
}

/// The first line of CSV: its columns, which are the keys of JSON too.
pub const CSV_HEADER: &str = "id,time,received,severity,facility,marks,hostname,app_name,proc_id,\
     msg_id,source,structured_data,message";

/// An entry as one JSON object, without a line end. Empty fields are left out.
#[must_use]
pub fn json_line(entry: &EntryRef<'_>) -> String {
    let mut object = serde_json::Map::new();
    object.insert("id".to_owned(), entry.id.0.into());
    object.insert("time".to_owned(), entry.time.rfc3339().into());
    object.insert("received".to_owned(), entry.received.rfc3339().into());
    object.insert("severity".to_owned(), entry.severity.name().into());
    object.insert("facility".to_owned(), entry.facility.into());
    let marks = mark_names(entry.marks);
    if !marks.is_empty() {
        object.insert("marks".to_owned(), marks.into());
    }
    for (name, value) in [
        ("hostname", entry.hostname),
        ("app_name", entry.app_name),
        ("proc_id", entry.proc_id),
        ("msg_id", entry.msg_id),
        ("source", entry.source),
    ] {
        if !value.is_empty() {
            object.insert(name.to_owned(), value.into());
        }
    }
    if !entry.structured_data.is_empty() {
        let data: Option<Value> = serde_json::from_str(entry.structured_data).ok();
        let data = data.unwrap_or_else(|| entry.structured_data.into());
        object.insert("structured_data".to_owned(), data);
    }
    object.insert("message".to_owned(), entry.message.into());
    Value::Object(object).to_string()
}

/// An entry as one line of CSV, without a line end.
#[must_use]
pub fn csv_line(entry: &EntryRef<'_>) -> String {
    let (id, facility) = (entry.id.to_string(), entry.facility.to_string());
    let (time, received) = (entry.time.rfc3339(), entry.received.rfc3339());
    let marks = mark_names(entry.marks).join(" ");
    let fields = [
        id.as_str(),
        &time,
        &received,
        entry.severity.name(),
        &facility,
        &marks,
        entry.hostname,
        entry.app_name,
        entry.proc_id,
        entry.msg_id,
        entry.source,
        entry.structured_data,
        entry.message,
    ];
    fields.map(quoted).join(",")
}

fn mark_names(marks: Marks) -> Vec<&'static str> {
    let all =
        [(Marks::UNPARSED, "unparsed"), (Marks::CUT, "cut"), (Marks::INVALID_UTF8, "invalid_utf8")];
    all.into_iter().filter(|(mark, _)| marks.has(*mark)).map(|(_, name)| name).collect()
}

fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

/// The lines of everything that a query finds, page by page. Its limit is the size of a page; a
/// search that fails ends the lines with its error.
pub struct Export<S> {
    search: S,
    query: Query,
    format: ExportFormat,
    page: std::vec::IntoIter<StoredEntry>,
    is_last: bool,
    header: bool,
    /// What could not be read so far.
    unreadable: usize,
}

impl<S> std::fmt::Debug for Export<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Export").field("query", &self.query).finish_non_exhaustive()
    }
}

impl<S: FnMut(&Query) -> Result<Page>> Export<S> {
    pub(crate) fn new(query: Query, format: ExportFormat, search: S) -> Self {
        let header = format == ExportFormat::Csv;
        let page = Vec::new().into_iter();
        Self { search, query, format, page, is_last: false, header, unreadable: 0 }
    }

    /// How many parts of the store could not be read, and so are missing.
    #[must_use]
    pub fn unreadable(&self) -> usize {
        self.unreadable
    }

    fn next_page(&mut self) -> Result<()> {
        let page = (self.search)(&self.query)?;
        self.unreadable += page.unreadable.len();
        self.is_last = page.next.is_none();
        self.query.after = page.next.or(self.query.after);
        self.page = page.entries.into_iter();
        Ok(())
    }
}

impl<S: FnMut(&Query) -> Result<Page>> Iterator for Export<S> {
    type Item = Result<String>;

    fn next(&mut self) -> Option<Self::Item> {
        if std::mem::take(&mut self.header) {
            return Some(Ok(CSV_HEADER.to_owned()));
        }
        loop {
            if let Some(stored) = self.page.next() {
                return Some(Ok(match self.format {
                    ExportFormat::NdJson => json_line(&stored.view()),
                    ExportFormat::Csv => csv_line(&stored.view()),
                }));
            }
            if self.is_last {
                return None;
            }
            if let Err(error) = self.next_page() {
                self.is_last = true;
                return Some(Err(error));
            }
        }
    }
}

/// What exports read first: the earliest, so that a file grows as a log does.
pub(crate) fn query_of(filter: crate::filter::Filter) -> Query {
    Query { filter, order: Order::OldestFirst, limit: 4096, after: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{Entry, EntryId, UnixNanos};

    fn entry() -> StoredEntry {
        let mut entry = Entry::new(UnixNanos(1), "said \"no\", twice\nand left");
        entry.structured_data = "{\"a\":1}".to_owned();
        entry.marks = Marks::CUT.with(Marks::UNPARSED);
        StoredEntry { id: EntryId(7), entry }
    }

    #[test]
    fn a_line_of_json_is_one_object_and_leaves_out_what_is_empty() {
        let expect = "{\"facility\":1,\"id\":7,\"marks\":[\"unparsed\",\"cut\"],\
             \"message\":\"said \\\"no\\\", twice\\nand left\",\
             \"received\":\"1970-01-01T00:00:00.000000000Z\",\"severity\":\"info\",\
             \"structured_data\":{\"a\":1},\"time\":\"1970-01-01T00:00:00.000000001Z\"}";
        let line: Value = serde_json::from_str(&json_line(&entry().view())).unwrap();
        assert_eq!(line, serde_json::from_str::<Value>(expect).unwrap());
        assert!(!json_line(&entry().view()).contains('\n'));
    }

    #[test]
    fn csv_quotes_what_must_be_quoted() {
        let expect = "7,1970-01-01T00:00:00.000000001Z,1970-01-01T00:00:00.000000000Z,info,1,\
             unparsed cut,,,,,,\"{\"\"a\"\":1}\",\"said \"\"no\"\", twice\nand left\"";
        assert_eq!(csv_line(&entry().view()), expect);
        assert_eq!(CSV_HEADER.split(',').count(), 13);
    }

    #[test]
    fn pages_follow_each_other_to_the_end_and_an_error_ends_them() {
        let mut left = vec![2, 0, 1];
        let search = |query: &Query| {
            let count = left.pop().unwrap_or(0);
            if count == 0 && query.after.is_some() {
                return Err(crate::error::LogError::Closed);
            }
            let next = Some(crate::query::Cursor::of(&entry()));
            Ok(Page { entries: vec![entry(); count], next, ..Page::default() })
        };
        let query = query_of(crate::filter::Filter::default());
        let lines: Vec<_> = Export::new(query, ExportFormat::Csv, search).collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[0].as_ref().is_ok_and(|line| line == CSV_HEADER));
        assert!(lines[1].is_ok() && lines[2].is_err());
    }
}
