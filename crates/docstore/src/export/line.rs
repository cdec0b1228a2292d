//! One line of an export: written, and read back from anybody.
//!
//! A line is an object of known members: `id` (a number or a string), `id_type` (`u64`, `uuid`,
//! `string`), `revision`, `expires_at`, and `document` or `text`. Without `id_type` a number is a
//! u64, a string in the canonical lower-case form of a UUID a UUID, and any other a string.
//! Members that are not known are refused: a misspelt `expires_at` would make documents live
//! for ever.
//!
//! The object itself is taken apart here and not by the validator, because a document in it may be
//! as long and as deep as any. Only where each value ends is guessed at; what was guessed wrong
//! makes the value or the rest of the line malformed, so that exactly the well-formed lines pass.
#![deny(clippy::indexing_slicing)]

use std::io::{self, BufRead, Write as _};

use base::clock::WallMs;
use base::document::Document;
use base::limits::DOCUMENT_BYTES_MAX;
use base::words::DocId;

use super::token::{Cursor, text};
use crate::error::{Result, StoreError};
use crate::request::Stored;

/// The longest line, bytes: a document of which every byte is escaped, and the rest.
pub const LINE_BYTES_MAX: usize = 2 * DOCUMENT_BYTES_MAX + 4096;

/// Appends the line of a document, its end included: what an export writes, and an import reads
/// back exactly.
pub fn write_export_line(line: &mut Vec<u8>, id: &DocId, stored: &Stored) {
    line.extend_from_slice(b"{\"id\":");
    let id_type = match id {
        DocId::U64(_) => "u64",
        DocId::Uuid(_) => "uuid",
        DocId::Str(_) => "string",
    };
    match id {
        DocId::U64(n) => line.extend_from_slice(n.to_string().as_bytes()),
        DocId::Uuid(_) | DocId::Str(_) => write_string(line, id.to_string().as_bytes()),
    }
    let written = write!(line, ",\"id_type\":\"{id_type}\",\"revision\":{}", stored.revision);
    written.expect("a vector takes everything");
    if let Some(at) = stored.expires_at {
        write!(line, ",\"expires_at\":{}", at.0).expect("a vector takes everything");
    }
    let text = stored.document.as_bytes();
    if is_altered_on_a_line(text) {
        line.extend_from_slice(b",\"text\":");
        write_string(line, text);
    } else {
        line.extend_from_slice(b",\"document\":");
        line.extend_from_slice(text);
    }
    line.extend_from_slice(b"}\n");
}

/// Whether a text would end a line, or has white space around it that is not seen to be its own.
fn is_altered_on_a_line(text: &[u8]) -> bool {
    let edges = [text.first(), text.last()];
    edges.into_iter().flatten().any(u8::is_ascii_whitespace)
        || text.iter().any(|byte| matches!(byte, b'\n' | b'\r'))
}

/// Appends a JSON string of a text whose only control characters are JSON's white space.
fn write_string(line: &mut Vec<u8>, text: &[u8]) {
    line.push(b'"');
    for byte in text {
        match byte {
            b'"' | b'\\' => line.extend_from_slice(&[b'\\', *byte]),
            b'\n' => line.extend_from_slice(b"\\n"),
            b'\r' => line.extend_from_slice(b"\\r"),
            b'\t' => line.extend_from_slice(b"\\t"),
            _ => line.push(*byte),
        }
    }
    line.push(b'"');
}

/// What reading a line came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    /// There is none any more.
    End,
    /// It is in the buffer, without its end. So many bytes were read, its end among them.
    Whole(u64),
    /// It is longer than it may be, and was passed over.
    TooLong(u64),
}

/// Reads the next line, and never keeps more of it than a line may have.
pub(super) fn read(input: &mut dyn BufRead, line: &mut Vec<u8>) -> io::Result<Read> {
    line.clear();
    let (mut total, mut too_long) = (0, false);
    loop {
        let bytes = match input.fill_buf() {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let part = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
        let is_last = bytes.is_empty();
        if line.len() + part.len() > LINE_BYTES_MAX {
            too_long = true;
            line.clear();
        }
        if !too_long {
            line.extend_from_slice(part);
        }
        let used = part.len() + usize::from(end.is_some());
        total += used as u64;
        input.consume(used);
        if end.is_some() || is_last {
            return Ok(match (total, too_long) {
                (0, _) => Read::End,
                (_, false) => Read::Whole(total),
                (_, true) => Read::TooLong(total),
            });
        }
    }
}

/// What a line of an export says. Its revision is checked and not kept: an import gives a new one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportLine {
    /// The document's id.
    pub id: DocId,
    /// When it expires.
    pub expires_at: Option<WallMs>,
    /// Its exact bytes.
    pub document: Document,
}

fn bad(what: &'static str) -> StoreError {
    StoreError::ImportLine(what)
}

fn bad_id(what: &'static str) -> StoreError {
    StoreError::ImportId(what)
}

impl ImportLine {
    /// Reads a line, its end not included, as anybody may have written it.
    ///
    /// # Errors
    /// `InvalidJson`, `InvalidId` or `PayloadTooLarge` says what is wrong with it; the same line is
    /// always refused.
    pub fn parse(line: &[u8]) -> Result<Self> {
        let mut cursor = Cursor { rest: line };
        let mut members = Members::default();
        cursor.expect(b'{', "it is no object")?;
        if !cursor.take(b'}') {
            loop {
                members.add(&mut cursor)?;
                if cursor.take(b'}') {
                    break;
                }
                cursor.expect(b',', "a comma or the end of the object is missing")?;
            }
        }
        cursor.skip_space();
        if !cursor.rest.is_empty() {
            return Err(bad("something follows the object"));
        }
        members.line()
    }
}

/// The values of a line's members.
#[derive(Default)]
struct Members<'a> {
    id: Option<&'a [u8]>,
    id_type: Option<&'a [u8]>,
    revision: Option<&'a [u8]>,
    expires_at: Option<&'a [u8]>,
    document: Option<&'a [u8]>,
    text: Option<&'a [u8]>,
}

impl<'a> Members<'a> {
    fn add(&mut self, cursor: &mut Cursor<'a>) -> Result<()> {
        cursor.skip_space();
        let key = cursor.string().ok_or_else(|| bad("a member's name is missing"))?;
        cursor.expect(b':', "a colon is missing")?;
        let value = cursor.value().ok_or_else(|| bad("a value is missing or does not end"))?;
        let member = match key {
            b"\"id\"" => &mut self.id,
            b"\"id_type\"" => &mut self.id_type,
            b"\"revision\"" => &mut self.revision,
            b"\"expires_at\"" => &mut self.expires_at,
            b"\"document\"" => &mut self.document,
            b"\"text\"" => &mut self.text,
            _ => {
                let known = "a member is none of id, id_type, revision, expires_at, document, text";
                return Err(bad(known));
            }
        };
        match member.replace(value) {
            None => Ok(()),
            Some(_) => Err(bad("a member is there twice")),
        }
    }

    fn line(self) -> Result<ImportLine> {
        let id_type = self.id_type.map(text).transpose()?;
        let id = parse_id(self.id.ok_or_else(|| bad("it has no id"))?, id_type.as_deref())?;
        if self.revision.is_some_and(|value| number(value).is_none()) {
            return Err(bad("the revision is no integer from 0 to 2^64-1"));
        }
        let expires_at = match self.expires_at {
            None | Some(b"null") => None,
            Some(value) => {
                let ms = number(value).filter(|ms| *ms < u64::MAX);
                Some(WallMs(ms.ok_or_else(|| bad("expires_at is no time in milliseconds"))?))
            }
        };
        let document = match (self.document, self.text) {
            (Some(value), None) => Document::parse(value)?,
            (None, Some(value)) => Document::parse(text(value)?.as_bytes())?,
            (None, None) => return Err(bad("it has neither document nor text")),
            (Some(_), Some(_)) => return Err(bad("it has both document and text")),
        };
        Ok(ImportLine { id, expires_at, document })
    }
}

/// The number that digits stand for, written as JSON writes it.
fn number(value: &[u8]) -> Option<u64> {
    let digits =
        value.iter().all(u8::is_ascii_digit) && (value == b"0" || !value.starts_with(b"0"));
    std::str::from_utf8(value).ok().filter(|_| digits)?.parse().ok()
}

fn parse_id(value: &[u8], id_type: Option<&str>) -> Result<DocId> {
    let is_text = value.starts_with(b"\"");
    let a_number = |value: &[u8]| {
        let n = number(value);
        n.map(DocId::U64).ok_or_else(|| bad_id("it is no integer from 0 to 2^64-1"))
    };
    let a_uuid = |text: &str| {
        let uuid = uuid::Uuid::try_parse(text).ok();
        uuid.filter(|uuid| uuid.hyphenated().to_string() == text).map(DocId::Uuid)
    };
    match (id_type, is_text) {
        (None | Some("u64"), false) => a_number(value),
        (Some("u64"), true) => a_number(text(value)?.as_bytes()),
        (Some("uuid"), true) => {
            let id = a_uuid(&text(value)?);
            id.ok_or_else(|| bad_id("it is no UUID in its canonical lower-case form"))
        }
        (Some("string"), true) => Ok(DocId::string(&text(value)?)?),
        (None, true) => {
            let text = text(value)?;
            a_uuid(&text).map_or_else(|| Ok(DocId::string(&text)?), Ok)
        }
        (Some("uuid" | "string"), false) => Err(bad_id("one of this type is a string")),
        (Some(_), _) => Err(bad_id("its type is none of u64, uuid, string")),
    }
}

#[cfg(test)]
mod tests {
    use base::words::Lsn;

    use super::*;

    fn of(id: DocId, expires_at: Option<WallMs>, text: &str) -> ImportLine {
        ImportLine { id, expires_at, document: Document::parse(text.as_bytes()).unwrap() }
    }

    #[test]
    fn lines_that_anybody_may_write_are_read() {
        let uuid = "67e55044-10b1-426f-9247-bb680e5fe0c8";
        let a_uuid = DocId::Uuid(uuid::Uuid::try_parse(uuid).unwrap());
        let string = |text: &str| DocId::string(text).unwrap();
        let cases = [
            (
                r#"{"id":1,"document":{"a":[1,"}"]}}"#.to_owned(),
                of(DocId::U64(1), None, r#"{"a":[1,"}"]}"#),
            ),
            (r#" { "document" : 1.50 , "id" : 0 } "#.to_owned(), of(DocId::U64(0), None, "1.50")),
            (
                r#"{"id":"18446744073709551615","id_type":"u64","document":null}"#.to_owned(),
                of(DocId::U64(u64::MAX), None, "null"),
            ),
            (format!(r#"{{"id":"{uuid}","document":"x"}}"#), of(a_uuid.clone(), None, "\"x\"")),
            (format!(r#"{{"id":"{uuid}","id_type":"uuid","document":1}}"#), of(a_uuid, None, "1")),
            (
                format!(r#"{{"id":"{uuid}","id_type":"string","document":1}}"#),
                of(string(uuid), None, "1"),
            ),
            (r#"{"id":"7","document":1}"#.to_owned(), of(string("7"), None, "1")),
            (
                r#"{"id":"\u0061\ud83d\ude00\/","document":1}"#.to_owned(),
                of(string("a😀/"), None, "1"),
            ),
            (
                r#"{"id":1,"expires_at":5,"revision":9,"document":[]}"#.to_owned(),
                of(DocId::U64(1), Some(WallMs(5)), "[]"),
            ),
            (
                r#"{"id":1,"expires_at":null,"text":"{\n\"a\\n\":\t1}"}"#.to_owned(),
                of(DocId::U64(1), None, "{\n\"a\\n\":\t1}"),
            ),
        ];
        for (line, expected) in cases {
            assert_eq!(
                ImportLine::parse(line.as_bytes()).map_err(|e| e.to_string()),
                Ok(expected),
                "{line}"
            );
        }
    }

    #[test]
    fn lines_that_are_not_well_formed_are_refused() {
        let document = r#""document":1"#;
        for line in [
            "",
            "{",
            "{}",
            "[]",
            "1",
            "null",
            r#"{"id":1}"#,
            r#"{"document":1}"#,
            r#"{"id":1,"document":}"#,
            r#"{"id":1,"document":1"#,
            r#"{"id":1,"document":1}}"#,
            r#"{"id":1 "document":1}"#,
            r#"{"id":1,"document":{]}"#,
            r#"{"id":1,"document":[1,]}"#,
            r#"{"id":1,"document":1,}"#,
            r#"{"id":1,"document":{"a":1,"a":2}}"#,
            r#"{"id":1,"document":1,"text":"1"}"#,
            r#"{"id":1,"text":1}"#,
            r#"{"id":1,"text":"{"}"#,
            r#"{"id":1,"id":1,"document":1}"#,
            r#"{"id":1,"document":1,"expire_at":3}"#,
            r#"{"id":1,"document":nul}"#,
            r#"{"id":1,"document":1,"revision":-1}"#,
            r#"{"id":1,"document":1,"expires_at":1.5}"#,
            r#"{"id":1,"document":"\q"}"#,
        ] {
            assert!(ImportLine::parse(line.as_bytes()).is_err(), "{line}");
        }
        for id in [
            "-1",
            "01",
            "1.0",
            "1e3",
            "18446744073709551616",
            "null",
            "true",
            "[1]",
            r#""""#,
            r#""a\u0000""#,
            r#""\ud800""#,
            r#""a"#,
            r#""x","id_type":"u64""#,
            r#""1","id_type":"int""#,
            r#"1,"id_type":"string""#,
            r#"1,"id_type":"uuid""#,
            r#""67E55044-10B1-426F-9247-BB680E5FE0C8","id_type":"uuid""#,
        ] {
            let line = format!("{{\"id\":{id},{document}}}");
            assert!(ImportLine::parse(line.as_bytes()).is_err(), "{line}");
        }
    }

    #[test]
    fn what_is_written_is_one_line_and_read_back_exactly() {
        let deep = format!("{}1{}", "[".repeat(128), "]".repeat(128));
        let breaks = "{\r\n\t\"a\\\"\\n\": [1 ,\n2.50e+007]\n}";
        for text in
            ["1", "-0.0", " {\"a\" :\t1} ", "\"\\u0000\\/é\u{2028}\"", breaks, &deep, "\n1\r"]
        {
            for id in [DocId::U64(u64::MAX), DocId::string("a\"\\b é").unwrap()] {
                let document = Document::parse(text.as_bytes()).unwrap();
                let expires_at = Some(WallMs(7));
                let stored = Stored { revision: Lsn(3), expires_at, document: document.clone() };
                let mut line = Vec::new();
                write_export_line(&mut line, &id, &stored);
                let (end, inner) = line.split_last().unwrap();
                assert!(*end == b'\n' && !inner.contains(&b'\n') && !inner.contains(&b'\r'));
                assert_eq!(
                    ImportLine::parse(inner).unwrap(),
                    ImportLine { id, expires_at, document },
                    "{text:?}"
                );
            }
        }
    }

    #[test]
    fn the_longest_document_fits_on_a_line() {
        let mut text = vec![b'\n'; DOCUMENT_BYTES_MAX];
        *text.last_mut().unwrap() = b'1';
        let document = Document::parse(&text).unwrap();
        let stored =
            Stored { revision: Lsn(u64::MAX), expires_at: None, document: document.clone() };
        let id = DocId::string(&"\"".repeat(64)).unwrap();
        let mut line = Vec::new();
        write_export_line(&mut line, &id, &stored);
        assert!(line.len() <= LINE_BYTES_MAX);
        line.pop();
        assert_eq!(
            ImportLine::parse(&line).unwrap(),
            ImportLine { id, expires_at: None, document }
        );
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over_and_the_next_one_read() {
        let mut input = vec![b'x'; LINE_BYTES_MAX + 1];
        input.extend_from_slice(b"\nab\n\nc");
        let mut input = std::io::BufReader::with_capacity(1000, input.as_slice());
        let mut line = Vec::new();
        let too_long = Read::TooLong(LINE_BYTES_MAX as u64 + 2);
        assert_eq!(read(&mut input, &mut line).unwrap(), too_long);
        assert!(line.capacity() <= 2 * LINE_BYTES_MAX);
        let mut lines = Vec::new();
        while let Read::Whole(len) = read(&mut input, &mut line).unwrap() {
            assert!(len >= line.len() as u64);
            lines.push(line.clone());
        }
        assert_eq!(lines, [&b"ab"[..], b"", b"c"]);
    }
}
