//! Search over the changes of a collection: vectors, text, attributes.
//!
//! Start with [`index`]: the index of a collection, which follows its changes and answers queries. It is made of
//! [`schema`], which says what the documents of a collection have, with [`value`] and [`path`], the values of
//! attributes and their places; [`query`], with [`filter`], [`rank`], [`order`] and [`aggregate`], what may be asked;
//! [`exhaustive`], which answers by looking at every document; the indexes [`vector`], [`text`] and
//! [`attributes`] on the rows of a segment, with [`documents`], its open copy; and [`storage`] and [`manifest`], where
//! segments are and which of them there are. Several answers become one by [`fusion`].

pub mod aggregate;
pub mod attributes;
mod column;
mod cursor;
pub mod documents;
pub mod error;
pub mod exhaustive;
pub mod filter;
pub mod fusion;
pub mod index;
pub mod json;
pub mod manifest;
pub mod metrics;
pub mod order;
pub mod path;
mod place;
#[cfg(feature = "planted-bugs")]
pub mod planted;
pub mod query;
pub mod rank;
pub mod schema;
pub mod storage;
pub mod text;
pub mod value;
pub mod vector;
