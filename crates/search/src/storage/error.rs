//! What can go wrong with a store, and which frozen code each is.

use std::fmt;
use std::io;
use std::sync::Arc;

use base::error::{Category, Code, Coded};

/// What went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StoreErrorKind {
    /// There is an object of this name.
    AlreadyExists,
    /// There is no such object, or no such bucket.
    NotFound,
    /// The text is not a name of an object.
    InvalidName,
    /// The store cannot be reached or is overloaded. What was asked for may have happened.
    Unavailable,
    /// There was no answer in time. What was asked for may have happened.
    Timeout,
    /// The credentials do not allow it.
    Denied,
    /// An object is not what it should be.
    Damaged,
    /// There is no room.
    Full,
    /// The store does not do what docdb needs of one.
    Unfit,
    /// Names could not be made durable: what was asked for is there now and may be gone after a power loss. The
    /// store takes no further change until it is opened again.
    DurabilityUnknown,
    /// It could not be read, for another reason.
    Read,
    /// It could not be written, for another reason.
    Write,
}

impl StoreErrorKind {
    /// The kind in words, as errors begin with it.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::AlreadyExists => "the object exists already",
            Self::NotFound => "the object is not there",
            Self::InvalidName => "the name is not valid",
            Self::Unavailable => "the store is not available",
            Self::Timeout => "the store does not answer",
            Self::Denied => "the store refuses access",
            Self::Damaged => "the object is damaged",
            Self::Full => "the store is full",
            Self::Unfit => "the store cannot be used",
            Self::DurabilityUnknown => "the change may not last",
            Self::Read => "the object cannot be read",
            Self::Write => "the object cannot be written",
        }
    }

    const fn code(self) -> Code {
        match self {
            Self::AlreadyExists | Self::Write => Code::FileWrite,
            Self::NotFound => Code::FileOpen,
            Self::InvalidName => Code::InvalidName,
            Self::Unavailable | Self::Read => Code::FileRead,
            Self::Timeout => Code::Timeout,
            Self::Denied => Code::Forbidden,
            Self::Damaged => Code::CorruptRecord,
            Self::Full => Code::DiskFull,
            Self::Unfit => Code::Unsupported,
            Self::DurabilityUnknown => Code::DurabilityUnknown,
        }
    }

    const fn category(self) -> Category {
        match self {
            Self::AlreadyExists | Self::NotFound => Category::Permanent,
            Self::Unavailable => Category::Network,
            Self::InvalidName
            | Self::Timeout
            | Self::Denied
            | Self::Damaged
            | Self::Full
            | Self::Unfit
            | Self::DurabilityUnknown
            | Self::Read
            | Self::Write => self.code().category(),
        }
    }
}

/// What a store answers when it did not do what was asked, or cannot say whether it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreError {
    kind: StoreErrorKind,
    category: Category,
    object: Arc<str>,
    reason: Arc<str>,
}

impl StoreError {
    /// An error of this kind about this object.
    #[must_use]
    pub fn new(kind: StoreErrorKind, object: impl fmt::Display, reason: impl fmt::Display) -> Self {
        let (object, reason) = (object.to_string().into(), reason.to_string().into());
        Self { kind, category: kind.category(), object, reason }
    }

    /// What the system said about the file of an object; `otherwise` is the kind when the error has none of its own.
    #[must_use]
    pub fn io(otherwise: StoreErrorKind, object: impl fmt::Display, error: &io::Error) -> Self {
        let kind = if error.kind() == io::ErrorKind::NotFound {
            StoreErrorKind::NotFound
        } else if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
        {
            StoreErrorKind::Full
        } else {
            otherwise
        };
        let mut made = Self::new(kind, object, error);
        if kind == otherwise {
            made.category = Category::of_io(error);
        }
        made
    }

    /// What went wrong.
    #[must_use]
    pub const fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// What it is about: an object, a folder, or the store itself.
    #[must_use]
    pub fn object(&self) -> &str {
        &self.object
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} object=`{}`", self.kind.words(), self.reason, self.object)
    }
}

impl std::error::Error for StoreError {}

impl Coded for StoreError {
    fn code(&self) -> Code {
        self.kind.code()
    }

    fn category(&self) -> Category {
        self.category
    }
}

/// As readers of files take it; the store's error stays inside.
impl From<StoreError> for io::Error {
    fn from(error: StoreError) -> Self {
        let kind = match error.kind {
            StoreErrorKind::AlreadyExists => io::ErrorKind::AlreadyExists,
            StoreErrorKind::NotFound => io::ErrorKind::NotFound,
            StoreErrorKind::InvalidName => io::ErrorKind::InvalidInput,
            StoreErrorKind::Unavailable => io::ErrorKind::ConnectionAborted,
            StoreErrorKind::Timeout => io::ErrorKind::TimedOut,
            StoreErrorKind::Denied => io::ErrorKind::PermissionDenied,
            StoreErrorKind::Damaged => io::ErrorKind::InvalidData,
            StoreErrorKind::Full => io::ErrorKind::StorageFull,
            StoreErrorKind::Unfit => io::ErrorKind::Unsupported,
            StoreErrorKind::DurabilityUnknown | StoreErrorKind::Read | StoreErrorKind::Write => {
                io::ErrorKind::Other
            }
        };
        Self::new(kind, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_is_worth_another_try() {
        use StoreErrorKind as Kind;
        for (kind, code, retryable) in [
            (Kind::AlreadyExists, Code::FileWrite, false),
            (Kind::NotFound, Code::FileOpen, false),
            (Kind::InvalidName, Code::InvalidName, false),
            (Kind::Unavailable, Code::FileRead, true),
            (Kind::Timeout, Code::Timeout, true),
            (Kind::Denied, Code::Forbidden, false),
            (Kind::Damaged, Code::CorruptRecord, false),
            (Kind::Full, Code::DiskFull, false),
            (Kind::Unfit, Code::Unsupported, false),
            (Kind::DurabilityUnknown, Code::DurabilityUnknown, false),
            (Kind::Read, Code::FileRead, false),
            (Kind::Write, Code::FileWrite, false),
        ] {
            let error = StoreError::new(kind, "a/b", "why");
            assert_eq!((error.code(), error.retryable()), (code, retryable), "{error}");
            let inner = io::Error::from(error.clone());
            assert_eq!(inner.get_ref().and_then(|e| e.downcast_ref()), Some(&error));
        }
    }

    #[test]
    fn a_system_error_keeps_its_category() {
        let io = |kind: io::ErrorKind| StoreError::io(StoreErrorKind::Read, "a", &kind.into());
        assert_eq!(io(io::ErrorKind::NotFound).kind(), StoreErrorKind::NotFound);
        assert_eq!(io(io::ErrorKind::StorageFull).kind(), StoreErrorKind::Full);
        assert_eq!(io(io::ErrorKind::Interrupted).category(), Category::Transient);
        assert_eq!(io(io::ErrorKind::PermissionDenied).kind(), StoreErrorKind::Read);
    }
}
