//! The operations, and reading them from the JSON array that a client sends.

use base::document::{Decoded, Document};

use super::text::{Entries, Span, Text};
use super::{OPERATIONS_MAX, POINTER_BYTES_MAX, PatchError, PatchErrorKind as Kind, Pointer};

/// One step of a patch. The first three are docdb's, the others RFC 6902's, whose `remove` is
/// [`Operation::Delete`] by another name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Makes the value at the path this one. Parents that are missing are made, as objects. An
    /// array element is replaced; at an index equal to the length, and at `-`, it is appended.
    Set {
        /// Where.
        path: Pointer,
        /// What.
        value: Document,
    },
    /// Removes a member or an element, which must exist. Also `remove`.
    Delete {
        /// Where.
        path: Pointer,
    },
    /// Puts an element into an array, before the one that has this index (`-`, or the length:
    /// after the last), or adds a member, which must be absent. The parent must exist.
    Insert {
        /// Where.
        path: Pointer,
        /// What.
        value: Document,
    },
    /// Puts an element into an array as [`Operation::Insert`] does, or adds or replaces a member.
    Add {
        /// Where.
        path: Pointer,
        /// What.
        value: Document,
    },
    /// Replaces a value, which must exist.
    Replace {
        /// Where.
        path: Pointer,
        /// What.
        value: Document,
    },
    /// Removes the value at `from` and adds it at `path` as [`Operation::Add`] does. The path
    /// counts once the value is removed.
    Move {
        /// From where.
        from: Pointer,
        /// To where: not within the value itself.
        path: Pointer,
    },
    /// Adds the value at `from` at `path` too, as [`Operation::Add`] does.
    Copy {
        /// From where.
        from: Pointer,
        /// To where.
        path: Pointer,
    },
    /// Goes on only if the value at the path is this one: numbers by value, exactly; strings once
    /// escapes are decoded; the members of objects in any order.
    Test {
        /// Where.
        path: Pointer,
        /// What must be there.
        value: Document,
    },
}

impl Operation {
    /// Where it works.
    #[must_use]
    pub fn path(&self) -> &Pointer {
        match self {
            Self::Set { path, .. }
            | Self::Delete { path }
            | Self::Insert { path, .. }
            | Self::Add { path, .. }
            | Self::Replace { path, .. }
            | Self::Move { path, .. }
            | Self::Copy { path, .. }
            | Self::Test { path, .. } => path,
        }
    }
}

/// Reads a JSON array of operations.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<Operation>, PatchError> {
    base::document::validate(bytes).map_err(|e| PatchError::of_patch(Kind::Json(e)))?;
    let text = Text::new(bytes);
    let (_, span, _) = text.parts();
    let entries = elements(span).ok_or(PatchError::of_patch(Kind::NotAnArray))?;
    let mut operations = Vec::new();
    for (number, entry) in entries.enumerate() {
        if number == OPERATIONS_MAX {
            return Err(PatchError::of_patch(Kind::TooManyOperations));
        }
        let members = Members::read(entry.value);
        let operation = members.as_ref().map_err(|kind| *kind).and_then(Members::operation);
        operations.push(operation.map_err(|kind| PatchError {
            kind,
            operation: Some(number),
            path: members.ok().and_then(|members| text_of(members.path?)).and_then(shown),
        })?);
    }
    Ok(operations)
}

/// A path as an error shows it, unless it is too long to be one.
fn shown(path: String) -> Option<Box<str>> {
    (path.len() <= POINTER_BYTES_MAX).then(|| path.into())
}

fn elements(span: Span<'_>) -> Option<Entries<'_>> {
    span.entries().filter(|_| span.kind() == Some(super::text::Kind::Array))
}

/// The members of an operation that mean something; RFC 6902 says to ignore others.
#[derive(Debug, Default)]
struct Members<'s> {
    op: Option<Span<'s>>,
    path: Option<Span<'s>>,
    from: Option<Span<'s>>,
    value: Option<Span<'s>>,
}

impl<'s> Members<'s> {
    fn read(operation: Span<'s>) -> Result<Self, Kind> {
        if operation.kind() != Some(super::text::Kind::Object) {
            return Err(Kind::NotAnObject);
        }
        let mut members = Self::default();
        for entry in operation.entries().into_iter().flatten() {
            let place = if entry.key.is("op") {
                &mut members.op
            } else if entry.key.is("path") {
                &mut members.path
            } else if entry.key.is("from") {
                &mut members.from
            } else if entry.key.is("value") {
                &mut members.value
            } else {
                continue;
            };
            *place = Some(entry.value);
        }
        Ok(members)
    }

    fn operation(&self) -> Result<Operation, Kind> {
        let op = self.op.ok_or(Kind::MissingMember("op"))?;
        let op = text_of(op).ok_or(Kind::NotAString("op"))?;
        let path = pointer(self.path, "path")?;
        Ok(match op.as_str() {
            "set" => Operation::Set { path, value: self.value()? },
            "delete" | "remove" => Operation::Delete { path },
            "insert" => Operation::Insert { path, value: self.value()? },
            "add" => Operation::Add { path, value: self.value()? },
            "replace" => Operation::Replace { path, value: self.value()? },
            "move" => Operation::Move { from: pointer(self.from, "from")?, path },
            "copy" => Operation::Copy { from: pointer(self.from, "from")?, path },
            "test" => Operation::Test { path, value: self.value()? },
            _ => return Err(Kind::UnknownOperation),
        })
    }

    fn value(&self) -> Result<Document, Kind> {
        let span = self.value.ok_or(Kind::MissingMember("value"))?;
        Document::parse(span.bytes()).map_err(Kind::Json)
    }
}

fn pointer(member: Option<Span<'_>>, name: &'static str) -> Result<Pointer, Kind> {
    let span = member.ok_or(Kind::MissingMember(name))?;
    let text = text_of(span).ok_or(Kind::NotAString(name))?;
    Pointer::parse(&text)
}

/// The decoded text of a value, if it is a string.
fn text_of(span: Span<'_>) -> Option<String> {
    let raw = span.bytes().strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let decoded = if raw.contains(&b'\\') { Decoded::new(raw).collect() } else { raw.to_vec() };
    String::from_utf8(decoded).ok()
}
