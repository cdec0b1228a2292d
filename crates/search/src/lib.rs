//! Search over the changes of a collection: vectors, text, attributes.
//!
//! What there is now: [`schema`], which says what the documents of a collection have, with [`value`] and
//! [`path`], the values of attributes and their places; [`query`], with [`filter`], [`rank`], [`order`] and
//! [`aggregate`], what may be asked; [`exhaustive`], which answers by looking at every document; and the
//! vector index, [`vector`], and the text index, [`text`], on rows that the caller holds, with [`attributes`].
//! Files and what they are a part of are objects of a [`storage::Store`], named by a [`manifest`]. Nothing of
//! it is wired to a collection yet. To come are the memtable, segments, and the planner that joins them into a
//! query.

pub mod aggregate;
pub mod attributes;
mod column;
mod cursor;
pub mod documents;
pub mod error;
pub mod exhaustive;
pub mod filter;
pub mod json;
pub mod manifest;
pub mod order;
pub mod path;
mod place;
pub mod query;
pub mod rank;
pub mod schema;
pub mod storage;
pub mod text;
pub mod value;
pub mod vector;
