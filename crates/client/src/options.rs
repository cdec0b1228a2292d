//! How a client connects.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::client::Client;
use crate::error::{Error, Result};

/// How a client connects, and how long it waits.
#[derive(Clone)]
pub struct Options {
    pub(crate) key: String,
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
        Self { key: String::new(), timeout: Duration::from_secs(30), in_flight_max: 1024 }
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
        let message = format!("neither the path of a socket nor an http address: `{text}`");
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
    fn a_key_is_never_printed() {
        let text = format!("{:?}", Options::new().key("secret"));
        assert!(!text.contains("secret"), "{text}");
    }
}
