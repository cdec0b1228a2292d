//! Names of objects: parts joined by `/`, in characters that every store and every file system takes as they are.

use std::fmt;
use std::sync::Arc;

use super::error::{StoreError, StoreErrorKind};

/// The longest name, in bytes. S3 takes 1,024 with the prefix of the bucket's URL.
pub const NAME_BYTES_MAX: usize = 512;
/// The longest part of a name, in bytes. File systems take 255.
pub const PART_BYTES_MAX: usize = 128;

/// The name of an object or of a folder of objects.
///
/// One or more parts of `A-Za-z0-9_.-`, joined by `/`; no part is empty or begins with `.`, so that no name leaves
/// the folder of its store and files that begin with `.` are the store's own. Cheap to clone; in the order of bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

fn is_part(part: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    !part.is_empty()
        && part.len() <= PART_BYTES_MAX
        && !part.starts_with('.')
        && part.bytes().all(is_plain)
}

impl Name {
    /// The name that `text` is.
    ///
    /// # Errors
    /// [`StoreErrorKind::InvalidName`] when it is none.
    pub fn new(text: &str) -> Result<Self, StoreError> {
        if text.len() <= NAME_BYTES_MAX && text.split('/').all(is_part) {
            return Ok(Self(text.into()));
        }
        let reason = "not a name of an object: parts of A-Za-z0-9_.- joined by `/`";
        Err(StoreError::new(StoreErrorKind::InvalidName, text, reason))
    }

    /// The name of what is called `rest` in this folder.
    ///
    /// # Errors
    /// As [`Name::new`].
    pub fn join(&self, rest: &str) -> Result<Self, StoreError> {
        Self::new(&format!("{self}/{rest}"))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, shared.
    #[must_use]
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }

    /// What this is called in `folder`, when it is below it.
    #[must_use]
    pub fn below(&self, folder: &Name) -> Option<&str> {
        self.0.strip_prefix(folder.as_str())?.strip_prefix('/')
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_leave_the_folder_or_hide_in_it_are_refused() {
        let long_part = "x".repeat(PART_BYTES_MAX + 1);
        let long = vec!["x"; NAME_BYTES_MAX].join("/");
        for text in [
            "", "/", "a/", "/a", "a//b", ".", "..", "a/../b", ".parts", "a/.b", "a b", "ä", "a\\b",
            "a\0",
        ]
        .into_iter()
        .chain([long_part.as_str(), long.as_str()])
        {
            let error = Name::new(text).unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::InvalidName, "{text:?}");
        }
        for text in ["a", "a/b-c/d_e.f", "0/1", "a..b"] {
            assert_eq!(Name::new(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn a_name_is_below_its_folders_and_no_others() {
        let name = Name::new("a/b/c").unwrap();
        let below = |folder: &str| name.below(&Name::new(folder).unwrap()).map(str::to_owned);
        assert_eq!(below("a").as_deref(), Some("b/c"));
        assert_eq!(below("a/b").as_deref(), Some("c"));
        assert_eq!((below("a/b/c"), below("a/bb"), below("b")), (None, None, None));
    }
}
