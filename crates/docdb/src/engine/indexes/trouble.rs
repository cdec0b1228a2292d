//! What an error of an index means for it.

use std::io;

use base::error::{Code, Coded as _};
use search::attributes::AttributesError;
use search::documents::DocumentsError;
use search::index::IndexError;
use search::text::TextError;
use search::vector::VectorError;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// What is on disk is of no use: it is made again.
    Useless,
    /// It may pass: it is tried again.
    MayPass,
    /// Somebody must do something: another server has the index, or a newer one wrote it.
    Hopeless,
}

/// What an error of opening, flushing or asking an index means.
pub(super) fn of(error: &IndexError) -> Trouble {
    if let Some(kind) = io_kind(error) {
        let is_gone = matches!(
            kind,
            io::ErrorKind::NotFound | io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
        );
        return if is_gone { Trouble::Useless } else { Trouble::MayPass };
    }
    let code = error.code();
    let useless = [
        Code::CorruptRecord,
        Code::CrcMismatch,
        Code::FileOpen,
        Code::IndexUpdating,
        Code::InvalidSchema,
        Code::Internal,
    ];
    let hopeless = [Code::Fenced, Code::Unsupported, Code::Forbidden];
    match () {
        () if useless.contains(&code) => Trouble::Useless,
        () if hopeless.contains(&code) => Trouble::Hopeless,
        () => Trouble::MayPass,
    }
}

/// What the system said, where it is its error.
fn io_kind(error: &IndexError) -> Option<io::ErrorKind> {
    match error {
        IndexError::Segment { source, .. } => io_kind(source),
        IndexError::Read(error)
        | IndexError::Attributes(AttributesError::Read(error))
        | IndexError::Attributes(AttributesError::Text(TextError::Read(error)))
        | IndexError::Text(TextError::Read(error))
        | IndexError::Vector(VectorError::Read(error))
        | IndexError::Documents(DocumentsError::Read(error)) => Some(error.kind()),
        IndexError::Search(_)
        | IndexError::Vector(_)
        | IndexError::Store(_)
        | IndexError::Manifest(_)
        | IndexError::Outdated
        | IndexError::Damaged { .. }
        | IndexError::Attributes(_)
        | IndexError::Text(_)
        | IndexError::Documents(_)
        | IndexError::Disorder { .. }
        | IndexError::Behind { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use search::storage::{StoreError, StoreErrorKind};

    use super::*;

    #[test]
    fn damage_is_made_good_and_an_outage_is_waited_out() {
        let read = |kind: io::ErrorKind| IndexError::Segment {
            segment: "1".into(),
            source: Box::new(IndexError::Text(TextError::Read(Arc::new(kind.into())))),
        };
        let store = |kind| IndexError::Store(StoreError::new(kind, "a", "why"));
        for (error, trouble) in [
            (IndexError::Outdated, Trouble::Useless),
            (IndexError::Damaged { what: "x".into() }, Trouble::Useless),
            (read(io::ErrorKind::NotFound), Trouble::Useless),
            (read(io::ErrorKind::TimedOut), Trouble::MayPass),
            (store(StoreErrorKind::NotFound), Trouble::Useless),
            (store(StoreErrorKind::Damaged), Trouble::Useless),
            (store(StoreErrorKind::Unavailable), Trouble::MayPass),
            (store(StoreErrorKind::Full), Trouble::MayPass),
            (store(StoreErrorKind::Denied), Trouble::Hopeless),
        ] {
            assert_eq!(of(&error), trouble, "{error}");
        }
    }
}
