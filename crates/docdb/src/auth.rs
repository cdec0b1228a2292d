//! API keys: who may do what, and the one question that every surface asks ([`Auth::check`]).
//!
//! A key is 256 random bits, shown once, when it is made. The data directory keeps its SHA-256 hash
//! in `keys.json` ([`mod@file`]): a key cannot be guessed, so a slow hash would only make every request
//! slow. What it may do are [`Grant`]s: a [`Scope`] on one database or on all.
//!
//! # Rules
//!
//! - Credentials are required as soon as one key exists, expired ones too, and always when the
//!   server listens beyond loopback, unless it was told that this is insecure. While they are not
//!   required, whatever a client sends is ignored and it may do everything.
//! - A key is found by its hash, so how long it takes tells nothing about any key; the hashes are
//!   then compared in constant time.
//! - Keys are read again by [`Auth::reload`] (SIGHUP) and [`Auth::reload_if_changed`], which the
//!   server calls every [`LOOK_EVERY`]. A file that has become unreadable, or is gone, changes
//!   nothing and is reported: access neither falls open nor is lost. At start it refuses.
//! - What lasts, a connection of the socket or a stream of changes, is a [`Visitor`]: it is asked
//!   again for each request and each piece, so a key that was removed or has expired ends with it.
//! - No key and no hash of one is in any error, log line or `Debug`.
//!
//! Start with [`Auth::check`].

mod file;
mod grant;
mod key;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use base::clock::WallMs;
use base::error::{Code, Coded};
use base::io::DiskRef;
use base::words::Name;

use crate::engine::EngineError;

pub use file::{FILE_NAME, KEYS_MAX, KeyFile, KeyFileError, Keys};
pub use grant::{Grant, Realm, Scope};
pub use key::{KEY_PREFIX, Key, KeyId, LABEL_BYTES_MAX, NewKey, Wanted};

/// How often a server looks whether the keys have changed: a revoked key works no longer than this.
pub const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The longest credential that is looked at; no key is longer.
const CREDENTIAL_BYTES_MAX: usize = 256;

/// Who is asking, and what that allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    key: Option<Arc<Key>>,
}

impl Identity {
    /// Somebody whom nothing is refused: credentials are not required.
    #[must_use]
    pub const fn anybody() -> Self {
        Self { key: None }
    }

    /// The key that was used.
    #[must_use]
    pub fn key(&self) -> Option<KeyId> {
        self.key.as_ref().map(|key| key.id())
    }

    /// Whether `needed` is allowed on `database`; without one, on the server as a whole.
    #[must_use]
    pub fn allows(&self, database: Option<&Name>, needed: Scope) -> bool {
        let Some(key) = &self.key else { return true };
        key.grants.iter().any(|grant| grant.covers(database, needed))
    }

    /// Whether `needed` is allowed on the application logs, with the answer that a client gets.
    ///
    /// # Errors
    /// [`Denied::Forbidden`].
    pub fn require_logs(&self, needed: Scope) -> Result<(), Denied> {
        let Some(key) = &self.key else { return Ok(()) };
        if key.grants.iter().any(|grant| grant.covers_logs(needed)) {
            return Ok(());
        }
        let (key, database) = (key.id().to_string(), Realm::Logs.to_string());
        Err(Denied::Forbidden { key, database, needed })
    }

    /// As [`Identity::allows`], with the answer that a client gets.
    ///
    /// # Errors
    /// [`Denied::Forbidden`].
    pub fn require(&self, database: Option<&Name>, needed: Scope) -> Result<(), Denied> {
        if self.allows(database, needed) {
            return Ok(());
        }
        let key = self.key().map(|id| id.to_string()).unwrap_or_default();
        let database = database.map_or("all", Name::as_str).to_owned();
        Err(Denied::Forbidden { key, database, needed })
    }
}

/// Why somebody may not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Credentials are missing, malformed, unknown or expired. Which of the three latter is not
    /// said to the client.
    #[error("an API key is needed, reason={0}")]
    Unauthenticated(Reason),
    /// The key does not allow it.
    #[error("the API key does not allow this, key={key} database={database} needed={needed}")]
    Forbidden {
        /// Its id, which is no secret.
        key: String,
        /// The database, `all`, or `@logs`.
        database: String,
        /// What it would have to allow.
        needed: Scope,
    },
}

/// What is wrong with credentials, as far as it is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// There are none.
    Missing,
    /// They are no key that works.
    Invalid,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Missing => "missing",
            Self::Invalid => "invalid",
        })
    }
}

impl Coded for Denied {
    fn code(&self) -> Code {
        match self {
            Self::Unauthenticated(_) => Code::Unauthenticated,
            Self::Forbidden { .. } => Code::Forbidden,
        }
    }
}

impl From<Denied> for EngineError {
    fn from(denied: Denied) -> Self {
        Self::new(denied.code(), denied.to_string())
    }
}

/// Who is behind something that lasts longer than one request.
#[derive(Debug, Clone)]
pub struct Visitor {
    identity: Identity,
    /// Of the keys in which it was looked up last.
    generation: u64,
}

impl Visitor {
    /// Somebody of whom nothing is asked, for what everybody may see.
    #[must_use]
    pub const fn anybody() -> Self {
        Self { identity: Identity::anybody(), generation: 0 }
    }

    /// Who it was when it was asked last.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }
}

/// When credentials are required although no key exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposure {
    /// Nobody beyond this machine reaches the server, or it was told to be insecure.
    Closed,
    /// Others reach it.
    Open,
}

impl Exposure {
    /// That of the HTTP listener. Says so loudly when it is insecure.
    #[must_use]
    pub fn of(http: Option<&crate::config::Http>) -> Self {
        let Some(http) = http.filter(|http| !http.listen.ip().is_loopback()) else {
            return Self::Closed;
        };
        if http.insecure {
            tracing::warn!(
                address = %http.listen,
                "INSECURE: everybody who reaches this address may read and change everything, \
                 unless an API key exists"
            );
            return Self::Closed;
        }
        if http.tls.is_none() {
            tracing::warn!(address = %http.listen, "without TLS, API keys pass in clear text");
        }
        Self::Open
    }
}

/// The keys of a server, and the rule.
#[derive(Debug)]
pub struct Auth {
    file: KeyFile,
    exposure: Exposure,
    state: RwLock<Arc<Keys>>,
    /// Counts how often the keys were read; changed after them.
    generation: AtomicU64,
    /// The failure of the last look, if it failed.
    told: Mutex<Option<String>>,
}

impl Auth {
    /// Reads the keys of the data directory `dir`.
    ///
    /// # Errors
    /// When the file is there and cannot be read whole and sound: the server must not start.
    pub fn open(disk: &DiskRef, dir: &Path, exposure: Exposure) -> Result<Self, KeyFileError> {
        let file = KeyFile::new(disk, dir);
        let state = RwLock::new(Arc::new(file.load()?));
        Ok(Self { file, exposure, state, generation: AtomicU64::new(1), told: Mutex::default() })
    }

    /// Whether nobody can get in: credentials are required, and no key exists.
    #[must_use]
    pub fn is_locked_out(&self) -> bool {
        self.exposure == Exposure::Open && self.keys().is_empty()
    }

    /// Where the keys are.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.file.path()
    }

    /// Whether a request needs credentials.
    #[must_use]
    pub fn is_required(&self) -> bool {
        self.exposure == Exposure::Open || !self.keys().is_empty()
    }

    /// Who sent `credential`, a bare key; at `now`, because keys expire.
    ///
    /// # Errors
    /// [`Denied::Unauthenticated`].
    pub fn identify(&self, credential: Option<&str>, now: WallMs) -> Result<Identity, Denied> {
        let keys = self.keys();
        if self.exposure == Exposure::Closed && keys.is_empty() {
            return Ok(Identity::anybody());
        }
        let Some(credential) = credential.filter(|credential| !credential.is_empty()) else {
            return Err(Denied::Unauthenticated(Reason::Missing));
        };
        let known = (credential.len() <= CREDENTIAL_BYTES_MAX).then(|| keys.find(credential));
        let key = known.flatten().filter(|key| !key.is_expired(now));
        let key = key.ok_or(Denied::Unauthenticated(Reason::Invalid))?;
        Ok(Identity { key: Some(key) })
    }

    /// As [`Auth::identify`], for the value of an `Authorization` header: `Bearer docdb_…`.
    ///
    /// # Errors
    /// [`Denied::Unauthenticated`].
    pub fn identify_header(&self, header: Option<&str>, now: WallMs) -> Result<Identity, Denied> {
        self.identify(header.map(bearer), now)
    }

    /// Whether the sender of an `Authorization` header may do what is `needed` to `database`, or
    /// to the server as a whole.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn check(
        &self,
        header: Option<&str>,
        database: Option<&Name>,
        needed: Scope,
        now: WallMs,
    ) -> Result<Identity, Denied> {
        let identity = self.identify_header(header, now)?;
        identity.require(database, needed)?;
        Ok(identity)
    }

    /// Lets in who sent `credential`, for as long as [`Auth::confirm`] says so.
    ///
    /// # Errors
    /// [`Denied::Unauthenticated`].
    pub fn admit(&self, credential: Option<&str>, now: WallMs) -> Result<Visitor, Denied> {
        // Read before the keys: if they change in between, the next question looks again.
        let generation = self.generation.load(Ordering::Acquire);
        Ok(Visitor { identity: self.identify(credential, now)?, generation })
    }

    /// As [`Auth::admit`], for the value of an `Authorization` header.
    ///
    /// # Errors
    /// [`Denied::Unauthenticated`].
    pub fn admit_header(&self, header: Option<&str>, now: WallMs) -> Result<Visitor, Denied> {
        self.admit(header.map(bearer), now)
    }

    /// Asks again whether somebody who was let in may stay: the key is still there and has not
    /// expired; without one, none has become necessary. Costs next to nothing while no key changes.
    ///
    /// # Errors
    /// [`Denied::Unauthenticated`].
    pub fn confirm(&self, visitor: &mut Visitor, now: WallMs) -> Result<(), Denied> {
        let generation = self.generation.load(Ordering::Acquire);
        if visitor.generation != generation {
            visitor.identity = self.again(&visitor.identity)?;
            visitor.generation = generation;
        }
        let expired = visitor.identity.key.as_ref().is_some_and(|key| key.is_expired(now));
        if expired { Err(Denied::Unauthenticated(Reason::Invalid)) } else { Ok(()) }
    }

    /// The same identity in the keys of now.
    fn again(&self, before: &Identity) -> Result<Identity, Denied> {
        let keys = self.keys();
        if self.exposure == Exposure::Closed && keys.is_empty() {
            return Ok(Identity::anybody());
        }
        let Some(key) = &before.key else {
            return Err(Denied::Unauthenticated(Reason::Missing));
        };
        let known = keys.find_hash(&key.hash);
        let key = known.ok_or(Denied::Unauthenticated(Reason::Invalid))?;
        Ok(Identity { key: Some(key) })
    }

    /// Reads the keys again. Answers how many there are.
    ///
    /// # Errors
    /// When they cannot be read: those that were known stay.
    pub fn reload(&self) -> Result<usize, KeyFileError> {
        let keys = self.file.load()?;
        if keys.is_missing() && !self.keys().is_missing() {
            return Err(KeyFileError::Vanished { path: self.file.path() });
        }
        let count = keys.len();
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
        self.generation.fetch_add(1, Ordering::Release);
        tracing::info!(keys = count, "API keys were read");
        Ok(count)
    }

    /// Reads the keys again if their file is another than the one that is known. Answers whether
    /// it was.
    ///
    /// # Errors
    /// As [`Auth::reload`], once: the same failure again is no news.
    pub fn reload_if_changed(&self) -> Result<bool, KeyFileError> {
        let known = self.keys().digest();
        let changed = match self.file.digest() {
            Ok(found) if found == known => Ok(false),
            Ok(_) => self.reload().map(|_| true),
            Err(error) => Err(error),
        };
        let said = changed.as_ref().err().map(ToString::to_string);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if said.is_some() && *told == said {
            return Ok(false);
        }
        *told = said;
        changed
    }

    /// What is wrong with the file of keys, since it was looked at last; nothing when it is well.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keys(&self) -> Arc<Keys> {
        Arc::clone(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The key in the value of an `Authorization` header. What is not a bearer's is a credential that
/// no key fits, not a missing one.
fn bearer(header: &str) -> &str {
    let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header, ""));
    if scheme.eq_ignore_ascii_case("bearer") { rest.trim() } else { "?" }
}

#[cfg(test)]
mod tests;
