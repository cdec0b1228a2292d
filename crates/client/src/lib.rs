//! The Rust client of docdb, over its Unix socket and over HTTP, for programs that use blocking
//! calls and threads. It depends on no other crate of docdb, and no async runtime.
//!
//! - [`Client`] has typed calls: `client.database("shop").collection("books").get(7)`.
//! - [`Connection`] sends requests of the frame protocol from many threads over one connection,
//!   and does not wait for one answer before it sends the next request.
//! - [`Socket`] does that for one thread, without locks.
//! - [`wire`] is the frame protocol itself; the server uses it too.
//!
//! ```no_run
//! # fn main() -> client::Result<()> {
//! let client = client::Client::connect("/run/docdb/docdb.sock")?;
//! let books = client.open_or_create_database("shop")?.create_collection("books")?;
//! books.create(1, br#"{"title": "Walden", "price": 9.90}"#)?;
//! let book = books.get(1)?.expect("it was just made");
//! books.update_if(1, book.revision, br#"{"title": "Walden", "price": 8.50}"#)?;
//! # Ok(())
//! # }
//! ```
//!
//! **What is sent again?** Nothing that may have reached the server. A call that finds the
//! connection lost connects again, once; a call that was waiting when it was lost fails, and
//! [`Error::is_outcome_unknown`] says whether it may have been done all the same.

pub mod code;
pub mod wire;

mod client;
mod clock;
mod collection;
mod connection;
mod database;
mod error;
mod feed;
mod http;
mod options;
mod scan;
mod session;
mod socket;
mod surface;
mod transaction;
mod values;

pub use client::Client;
pub use code::ErrorCode;
pub use collection::Collection;
pub use connection::{Connection, OUTBOX_BYTES_MAX, Reply, Ticket};
pub use database::Database;
pub use error::{Error, ErrorKind, Result};
pub use feed::Changes;
pub use options::{KEY_VARIABLE, Options};
pub use scan::Scan;
pub use serde_json::Value;
pub use socket::Socket;
pub use surface::LogEvent;
pub use transaction::Transaction;
pub use values::{
    Change, CollectionInfo, DatabaseInfo, DatabaseState, Document, Effect, Event, Id, Outcome,
    Written,
};
pub use wire::{DropMode, HealAction, MetricsFormat, Op};
