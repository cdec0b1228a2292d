//! One key: how it is made, what is known of it, and its identity.

use std::fmt;
use std::fmt::Write as _;

use base::clock::WallMs;

use super::grant::Grant;
use crate::config::Secret;

/// What every key begins with, so that scanners of leaked secrets know it.
pub const KEY_PREFIX: &str = "docdb_";
/// The longest label, bytes.
pub const LABEL_BYTES_MAX: usize = 128;
/// Most grants of one key.
pub(super) const GRANTS_MAX: usize = 1000;
/// Bytes of randomness in a key.
const RANDOM_BYTES: usize = 32;

/// The SHA-256 hash of a key, by which it is found.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Hash(pub(super) [u8; 32]);

/// A hash is no way back to its key, and is still nobody's business.
impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

impl Hash {
    pub(super) fn of(key: &str) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, key.as_bytes());
        let mut hash = [0; 32];
        hash.copy_from_slice(digest.as_ref());
        Self(hash)
    }

    pub(super) fn to_hex(self) -> String {
        hex(&self.0)
    }

    pub(super) fn of_hex(text: &str) -> Option<Self> {
        let digit = |b: u8| match b {
            b'0'..=b'9' => Some(b - b'0'),
            b'a'..=b'f' => Some(b - b'a' + 10),
            _ => None,
        };
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let mut hash = [0; 32];
        if pairs.len() != hash.len() || !rest.is_empty() {
            return None;
        }
        for (byte, [high, low]) in hash.iter_mut().zip(pairs) {
            *byte = (digit(*high)? << 4) | digit(*low)?;
        }
        Some(Self(hash))
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// What a key is called where people see it: the beginning of its hash. No secret.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyId(String);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is kept of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    pub(super) hash: Hash,
    /// What its owner calls it.
    pub label: String,
    /// When it was made.
    pub created: WallMs,
    /// When it stops working; none = never.
    pub expires: Option<WallMs>,
    /// What it allows; never empty.
    pub grants: Vec<Grant>,
}

impl Key {
    /// What people call it.
    #[must_use]
    pub fn id(&self) -> KeyId {
        let mut hex = self.hash.to_hex();
        hex.truncate(12);
        KeyId(hex)
    }

    /// Whether it has stopped working.
    #[must_use]
    pub fn is_expired(&self, now: WallMs) -> bool {
        self.expires.is_some_and(|expires| now >= expires)
    }
}

/// What a new key is to be.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// What its owner calls it.
    pub label: String,
    /// When it stops working.
    pub expires: Option<WallMs>,
    /// What it allows.
    pub grants: Vec<Grant>,
}

impl Wanted {
    /// Whether it can be kept.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self) -> Result<(), &'static str> {
        let is_label = self.label.len() <= LABEL_BYTES_MAX
            && !self.label.is_empty()
            && !self.label.contains(char::is_control);
        if !is_label {
            return Err("a label has 1 to 128 bytes and no control characters");
        }
        if self.grants.is_empty() || self.grants.len() > GRANTS_MAX {
            return Err("a key has 1 to 1000 grants");
        }
        Ok(())
    }
}

/// A key that was just made: the only time that it is known.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// The key itself.
    pub secret: Secret,
    /// What is kept of it.
    pub key: Key,
}

impl NewKey {
    /// Makes a key of the system's randomness.
    ///
    /// # Errors
    /// When the system has none.
    pub fn make(wanted: Wanted, now: WallMs) -> std::io::Result<Self> {
        let mut random = [0; RANDOM_BYTES];
        base::rng::os_bytes(&mut random)?;
        let secret = format!("{KEY_PREFIX}{}", hex(&random));
        let key = Key {
            hash: Hash::of(&secret),
            label: wanted.label,
            created: now,
            expires: wanted.expires,
            grants: wanted.grants,
        };
        Ok(Self { secret: Secret::new(secret), key })
    }
}
