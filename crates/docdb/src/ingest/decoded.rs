//! What a decoder makes of a request of many entries, and how many it takes.

use base::error::Code;
use logstore::Entry;

use crate::engine::EngineError;

/// Most entries of a request that is held whole. More are refused as too large: its sender is set to
/// send less at once.
pub const ENTRIES_MAX: usize = 100_000;
/// Most bytes that they take in memory. What a stream says once stands in each of its entries, so a
/// small request can be many bytes of entries.
pub const BYTES_MAX: usize = 64 * 1024 * 1024;

/// Why a request was not decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Undecoded {
    /// It is not what its protocol says.
    #[error("{0}")]
    Malformed(String),
    /// There is too much of it.
    #[error("{0}")]
    TooLarge(String),
}

impl Undecoded {
    /// It is not what its protocol says.
    #[must_use]
    pub fn malformed(what: impl Into<String>) -> Self {
        Self::Malformed(what.into())
    }
}

impl From<Undecoded> for EngineError {
    fn from(error: Undecoded) -> Self {
        let code = match error {
            Undecoded::Malformed(_) => Code::InvalidJson,
            Undecoded::TooLarge(_) => Code::PayloadTooLarge,
        };
        Self::new(code, error.to_string())
    }
}

impl From<super::protobuf::NoMessage> for Undecoded {
    fn from(error: super::protobuf::NoMessage) -> Self {
        Self::malformed(error.to_string())
    }
}

/// The entries of a request, as many as it may have.
#[derive(Debug, Default)]
pub struct Entries {
    list: Vec<Entry>,
    bytes: usize,
}

impl Entries {
    /// Adds an entry, if there may be another one.
    ///
    /// # Errors
    /// [`Undecoded::TooLarge`].
    pub fn push(&mut self, entry: Entry) -> Result<(), Undecoded> {
        self.bytes = self.bytes.saturating_add(entry.cost_bytes());
        if self.list.len() >= ENTRIES_MAX || self.bytes > BYTES_MAX {
            let what = format!(
                "a request has at most {ENTRIES_MAX} entries, which take {BYTES_MAX} bytes with \
                 their labels at most; send fewer at once"
            );
            return Err(Undecoded::TooLarge(what));
        }
        self.list.push(entry);
        Ok(())
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// What they take in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The entries.
    #[must_use]
    pub fn into_list(self) -> Vec<Entry> {
        self.list
    }
}
