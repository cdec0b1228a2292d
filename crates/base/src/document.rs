//! A JSON document: bytes that our validator accepted, kept exactly as given.

use std::sync::Arc;

/// A valid JSON text of at most 16 MiB, nested at most 128 deep; cheap to clone.
///
/// There are two ways to get one: [`Document::parse`], which validates, and
/// [`Document::from_checksummed`], for bytes that once were a document and have been under a
/// checksum of ours since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document(Arc<[u8]>);

impl Document {
    /// Bytes that a checksum of ours proves to be those of a document written before. Only the
    /// decoders of the log and of data files call it.
    #[must_use]
    pub fn from_checksummed(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// The JSON text.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}
