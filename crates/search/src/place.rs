//! Where in a query something stands, for messages: `filters[1][0][2]`.
//!
//! A place is a link to the one around it, on the stack: it costs nothing until an error shows it.

use std::fmt;

/// Where something stands.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place<'a> {
    /// A member of the query.
    Member(&'a str),
    /// An element of an array.
    Element(&'a Place<'a>, usize),
}

impl Place<'_> {
    /// The element of this number.
    pub(crate) fn at(&self, index: usize) -> Place<'_> {
        Place::Element(self, index)
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Member(name) => f.write_str(name),
            Self::Element(around, index) => write!(f, "{around}[{index}]"),
        }
    }
}
