//! How a client connects.

use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::client::Client;
use crate::error::{Error, Result};

/// The variable of the environment that holds an API key, for this client and for `docdb shell`. It
/// does not begin with `DOCDB_`, because a server refuses variables of that kind that it does not
/// know.
pub const KEY_VARIABLE: &str = "DOCDBSH_KEY";

/// Largest file of a key or of certificates.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// How a client connects, and how long it waits.
#[derive(Clone)]
pub struct Options {
    pub(crate) key: String,
    /// PEM; none for what the world trusts.
    pub(crate) ca: Option<Vec<u8>>,
    pub(crate) timeout: Duration,
    pub(crate) in_flight_max: usize,
}

/// The key is a secret.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("timeout", &self.timeout)
            .field("in_flight_max", &self.in_flight_max)
            .finish_non_exhaustive()
    }
}

impl Default for Options {
    fn default() -> Self {
        let timeout = Duration::from_secs(30);
        Self { key: String::new(), ca: None, timeout, in_flight_max: 1024 }
    }
}

impl Options {
    /// No key, 30 seconds, 1,024 requests in flight.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The API key. None by default.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = key.into();
        self
    }

    /// The API key that a file holds; white space around it is left out.
    ///
    /// # Errors
    /// When the file cannot be read or holds none. The message names the file and nothing of it.
    pub fn key_file(self, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = read(path)?;
        let text = std::str::from_utf8(&bytes).unwrap_or_default().trim();
        if text.is_empty() {
            let message = format!("the file holds no key: `{}`", path.display());
            return Err(Error::argument(message));
        }
        Ok(self.key(text))
    }

    /// The API key of the environment, [`KEY_VARIABLE`]; as it was when there is none.
    ///
    /// # Errors
    /// When the variable is not UTF-8.
    pub fn key_from_environment(self) -> Result<Self> {
        match std::env::var(KEY_VARIABLE) {
            Ok(key) if !key.trim().is_empty() => Ok(self.key(key.trim())),
            Ok(_) | Err(std::env::VarError::NotPresent) => Ok(self),
            Err(std::env::VarError::NotUnicode(_)) => {
                Err(Error::argument(format!("the variable {KEY_VARIABLE} is not UTF-8")))
            }
        }
    }

    /// Certificates, PEM, that are trusted for `https://` instead of those that the world trusts: of
    /// an authority of one's own, or a self-made one of the server.
    #[must_use]
    pub fn ca(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca = Some(pem.into());
        self
    }

    /// The same from a file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn ca_file(self, path: impl AsRef<Path>) -> Result<Self> {
        let pem = read(path.as_ref())?;
        Ok(self.ca(pem))
    }

    /// How long a call waits: for its answer, and before that for room to be sent. 30 seconds by
    /// default; a shorter time finds a dead server sooner, and gives up on a busy one.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout.max(Duration::from_millis(1));
        self
    }

    /// How many requests of one connection may wait for their answers; another one waits for room.
    /// 1,024 by default, at least 1. HTTP has no pipelining: there it changes nothing.
    #[must_use]
    pub fn in_flight_max(mut self, requests: usize) -> Self {
        self.in_flight_max = requests.max(1);
        self
    }

    /// Connects to an address, as [`Client::connect`] does.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub fn connect(self, address: &str) -> Result<Client> {
        Client::connect_with(address, self)
    }
}

/// A small file, whole.
#[expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the client stands alone, and so cannot use the server's door to files"
)]
fn read(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
    let failed = |what: &dyn fmt::Display| {
        Error::argument(format!("the file cannot be read: {what}: `{}`", path.display()))
    };
    match read {
        Ok(len) if len as u64 <= FILE_BYTES_MAX => Ok(bytes),
        Ok(_) => Err(failed(&"it is larger than 1 MiB")),
        Err(error) => Err(failed(&error)),
    }
}

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    Unix(PathBuf),
    Http(String),
}

impl Address {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Ok(Self::Unix(PathBuf::from(path)));
        }
        if text.starts_with("http://") || text.starts_with("https://") {
            return Ok(Self::Http(text.trim_end_matches('/').to_owned()));
        }
        if text.contains('/') && !text.contains("://") {
            return Ok(Self::Unix(PathBuf::from(text)));
        }
        let message = format!(
            "neither the path of a socket, which has a slash or begins with unix:, nor \
             http://HOST:PORT or https://HOST:PORT: `{text}`"
        );
        Err(Error::argument(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_paths_or_http() {
        let unix = |path: &str| Ok(Address::Unix(PathBuf::from(path)));
        let http = |url: &str| Ok(Address::Http(url.to_owned()));
        assert_eq!(Address::parse("/run/docdb.sock"), unix("/run/docdb.sock"));
        assert_eq!(Address::parse("./docdb.sock"), unix("./docdb.sock"));
        assert_eq!(Address::parse("unix:docdb.sock"), unix("docdb.sock"));
        assert_eq!(Address::parse("http://127.0.0.1:7717/"), http("http://127.0.0.1:7717"));
        assert_eq!(Address::parse("https://db:1"), http("https://db:1"));
        for none in ["", "docdb", "tcp://127.0.0.1:1", "127.0.0.1:7717"] {
            assert!(Address::parse(none).is_err(), "{none}");
        }
    }

    #[test]
    fn a_key_comes_from_a_file_without_the_white_space_around_it() {
        use std::io::Write as _;
        let mut file = tempfile::NamedTempFile::new().unwrap();
        assert!(Options::new().key_file(file.path()).is_err(), "it is empty");
        file.write_all(b" secret\n").unwrap();
        assert_eq!(Options::new().key_file(file.path()).unwrap().key, "secret");
        assert_eq!(Options::new().ca_file(file.path()).unwrap().ca.unwrap(), b" secret\n");
        file.write_all(&[0xff; 10]).unwrap();
        let said = Options::new().key_file(file.path()).unwrap_err().to_string();
        assert!(!said.contains("secret"), "{said}");
        let missing = file.path().with_extension("none");
        assert!(Options::new().key_file(missing).is_err());
    }

    #[test]
    fn a_key_is_never_printed() {
        let text = format!("{:?}", Options::new().key("secret"));
        assert!(!text.contains("secret"), "{text}");
    }
}
