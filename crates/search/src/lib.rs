//! Search over the changes of a collection: vectors, text, attributes.
//!
//! What there is now is the vector index, [`vector`], on rows that the caller holds: nothing of it is
//! wired to a collection yet. To come are the schema of a collection, the memtable, text and
//! attribute indexes, segments and their manifest, and the planner that joins them into a query.

pub mod vector;
