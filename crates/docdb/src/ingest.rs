//! What comes from outside as logs: the formats of others made into entries of the log store.
//!
//! Decoders are pure: bytes and a time of arrival in, [`logstore::Entry`]s out, and nothing that
//! they can be given makes them fail in another way than by saying so. What cannot be understood
//! is kept whole as the message of an entry that is marked, wherever the protocol has no better
//! answer: a log line is never lost because of its form.
//!
//! | format | where |
//! |---|---|
//! | docdb's own JSON, and that of loggers | [`json`] |
//! | syslog: RFC 5424, RFC 3164, and their framing | [`syslog`] |
//! | Loki's push | [`loki`] |
//! | OpenTelemetry's OTLP | [`otlp`] |
//! | Elasticsearch's `_bulk` | [`elastic`] |
//!
//! [`listen`] has the listeners of syslog; what comes over HTTP is taken by `http::logs`.
//!
//! # Invariants
//!
//! - An entry that a decoder makes is one that the store takes: its facility is 0 to 23 and its
//!   structured data are a JSON object of at most [`logstore::STRUCTURED_BYTES_MAX`] bytes.
//! - What a decoder holds is bounded by what it was given and by [`decoded`].

pub mod decoded;
pub mod elastic;
pub(crate) mod feed;
pub mod fields;
pub mod json;
pub mod lines;
pub mod listen;
pub mod loki;
pub mod otlp;
pub mod protobuf;
pub mod syslog;
pub mod time;
