//! Named limits that more than one crate must agree on. A limit that belongs to one crate is
//! named there.

/// Largest document, in bytes of its JSON text.
pub const DOCUMENT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Deepest nesting of arrays and objects in a document.
pub const DOCUMENT_DEPTH_MAX: usize = 128;
/// Longest string id, in bytes of UTF-8.
pub const ID_BYTES_MAX: usize = 64;
/// Longest name of a database or collection, in bytes.
pub const NAME_BYTES_MAX: usize = 128;
/// Most operations in one transaction.
pub const TXN_OPS_MAX: u32 = 1_000_000;
/// Most bytes of payload in one transaction.
pub const TXN_BYTES_MAX: u64 = 256 * 1024 * 1024;
