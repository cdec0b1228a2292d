//! Text as search sees it: tokens, queries over them, and how a query is read from what a user
//! typed.
//!
//! A token is a longest run of ASCII letters, digits, `_`, and letters and digits of other scripts,
//! compared without case. The rule is part of the format of sealed blocks, whose filters hold
//! tokens: changing it needs a new version of theirs. Scripts that set no blanks between words make
//! long tokens, which are found by their beginnings.

mod parse;
mod tokens;

pub use parse::{QUERY_BYTES_MAX, TERMS_MAX};
pub(crate) use tokens::{fold, folded_tokens, tokens};

/// A search for text. Made by [`TextQuery::parse`] from whatever a user types.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TextQuery {
    root: Option<Node>,
    is_cut: bool,
}

/// A part of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    Phrase(Phrase),
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
}

/// Tokens that follow each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Phrase {
    /// Folded; at least one.
    pub(crate) tokens: Vec<Box<str>>,
    /// Whether the last token is a beginning.
    pub(crate) is_prefix: bool,
}

impl TextQuery {
    /// Reads what a user typed. Nothing is an error: what has no meaning as an operator is a word,
    /// and what has no letter or digit is nothing.
    ///
    /// | typed | finds |
    /// |---|---|
    /// | `disk full` | both words, anywhere |
    /// | `"disk full"` | the words in this order, with nothing between |
    /// | `10.0.0.1` | the same: its parts in this order |
    /// | `disk*` | words that begin so; after a phrase, its last word |
    /// | `disk OR full` | either; binds less than blanks and `AND` |
    /// | `-full`, `NOT full` | what does not have it |
    /// | `(disk OR tape) full` | groups |
    #[must_use]
    pub fn parse(typed: &str) -> Self {
        parse::parse(typed)
    }

    /// Whether the query asks for nothing, and so finds everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.root.is_none()
    }

    /// Whether what was typed was longer than [`QUERY_BYTES_MAX`] or had more than [`TERMS_MAX`]
    /// terms, so that the rest of it is not part of the query.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    pub(crate) fn root(&self) -> Option<&Node> {
        self.root.as_ref()
    }

    /// Whether a message is found.
    #[must_use]
    pub fn matches(&self, message: &str) -> bool {
        self.root.as_ref().is_none_or(|root| root.matches(message))
    }
}

impl Node {
    pub(crate) fn matches(&self, message: &str) -> bool {
        match self {
            Self::Phrase(phrase) => phrase.matches(message),
            Self::And(nodes) => nodes.iter().all(|node| node.matches(message)),
            Self::Or(nodes) => nodes.iter().any(|node| node.matches(message)),
            Self::Not(node) => !node.matches(message),
        }
    }

    /// Whether something with only the tokens that `has` knows may be found. `has` may be wrong by
    /// saying yes, never by saying no.
    pub(crate) fn may_match<E>(
        &self,
        has: &mut impl FnMut(&str) -> Result<bool, E>,
    ) -> Result<bool, E> {
        match self {
            Self::Phrase(phrase) => {
                for token in phrase.whole() {
                    if !has(token)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Self::And(nodes) => {
                for node in nodes {
                    if !node.may_match(has)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Self::Or(nodes) => {
                for node in nodes {
                    if node.may_match(has)? {
                        return Ok(true);
                    }
                }
                Ok(nodes.is_empty())
            }
            Self::Not(_) => Ok(true),
        }
    }
}

impl Phrase {
    fn matches(&self, message: &str) -> bool {
        let mut rest = tokens(message);
        loop {
            let mut ahead = rest.clone();
            if rest.next().is_none() {
                return false;
            }
            let last = self.tokens.len() - 1;
            let fits = |(at, wanted): (usize, &str)| {
                ahead.next().is_some_and(|found| {
                    if self.is_prefix && at == last {
                        begins_with(found, wanted)
                    } else {
                        equals(found, wanted)
                    }
                })
            };
            if self.tokens.iter().map(|token| &**token).enumerate().all(fits) {
                return true;
            }
        }
    }

    /// The tokens that a message must have as they are.
    pub(crate) fn whole(&self) -> impl Iterator<Item = &str> {
        let count = self.tokens.len() - usize::from(self.is_prefix);
        self.tokens[..count].iter().map(|token| &**token)
    }
}

/// Whether a token of a message is the folded token `wanted`.
fn equals(found: &str, wanted: &str) -> bool {
    // Nothing but ASCII folds to ASCII, so bytes decide when the query is ASCII.
    if wanted.is_ascii() {
        return found.eq_ignore_ascii_case(wanted);
    }
    found.chars().map(fold).eq(wanted.chars())
}

fn begins_with(found: &str, wanted: &str) -> bool {
    if wanted.is_ascii() {
        let head = found.as_bytes().get(..wanted.len());
        return head.is_some_and(|head| head.eq_ignore_ascii_case(wanted.as_bytes()));
    }
    let mut found = found.chars().map(fold);
    wanted.chars().all(|c| found.next() == Some(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(typed: &str, found: &[&str], not_found: &[&str]) {
        let query = TextQuery::parse(typed);
        for message in found {
            assert!(query.matches(message), "{typed:?} finds {message:?}: {query:?}");
        }
        for message in not_found {
            assert!(!query.matches(message), "{typed:?} does not find {message:?}: {query:?}");
        }
    }

    #[test]
    fn words_are_found_anywhere_and_whatever_their_case() {
        check("disk FULL", &["Full: the Disk", "disk full"], &["disk", "diskfull", "full disks"]);
        check("straße", &["die STRASSE Straße", "STRAßE"], &["strasse"]);
        check("каБель", &["кабель оборван", "КАБЕЛЬ"], &["кабели"]);
    }

    #[test]
    fn phrases_keep_their_order_and_parts_of_words_are_phrases() {
        check("\"disk full\"", &["the disk, full"], &["full disk", "disk is full"]);
        check("10.0.0.1", &["from 10.0.0.1:80"], &["from 10.0.1.0", "10 0 0 2 1"]);
        check("\"a a b\"", &["a a a b"], &["a b a b"]);
    }

    #[test]
    fn prefixes_stand_for_words_that_begin_so() {
        check("conn*", &["connection lost", "a CONN"], &["reconnect"]);
        check("\"connection ref\"*", &["Connection refused"], &["connection was refused"]);
        check("ка*", &["КАБЕЛЬ"], &["бка"]);
    }

    #[test]
    fn operators_combine() {
        check("disk OR tape", &["disk", "tape"], &["net"]);
        check("disk -full", &["disk ok"], &["disk full"]);
        check("NOT full", &["", "disk"], &["full"]);
        check("(disk OR tape) full", &["tape full"], &["tape", "full"]);
        check("a b OR c d", &["a b", "c d"], &["a c", "b d"]);
    }

    #[test]
    fn letters_whose_lower_case_is_ascii_are_not_ascii() {
        // U+212A is the sign for kelvin, whose lower case is k; U+0130 becomes an i and a dot.
        check("k", &["K", "k"], &["\u{212a}"]);
        check("\u{212a}", &["\u{212a}"], &["k"]);
        check("i", &["I"], &["\u{130}"]);
        check("\u{130}", &["\u{130}"], &["i"]);
    }
}
