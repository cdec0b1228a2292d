//! The frame protocol of docdb's Unix socket: types and codec of every frame, in both directions.
//! The client writes requests and reads answers with it, the server does the reverse.
//! `docs/formats/ipc.md` is normative for the bytes.
//!
//! Invariants:
//!
//! 1. No bytes panic a decoder, and no length is believed before it was compared with what is
//!    there: what a decoder allocates is bounded by a small multiple of the frame.
//! 2. One value has one encoding: what decodes encodes to the same bytes.
//! 3. An encoder that refuses leaves its output as it was.
//!
//! Start with [`Request`] and [`Response`]; [`FrameBuffer`] cuts a stream of bytes into frames.

// Bytes of another process go through here.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

mod answer;
mod bytes;
mod change;
mod command;
mod error;
mod frame;
mod hello;
mod id;
mod op;
mod request;
mod results;

pub use answer::{Answer, CollectionEntry, DatabaseEntry, DatabaseState, Page, Response};
pub use change::{Change, Changed};
pub use command::Command;
pub use error::{Problem, WireError};
pub use frame::{FrameBuffer, Next};
pub use hello::{Hello, Welcome};
pub use id::Id;
pub use op::{Action, Op};
pub use request::{
    Call, Cursor, DropMode, ExecuteMode, HealAction, Listing, MetricsFormat, OpenMode, Ops,
    Request, ScanCall,
};
pub use results::{Document, Effect, Executed, Failure, Found, OpResult};

/// Largest body of a frame: a document of 16 MiB and room for what surrounds it.
pub const BODY_BYTES_MAX: usize = 16 * 1024 * 1024 + 64 * 1024;
/// Bytes before the body of a frame: its length.
pub const PREFIX_BYTES: usize = 4;
/// Most operations of one request.
pub const OPS_MAX: usize = 65_536;
/// Longest name of a database or collection that a frame carries.
pub const NAME_BYTES_MAX: usize = 128;
/// The version of the protocol that this crate speaks.
pub const VERSION: u16 = 1;
