//! Why a patch is refused, where, and under which code.

use std::fmt;

use base::document::{JsonError, JsonErrorKind};
use base::error::{Code, Coded};
use base::limits::{DOCUMENT_BYTES_MAX, DOCUMENT_DEPTH_MAX};

use super::{OPERATIONS_MAX, POINTER_BYTES_MAX, WORK_BYTES_MAX};

/// What is wrong with a patch, or why it does not fit a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum PatchErrorKind {
    /// The patch is not JSON that docdb accepts.
    #[error("the patch is not valid JSON: {0}")]
    Json(JsonError),
    /// The patch is JSON but not an array.
    #[error("a patch is an array of operations")]
    NotAnArray,
    /// An element of the patch is not an object.
    #[error("an operation is an object with `op`, `path` and `value` or `from`")]
    NotAnObject,
    /// An operation lacks a member.
    #[error("the operation lacks the member `{0}`")]
    MissingMember(&'static str),
    /// A member that must be a string is something else.
    #[error("the member `{0}` must be a string")]
    NotAString(&'static str),
    /// No operation has this name.
    #[error("unknown operation; use set, delete, insert, add, remove, replace, move, copy or test")]
    UnknownOperation,
    /// More operations than a patch may have.
    #[error("a patch has at most {OPERATIONS_MAX} operations")]
    TooManyOperations,
    /// A pointer that is not empty begins with something else than a slash.
    #[error("a path is empty or begins with `/`")]
    PointerWithoutSlash,
    /// A tilde in a pointer that is followed by neither 0 nor 1.
    #[error("write `~` in a path as `~0` and `/` within a key as `~1`")]
    PointerEscape,
    /// A pointer of too many bytes.
    #[error("a path has at most {POINTER_BYTES_MAX} bytes")]
    PointerTooLong,
    /// A pointer of more tokens than documents nest.
    #[error("a path has at most {DOCUMENT_DEPTH_MAX} steps")]
    PointerTooDeep,
    /// There is nothing at the path.
    #[error("there is no value here")]
    NotFound,
    /// The path goes on where there is neither array nor object.
    #[error("the path goes on, but this value is neither an array nor an object")]
    NotAContainer,
    /// A token that is no index, where the value is an array.
    #[error("this value is an array: an index is a number without leading zeros, or `-`")]
    NotAnIndex,
    /// An index past the place after the last element.
    #[error("the index is past the end of the array, len={len}")]
    PastTheEnd {
        /// How many elements the array has.
        len: usize,
    },
    /// An insert finds the member there already.
    #[error("there is a value here already; `set` replaces it")]
    Exists,
    /// A document is a value: it cannot be taken out of itself.
    #[error("the whole document cannot be removed by a patch")]
    RootRemoved,
    /// A move into the value that is moved.
    #[error("a value cannot be moved into itself")]
    IntoItself,
    /// The document would nest too deep after this operation.
    #[error("arrays and objects may nest at most {DOCUMENT_DEPTH_MAX} deep")]
    TooDeep,
    /// Copies and tests of one patch handle too many bytes.
    #[error(
        "the values that a patch copies and tests add up to at most {WORK_BYTES_MAX} bytes; \
         use several patches"
    )]
    TooMuchWork,
    /// The patched document would be too large.
    #[error("a document has at most {DOCUMENT_BYTES_MAX} bytes; this one would have {bytes}")]
    ResultTooLarge {
        /// What it would have.
        bytes: usize,
    },
    /// A test found another value.
    #[error("the test failed: there is another value here")]
    TestFailed,
}

/// Why a patch is refused, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind}{}", Place(.operation, .path))]
pub struct PatchError {
    /// What is wrong.
    pub kind: PatchErrorKind,
    /// Which operation, counted from 0; none when it is the patch or the result as a whole.
    pub operation: Option<usize>,
    /// Where: the operation's pointer (of `move` and `copy` the one that is at fault), or its
    /// beginning, up to the step that cannot be taken. None when the operation has no pointer yet.
    pub path: Option<Box<str>>,
}

impl PatchError {
    pub(super) fn of_patch(kind: PatchErrorKind) -> Self {
        Self { kind, operation: None, path: None }
    }
}

/// The end of an error's text.
struct Place<'a>(&'a Option<usize>, &'a Option<Box<str>>);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(operation) = self.0 {
            write!(f, ", operation={operation}")?;
        }
        if let Some(path) = self.1 {
            write!(f, ", path={path:?}")?;
        }
        Ok(())
    }
}

impl Coded for PatchError {
    /// [`Code::ConditionFailed`] for a failed `test`, because the patch is fine and the document
    /// is another; [`Code::PayloadTooLarge`] for every limit on bytes and on operations;
    /// [`Code::InvalidPatch`] for the rest, bytes that are no JSON included.
    fn code(&self) -> Code {
        use PatchErrorKind as Kind;
        match self.kind {
            Kind::TestFailed => Code::ConditionFailed,
            Kind::TooManyOperations | Kind::TooMuchWork | Kind::ResultTooLarge { .. } => {
                Code::PayloadTooLarge
            }
            Kind::Json(JsonError { kind: JsonErrorKind::TooLarge, .. }) => Code::PayloadTooLarge,
            Kind::Json(_)
            | Kind::NotAnArray
            | Kind::NotAnObject
            | Kind::MissingMember(_)
            | Kind::NotAString(_)
            | Kind::UnknownOperation
            | Kind::PointerWithoutSlash
            | Kind::PointerEscape
            | Kind::PointerTooLong
            | Kind::PointerTooDeep
            | Kind::NotFound
            | Kind::NotAContainer
            | Kind::NotAnIndex
            | Kind::PastTheEnd { .. }
            | Kind::Exists
            | Kind::RootRemoved
            | Kind::IntoItself
            | Kind::TooDeep => Code::InvalidPatch,
        }
    }
}
