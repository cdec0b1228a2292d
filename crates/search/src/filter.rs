//! Filters: which documents a query may return.
//!
//! A [`Filter`] is what a client wrote, read and bounded; a [`Compiled`] one has been checked against a
//! schema and answers for a row.
//!
//! Logic has two values. A value that is missing fulfils no test but `Eq null` and `In [null]`, and the
//! tests whose names begin with `Not` are exactly the opposite of those without it, so they hold for a
//! missing value: `NotEq 5` is everything that is not 5. So `Not`, `And` and `Or` follow De Morgan's
//! laws, and no third value has to be thought of. Comparing with null in any other way is refused.
//!
//! A string in a filter is a datetime or a UUID where the attribute is one. Numbers compare exactly,
//! whatever type holds them. `id` is an attribute that every document has.
//!
//! Start with [`Op`], then `parse.rs`, `compile.rs` and `evaluate.rs`.

mod compile;
mod evaluate;
mod parse;
mod pattern;
mod write;

use crate::path::Path;
use crate::text::{Mode, TextMatch};
use crate::value::Value;

pub use evaluate::Compiled;
pub(crate) use evaluate::{Node, Probe, Source};
pub(crate) use parse::Size;

/// Most tests, `And`s, `Or`s and `Not`s in one filter.
pub const FILTER_NODES_MAX: usize = 1024;
/// Deepest nesting of a filter.
pub const FILTER_DEPTH_MAX: usize = 32;
/// Most values in the lists of one filter together.
pub const FILTER_VALUES_MAX: usize = 100_000;

/// Most globs and regular expressions of one filter: each may take two megabytes of memory.
pub const FILTER_PATTERNS_MAX: usize = 16;
/// Longest string of a [`Op::Fuzzy`] test, in bytes.
pub const FUZZY_BYTES_MAX: usize = 1024;

/// What a client asks of documents.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// All of these; of none, true.
    And(Vec<Filter>),
    /// Any of these; of none, false.
    Or(Vec<Filter>),
    /// Not this.
    Not(Box<Filter>),
    /// A test of one attribute.
    Test(Test),
}

/// A test of one attribute.
#[derive(Debug, Clone, PartialEq)]
pub struct Test {
    /// Of which attribute.
    pub path: Path,
    /// What is asked.
    pub op: Op,
    /// Of what it is compared with.
    pub operand: Operand,
}

impl Test {
    /// What is asked of the words of the text, if anything is: the rows that this matches are those that the test
    /// lets through. A text without words is found nowhere.
    #[must_use]
    pub fn text_match(&self) -> Option<TextMatch> {
        let mode = self.op.mode()?;
        let (texts, last_as_prefix) = match &self.operand {
            Operand::Tokens { texts, last_as_prefix } => (texts.clone(), *last_as_prefix),
            // What `$ref_new` became.
            Operand::One(value) => (vec![value.as_ref()?.text()?.into()], false),
            Operand::Many(values) => {
                let texts = values.iter().map(|value| value.as_ref()?.text().map(Box::from));
                (texts.collect::<Option<_>>()?, false)
            }
            Operand::Fuzzy { .. } | Operand::RefNew(_) => return None,
        };
        Some(TextMatch { path: self.path.clone(), texts, mode, last_as_prefix, edits: 0 })
    }
}

/// What a value is compared with.
#[derive(Debug, Clone, PartialEq)]
pub enum Operand {
    /// One value; none is null.
    One(Option<Value>),
    /// Several.
    Many(Vec<Option<Value>>),
    /// A string, and how many characters of it may be wrong.
    Fuzzy {
        /// The string.
        text: Box<str>,
        /// Most insertions, deletions and substitutions of a character.
        edits: u8,
    },
    /// Words, and whether the last of them is the beginning of one.
    Tokens {
        /// The words; tokens, where those of the attribute are given.
        texts: Vec<Box<str>>,
        /// Whether the last is a prefix.
        last_as_prefix: bool,
    },
    /// The value of this attribute in the document that is being written: `{"$ref_new":"a"}`.
    RefNew(Path),
}

/// What is asked of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    /// Equal; an array as a whole.
    Eq,
    /// Not [`Op::Eq`].
    NotEq,
    /// Equal to one of several.
    In,
    /// Not [`Op::In`].
    NotIn,
    /// Less.
    Lt,
    /// Less or equal.
    Lte,
    /// More.
    Gt,
    /// More or equal.
    Gte,
    /// An element of the array is equal.
    Contains,
    /// Not [`Op::Contains`].
    NotContains,
    /// An element of the array is equal to one of several.
    ContainsAny,
    /// Not [`Op::ContainsAny`].
    NotContainsAny,
    /// An element of the array is less.
    AnyLt,
    /// An element of the array is less or equal.
    AnyLte,
    /// An element of the array is more.
    AnyGt,
    /// An element of the array is more or equal.
    AnyGte,
    /// The whole string matches a pattern: `*` any characters, `?` one, `[a-z]`, `[!a-z]`, `{one,two}`.
    Glob,
    /// Not [`Op::Glob`].
    NotGlob,
    /// As [`Op::Glob`], upper and lower case alike.
    IGlob,
    /// Not [`Op::IGlob`].
    NotIGlob,
    /// A regular expression matches somewhere in the string.
    Regex,
    /// The whole string is equal but for some characters.
    Fuzzy,
    /// The text has all of these words.
    ContainsAllTokens,
    /// The text has any of these words.
    ContainsAnyToken,
    /// The text has these words one after the other.
    ContainsTokenSequence,
}

impl Op {
    /// Every one.
    pub const ALL: [Self; 25] = [
        Self::Eq,
        Self::NotEq,
        Self::In,
        Self::NotIn,
        Self::Lt,
        Self::Lte,
        Self::Gt,
        Self::Gte,
        Self::Contains,
        Self::NotContains,
        Self::ContainsAny,
        Self::NotContainsAny,
        Self::AnyLt,
        Self::AnyLte,
        Self::AnyGt,
        Self::AnyGte,
        Self::Glob,
        Self::NotGlob,
        Self::IGlob,
        Self::NotIGlob,
        Self::Regex,
        Self::Fuzzy,
        Self::ContainsAllTokens,
        Self::ContainsAnyToken,
        Self::ContainsTokenSequence,
    ];

    /// Its name in queries.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Eq => "Eq",
            Self::NotEq => "NotEq",
            Self::In => "In",
            Self::NotIn => "NotIn",
            Self::Lt => "Lt",
            Self::Lte => "Lte",
            Self::Gt => "Gt",
            Self::Gte => "Gte",
            Self::Contains => "Contains",
            Self::NotContains => "NotContains",
            Self::ContainsAny => "ContainsAny",
            Self::NotContainsAny => "NotContainsAny",
            Self::AnyLt => "AnyLt",
            Self::AnyLte => "AnyLte",
            Self::AnyGt => "AnyGt",
            Self::AnyGte => "AnyGte",
            Self::Glob => "Glob",
            Self::NotGlob => "NotGlob",
            Self::IGlob => "IGlob",
            Self::NotIGlob => "NotIGlob",
            Self::Regex => "Regex",
            Self::Fuzzy => "Fuzzy",
            Self::ContainsAllTokens => "ContainsAllTokens",
            Self::ContainsAnyToken => "ContainsAnyToken",
            Self::ContainsTokenSequence => "ContainsTokenSequence",
        }
    }

    /// Whether it takes several values.
    const fn takes_many(self) -> bool {
        matches!(self, Self::In | Self::NotIn | Self::ContainsAny | Self::NotContainsAny)
    }

    /// Whether it takes a pattern.
    const fn takes_pattern(self) -> bool {
        matches!(self, Self::Glob | Self::NotGlob | Self::IGlob | Self::NotIGlob | Self::Regex)
    }

    /// Whether it is about the words of a text.
    const fn takes_tokens(self) -> bool {
        self.mode().is_some()
    }

    /// How it asks for words.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the others ask for no words")]
    const fn mode(self) -> Option<Mode> {
        match self {
            Self::ContainsAllTokens => Some(Mode::All),
            Self::ContainsAnyToken => Some(Mode::Any),
            Self::ContainsTokenSequence => Some(Mode::Phrase),
            _ => None,
        }
    }

    /// The one that this is the opposite of.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the others are no opposites")]
    const fn positive(self) -> Option<Self> {
        match self {
            Self::NotEq => Some(Self::Eq),
            Self::NotIn => Some(Self::In),
            Self::NotContains => Some(Self::Contains),
            Self::NotContainsAny => Some(Self::ContainsAny),
            Self::NotGlob => Some(Self::Glob),
            Self::NotIGlob => Some(Self::IGlob),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
