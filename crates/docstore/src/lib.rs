//! JSON documents in databases and collections, on the log of crate `wal`.
//!
//! The log is the only place where a write becomes durable; everything else here is derived from
//! it and can be made again: data files, the index of where each document is, checkpoints.

pub mod data;
pub mod index;
mod location;
pub mod patch;
#[cfg(feature = "schema-validation")]
pub mod validation;

pub use location::{FileNumber, Location};
