//! Tests of the client: the bytes of the frame protocol, and the client against servers that are
//! scripted to do the unexpected.

#![expect(clippy::unwrap_used, reason = "the servers of these tests fail them by panicking")]

mod fake;
mod golden;
mod http;
mod pipelining;
mod round_trip;
mod trouble;
mod typed;
