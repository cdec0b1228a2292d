//! The typed calls on a server.

use std::sync::Arc;

use serde_json::Value;

use crate::database::Database;
use crate::error::Result;
use crate::http::Http;
use crate::options::{Address, Options};
use crate::session::Session;
use crate::surface::{LogEvent, Surface};
use crate::values::DatabaseInfo;
use crate::wire::{MetricsFormat, OpenMode};

/// A server. Cheap to clone; its clones and everything made of them share one connection, and
/// may be used by any number of threads at once.
///
/// Over the socket a lost connection is made again by the next call. What was in flight when it
/// was lost is never sent again: its callers are told.
#[derive(Debug, Clone)]
pub struct Client {
    surface: Arc<dyn Surface>,
}

impl Client {
    /// Connects to a server: the path of its socket (with a `/`, or behind `unix:`), or
    /// `http://host:port`. `https://` needs the feature `tls`.
    ///
    /// # Errors
    /// When it is no address, nobody listens there, or the server refuses. HTTP has no lasting
    /// connection: there the first call tells.
    pub fn connect(address: &str) -> Result<Self> {
        Self::connect_with(address, Options::new())
    }

    pub(crate) fn connect_with(address: &str, options: Options) -> Result<Self> {
        let surface: Arc<dyn Surface> = match Address::parse(address)? {
            Address::Unix(path) => Arc::new(Session::connect(path, options)?),
            Address::Http(url) => Arc::new(Http::new(url, &options)?),
        };
        Ok(Self { surface })
    }

    /// Asks for an answer, and for nothing else.
    ///
    /// # Errors
    /// When there is none.
    pub fn ping(&self) -> Result<()> {
        self.surface.ping()
    }

    /// A database, by name. Asks nothing: the first call on it tells whether it exists.
    #[must_use]
    pub fn database(&self, name: &str) -> Database {
        Database::new(Arc::clone(&self.surface), name)
    }

    /// Opens a database that exists.
    ///
    /// # Errors
    /// `DbNotFound`; `DbNotOpen` when it is damaged.
    pub fn open_database(&self, name: &str) -> Result<Database> {
        self.surface.open(name, OpenMode::Existing)?;
        Ok(self.database(name))
    }

    /// Makes a database.
    ///
    /// # Errors
    /// `DbExists`; `InvalidName`.
    pub fn create_database(&self, name: &str) -> Result<Database> {
        self.surface.open(name, OpenMode::Create)?;
        Ok(self.database(name))
    }

    /// Opens a database, and makes it first when it does not exist.
    ///
    /// # Errors
    /// `InvalidName`; `DbNotOpen` when it is damaged.
    pub fn open_or_create_database(&self, name: &str) -> Result<Database> {
        self.surface.open(name, OpenMode::OrCreate)?;
        Ok(self.database(name))
    }

    /// Lets go of a database: the server may close it when nobody else uses it. Another call on it
    /// opens it again.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn close_database(&self, name: &str) -> Result<()> {
        self.surface.close(name)
    }

    /// Removes a database and everything in it, for good.
    ///
    /// # Errors
    /// `DbNotFound`; `Unsupported` for `default`.
    pub fn drop_database(&self, name: &str) -> Result<()> {
        self.surface.drop_database(name)
    }

    /// The databases, by name.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn databases(&self) -> Result<Vec<DatabaseInfo>> {
        self.surface.databases()
    }

    /// Statistics of the server.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn stats(&self) -> Result<Value> {
        self.surface.server_stats()
    }

    /// Application logs: a request of the socket's command `Logs`, with `op` one of `search`,
    /// `histogram`, `top` and `ingest`, and its answer. What `ingest` has answered is committed.
    ///
    /// # Errors
    /// `InvalidQuery`; `QueueFull` when entries come faster than they are written; `Unsupported`
    /// when the server keeps no logs.
    pub fn logs(&self, request: &Value) -> Result<Value> {
        self.surface.logs(request)
    }

    /// Log entries as they come, from now on, that fit what `request` asks for: the names of a
    /// search without its page. Goes on until `tell` answers false.
    ///
    /// # Errors
    /// When the server ends it, or there is none; `InvalidQuery`.
    pub fn tail_logs(&self, request: &Value, tell: &mut dyn FnMut(LogEvent) -> bool) -> Result<()> {
        self.surface.tail_logs(request, tell)
    }

    /// All metrics of the server, as text.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn metrics(&self, format: MetricsFormat) -> Result<String> {
        self.surface.metrics(format)
    }
}
