//! The HTTP surface over real sockets: the router that `docdb serve` has, on a data directory that
//! the test throws away.
#![expect(clippy::unwrap_used, reason = "a failure here is the test's")]

mod alerts;
mod dialects;
mod documents;
mod keys;
mod limits;
mod logs;
mod namespaces;
mod process;
mod resources;
mod streams;
mod tls;
mod typed;
pub(crate) mod world;
