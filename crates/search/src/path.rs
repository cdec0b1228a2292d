//! The path of an attribute: the keys that lead to it from the top of a document.
//!
//! Written `a.b`, `$.a.b` or, by RFC 6901, `/a/b`; the last form alone can spell a key that is empty or has
//! a dot in it. Arrays are not stepped into. Names at the top that start with `$` are reserved: answers have
//! `$dist` beside the attributes.

use std::borrow::Borrow;
use std::fmt;

use crate::error::{Result, SearchError};

/// Most keys of a path.
pub const PATH_KEYS_MAX: usize = 16;
/// Most bytes of all keys of a path together.
pub const PATH_BYTES_MAX: usize = 512;

/// The keys that lead to an attribute; at least one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(Vec<Box<str>>);

impl Path {
    /// Reads any of the three forms.
    ///
    /// # Errors
    /// [`SearchError::Schema`] that says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self> {
        let refuse = |reason: &'static str| Err(SearchError::schema(text, reason));
        if let Some(pointer) = text.strip_prefix('/') {
            let Some(keys) = pointer.split('/').map(unescaped).collect() else {
                return refuse("after `~` in a path must come 0 or 1; write `~` itself as ~0");
            };
            return Self::from_keys(keys);
        }
        let dotted = match text.strip_prefix('$') {
            Some(rest) => match rest.strip_prefix('.') {
                Some(rest) => rest,
                None => return refuse("names that start with `$` are reserved; take another"),
            },
            None => text,
        };
        if dotted.split('.').any(str::is_empty) {
            return refuse("a key in a path is empty; write the path as /a/b if that is meant");
        }
        Self::from_keys(dotted.split('.').map(Box::from).collect())
    }

    /// A path of these keys.
    ///
    /// # Errors
    /// [`SearchError::Schema`] for no keys, too many or too long ones, and a reserved name.
    pub fn from_keys(keys: Vec<Box<str>>) -> Result<Self> {
        let path = Self(keys);
        let refuse = |reason: String| Err(SearchError::schema(&path, reason));
        match path.0.first() {
            None => return refuse("a path has at least one key".to_owned()),
            Some(first) if first.starts_with('$') => {
                return refuse("names that start with `$` are reserved; take another".to_owned());
            }
            Some(_) => {}
        }
        if path.0.len() > PATH_KEYS_MAX {
            return refuse(format!(
                "a path has at most {PATH_KEYS_MAX} keys; flatten the document"
            ));
        }
        if path.0.iter().map(|key| key.len()).sum::<usize>() > PATH_BYTES_MAX {
            return refuse(format!("the keys of a path have at most {PATH_BYTES_MAX} bytes"));
        }
        Ok(path)
    }

    /// Its keys.
    #[must_use]
    pub fn keys(&self) -> &[Box<str>] {
        &self.0
    }

    /// Whether it is `id`: the key of the document, which every document has.
    #[must_use]
    pub fn is_id(&self) -> bool {
        matches!(self.0.as_slice(), [key] if &**key == "id")
    }
}

impl Borrow<[Box<str>]> for Path {
    fn borrow(&self) -> &[Box<str>] {
        &self.0
    }
}

/// A key of RFC 6901; none for a `~` that escapes nothing.
fn unescaped(key: &str) -> Option<Box<str>> {
    let mut parts = key.split('~');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push(match part.as_bytes().first() {
            Some(b'0') => '~',
            Some(b'1') => '/',
            _ => return None,
        });
        out.push_str(part.get(1..).unwrap_or_default());
    }
    Some(out.into())
}

/// The dotted form where it can spell the path, otherwise the one of RFC 6901: both read back.
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_plain = |key: &str| !key.is_empty() && !key.contains('.');
        let begins_well = self.0.first().is_some_and(|key| !key.starts_with('/'));
        if begins_well && self.0.iter().all(|key| is_plain(key)) {
            return f.write_str(&self.0.join("."));
        }
        self.0
            .iter()
            .try_for_each(|key| write!(f, "/{}", key.replace('~', "~0").replace('/', "~1")))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_three_forms_name_the_same_attribute() {
        for text in ["a.b", "$.a.b", "/a/b"] {
            assert_eq!(Path::parse(text).unwrap().to_string(), "a.b");
        }
        assert_eq!(Path::parse("/a.b/~0~1").unwrap().to_string(), "/a.b/~0~1");
        assert_eq!(Path::parse("/").unwrap().keys(), [Box::from("")]);
        assert!(Path::parse("id").unwrap().is_id() && !Path::parse("a.id").unwrap().is_id());
    }

    #[test]
    fn texts_that_are_no_paths_are_refused() {
        for text in ["", "$", "$dist", "$a.b", ".a", "a.", "a..b", "/$a", "/~2", "$.", "$.$a"] {
            assert!(Path::parse(text).is_err(), "{text}");
        }
        assert!(Path::parse(&["k"; PATH_KEYS_MAX].join(".")).is_ok());
        assert!(Path::parse(&["k"; PATH_KEYS_MAX + 1].join(".")).is_err());
        assert!(Path::parse(&"k".repeat(PATH_BYTES_MAX + 1)).is_err());
    }

    proptest! {
        #[test]
        fn every_path_reads_back_from_its_text(keys in prop::collection::vec("[a-c./~$]{0,4}", 1..5)) {
            let keys: Vec<Box<str>> = keys.into_iter().map(Box::from).collect();
            if let Ok(path) = Path::from_keys(keys) {
                prop_assert_eq!(Path::parse(&path.to_string()), Ok(path));
            }
        }
    }
}
